"""Taxiways and aprons: pavement, joints, guide lines, traces of use."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from shapely import LineString, Polygon, unary_union

from model.synthetic.place import Place, arc, dashes, rectangle, rectangles, ribbon
from model.synthetic.world import YELLOW_PAINT, Material, Tier, World

_FILLET_M = 28.0  # radius of the pavement's inner corners
_CURVE_M = 36.0  # radius of the guide lines where taxiways meet
_SHOULDER_M = 7.5
_ASPHALT_LANE_M = 12.0
_SLAB_M = 7.5


@dataclass(slots=True)
class TaxiNet:
    """Taxiways gathered before they are paved as one, in an airport's frame.

    Attributes:
        paths: Centre lines (N, 2) with the width of the pavement, metres.
        guides: Yellow lines besides the centre lines: curves at junctions.
        aprons: Outlines of aprons.
    """

    paths: list[tuple[NDArray[np.float64], float]] = field(default_factory=list)
    guides: list[NDArray[np.float64]] = field(default_factory=list)
    aprons: list[NDArray[np.float64]] = field(default_factory=list)

    def along(self, y: float, x0: float, x1: float, width: float) -> None:
        """Add a taxiway along x."""
        self.paths.append((np.array([(x0, y), (x1, y)]), width))

    def link(
        self, x: float, y0: float, y1: float, width: float, slant: float = 0.0, turns: tuple[int, ...] = (-1, 1)
    ) -> None:
        """Add a taxiway from (x, y0) to (x + slant, y1), with lines that curve to smaller x (-1) and greater x (1)."""
        self.paths.append((np.array([(x, y0), (x + slant, y1)]), width))
        if abs(y1 - y0) < 2.5 * _CURVE_M or slant:
            return
        down = math.copysign(1.0, y1 - y0)
        for turn in turns:
            for y, out in ((y0, down), (y1, -down)):
                start = 0.0 if turn < 0 else -out * math.pi
                centre = (x + turn * _CURVE_M, y + out * _CURVE_M)
                self.guides.append(arc(*centre, _CURVE_M, start, -out * math.pi / 2))


def lay_taxiways(world: World, frame: Place, net: TaxiNet, asphalt: bool, rng: np.random.Generator) -> None:
    """Pave a net of taxiways as one, with rounded corners, shoulders and yellow lines."""
    palette = world.palette
    strips = [LineString(path).buffer(width / 2, cap_style="flat") for path, width in net.paths]
    strips += [Polygon(outline) for outline in net.aprons]
    whole = unary_union(strips).buffer(0.5)
    rounded = whole.buffer(_FILLET_M, quad_segs=5).buffer(-_FILLET_M, quad_segs=5)
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


def yellow_line(world: World, frame: Place, path: ArrayLike, width: float = 0.35) -> None:
    """Paint a taxi guide line along a local path (N, 2), with the dirt that gathers beside it."""
    world.stain(frame, ribbon(path, 1.6), 0.12)
    world.pave(frame, ribbon(path, width), YELLOW_PAINT, Tier.MARKING)


def lay_apron(
    world: World, frame: Place, outline: NDArray[np.float64], concrete: bool, rng: np.random.Generator
) -> None:
    """Pave an apron: lanes and slabs of slightly different tone, joints between them, repairs, grime.

    Args:
        world: The sheet.
        frame: The frame of the outline.
        outline: Ring (N, 2), local metres, whose sides mostly follow the axes.
        concrete: Concrete slabs, or else asphalt lanes.
        rng: Tones and repairs are drawn from it.
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


def _repairs(world: World, frame: Place, inside: Polygon, base: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Slabs laid anew, lighter or darker."""
    spots = _strewn(inside, 2600, rng)
    corners = np.round(spots / _SLAB_M) * _SLAB_M
    sides = _SLAB_M * rng.choice((1, 1, 1, 2, 3), spots.shape)
    slabs = rectangles(np.concatenate([corners, corners + sides], axis=1))
    whole = slabs[[bool(inside.contains(Polygon(slab))) for slab in slabs]]
    world.pave(frame, whole, base * rng.normal(0.99, 0.05, (len(whole), 1)), Tier.SLAB)


def _grime(world: World, frame: Place, inside: Polygon, rng: np.random.Generator) -> None:
    """Streaks and drops that wheels, rain and spills leave on an apron."""
    spots = _strewn(inside, 900, rng)
    count = len(spots)
    size = np.stack([rng.gamma(1.5, 6.0, count) + 1, rng.uniform(0.5, 2.0, count)], axis=1)
    size = np.where(rng.random((count, 1)) < 0.5, size, size[:, ::-1])
    ends = np.minimum(spots + size, inside.bounds[2:])
    for streak in rectangles(np.concatenate([spots, ends], axis=1)):
        world.stain(frame, streak, rng.uniform(0.10, 0.35), rng.uniform(0.2, 0.6))


def _strewn(inside: Polygon, area: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random points (N, 2) in a polygon's bounds, one for each `area` square metres."""
    x0, y0, x1, y1 = inside.bounds
    return rng.uniform((x0, y0), (x1, y1), (int((x1 - x0) * (y1 - y0) / area), 2))


def _joints(world: World, frame: Place, inside: Polygon, colour: NDArray[np.float64]) -> None:
    x0, y0, x1, y1 = inside.bounds
    lines = [LineString([(x, y0), (x, y1)]) for x in np.arange(x0, x1, _SLAB_M)]
    lines += [LineString([(x0, y), (x1, y)]) for y in np.arange(y0, y1, _SLAB_M)]
    for cut in (inside.intersection(line) for line in lines):
        for piece in getattr(cut, "geoms", [cut]):
            if piece.length > 1:
                world.pave(frame, ribbon(piece.coords, 0.22), colour, Tier.JOINT)
