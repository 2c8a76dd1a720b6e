"""Aircraft stands: which airplane parks where, markings, ground equipment, and vehicles without an airplane.

Carts in a row, stairs and trucks that form a T are decoys: from above they resemble airplanes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from shapely import Point, Polygon, unary_union

from model.synthetic.aircraft import TYPES, AircraftType, silhouette
from model.synthetic.airframe import draw_airplane, draw_colour_fringes, sample_livery, visible_box
from model.synthetic.geometry import (
    QUARTER_TURN,
    Frame,
    Size,
    arc,
    centred_box,
    grid_points,
    path_distances,
    rectangle,
    rectangles,
    ribbon,
)
from model.synthetic.objects import equipment, trucks
from model.synthetic.pavement import _RED_PAINT, yellow_line
from model.synthetic.style import pick
from model.synthetic.world import YELLOW_PAINT, Level, Tier, World

_MIN_SERVED_LENGTH_M = 20.0
_TURN_M = 28.0  # radius of the exit lines of a stand
_EDGE_MARGIN_M = 1.0  # minimum distance of an airplane from the edge of the scene
_VEHICLE_CLEARANCE_M = 18.0  # distance of these vehicles from airplanes and buildings


def add_ground_service(world: World, shape: AircraftType, pose: Frame, rng: np.random.Generator) -> None:
    """Put equipment around an airplane parked at a pose, most of it on its right side."""
    half, length = shape.width / 2, shape.length
    if length < _MIN_SERVED_LENGTH_M:
        return
    spots: list[tuple[float, float, float]] = []  # x, y, angle
    for hold in (0.24, -0.18):  # a loader at each hold, and its train of carts
        if rng.random() < 0.7:
            spots.append((hold * length, half + rng.uniform(2.5, 4.0), QUARTER_TURN))
            train = range(int(rng.integers(0, 5)))
            spots += [(hold * length + rng.normal(0, 0.6), half + 8.5 + 3.6 * k, QUARTER_TURN) for k in train]
    if rng.random() < 0.6:  # a tug in front of the nose
        spots.append((length / 2 + 4.5, rng.normal(0, 0.8), 0.0))
    for _ in range(int(rng.integers(1, 6))):
        spots.append((rng.uniform(0.1, 0.5) * length, -half - rng.uniform(4, 12), rng.uniform(0, math.pi)))
    placed = np.array(spots)
    equipment(world, pose, placed[:, :2], placed[:, 2], rng)
    if rng.random() < 0.35:  # catering
        trucks(world, pose, [(0.36 * length, half + 5.2)], QUARTER_TURN, rng, 8.0)
    if rng.random() < 0.3:  # fuel
        trucks(world, pose, [(-0.02 * length, 0.30 * shape.span)], 0.4, rng, 10.0)


def scatter_equipment(world: World, stop: Frame, size: Size, rng: np.random.Generator) -> None:
    """Scatter equipment over an empty stand.

    Args:
        world: the scene's contents.
        stop: where the nose would stop, x axis along the heading.
        size: length and width of the stand, metres.
        rng: source of the amount and the positions.
    """
    count = int(rng.integers(0, 9))
    spots = np.stack([rng.uniform(-0.5 * size[0], 6, count), rng.normal(0, 0.28 * size[1], count)], axis=1)
    equipment(world, stop, spots, rng.uniform(0, math.pi, count), rng)
    near = stop.child(-rng.uniform(0.1, 0.8) * size[0], rng.normal(0, 0.25 * size[1]), rng.uniform(0, 2 * math.pi))
    if rng.random() < 0.3:
        baggage_train(world, near, int(rng.integers(2, 7)), rng)
    elif rng.random() < 0.3:
        stairs(world, near, rng)


def equipment_park(world: World, frame: Frame, size: Size, rng: np.random.Generator, fill: float = 0.6) -> None:
    """Fill a rectangle centred on a frame with rows of parked carts and containers."""
    x = np.arange(-size[0] / 2 + 2, size[0] / 2 - 1, 3.0)
    y = np.arange(-size[1] / 2 + 3, size[1] / 2 - 2, 6.2)
    spots = grid_points(x, y)
    spots = spots[rng.random(len(spots)) < fill * rng.uniform(0.5, 1.2)]
    equipment(world, frame, spots + rng.normal(0, 0.25, spots.shape), QUARTER_TURN, rng)


def service_road(world: World, frame: Frame, path: ArrayLike, rng: np.random.Generator) -> None:
    """Paint a service road on an apron along a straight local path (2, 2), with some vehicles on it."""
    line = np.asarray(path, dtype=np.float64)
    begin, direction = line[0], (line[1] - line[0]) / path_distances(line)[-1]
    road = frame.child(float(begin[0]), float(begin[1]), math.atan2(direction[1], direction[0]))
    length = float(path_distances(line)[-1])
    for y in (-4.0, 4.0):
        world.pave(road, ribbon([(0.0, y), (length, y)], 0.35), (214, 214, 208), Tier.MARKING)
    world.stain(road, ribbon([(0.0, 0.0), (length, 0.0)], 7.0), 0.06)
    for x in rng.uniform(0, length, int(length / 140)):
        lane = rng.choice((-1, 1))
        trucks(world, road, [(x, 2.0 * lane)], 0.0 if lane > 0 else math.pi, rng, rng.uniform(5, 11))


@dataclass(frozen=True, slots=True)
class Stand:
    """A parking position for an airplane.

    Attributes:
        stop: where the nose stops, x axis along the heading.
        span: maximum wingspan, metres.
        length: maximum length, metres.
        kinds: classes of airplanes that use it, with the share of each.
    """

    stop: Frame
    span: float
    length: float
    kinds: tuple[tuple[str, float], ...]


def choose_type(stand: Stand, rng: np.random.Generator) -> AircraftType:
    """Choose a type that fits a stand, preferring the largest; at least one of TYPES must fit."""
    fitting = [
        [shape for shape in TYPES if shape.kind == kind and shape.span <= stand.span and shape.length <= stand.length]
        for kind, _ in stand.kinds
    ]
    shares = np.array([share if types else 0.0 for types, (_, share) in zip(fitting, stand.kinds, strict=True)])
    types = fitting[int(rng.choice(len(shares), p=shares / shares.sum()))]
    largest = sorted(types, key=lambda shape: shape.span)[-6:]
    return pick(largest, rng)


def park_airplane(
    world: World,
    shape: AircraftType,
    pose: Frame,
    rng: np.random.Generator,
    clearance: float = 1.5,
    moving: float = 0.0,
) -> bool:
    """Park an airplane at a pose and return whether it fits.

    It is left out if it comes closer than `clearance` metres to another airplane or a building, or if the edge of the
    scene would cut it. If `moving` is not 0, the airplane gets coloured fringes shifted by that many metres.
    """
    livery = sample_livery(rng, shape.kind)
    outline = unary_union([Polygon(pose.points(ring)) for ring in silhouette(shape)])
    # What is visible depends on the view, but what is reserved must be the same from every side.
    box = visible_box(world, shape, pose) if world.reserved is None else outline.bounds
    if min(box[0], box[1], world.width_m - box[2], world.height_m - box[3]) < _EDGE_MARGIN_M:
        return False
    if not world.is_free(outline, clearance):
        return False
    world.footprints.append(outline)
    if world.reserved is not None:
        world.reserved.append((shape, pose))
        return True
    if moving:
        draw_colour_fringes(world, shape, pose, moving)
    draw_airplane(world, shape, pose, livery)
    return True


def fill_stand(world: World, stand: Stand, rng: np.random.Generator, occupancy: float) -> AircraftType | None:
    """Park an airplane on a stand with probability `occupancy`, with equipment around it.

    Args:
        world: the scene's contents.
        stand: the stand.
        rng: source of type, livery and equipment.
        occupancy: probability that an airplane is parked, 0..1.

    Returns:
        Its type, or None if the stand stays empty.
    """
    shape, occupied = choose_type(stand, rng), rng.random() < occupancy
    _wear(world, stand, rng)
    pose = stand.stop.child(-shape.length / 2, 0, rng.normal(0, 0.006))
    if occupied and park_airplane(world, shape, pose, rng):
        add_ground_service(world, shape, pose, rng)
        return shape
    scatter_equipment(world, stand.stop, (stand.length, stand.span), rng)
    return None


def mark_stand(world: World, stand: Stand, bounds: bool = True) -> None:
    """Paint a stand: its lead-in line and, with `bounds`, the exit lines and the lines beside it."""
    yellow_line(world, stand.stop, [(1.5, 0.0), (-0.5 * stand.length, 0.0), (-stand.length - 22, 0.0)], 0.2)
    bars = rectangles([(x, -2.0, x + 0.4, 2.0) for x in (-6.0, -12.0)])
    world.pave(stand.stop, bars, YELLOW_PAINT, Tier.MARKING)
    if not bounds:
        return
    back = -stand.length - 22
    for side in (-1, 1):  # exit lines to both sides
        curve = arc(back, side * _TURN_M, _TURN_M, -side * math.pi / 2, -side * math.pi)
        yellow_line(world, stand.stop, curve, 0.2)
    edge, red = stand.span / 2 + 2.0, np.array(world.palette.concrete) * (1.0, 0.84, 0.78)
    for side in (-1, 1):
        nose, corner = (5.0, side * 0.25 * edge), (-0.3 * stand.length, side * edge)
        for line in ((nose, corner), (corner, (-stand.length, side * edge))):
            world.pave(stand.stop, ribbon(line, 0.3), red, Tier.MARKING)


def _wear(world: World, stand: Stand, rng: np.random.Generator) -> None:
    """Stain a stand with traces of wheels, engines and pumps."""
    length, span = stand.length, stand.span
    world.stain(stand.stop, rectangle(-length - 25, -2.5, -2, 2.5), 0.10, 0.8)
    world.stain(stand.stop, rectangle(-1.02 * length, -0.42 * span, 4, 0.42 * span), rng.uniform(0.02, 0.09), 0.8)
    count = int(rng.integers(8, 22))
    middle = np.stack([rng.normal(-0.48 * length, 0.16 * length, count), rng.normal(0, 0.1 * span + 1, count)], axis=1)
    half = rng.uniform(0.6, 3.4, (count, 2)) * (1.6, 1.0)
    for drop in rectangles(np.concatenate([middle - half, middle + half], axis=1)):
        world.stain(stand.stop, drop, rng.uniform(0.12, 0.45), rng.uniform(0.3, 0.8))


def hatched_box(world: World, frame: Frame, size: Size) -> None:
    """Paint a red no-parking box with its diagonals, centred on a frame."""
    corners = centred_box(size)
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3)):
        world.pave(frame, ribbon(corners[[a, b]], 0.4), _RED_PAINT, Tier.MARKING)


def baggage_train(world: World, frame: Frame, count: int, rng: np.random.Generator) -> None:
    """Draw a tug at a frame's origin, pulling along the x axis, and its carts in a bend behind it."""
    bend, step = rng.uniform(-0.2, 0.2), 3.7
    angles = np.cumsum(np.full(count + 1, bend)) - bend
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * step
    equipment(world, frame, -np.cumsum(steps, axis=0) + steps[0], angles, rng)


