"""Checks of output files against the published rules of their formats, written from the rules and not from our code."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet


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


def geoparquet_faults(path: Path) -> list[str]:
    """List what breaks the JSON schema of GeoParquet 1.1.0, or contradicts the columns of the file."""
    file = pyarrow.parquet.ParquetFile(path)
    metadata = file.schema_arrow.metadata or {}
    if b"geo" not in metadata:
        return ["no key geo"]
    geo = json.loads(metadata[b"geo"])
    faults = [f"no {name}" for name in ("version", "primary_column", "columns") if name not in geo]
    if faults:
        return faults
    if geo["version"] != "1.1.0":
        faults.append(f"version {geo['version']}")
    if geo["primary_column"] not in geo["columns"]:
        faults.append("the primary column is not described")
    for name, column in geo["columns"].items():
        faults += [f"{name}: {fault}" for fault in _column_faults(column)]
        faults += [f"{name}: {fault}" for fault in _type_faults(name, column, file.schema_arrow)]
    return faults


_GEOMETRY_TYPES = ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")


def _column_faults(column: dict[str, Any]) -> Iterator[str]:
    known = {"encoding", "geometry_types", "crs", "edges", "orientation", "bbox", "epoch", "covering"}
    if unknown := column.keys() - known:
        yield f"unknown keys {unknown}"
    if column.get("encoding") not in ("WKB", *(kind.lower() for kind in _GEOMETRY_TYPES)):
        yield f"encoding {column.get('encoding')}"
    types = column.get("geometry_types")
    if not isinstance(types, list) or len(set(types)) != len(types):
        yield "geometry_types is not a list of different types"
    elif not set(types) <= {f"{kind}{z}" for kind in (*_GEOMETRY_TYPES, "GeometryCollection") for z in ("", " Z")}:
        yield f"geometry_types {types}"
    if column.get("edges", "planar") not in ("planar", "spherical"):
        yield f"edges {column['edges']}"
    if column.get("orientation", "counterclockwise") != "counterclockwise":
        yield f"orientation {column['orientation']}"
    if "bbox" in column and (
        len(column["bbox"]) not in (4, 6) or not all(isinstance(x, float) for x in column["bbox"])
    ):
        yield f"bbox {column['bbox']}"
    crs = column.get("crs")
    if crs is not None and not {"type", "name"} <= crs.keys():
        yield "crs is not PROJJSON"
    if crs is None and "crs" in column:
        yield "crs is null: undefined, not longitude and latitude"


def _type_faults(name: str, column: dict[str, Any], schema: Any) -> Iterator[str]:
    if name not in schema.names:
        yield "no such column"
    elif column.get("encoding") == "WKB" and str(schema.field(name).type) not in ("binary", "large_binary"):
        yield f"WKB in a column of type {schema.field(name).type}"
    covering = column.get("covering", {}).get("bbox", {})
    if "covering" in column and not {"xmin", "ymin", "xmax", "ymax"} <= covering.keys():
        yield "covering.bbox without four sides"
    for side, (parent, child) in covering.items():
        if child != side:
            yield f"covering.bbox.{side} is {child}"
        types = {str(field.type) for field in schema.field(parent).type}
        if types not in ({"double"}, {"float"}):
            yield f"covering column of types {types}"
