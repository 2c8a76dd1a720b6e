"""From what was typed after `--input` to scenes. Opens STAC files and lists, but no raster."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from geo.raster.acquisition_time import time_in_name
from geo.raster.uri import canonical_uri, check_no_credentials, is_remote
from pipeline.errors import InputError
from pipeline.sources import stac
from pipeline.values import SceneSource

#: What counts as a scene in a folder, where nobody names the files one by one.
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".ntf", ".nitf")

LIST_SUFFIX = ".txt"

#: Addresses of rasters.
SCHEMES = ("https://", "http://", "gs://")

_KNOWN = "a raster file, a folder, a glob, a .txt list, a STAC file or an address"


def scene_sources(
    patterns: Iterable[str], asset: str | None = None, acquired_in_name: str | None = None
) -> tuple[SceneSource, ...]:
    """Returns the scenes that the patterns name, in the order of the patterns, each file once.

    Args:
        patterns: raster files, STAC files (`.json` or `.geojson`), addresses of either, folders (their rasters and
            STAC files, not those of sub-folders), globs (`**` for any depth) or local `.txt` lists (one of these a
            line, relative to the working directory; `#` starts a comment line).
        asset: which asset of a STAC item to look at, by its key; None: as `stac_item.choose_asset` does.
        acquired_in_name: as for `dated`.

    Returns:
        Scenes with paths as they were given, or under the folder, glob or STAC file that was given. A file that is
        named twice, even by two spellings, comes once, by its first name, with what the first STAC item tells of it.

    Raises:
        InputError: a pattern names nothing, a STAC file cannot be read or leads to nothing, or a name is no UTF-8.
    """
    by_place: dict[str, SceneSource] = {}
    for pattern in patterns:
        for source in _expand(pattern, asset):
            check_text(source.uri)
            check_text(source.scene_id or "")
            check_no_credentials(source.uri)
            place = canonical_uri(source.uri)
            by_place[place] = _told(by_place.get(place), source)
    if not by_place:
        raise InputError(f"expected at least one scene, got none: name {_KNOWN}")
    return tuple(dated(source, acquired_in_name) for source in by_place.values())


def dated(source: SceneSource, acquired_in_name: str | None) -> SceneSource:
    """Returns a scene with the time that the name of its file tells, by the rule in the settings, if nothing else does.

    The names of Items are not looked at: they are not those of what is looked at.
    """
    if source.acquired_at is not None or acquired_in_name is None:
        return source
    return dataclasses.replace(source, acquired_at=time_in_name(source.uri, acquired_in_name))


def _told(first: SceneSource | None, again: SceneSource) -> SceneSource:
    """A scene that is named again: by its first name, with what the first that tells anything tells."""
    if first is None:
        return again
    return dataclasses.replace(again, uri=first.uri) if first == SceneSource(first.uri) else first


def check_text(name: str) -> None:
    """Refuses a name that neither GeoJSON nor the ledger could hold: bytes that are no UTF-8, which Linux allows.

    Raises:
        InputError: it is one.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name!r}: expected a name in UTF-8, got other bytes: rename it") from error


def _expand(pattern: str, asset: str | None) -> Iterator[SceneSource]:
    path = Path(pattern)
    if path.suffix.lower() == LIST_SUFFIX and path.is_file():
        yield from _listed(path, asset)
    else:
        yield from _scenes(pattern, asset)


def _scenes(pattern: str, asset: str | None) -> list[SceneSource]:
    if not pattern:
        # Path("") is the working directory; what a shell makes of a variable that is not set should not be.
        raise InputError(f"--input: expected {_KNOWN}, got an empty word: name one")
    if is_remote(pattern):
        return _behind(pattern, asset)
    path = Path(pattern)
    if path.is_dir():
        return _in_folder(path, asset)
    if path.exists():
        return _named(pattern, asset)
    if glob.has_magic(pattern):
        return _matching(pattern, asset)
    raise InputError(f"{pattern}: expected {_KNOWN}, got no such file: mend the path")


def _behind(address: str, asset: str | None) -> list[SceneSource]:
    check_no_credentials(address)
    if not address.startswith(SCHEMES):
        raise InputError(
            f"{address}: expected an address of {', '.join(SCHEMES)}, got another: copy the scene to this machine first"
        )
    if "*" in address:
        raise InputError(f"{address}: expected the address of one file, got a pattern: name each, e.g. in a .txt list")
    return _named(address, asset)


def _named(place: str, asset: str | None) -> list[SceneSource]:
    """What was named by itself: there is something to look at in it, or it is refused."""
    if not stac.has_suffix(place):
        return [SceneSource(place)]
    scenes = stac.stac_scenes(place, asset)
    if scenes is None:
        raise InputError(
            f"{place}: expected a STAC file, got JSON without a stac_version: name the raster, or another file"
        )
    if not scenes:
        raise InputError(f"{place}: expected STAC with items, got none: name another file")
    return scenes


def _among(names: Iterable[str], asset: str | None) -> list[SceneSource]:
    """What lies among other files: JSON that is no STAC is none of our business, such as GeoJSON beside a scene."""
    return [
        scene
        for name in names
        for scene in ((stac.stac_scenes(name, asset) or []) if stac.has_suffix(name) else [SceneSource(name)])
    ]


def _in_folder(folder: Path, asset: str | None) -> list[SceneSource]:
    suffixes = (*RASTER_SUFFIXES, *stac.SUFFIXES)
    files = sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    scenes = _among(files, asset)
    if not scenes:
        raise InputError(
            f"{folder}: expected a folder with rasters ({', '.join(RASTER_SUFFIXES)}) or STAC files with items, "
            "got none: name the files by a glob"
        )
    return scenes


def _matching(pattern: str, asset: str | None) -> list[SceneSource]:
    # Path.glob takes no absolute patterns.
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    scenes = _among(sorted(name for name in names if Path(name).is_file()), asset)
    if not scenes:
        raise InputError(
            f"{pattern}: expected a glob that matches rasters or STAC files with items, got no match: "
            "mend the pattern, and quote it"
        )
    return scenes


def _listed(path: Path, asset: str | None) -> Iterator[SceneSource]:
    for number, line in enumerate(_lines(path), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        try:
            yield from _scenes(entry, asset)
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error


def _lines(path: Path) -> list[str]:
    try:
        # Editors on Windows put a byte order mark in front.
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: expected a list of scenes as UTF-8 text, got {error}: write one path or address a line"
        ) from error
