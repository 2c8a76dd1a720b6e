"""Runways: pavement, markings, the rubber of landings.

An airport's frame: x along the runway, y towards the terminal, metres.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model.synthetic.place import Place, dashes, rectangle, rectangles, ribbon
from model.synthetic.world import WHITE_PAINT, YELLOW_PAINT, Material, Tier, World

_SHOULDER_M = 7.5
_BLAST_PAD_M = 60.0
_LONG_M, _MIDDLING_M = 1200.0, 700.0  # lengths from which on there are more marks

# A digit's strokes, and their ends on a grid of 2 x 3 points.
_DIGITS = {
    0: "abcdef",
    1: "bc",
    2: "abged",
    3: "abgcd",
    4: "fgbc",
    5: "afgcd",
    6: "afgedc",
    7: "abc",
    8: "abcdefg",
    9: "abfgcd",
}
_SEGMENTS = {
    "a": (0, 0, 1, 0),
    "b": (1, 0, 1, 1),
    "c": (1, 1, 1, 2),
    "d": (0, 2, 1, 2),
    "e": (0, 1, 0, 2),
    "f": (0, 0, 0, 1),
    "g": (0, 1, 1, 1),
}


@dataclass(frozen=True, slots=True)
class Runway:
    """A runway in an airport's frame.

    Attributes:
        y: Of its centre line, metres.
        x0: One end, metres.
        x1: The other, greater.
        width: Metres.
        asphalt: Asphalt, or else concrete.
    """

    y: float
    x0: float
    x1: float
    width: float
    asphalt: bool


def lay_runway(world: World, frame: Place, runway: Runway, rng: np.random.Generator) -> None:
    """Pave and mark a runway."""
    palette, half, (y, x0, x1) = world.palette, runway.width / 2, (runway.y, runway.x0, runway.x1)
    base = np.array(palette.asphalt if runway.asphalt else palette.concrete)
    material = Material.ASPHALT if runway.asphalt else Material.CONCRETE
    wide, out = half + _SHOULDER_M, _BLAST_PAD_M
    shoulder = rectangle(x0 - out, y - wide, x1 + out, y + wide)
    world.pave(frame, shoulder, np.array(palette.asphalt) * 0.94, Tier.RUNWAY, Material.ASPHALT)
    surface = rectangle(x0, y - half, x1, y + half)
    world.pave(frame, surface, base * rng.uniform(0.88, 1.04), Tier.RUNWAY, material)
    _resurface(world, frame, runway, base, rng)
    for end, inwards in ((x0, 0.0), (x1, math.pi)):
        place = frame.child(end, y, inwards)
        _mark_end(world, place, runway)
        _rubber(world, place, min(0.4 * (x1 - x0), 900), rng)
    for dash in dashes([(x0 + 90, y), (x1 - 90, y)], 36, 24):
        world.pave(frame, ribbon(dash, 0.9), WHITE_PAINT, Tier.MARKING)
    for side in (y - half + 1.2, y + half - 1.2):
        world.pave(frame, ribbon([(x0, side), (x1, side)], 0.9), WHITE_PAINT, Tier.MARKING)


def _resurface(world: World, frame: Place, runway: Runway, base: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Lengthwise lanes, and a newer stretch, each of its own tone."""
    half = runway.width / 2
    lanes = np.linspace(runway.y - half, runway.y + half, 9)
    boxes = [(runway.x0, low, runway.x1, high) for low, high in pairwise(lanes)]
    world.pave(frame, rectangles(boxes), base * rng.normal(0.97, 0.025, (len(boxes), 1)), Tier.SLAB)
    begin, end = np.sort(rng.uniform(runway.x0, runway.x1, 2))
    world.pave(frame, rectangle(begin, lanes[2], end, lanes[6]), base * rng.uniform(0.86, 1.06), Tier.SLAB)


def _mark_end(world: World, end: Place, runway: Runway) -> None:
    """Threshold, number, touchdown marks, chevrons on the blast pad; x runs inwards from the threshold."""
    half, length = runway.width / 2, runway.x1 - runway.x0
    right = np.arange(2.0, half - 4, 3.6)
    marks = [(6.0, y, 36.0, y + 1.8) for y in (*right, *(-right - 1.8))]
    if length > _LONG_M:
        marks += [(400.0, 11 * side - 4, 450.0, 11 * side + 4) for side in (-1, 1)]
        marks += [
            (x, side * (9 + 3.4 * bar) - 1.2, x + 22, side * (9 + 3.4 * bar) + 1.2)
            for x, bars in ((150.0, 3), (300.0, 2), (600.0, 2))
            for bar in range(bars)
            for side in (-1, 1)
        ]
    elif length > _MIDDLING_M:
        marks += [(200.0, 8 * side - 2, 230.0, 8 * side + 2) for side in (-1, 1)]
    world.pave(end, rectangles(marks), WHITE_PAINT, Tier.MARKING)
    number = runway_number(end)
    _write(world, end.child(48, 0), (number // 10, number % 10))
    for x in np.arange(-52, -12, 14.0):
        world.pave(end, ribbon([(x, -half), (x + 20, 0), (x, half)], 1.0), YELLOW_PAINT, Tier.MARKING)


def runway_number(end: Place) -> int:
    """Return what is painted at a runway's end: the heading, in tens of degrees 1..36, of those who land along x."""
    return round((math.degrees(end.angle) + 90) / 10 - 1) % 36 + 1


def _write(world: World, place: Place, digits: tuple[int, int]) -> None:
    """Two figures of 9 x 5 m, read by those who come in to land (along x)."""
    for digit, y in zip(digits, (-6.5, 1.5), strict=True):
        for name in _DIGITS[digit]:
            ax, ay, bx, by = _SEGMENTS[name]
            stroke = ribbon([(9 - 4.5 * ay, y + 5 * ax), (9 - 4.5 * by, y + 5 * bx)], 1.1)
            world.pave(place, stroke, WHITE_PAINT, Tier.MARKING)


def _rubber(world: World, end: Place, reach: float, rng: np.random.Generator) -> None:
    count = 150
    start = rng.triangular(90, 300, max(reach, 301), count)
    side = rng.choice((-1, 1), count) * rng.normal(4.2, 1.6, count)
    streaks = np.stack([start, side - 0.6, start + rng.uniform(40, 200, count), side + 0.6], axis=1)
    world.stain(end, rectangles(streaks), np.full(count, 0.4), 0.13)
    for half, opacity in ((9.0, 0.22), (6.0, 0.25), (3.5, 0.18)):
        world.stain(end, rectangle(140, -half, max(0.8 * reach, 150), half), 0.30, opacity)
