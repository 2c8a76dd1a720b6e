"""What moves around parked airplanes: loaders, carts, trucks, and the roads they use."""

import math

import numpy as np
from numpy.typing import ArrayLike

from model.synthetic.aircraft import AircraftType
from model.synthetic.decoys import baggage_train, stairs
from model.synthetic.place import Place, lengths, ribbon
from model.synthetic.things import equipment, trucks
from model.synthetic.world import Tier, World

_SMALLEST_SERVED_M = 20.0
_ACROSS = math.pi / 2


def serve(world: World, shape: AircraftType, place: Place, rng: np.random.Generator) -> None:
    """Put equipment around a parked airplane whose middle is at a place, most of it on its right side."""
    half, length = shape.width / 2, shape.length
    if length < _SMALLEST_SERVED_M:
        return
    spots: list[tuple[float, float, float]] = []  # x, y, angle
    for hold in (0.24, -0.18):  # a loader at each hold, and its train of carts
        if rng.random() < 0.7:
            spots.append((hold * length, half + rng.uniform(2.5, 4.0), _ACROSS))
            train = range(int(rng.integers(0, 5)))
            spots += [(hold * length + rng.normal(0, 0.6), half + 8.5 + 3.6 * k, _ACROSS) for k in train]
    if rng.random() < 0.6:  # a tug before the nose
        spots.append((length / 2 + 4.5, rng.normal(0, 0.8), 0.0))
    for _ in range(int(rng.integers(1, 6))):
        spots.append((rng.uniform(0.1, 0.5) * length, -half - rng.uniform(4, 12), rng.uniform(0, math.pi)))
    placed = np.array(spots)
    equipment(world, place, placed[:, :2], placed[:, 2], rng)
    if rng.random() < 0.35:  # catering
        trucks(world, place, [(0.36 * length, half + 5.2)], _ACROSS, rng, 8.0)
    if rng.random() < 0.3:  # fuel
        trucks(world, place, [(-0.02 * length, 0.30 * shape.span)], 0.4, rng, 10.0)


def leave_about(world: World, stop: Place, size: tuple[float, float], rng: np.random.Generator) -> None:
    """Leave equipment about on an empty stand.

    Args:
        world: The sheet.
        stop: Where a nose would stop, x axis along the heading.
        size: Length and width of the stand, metres.
        rng: How much, and where.
    """
    count = int(rng.integers(0, 9))
    spots = np.stack([rng.uniform(-0.5 * size[0], 6, count), rng.normal(0, 0.28 * size[1], count)], axis=1)
    equipment(world, stop, spots, rng.uniform(0, math.pi, count), rng)
    near = stop.child(-rng.uniform(0.1, 0.8) * size[0], rng.normal(0, 0.25 * size[1]), rng.uniform(0, 2 * math.pi))
    if rng.random() < 0.3:
        baggage_train(world, near, int(rng.integers(2, 7)), rng)
    elif rng.random() < 0.3:
        stairs(world, near, rng)


def equipment_park(
    world: World, place: Place, size: tuple[float, float], rng: np.random.Generator, fill: float = 0.6
) -> None:
    """Fill a rectangle centred on a place with rows of parked carts and containers."""
    x = np.arange(-size[0] / 2 + 2, size[0] / 2 - 1, 3.0)
    y = np.arange(-size[1] / 2 + 3, size[1] / 2 - 2, 6.2)
    spots = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    spots = spots[rng.random(len(spots)) < fill * rng.uniform(0.5, 1.2)]
    equipment(world, place, spots + rng.normal(0, 0.25, spots.shape), _ACROSS, rng)


def service_road(world: World, frame: Place, path: ArrayLike, rng: np.random.Generator) -> None:
    """Paint a service road on an apron along a straight local path (2, 2), and drive some vehicles on it."""
    line = np.asarray(path, dtype=np.float64)
    begin, way = line[0], (line[1] - line[0]) / lengths(line)[-1]
    place = frame.child(float(begin[0]), float(begin[1]), math.atan2(way[1], way[0]))
    length = float(lengths(line)[-1])
    for y in (-4.0, 4.0):
        world.pave(place, ribbon([(0.0, y), (length, y)], 0.35), (214, 214, 208), Tier.MARKING)
    world.stain(place, ribbon([(0.0, 0.0), (length, 0.0)], 7.0), 0.06)
    for x in rng.uniform(0, length, int(length / 140)):
        lane = rng.choice((-1, 1))
        trucks(world, place, [(x, 2.0 * lane)], 0.0 if lane > 0 else math.pi, rng, rng.uniform(5, 11))
