"""GeoJSON (RFC 7946): a FeatureCollection, or one Feature a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import shapely

from pipeline import records
from pipeline.records import Airplane

SUFFIX = ".geojson"
LINES_SUFFIX = ".geojsonl"

# Airplanes that are converted to text at once.
_CHUNK_SIZE = 10_000


class FeatureText(NamedTuple):
    """Geometry and properties of an airplane as JSON text."""

    geometry: str
    properties: str


def features(airplanes: Sequence[Airplane]) -> Iterator[FeatureText]:
    """Yield geometry and properties of each airplane, as JSON."""
    for start in range(0, len(airplanes), _CHUNK_SIZE):
        chunk = airplanes[start : start + _CHUNK_SIZE]
        # One call for many geometries is several times as fast as json.dumps of each.
        geometries = shapely.to_geojson([airplane.geometry for airplane in chunk])
        for airplane, geometry in zip(chunk, geometries, strict=True):
            fields = json.dumps(records.properties(airplane), ensure_ascii=False, allow_nan=False)
            yield FeatureText(str(geometry), fields)


def feature_lines(airplanes: Sequence[Airplane]) -> Iterator[str]:
    """Yield each airplane as a Feature on one line, without a line end."""
    for airplane, text in zip(airplanes, features(airplanes), strict=True):
        number = json.dumps(airplane.detection_id, ensure_ascii=False)
        yield f'{{"type": "Feature", "id": {number}, "geometry": {text.geometry}, "properties": {text.properties}}}'


def write_collection(path: Path, airplanes: Sequence[Airplane]) -> None:
    """Write a FeatureCollection with one feature a line, so that two runs can be compared with diff."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"
        for line in feature_lines(airplanes):
            file.write(separator + line)
            separator = ",\n"
        file.write("\n]}\n")


def read_collection(path: Path) -> list[Airplane]:
    """Return the airplanes of a file written by `write_collection`, in file order."""
    collection = json.loads(path.read_text(encoding="utf-8"))
    return [records.from_feature(feature) for feature in collection["features"]]


def write_lines(path: Path, airplanes: Sequence[Airplane]) -> None:
    """Write one Feature a line."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in feature_lines(airplanes))


def read_lines(path: Path) -> list[Airplane]:
    """Return the airplanes of a file written by `write_lines`, in file order."""
    # Not str.splitlines: a line end of Unicode may be part of a name.
    with path.open(encoding="utf-8", newline="\n") as file:
        return [records.from_feature(json.loads(line)) for line in file]
