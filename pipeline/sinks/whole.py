"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import OutputError


def check_writable(path: Path) -> None:
    """Makes the folder of `path` where it is missing, and tries to write a file in it.

    Raises:
        OutputError: nothing can be written there.
    """
    if path.is_dir():
        raise OutputError(f"{path}: expected the name of a file to write, got a folder: add a file name")
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, where they are missing.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_atomically(path: Path, chunks: Iterable[str]) -> None:
    """Writes text beside `path` and then moves it into place; an error on the way leaves `path` as it was.

    Args:
        path: the file to write, in a folder that exists.
        chunks: the text, in pieces.

    Raises:
        OutputError: the file cannot be written.
    """
    part = _part(path)
    try:
        with part.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(chunks)
            file.flush()
            # Without this a power cut can leave the new name on an empty file.
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"{path}: expected a place that can be written, got '{reason}': name another folder or free it")
