"""Plans a scene: levels of ground resolution, tiles of one size, and which tile owns a point. Pure: no files.

A level is the whole scene resampled to square pixels of about the asked size on the ground. It is never made whole:
tiles read their windows of it. Level pixels tile the scene exactly, so that one scale per axis leads back to scene
pixels. Tiles overlap; each point of a level belongs to the core of exactly one tile.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geo.errors import ConfigError, ResolutionError
from geo.types import Detections, FloatArray, Window

# Two tiles place one airplane a little differently. Where its centre lies this near to the seam of their cores, level
# pixels, both keep it, lest each leave it to the other; suppression then makes one of them.
SEAM_PX = 4


@dataclass(frozen=True, slots=True)
class Tiling:
    """How scenes are cut.

    Args:
        levels_m: Ground resolutions to look at, metres per pixel, in any order.
        tile_px: Side of every tile in level pixels, a multiple of `align_px`.
        halo_px: The least distance of a core from the edges of its tile, except at the scene's own edges; 8 or more. It
            also says how large an airplane a level answers for, where there is a coarser one: see `Level`.
        align_px: Tiles start at multiples of this (the detector's coarsest stride).
        max_upsampling: A level is used if its pixels are at most this many times finer than the scene's.
        min_side_px: Boxes whose longer side is shorter than this, level pixels, are left to the next finer level, if
            there is one: it sees more of them.
        native_tolerance: A level this close (a ratio) to the scene's resolution, or to 2, 4, 8... times that, is taken
            there: it then needs no resampling, but copies pixels of the scene or of its overviews.

    Raises:
        ConfigError: A value is out of its range.
    """

    levels_m: tuple[float, ...]
    tile_px: int = 1376
    halo_px: int = 64
    align_px: int = 32
    max_upsampling: float = 2.0
    min_side_px: float = 24.0
    native_tolerance: float = 0.1

    def __post_init__(self) -> None:
        levels = self.levels_m
        _require(
            bool(levels) and all(math.isfinite(level) and level > 0 for level in levels),
            "levels_m",
            levels,
            "one or more lengths above 0",
        )
        _require(self.align_px >= 1, "align_px", self.align_px, "1 or more")
        _require(self.halo_px >= 2 * SEAM_PX, "halo_px", self.halo_px, f"{2 * SEAM_PX} or more")
        _require(
            self.tile_px >= 1 and self.tile_px % self.align_px == 0,
            "tile_px",
            self.tile_px,
            f"a multiple of align_px ({self.align_px})",
        )
        _require(
            self.stride_px >= 1,
            "tile_px",
            self.tile_px,
            f"at least 2 * halo_px + align_px ({2 * self.halo_px + self.align_px})",
        )
        _require(self.max_upsampling >= 1, "max_upsampling", self.max_upsampling, "1 or more")
        _require(self.min_side_px >= 0, "min_side_px", self.min_side_px, "0 or more")
        _require(0 <= self.native_tolerance < 1, "native_tolerance", self.native_tolerance, "0 or more and below 1")

    @property
    def stride_px(self) -> int:
        """The distance between neighbouring tiles, a multiple of `align_px`."""
        return (self.tile_px - 2 * self.halo_px) // self.align_px * self.align_px


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"tiling.{name}: expected {expected}, got {value}: change it in the config")


@dataclass(frozen=True, slots=True)
class Level:
    """The whole scene at one ground resolution, as a raster of whole pixels.

    Args:
        resolution_m: Metres on the ground per level pixel: the asked ones, or 1, 2, 4... times the scene's own.
        width: Columns.
        height: Rows.
        scale_x: Scene columns per level column, so that scale_x * width is the scene's width.
        scale_y: Scene rows per level row.
        min_side_px: The longer side, level pixels, of the smallest box that the level answers for; 0 on the finest.
        max_side_px: The longer side, level pixels, of the largest box that the level answers for: every tile shows what
            it owns whole up to this size, and what is larger is left to the next level; infinite on the coarsest.
    """

    resolution_m: float
    width: int
    height: int
    scale_x: float
    scale_y: float
    min_side_px: float = 0.0
    max_side_px: float = math.inf


@dataclass(frozen=True, slots=True)
class Tile:
    """One view of a level, in level pixels.

    Args:
        level: The level it is cut from.
        window: What the detector sees: a square of tile_px, which may reach past the level's right and bottom edges.
        core: The part of it whose points it owns, inside the level.
    """

    level: Level
    window: Window
    core: Window


def plan_levels(
    width: int, height: int, resolution_m: tuple[float, float], tiling: Tiling, force: bool = False
) -> tuple[Level, ...]:
    """Chooses the levels of a scene, finest first.

    Args:
        width: Columns of the scene.
        height: Rows of the scene.
        resolution_m: Metres on the ground per scene pixel, along columns and along rows.
        tiling: The levels asked for.
        force: Take the coarsest of them, too, for a scene that is too coarse for every one.

    Returns:
        One level for each asked resolution that the scene can show; levels of the same size once.

    Raises:
        ResolutionError: The scene is too coarse for every asked level.
    """
    scene_m = math.sqrt(resolution_m[0] * resolution_m[1])
    usable = sorted(asked_m for asked_m in tiling.levels_m if asked_m * tiling.max_upsampling >= scene_m * (1 - 1e-9))
    if not usable and force:
        usable = [max(tiling.levels_m)]
    if not usable:
        raise ResolutionError(_too_coarse(scene_m, tiling))
    chosen: dict[tuple[int, int], float] = {}
    for asked_m in usable:
        columns, rows, level_m = _level_size((width, height), resolution_m, asked_m, tiling.native_tolerance)
        chosen.setdefault((columns, rows), level_m)
    levels = list[Level]()
    for number, (size, level_m) in enumerate(chosen.items(), start=1):
        # What the finer level leaves to this one, this one does not leave to it.
        left_m = levels[-1].max_side_px * levels[-1].resolution_m if levels else 0.0
        min_side = min(tiling.min_side_px, left_m / level_m)
        max_side = 2.0 * (tiling.halo_px - SEAM_PX) if number < len(chosen) else math.inf
        levels.append(Level(level_m, *size, width / size[0], height / size[1], min_side, max_side))
    return tuple(levels)


def _too_coarse(scene_m: float, tiling: Tiling) -> str:
    coarsest_m = max(tiling.levels_m) * tiling.max_upsampling
    return (
        f"expected a scene of {coarsest_m:g} m per pixel or finer, got {scene_m:.3g} m: "
        "take a finer scene, or try this one with --force; hardly an airplane is seen at such a resolution"
    )


def _level_size(
    size: tuple[int, int], resolution_m: tuple[float, float], asked_m: float, tolerance: float
) -> tuple[int, int, float]:
    """Returns columns, rows and metres per pixel of the level that stands for the asked resolution."""
    scene_m = math.sqrt(resolution_m[0] * resolution_m[1])
    halvings = max(0, round(math.log2(asked_m / scene_m)))
    halved_m = scene_m * 2**halvings
    if abs(halved_m / asked_m - 1) <= tolerance and abs(resolution_m[0] / resolution_m[1] - 1) <= tolerance:
        # Rounded up, as overviews are.
        columns, rows = (-(-length // 2**halvings) for length in size)
        return columns, rows, halved_m
    columns, rows = (
        max(1, round(length * metres / asked_m)) for length, metres in zip(size, resolution_m, strict=True)
    )
    return columns, rows, float(asked_m)


def plan_tiles(level: Level, tiling: Tiling) -> Iterator[Tile]:
    """Yields the tiles of a level, row by row; their cores cover every pixel of the level exactly once."""
    rows = _spans(level.height, tiling)
    columns = _spans(level.width, tiling)
    side = tiling.tile_px
    for row, top, bottom in rows:
        for col, left, right in columns:
            core = Window(left, top, right - left, bottom - top)
            yield Tile(level, Window(col, row, side, side), core)


def _spans(length: int, tiling: Tiling) -> list[tuple[int, int, int]]:
    """Returns (start of the tile, start of its core, end of its core) along one axis of `length` pixels."""
    side, align = tiling.tile_px, tiling.align_px
    last = max(0, math.ceil(length / align) * align - side)
    starts = [*range(0, last, tiling.stride_px), last]
    # Neighbours share their overlap evenly.
    seams = [(after + before + side) // 2 for before, after in itertools.pairwise(starts)]
    return list(zip(starts, [0, *seams], [*seams, length], strict=True))


def scene_detections(tile: Tile, boxes: FloatArray, scores: FloatArray) -> Detections:
    """Moves what a detector found in one tile into the scene, and keeps what the tile owns.

    Kept are boxes whose centre lies in the tile's core (or within SEAM_PX of it), if the level answers for their size.
    An airplane that the tile's edge cuts is thereby left to a coarser level: its centre is far from that edge.

    Args:
        tile: The tile looked at.
        boxes: (N, 4) in tile pixels.
        scores: (N,).

    Returns:
        Detections in scene pixels, clipped to the scene.
    """
    level, window = tile.level, tile.window
    placed = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) + np.array(
        [window.col, window.row] * 2, dtype=np.float64
    )
    keep = _claimed(tile).contains_points((placed[:, :2] + placed[:, 2:]) / 2)
    sides = (placed[:, 2:] - placed[:, :2]).max(axis=1, initial=0.0)
    keep &= (level.min_side_px <= sides) & (sides <= level.max_side_px)
    size = np.array([level.width, level.height] * 2, dtype=np.float64)
    scale = np.array([level.scale_x, level.scale_y] * 2)
    inside = np.clip(placed[keep], 0, size) * scale
    return Detections(inside, np.asarray(scores)[keep], np.full(len(inside), level.resolution_m))


def scene_points(tile: Tile, points: FloatArray) -> FloatArray:
    """Moves points (N, 2), in tile pixels, into the scene, and keeps those that lie in the tile's core: (M, 2)."""
    placed = np.asarray(points, dtype=np.float64).reshape(-1, 2) + np.array([tile.window.col, tile.window.row])
    return np.asarray(placed[tile.core.contains_points(placed)] * [tile.level.scale_x, tile.level.scale_y])


def _claimed(tile: Tile) -> Window:
    """Returns the tile's core, grown by the width of a seam inside the level."""
    core, level = tile.core, tile.level
    grown = Window(core.col - SEAM_PX, core.row - SEAM_PX, core.width + 2 * SEAM_PX, core.height + 2 * SEAM_PX)
    return grown.intersection(Window(0, 0, level.width, level.height))
