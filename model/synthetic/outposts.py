"""The other aprons of an airport: remote stands, cargo, small aircraft, hangars. Each fills a box of its own frame.

The frame: x along the runway, y away from it, the origin in the middle of the apron's near edge.
"""

import math
from itertools import pairwise

import numpy as np
from shapely import Polygon

from model.synthetic.aircraft import BUSINESS, CARGO, FIGHTER, LIGHT, NARROW, REGIONAL, TURBOPROP, WIDE
from model.synthetic.buildings import building
from model.synthetic.decoys import hatched_box
from model.synthetic.fleet import TYPES
from model.synthetic.place import Place, centred, rows
from model.synthetic.roofs import vaulted
from model.synthetic.service import equipment_park
from model.synthetic.stands import Stand, mark_stand, park, use_stand
from model.synthetic.things import cars, trucks
from model.synthetic.world import World

Size = tuple[float, float]

_ACROSS = math.pi / 2
_LIGHTS = tuple(shape for shape in TYPES if shape.kind == LIGHT)
_HANGARS = np.array([(24.0, 22.0, 8.0), (42.0, 34.0, 11.0), (62.0, 13.0, 5.0)])  # long, deep, high, for small aircraft


def remote_stands(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    """Rows of stands without a building, their airplanes aslant or straight."""
    (width, depth), large = size, size[1] > 170 and rng.random() < 0.4
    length, span = (75.0, 64.9) if large else (46.0, 36.0)
    kinds = ((WIDE, 0.8), (CARGO, 0.2)) if large else ((NARROW, 0.6), (REGIONAL, 0.2), (TURBOPROP, 0.2))
    turn, occupancy = rng.choice((0.0, math.pi, 0.6, math.pi - 0.6)), rng.uniform(0.5, 0.8)
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    spacing, pitch = (span + 5.5) / cos, length * cos + span * sin + 34
    for y in np.arange(40 + 0.5 * length, depth - 0.5 * length, pitch):
        for x in np.arange(-width / 2 + span * 0.7, width / 2 - span * 0.6, spacing):
            middle = frame.child(x, y, _ACROSS + turn)
            stand = Stand(middle.child(0.5 * length, 0), span, length, kinds)
            mark_stand(world, stand, bounds=bool(rng.random() < 0.2))
            if rng.random() < 0.15:
                hatched_box(world, middle.child(0.2 * length, 0.5 * spacing), (rng.uniform(6, 16), rng.uniform(5, 9)))
            use_stand(world, stand, rng, occupancy)
            if rng.random() < 0.3:
                equipment_park(world, middle.child(-0.1 * length, 0.5 * spacing), (16, 8), rng)


def cargo_apron(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    """Freighters nose-in before sheds, trucks behind the sheds."""
    width, depth = size
    lots, shed, roof = max(1, int(width / 150)), min(60.0, 0.3 * depth), world.palette.draw_roof(rng)
    for x in rows(lots, width / lots):
        building(world, frame.child(x, depth + shed / 2 + 14), (width / lots - 14, shed), 14.0, roof, rng)
        docks = np.arange(-width / lots / 2 + 12, width / lots / 2 - 12, 4.2)
        docks = docks[rng.random(len(docks)) < 0.5]
        spots = np.stack([docks, np.full(len(docks), 9.0)], axis=1)
        trucks(world, frame.child(x, depth + shed + 14), spots, _ACROSS, rng, 15.0)
    for x in np.arange(-width / 2 + 42, width / 2 - 36, 74.0):
        kinds = ((WIDE, 0.45), (CARGO, 0.35), (NARROW, 0.2))
        stand = Stand(frame.child(x, depth - 12, _ACROSS), 65.0, 75.0, kinds)
        mark_stand(world, stand)
        use_stand(world, stand, rng, 0.7)
        equipment_park(world, frame.child(x + 37, depth - 12), (18, 16), rng, 0.8)


def small_aircraft(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    """Business jets and turboprops in front, rows of light aircraft behind, hangars at the back."""
    width, depth = size
    _small_hangars(world, frame, size, rng)
    for y, spacing in ((34.0, 26.0), (68.0, 24.0)):
        if y + 56 < depth:
            _line_up(world, frame, (y, width), (BUSINESS, TURBOPROP), spacing, 0.5, rng)
    y = 96.0
    for _ in range(3):
        if y + 42 < depth:
            _line_up(world, frame, (y, width), (LIGHT,), rng.uniform(13.5, 17), rng.uniform(0.45, 0.8), rng)
        y += rng.choice((13.0, 24.0))


def flying_club(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    """Light aircraft in rows on grass, close together, some of them nose to tail; round hangars at the back."""
    width, depth = size
    _round_hangars(world, frame, size, rng)
    y = rng.uniform(2, 9)
    while y < depth - 34:
        spacing, head = rng.uniform(8.5, 16), _ACROSS * rng.choice((-1, 1)) + rng.choice((0.0, 0.0, 0.6, -0.6))
        alternate, occupancy = rng.random() < 0.3, rng.uniform(0.2, 0.85)
        for k, x in enumerate(np.arange(-width / 2 + 14, width / 2 - 12, spacing)):
            if rng.random() < occupancy:
                turned = head + rng.normal(0, 0.08) + (math.pi * (k % 2) if alternate else 0)
                shape = _LIGHTS[int(rng.integers(len(_LIGHTS)))]
                park(world, shape, frame.child(x, y + rng.normal(0, 0.6), turned), rng, 0.5)
        y += rng.uniform(12, 34)


def _round_hangars(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    (width, depth), x = size, -size[0] / 2 + 20
    while x < width / 2 - 24:
        hangar = (rng.uniform(14, 30), rng.uniform(14, 34))
        spot = frame.child(x, depth + hangar[1] / 2 - 8, _ACROSS)
        world.footprints.append(Polygon(spot.points(centred(hangar[::-1]))))
        vaulted(world, spot, hangar[::-1], (4, 9), world.palette.draw_roof(rng))
        x += hangar[0] + rng.uniform(4, 50)


def _line_up(
    world: World,
    frame: Place,
    row: Size,
    kinds: tuple[str, ...],
    spacing: float,
    occupancy: float,
    rng: np.random.Generator,
) -> None:
    """A row (its y, its width) of airplanes side by side, most of them heading the same way."""
    y, width = row
    heading = _ACROSS * rng.choice((-1, 1)) + rng.choice((0.0, 0.0, 0.5, -0.5))
    shapes = [shape for shape in TYPES if shape.kind in kinds and shape.span < spacing - 1.2]
    for x in np.arange(-width / 2 + 0.6 * spacing, width / 2 - 0.5 * spacing, spacing):
        if rng.random() < occupancy:
            turned = heading + rng.normal(0, 0.05) + (math.pi if rng.random() < 0.06 else 0)
            spot = frame.child(x, y + rng.normal(0, 0.5), turned)
            park(world, shapes[int(rng.integers(len(shapes)))], spot, rng, 0.7)


def _small_hangars(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    (width, depth), roof = size, world.palette.draw_roof(rng)
    long, deep, high = _HANGARS[rng.integers(len(_HANGARS), size=12)].T
    ends = -width / 2 + 4 + np.concatenate([[0.0], np.cumsum(long + rng.uniform(4, 22, len(long)))])
    for k, (x, _) in enumerate(pairwise(ends)):
        if x + long[k] < width / 2:
            building(
                world, frame.child(x + long[k] / 2, depth + deep[k] / 2 - 8), (long[k], deep[k]), high[k], roof, rng
            )


def hangars(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    """Big hangars with airplanes before them; now and then a line of fighters wing to wing."""
    width, depth = size
    roof, x = world.palette.draw_roof(rng), -width / 2 + 6
    while x < width / 2 - 50:
        long, deep = rng.uniform(50, 92), rng.uniform(50, 74)
        building(world, frame.child(x + long / 2, depth + deep / 2 + 2), (long, deep), 22.0, roof, rng)
        lot = np.stack(np.meshgrid(np.arange(0, long - 6, 2.8), (deep + 12.0, deep + 18.0)), axis=-1).reshape(-1, 2)
        cars(world, frame.child(x + 3, depth), lot[rng.random(len(lot)) < 0.6], _ACROSS, rng)
        x += long + rng.uniform(8, 30)
    if rng.random() < 0.25:
        _fighters(world, frame, size, rng)
    else:
        _overhauls(world, frame, size, rng)


def _fighters(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    some = [shape for shape in TYPES if shape.kind == FIGHTER]
    shape = some[int(rng.integers(len(some)))]
    for x in np.arange(-size[0] / 2 + 14, 0, shape.span + rng.choice((2.0, 5.0))):
        if rng.random() < 0.85:
            park(world, shape, frame.child(x, 0.45 * size[1], -_ACROSS), rng, 0.7)


def _overhauls(world: World, frame: Place, size: Size, rng: np.random.Generator) -> None:
    kinds = ((NARROW, 0.6), (WIDE, 0.2), (CARGO, 0.2))
    for x in np.arange(-size[0] / 2 + 40, size[0] / 2 - 34, 72.0):
        turn = _ACROSS + rng.choice((0.0, math.pi, 0.4))
        middle = frame.child(x + rng.normal(0, 5), size[1] - 46, turn)
        use_stand(world, Stand(middle.child(32.0, 0.0), 61.0, 64.0, kinds), rng, 0.7)
