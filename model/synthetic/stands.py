"""Stands: which airplane parks where, and what is painted on the ground there."""

import math
from dataclasses import dataclass

import numpy as np
from shapely import Polygon, unary_union

from model.synthetic.aircraft import AircraftType, silhouette
from model.synthetic.airframe import draw_airplane, fringe, visible_box
from model.synthetic.fleet import TYPES
from model.synthetic.livery import draw_livery
from model.synthetic.pavement import yellow_line
from model.synthetic.place import Place, arc, rectangle, rectangles, ribbon
from model.synthetic.service import leave_about, serve
from model.synthetic.world import YELLOW_PAINT, Tier, World

_TURN_M = 28.0  # radius of the lines by which airplanes leave a stand
_EDGE_M = 1.0  # an airplane stays at least so far inside the scene


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
