"""Airfield decoys that resemble airplanes: closure crosses, helipads, hatched boxes, carts and service vehicles."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from shapely import Point

from model.synthetic.geometry import (
    QUARTER_TURN,
    Frame,
    Size,
    centred_box,
    discs,
    oriented_boxes,
    rectangle,
    rectangles,
    ribbon,
)
from model.synthetic.objects import equipment, trucks
from model.synthetic.pavement import TaxiNet
from model.synthetic.world import WHITE_PAINT, YELLOW_PAINT, Level, Material, Tier, World

_RED_PAINT = (178, 74, 62)
_BORDER = (38, 38, 40)
_LETTER_H = np.array([[(-0.2, -0.14), (0.2, -0.14)], [(-0.2, 0.14), (0.2, 0.14)], [(0.0, -0.14), (0.0, 0.14)]])
_VEHICLE_CLEARANCE_M = 18.0  # distance of these vehicles from airplanes and buildings


def closed_mark(world: World, frame: Frame, size: float, colour: ArrayLike, rng: np.random.Generator) -> None:
    """Paint the cross of a closed runway or taxiway; each bar is `size` metres long.

    The width of a bar is a tenth to a sixth of its length; the bars cross at a right angle or less, and may have a dark
    border (FAA AC 150/5340-1, ICAO Annex 14, 7.1).
    """
    half, breadth, lean = size / 2, rng.uniform(0.1, 0.17) * size / 2, rng.uniform(0.75, 1) * math.pi / 4
    coats = [(0.06 * size, _BORDER), (0.0, colour)] if rng.random() < 0.5 else [(0.0, colour)]
    for margin, paint in coats:
        for turn in (lean, -lean):
            bar = rectangle(-half - margin, -breadth - margin, half + margin, breadth + margin)
            world.pave(frame.child(0, 0, turn), bar, paint, Tier.MARKING)


def close_taxiways(world: World, frame: Frame, net: TaxiNet, share: float, rng: np.random.Generator) -> None:
    """Paint yellow crosses on a random share of the connecting taxiways."""
    for path, width in net.paths:
        ahead = path[-1] - path[0]
        if abs(ahead[1]) > 90 and rng.random() < share:
            for part in (0.35, 0.65):
                x, y = path[0] + part * ahead
                spot = frame.child(x, y, math.atan2(ahead[1], ahead[0]))
                closed_mark(world, spot, rng.uniform(0.5, 0.9) * width, YELLOW_PAINT, rng)


def old_runway(world: World, frame: Frame, length: float, width: float, rng: np.random.Generator) -> None:
    """Pave a disused runway along a frame's x axis: faded, patched, with grass in its joints and crosses along it."""
    base = np.array(world.palette.asphalt if rng.random() < 0.5 else world.palette.concrete) * rng.uniform(0.95, 1.12)
    strip = rectangle(-length / 2, -width / 2, length / 2, width / 2)
    world.pave(frame, strip, base, Tier.TRACK, Material.SOIL)
    patches = rng.uniform(-0.5, 0.5, (int(length / 14), 2)) * (length, 0.7 * width)
    sizes = rng.uniform(3, 30, len(patches)), rng.uniform(2, 0.3 * width, len(patches))
    world.pave(frame, oriented_boxes(patches, *sizes, 0), base * rng.normal(1, 0.05, (len(patches), 1)), Tier.ROAD)
    grass = np.array(world.palette.dry_grass)
    for y in np.arange(-width / 2, width / 2, rng.uniform(4, 8)):
        world.pave(frame, ribbon([(-length / 2, y), (length / 2, y)], 0.5), 0.5 * (base + grass), Tier.ROAD)
    paint, size = WHITE_PAINT if rng.random() < 0.6 else YELLOW_PAINT, rng.uniform(0.5, 1.0) * width
    for x in np.arange(-length / 2 + 40, length / 2, rng.uniform(110, 260)):
        closed_mark(world, frame.child(x, 0), size, np.array(paint) * rng.uniform(0.8, 1.0), rng)


def helipad(world: World, frame: Frame, size: float, rng: np.random.Generator) -> None:
    """Pave a helipad centred on a frame, with an H in a ring or a square."""
    tone = np.array(world.palette.asphalt if rng.random() < 0.5 else world.palette.concrete)
    world.pave(frame, centred_box((size, size)), tone, Tier.PAVEMENT, Material.CONCRETE)
    bar, edge = 0.06 * size, 0.42 * size
    around = discs((0.0, 0.0), edge, 24)[0] if rng.random() < 0.5 else centred_box((2 * edge, 2 * edge))
    for line in pairwise(np.concatenate([around, around[:1]])):
        world.pave(frame, ribbon(line, 0.5 * bar), YELLOW_PAINT, Tier.MARKING)
    for line in _LETTER_H * size:
        world.pave(frame, ribbon(line, bar), WHITE_PAINT, Tier.MARKING)


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
