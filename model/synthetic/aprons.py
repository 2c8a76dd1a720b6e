"""The aprons of an airport: passenger terminals, remote stands, cargo, small aircraft and hangars.

Frames: x along the runway, y away from it. The origin of a terminal is the middle of the hall's airside wall, and its
piers extend to negative y; the origin of any other apron is the middle of its near edge.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from shapely import Polygon

from model.synthetic.aircraft import (
    BUSINESS,
    CARGO,
    FIGHTER,
    LIGHT,
    NARROW,
    REGIONAL,
    TURBOPROP,
    TYPES,
    WIDE,
    AircraftType,
)
from model.synthetic.buildings import (
    building,
    jet_bridge,
    roof_details,
    sample_plan_letter,
    vaulted_hall,
    wing_boxes,
    winged_building,
)
from model.synthetic.geometry import QUARTER_TURN, Frame, Size, centred_box, evenly_spaced, grid_points, regular_polygon
from model.synthetic.objects import cars, trucks
from model.synthetic.stands import Stand, equipment_park, fill_stand, hatched_box, mark_stand, park_airplane
from model.synthetic.style import Colour, pick
from model.synthetic.world import Level, World

_BRIDGES: tuple[Colour, ...] = ((222, 218, 206), (236, 234, 228), (176, 174, 168), (206, 196, 176))
_HEAD_SWEEP = math.radians(250)  # sector with stands around a pier head
_PIER_HEIGHT = 13.0
_LIGHT_TYPES = tuple(shape for shape in TYPES if shape.kind == LIGHT)
_HANGARS = np.array([(24.0, 22.0, 8.0), (42.0, 34.0, 11.0), (62.0, 13.0, 5.0)])  # length, depth, height


@dataclass(frozen=True, slots=True)
class Pier:
    """A pier in the terminal's frame.

    Attributes:
        x: where it joins the hall.
        length: metres.
        width: metres.
        tilt: radians off the perpendicular of the hall.
        large: has stands for wide bodies.
        head: radius of the round head at its end; 0 for none.
    """

    x: float
    length: float
    width: float
    tilt: float
    large: bool
    head: float


@dataclass(frozen=True, slots=True)
class _Site:
    """Settings shared by all parts of a terminal."""

    world: World
    roof: Colour
    bridge: Colour
    occupancy: float
    rng: np.random.Generator


def build_terminal(
    world: World, frame: Frame, width: float, depth: float, piers: list[Pier], rng: np.random.Generator
) -> None:
    """Build a terminal.

    Args:
        world: the scene's contents.
        frame: the terminal's frame.
        width: width of the hall along x, metres.
        depth: depth of the hall along y, metres.
        piers: its piers.
        rng: source of all other choices.
    """
    bridge = pick(_BRIDGES, rng)
    site = _Site(world, world.palette.sample_roof(rng), bridge, rng.uniform(0.66, 0.88), rng)
    _hall(site, frame, width, depth)
    for pier in piers:
        _pier(site, frame, pier)
    _hall_stands(site, frame, width, piers)


def _hall(site: _Site, frame: Frame, width: float, depth: float) -> None:
    world, rng = site.world, site.rng
    building(world, frame.child(0, depth / 2), (width, depth), 18.0, site.roof, rng)
    for x in evenly_spaced(max(1, int(width / 160)), 160):
        size, spot = (rng.uniform(50, 110), rng.uniform(0.5, 0.8) * depth), frame.child(x + rng.normal(0, 8), depth / 2)
        if rng.random() < 0.6:
            building(world, spot, size, 24.0, world.palette.sample_roof(rng), rng)
        else:
            plan = wing_boxes(sample_plan_letter(rng), size, 0.3 * min(size))
            winged_building(world, spot, plan, 24.0, world.palette.sample_roof(rng), rng)


def _pier(site: _Site, frame: Frame, pier: Pier) -> None:
    world, rng = site.world, site.rng
    out = frame.child(pier.x, 0, -math.pi / 2 + pier.tilt)  # x along the pier, away from the hall
    building(world, out.child(pier.length / 2 - 6, 0), (pier.length + 12, pier.width), _PIER_HEIGHT, site.roof, rng)
    if rng.random() < 0.6:
        spine = (pier.length * 0.9, pier.width * 0.35)
        building(world, out.child(pier.length * 0.47, 0), spine, _PIER_HEIGHT + 3, site.roof, rng)
    if pier.head:
        _round_head(site, out, pier)
    elif rng.random() < 0.8:
        stand = _stand(site, out.child(pier.length + 11, 0, math.pi), pier.large)
        _gate(site, stand, out.points((pier.length - 2.0, 9.0)))
    for side in (-1, 1):
        _side_stands(site, out, pier, side)


def _stand(site: _Site, stop: Frame, large: bool) -> Stand:
    if large:
        return Stand(stop, 64.9, 75.0, ((WIDE, 0.85), (NARROW, 0.15)))
    regional = 0.2 if site.rng.random() < 0.75 else 0.75
    return Stand(stop, 36.0, 46.0, ((NARROW, 1 - regional), (REGIONAL, regional)))


def _side_stands(site: _Site, out: Frame, pier: Pier, side: int) -> None:
    """Add nose-in stands along one side (-1 or 1) of a pier, from its end towards the hall."""
    rng, wall = site.rng, side * pier.width / 2
    spacing, slant = 70.5 if pier.large else 41.0, rng.choice((0.0, 0.0, 0.15, -0.15))
    last = pier.length - (pier.head + 0.55 * spacing if pier.head else 0.2 * spacing)
    for x in np.arange(last, 0.35 * spacing + (50 if pier.tilt else 38), -spacing):
        stop = out.child(x, wall + side * rng.uniform(10, 16), -side * math.pi / 2 + slant)
        leaves = out.local(stop.child(0.0, -27.0 if pier.large else -19.0).points((0.0, 0.0)))
        _gate(site, _stand(site, stop, pier.large), out.points((leaves[0], wall)))
        if rng.random() < 0.7:
            spot = out.child(x + rng.choice((-0.5, 0.5)) * spacing, wall + side * 5)
            equipment_park(site.world, spot, (rng.uniform(8, 20), rng.choice((7, 13))), rng, 0.75)


def _gate(site: _Site, stand: Stand, wall: ArrayLike, bounds: bool = True) -> None:
    """Add a stand with its jet bridge, which starts at a point of the building's wall, scene metres (2,)."""
    mark_stand(site.world, stand, bounds)
    shape = fill_stand(site.world, stand, site.rng, site.occupancy)
    start = stand.stop.local(wall)
    elbow = start - (6.0, 0.0)
    path = np.stack([start, elbow, _bridge_end(shape, site.rng)])
    jet_bridge(site.world, stand.stop, path, site.bridge)


