import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from model.common.config import load_yaml
from model.export import __main__ as export
from model.export import exporter
from model.export.config import ExportConfig
from model.inference.model_folder import WEIGHTS_FILE
from tests.model.image_sets import make_pixels, write_set


@pytest.fixture
def config(model_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_folder, tmp_path / "model")
    write_set(tmp_path / "data" / "bright", {"a": make_pixels(), "b": make_pixels(0.9)})
    return write_config(tmp_path)


def write_config(folder: Path, **changes: object) -> Path:
    content: dict[str, object] = {
        "model": str(folder / "model"),
        "output": str(folder / "out" / "export"),
        "formats": ["frozen_graph"],
        "data": str(folder / "data"),
        "sets": ["bright"],
        "tiles": 1,
        "tile_px": 64,
        **changes,
    }
    file = folder / "export.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def refused(capsys: pytest.CaptureFixture[str], output: Path) -> str:
    """Return the one line of error of a refused command."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("model.export: ")
    assert captured.err.count("\n") == 1
    assert not output.exists()
    return captured.err


def test_the_command_exports(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = config.parent / "elsewhere"
    assert export.main(["--config", str(config), "--output", str(output)]) == 0
    assert {path.name for path in output.iterdir()} == {"frozen_graph.pb", "config.yaml"}  # the model has no card
    printed = capsys.readouterr().out.splitlines()
    assert "1 tiles of 64 px" in printed[0]
    assert printed[1].startswith("frozen_graph ")
    assert printed[-1] == f"export: {output}"
    assert not (config.parent / "out").exists()


def test_a_different_export_exits_with_1(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporter, "_MAX_DIFFERENCE_SCORE", -1.0)
    assert export.main(["--config", str(config)]) == 1
    assert "frozen_graph" in refused(capsys, config.parent / "out" / "export")
    assert list((config.parent / "out").iterdir()) == []


def test_damaged_weights_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config.parent / "model" / WEIGHTS_FILE
    file.write_bytes(file.read_bytes()[:-100])
    assert export.main(["--config", str(config)]) == 2
    message = refused(capsys, config.parent / "out" / "export")
    assert WEIGHTS_FILE in message
    assert "damaged" in message


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--formats", "saved_model", "keras"], "keras"),
        (["--output", "model"], "output"),
        (["--output", "export.yaml/new"], "export.yaml/new"),
    ],
)
def test_wrong_commands_exit_with_one_line_and_2(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    monkeypatch.chdir(config.parent)
    assert export.main(["--config", "export.yaml", *arguments]) == 2
    assert named in refused(capsys, config.parent / "out" / "export")


@pytest.mark.parametrize(
    "change", [{"formats": []}, {"sets": []}, {"tiles": 0}, {"tile_px": 100}, {"tile_px": 0}, {"sets": ["gone"]}]
)
def test_invalid_configs_are_refused(config: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]) -> None:
    assert export.main(["--config", str(write_config(config.parent, **change))]) == 2
    message = refused(capsys, config.parent / "out" / "export")
    assert ("gone" if "gone" in str(change) else next(iter(change))) in message


def test_onnx_is_refused_without_its_packages(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else object())
    assert export.main(["--config", str(config), "--formats", "onnx"]) == 2
    assert "tf2onnx" in refused(capsys, config.parent / "out" / "export")


def test_the_configs_of_the_project_are_valid() -> None:
    for file in sorted(Path("configs/export").glob("*.yaml")):
        load_yaml(ExportConfig, file)
