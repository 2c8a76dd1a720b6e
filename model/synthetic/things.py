"""Small things that stand about and are no airplanes: vehicles, equipment, trees."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.synthetic.place import Place, boxes_at, discs
from model.synthetic.world import Level, World

# Paints, red, green, blue, and how common each is.
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


def cars(world: World, place: Place, centres: ArrayLike, angles: ArrayLike, rng: np.random.Generator) -> None:
    """Draw cars at local centres (N, 2), lengthwise along `angles` (N,) or one for all."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    count = len(centre)
    paint = _paint(_CARS, count, rng) * rng.uniform(0.85, 1.05, (count, 1))
    length = rng.normal(4.5, 0.25, count)
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (count,))
    _cast(world, place, boxes_at(centre, length, 1.8, angle), 1.4)
    world.put(place, boxes_at(centre, length, 1.8, angle), paint, Level.VEHICLE)
    world.put(place, boxes_at(centre, 0.56 * length, 1.6, angle), np.broadcast_to(_GLASS, paint.shape), Level.VEHICLE)
    world.put(place, boxes_at(centre, 0.34 * length, 1.5, angle), np.minimum(paint * 1.06, 250), Level.VEHICLE)


def _paint(paints: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return paints[rng.choice(len(paints), count, p=paints[:, 3]), :3]


def equipment(world: World, place: Place, centres: ArrayLike, angles: ArrayLike, rng: np.random.Generator) -> None:
    """Draw ground equipment (carts, containers, loaders) at local centres (N, 2), along `angles` (N,)."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    count = len(centre)
    paint = _paint(_EQUIPMENT, count, rng)
    length, width = rng.uniform(2.2, 5.0, count), rng.uniform(1.5, 2.2, count)
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (count,)) + rng.normal(0, 0.06, count)
    rings = boxes_at(centre, length, width, angle)
    _cast(world, place, rings, 1.6)
    world.put(place, rings, paint * rng.uniform(0.85, 1.05, (count, 1)), Level.VEHICLE)
    world.put(place, boxes_at(centre, 0.4 * length, 0.7 * width, angle), paint * 0.8, Level.VEHICLE)


def trucks(
    world: World, place: Place, centres: ArrayLike, angles: ArrayLike, rng: np.random.Generator, length: float = 9.0
) -> None:
    """Draw trucks (or buses, or trailers) of one length at local centres (N, 2), the cab ahead along `angles` (N,)."""
    centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    count = len(centre)
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (count,))
    paint = _paint(_EQUIPMENT, count, rng)
    ahead = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    body = boxes_at(centre - ahead * 0.11 * length, 0.78 * length, 2.5, angle)
    cab = boxes_at(centre + ahead * 0.40 * length, 0.2 * length, 2.3, angle)
    for rings, height in ((body, 3.2), (cab, 2.4)):
        _cast(world, place, rings, height)
    world.put(place, body, paint, Level.VEHICLE)
    world.put(place, cab, 0.8 * paint, Level.VEHICLE)


def trees(world: World, place: Place, centres: ArrayLike, radii: ArrayLike, rng: np.random.Generator) -> None:
    """Draw trees with crowns of radii (N,) metres at local centres (N, 2)."""
    centre = place.points(np.asarray(centres, dtype=np.float64).reshape(-1, 2))
    count = len(centre)
    if not count:
        return
    here, radius = Place(0, 0), np.broadcast_to(np.asarray(radii, dtype=np.float64), (count,))
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
        world.put(here, rings, colour * light, Level.TREE)


def _ragged(
    centres: NDArray[np.float64], radius: NDArray[np.float64], ragged: NDArray[np.float64]
) -> NDArray[np.float64]:
    return centres[:, None, :] + (discs(centres, radius, 9) - centres[:, None, :]) * ragged


def _cast(world: World, place: Place, rings: NDArray[np.float64], height: float) -> None:
    for part in (0.35, 1.0):
        world.shade(place, rings, part * height)
