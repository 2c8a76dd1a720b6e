import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from geo.errors import ConfigError
from model import train
from model.training import backend
from tests.model.tiny_training import settings


def test_the_backend_is_chosen_before_keras_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    backend.choose("tensorflow")
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


@pytest.mark.parametrize("name", ["numpy", "Tensorflow", None, 3])
def test_an_unknown_backend_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match="tensorflow, jax, torch"):
        backend.choose(name)


@pytest.mark.parametrize("as_flag", [True, False])
def test_a_backend_that_is_not_installed_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_flag: bool
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jax" else SimpleNamespace())
    file = settings(tmp_path, tmp_path, **({} if as_flag else {"backend": "jax"}))
    assert train.main(["--config", str(file), *(["--backend", "jax"] if as_flag else [])]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "pip install jax" in captured.err


def test_a_backend_other_than_the_one_that_runs_is_refused() -> None:
    backend.check("tensorflow")
    with pytest.raises(ConfigError, match="KERAS_BACKEND=torch"):
        backend.check("torch")
