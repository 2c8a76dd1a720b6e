"""Buildings: flat roofs with details, pitched and other roofs, jet bridges, and bars and facets in 3D.

In 3D, x and y belong to a local frame and z is the height above the ground, metres.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from shapely import Polygon, unary_union

from model.synthetic.geometry import (
    Frame,
    Size,
    centred_box,
    discs,
    oriented_boxes,
    rectangles,
    regular_polygon,
    ribbon,
)
from model.synthetic.style import Colour, pick
from model.synthetic.world import Level, World

_PITCH = 0.5  # slope of a house roof, radians
_EAVES_M, _RIDGE_M = 3.0, 5.5
_BRIDGE_M = 5.0  # height of a jet bridge roof
_GLASS: Colour = (128, 140, 150)
_ROOF_SHADE = (96, 96, 100, 255)
_LETTERS = "LTUHXO"
PLASTER: Colour = (190, 184, 172)


def building(world: World, frame: Frame, size: Size, height: float, roof: Colour, rng: np.random.Generator) -> None:
    """Draw a flat-roofed building centred on a frame, with details on its roof.

    Args:
        world: the scene's contents.
        frame: its centre.
        size: metres along the frame's x and y axes.
        height: metres.
        roof: colour of the roof.
        rng: source of the roof details.
    """
    corners = centred_box(size)
    world.footprints.append(Polygon(frame.points(corners)))
    world.extrude(frame, corners, height, roof)
    inner = corners - np.sign(corners) * 1.0
    world.draw(frame, inner, np.array(roof) * rng.uniform(0.90, 0.99), Level.STRUCTURE, height)
    roof_details(world, frame, size, height, roof, rng)


def roof_details(world: World, frame: Frame, size: Size, height: float, roof: Colour, rng: np.random.Generator) -> None:
    """Draw patches, seams, skylights and machinery on a flat roof centred on a frame."""
    (length, width), paint = size, np.array(roof)
    count = max(2, int(length * width / 900))
    spots = rng.uniform(-0.5, 0.5, (count, 2)) * (0.8 * length, 0.7 * width)
    sides = rng.uniform(4, 0.2 * length + 5, count), rng.uniform(2, 0.25 * width + 2, count)
    patches = np.clip(oriented_boxes(spots, *sides, 0), 1.5 - np.array(size) / 2, np.array(size) / 2 - 1.5)
    world.draw(frame, patches, paint * rng.uniform(0.86, 1.05, (count, 1)), Level.STRUCTURE, height)
    if rng.random() < 0.5 and length > 25:
        seams = np.arange(-length / 2 + 6, length / 2 - 4, rng.uniform(6, 14))
        lines = rectangles([(x, -width / 2 + 1.2, x + 0.35, width / 2 - 1.2) for x in seams])
        world.draw(frame, lines, paint * 0.84, Level.STRUCTURE, height)
    if rng.random() < 0.35 and width > 12:
        panes = np.arange(-length / 2 + 5, length / 2 - 5, rng.uniform(7, 12))
        glass = rectangles([(x, -0.18 * width, x + 2.2, 0.18 * width) for x in panes])
        world.draw(frame, glass, _GLASS, Level.STRUCTURE, height)
    _machines(world, frame, size, height, rng)


def _machines(world: World, frame: Frame, size: Size, height: float, rng: np.random.Generator) -> None:
    count = rng.poisson(size[0] * size[1] / 500)
    spots = rng.uniform(-0.5, 0.5, (count, 2)) * np.maximum(np.array(size) - 7, 0.5)
    boxes = oriented_boxes(spots, rng.uniform(1.5, 5.0, count), rng.uniform(1.5, 5.0, count), 0)
    # Shadows on a roof are painted as objects: the shadow layer only affects the ground.
    fallen = world.light.displace_top(world.light.project_shadow(frame.points(boxes), 1.8), height)
    world.objects.add(fallen, _ROOF_SHADE, int(Level.STRUCTURE))
    paint = np.full(3, 188.0) * rng.uniform(0.75, 1.2, (count, 1))
    world.draw(frame, boxes, paint, Level.STRUCTURE, height + 1.8)


def house(world: World, frame: Frame, size: Size, colour: Colour) -> None:
    """Draw a house with a pitched roof, centred on a frame, its ridge along the x axis."""
    corners = centred_box(size)
    world.extrude(frame, corners, _EAVES_M, colour, PLASTER)
    foot = frame.points(corners)
    ridge = frame.points([(-size[0] / 2, 0.0), (size[0] / 2, 0.0)])
    for side, eaves in ((-1, foot[:2]), (1, foot[3:1:-1])):
        world.shadows.add(
            [*world.light.project_shadow(eaves, _EAVES_M), *world.light.project_shadow(ridge[::-1], _RIDGE_M)], (255,)
        )
        across = frame.points((0.0, side)) - (frame.x, frame.y)
        normal = np.array([*(across * np.sin(_PITCH)), np.cos(_PITCH)])
        plane = [*world.light.displace_top(eaves, _EAVES_M), *world.light.displace_top(ridge[::-1], _RIDGE_M)]
        lit = np.array(colour) * float(world.light.brightness(normal))
        world.objects.add(plane, [*lit, 255], int(Level.STRUCTURE))


def jet_bridge(world: World, frame: Frame, path: ArrayLike, roof: Colour) -> None:
    """Draw a jet bridge along a local path (3, 2): from the building over its elbow to its cab."""
    start, elbow, end = np.asarray(path, dtype=np.float64)
    ahead = (end - elbow) / np.hypot(*(end - elbow))
    parts = [ribbon([start, elbow], 3.0), ribbon([elbow, end], 2.8), discs(elbow, 2.6)[0]]
    parts.append(ribbon([end - 2.5 * ahead, end + 1.0 * ahead], 4.4))
    for ring in parts:
        world.cast_shadow(frame, ring, _BRIDGE_M)
        world.cast_shadow(frame, ring, 0.75 * _BRIDGE_M)
        world.draw(frame, ring, np.array(roof) * 0.6, Level.STRUCTURE, _BRIDGE_M - 3.0)
    for ring in parts:
        world.draw(frame, ring, roof, Level.STRUCTURE, _BRIDGE_M)
    narrow = ribbon([elbow + 0.55 * (end - elbow), end - 2.5 * ahead], 2.2)
    world.draw(frame, narrow, np.array(roof) * 0.9, Level.STRUCTURE, _BRIDGE_M)


def sample_colour(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    """Sample one of the given colours, slightly lighter or darker."""
    red, green, blue = np.array(pick(colours, rng)) * rng.uniform(0.9, 1.1)
    return (red, green, blue)


def facet(world: World, frame: Frame, corners: ArrayLike, colour: ArrayLike) -> None:
    """Draw a shaded planar facet and its shadow.

    Args:
        world: the scene's contents.
        frame: frame of the corners.
        corners: (N, 3), in either orientation.
        colour: its colour if it were horizontal.
    """
    solid = np.asarray(corners, dtype=np.float64)
    flat, height = frame.points(solid[:, :2]), solid[:, 2:]
    space = np.concatenate([flat, height], axis=1)
    normal = np.cross(space[1] - space[0], space[2] - space[0])
    normal = normal / max(float(np.linalg.norm(normal)), 1e-9) * (1 if normal[2] >= 0 else -1)
    lit = np.asarray(colour, dtype=np.float64) * float(world.light.brightness(normal))
    world.shadows.add(flat + np.array(world.light.shadow) * height, (255,))
    world.objects.add(flat + np.array(world.light.lean) * height, [*lit, 255.0], int(Level.STRUCTURE))


def bar(world: World, frame: Frame, ends: ArrayLike, widths: Size, colour: Colour) -> None:
    """Draw a straight bar between two points (2, 3), with a width in metres at each end, and its shadow."""
    solid = np.asarray(ends, dtype=np.float64)
    flat, height = frame.points(solid[:, :2]), solid[:, 2:]
    for shift, layer, fill in (
        (world.light.shadow, world.shadows, (255.0,)),
        (world.light.lean, world.objects, (*colour, 255.0)),
    ):
        line = flat + np.array(shift) * height
        ahead = (line[1] - line[0]) / max(float(np.hypot(*(line[1] - line[0]))), 1e-9)
        side = np.array((-ahead[1], ahead[0])) / 2
        ring = [line[0] + side * widths[0], line[1] + side * widths[1]]
        ring += [line[1] - side * widths[1], line[0] - side * widths[0]]
        layer.add(ring, fill, int(Level.STRUCTURE) if layer is world.objects else 0)


def pitched_building(
    world: World, frame: Frame, size: Size, heights: Size, colour: Colour, hip: bool = False, wall: Colour = PLASTER
) -> None:
    """Draw a building with a pitched roof, centred on a frame, its ridge along the x axis.

    Args:
        world: the scene's contents.
        frame: its centre.
        size: metres along x and y.
        heights: height of the eaves and of the ridge, metres.
        colour: colour of the roof.
        hip: whether the ends slope too.
        wall: colour of the walls.
    """
    (half, side), (eaves, ridge) = (size[0] / 2, size[1] / 2), heights
    end = half - (min(side, half) if hip else 0)
    world.extrude(frame, centred_box(size), eaves, colour, wall)
    for y in (-side, side):
        facet(world, frame, [(-half, y, eaves), (half, y, eaves), (end, 0, ridge), (-end, 0, ridge)], colour)
    for x in (-1, 1) if hip else ():
        facet(world, frame, [(x * half, -side, eaves), (x * half, side, eaves), (x * end, 0, ridge)], colour)


def vaulted_hall(world: World, frame: Frame, size: Size, heights: Size, colour: Colour, strips: int = 7) -> None:
    """Draw a hall with a barrel roof along the frame's x axis; `heights` are those of its sides and its top, metres."""
    half, (low, high) = size[0] / 2, heights
    world.extrude(frame, centred_box(size), low, colour)
    around = np.linspace(0, math.pi, strips + 1)
    y, z = -np.cos(around) * size[1] / 2, low + np.sin(around) * (high - low)
    for k in range(strips):
        low_edge, high_edge = (y[k], z[k]), (y[k + 1], z[k + 1])
        facet(world, frame, [(-half, *low_edge), (half, *low_edge), (half, *high_edge), (-half, *high_edge)], colour)


