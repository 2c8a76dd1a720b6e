"""Objects other than airplanes: vehicles, trees, containers, turbines, cranes, power lines, ships, boats and trains."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.synthetic.buildings import bar
from model.synthetic.geometry import SCENE_FRAME, Frame, discs, oriented_boxes, rectangle, rectangles, ribbon
from model.synthetic.style import Colour, pick
from model.synthetic.world import Level, World

# Colours: red, green, blue, share.
_CARS = np.array(
    [
        (226, 226, 224, 0.16),
        (236, 236, 232, 0.12),
        (168, 170, 172, 0.18),
        (120, 122, 126, 0.14),
        (58, 60, 64, 0.14),
        (40, 42, 46, 0.12),
        (46, 62, 96, 0.06),
        (136, 44, 42, 0.05),
        (150, 138, 118, 0.03),
    ]
)
_EQUIPMENT = np.array(
    [
        (228, 228, 224, 0.34),
        (196, 196, 190, 0.18),
        (150, 152, 152, 0.14),
        (206, 176, 84, 0.10),
        (184, 96, 62, 0.06),
        (84, 92, 104, 0.12),
        (110, 128, 150, 0.06),
    ]
)
_GLASS = np.array((54, 58, 64))
_WHITE: Colour = (236, 236, 232)
_STEEL: Colour = (150, 152, 152)
_CRANES: tuple[Colour, ...] = ((214, 172, 60), (196, 84, 58), (222, 222, 216), (82, 116, 162))
_HULLS: tuple[Colour, ...] = ((58, 62, 70), (52, 70, 104), (128, 52, 46), (70, 92, 82), (170, 172, 172))
_BOXES = np.array(
    [(150, 66, 54), (62, 92, 138), (196, 190, 178), (88, 116, 88), (176, 122, 66), (112, 118, 126), (222, 222, 218)]
)
_WAGONS = np.array([(104, 90, 80), (128, 126, 122), (86, 92, 98), (140, 66, 54), (190, 188, 182), (70, 88, 120)])


def cars(world: World, frame: Frame, centres: ArrayLike, angles: ArrayLike, rng: np.random.Generator) -> None:
    """Draw cars at local centres (N, 2), along `angles`, (N,) or a scalar."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    count = len(centre)
    paint = _paint(_CARS, count, rng) * rng.uniform(0.85, 1.05, (count, 1))
    length = rng.normal(4.5, 0.25, count)
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (count,))
    _cast_shadows(world, frame, oriented_boxes(centre, length, 1.8, angle), 1.4)
    world.draw(frame, oriented_boxes(centre, length, 1.8, angle), paint, Level.VEHICLE)
    world.draw(
        frame,
        oriented_boxes(centre, 0.56 * length, 1.6, angle),
        np.broadcast_to(_GLASS, paint.shape),
        Level.VEHICLE,
    )
    world.draw(frame, oriented_boxes(centre, 0.34 * length, 1.5, angle), np.minimum(paint * 1.06, 250), Level.VEHICLE)


def _paint(paints: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return paints[rng.choice(len(paints), count, p=paints[:, 3]), :3]


def equipment(world: World, frame: Frame, centres: ArrayLike, angles: ArrayLike, rng: np.random.Generator) -> None:
    """Draw ground equipment (carts, containers, loaders) at local centres (N, 2), along `angles`, (N,) or a scalar."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    count = len(centre)
    paint = _paint(_EQUIPMENT, count, rng)
    length, width = rng.uniform(2.2, 5.0, count), rng.uniform(1.5, 2.2, count)
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (count,)) + rng.normal(0, 0.06, count)
    rings = oriented_boxes(centre, length, width, angle)
    _cast_shadows(world, frame, rings, 1.6)
    world.draw(frame, rings, paint * rng.uniform(0.85, 1.05, (count, 1)), Level.VEHICLE)
    world.draw(frame, oriented_boxes(centre, 0.4 * length, 0.7 * width, angle), paint * 0.8, Level.VEHICLE)


def trucks(
    world: World, frame: Frame, centres: ArrayLike, angles: ArrayLike, rng: np.random.Generator, length: float = 9.0
) -> None:
    """Draw trucks, buses or trailers at local centres (N, 2), cabs facing along `angles`, (N,) or a scalar."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    count = len(centre)
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (count,))
    paint = _paint(_EQUIPMENT, count, rng)
    ahead = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    body = oriented_boxes(centre - ahead * 0.11 * length, 0.78 * length, 2.5, angle)
    cab = oriented_boxes(centre + ahead * 0.40 * length, 0.2 * length, 2.3, angle)
    for rings, height in ((body, 3.2), (cab, 2.4)):
        _cast_shadows(world, frame, rings, height)
    world.draw(frame, body, paint, Level.VEHICLE)
    world.draw(frame, cab, 0.8 * paint, Level.VEHICLE)


