"""Patterns given as `--input` to scenes. Opens STAC files and lists; rasters only for `--mosaic`, and only headers.

Imports little: an input that is missing is reported before rasterio and pystac are loaded.
"""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from geo.errors import InputError
from geo.raster.acquisition_time import time_in_name
from geo.raster.uri import (
    canonical_uri,
    check_no_credentials,
    is_remote,
    list_objects,
    read_text,
    redacted,
    resolve_href,
    serves_json,
    suffix,
)
from model.common.atomic import write_atomically
from pipeline.config import PipelineConfig
from pipeline.values import SceneSource

#: Files of a folder that are scenes.
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".ntf", ".nitf")
STAC_SUFFIXES = (".json", ".geojson")
LIST_SUFFIX = ".txt"
#: Schemes of URLs of rasters.
SCHEMES = ("https://", "http://", "gs://")

#: Longest part of an argument in an error.
_MAX_SHOWN = 80
#: Files beside a raster that belong to it.
_SIDECARS = (".aux.xml", ".ovr", ".msk")

_ALLOWED = "a raster file, a folder, a glob, a .txt list, a STAC file or a URL"


def has_stac_suffix(uri: str) -> bool:
    """Return whether a path or URL has the suffix of STAC files."""
    return suffix(uri) in STAC_SUFFIXES


def resolve_inputs(
    patterns: Iterable[str], asset: str | None = None, acquired_in_name: str | None = None
) -> tuple[SceneSource, ...]:
    """Return the scenes that the patterns name, in the order of the patterns, each file once.

    Args:
        patterns: raster files, STAC files (`.json` or `.geojson`), URLs of either, folders (their rasters and STAC
            files, not those of sub-folders), globs (`**` for any depth), the latter two local or `gs://`; or `.txt`
            lists, local or URLs (one of these per line; relative to the working directory, or to the URL's folder; `#`
            starts a comment line).
        asset: key of the asset to use of every STAC Item; None: see `stac.choose_asset`.
        acquired_in_name: see `with_acquisition_time`.

    Returns:
        Scenes with paths as given, or relative to the folder, glob or STAC file that was given. A file that is named
        more than once, by whatever spelling, comes once, by its first name, with the metadata of its first STAC Item.

    Raises:
        InputError: a pattern matches nothing, a STAC file cannot be read or has no Items, or a name is not UTF-8.
    """
    by_identity: dict[str, SceneSource] = {}
    for pattern in patterns:
        sources = _expand_readable(pattern, asset)
        for source in sources:
            try:
                check_utf8(source.uri)
                check_utf8(source.scene_id or "")
                check_no_credentials(source.uri)
            except InputError as error:
                if len(sources) == 1:
                    raise
                # One of several fails alone, under a name that the ledger can hold.
                name = redacted(source.uri).encode("utf-8", "backslashreplace").decode()
                source = SceneSource(name, error=str(error))
            key = canonical_uri(source.uri) if source.error is None else source.uri
            by_identity[key] = _merged(by_identity.get(key), source)
    if not by_identity:
        raise InputError(f"expected at least one scene, got none: name {_ALLOWED}")
    return tuple(with_acquisition_time(source, acquired_in_name) for source in by_identity.values())


def with_acquisition_time(source: SceneSource, acquired_in_name: str | None) -> SceneSource:
    """Return a scene with the acquisition time in its file name, if it has none yet.

    Args:
        source: the scene.
        acquired_in_name: regular expression of the settings; None: leave the scene as it is.
    """
    if source.acquired_at is not None or acquired_in_name is None:
        return source
    return dataclasses.replace(source, acquired_at=time_in_name(source.uri, acquired_in_name))