def sawtooth_hall(world: World, frame: Frame, size: Size, height: float, teeth: float, colour: Colour) -> None:
    """Draw a factory hall with a sawtooth roof: teeth `teeth` metres long along x, each with a steep glazed side."""
    world.extrude(frame, centred_box(size), height, colour)
    half, starts = size[1] / 2, np.arange(-size[0] / 2, size[0] / 2 - teeth + 0.1, teeth)
    for x in starts:
        top, end = (x + 0.25 * teeth, height + 0.3 * teeth), (x + teeth, height)
        for (a, low), (b, high), paint in (((x, height), top, (112, 122, 130)), (top, end, colour)):
            facet(world, frame, [(a, -half, low), (a, half, low), (b, half, high), (b, -half, high)], paint)


def spire(world: World, frame: Frame, radius: float, heights: Size, colour: Colour, corners: int = 4) -> None:
    """Draw a tower with a pointed roof; `heights` are those of its walls and its tip, metres."""
    ring = regular_polygon(radius, corners)
    world.extrude(frame, ring, heights[0], colour, PLASTER)
    for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        facet(world, frame, [(*a, heights[0]), (*b, heights[0]), (0.0, 0.0, heights[1])], colour)


def round_tank(world: World, frame: Frame, radius: float, height: float, colour: Colour) -> None:
    """Draw a silo or a tank with a slightly conical roof."""
    ring = discs((0.0, 0.0), radius, 14)[0]
    world.extrude(frame, ring, height, colour)
    for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        facet(world, frame, [(*a, height), (*b, height), (0.0, 0.0, height + 0.3 * radius)], colour)


