"""Landside of an airport and general infrastructure: roads, car parks, office blocks, groves and railways.

Roads and railways are paths (N, 2).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.synthetic.buildings import building, sample_plan_letter, wing_boxes, winged_building
from model.synthetic.geometry import (
    SCENE_FRAME,
    Frame,
    Size,
    centred_box,
    dashes,
    path_distances,
    rectangle,
    rectangles,
    ribbon,
)
from model.synthetic.objects import cars, tower_crane, train, trees, trucks
from model.synthetic.world import Material, Tier, World

_STALL_M = (2.6, 5.2)
_BAY_M = 17.0  # depth of two rows of stalls and an aisle
_TREE_STEP_M = 6.0
_BALLAST = np.array((132, 118, 106))
_RAIL = np.array((98, 92, 88))
_TRACKS_M = 4.6  # between track centres


def road(
    world: World, frame: Frame, path: ArrayLike, width: float, rng: np.random.Generator, traffic: float = 1.0
) -> None:
    """Pave a road along a local path (N, 2), with markings and `traffic` vehicles for each 100 m."""
    palette, line = world.palette, np.asarray(path, dtype=np.float64)
    world.pave(frame, ribbon(line, width + 3), np.array(palette.soil) * 0.97, Tier.TRACK, Material.SOIL)
    tone = np.array(palette.road) * rng.uniform(0.9, 1.05)
    world.pave(frame, ribbon(line, width), tone, Tier.ROAD, Material.ASPHALT)
    if width >= 6:
        for mark in dashes(line, 4, 8):
            world.pave(frame, ribbon(mark, 0.2), np.minimum(tone * 1.3, 220), Tier.SHOULDER)
    _traffic(world, frame, line, width, rng, traffic)


def _traffic(
    world: World, frame: Frame, path: NDArray[np.float64], width: float, rng: np.random.Generator, traffic: float
) -> None:
    legs = np.diff(path, axis=0)
    steps = np.hypot(legs[:, 0], legs[:, 1])
    count = int(rng.poisson(steps.sum() / 100 * traffic))
    leg = rng.choice(len(steps), count, p=steps / steps.sum())
    ahead, side = legs[leg] / steps[leg][:, None], rng.choice((-1, 1), count)
    across = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1) * (side * width * rng.choice((0.15, 0.32), count))[:, None]
    spots = path[leg] + rng.random((count, 1)) * legs[leg] + across
    angles = np.arctan2(ahead[:, 1], ahead[:, 0]) + np.where(side > 0, 0, math.pi)
    heavy = rng.random(count) < 0.12
    cars(world, frame, spots[~heavy], angles[~heavy], rng)
    trucks(world, frame, spots[heavy], angles[heavy], rng, 12.0)


def car_park(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    """Add a car park centred on a frame: double rows of stalls, aisles, sometimes trees."""
    (width, depth), palette = size, world.palette
    tone = np.array(palette.asphalt if rng.random() < 0.6 else palette.concrete) * rng.uniform(0.88, 1.05)
    world.pave(frame, centred_box((width + 6, depth + 6)), tone, Tier.PAVEMENT, Material.ASPHALT)
    share, stalls = rng.uniform(0.35, 0.95), np.arange(-width / 2 + 4, width / 2 - 3, _STALL_M[0])
    for y in np.arange(-depth / 2 + 6, depth / 2 - 5, _BAY_M):
        lines = [(x - 1.35, y - _STALL_M[1], x - 1.22, y + _STALL_M[1]) for x in stalls]
        world.pave(frame, rectangles(lines), np.minimum(tone * 1.35, 225), Tier.MARKING)
        # Occupancy varies along the row.
        busy = np.clip(share + 0.35 * np.sin(stalls / rng.uniform(12, 40) + rng.uniform(0, 6)), 0.03, 0.97)
        for row in (y - _STALL_M[1] / 2, y + _STALL_M[1] / 2):
            occupied = stalls[rng.random(len(stalls)) < busy]
            spots = np.stack([occupied, np.full(len(occupied), row)], axis=1)
            cars(world, frame, spots + rng.normal(0, 0.15, spots.shape), math.pi / 2, rng)
        if rng.random() < 0.35:
            x = rng.uniform(-width / 2, width / 2, int(width / 18))
            trees(world, frame, np.stack([x, np.full(len(x), y)], axis=1), rng.uniform(1.6, 2.8, len(x)), rng)


def forecourt(world: World, frame: Frame, width: float, depth: float, rng: np.random.Generator) -> None:
    """Add roads, car parks, garages and office blocks behind a terminal.

    Args:
        world: the scene's contents.
        frame: x along the terminal, y away from it, the origin in the middle of the hall's rear wall.
        width: metres along x.
        depth: metres along y.
        rng: source of all choices.
    """
    half = width / 2
    drop_off = rectangle(-half - 20, 4, half + 20, 34)
    world.pave(frame, drop_off, np.array(world.palette.road) * 1.08, Tier.ROAD, Material.ASPHALT)
    for x in (-half - 12, half + 12):
        road(world, frame, [(x, 24.0), (x, depth)], 12.0, rng, 3.0)
    blocks(world, frame.child(0, 46), width, depth - 46, rng)


def blocks(world: World, frame: Frame, width: float, depth: float, rng: np.random.Generator) -> None:
    """Fill a rectangle with plots and the roads between them; the origin is the middle of its near side."""
    half, y = width / 2, 0.0
    while y + 60 < depth:
        tall = min(rng.uniform(80, 150), depth - y)
        x = -half
        while x + 50 < half:
            wide = min(rng.uniform(90, 210), half - x)
            _plot(world, frame.child(x + wide / 2, y + tall / 2), (wide - 20, tall - 20), rng)
            x += wide
        y += tall
        road(world, frame, [(-half - 12, y), (half + 12, y)], 8.0, rng, 1.5)


def _plot(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    choice = rng.random()
    if choice < 0.48:
        car_park(world, frame, size, rng)
    elif choice < 0.60:  # a parking garage
        red, green, blue = np.array(world.palette.concrete) * rng.uniform(0.95, 1.08)
        building(world, frame, (0.9 * size[0], 0.85 * size[1]), 15.0, (red, green, blue), rng)
    elif choice < 0.86:
        _offices(world, frame, size, rng)
    else:
        grove(world, frame, size, rng, 0.25)


def _offices(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    world.pave(frame, centred_box(size), world.palette.road, Tier.ROAD, Material.ASPHALT)
    block = (rng.uniform(0.45, 0.8) * size[0], rng.uniform(0.35, 0.7) * size[1])
    height, roof = rng.uniform(10, 32), world.palette.sample_roof(rng)
    if rng.random() < 0.5:
        building(world, frame, block, height, roof, rng)
    else:
        winged_building(
            world,
            frame,
            wing_boxes(sample_plan_letter(rng), block, rng.uniform(0.24, 0.4) * min(block)),
            height,
            roof,
            rng,
        )
    if rng.random() < 0.12:
        tower_crane(world, frame.child(0.3 * block[0], 0.3 * block[1], rng.uniform(0, 6)), height + 18, rng)
    spots = rng.uniform(-0.5, 0.5, (int(rng.integers(4, 24)), 2)) * size
    spots = spots[(np.abs(spots) > np.array(block) / 2 + 4).any(axis=1)]
    trees(world, frame, spots, rng.uniform(2, 4, len(spots)), rng)


def grove(world: World, frame: Frame, size: Size, rng: np.random.Generator, density: float) -> None:
    """Add trees over a rectangle centred on a frame; a density of 1 is closed forest."""
    x = np.arange(-size[0] / 2, size[0] / 2, _TREE_STEP_M)
    y = np.arange(-size[1] / 2, size[1] / 2, _TREE_STEP_M)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    spots = grid[rng.random(len(grid)) < density]
    trees(world, frame, spots + rng.normal(0, 1.6, spots.shape), rng.uniform(2.2, 4.8, len(spots)), rng)


def lay_railway(world: World, path: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Lay two to six parallel tracks along a path (N, 2), scene metres, with trains on them."""
    count = int(rng.choice((2, 2, 4, 6)))
    fine = _resampled(path)
    tone = _BALLAST * rng.uniform(0.85, 1.1)
    world.pave(SCENE_FRAME, ribbon(fine, _TRACKS_M * count + 3), tone, Tier.SHOULDER, Material.SOIL)
    ahead = np.gradient(fine, axis=0)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1) / np.hypot(ahead[:, 0], ahead[:, 1])[:, None]
    for k in range(count):
        track = fine + side * (k - (count - 1) / 2) * _TRACKS_M
        world.pave(SCENE_FRAME, ribbon(track, 2.6), tone * 0.86, Tier.PAVEMENT)
        for rail in (-0.72, 0.72):
            world.pave(SCENE_FRAME, ribbon(track + side * rail, 0.22), _RAIL, Tier.MARKING)
        start = int(rng.integers(0, 80))
        while start < len(track) - 60:
            wagons = int(rng.integers(4, 34))
            if rng.random() < (0.35 if count > 2 else 0.12):
                train(world, SCENE_FRAME, track[start:], wagons, rng)
            start += wagons * 13 + int(rng.integers(20, 200))


def _resampled(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (M, 2), 2 m apart, on a path (N, 2)."""
    along = path_distances(path)
    at = np.arange(0.0, along[-1], 2.0)
    return np.stack([np.interp(at, along, path[:, 0]), np.interp(at, along, path[:, 1])], axis=-1)