def trees(world: World, frame: Frame, centres: ArrayLike, radii: ArrayLike, rng: np.random.Generator) -> None:
    """Draw trees with crown radii (N,) in metres at local centres (N, 2)."""
    centre = frame.points(np.asarray(centres, dtype=np.float64).reshape(-1, 2))
    count = len(centre)
    if not count:
        return
    radius = np.broadcast_to(np.asarray(radii, dtype=np.float64), (count,))
    height = 1.9 * radius[:, None]
    shadow, lean, sun = (np.array(v) for v in (world.light.shadow, world.light.lean, world.light.sun[:2]))
    ragged = rng.uniform(0.78, 1.12, (count, 9, 1))
    top = centre + lean * height
    colour = np.array(world.palette.tree) * rng.normal(1.0, 0.11, (count, 1)) * rng.normal(1.0, 0.04, (count, 3))
    world.shadows.add(_ragged(centre + shadow * height * 0.8, radius, ragged), (255,))
    world.shadows.add(_ragged(centre + shadow * height * 0.3, radius * 0.9, ragged), (255,))
    sizes = ((1.0, 0.0, 0.62), (0.78, 0.18, 0.95), (0.46, 0.36, 1.22))
    for size, towards_sun, light in sizes:
        rings = _ragged(top + sun * (radius * towards_sun)[:, None], radius * size, ragged)
        world.draw(SCENE_FRAME, rings, colour * light, Level.TREE)


def _ragged(
    centres: NDArray[np.float64], radius: NDArray[np.float64], ragged: NDArray[np.float64]
) -> NDArray[np.float64]:
    return centres[:, None, :] + (discs(centres, radius, 9) - centres[:, None, :]) * ragged


def _cast_shadows(world: World, frame: Frame, rings: NDArray[np.float64], height: float) -> None:
    for part in (0.35, 1.0):
        world.cast_shadow(frame, rings, part * height)


def wind_turbine(world: World, frame: Frame, hub: float, rng: np.random.Generator) -> None:
    """Draw a wind turbine with its hub `hub` metres high; most of what shows is its cross-shaped shadow."""
    length, towards, turned = 0.6 * hub, rng.uniform(0, math.pi), rng.uniform(0, 2)
    bar(world, frame, [(0, 0, 0), (0, 0, hub)], (4.4, 2.6), _WHITE)
    across = np.array((math.cos(towards), math.sin(towards)))
    nose = 0.05 * hub * np.array((-across[1], across[0]))
    bar(world, frame, [(*-nose, hub), (*nose, hub)], (3.4, 3.4), _WHITE)
    for angle in turned + np.arange(3) * (2 * math.pi / 3):
        tip = nose + across * length * math.cos(angle)
        bar(world, frame, [(*nose, hub), (*tip, hub + length * math.sin(angle))], (3.6, 0.8), _WHITE)
    world.draw(frame, discs((0.0, 0.0), 3.4, 10)[0], (190, 188, 182), Level.VEHICLE)


