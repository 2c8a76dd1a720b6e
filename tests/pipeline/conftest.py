import dataclasses
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apache_beam.internal.gcp import auth

from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor
from pipeline import model_loading
from tests.geo.gcs_emulator import emulated_bucket
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.scenes import CONFIG, write_scene


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder with a valid description and weights of the right hash, for which the fake model is loaded."""
    from model.detectors.config import DetectorConfig
    from model.inference.model_folder import CONFIG_FILE, WEIGHTS_FILE, ModelConfig

    folder = tmp_path / "model"
    folder.mkdir()
    weights = b"not weights, but with the right hash"
    config = ModelConfig("fake", DetectorConfig(), 0.85, hashlib.sha256(weights).hexdigest())
    (folder / WEIGHTS_FILE).write_bytes(weights)
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(dataclasses.asdict(config)), encoding="utf-8")
    monkeypatch.setattr(model_loading, "load_predictor", _LoadedFake)
    monkeypatch.setattr(model_loading, "_models", OrderedDict())  # the tests patch what is loaded
    return folder


@pytest.fixture
def cli(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandRunner:
    """The command in a folder with a scene `a.tif` and settings for the fake model."""
    write_scene(tmp_path / "a.tif")
    settings = dataclasses.asdict(dataclasses.replace(CONFIG, min_score=None))
    (tmp_path / "settings.yaml").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    return CommandRunner(tmp_path, model_folder, capsys)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket `gs://maps` in an emulator of Google Cloud Storage."""
    # Without this Beam looks for credentials for 17 s, and connects anonymously in the end.
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)
    with emulated_bucket("maps") as bucket:
        yield bucket


class _LoadedFake(FakePredictor):
    """The fake with the arguments of `load_predictor`."""

    def __init__(
        self,
        name_or_path: str,
        batch_size: int,
        min_score: float,
        precision: str,
        engine: str,
        trusted: bool,
        cached: bool,
    ) -> None:
        self.min_score = min_score

    def __call__(self, images: ImageArray) -> list[Detections]:
        return [detections.take(detections.scores >= self.min_score) for detections in super().__call__(images)]
