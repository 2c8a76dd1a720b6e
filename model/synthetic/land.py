"""Division of the ground into zones and parcels, and what runs through it: water, roads, railways, car parks, groves.

Whatever fills a parcel stays on the land it belongs to. Roads and railways are paths (N, 2).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from shapely import LineString, Polygon, contains_properly, contains_xy, prepare, unary_union
from shapely.geometry.base import BaseGeometry
from shapely.ops import split

from model.synthetic.geometry import (
    SCENE_FRAME,
    Frame,
    Size,
    centred_box,
    dashes,
    grid_points,
    path_distances,
    path_normals,
    rectangle,
    rectangles,
    ribbon,
)
from model.synthetic.objects import cars, train, trees, trucks
from model.synthetic.style import Colour, pick
from model.synthetic.world import Material, Tier, World

Lines = NDArray[np.float64]
_WATERS: tuple[Colour, ...] = ((44, 62, 66), (58, 74, 70), (84, 88, 70), (104, 102, 80), (38, 50, 62), (66, 88, 94))
_OUTSIDE_M = 60.0  # margin of land outside the scene
_STALL_M = (2.6, 5.2)
_BAY_M = 17.0  # depth of two rows of stalls and an aisle
_TREE_STEP_M = 6.0
_BALLAST = np.array((132, 118, 106))
_RAIL = np.array((98, 92, 88))
_TRACKS_M = 4.6  # between track centres


@dataclass(frozen=True, slots=True)
class Parcel:
    """A piece of land.

    Attributes:
        world: the scene's contents.
        frame: its centre.
        land: the ground that may be used, scene metres; prepared by shapely for speed.
    """

    world: World
    frame: Frame
    land: BaseGeometry

    def usable(self, local: NDArray[np.float64], margin: float = 14.0) -> NDArray[np.bool_]:
        """Return which local points (N, 2) lie on the land and at most `margin` metres outside the scene."""
        xy = self.frame.points(local)
        size = np.array((self.world.width_m, self.world.height_m))
        near = (xy > -margin).all(axis=1) & (xy < size + margin).all(axis=1)
        return near & np.asarray(contains_xy(self.land, xy[:, 0], xy[:, 1]))

    def usable_stretches(self, path: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return the usable parts of a path (N, 2), each of three points or more."""
        free = self.usable(path, 40.0)
        runs = np.split(np.arange(len(path)), np.flatnonzero(np.diff(free.astype(int))) + 1)
        return [path[run] for run in runs if free[run[0]] and len(run) > 2]

    def fits(self, frame: Frame, size: Size) -> bool:
        """Return whether a rectangle centred on a frame lies on the land and near the scene."""
        ring = frame.points(centred_box(size))
        return near_scene(self.world, ring, 60.0) and bool(contains_properly(self.land, Polygon(ring)))

    def random_frame(self, size: Size, spread: float, rng: np.random.Generator, turn: float = 0.0) -> Frame:
        """Return a random frame at most `spread` times `size` metres from the centre, turned by `turn` radians."""
        x, y = rng.uniform(-spread, spread, 2) * size
        return self.frame.child(float(x), float(y), turn)

    def pave(self, rings: ArrayLike, colours: ArrayLike, tier: Tier, material: Material = Material.KEEP) -> None:
        """Paint flat ground as `World.pave`, clipped to the land; local rings (N, 2) or (K, N, 2)."""
        shapes = np.asarray(rings, dtype=np.float64)
        shapes = shapes[None] if shapes.ndim == 2 else shapes
        tones = np.broadcast_to(np.asarray(colours, dtype=np.float64), (len(shapes), 3))
        outlines = [Polygon(ring) for ring in self.frame.points(shapes)]
        inside = np.array([bool(contains_properly(self.land, outline)) for outline in outlines], dtype=bool)
        self.world.pave(self.frame, shapes[inside], tones[inside], tier, material)
        for k in np.flatnonzero(~inside):
            part = outlines[k].intersection(self.land)
            for piece in getattr(part, "geoms", [part]):
                if isinstance(piece, Polygon):  # edges that only touch intersect in a line
                    self.world.pave_area(SCENE_FRAME, piece, tones[k], tier, material)


