"""Scenes without an airport: open country. Nothing in them is an airplane.

The land is cut by winding lines (rivers, roads, rails) into zones, and each zone has a frame of its own.
"""

import math

import numpy as np
from numpy.typing import NDArray
from shapely import LineString, Polygon, unary_union
from shapely.geometry.base import BaseGeometry
from shapely.ops import split

from model.synthetic.country import spread_country
from model.synthetic.landside import road
from model.synthetic.place import Place, rectangle
from model.synthetic.rural import country_choice
from model.synthetic.streams import stream
from model.synthetic.water import draw_water, lay_water, river, winding
from model.synthetic.world import World

_OUTSIDE_M = 60.0  # land goes on so far outside the scene


def lay_out_countryside(world: World, seed: int) -> None:
    """Put fields, woods, farms, villages and waters on an empty sheet."""
    rng = stream(seed, "countryside")
    paths = lines_across(world, int(rng.integers(1, 4)), rng)
    waters: list[BaseGeometry] = []
    roads = []
    for path in paths:
        width = rng.uniform(6, 70) if rng.random() < 0.5 else 0.0
        if width:
            waters.append(river(path, width, rng))
        shore = 0.7 * width + 25 if width else 0.0
        roads.append(np.array(LineString(path).offset_curve(shore * rng.choice((-1, 1))).coords))
    for k, land in enumerate(zones(world, paths, [*waters, *(LineString(path).buffer(14) for path in roads)])):
        frame = Place(world.width_m / 2, world.height_m / 2, rng.uniform(0, 2 * math.pi))
        spread_country(world, frame, reach(world), land, stream(seed, "zone", k), country_choice)
    if waters:
        lay_water(world, unary_union(waters), draw_water(rng), rng.uniform(2, 8))
    for path in roads:
        road(world, Place(0, 0), path, float(rng.choice((6.0, 8.0, 16.0))), rng)


def reach(world: World) -> float:
    """Return how far land goes from the scene's middle, metres: over its corners in every frame."""
    return 0.72 * max(world.width_m, world.height_m) + _OUTSIDE_M


def lines_across(world: World, count: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Draw winding lines (N, 2), scene metres, each all across the scene."""
    size = np.array((world.width_m, world.height_m))
    middles = rng.uniform(0.15, 0.85, (count, 2)) * size
    return [winding(Place(x, y, rng.uniform(0, 2 * math.pi)), 2 * reach(world), rng) for x, y in middles]


def zones(world: World, paths: list[NDArray[np.float64]], taken: list[BaseGeometry]) -> list[Polygon]:
    """Cut the scene along paths, and what is taken out of it; the largest piece comes first."""
    low, (right, low_end) = -_OUTSIDE_M, (world.width_m + _OUTSIDE_M, world.height_m + _OUTSIDE_M)
    pieces: list[BaseGeometry] = [Polygon(rectangle(low, low, right, low_end))]
    for path in paths:
        pieces = [part for piece in pieces for part in split(piece, LineString(path)).geoms]
    gone = unary_union(taken)
    lands = [part for piece in pieces for part in polygons(piece - gone)]
    return sorted(lands, key=lambda land: -land.area)


def polygons(area: BaseGeometry) -> list[Polygon]:
    """Return the polygons that an area is made of."""
    return [part for part in getattr(area, "geoms", [area]) if isinstance(part, Polygon) and not part.is_empty]
