"""Checks of output files against the published rules of their formats, written from the rules and not from our code."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet
import pyproj.datadir


def geojson_faults(collection: dict[str, Any]) -> list[str]:
    """List what breaks RFC 7946 in a FeatureCollection; the numbers are those of its sections."""
    faults = [] if collection.get("type") == "FeatureCollection" else ["3.3: type is not FeatureCollection"]
    if "crs" in collection:
        faults.append("4: a crs member")
    if not isinstance(collection.get("features"), list):
        return [*faults, "3.3: features is not an array"]
    for feature in collection["features"]:
        faults += feature_faults(feature)
    return faults


def feature_faults(feature: dict[str, Any]) -> list[str]:
    """List what breaks RFC 7946 in a Feature with a polygon."""
    faults = [] if feature.get("type") == "Feature" else ["3.2: type is not Feature"]
    faults += [f"3.2: no member {name}" for name in ("geometry", "properties") if name not in feature]
    if not isinstance(feature.get("id", ""), str | int | float):
        faults.append("3.2: id is neither text nor a number")
    if {"coordinates", "geometries", "features", "crs"} & feature.keys():
        faults.append("7.1: members that another type defines")
    geometry = feature.get("geometry") or {}
    if set(geometry) != {"type", "coordinates"}:
        return [*faults, "3.1: geometry needs type and coordinates"]
    return [*faults, *_geometry_faults(geometry)]


def _geometry_faults(geometry: dict[str, Any]) -> Iterator[str]:
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        yield f"3.1.4: unknown type {geometry['type']}"
        return
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    for polygon in polygons:
        for number, ring in enumerate(polygon):
            yield from _ring_faults(ring, exterior=number == 0)


def _ring_faults(ring: list[list[float]], exterior: bool) -> Iterator[str]:
    if len(ring) < 4:
        yield "3.1.6: a ring of fewer than four positions"
    if ring[0] != ring[-1]:
        yield "3.1.6: a ring that is not closed"
    if any(len(position) not in (2, 3) for position in ring):
        yield "3.1.1: a position of neither two nor three numbers"
    if any(not (-180 <= lon <= 180 and -90 <= lat <= 90) for lon, lat, *_ in ring):
        yield "4: longitude and latitude out of range, or in another order"
    if max(lon for lon, *_ in ring) - min(lon for lon, *_ in ring) > 180:
        yield "3.1.9: crosses the antimeridian without being cut"
    # The shoelace formula: twice the area, positive if counter-clockwise.
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring))
    if (area > 0) != exterior:
        yield "3.1.6: a ring that does not follow the right-hand rule"


_POSITION = {"type": "array", "items": {"type": "number"}}
_GEOMETRY_TYPES = "(GeometryCollection|(Multi)?(Point|LineString|Polygon))"
_ENCODINGS = ["WKB", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"]
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_COLUMN = {
    "type": "object",
    "required": ["encoding", "geometry_types"],
    "additionalProperties": False,
    "properties": {
        "encoding": {"enum": _ENCODINGS},
        "geometry_types": {
            "type": "array",
            "uniqueItems": True,
            "items": {"type": "string", "pattern": f"^{_GEOMETRY_TYPES}( Z)?$"},
        },
        # The specification allows null, for a CRS that is not known; ours is.
        "crs": {"type": "object"},
        "edges": {"enum": ["planar", "spherical"]},
        "orientation": {"const": "counterclockwise"},
        "bbox": {"anyOf": [{**_POSITION, "minItems": length, "maxItems": length} for length in (4, 6)]},
        "epoch": {"type": "number"},
        "covering": {
            "type": "object",
            "required": ["bbox"],
            "properties": {
                "bbox": {
                    "type": "object",
                    "required": list(_SIDES),
                    "properties": {
                        side: {
                            "type": "array",
                            "items": [{"type": "string"}, {"const": side}],
                            "minItems": 2,
                            "maxItems": 2,
                        }
                        for side in _SIDES
                    },
                }
            },
        },
    },
}
#: The rules of GeoParquet 1.1.0 for the metadata under the key `geo`.
GEOPARQUET_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "required": ["version", "primary_column", "columns"],
    "properties": {
        "version": {"const": "1.1.0"},
        "primary_column": {"type": "string", "minLength": 1},
        "columns": {"type": "object", "minProperties": 1, "additionalProperties": _COLUMN},
    },
}


def geoparquet_faults(path: Path) -> list[str]:
    """List what breaks the rules of GeoParquet 1.1.0 or of PROJJSON, or contradicts the columns of the file."""
    file = pyarrow.parquet.ParquetFile(path)
    metadata = file.schema_arrow.metadata or {}
    if b"geo" not in metadata:
        return ["no key geo"]
    geo = json.loads(metadata[b"geo"])
    faults = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in jsonschema.Draft7Validator(GEOPARQUET_SCHEMA).iter_errors(geo)
    ]
    if faults:
        return faults
    if geo["primary_column"] not in geo["columns"]:
        faults.append("the primary column is not described")
    projjson = json.loads((Path(pyproj.datadir.get_data_dir()) / "projjson.schema.json").read_text())
    for name, column in geo["columns"].items():
        if "crs" in column:
            errors = jsonschema.Draft7Validator(projjson).iter_errors(column["crs"])
            faults += [f"{name}: crs: {error.message}" for error in errors]
        faults += [f"{name}: {fault}" for fault in _type_faults(name, column, file.schema_arrow)]
    return faults


def _type_faults(name: str, column: dict[str, Any], schema: Any) -> Iterator[str]:
    if name not in schema.names:
        yield "no such column"
    elif column["encoding"] == "WKB" and str(schema.field(name).type) not in ("binary", "large_binary"):
        yield f"WKB in a column of type {schema.field(name).type}"
    for parent, child in column.get("covering", {}).get("bbox", {}).values():
        types = {field.name: str(field.type) for field in schema.field(parent).type}
        if types.get(child) not in ("double", "float"):
            yield f"{parent}.{child} of type {types.get(child)}"
