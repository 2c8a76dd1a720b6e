"""Hypothesis strategies, named after what they draw, and slow, plain reference implementations."""

import math
from functools import cache

import numpy as np
from affine import Affine
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pyproj import CRS, Transformer

from geo.georef import GeoReference
from geo.types import Detections, FloatArray

# CRS: longitudes and latitudes (west, south, east, north) at which scenes are drawn; east may lie beyond 180.
AREAS: dict[str, tuple[float, float, float, float]] = {
    "EPSG:4326": (-180, -80, 540, 80),  # geographic; also with longitudes counted beyond 180
    "EPSG:4807": (-3, 43, 8, 50),  # NTF (Paris): another meridian, in grads, with a datum shift
    "EPSG:3857": (-179.9, -80, 190, 80),  # Web Mercator; also beyond its edge
    "EPSG:32632": (5, -79, 13, 83),  # UTM
    "EPSG:32701": (-183, -79, -172, -1),  # UTM across the antimeridian, southern
    "EPSG:32660": (172, 1, 183, 83),  # UTM across the antimeridian, northern
    "EPSG:3031": (-180, -88, 180, -60),  # polar
    "EPSG:3035": (-10, 36, 30, 65),  # Lambert equal area, northing first in its definition
    "EPSG:2193": (166, -47, 179, -34),  # New Zealand, northing first
    "EPSG:23030": (-5, 36, -1, 43),  # an older datum with many shifts to choose from
    "EPSG:5514": (13, 48.6, 22, 51),  # Krovak
    "EPSG:32632+5773": (6, 10, 12, 60),  # with heights
}
NAMES = st.sampled_from(sorted(AREAS))
WIDTH, HEIGHT = 4000, 2500


@st.composite
def georeferences(draw: st.DrawFn, crs: SearchStrategy[str] = NAMES) -> GeoReference:
    """Draw georeferences of WIDTH x HEIGHT pixels: any rotation, mirrored or not, 0.1 to 5 m per pixel."""
    name = draw(crs)
    west, south, east, north = AREAS[name]
    # Integers are drawn more evenly than floats.
    lon = west + (east - west) * draw(st.integers(0, 1000)) / 1000
    lat = south + (north - south) * draw(st.integers(0, 1000)) / 1000
    x, y = map_coordinates(name, lon, lat)
    step = draw(st.floats(0.1, 5)) * map_units_per_metre(name)
    turn = Affine.rotation(draw(st.sampled_from([0.0, 90.0, 180.0]) | st.floats(-180, 180)))
    south_up = draw(st.booleans())
    shape = Affine.scale(step, step if south_up else -step) @ Affine.translation(-WIDTH / 2, -HEIGHT / 2)
    return GeoReference(Affine.translation(x, y) @ turn @ shape, CRS(name))


def map_coordinates(crs: str, lon: float, lat: float) -> tuple[float, float]:
    """Return map coordinates; where the map repeats, those of the given longitude even beyond 180 degrees."""
    wrapped = (lon + 180) % 360 - 180
    x, y = to_lonlat(crs).transform(wrapped, lat, direction="INVERSE")
    laps = round((lon - wrapped) / 360)
    world = {"EPSG:4326": 360.0, "EPSG:3857": 2 * math.pi * 6378137}.get(crs, 0.0)
    return x + laps * world, y


@cache
def to_lonlat(crs: str) -> Transformer:
    """Return the pyproj transformer from map coordinates to longitude and latitude."""
    return Transformer.from_crs(CRS(crs).to_2d(), "OGC:CRS84", always_xy=True)


def map_units_per_metre(crs: str) -> float:
    """Return map units per metre: exact for metres, else roughly."""
    return {"EPSG:4326": 1 / 111_000, "EPSG:4807": 1 / 100_000}.get(crs, 1.0)