def write_mosaic(sources: Sequence[SceneSource], config: PipelineConfig, path: Path) -> SceneSource:
    """Write a VRT over all files, and return it as the one scene of the run (`--mosaic`).

    Its acquisition time is that of the files, if they all have the same.

    Raises:
        RasterError: a file cannot be read, or the files do not fit together.
        GeoreferenceError: a file has no georeference, or one that its STAC Item contradicts.
        OutputError: the VRT cannot be written.
    """
    from geo.raster.header import read_header
    from geo.raster.writer import mosaic_vrt
    from pipeline.sources.item_check import check_item_matches_raster

    for source in sources:
        if source.error is not None:
            raise InputError(source.error)
    headers = [read_header(source.uri, bands=config.bands or source.bands) for source in sources]
    for source, header in zip(sources, headers, strict=True):
        if header.georef is not None:
            check_item_matches_raster(source, header, header.georef)
    text = mosaic_vrt(headers)
    # The modification time is part of a scene's version: an unchanged mosaic must stay the same scene.
    if not path.is_file() or path.read_bytes() != text.encode():
        write_atomically(path, text)
    times = {source.acquired_at or header.acquired_at for source, header in zip(sources, headers, strict=True)}
    return SceneSource(
        str(path), acquired_at=times.pop() if len(times) == 1 else None, bands=headers[0].radiometry.bands
    )


def check_utf8(name: str) -> None:
    """Refuse a name with bytes that are not UTF-8, which Linux allows, but neither GeoJSON nor the ledger can hold.

    Raises:
        InputError: it has.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name!r}: expected a name in UTF-8, got other bytes: rename it") from error
    if "\0" in name:
        raise InputError(f"{name!r}: expected a name of a file, got one with a zero byte: correct it")


def _merged(first: SceneSource | None, again: SceneSource) -> SceneSource:
    """Return a scene that is named again: with its first name, and the metadata of the first that has any."""
    if first is None:
        return again
    return dataclasses.replace(again, uri=first.uri) if first == SceneSource(first.uri) else first


def _expand_readable(pattern: str, asset: str | None) -> list[SceneSource]:
    """Return the scenes of a pattern; what the file system refuses (no right to read, a long name) is an InputError."""
    try:
        return list(_expand(pattern, asset))
    except OSError as error:
        shown = pattern if len(pattern) <= 2 * _MAX_SHOWN else f"{pattern[:_MAX_SHOWN]}..."
        raise InputError(f"{shown}: expected {_ALLOWED}, got '{error.strerror}': fix the path or the right") from error


def _expand(pattern: str, asset: str | None) -> Iterator[SceneSource]:
    is_list = suffix(pattern) == LIST_SUFFIX and (pattern.startswith(SCHEMES) or Path(pattern).is_file())
    if not is_list:
        yield from _expand_entry(pattern, asset)
        return
    text, base = read_text(pattern)
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        if is_remote(base) and not is_remote(line):
            line = f"{base.rpartition('/')[0]}/{line}"
        try:
            yield from _expand_entry(line, asset)
        except InputError as error:
            raise InputError(f"{pattern}, line {number}: {error}") from error


def _expand_entry(pattern: str, asset: str | None) -> list[SceneSource]:
    """Return the scenes of a pattern that is not a list."""
    if not pattern:
        # Path("") is the working directory, but an empty argument is more likely an unset shell variable.
        raise InputError(f"--input: expected {_ALLOWED}, got an empty argument: name one")
    if pattern.startswith("file://"):
        pattern = resolve_href(pattern, "")
    if is_remote(pattern):
        return _from_url(pattern, asset)
    path = Path(pattern)
    if path.is_dir():
        return _from_folder(pattern, [str(file) for file in path.iterdir() if _is_file(file)], asset)
    if path.is_file():
        return _from_file(pattern, asset)
    if path.exists():
        raise InputError(f"{pattern}: expected {_ALLOWED}, got a pipe or a device: write it to a file first")
    if glob.has_magic(pattern):
        return _from_glob(pattern, asset)
    raise InputError(f"{pattern}: expected {_ALLOWED}, got no such file: fix the path")


def _is_file(path: Path) -> bool:
    """Return whether there is a file, or a link whose target is gone: that is a scene which cannot be read."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _from_url(url: str, asset: str | None) -> list[SceneSource]:
    check_no_credentials(url)
    if not url.startswith(SCHEMES):
        raise InputError(
            f"{url}: expected a URL of {', '.join(SCHEMES)}, got another scheme: copy the scene to this machine first"
        )
    if url.startswith("gs://"):
        return _from_bucket(url, asset)
    if "*" in url:
        raise InputError(f"{url}: expected the URL of one file, got a pattern: name each file, e.g. in a .txt list")
    return _from_file(url, asset)


