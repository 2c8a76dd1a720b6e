import errno
from pathlib import Path

import pytest

from geo.errors import ConfigError
from model.export.exporter import whole_folder
from tests.model.export.conftest import ExportRun


def test_an_export_tells_how_far_each_way_to_call_it_is_from_the_model(export_run: ExportRun) -> None:
    _, found = export_run
    assert set(found) == {"saved_model detect", "saved_model detect_jpeg", "frozen_graph", "onnx"}
    assert all(0 <= of.boxes_px < 0.05 and 0 <= of.scores < 1e-3 for of in found.values())
    assert any(of.scores > 0 for of in found.values())  # sums in another order


def test_nothing_else_is_left(exported: Path) -> None:
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]
    assert {path.name for path in exported.iterdir()} == {
        "saved_model",
        "frozen_graph.pb",
        "model.onnx",
        "README.md",
        "config.yaml",
    }


def test_an_earlier_export_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("model.onnx", "frozen_graph.pb"):
        with whole_folder(tmp_path / "export") as folder:
            (folder / name).write_text(name)
    assert [path.name for path in tmp_path.rglob("*")] == ["export", "frozen_graph.pb"]


def test_an_earlier_export_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "export") as folder:
        (folder / "model.onnx").write_text("first")
    with pytest.raises(UnicodeError), whole_folder(tmp_path / "export") as folder:
        (folder / "model.onnx").write_text("sec\udc00nd", encoding="utf-8")
    assert (tmp_path / "export" / "model.onnx").read_text() == "first"
    assert [path.name for path in tmp_path.rglob("*")] == ["export", "model.onnx"]


@pytest.mark.parametrize("name", ["weights.safetensors", "thesis.tex", ".git"])
def test_what_is_no_export_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=f"output.*{name}"), whole_folder(tmp_path):
        pytest.fail("nothing may be written")
    assert (tmp_path / name).exists()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "export").touch()
    with pytest.raises(ConfigError, match=r"output.*file"), whole_folder(tmp_path / "export"):
        pytest.fail("nothing may be written")


def test_a_folder_that_cannot_be_moved_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(self: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(ConfigError, match=r"output.*mounted.*busy"), whole_folder(tmp_path / "mounted") as folder:
        (folder / "model.onnx").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["mounted"]


def test_an_empty_folder_becomes_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with whole_folder(Path()) as folder:
        (folder / "model.onnx").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "model.onnx"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="output"), whole_folder(tmp_path / "file" / "export"):
        pytest.fail("nothing may be written")