def stairs(world: World, frame: Frame, rng: np.random.Generator) -> None:
    """Draw a truck with passenger stairs that rise along the frame's x axis."""
    length, tone = rng.uniform(7, 11), np.full(3, rng.uniform(150, 225))
    trucks(world, frame, [(-0.2 * length, 0.0)], math.pi, rng, 0.6 * length)
    steps = rectangles([(x, -1.1, x + 0.35, 1.1) for x in np.arange(-0.3 * length, 0.5 * length, 0.7)])
    world.cast_shadow(frame, rectangle(-0.3 * length, -1.2, 0.55 * length, 1.2), 2.5)
    world.draw(frame, rectangle(-0.3 * length, -1.2, 0.55 * length, 1.2), tone, Level.VEHICLE, 2.5)
    world.draw(frame, steps, tone * 0.72, Level.VEHICLE, 2.5)


def apron_traffic(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    """Put vehicles without an airplane on an apron: its width along x, its depth along y from the origin."""
    for _ in range(int(size[0] * size[1] / 9000)):
        spot = frame.child(rng.uniform(-0.45, 0.45) * size[0], rng.uniform(0.05, 0.8) * size[1], rng.uniform(0, 6.3))
        if not world.is_free(Point(spot.x, spot.y), _VEHICLE_CLEARANCE_M):
            continue
        choice = rng.random()
        if choice < 0.4:
            baggage_train(world, spot, int(rng.integers(1, 7)), rng)
        elif choice < 0.6:
            stairs(world, spot, rng)
        elif choice < 0.85:
            trucks(world, spot, [(0.0, 0.0), (3.4, 4.2)][: int(rng.integers(1, 3))], 0.0, rng, rng.uniform(6, 16))
        else:  # two perpendicular trucks form a T
            trucks(world, spot, [(0.0, 0.0)], 0.0, rng, 12.0)
            trucks(world, spot, [(8.5, 0.0)], QUARTER_TURN, rng, 9.0)
