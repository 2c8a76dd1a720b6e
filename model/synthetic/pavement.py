"""Runways, taxiways and aprons: pavement, markings, joints and traces of use; closed runways and helipads.

Airport frame: x along the runway, y towards the terminal, metres. Closure crosses and helipads are decoys: from above
they resemble airplanes.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from shapely import LineString, Polygon, unary_union

from model.synthetic.geometry import (
    Frame,
    arc,
    centred_box,
    dashes,
    discs,
    oriented_boxes,
    rectangle,
    rectangles,
    ribbon,
)
from model.synthetic.world import WHITE_PAINT, YELLOW_PAINT, Material, Tier, World

_SHOULDER_M = 7.5
_BLAST_PAD_M = 60.0
_LONG_M, _MEDIUM_M = 1200.0, 700.0  # minimum lengths for more markings
# Segments of each digit, and their ends on a grid of 2 x 3 points.
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
_FILLET_M = 28.0  # radius of the inner corners of the pavement
_CURVE_M = 36.0  # radius of the guide lines where taxiways meet
_ASPHALT_LANE_M = 12.0
_SLAB_M = 7.5
_RED_PAINT = (178, 74, 62)
_BORDER = (38, 38, 40)
_LETTER_H = np.array([[(-0.2, -0.14), (0.2, -0.14)], [(-0.2, 0.14), (0.2, 0.14)], [(0.0, -0.14), (0.0, 0.14)]])


@dataclass(frozen=True, slots=True)
class Runway:
    """A runway in an airport's frame.

    Attributes:
        y: position of the centre line, metres.
        x0: first end, metres.
        x1: second end, metres, greater than `x0`.
        width: metres.
        asphalt: true for asphalt, False for concrete.
    """

    y: float
    x0: float
    x1: float
    width: float
    asphalt: bool


def lay_runway(world: World, frame: Frame, runway: Runway, rng: np.random.Generator) -> None:
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
        threshold = frame.child(end, y, inwards)
        _mark_end(world, threshold, runway)
        _rubber(world, threshold, min(0.4 * (x1 - x0), 900), rng)
    for dash in dashes([(x0 + 90, y), (x1 - 90, y)], 36, 24):
        world.pave(frame, ribbon(dash, 0.9), WHITE_PAINT, Tier.MARKING)
    for side in (y - half + 1.2, y + half - 1.2):
        world.pave(frame, ribbon([(x0, side), (x1, side)], 0.9), WHITE_PAINT, Tier.MARKING)


def _resurface(world: World, frame: Frame, runway: Runway, base: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Draw lengthwise lanes and a newer section, each in a slightly different tone."""
    half = runway.width / 2
    lanes = np.linspace(runway.y - half, runway.y + half, 9)
    boxes = [(runway.x0, low, runway.x1, high) for low, high in pairwise(lanes)]
    world.pave(frame, rectangles(boxes), base * rng.normal(0.97, 0.025, (len(boxes), 1)), Tier.SLAB)
    begin, end = np.sort(rng.uniform(runway.x0, runway.x1, 2))
    world.pave(frame, rectangle(begin, lanes[2], end, lanes[6]), base * rng.uniform(0.86, 1.06), Tier.SLAB)


