"""Output files: one GeoJSON FeatureCollection (RFC 7946)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from model.common.atomic import write_atomically
from pipeline import records
from pipeline.records import Airplane


def write_geojson(path: Path, airplanes: Iterable[Airplane]) -> None:
    """Write one FeatureCollection atomically; the bytes do not depend on the order of the airplanes.

    Args:
        path: file in an existing folder.
        airplanes: geometry in lon/lat degrees, counter-clockwise, 7 decimals.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, _geojson_lines(sorted(airplanes, key=records.sort_key)))


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