def winged_building(
    world: World, frame: Frame, boxes: ArrayLike, height: float, roof: Colour, rng: np.random.Generator
) -> None:
    """Draw a flat-roofed building of several wings: local boxes (N, 4) x0, y0, x1, y1 that touch or overlap."""
    parts = np.asarray(boxes, dtype=np.float64)
    merged = unary_union([Polygon(ring) for ring in rectangles(parts)])
    for outline in getattr(merged, "geoms", [merged]):
        ring = np.array(outline.exterior.coords[:-1])
        world.footprints.append(Polygon(frame.points(ring)))
        world.extrude(frame, ring, height, roof)
        inner = outline.buffer(-1.0, join_style="mitre")
        for part in getattr(inner, "geoms", [inner]):
            if not part.is_empty:
                paint = np.array(roof) * rng.uniform(0.9, 0.99)
                world.draw(frame, np.array(part.exterior.coords[:-1]), paint, Level.STRUCTURE, height)
    for x0, y0, x1, y1 in parts:
        roof_details(world, frame.child((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0), height, roof, rng)


def sample_plan_letter(rng: np.random.Generator) -> str:
    """Sample a plan for `wing_boxes`."""
    return pick(_LETTERS, rng)


def wing_boxes(shape: str, size: Size, breadth: float) -> list[tuple[float, float, float, float]]:
    """Return the wings of a building whose plan is a letter: "L", "T", "U", "H", "X" (a cross) or "O" (a courtyard).

    Args:
        shape: the letter.
        size: metres along x and y.
        breadth: breadth of each wing, metres.
    """
    x, y, b = size[0] / 2, size[1] / 2, breadth
    left, right, near, far = (-x, -y, b - x, y), (x - b, -y, x, y), (-x, -y, x, b - y), (-x, y - b, x, y)
    upright, level = (-b / 2, -y, b / 2, y), (-x, -b / 2, x, b / 2)
    plans = {
        "L": [left, near],
        "T": [upright, near],
        "U": [left, right, near],
        "H": [left, right, level],
        "X": [upright, level],
        "O": [left, right, near, far],
    }
    return plans[shape]
