from pathlib import Path

import pytest

from geo.errors import ConfigError
from model.export.exporter import check_replaceable
from tests.model.export.conftest import ExportRun


def test_an_export_returns_the_differences_of_all_signatures(export_run: ExportRun) -> None:
    _, differences = export_run
    assert set(differences) == {"saved_model detect", "saved_model detect_jpeg", "frozen_graph", "litert", "onnx"}
    assert all(0 <= each.boxes_px < 0.05 and 0 <= each.scores < 1e-3 for each in differences.values())
    assert any(each.scores > 0 for each in differences.values())  # sums in another order


def test_no_temporary_files_are_left(exported: Path) -> None:
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]
    assert {path.name for path in exported.iterdir()} == {
        "saved_model",
        "frozen_graph.pb",
        "model.onnx",
        "model.tflite",
        "README.md",
        "config.yaml",
    }


@pytest.mark.parametrize("name", ["weights.safetensors", "thesis.tex", ".git"])
def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=f"output.*{name}"):
        check_replaceable(tmp_path)
    assert (tmp_path / name).exists()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "export").touch()
    with pytest.raises(ConfigError, match=r"output.*file"):
        check_replaceable(tmp_path / "export")