def tower_crane(world: World, frame: Frame, height: float, rng: np.random.Generator) -> None:
    """Draw a tower crane: a mast, a long jib, and a short counter-jib with its weight."""
    paint = pick(_CRANES, rng)
    reach = rng.uniform(38, 62)
    bar(world, frame, [(0, 0, 0), (0, 0, height + 5)], (2.0, 2.0), paint)
    bar(world, frame, [(-0.28 * reach, 0, height), (reach, 0, height)], (1.5, 1.2), paint)
    bar(world, frame, [(-0.28 * reach, 0, height), (-0.19 * reach, 0, height)], (3.0, 3.0), _STEEL)
    bar(world, frame, [(0, 0, height + 5), (0.7 * reach, 0, height)], (0.5, 0.3), paint)


def quay_crane(world: World, frame: Frame, rng: np.random.Generator) -> None:
    """Draw a ship-to-shore crane: its rails run along the frame's x axis, its boom reaches towards greater y."""
    paint = pick(_CRANES, rng)
    reach = rng.uniform(38, 56)
    for x in (-9.0, 9.0):
        for y in (-12.0, 12.0):
            bar(world, frame, [(x, y, 0), (x * 0.5, y, 38)], (1.8, 1.4), paint)
        bar(world, frame, [(x * 0.4, -26, 40), (x * 0.4, reach, 40)], (1.5, 1.5), paint)
    for y in (-26.0, -12.0, 12.0, reach):
        bar(world, frame, [(-5, y, 40), (5, y, 40)], (1.4, 1.4), paint)
    bar(world, frame, [(0, -20, 41), (0, -9, 41)], (7.0, 7.0), _WHITE)


def pylon(world: World, frame: Frame, height: float) -> None:
    """Draw a transmission tower; the power line runs along the frame's x axis."""
    bar(world, frame, [(0, 0, 0), (0, 0, height)], (4.5, 0.8), _STEEL)
    for z, half in ((0.72, 7.0), (0.86, 5.5), (0.98, 4.0)):
        bar(world, frame, [(0, -half, z * height), (0, half, z * height)], (0.7, 0.7), _STEEL)


def power_line(world: World, frame: Frame, path: NDArray[np.float64], height: float) -> None:
    """Draw transmission towers at the points of a straight local path (N, 2), and the wires between them."""
    direction = path[-1] - path[0]
    angle = math.atan2(direction[1], direction[0])
    for x, y in path:
        pylon(world, frame.child(x, y, angle), height)
    side = np.array((-math.sin(angle), math.cos(angle)))
    for out in (-6.0, 6.0):
        for a, b in zip(path[:-1] + out * side, path[1:] + out * side, strict=True):
            bar(world, frame, [(*a, 0.7 * height), (*b, 0.7 * height)], (0.16, 0.16), _STEEL)


def containers(
    world: World, frame: Frame, centres: ArrayLike, angle: float, rng: np.random.Generator, max_tiers: int = 4
) -> None:
    """Draw stacks of 1 to `max_tiers` shipping containers of 12 x 2.35 m at local centres (N, 2)."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    rings = oriented_boxes(centre, 12.0, 2.35, angle)
    tiers = rng.integers(1, max_tiers + 1, len(rings))
    paint = _BOXES[rng.integers(len(_BOXES), size=len(rings))] * rng.uniform(0.85, 1.1, (len(rings), 1))
    for tier in range(1, max_tiers + 1):
        visible = tiers == tier
        for part in (0.5, 1.0):
            world.cast_shadow(frame, rings[visible], 2.6 * tier * part)
        world.draw(frame, rings[visible], paint[visible] * 0.6, Level.VEHICLE, 1.2 * tier)
        world.draw(frame, rings[visible], paint[visible], Level.VEHICLE, 2.6 * tier)


def ship(world: World, frame: Frame, length: float, rng: np.random.Generator) -> None:
    """Draw a cargo ship with its bow along the frame's x axis."""
    beam, hull = length * rng.uniform(0.13, 0.17), pick(_HULLS, rng)
    ring = hull_ring(length, beam)
    world.extrude(frame, ring, 6.0, hull, hull)
    deck = np.array((142, 84, 70) if rng.random() < 0.5 else (122, 132, 124))
    world.draw(frame, ring * (0.97, 0.9), deck, Level.STRUCTURE, 6.0)
    hold = np.arange(-0.28 * length, 0.34 * length, max(9.0, 0.1 * length))
    if rng.random() < 0.5:
        _deck_cargo(world, frame, hold, beam, rng)
    else:
        boxes = [(x, -0.34 * beam, x + 0.075 * length, 0.34 * beam) for x in hold]
        world.draw(frame, rectangles(boxes), deck * rng.uniform(0.8, 1.35), Level.STRUCTURE, 8.0)
    bridge = rectangle(-0.44 * length, -0.44 * beam, -0.36 * length, 0.44 * beam)
    world.extrude(frame, bridge, 0.09 * length + 8, _WHITE)
    world.extrude(frame, rectangle(-0.425 * length, -0.1 * beam, -0.39 * length, 0.1 * beam), 0.12 * length + 9, hull)