@st.composite
def boxes(draw: st.DrawFn, side: int = 60, max_size: int = 25) -> FloatArray:
    """Draw (N, 4) boxes with integer coordinates in a small square, so that many overlap, touch or are equal."""
    corners = draw(st.lists(st.tuples(*[st.integers(0, side)] * 4), max_size=max_size))
    array = np.array(corners, dtype=np.float64).reshape(-1, 4)
    return np.column_stack([np.minimum(array[:, :2], array[:, 2:]), np.maximum(array[:, :2], array[:, 2:]) + 1])


@st.composite
def detections(draw: st.DrawFn) -> Detections:
    """Draw boxes with scores of few different values (so that ties are common) on levels of 0.5, 1 and 2 m."""
    drawn = draw(boxes())
    count = len(drawn)
    scores = draw(st.lists(st.integers(1, 8), min_size=count, max_size=count))
    levels = draw(st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=count, max_size=count))
    return Detections(drawn, np.array(scores) / 8, np.array(levels))


def plain_iou(a: FloatArray, b: FloatArray) -> float:
    """Return intersection over union of two boxes with integer coordinates, by counting pixels."""
    first, second = pixels_of(a), pixels_of(b)
    return len(first & second) / len(first | second)


def pixels_of(box: FloatArray) -> set[tuple[int, int]]:
    """Return (x, y) of the pixels in a box with integer coordinates."""
    xmin, ymin, xmax, ymax = (int(value) for value in box)
    return {(x, y) for x in range(xmin, xmax) for y in range(ymin, ymax)}


def plain_suppress(detections: Detections, iou: float, containment: float = 2.0) -> list[int]:
    """Return the indices kept by the rule of `merge_levels`; with containment above 1, by that of `suppress`."""
    boxes, resolution_m = detections.boxes, detections.resolution_m
    kept: list[int] = []
    for i in plain_rank(detections):
        for k in kept:
            shared = len(pixels_of(boxes[k]) & pixels_of(boxes[i]))
            smaller = len(pixels_of(boxes[i])) < len(pixels_of(boxes[k]))
            if plain_iou(boxes[k], boxes[i]) > iou:
                break
            if smaller and resolution_m[k] > resolution_m[i] and shared / len(pixels_of(boxes[i])) >= containment:
                break
        else:
            kept.append(i)
    return kept


def plain_rank(detections: Detections) -> list[int]:
    """Return indices by falling score, then by coordinates, then from fine to coarse levels."""
    scores, boxes, resolution_m = detections.scores, detections.boxes, detections.resolution_m
    return sorted(range(len(detections)), key=lambda i: (-scores[i], *boxes[i], resolution_m[i]))


def plain_merge(detections: Detections, iou: float, containment: float) -> list[list[float]]:
    """Return the result of `merge_levels` as `rows`, but not rounded, and in the order of `plain_suppress`."""
    boxes, scores, order = detections.boxes, detections.scores, plain_rank(detections)
    merged: list[list[float]] = []
    for k in plain_suppress(detections, iou, containment):
        suppressed = [i for i in order[order.index(k) + 1 :] if plain_iou(boxes[k], boxes[i]) > iou]
        levels: dict[float, list[tuple[float, FloatArray]]] = {}
        for i in (k, *suppressed):
            weight = 1 - (scores[k] - scores[i]) / 0.3
            if weight > 0:
                levels.setdefault(detections.resolution_m[i], []).append((weight, boxes[i]))
        total, weighted_sum = 0.0, np.zeros(4)
        for resolution_m, votes in levels.items():
            level_weight = max(weight for weight, _ in votes) / resolution_m
            total += level_weight
            weighted_sum += level_weight * sum(weight * box for weight, box in votes) / sum(w for w, _ in votes)
        merged.append([*(weighted_sum / total).tolist(), scores[k], detections.resolution_m[k]])
    return merged


def rows(detections: Detections) -> list[list[float]]:
    """Return a row xmin, ymin, xmax, ymax, score, resolution_m for each detection."""
    rows: list[list[float]] = np.column_stack([detections.boxes, detections.scores, detections.resolution_m]).tolist()
    return rows
