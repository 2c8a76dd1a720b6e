"""A passenger terminal: its hall, its piers, the jets nose-in around them.

Its frame: x along the runway, y away from it; the hall's airside wall lies on y = 0, and its piers reach to negative y.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from model.synthetic.aircraft import NARROW, REGIONAL, WIDE, AircraftType
from model.synthetic.buildings import building, jet_bridge, roof_details
from model.synthetic.place import Place, ring_around, rows
from model.synthetic.roofs import draw_letter, winged, wings_of
from model.synthetic.service import equipment_park
from model.synthetic.stands import Stand, mark_stand, use_stand
from model.synthetic.style import Colour
from model.synthetic.world import Level, World

_BRIDGES: tuple[Colour, ...] = ((222, 218, 206), (236, 234, 228), (176, 174, 168), (206, 196, 176))
_HEAD_SWEEP = math.radians(250)  # how far around a pier's head airplanes stand
_PIER_HEIGHT = 13.0


@dataclass(frozen=True, slots=True)
class Pier:
    """One pier, in the terminal's frame.

    Attributes:
        x: Where it leaves the hall.
        length: Metres.
        width: Metres.
        tilt: Radians off the straight way out.
        large: Stands for wide bodies.
        head: Radius of the round head at its end; 0 for none.
    """

    x: float
    length: float
    width: float
    tilt: float
    large: bool
    head: float


@dataclass(frozen=True, slots=True)
class _Site:
    """What all parts of one terminal share."""

    world: World
    roof: Colour
    bridge: Colour
    occupancy: float
    rng: np.random.Generator


def build_terminal(
    world: World, frame: Place, width: float, depth: float, piers: list[Pier], rng: np.random.Generator
) -> None:
    """Build a terminal.

    Args:
        world: The sheet.
        frame: The terminal's frame, its origin in the middle of the airside wall.
        width: Of the hall, along x, metres.
        depth: Of the hall, along y, metres.
        piers: Its piers.
        rng: Everything else is drawn from it.
    """
    bridge = _BRIDGES[int(rng.integers(len(_BRIDGES)))]
    site = _Site(world, world.palette.draw_roof(rng), bridge, rng.uniform(0.66, 0.88), rng)
    _hall(site, frame, width, depth)
    for pier in piers:
        _pier(site, frame, pier)
    _face(site, frame, width, piers)


def _hall(site: _Site, frame: Place, width: float, depth: float) -> None:
    world, rng = site.world, site.rng
    building(world, frame.child(0, depth / 2), (width, depth), 18.0, site.roof, rng)
    for x in rows(max(1, int(width / 160)), 160):
        size, spot = (rng.uniform(50, 110), rng.uniform(0.5, 0.8) * depth), frame.child(x + rng.normal(0, 8), depth / 2)
        if rng.random() < 0.6:
            building(world, spot, size, 24.0, world.palette.draw_roof(rng), rng)
        else:
            plan = wings_of(draw_letter(rng), size, 0.3 * min(size))
            winged(world, spot, plan, 24.0, world.palette.draw_roof(rng), rng)


def _pier(site: _Site, frame: Place, pier: Pier) -> None:
    world, rng = site.world, site.rng
    out = frame.child(pier.x, 0, -math.pi / 2 + pier.tilt)  # x along the pier, from the hall to its end
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


def _stand(site: _Site, stop: Place, large: bool) -> Stand:
    if large:
        return Stand(stop, 64.9, 75.0, ((WIDE, 0.85), (NARROW, 0.15)))
    regional = 0.2 if site.rng.random() < 0.75 else 0.75
    return Stand(stop, 36.0, 46.0, ((NARROW, 1 - regional), (REGIONAL, regional)))


def _side_stands(site: _Site, out: Place, pier: Pier, side: int) -> None:
    """Nose-in stands along one side (-1 or 1) of a pier, from its end towards the hall."""
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
    """A stand with its jet bridge, which leaves the building at a point of its wall, scene metres (2,)."""
    mark_stand(site.world, stand, bounds)
    shape = use_stand(site.world, stand, site.rng, site.occupancy)
    start = stand.stop.local(wall)
    elbow = start - (6.0, 0.0)
    path = np.stack([start, elbow, _bridge_end(shape, site.rng)])
    jet_bridge(site.world, stand.stop, path, site.bridge)


def _bridge_end(shape: AircraftType | None, rng: np.random.Generator) -> tuple[float, float]:
    """The airplane's front left door in the stand's frame, or where a bridge waits when there is none to reach."""
    if shape is None or shape.length < 28:
        return (-3.0 - rng.uniform(0, 8), -15.0 - rng.uniform(0, 3))
    return (-0.135 * shape.length - 1.0, -shape.width / 2 - 1.3)


def _round_head(site: _Site, out: Place, pier: Pier) -> None:
    """An eight-cornered head with airplanes all around."""
    centre, apothem = out.child(pier.length - pier.head, 0), pier.head * math.cos(math.pi / 8)
    ring = ring_around(pier.head, 8)
    site.world.solid(centre, ring, _PIER_HEIGHT + 1, site.roof)
    site.world.put(centre, 0.8 * ring, np.array(site.roof) * 0.94, Level.STRUCTURE, _PIER_HEIGHT + 1)
    roof_details(site.world, centre, (1.1 * pier.head, 1.1 * pier.head), _PIER_HEIGHT + 1, site.roof, site.rng)
    span, length = (64.9, 75.0) if pier.large else (36.0, 46.0)
    step = 2 * math.asin(min(1.0, (span / 2 + 4) / (apothem + 9 + 0.5 * length)))  # wing tips clear each other
    for turn in rows(int(_HEAD_SWEEP / step), step):
        ray = centre.child(0, 0, turn)
        stand = _stand(site, ray.child(apothem + 10, 0, math.pi), pier.large)
        _gate(site, stand, ray.points((apothem - 1.0, 10.0)), bounds=False)


def _face(site: _Site, frame: Place, width: float, piers: list[Pier]) -> None:
    """Stands along the hall itself, where no pier and no pier's airplanes are in the way."""
    for x in np.arange(-width / 2 + 24, width / 2 - 20, 42.0):
        room = [pier.width / 2 + (84 if pier.large else 70) + abs(pier.tilt) * 60 for pier in piers]
        if all(abs(x - pier.x) >= least for pier, least in zip(piers, room, strict=True)):
            stand = _stand(site, frame.child(x, -11.0, math.pi / 2), large=False)
            _gate(site, stand, frame.points((x + 19.0, 0.0)))
