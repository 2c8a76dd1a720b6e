import errno
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from geo.errors import ConfigError, OutputError
from model.common.atomic import atomic_file, atomic_folder, check_writable, make_folder, write_atomically


def test_a_failed_write_leaves_the_old_file_or_none(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def chunks() -> Iterator[str]:
        yield "new"
        assert not path.exists() or path.read_text() == "old"
        raise OSError(28, "No space left on device")

    for before in (None, "old"):
        if before:
            path.write_text(before)
        with pytest.raises(OutputError, match=r"a\.txt: .*No space left on device"):
            write_atomically(path, chunks())
        assert (path.read_text() if path.exists() else None) == before
        assert [file.name for file in tmp_path.iterdir()] == (["a.txt"] if before else [])


@pytest.mark.parametrize(
    ("content", "expected"),
    [("ne\nw\u00e9", b"ne\nw\xc3\xa9"), (["ne", "w\r\n"], b"new\r\n"), (b"\xff\n", b"\xff\n"), ([], b"")],
)
def test_an_old_file_is_replaced(tmp_path: Path, content: str | bytes | list[str], expected: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a longer old text")
    write_atomically(path, content)
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", "a")
    (tmp_path / "b.txt").write_text("b")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")]
    assert modes[0] == modes[1]


def test_other_errors_of_the_block_pass_unchanged(tmp_path: Path) -> None:
    def fail(error: Exception) -> None:
        with atomic_file(tmp_path / "a.txt") as partial:
            partial.touch()
            raise error

    for error in (ConfigError("wrong"), KeyError("wrong")):
        with pytest.raises(type(error), match="wrong"):
            fail(error)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "a.geojson")
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    make_folder(tmp_path / "new" / "other" / "deep")
    assert (tmp_path / "new" / "other" / "deep").is_dir()


def test_an_unwritable_folder_is_rejected_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    unwritable = tmp_path / "file" / "a.geojson"
    message = r"a\.geojson: expected a writable path, got '.+': choose another"
    for attempt in (check_writable, make_folder, lambda path: write_atomically(path, "a")):
        with pytest.raises(OutputError, match=message):
            attempt(unwritable)
    with pytest.raises(OutputError, match=message), atomic_folder(unwritable):
        pytest.fail("nothing may be written")
    with pytest.raises(OutputError, match="folder: expected the name of a file to write, got a folder: add"):
        check_writable(tmp_path / "folder")


def test_an_old_folder_is_replaced(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / name).write_text(name)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "new"]


def test_an_old_folder_stays_when_the_block_fails(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "a.txt").write_text("first")
    with pytest.raises(UnicodeError), atomic_folder(tmp_path / "folder") as folder:
        (folder / "a.txt").write_text("sec\udc00nd", encoding="utf-8")
    assert (tmp_path / "folder" / "a.txt").read_text() == "first"
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "a.txt"]


@pytest.mark.parametrize("moves", [0, 1])
def test_an_old_folder_stays_when_it_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    real, calls = Path.rename, iter(range(9))

    def rename(self: Path, target: Path) -> Path:
        if next(calls) == moves:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return real(self, target)

    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OutputError, match=r"mounted.*busy"), atomic_folder(tmp_path / "mounted") as folder:
        (folder / "a.txt").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["mounted"]


def test_the_working_directory_can_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with atomic_folder(Path()) as folder:
        (folder / "a.txt").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "a.txt"]