def _bridge_end(shape: AircraftType | None, rng: np.random.Generator) -> tuple[float, float]:
    """Return the airplane's front left door in the stand's frame, or the idle position of the bridge."""
    if shape is None or shape.length < 28:
        return (-3.0 - rng.uniform(0, 8), -15.0 - rng.uniform(0, 3))
    return (-0.135 * shape.length - 1.0, -shape.width / 2 - 1.3)


def _round_head(site: _Site, out: Frame, pier: Pier) -> None:
    """Add an octagonal pier head with airplanes around it."""
    centre, apothem = out.child(pier.length - pier.head, 0), pier.head * math.cos(math.pi / 8)
    ring = regular_polygon(pier.head, 8)
    site.world.extrude(centre, ring, _PIER_HEIGHT + 1, site.roof)
    site.world.draw(centre, 0.8 * ring, np.array(site.roof) * 0.94, Level.STRUCTURE, _PIER_HEIGHT + 1)
    roof_details(site.world, centre, (1.1 * pier.head, 1.1 * pier.head), _PIER_HEIGHT + 1, site.roof, site.rng)
    span, length = (64.9, 75.0) if pier.large else (36.0, 46.0)
    step = 2 * math.asin(min(1.0, (span / 2 + 4) / (apothem + 9 + 0.5 * length)))  # keeps wing tips apart
    for turn in evenly_spaced(int(_HEAD_SWEEP / step), step):
        ray = centre.child(0, 0, turn)
        stand = _stand(site, ray.child(apothem + 10, 0, math.pi), pier.large)
        _gate(site, stand, ray.points((apothem - 1.0, 10.0)), bounds=False)


