"""One airplane: the fields that every sink writes, defined once.

The order of the fields is their order in every output. Types are `str`, `float`, `Timestamp`, or one of them with
`None`; `geometry` is a shapely Polygon or MultiPolygon in lon/lat degrees (OGC:CRS84).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from shapely.geometry import MultiPolygon, Polygon, shape

from geo.polygons import geojson_mapping

if TYPE_CHECKING:
    import geopandas

#: RFC 3339, UTC.
Timestamp: TypeAlias = str

CRS = "OGC:CRS84"
ID_LENGTH = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Airplane:
    """One airplane on the map.

    Attributes:
        geometry: outline on the ground, lon/lat degrees (OGC:CRS84), counter-clockwise, closed, 7 decimals; a
            MultiPolygon where it crosses the antimeridian. What it is, `outline` says.
        detection_id: stable for the same box, scene, model and settings.
        scene_id: the STAC Item's id, or else a fingerprint of the scene.
        scene_uri: URI of the scene, as given.
        acquired_at: acquisition time, RFC 3339 UTC, or None if unknown.
        score: 0..1, calibrated.
        xmin_px: left side of the axis-aligned box, scene pixels, corner origin.
        ymin_px: upper side.
        xmax_px: right side.
        ymax_px: lower side.
        size_m: longer side of that box on the ground, metres.
        length_m: nose to tail, metres, or None if not measured.
        length_sd_m: its expected error: two thirds of the errors are smaller.
        wingspan_m: tip to tip, metres, or None if not measured.
        wingspan_sd_m: its expected error.
        heading_deg: direction of the nose, clockwise from true north, 0 <= heading < 360, or None if not measured, or
            if nose and tail cannot be told apart.
        heading_sd_deg: its expected error.
        outline: "oriented": the geometry is the rectangle around nose, tail and wingtips, turned with the airplane;
            "upright": it is the axis-aligned box, since the airplane was not measured.
        nose_x_px: column of the nose, scene pixels, corner origin, or None if not measured. Where the heading alone is
            None, nose and tail may be exchanged, and the wingtips with them.
        nose_y_px: row of the nose.
        tail_x_px: column of the tail's end.
        tail_y_px: row of it.
        left_wingtip_x_px: column of the left wingtip, as the pilot sees it.
        left_wingtip_y_px: row of it.
        right_wingtip_x_px: column of the right wingtip.
        right_wingtip_y_px: row of it.
        resolution_m: ground resolution of the level of its detection, metres per pixel.
        model: name@first 12 of the weights' sha256.
    """

    geometry: Polygon | MultiPolygon
    detection_id: str
    scene_id: str
    scene_uri: str
    acquired_at: Timestamp | None
    score: float
    xmin_px: float
    ymin_px: float
    xmax_px: float
    ymax_px: float
    size_m: float
    length_m: float | None
    length_sd_m: float | None
    wingspan_m: float | None
    wingspan_sd_m: float | None
    heading_deg: float | None
    heading_sd_deg: float | None
    outline: str
    nose_x_px: float | None
    nose_y_px: float | None
    tail_x_px: float | None
    tail_y_px: float | None
    left_wingtip_x_px: float | None
    left_wingtip_y_px: float | None
    right_wingtip_x_px: float | None
    right_wingtip_y_px: float | None
    resolution_m: float
    model: str


#: Names of the fields other than the geometry, in order.
PROPERTIES: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Airplane) if field.name != "geometry")

#: Type of each property as annotated in the class: "str", "float", "float | None" or "Timestamp | None".
SCHEMA: Mapping[str, str] = {name: str(Airplane.__annotations__[name]) for name in PROPERTIES}


def properties(airplane: Airplane) -> dict[str, str | float | None]:
    """Return the fields other than the geometry, by name, in order."""
    return {name: getattr(airplane, name) for name in PROPERTIES}


def to_feature(airplane: Airplane) -> dict[str, Any]:
    """Return the airplane as a GeoJSON Feature (RFC 7946), ready for `json.dumps`."""
    return {
        "type": "Feature",
        "id": airplane.detection_id,
        "geometry": geojson_mapping(airplane.geometry),
        "properties": properties(airplane),
    }


def from_feature(feature: Mapping[str, Any]) -> Airplane:
    """Return the airplane of a Feature; the inverse of `to_feature`."""
    return Airplane(geometry=shape(feature["geometry"]), **feature["properties"])


def to_frame(airplanes: Sequence[Airplane]) -> geopandas.GeoDataFrame:
    """Return a GeoDataFrame with one row per airplane and one column per field, in order; CRS OGC:CRS84.

    Text columns have the pandas type `str`, number columns float64; unknown values are missing. An empty sequence
    gives the same columns and types without rows.
    """
    import geopandas

    columns = {name: [getattr(airplane, name) for airplane in airplanes] for name in ("geometry", *PROPERTIES)}
    types = {name: "float64" if kind.startswith("float") else "str" for name, kind in SCHEMA.items()}
    return geopandas.GeoDataFrame(columns, geometry="geometry", crs=CRS).astype(types)


def from_frame(frame: geopandas.GeoDataFrame) -> list[Airplane]:
    """Return the airplanes of a frame with the columns of `to_frame`, among others, in any order; row by row.

    Files that promote all geometries to MultiPolygons are read back, too: one of a single part is a Polygon.
    """
    columns = [[_simplified(geometry) for geometry in frame.geometry]]
    for name in PROPERTIES:
        # Missing values are NaN or None, by the type of the column.
        missing = frame[name].isna()
        values = frame[name].astype(object).where(~missing, None)
        columns.append(values.tolist())
    return [Airplane(*row) for row in zip(*columns, strict=True)]


def _simplified(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    return geometry.geoms[0] if isinstance(geometry, MultiPolygon) and len(geometry.geoms) == 1 else geometry


def sort_key(airplane: Airplane) -> tuple[str, float, float, float, float, float]:
    """Return the sort key of every output: by scene, then highest score first, ties by position."""
    return (
        airplane.scene_uri,
        -airplane.score,
        airplane.xmin_px,
        airplane.ymin_px,
        airplane.xmax_px,
        airplane.ymax_px,
    )


def detection_id(scene_id: str, model: str, settings_id: str, box: Sequence[float]) -> str:
    """Return the id of a detection: a hash of scene, model, settings and box.

    Args:
        scene_id: fingerprint of the scene.
        model: name of the model with the hash of its weights.
        settings_id: fingerprint of the settings that affect the result.
        box: xmin, ymin, xmax, ymax in scene pixels, already rounded to 0.01.
    """
    # Two decimals as text: the id does not depend on how a float is printed.
    text = json.dumps([scene_id, model, settings_id, [f"{side:.2f}" for side in box]])
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]
