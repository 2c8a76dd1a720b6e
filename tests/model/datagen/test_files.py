from pathlib import Path

import pytest

from geo.errors import ConfigError
from model.datagen import files
from tests.model.datagen.elsewhere import Elsewhere


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Elsewhere, "root", tmp_path / "root", raising=False)
    for name in ("set/a.json", "set/images/a.png", "set/images/more/b.png", "settled/c.png"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(name)
    return tmp_path / "root"


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    with files.local_folder(str(tmp_path)) as folder:
        assert folder == tmp_path
    with files.local_file(str(tmp_path / "a")) as file:
        assert file == tmp_path / "a"


@pytest.mark.parametrize("uri", ["elsewhere://set", "elsewhere://set/"])
def test_a_remote_folder_is_copied_for_the_block(root: Path, uri: str) -> None:
    with files.local_folder(uri) as folder:
        contents = {
            file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()
        }
    assert contents == {name: f"set/{name}" for name in ("a.json", "images/a.png", "images/more/b.png")}
    assert not folder.exists()


def test_a_remote_file_keeps_its_suffix(root: Path) -> None:
    with files.local_file("elsewhere://set/images/a.png") as file:
        assert file.name == "a.png"
        assert file.read_text() == "set/images/a.png"
    assert not file.exists()


def test_a_missing_folder_is_rejected(root: Path) -> None:
    with (
        pytest.raises(ConfigError, match="elsewhere://nowhere: expected a folder"),
        files.local_folder("elsewhere://nowhere"),
    ):
        pass


@pytest.mark.parametrize("folder", ["elsewhere://out/deep", "local"])
def test_files_are_written_atomically(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.gz").write_bytes(b"content")
    files.check_writable(folder)
    files.write_atomically(files.join(folder, "b.gz"), tmp_path / "new.gz")
    written = root / "out/deep" if "elsewhere" in folder else tmp_path / "local"
    assert [file.name for file in written.iterdir()] == ["b.gz"]
    assert (written / "b.gz").read_bytes() == b"content"
    (contents,) = files.list_files(files.join(folder, "*.gz"))
    assert contents.endswith("b.gz")


def test_an_unwritable_folder_is_rejected(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Elsewhere, "writable", False)
    with pytest.raises(ConfigError, match="elsewhere://out: expected a folder that can be written, got '403"):
        files.check_writable("elsewhere://out")
    with pytest.raises(ConfigError, match="/dev/null/out: expected a folder that can be written"):
        files.check_writable("/dev/null/out")


def test_an_unknown_scheme_is_rejected() -> None:
    with pytest.raises(ConfigError, match="nowhere://a: expected a local path or one of a scheme"):
        files.join("nowhere://a", "b")


def test_files_that_cannot_be_listed_are_rejected(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(self: Elsewhere, prefix: str) -> None:
        raise PermissionError("403 Forbidden")

    monkeypatch.setattr(Elsewhere, "_list", forbidden)
    with pytest.raises(ConfigError, match=r"expected files that can be listed, got .*403 Forbidden"):
        files.list_files("elsewhere://set/*")
