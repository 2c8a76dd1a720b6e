"""One airplane: the fields that every sink writes, defined once.

The order of the fields is the order in every output. Types are those of the fields: `str`, `float`, or
either with `None`; `geometry` is a shapely Polygon or MultiPolygon in lon/lat degrees (OGC:CRS84).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from shapely.geometry import MultiPolygon, Polygon, shape

from geo.polygons import geojson_mapping

ID_LENGTH = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Airplane:
    """One airplane on the map.

    Attributes:
        geometry: outline box on the ground, lon/lat degrees (OGC:CRS84), counter-clockwise, closed, 7 decimals;
            a MultiPolygon where it crosses the antimeridian.
        detection_id: the same for the same box in the same scene with the same model and settings.
        scene_id: the STAC item's id, or else a fingerprint of the scene.
        scene_uri: where the scene was read from, as it was given.
        acquired_at: RFC 3339 UTC, or None where nothing tells.
        score: 0..1.
        xmin_px: left side of the upright box, source pixels, corner origin.
        ymin_px: upper side.
        xmax_px: right side.
        ymax_px: lower side.
        size_m: the longer side of that box on the ground, metres.
        length_m: nose to tail, metres, or None where it was not measured.
        wingspan_m: tip to tip, metres, or None where it was not measured.
        heading_deg: of the nose, clockwise from true north, or None where it was not measured.
        resolution_m: ground resolution at which it was seen, metres per pixel.
        model: name@first 12 of the weights' sha256.
    """

    geometry: Polygon | MultiPolygon
    detection_id: str
    scene_id: str
    scene_uri: str
    acquired_at: str | None
    score: float
    xmin_px: float
    ymin_px: float
    xmax_px: float
    ymax_px: float
    size_m: float
    length_m: float | None
    wingspan_m: float | None
    heading_deg: float | None
    resolution_m: float
    model: str


#: Names of the fields beside the geometry, in order.
PROPERTIES: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Airplane) if field.name != "geometry")

#: Type of each property as it is written in the class: "str", "float", "str | None" or "float | None".
SCHEMA: Mapping[str, str] = {name: str(Airplane.__annotations__[name]) for name in PROPERTIES}


def properties(airplane: Airplane) -> dict[str, str | float | None]:
    """Returns everything but the geometry, by name, in order."""
    return {name: getattr(airplane, name) for name in PROPERTIES}


def to_feature(airplane: Airplane) -> dict[str, Any]:
    """Returns the airplane as a GeoJSON Feature (RFC 7946), ready for `json.dumps`."""
    return {
        "type": "Feature",
        "id": airplane.detection_id,
        "geometry": geojson_mapping(airplane.geometry),
        "properties": properties(airplane),
    }


def from_feature(feature: Mapping[str, Any]) -> Airplane:
    """Returns the airplane that `to_feature` wrote; the two are each other's inverse."""
    return Airplane(geometry=shape(feature["geometry"]), **feature["properties"])


def order(airplane: Airplane) -> tuple[str, float, float, float, float, float]:
    """Sort key of every output: by scene, the surest first, ties by position."""
    return (
        airplane.scene_uri,
        -airplane.score,
        airplane.xmin_px,
        airplane.ymin_px,
        airplane.xmax_px,
        airplane.ymax_px,
    )


def detection_id(scene_id: str, model: str, settings_id: str, box: Sequence[float]) -> str:
    """Returns the id of a box: a hash of the scene, the model, the settings and the box.

    Args:
        scene_id: fingerprint of the scene.
        model: name of the model with its weights' hash.
        settings_id: fingerprint of the settings that shape the result.
        box: xmin, ymin, xmax, ymax in scene pixels, already rounded to 0.01.
    """
    # Two decimals as text: the id does not hang on how a float is printed.
    text = json.dumps([scene_id, model, settings_id, [f"{side:.2f}" for side in box]])
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]
