"""A harbour: water, quays with cranes and containers, ships alongside and at anchor, a marina.

Its frame: x along the main quay, y = 0 on its edge, water at greater y.
"""

import math
from dataclasses import dataclass

import numpy as np
from shapely import Polygon, unary_union
from shapely.geometry.base import BaseGeometry

from model.synthetic.buildings import building
from model.synthetic.place import Place, rectangle, ribbon
from model.synthetic.structures import boats, containers, quay_crane, ship
from model.synthetic.things import cars, trucks
from model.synthetic.water import draw_water, lay_water
from model.synthetic.world import Level, Material, Tier, World

_QUAY_M = 130.0  # how far the quay reaches inland
_ACROSS = math.pi / 2


@dataclass(frozen=True, slots=True)
class Harbour:
    """The plan of a harbour.

    Attributes:
        frame: x along the main quay, y = 0 on its edge.
        half: Metres that it reaches to each side of the frame's origin.
        water: Scene metres.
        ground: Water and quays, scene metres.
    """

    frame: Place
    half: float
    water: BaseGeometry
    ground: BaseGeometry


def plan_harbour(world: World, rng: np.random.Generator) -> Harbour:
    """Plan a harbour on one side of the scene, with basins cut into its quay."""
    extent = max(world.width_m, world.height_m)
    middle = Place(world.width_m / 2, world.height_m / 2, rng.uniform(0, 2 * math.pi))
    frame, half = middle.child(0, rng.uniform(0.08, 0.28) * extent), 1.1 * extent
    parts = [rectangle(-half, 0, half, half)]
    for x in rng.uniform(-0.4, 0.4, int(rng.integers(0, 3))) * extent:
        parts.append(rectangle(x, -0.7 * _QUAY_M, x + rng.uniform(60, 150), 10))
    water = unary_union([Polygon(frame.points(part)) for part in parts])
    ground = Polygon(frame.points(rectangle(-half, -_QUAY_M, half, half)))
    return Harbour(frame, half, water, ground)


def build_harbour(world: World, harbour: Harbour, rng: np.random.Generator) -> None:
    """Build a harbour on the ground that its plan takes."""
    tone = np.array(world.palette.concrete) * rng.uniform(0.84, 1.0)
    world.pave_area(Place(0, 0), harbour.ground, tone, Tier.LAND, Material.CONCRETE)
    lay_water(world, harbour.water, draw_water(rng), 1.0)
    x = -harbour.half
    while x < harbour.half:
        width = rng.uniform(150, 320)
        use = (_terminal, _sheds, _marina)[int(rng.choice(3, p=(0.45, 0.3, 0.25)))]
        if _in_scene(world, harbour.frame.child(x + width / 2, 0), width):
            use(world, harbour, x, width, rng)
        x += width
    _at_anchor(world, harbour, rng)


def _in_scene(world: World, place: Place, margin: float) -> bool:
    return -margin < place.x < world.width_m + margin and -margin < place.y < world.height_m + margin


def _dry(harbour: Harbour, ring: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    """Say whether a ring of the harbour's frame lies on its quay."""
    return not harbour.water.intersects(Polygon(harbour.frame.points(ring)))


def _terminal(world: World, harbour: Harbour, x: float, width: float, rng: np.random.Generator) -> None:
    """Ships under cranes, stacks of containers behind."""
    frame, y = harbour.frame, -34.0
    while y > -_QUAY_M + 24:
        rows = np.arange(x + 14, x + width - 14, 13.0)
        for at in rows[rng.random(len(rows)) < 0.85]:
            if _dry(harbour, rectangle(at - 8, y - 20, at + 8, y + 4)):
                lanes = y - np.arange(6) * 2.7
                containers(world, frame, np.stack([np.full(6, at), lanes], axis=1), 0.0, rng, 5)
        y -= 27
    for at in np.arange(x + 30, x + width - 20, rng.uniform(50, 90)):
        if _dry(harbour, rectangle(at - 14, -34, at + 14, -1)):
            quay_crane(world, frame.child(at, -16), rng)
    length = min(width - 12, rng.uniform(110, 300))
    if rng.random() < 0.8:
        beside = frame.child(x + width / 2, 0.085 * length + 2, rng.choice((0.0, math.pi)))
        ship(world, beside, length, rng)


def _sheds(world: World, harbour: Harbour, x: float, width: float, rng: np.random.Generator) -> None:
    """Warehouses on the quay, trucks, small freighters."""
    frame, roof = harbour.frame, world.palette.draw_roof(rng)
    for at in np.arange(x + 40, x + width - 30, 80.0):
        for y in (-44.0, -98.0):
            if _dry(harbour, rectangle(at - 36, y - 22, at + 36, y + 22)) and rng.random() < 0.85:
                building(world, frame.child(at, y), (rng.uniform(50, 72), rng.uniform(24, 40)), 9, roof, rng)
    spots = np.stack([rng.uniform(x, x + width, 14), rng.uniform(-20, -8, 14)], axis=1)
    spots = spots[[_dry(harbour, rectangle(a - 8, b - 3, a + 8, b + 3)) for a, b in spots]]
    trucks(world, frame, spots[::2], 0.0, rng, 12.0)
    cars(world, frame, spots[1::2], rng.choice((0.0, _ACROSS)), rng)
    for at in np.arange(x + 50, x + width - 40, 105.0):
        length = rng.uniform(45, 98)
        if rng.random() < 0.6:
            ship(world, frame.child(at, 0.085 * length + 2), length, rng)


def _marina(world: World, harbour: Harbour, x: float, width: float, rng: np.random.Generator) -> None:
    """Piers with yachts on both sides."""
    frame, deck = harbour.frame, (176, 168, 154)
    for at in np.arange(x + 22, x + width - 20, rng.uniform(38, 54)):
        length = rng.uniform(60, 150)
        world.put(frame, ribbon([(at, -1.0), (at, length)], 2.4), deck, Level.VEHICLE)
        berths = np.arange(8, length - 3, 5.0)
        for side in (-1, 1):
            here = berths[rng.random(len(berths)) < 0.8]
            spots = np.stack([np.full(len(here), at + side * 9.5), here], axis=1)
            boats(world, frame, spots, math.pi if side > 0 else 0.0, rng)
    lot = np.stack([rng.uniform(x, x + width, 40), rng.choice((-14.0, -20.0, -36.0), 40)], axis=1)
    lot = lot[[_dry(harbour, rectangle(a - 3, b - 3, a + 3, b + 3)) for a, b in lot]]
    cars(world, frame, lot, _ACROSS, rng)


def _at_anchor(world: World, harbour: Harbour, rng: np.random.Generator) -> None:
    """Ships and boats out on the water."""
    extent = max(world.width_m, world.height_m)
    for _ in range(int(rng.integers(2, 7))):
        spot = harbour.frame.child(rng.uniform(-0.5, 0.5) * extent, rng.uniform(230, 900), rng.uniform(0, 6))
        ship(world, spot, rng.uniform(40, 220), rng)
    count = int(rng.integers(6, 40))
    afloat = np.stack([rng.uniform(-0.5, 0.5, count) * extent, rng.uniform(170, 700, count)], axis=1)
    boats(world, harbour.frame, afloat, rng.uniform(0, 6, count), rng)
