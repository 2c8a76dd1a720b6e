"""What moves around parked airplanes: loaders, carts, trucks, and the roads they use.

Stands: which airplane parks where, and what is painted on the ground there.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from shapely import Polygon, unary_union

from model.synthetic.aircraft import TYPES, AircraftType, silhouette
from model.synthetic.airframe import draw_airplane, draw_livery, fringe, visible_box
from model.synthetic.decoys import baggage_train, stairs
from model.synthetic.geometry import Place, arc, lengths, rectangle, rectangles, ribbon
from model.synthetic.objects import equipment, trucks
from model.synthetic.pavement import yellow_line
from model.synthetic.world import YELLOW_PAINT, Tier, World

_SMALLEST_SERVED_M = 20.0
_ACROSS = math.pi / 2
_TURN_M = 28.0  # radius of the lines by which airplanes leave a stand
_EDGE_M = 1.0  # an airplane stays at least so far inside the scene


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


@dataclass(frozen=True, slots=True)
class Stand:
    """Where an airplane may park.

    Attributes:
        stop: Where its nose stops; x axis along its heading.
        span: The widest airplane it takes, metres.
        length: The longest, metres.
        kinds: Classes of airplanes that use it, with the share of each.
    """

    stop: Place
    span: float
    length: float
    kinds: tuple[tuple[str, float], ...]


def choose_type(stand: Stand, rng: np.random.Generator) -> AircraftType:
    """Draw a type that fits a stand; big stands are for big airplanes. At least one of TYPES must fit."""
    fitting = [
        [shape for shape in TYPES if shape.kind == kind and shape.span <= stand.span and shape.length <= stand.length]
        for kind, _ in stand.kinds
    ]
    shares = np.array([share if some else 0.0 for some, (_, share) in zip(fitting, stand.kinds, strict=True)])
    some = fitting[int(rng.choice(len(shares), p=shares / shares.sum()))]
    biggest = sorted(some, key=lambda shape: shape.span)[-6:]
    return biggest[int(rng.integers(len(biggest)))]


def park(
    world: World,
    shape: AircraftType,
    place: Place,
    rng: np.random.Generator,
    clearance: float = 1.5,
    moving: float = 0.0,
) -> bool:
    """Put an airplane at a place and say whether it stands there.

    It does not where it would come closer than `clearance` metres to another airplane or a building, or where the
    scene's edge would cut it: then it is left out altogether. One that moves has coloured rims of `moving` metres.
    """
    livery = draw_livery(rng, shape.kind)
    low_x, low_y, high_x, high_y = visible_box(world, shape, place)
    if min(low_x, low_y, world.width_m - high_x, world.height_m - high_y) < _EDGE_M:
        return False
    outline = unary_union([Polygon(place.points(ring)) for ring in silhouette(shape)])
    if not world.is_free(outline, clearance):
        return False
    world.footprints.append(outline)
    if moving:
        fringe(world, shape, place, moving)
    draw_airplane(world, shape, place, livery)
    return True


def use_stand(world: World, stand: Stand, rng: np.random.Generator, occupancy: float) -> AircraftType | None:
    """Perhaps park an airplane on a stand, with equipment around it.

    Args:
        world: The sheet.
        stand: The stand.
        rng: Type, livery and equipment are drawn from it.
        occupancy: Chance that an airplane is there, 0..1.

    Returns:
        Its type, or None if the stand stays empty.
    """
    shape, taken = choose_type(stand, rng), rng.random() < occupancy
    _wear(world, stand, rng)
    place = stand.stop.child(-shape.length / 2, 0, rng.normal(0, 0.006))
    if taken and park(world, shape, place, rng):
        serve(world, shape, place, rng)
        return shape
    leave_about(world, stand.stop, (stand.length, stand.span), rng)
    return None


def mark_stand(world: World, stand: Stand, bounds: bool = True) -> None:
    """Paint a stand: its lead-in line and, with `bounds`, the ways out and the lines beside it."""
    yellow_line(world, stand.stop, [(1.5, 0.0), (-0.5 * stand.length, 0.0), (-stand.length - 22, 0.0)], 0.2)
    bars = rectangles([(x, -2.0, x + 0.4, 2.0) for x in (-6.0, -12.0)])
    world.pave(stand.stop, bars, YELLOW_PAINT, Tier.MARKING)
    if not bounds:
        return
    back = -stand.length - 22
    for side in (-1, 1):  # the ways out, to either side
        curve = arc(back, side * _TURN_M, _TURN_M, -side * math.pi / 2, -side * math.pi)
        yellow_line(world, stand.stop, curve, 0.2)
    edge, red = stand.span / 2 + 2.0, np.array(world.palette.concrete) * (1.0, 0.84, 0.78)
    for side in (-1, 1):
        nose, corner = (5.0, side * 0.25 * edge), (-0.3 * stand.length, side * edge)
        for line in ((nose, corner), (corner, (-stand.length, side * edge))):
            world.pave(stand.stop, ribbon(line, 0.3), red, Tier.MARKING)


def _wear(world: World, stand: Stand, rng: np.random.Generator) -> None:
    """Stain a stand where wheels, engines and pumps leave their traces."""
    length, span = stand.length, stand.span
    world.stain(stand.stop, rectangle(-length - 25, -2.5, -2, 2.5), 0.10, 0.8)
    world.stain(stand.stop, rectangle(-1.02 * length, -0.42 * span, 4, 0.42 * span), rng.uniform(0.02, 0.09), 0.8)
    count = int(rng.integers(8, 22))
    middle = np.stack([rng.normal(-0.48 * length, 0.16 * length, count), rng.normal(0, 0.1 * span + 1, count)], axis=1)
    half = rng.uniform(0.6, 3.4, (count, 2)) * (1.6, 1.0)
    for drop in rectangles(np.concatenate([middle - half, middle + half], axis=1)):
        world.stain(stand.stop, drop, rng.uniform(0.12, 0.45), rng.uniform(0.3, 0.8))