def _from_bucket(uri: str, asset: str | None) -> list[SceneSource]:
    """Return the scenes of an object, or of a glob or a folder of objects."""
    if "*" in uri or "?" in uri:
        return _from_glob(uri, asset)
    folder = uri.rstrip("/")
    # An object's name may end in anything, but names without a suffix are mostly meant as folders.
    if uri.endswith("/") or folder.count("/") == 2 or not suffix(uri):
        names = list_objects(f"{folder}/*")
        if names or uri != folder:
            return _from_folder(folder, names, asset)
    return _from_file(uri, asset)


def _from_file(uri: str, asset: str | None) -> list[SceneSource]:
    """Return the scenes of a file or URL that was named itself: JSON that is not STAC is an error."""
    # The address of an Item in a STAC API has no suffix: its server says what it is.
    if not has_stac_suffix(uri) and (suffix(uri) in RASTER_SUFFIXES or not serves_json(uri)):
        return [SceneSource(uri)]
    scenes = _stac_scenes(uri, asset)
    if scenes is None:
        raise InputError(
            f"{uri}: expected a STAC file, got JSON without a stac_version: name the raster, or another file"
        )
    if not scenes:
        raise InputError(f"{uri}: expected STAC with items, got none: name another file")
    return scenes


def _stac_scenes(uri: str, asset: str | None) -> list[SceneSource] | None:
    from pipeline.sources.stac import stac_scenes  # loads pystac, which few runs need

    return stac_scenes(uri, asset)


def _from_folder(folder: str, files: Iterable[str], asset: str | None) -> list[SceneSource]:
    suffixes = (*RASTER_SUFFIXES, *STAC_SUFFIXES)
    scenes = _from_files([file for file in files if suffix(file) in suffixes], asset)
    if not scenes:
        raise InputError(
            f"{folder}: expected a folder with rasters ({', '.join(RASTER_SUFFIXES)}) or STAC files with items, "
            "got none: name the files with a glob"
        )
    return scenes


def _from_glob(pattern: str, asset: str | None) -> list[SceneSource]:
    if is_remote(pattern):
        names = [name for name in list_objects(pattern) if not name.endswith("/")]  # placeholders of empty folders
    else:
        # Path.glob does not accept absolute patterns.
        names = [name for name in glob.glob(pattern, recursive=True) if _is_file(Path(name))]  # noqa: PTH207
    scenes = _from_files(names, asset)
    if not scenes:
        raise InputError(
            f"{pattern}: expected a glob that matches rasters or STAC files with items, got no match: "
            "fix the pattern, and quote it"
        )
    return scenes


def _from_files(names: Iterable[str], asset: str | None) -> list[SceneSource]:
    """Return the scenes of the files of a folder or glob: JSON that is not STAC is skipped, e.g. GeoJSON of labels."""
    scenes = []
    for name in sorted(names):
        if Path(name).name.startswith("._") or name.lower().endswith(_SIDECARS):
            continue
        if has_stac_suffix(name):
            from pipeline.sources.stac import stac_scenes_in_folder  # loads pystac, which few runs need

            scenes += stac_scenes_in_folder(name, asset)
        else:
            scenes.append(SceneSource(name))
    return scenes