def _mark_end(world: World, end: Frame, runway: Runway) -> None:
    """Paint threshold, number, touchdown marks and blast pad chevrons; x points inwards from the threshold."""
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
    elif length > _MEDIUM_M:
        marks += [(200.0, 8 * side - 2, 230.0, 8 * side + 2) for side in (-1, 1)]
    world.pave(end, rectangles(marks), WHITE_PAINT, Tier.MARKING)
    number = runway_number(end)
    _paint_number(world, end.child(48, 0), (number // 10, number % 10))
    for x in np.arange(-52, -12, 14.0):
        world.pave(end, ribbon([(x, -half), (x + 20, 0), (x, half)], 1.0), YELLOW_PAINT, Tier.MARKING)


def runway_number(end: Frame) -> int:
    """Return the number painted at a runway end: the landing heading along x in tens of degrees, 1..36."""
    return round((math.degrees(end.angle) + 90) / 10 - 1) % 36 + 1


def _paint_number(world: World, frame: Frame, digits: tuple[int, int]) -> None:
    """Paint two digits of 9 x 5 m, readable when landing along x."""
    for digit, y in zip(digits, (-6.5, 1.5), strict=True):
        for name in _DIGITS[digit]:
            ax, ay, bx, by = _SEGMENTS[name]
            stroke = ribbon([(9 - 4.5 * ay, y + 5 * ax), (9 - 4.5 * by, y + 5 * bx)], 1.1)
            world.pave(frame, stroke, WHITE_PAINT, Tier.MARKING)


def _rubber(world: World, end: Frame, reach: float, rng: np.random.Generator) -> None:
    count = 150
    start = rng.triangular(90, 300, max(reach, 301), count)
    side = rng.choice((-1, 1), count) * rng.normal(4.2, 1.6, count)
    streaks = np.stack([start, side - 0.6, start + rng.uniform(40, 200, count), side + 0.6], axis=1)
    world.stain(end, rectangles(streaks), np.full(count, 0.4), 0.13)
    for half, opacity in ((9.0, 0.22), (6.0, 0.25), (3.5, 0.18)):
        world.stain(end, rectangle(140, -half, max(0.8 * reach, 150), half), 0.30, opacity)


@dataclass(slots=True)
class TaxiNet:
    """The taxiways and aprons of an airport, collected to be paved together, in the airport's frame.

    Attributes:
        paths: centre lines (N, 2), each with the width of its pavement, metres.
        guides: yellow lines in addition to the centre lines: curves at junctions.
        aprons: outlines of aprons.
    """

    paths: list[tuple[NDArray[np.float64], float]] = field(default_factory=list)
    guides: list[NDArray[np.float64]] = field(default_factory=list)
    aprons: list[NDArray[np.float64]] = field(default_factory=list)

    def add_lane(self, y: float, x0: float, x1: float, width: float) -> None:
        """Add a taxiway along x."""
        self.paths.append((np.array([(x0, y), (x1, y)]), width))

    def add_connector(
        self, x: float, y0: float, y1: float, width: float, slant: float = 0.0, turns: tuple[int, ...] = (-1, 1)
    ) -> None:
        """Add a taxiway from (x, y0) to (x + slant, y1), with guide curves to smaller (-1) and greater x (1)."""
        self.paths.append((np.array([(x, y0), (x + slant, y1)]), width))
        if abs(y1 - y0) < 2.5 * _CURVE_M or slant:
            return
        down = math.copysign(1.0, y1 - y0)
        for turn in turns:
            for y, out in ((y0, down), (y1, -down)):
                start = 0.0 if turn < 0 else -out * math.pi
                centre = (x + turn * _CURVE_M, y + out * _CURVE_M)
                self.guides.append(arc(*centre, _CURVE_M, start, -out * math.pi / 2))


def lay_taxiways(world: World, frame: Frame, net: TaxiNet, asphalt: bool, rng: np.random.Generator) -> None:
    """Pave the union of a taxiway network, with rounded corners, shoulders and yellow lines."""
    palette = world.palette
    strips = [LineString(path).buffer(width / 2, cap_style="flat") for path, width in net.paths]
    strips += [Polygon(outline) for outline in net.aprons]
    union = unary_union(strips).buffer(0.5)
    rounded = union.buffer(_FILLET_M, quad_segs=5).buffer(-_FILLET_M, quad_segs=5)
    paved = unary_union([rounded, *strips])
    dark = np.array(palette.asphalt) * rng.uniform(0.72, 0.95)
    world.pave_area(frame, paved.buffer(_SHOULDER_M, quad_segs=4), dark, Tier.SHOULDER, Material.ASPHALT)
    base = np.array(palette.asphalt if asphalt else palette.concrete) * rng.uniform(0.94, 1.06)
    world.pave_area(frame, paved, base, Tier.PAVEMENT, Material.ASPHALT if asphalt else Material.CONCRETE)
    for path, width in net.paths:
        line = np.array(LineString(path).segmentize(40.0).coords)
        world.stain(frame, ribbon(line, 0.55 * width), 0.10)
        world.stain(frame, ribbon(line, 0.28 * width), 0.10, 0.6)
        yellow_line(world, frame, line)
        for joint in [] if asphalt else dashes(line, 0.3, _SLAB_M - 0.3):
            world.pave(frame, ribbon(joint, width), base * 0.88, Tier.SLAB)
    for guide in net.guides:
        yellow_line(world, frame, guide)


def yellow_line(world: World, frame: Frame, path: ArrayLike, width: float = 0.35) -> None:
    """Paint a taxi guide line along a local path (N, 2), with the dirt beside it."""
    world.stain(frame, ribbon(path, 1.6), 0.12)
    world.pave(frame, ribbon(path, width), YELLOW_PAINT, Tier.MARKING)


def lay_apron(
    world: World, frame: Frame, outline: NDArray[np.float64], concrete: bool, rng: np.random.Generator
) -> None:
    """Pave an apron: lanes and slabs of slightly different tone, joints, repairs, dirt.

    Args:
        world: the scene's contents.
        frame: frame of the outline.
        outline: ring (N, 2), local metres, with sides mostly along the axes.
        concrete: true for concrete slabs, False for asphalt lanes.
        rng: source of tones and repairs.
    """
    base = np.array(world.palette.concrete if concrete else world.palette.asphalt) * rng.uniform(0.94, 1.06)
    material = Material.CONCRETE if concrete else Material.ASPHALT
    world.pave(frame, outline, base, Tier.APRON, material)
    inside = Polygon(outline).buffer(-1.0)
    x0, y0, x1, y1 = inside.bounds
    for low, high in pairwise(np.arange(y0, y1, 2 * _SLAB_M if concrete else _ASPHALT_LANE_M)):
        lane = inside.intersection(Polygon(rectangle(x0, low, x1, high)))
        tone = base * rng.normal(1.0, 0.028) * (0.93 if rng.random() < 0.1 else 1.0)
        world.pave_area(frame, lane, tone, Tier.APRON, Material.KEEP)
    _repairs(world, frame, inside, base, rng)
    _grime(world, frame, inside, rng)
    if concrete:
        _joints(world, frame, inside, base * 0.90)


def _repairs(world: World, frame: Frame, inside: Polygon, base: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Draw replaced slabs, lighter or darker."""
    spots = _random_points(inside, 2600, rng)
    corners = np.round(spots / _SLAB_M) * _SLAB_M
    sides = _SLAB_M * rng.choice((1, 1, 1, 2, 3), spots.shape)
    slabs = rectangles(np.concatenate([corners, corners + sides], axis=1))
    inner = slabs[[bool(inside.contains(Polygon(slab))) for slab in slabs]]
    world.pave(frame, inner, base * rng.normal(0.99, 0.05, (len(inner), 1)), Tier.SLAB)


def _grime(world: World, frame: Frame, inside: Polygon, rng: np.random.Generator) -> None:
    """Draw streaks and drops left by wheels, rain and spills."""
    spots = _random_points(inside, 900, rng)
    count = len(spots)
    size = np.stack([rng.gamma(1.5, 6.0, count) + 1, rng.uniform(0.5, 2.0, count)], axis=1)
    size = np.where(rng.random((count, 1)) < 0.5, size, size[:, ::-1])
    ends = np.minimum(spots + size, inside.bounds[2:])
    for streak in rectangles(np.concatenate([spots, ends], axis=1)):
        world.stain(frame, streak, rng.uniform(0.10, 0.35), rng.uniform(0.2, 0.6))


def _random_points(inside: Polygon, area: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return random points (N, 2) in a polygon's bounds, one for each `area` square metres."""
    x0, y0, x1, y1 = inside.bounds
    return rng.uniform((x0, y0), (x1, y1), (int((x1 - x0) * (y1 - y0) / area), 2))


def _joints(world: World, frame: Frame, inside: Polygon, colour: NDArray[np.float64]) -> None:
    x0, y0, x1, y1 = inside.bounds
    lines = [LineString([(x, y0), (x, y1)]) for x in np.arange(x0, x1, _SLAB_M)]
    lines += [LineString([(x0, y), (x1, y)]) for y in np.arange(y0, y1, _SLAB_M)]
    for cut in (inside.intersection(line) for line in lines):
        for piece in getattr(cut, "geoms", [cut]):
            if piece.length > 1:
                world.pave(frame, ribbon(piece.coords, 0.22), colour, Tier.JOINT)


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