def _hall_stands(site: _Site, frame: Frame, width: float, piers: list[Pier]) -> None:
    """Add stands along the hall, clear of the piers and their airplanes."""
    for x in np.arange(-width / 2 + 24, width / 2 - 20, 42.0):
        room = [pier.width / 2 + (84 if pier.large else 70) + abs(pier.tilt) * 60 for pier in piers]
        if all(abs(x - pier.x) >= min_gap for pier, min_gap in zip(piers, room, strict=True)):
            stand = _stand(site, frame.child(x, -11.0, math.pi / 2), large=False)
            _gate(site, stand, frame.points((x + 19.0, 0.0)))


def remote_stands(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    """Add rows of stands without a building, straight or oblique."""
    (width, depth), large = size, size[1] > 170 and rng.random() < 0.4
    length, span = (75.0, 64.9) if large else (46.0, 36.0)
    kinds = ((WIDE, 0.8), (CARGO, 0.2)) if large else ((NARROW, 0.6), (REGIONAL, 0.2), (TURBOPROP, 0.2))
    turn, occupancy = rng.choice((0.0, math.pi, 0.6, math.pi - 0.6)), rng.uniform(0.5, 0.8)
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    spacing, pitch = (span + 5.5) / cos, length * cos + span * sin + 34
    for y in np.arange(40 + 0.5 * length, depth - 0.5 * length, pitch):
        for x in np.arange(-width / 2 + span * 0.7, width / 2 - span * 0.6, spacing):
            middle = frame.child(x, y, QUARTER_TURN + turn)
            stand = Stand(middle.child(0.5 * length, 0), span, length, kinds)
            mark_stand(world, stand, bounds=bool(rng.random() < 0.2))
            if rng.random() < 0.15:
                hatched_box(world, middle.child(0.2 * length, 0.5 * spacing), (rng.uniform(6, 16), rng.uniform(5, 9)))
            fill_stand(world, stand, rng, occupancy)
            if rng.random() < 0.3:
                equipment_park(world, middle.child(-0.1 * length, 0.5 * spacing), (16, 8), rng)


def cargo_apron(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    """Add nose-in freighters in front of sheds, with trucks behind the sheds."""
    width, depth = size
    lots, shed, roof = max(1, int(width / 150)), min(60.0, 0.3 * depth), world.palette.sample_roof(rng)
    for x in evenly_spaced(lots, width / lots):
        building(world, frame.child(x, depth + shed / 2 + 14), (width / lots - 14, shed), 14.0, roof, rng)
        docks = np.arange(-width / lots / 2 + 12, width / lots / 2 - 12, 4.2)
        docks = docks[rng.random(len(docks)) < 0.5]
        spots = np.stack([docks, np.full(len(docks), 9.0)], axis=1)
        trucks(world, frame.child(x, depth + shed + 14), spots, QUARTER_TURN, rng, 15.0)
    for x in np.arange(-width / 2 + 42, width / 2 - 36, 74.0):
        kinds = ((WIDE, 0.45), (CARGO, 0.35), (NARROW, 0.2))
        stand = Stand(frame.child(x, depth - 12, QUARTER_TURN), 65.0, 75.0, kinds)
        mark_stand(world, stand)
        fill_stand(world, stand, rng, 0.7)
        equipment_park(world, frame.child(x + 37, depth - 12), (18, 16), rng, 0.8)


def small_aircraft(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    """Add rows of business jets and turboprops in front, light aircraft behind, hangars at the back."""
    width, depth = size
    _small_hangars(world, frame, size, rng)
    for y, spacing in ((34.0, 26.0), (68.0, 24.0)):
        if y + 56 < depth:
            _aircraft_row(world, frame, (y, width), (BUSINESS, TURBOPROP), spacing, 0.5, rng)
    y = 96.0
    for _ in range(3):
        if y + 42 < depth:
            _aircraft_row(world, frame, (y, width), (LIGHT,), rng.uniform(13.5, 17), rng.uniform(0.45, 0.8), rng)
        y += rng.choice((13.0, 24.0))


def flying_club(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    """Add dense rows of light aircraft on grass, some alternating in direction, with round hangars at the back."""
    width, depth = size
    _round_hangars(world, frame, size, rng)
    y = rng.uniform(2, 9)
    while y < depth - 34:
        spacing, head = rng.uniform(8.5, 16), QUARTER_TURN * rng.choice((-1, 1)) + rng.choice((0.0, 0.0, 0.6, -0.6))
        alternate, occupancy = rng.random() < 0.3, rng.uniform(0.2, 0.85)
        for k, x in enumerate(np.arange(-width / 2 + 14, width / 2 - 12, spacing)):
            if rng.random() < occupancy:
                turned = head + rng.normal(0, 0.08) + (math.pi * (k % 2) if alternate else 0)
                shape = pick(_LIGHT_TYPES, rng)
                park_airplane(world, shape, frame.child(x, y + rng.normal(0, 0.6), turned), rng, 0.5)
        y += rng.uniform(12, 34)


def _round_hangars(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    (width, depth), x = size, -size[0] / 2 + 20
    while x < width / 2 - 24:
        hangar = (rng.uniform(14, 30), rng.uniform(14, 34))
        spot = frame.child(x, depth + hangar[1] / 2 - 8, QUARTER_TURN)
        world.footprints.append(Polygon(spot.points(centred_box(hangar[::-1]))))
        vaulted_hall(world, spot, hangar[::-1], (4, 9), world.palette.sample_roof(rng))
        x += hangar[0] + rng.uniform(4, 50)


def _aircraft_row(
    world: World,
    frame: Frame,
    row: Size,
    kinds: tuple[str, ...],
    spacing: float,
    occupancy: float,
    rng: np.random.Generator,
) -> None:
    """Park a row (its y, its width) of airplanes side by side, most of them heading the same way."""
    y, width = row
    heading = QUARTER_TURN * rng.choice((-1, 1)) + rng.choice((0.0, 0.0, 0.5, -0.5))
    shapes = [shape for shape in TYPES if shape.kind in kinds and shape.span < spacing - 1.2]
    for x in np.arange(-width / 2 + 0.6 * spacing, width / 2 - 0.5 * spacing, spacing):
        if rng.random() < occupancy:
            turned = heading + rng.normal(0, 0.05) + (math.pi if rng.random() < 0.06 else 0)
            spot = frame.child(x, y + rng.normal(0, 0.5), turned)
            park_airplane(world, pick(shapes, rng), spot, rng, 0.7)


def _small_hangars(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    (width, depth), roof = size, world.palette.sample_roof(rng)
    long, deep, high = _HANGARS[rng.integers(len(_HANGARS), size=12)].T
    ends = -width / 2 + 4 + np.concatenate([[0.0], np.cumsum(long + rng.uniform(4, 22, len(long)))])
    for k, (x, _) in enumerate(pairwise(ends)):
        if x + long[k] < width / 2:
            building(
                world, frame.child(x + long[k] / 2, depth + deep[k] / 2 - 8), (long[k], deep[k]), high[k], roof, rng
            )


def hangars(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    """Add large hangars with airplanes in front of them, sometimes a line of fighters."""
    width, depth = size
    roof, x = world.palette.sample_roof(rng), -width / 2 + 6
    while x < width / 2 - 50:
        long, deep = rng.uniform(50, 92), rng.uniform(50, 74)
        building(world, frame.child(x + long / 2, depth + deep / 2 + 2), (long, deep), 22.0, roof, rng)
        lot = grid_points(np.arange(0, long - 6, 2.8), (deep + 12.0, deep + 18.0))
        cars(world, frame.child(x + 3, depth), lot[rng.random(len(lot)) < 0.6], QUARTER_TURN, rng)
        x += long + rng.uniform(8, 30)
    if rng.random() < 0.25:
        _fighters(world, frame, size, rng)
    else:
        _hangar_stands(world, frame, size, rng)


def _fighters(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    fighters = [shape for shape in TYPES if shape.kind == FIGHTER]
    shape = pick(fighters, rng)
    for x in np.arange(-size[0] / 2 + 14, 0, shape.span + rng.choice((2.0, 5.0))):
        if rng.random() < 0.85:
            park_airplane(world, shape, frame.child(x, 0.45 * size[1], -QUARTER_TURN), rng, 0.7)


def _hangar_stands(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    kinds = ((NARROW, 0.6), (WIDE, 0.2), (CARGO, 0.2))
    for x in np.arange(-size[0] / 2 + 40, size[0] / 2 - 34, 72.0):
        turn = QUARTER_TURN + rng.choice((0.0, math.pi, 0.4))
        middle = frame.child(x + rng.normal(0, 5), size[1] - 46, turn)
        fill_stand(world, Stand(middle.child(32.0, 0.0), 61.0, 64.0, kinds), rng, 0.7)