def _deck_cargo(world: World, frame: Frame, hold: ArrayLike, beam: float, rng: np.random.Generator) -> None:
    for x in np.asarray(hold):
        for y in np.arange(-0.42 * beam, 0.40 * beam, 2.5):
            paint = _BOXES[int(rng.integers(len(_BOXES)))] * rng.uniform(0.85, 1.1)
            world.draw(frame, rectangle(x, y, x + 8.6, y + 2.3), paint, Level.STRUCTURE, 6 + 2.6 * int(rng.integers(4)))


def hull_ring(length: float, beam: float) -> NDArray[np.float64]:
    """Return the outline (9, 2) of a hull around the origin, its bow at greater x."""
    half, side = length / 2, beam / 2
    right = [(-half, 0.8 * side), (-0.8 * half, side), (0.55 * half, side), (0.82 * half, 0.62 * side)]
    return np.array([*right, (half, 0.0), *((x, -y) for x, y in reversed(right))])


def boats(world: World, frame: Frame, centres: ArrayLike, angles: ArrayLike, rng: np.random.Generator) -> None:
    """Draw yachts and motor boats of 6 to 16 m at local centres (N, 2), bows along `angles`, (N,) or a scalar."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    for (x, y), angle in zip(centre, np.broadcast_to(np.asarray(angles), (len(centre),)), strict=True):
        length, spot = rng.uniform(6, 16), frame.child(float(x), float(y), float(angle))
        ring = hull_ring(length, length * rng.uniform(0.24, 0.34))
        world.cast_shadow(spot, ring, 1.2)
        world.draw(spot, ring, np.array(_WHITE) * rng.uniform(0.75, 1.05), Level.VEHICLE)
        world.draw(spot, ring * (0.55, 0.6), np.array(_WHITE) * rng.uniform(0.45, 1.0), Level.VEHICLE)
        if rng.random() < 0.5:
            bar(world, spot, [(0.1 * length, 0, 0), (0.1 * length, 0, 1.3 * length)], (0.25, 0.15), _WHITE)


def train(world: World, frame: Frame, path: NDArray[np.float64], count: int, rng: np.random.Generator) -> None:
    """Draw a train of `count` wagons from the start of a local path (N, 2) whose points are 2 m apart."""
    passengers = rng.random() < 0.4
    paint, step = _WAGONS[rng.integers(len(_WAGONS), size=count)], 13 if passengers else 8
    for k in range(min(count, (len(path) - 1) // step)):
        ring = ribbon(path[k * step : (k + 1) * step], 3.0)
        tone = paint[0] if passengers else paint[k]
        for part in (0.5, 1.0):
            world.cast_shadow(frame, ring, 3.8 * part)
        world.draw(frame, ring, tone * 0.7, Level.VEHICLE, 2.0)
        world.draw(frame, ring, tone * 1.15, Level.VEHICLE, 3.8)