ParcelFiller = Callable[[Parcel, Size, np.random.Generator], None]
FillerChoice = Callable[[float, np.random.Generator], ParcelFiller]


def near_scene(world: World, ring: NDArray[np.float64], margin: float) -> bool:
    """Return whether the bounds of a ring (N, 2), scene metres, come within `margin` metres of the scene."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    return bool((high > -margin).all() and low[0] < world.width_m + margin and low[1] < world.height_m + margin)


def fill_patchwork(
    area: Parcel, reach: float, step: Size, gap: float, choose: FillerChoice, rng: np.random.Generator
) -> tuple[Lines, Lines]:
    """Divide the land within `reach` metres of a parcel's centre into small parcels, and fill them.

    Args:
        area: the land; the small parcels are aligned with its axes.
        reach: metres.
        step: approximate length and width of a small parcel, metres.
        gap: metres between two small parcels.
        choose: selects the filler of a parcel, given a smooth random field over the land (-3.2..3.2).
        rng: source of all choices.

    Returns:
        Positions of the parcel edges: x (N,) and y (M,), local metres.
    """
    prepare(area.land)
    lines_x, lines_y = (_parcel_edges(reach, size, rng) for size in step)
    field = np.add.outer(_smooth_noise(lines_y, rng), _smooth_noise(lines_x, rng))
    for j, (y0, y1) in enumerate(pairwise(lines_y)):
        for i, (x0, x1) in enumerate(pairwise(lines_x)):
            ring = area.frame.points(rectangle(x0, y0, x1, y1))
            if near_scene(area.world, ring, 30.0) and area.land.intersects(Polygon(ring)):
                parcel = Parcel(area.world, area.frame.child((x0 + x1) / 2, (y0 + y1) / 2), area.land)
                choose(float(field[j, i]), rng)(parcel, (x1 - x0 - gap, y1 - y0 - gap), rng)
    return lines_x, lines_y


def _parcel_edges(reach: float, step: float, rng: np.random.Generator) -> Lines:
    """Return positions of parcel edges across the land, about `step` apart."""
    count = max(2, math.ceil(2 * reach / step))
    return (np.arange(count + 1) - count / 2) * step + rng.normal(0, 0.08 * step, count + 1)


def _smooth_noise(at: Lines, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.sin(at / 420 + rng.uniform(0, 6)) + 0.6 * np.sin(at / 190 + rng.uniform(0, 6))


def sample_water_colour(rng: np.random.Generator) -> Colour:
    """Sample the colour of a body of water, from nearly black to muddy brown."""
    red, green, blue = np.array(pick(_WATERS, rng)) * rng.uniform(0.85, 1.15)
    return (red, green, blue)


def lay_water(world: World, area: BaseGeometry, colour: Colour, bank: float) -> None:
    """Lay water over the land, scene metres, with a bank `bank` metres wide around it and deeper water inside."""
    tone = np.array(colour)
    world.pave_area(
        SCENE_FRAME, area.buffer(bank, quad_segs=3), np.array(world.palette.soil) * 0.9, Tier.LAND, Material.SOIL
    )
    for inwards, light in ((0.0, 1.1), (3.0, 1.03), (9.0, 1.0)):
        world.pave_area(SCENE_FRAME, area.buffer(-inwards, quad_segs=3), tone * light, Tier.LAND, Material.WATER)


def lay_pond(world: World, middle: Frame, radius: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Lay a pond of approximately a radius in metres; return points (N, 2) on its bank, scene metres."""
    around = np.arange(0, 2 * np.pi, 0.14)
    uneven = np.ones(len(around))
    for k in (1, 2, 3, 5):
        uneven += rng.uniform(0, 0.22 / k) * np.cos(k * around + rng.uniform(0, 6))
    ring = np.stack([np.cos(around), np.sin(around) * rng.uniform(0.6, 1)], axis=-1) * (radius * uneven)[:, None]
    shore = middle.points(ring)
    lay_water(world, Polygon(shore), sample_water_colour(rng), 1.5)
    return middle.points(ring * (1 + 4 / radius))


