"""A town without an airport: quarters of different character, streets, railways, a harbour. Nothing is an airplane."""

import math

import numpy as np
from numpy.typing import NDArray
from shapely import LineString, Polygon, unary_union
from shapely.geometry.base import BaseGeometry

from model.synthetic.harbour import Harbour, build_harbour, plan_harbour
from model.synthetic.landside import road
from model.synthetic.outland import lines_across, reach, zones
from model.synthetic.parcel import Parcel, patchwork
from model.synthetic.place import Place, ribbon
from model.synthetic.railway import lay_railway
from model.synthetic.streams import stream
from model.synthetic.things import cars, trees
from model.synthetic.urban import draw_quarter
from model.synthetic.water import draw_water, lay_water, river
from model.synthetic.world import Material, Tier, World

_STREET_M = 16.0  # between two blocks
_HARBOUR_SHARE = 0.5  # of the towns


def lay_out_town(world: World, seed: int) -> None:
    """Put a town on an empty sheet."""
    rng, here = stream(seed, "town"), Place(0, 0)
    paths = lines_across(world, int(rng.integers(2, 5)), rng)
    kinds = [str(rng.choice(("road", "rail", "river"), p=(0.5, 0.25, 0.25))) for _ in paths]
    waters: list[BaseGeometry] = [
        river(path, rng.uniform(16, 110), rng) for path, kind in zip(paths, kinds, strict=True) if kind == "river"
    ]
    harbour = plan_harbour(world, rng) if rng.random() < _HARBOUR_SHARE else None
    taken = [*waters, *(LineString(path).buffer(16) for path in paths)]
    for k, land in enumerate(zones(world, paths, [*taken, *([harbour.ground] if harbour else [])])):
        _quarter(world, land, stream(seed, "quarter", k))
    if waters:
        lay_water(world, unary_union(waters), draw_water(rng), rng.uniform(2, 6))
    if harbour:
        build_harbour(world, harbour, stream(seed, "harbour"))
    for path, kind in zip(paths, kinds, strict=True):
        clear = _outside(world, path, harbour)
        for piece in clear:
            if kind == "rail":
                lay_railway(world, piece, rng)
            elif kind == "road":
                road(world, here, piece, float(rng.choice((9.0, 14.0, 22.0))), rng, 4.0)


def _outside(world: World, path: NDArray[np.float64], harbour: Harbour | None) -> list[NDArray[np.float64]]:
    """The parts of a path that a harbour leaves; none where there is nothing to be seen of them."""
    if harbour is None:
        return [path]
    outside = Polygon([(-2e4, -2e4), (2e5, -2e4), (2e5, 2e5), (-2e4, 2e5)]) - harbour.ground
    return Parcel(world, Place(0, 0), outside).stretches(path)


def _quarter(world: World, land: Polygon, rng: np.random.Generator) -> None:
    """A part of the town: its blocks and streets, in a frame of its own."""
    middle = Place(world.width_m / 2, world.height_m / 2, rng.uniform(0, 2 * math.pi))
    whole = Parcel(world, middle, land)
    ground = np.array(world.palette.concrete) * rng.uniform(0.84, 0.98)
    world.pave_area(Place(0, 0), land, ground, Tier.LAND, Material.CONCRETE)
    step, choose = draw_quarter(rng)
    lines_x, lines_y = patchwork(whole, reach(world), step, _STREET_M, choose, rng)
    down, across = (np.linspace(line[0], line[-1], 300) for line in (lines_y, lines_x))
    paths = [np.stack([np.full(300, x), down], axis=1) for x in lines_x]
    paths += [np.stack([across, np.full(300, y)], axis=1) for y in lines_y]
    width, planted = rng.uniform(6.5, 9.5), rng.choice((0.0, 0.25, 0.7))
    for path in paths:
        _street(whole, path, width, planted, rng)


def _street(whole: Parcel, path: NDArray[np.float64], width: float, planted: float, rng: np.random.Generator) -> None:
    """A straight street with cars at its kerbs and on it, and trees."""
    world, frame = whole.world, whole.place
    tone, ahead = np.array(world.palette.road) * rng.uniform(0.86, 1.0), path[-1] - path[0]
    angle = math.atan2(ahead[1], ahead[0])
    across = np.array((-math.sin(angle), math.cos(angle)))
    for piece in whole.stretches(path):
        world.pave(frame, ribbon(piece, width), tone, Tier.ROAD, Material.ASPHALT)
        length = float(np.hypot(*(piece[-1] - piece[0])))
        for out, share in ((-width / 2 + 1, 0.45), (width / 2 - 1, 0.45), (-1.7, 0.06), (1.7, 0.06)):
            at = np.arange(4, length - 4, 6.2)
            at = at[rng.random(len(at)) < share]
            spots = piece[0] + at[:, None] * (ahead / np.hypot(*ahead)) + out * across
            cars(world, frame, spots, angle + (math.pi if out < 0 else 0), rng)
        for out in (-width / 2 - 2, width / 2 + 2):
            at = np.arange(3, length, 9.0)
            at = at[rng.random(len(at)) < planted]
            spots = piece[0] + at[:, None] * (ahead / np.hypot(*ahead)) + out * across
            trees(world, frame, spots, rng.uniform(1.4, 3.0, len(spots)), rng)
