"""Output files: GeoJSON (RFC 7946), and atomic writing with errors that name the path."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline import records
from pipeline.errors import OutputError
from pipeline.records import Airplane

GEOJSON_SUFFIX = ".geojson"


def write_geojson(path: Path, airplanes: Iterable[Airplane]) -> None:
    """Write one FeatureCollection atomically; the bytes do not depend on the order of the airplanes.

    Args:
        path: file in an existing folder.
        airplanes: geometry in lon/lat degrees, counter-clockwise, 7 decimals.

    Raises:
        OutputError: the file cannot be written.
    """
    write_output(path, _geojson_lines(sorted(airplanes, key=records.sort_key)))


def read_geojson(path: Path) -> list[Airplane]:
    """Read the airplanes of a file written by `write_geojson`, in file order."""
    collection = json.loads(path.read_text(encoding="utf-8"))
    return [records.from_feature(feature) for feature in collection["features"]]


def _geojson_lines(airplanes: Iterable[Airplane]) -> Iterator[str]:
    yield '{"type": "FeatureCollection", "features": ['
    separator = "\n"
    for airplane in airplanes:
        # One feature per line, so that two runs can be compared with diff.
        yield separator + json.dumps(records.to_feature(airplane), ensure_ascii=False, allow_nan=False)
        separator = ",\n"
    yield "\n]}\n"


def write_output(path: Path, chunks: Iterable[str]) -> None:
    """Write text to a temporary file next to `path`, then rename it; on an error `path` stays as it was.

    Args:
        path: file in an existing folder.
        chunks: pieces of the text.

    Raises:
        OutputError: the file cannot be written.
    """
    part = _temporary(path)
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


def check_writable(path: Path) -> None:
    """Create the parent folder of `path` if it is missing, and check that a file can be written in it.

    Raises:
        OutputError: it cannot.
    """
    if path.is_dir():
        raise OutputError(f"{path}: expected the name of a file to write, got a folder: add a file name")
    part = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents where they are missing.

    Raises:
        OutputError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"{path}: expected a writable path, got '{reason}': choose another folder or free space")
