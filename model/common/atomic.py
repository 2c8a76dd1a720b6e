"""Local files and folders that appear complete or not at all."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from geo.errors import FinderError, OutputError


def write_atomically(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Write a file; an error on the way leaves `path` as it was.

    Args:
        path: the file, in a folder that exists.
        content: bytes, or text that is written as UTF-8 with its line ends as they are; text may come in chunks.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_file(path) as partial:
        if isinstance(content, bytes):
            partial.write_bytes(content)
        else:
            with partial.open("x", encoding="utf-8", newline="") as file:
                file.writelines([content] if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` for the block to write to; the end of the block moves that file into place.

    Raises:
        OutputError: the file cannot be written.
    """
    partial = _partial(path)
    with _as_output_errors(path):
        try:
            yield partial
            # Without this a power cut can leave the new name on an empty file.
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder for the block to fill; the end of the block moves it to `path` in place of what was there.

    Raises:
        OutputError: the folder cannot be made or replaced.
    """
    path = path.resolve()
    new, old = _partial(path), _partial(path)
    with _as_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new.mkdir()
        try:
            yield new
            if path.exists():
                path.rename(old)
            new.rename(path)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            for folder in (new, old):
                shutil.rmtree(folder, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder and its parents where they are missing.

    Raises:
        OutputError: the folder cannot be made.
    """
    with _as_output_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def check_writable(path: Path) -> None:
    """Check that a file can be written, by writing another beside it; makes the folder where it is missing.

    Raises:
        OutputError: the file cannot be written.
    """
    with _as_output_errors(path):
        if path.is_dir():
            raise OutputError(f"{path}: expected the name of a file to write, got a folder: add a file name")
        partial = _partial(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch(exist_ok=False)
        partial.unlink()


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


@contextlib.contextmanager
def _as_output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FinderError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{path}: expected a writable path, got '{reason}': choose another folder or free space"
        ) from error
