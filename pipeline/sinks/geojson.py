"""One GeoJSON FeatureCollection (RFC 7946)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from model.common.atomic import write_atomically
from pipeline import records
from pipeline.records import Airplane

SUFFIX = ".geojson"


def write_geojson(path: Path, airplanes: Iterable[Airplane]) -> None:
    """Writes one FeatureCollection, whole or not at all: the same airplanes give the same bytes in any order.

    Args:
        path: the file to write, in a folder that exists.
        airplanes: geometry in lon/lat degrees, counter-clockwise, 7 decimals.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, _chunks(sorted(airplanes, key=records.order)))


def read_geojson(path: Path) -> list[Airplane]:
    """Reads the airplanes that `write_geojson` has written, in their order."""
    collection = json.loads(path.read_text(encoding="utf-8"))
    return [records.from_feature(feature) for feature in collection["features"]]


def _chunks(airplanes: Iterable[Airplane]) -> Iterator[str]:
    yield '{"type": "FeatureCollection", "features": ['
    separator = "\n"
    for airplane in airplanes:
        # One feature a line: a difference between two runs can be read.
        yield separator + json.dumps(records.to_feature(airplane), ensure_ascii=False, allow_nan=False)
        separator = ",\n"
    yield "\n]}\n"
