"""Buildings: flat roofs and what stands on them, houses, jet bridges."""

import numpy as np
from numpy.typing import ArrayLike
from shapely import Polygon

from model.synthetic.place import Place, boxes_at, centred, discs, rectangles, ribbon
from model.synthetic.style import Colour
from model.synthetic.world import Level, World

_PITCH = 0.5  # radians, of a house's roof
_EAVES_M, _RIDGE_M = 3.0, 5.5
_BRIDGE_M = 5.0  # height of a jet bridge's roof
_PLASTER: Colour = (190, 184, 172)
_GLASS: Colour = (128, 140, 150)
_ROOF_SHADE = (96, 96, 100, 255)

Size = tuple[float, float]


def building(world: World, place: Place, size: Size, height: float, roof: Colour, rng: np.random.Generator) -> None:
    """Draw a flat-roofed building centred on a place, with what stands on its roof.

    Args:
        world: The sheet.
        place: Its middle.
        size: Metres along the place's x and y axes.
        height: Metres.
        roof: Colour of the roof.
        rng: What the roof carries is drawn from it.
    """
    corners = centred(size)
    world.footprints.append(Polygon(place.points(corners)))
    world.solid(place, corners, height, roof)
    inner = corners - np.sign(corners) * 1.0
    world.put(place, inner, np.array(roof) * rng.uniform(0.90, 0.99), Level.STRUCTURE, height)
    roof_details(world, place, size, height, roof, rng)


def roof_details(world: World, place: Place, size: Size, height: float, roof: Colour, rng: np.random.Generator) -> None:
    """Draw patches, seams, skylights and machines on a flat roof centred on a place."""
    (length, width), paint = size, np.array(roof)
    count = max(2, int(length * width / 900))
    spots = rng.uniform(-0.5, 0.5, (count, 2)) * (0.8 * length, 0.7 * width)
    sides = rng.uniform(4, 0.2 * length + 5, count), rng.uniform(2, 0.25 * width + 2, count)
    patches = np.clip(boxes_at(spots, *sides, 0), 1.5 - np.array(size) / 2, np.array(size) / 2 - 1.5)
    world.put(place, patches, paint * rng.uniform(0.86, 1.05, (count, 1)), Level.STRUCTURE, height)
    if rng.random() < 0.5 and length > 25:
        seams = np.arange(-length / 2 + 6, length / 2 - 4, rng.uniform(6, 14))
        lines = rectangles([(x, -width / 2 + 1.2, x + 0.35, width / 2 - 1.2) for x in seams])
        world.put(place, lines, paint * 0.84, Level.STRUCTURE, height)
    if rng.random() < 0.35 and width > 12:
        panes = np.arange(-length / 2 + 5, length / 2 - 5, rng.uniform(7, 12))
        glass = rectangles([(x, -0.18 * width, x + 2.2, 0.18 * width) for x in panes])
        world.put(place, glass, _GLASS, Level.STRUCTURE, height)
    _machines(world, place, size, height, rng)


def _machines(world: World, place: Place, size: Size, height: float, rng: np.random.Generator) -> None:
    count = rng.poisson(size[0] * size[1] / 500)
    spots = rng.uniform(-0.5, 0.5, (count, 2)) * np.maximum(np.array(size) - 7, 0.5)
    boxes = boxes_at(spots, rng.uniform(1.5, 5.0, count), rng.uniform(1.5, 5.0, count), 0)
    # Their shadows fall on the roof, which is drawn after the ground's shade: so they are painted.
    fallen = world.light.raise_(world.light.cast(place.points(boxes), 1.8), height)
    world.objects.add(fallen, _ROOF_SHADE, int(Level.STRUCTURE))
    paint = np.full(3, 188.0) * rng.uniform(0.75, 1.2, (count, 1))
    world.put(place, boxes, paint, Level.STRUCTURE, height + 1.8)


def house(world: World, place: Place, size: Size, colour: Colour) -> None:
    """Draw a house with a pitched roof whose ridge runs along the place's x axis, centred on it."""
    corners = centred(size)
    world.solid(place, corners, _EAVES_M, colour, _PLASTER)
    foot = place.points(corners)
    ridge = place.points([(-size[0] / 2, 0.0), (size[0] / 2, 0.0)])
    for side, eaves in ((-1, foot[:2]), (1, foot[3:1:-1])):
        world.shadows.add([*world.light.cast(eaves, _EAVES_M), *world.light.cast(ridge[::-1], _RIDGE_M)], (255,))
        across = place.points((0.0, side)) - (place.x, place.y)
        normal = np.array([*(across * np.sin(_PITCH)), np.cos(_PITCH)])
        plane = [*world.light.raise_(eaves, _EAVES_M), *world.light.raise_(ridge[::-1], _RIDGE_M)]
        lit = np.array(colour) * float(world.light.brightness(normal))
        world.objects.add(plane, [*lit, 255], int(Level.STRUCTURE))


def jet_bridge(world: World, place: Place, path: ArrayLike, roof: Colour) -> None:
    """Draw a jet bridge along a local path (3, 2): from the building over its turning point to its cab."""
    start, elbow, end = np.asarray(path, dtype=np.float64)
    ahead = (end - elbow) / np.hypot(*(end - elbow))
    parts = [ribbon([start, elbow], 3.0), ribbon([elbow, end], 2.8), discs(elbow, 2.6)[0]]
    parts.append(ribbon([end - 2.5 * ahead, end + 1.0 * ahead], 4.4))
    for ring in parts:
        world.shade(place, ring, _BRIDGE_M)
        world.shade(place, ring, 0.75 * _BRIDGE_M)
        world.put(place, ring, np.array(roof) * 0.6, Level.STRUCTURE, _BRIDGE_M - 3.0)
    for ring in parts:
        world.put(place, ring, roof, Level.STRUCTURE, _BRIDGE_M)
    narrow = ribbon([elbow + 0.55 * (end - elbow), end - 2.5 * ahead], 2.2)
    world.put(place, narrow, np.array(roof) * 0.9, Level.STRUCTURE, _BRIDGE_M)
