"""From what was typed after `--input` to scenes. Looks at names only; opens no raster."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.errors import InputError
from pipeline.values import SceneSource

#: What counts as a scene in a folder, where nobody names the files one by one.
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".ntf", ".nitf")

LIST_SUFFIX = ".txt"


def scene_sources(patterns: Iterable[str]) -> tuple[SceneSource, ...]:
    """Returns the scenes that the patterns name, in the order of the patterns, each file once.

    Args:
        patterns: raster files, folders (their rasters, not those of sub-folders), globs (`**` for any depth) or `.txt`
            lists (one file, folder or glob a line, relative to the working directory; `#` starts a comment line).

    Returns:
        Scenes with paths as they were given, or under the folder or glob that was given. A file that is named twice,
        even by two spellings, comes once, by its first name.

    Raises:
        InputError: a pattern names nothing, or a file whose name is no UTF-8.
    """
    by_place: dict[str, str] = {}
    for pattern in patterns:
        for uri in _expand(pattern):
            check_text(uri)
            by_place.setdefault(os.path.realpath(uri), uri)
    if not by_place:
        raise InputError("expected at least one scene, got none: name a raster file, a folder, a glob or a .txt list")
    return tuple(SceneSource(uri) for uri in by_place.values())


def check_text(name: str) -> None:
    """Refuses a name that neither GeoJSON nor the ledger could hold: bytes that are no UTF-8, which Linux allows.

    Raises:
        InputError: it is one.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name!r}: expected a name in UTF-8, got other bytes: rename the file") from error


def _expand(pattern: str) -> Iterator[str]:
    path = Path(pattern)
    if path.suffix.lower() == LIST_SUFFIX and path.is_file():
        yield from _listed(path)
    else:
        yield from _files(pattern)


def _files(pattern: str) -> list[str]:
    if not pattern:
        # Path("") is the working directory; what a shell makes of a variable that is not set should not be.
        raise InputError(
            "--input: expected a raster file, a folder, a glob or a .txt list, got an empty word: name one"
        )
    if "://" in pattern:
        raise InputError(f"{pattern}: expected a local path, got an address: copy the scene to this machine first")
    path = Path(pattern)
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return [pattern]
    if glob.has_magic(pattern):
        return _matching(pattern)
    raise InputError(
        f"{pattern}: expected a raster file, a folder, a glob or a .txt list, got no such file: mend the path"
    )


def _in_folder(folder: Path) -> list[str]:
    found = sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in RASTER_SUFFIXES and path.is_file())
    if not found:
        suffixes = ", ".join(RASTER_SUFFIXES)
        raise InputError(f"{folder}: expected a folder with rasters ({suffixes}), got none: name the files by a glob")
    return found


def _matching(pattern: str) -> list[str]:
    # Path.glob takes no absolute patterns.
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    found = sorted(name for name in names if Path(name).is_file())
    if not found:
        raise InputError(f"{pattern}: expected a glob that matches files, got no match: mend the pattern, and quote it")
    return found


def _listed(path: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(path), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        try:
            yield from _files(entry)
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error


def _lines(path: Path) -> list[str]:
    try:
        # Editors on Windows put a byte order mark in front.
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: expected a list of scenes as UTF-8 text, got {error}: write one path a line"
        ) from error