def winding_path(extent: Frame, reach: float, rng: np.random.Generator, step: float = 12.0) -> NDArray[np.float64]:
    """Return a gently winding path (N, 2) along a frame's x axis, `reach` metres to each side of its origin."""
    x = np.arange(-reach, reach, step)
    long, short = rng.uniform(500, 900), rng.uniform(200, 320)
    y = rng.uniform(0.02, 0.12) * long * np.sin(2 * np.pi * x / long + rng.uniform(0, 6))
    y += rng.uniform(0, 0.03) * short * np.sin(2 * np.pi * x / short + rng.uniform(0, 6))
    return extent.points(np.stack([x, y], axis=1))


def river_polygon(path: NDArray[np.float64], width: float, rng: np.random.Generator) -> Polygon:
    """Return the water surface of a river of approximately a width in metres along a path (N, 2)."""
    side = path_normals(path)
    at = np.arange(len(path))
    half = width / 2 * (1 + 0.2 * np.sin(at / 7 + rng.uniform(0, 6)) + 0.12 * np.sin(at / 3 + rng.uniform(0, 6)))
    left, right = path + side * half[:, None], path - side * half[:, None]
    return Polygon(np.concatenate([left, right[::-1]])).buffer(0)


def land_radius(world: World) -> float:
    """Return the distance from the scene's centre, metres, that covers its corners in every orientation."""
    return 0.72 * max(world.width_m, world.height_m) + _OUTSIDE_M


def winding_paths(world: World, count: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Return random winding paths (N, 2), scene metres, each crossing the whole scene."""
    size = np.array((world.width_m, world.height_m))
    middles = rng.uniform(0.15, 0.85, (count, 2)) * size
    return [winding_path(Frame(x, y, rng.uniform(0, 2 * math.pi)), 2 * land_radius(world), rng) for x, y in middles]


def split_into_zones(world: World, paths: list[NDArray[np.float64]], taken: list[BaseGeometry]) -> list[Polygon]:
    """Cut the scene along paths and subtract the areas in `taken`; returns the pieces, the largest first."""
    low, (right, low_end) = -_OUTSIDE_M, (world.width_m + _OUTSIDE_M, world.height_m + _OUTSIDE_M)
    pieces: list[BaseGeometry] = [Polygon(rectangle(low, low, right, low_end))]
    for path in paths:
        pieces = [part for piece in pieces for part in split(piece, LineString(path)).geoms]
    excluded = unary_union(taken)
    lands = [part for piece in pieces for part in polygon_parts(piece - excluded)]
    return sorted(lands, key=lambda land: -land.area)


def polygon_parts(area: BaseGeometry) -> list[Polygon]:
    """Return the polygons of an area."""
    return [part for part in getattr(area, "geoms", [area]) if isinstance(part, Polygon) and not part.is_empty]


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


def grove(world: World, frame: Frame, size: Size, rng: np.random.Generator, density: float) -> None:
    """Add trees over a rectangle centred on a frame; a density of 1 is closed forest."""
    x = np.arange(-size[0] / 2, size[0] / 2, _TREE_STEP_M)
    y = np.arange(-size[1] / 2, size[1] / 2, _TREE_STEP_M)
    grid = grid_points(x, y)
    spots = grid[rng.random(len(grid)) < density]
    trees(world, frame, spots + rng.normal(0, 1.6, spots.shape), rng.uniform(2.2, 4.8, len(spots)), rng)


def lay_railway(world: World, path: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Lay two to six parallel tracks along a path (N, 2), scene metres, with trains on them."""
    count = int(rng.choice((2, 2, 4, 6)))
    fine = _resampled(path)
    tone = _BALLAST * rng.uniform(0.85, 1.1)
    world.pave(SCENE_FRAME, ribbon(fine, _TRACKS_M * count + 3), tone, Tier.SHOULDER, Material.SOIL)
    side = path_normals(fine)
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
