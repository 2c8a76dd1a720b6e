"""The tile grid of a scene: levels of ground resolution, their tiles, and the tile that owns a point. Opens no files.

A level is the scene resampled to about square pixels of a given ground resolution. It is never materialized: tiles read
their windows of it. Level pixels cover the scene exactly, so that one scale per axis converts to scene pixels. Tiles
overlap; every point of a level lies in the core of exactly one tile.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo.errors import ConfigError, ResolutionError
from geo.types import Detections, FloatArray, Window

# Two tiles localize the same airplane slightly differently. If its centre lies within this distance of the seam between
# their cores, level pixels, both keep it: otherwise each could leave it to the other. NMS removes the duplicate.
SEAM_PX = 4

# Two levels measure the same airplane slightly differently, too. A coarser level keeps boxes from this share of the
# longest on that no tile of the finer one cuts off.
_SURELY_UNCUT = 0.8

# Larger tiles would not fit in memory.
MAX_TILE_PX = 8192


@dataclass(frozen=True, slots=True)
class Tiling:
    """Settings of the tile grid.

    Args:
        levels_m: ground resolutions of the levels, metres per pixel, in any order.
        fine_levels_m: the same for scenes that are as fine as the finest of these, whose details that level shows;
            None: `levels_m`, as for all others.
        tile_px: longest side of a tile in level pixels, a multiple of `align_px`; the tiles of a level have one size,
            which is smaller where that saves pixels (see `tile_size`).
        halo_px: minimum distance of a core from the edges of its tile, except at the edges of the scene; 8 or more.
            Airplanes up to `Tiling.uncut_px` lie in one tile wherever they are.
        align_px: tiles start at multiples of this, the detector's coarsest stride.
        max_upsampling: levels finer than the scene by more than this factor are not used; 1 or more.
        min_side_px: boxes whose longer side is shorter than this, level pixels, are left to the next finer level, if
            there is one, which shows them in more detail.
        native_tolerance: a level whose resolution is this close (relative) to the scene's, or to 2, 4, 8... times that,
            is moved there: it then copies pixels of the scene or of an overview, without resampling.

    Raises:
        ConfigError: a value is out of range.
    """

    levels_m: tuple[float, ...]
    tile_px: int = 1920
    halo_px: int = 64
    align_px: int = 32
    max_upsampling: float = 2.0
    min_side_px: float = 24.0
    native_tolerance: float = 0.1
    fine_levels_m: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name, levels in (("levels_m", self.levels_m), ("fine_levels_m", self.fine_levels_m)):
            _require(
                levels is None or (bool(levels) and all(math.isfinite(level) and level > 0 for level in levels)),
                name,
                levels,
                "one or more lengths above 0",
            )
        _require(self.align_px >= 1, "align_px", self.align_px, "1 or more")
        _require(self.halo_px >= 2 * SEAM_PX, "halo_px", self.halo_px, f"{2 * SEAM_PX} or more")
        _require(
            1 <= self.tile_px <= MAX_TILE_PX and self.tile_px % self.align_px == 0,
            "tile_px",
            self.tile_px,
            f"a multiple of align_px ({self.align_px}) up to {MAX_TILE_PX}",
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
        """Distance between the starts of neighbouring tiles of `tile_px`, level pixels; a multiple of `align_px`."""
        return self.stride_of(self.tile_px)

    @property
    def uncut_px(self) -> float:
        """The longest box, level pixels, that no tile with its centre in the core cuts off, see `scene_detections`."""
        return 2.0 * (self.halo_px - 2 * SEAM_PX)

    def levels_of(self, scene_m: float) -> tuple[float, ...]:
        """Return the ground resolutions asked for of a scene of `scene_m` metres per pixel."""
        fine = self.fine_levels_m
        return fine if fine and scene_m <= min(fine) * (1 + self.native_tolerance) else self.levels_m

    def stride_of(self, side_px: int) -> int:
        """Return the distance between the starts of neighbouring tiles of a side; 0 or less: they cannot overlap."""
        return (side_px - 2 * self.halo_px) // self.align_px * self.align_px


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"tiling.{name}: expected {expected}, got {value}: change it in the config")


@dataclass(frozen=True, slots=True)
class Level:
    """The scene at one ground resolution, as a raster.

    Args:
        resolution_m: metres on the ground per level pixel: as requested, or 1, 2, 4... times the scene's.
        width: columns.
        height: rows.
        scale_x: scene columns per level column; scale_x * width is the scene's width.
        scale_y: scene rows per level row.
        min_side_px: longer side, level pixels, of the smallest box that the level keeps; 0 on the finest level.
        is_coarsest: whether there is no coarser level to which airplanes that a tile cuts off could be left.
    """

    resolution_m: float
    width: int
    height: int
    scale_x: float
    scale_y: float
    min_side_px: float = 0.0
    is_coarsest: bool = True


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of a level, in level pixels.

    Args:
        level: the level.
        window: the detector's input, see `tile_size`; it may extend beyond the level's right and bottom edges.
        core: the part of the window that the tile owns, inside the level.
    """

    level: Level
    window: Window
    core: Window


def plan_levels(
    width: int, height: int, resolution_m: tuple[float, float], tiling: Tiling, force: bool = False
) -> tuple[Level, ...]:
    """Return the levels of a scene, finest first.

    Args:
        width: columns of the scene.
        height: rows of the scene.
        resolution_m: metres on the ground per scene pixel, along columns and along rows.
        tiling: the requested levels.
        force: use the coarsest level if the scene is too coarse for all of them.

    Returns:
        One level for each requested resolution that the scene can provide; levels of equal size once.

    Raises:
        ResolutionError: the scene is too coarse for all requested levels.
    """
    scene_m = math.sqrt(resolution_m[0] * resolution_m[1])
    usable = sorted(
        level_m for level_m in tiling.levels_of(scene_m) if level_m * tiling.max_upsampling >= scene_m * (1 - 1e-9)
    )
    if not usable and force:
        usable = [max(tiling.levels_m)]
    if not usable:
        raise ResolutionError(_too_coarse(scene_m, tiling))
    resolutions: dict[tuple[int, int], float] = {}
    for requested_m in usable:
        columns, rows, level_m = _level_size((width, height), resolution_m, requested_m, tiling.native_tolerance)
        resolutions.setdefault((columns, rows), level_m)
    levels = list[Level]()
    for number, (size, level_m) in enumerate(resolutions.items(), start=1):
        scale_x, scale_y = width / size[0], height / size[1]
        min_side = 0.0
        if levels:
            # A box that the finer level's tiles may cut off must not be too small for this one, nor one that this level
            # measures a little shorter.
            finer = min(levels[-1].scale_x / scale_x, levels[-1].scale_y / scale_y)
            min_side = min(tiling.min_side_px, _SURELY_UNCUT * tiling.uncut_px * finer)
        levels.append(Level(level_m, *size, scale_x, scale_y, min_side, is_coarsest=number == len(resolutions)))
    return tuple(levels)


def _too_coarse(scene_m: float, tiling: Tiling) -> str:
    coarsest_m = max(tiling.levels_m) * tiling.max_upsampling
    return (
        f"expected a scene of {coarsest_m:g} m per pixel or finer, got {scene_m:.3g} m: "
        "use a finer scene, or try this one with --force; few airplanes are visible at such a resolution"
    )


def _level_size(
    size: tuple[int, int], resolution_m: tuple[float, float], requested_m: float, tolerance: float
) -> tuple[int, int, float]:
    """Return columns, rows and metres per pixel of the level for a requested resolution."""
    scene_m = math.sqrt(resolution_m[0] * resolution_m[1])
    halvings = max(0, round(math.log2(requested_m / scene_m)))
    halved_m = scene_m * 2**halvings
    if abs(halved_m / requested_m - 1) <= tolerance and abs(resolution_m[0] / resolution_m[1] - 1) <= tolerance:
        # Rounded up, like overviews.
        columns, rows = (-(-length // 2**halvings) for length in size)
        return columns, rows, halved_m
    columns, rows = (
        max(1, round(length * metres / requested_m)) for length, metres in zip(size, resolution_m, strict=True)
    )
    return columns, rows, float(requested_m)


def plan_tiles(level: Level, tiling: Tiling, bounds: tuple[float, float, float, float] | None = None) -> Iterator[Tile]:
    """Yield the tiles of a level, row by row; they have one size, and their cores partition the level.

    Args:
        level: the level.
        tiling: size and overlap of the tiles.
        bounds: xmin, ymin, xmax, ymax in level pixels: only tiles that may own a detection centred inside are made.
            None for all.
    """
    width, height = tile_size(level, tiling)
    columns, rows = _spans(level.width, width, tiling), _spans(level.height, height, tiling)
    if bounds is not None:
        columns, rows = _reached(columns, bounds[0], bounds[2]), _reached(rows, bounds[1], bounds[3])
    for row, top, bottom in rows:
        for col, left, right in columns:
            yield Tile(level, Window(col, row, width, height), Window(left, top, right - left, bottom - top))


def count_tiles(level: Level, tiling: Tiling, bounds: tuple[float, float, float, float] | None = None) -> int:
    """Return how many tiles `plan_tiles` yields, without making them."""
    width, height = tile_size(level, tiling)
    columns, rows = _spans(level.width, width, tiling), _spans(level.height, height, tiling)
    if bounds is not None:
        columns, rows = _reached(columns, bounds[0], bounds[2]), _reached(rows, bounds[1], bounds[3])
    return len(columns) * len(rows)


def _reached(spans: list[tuple[int, int, int]], low: float, high: float) -> list[tuple[int, int, int]]:
    """Return the spans whose core, grown by SEAM_PX, has a part in low..high."""
    return [span for span in spans if span[1] - SEAM_PX <= high and span[2] + SEAM_PX >= low]


def tile_size(level: Level, tiling: Tiling) -> tuple[int, int]:
    """Return columns and rows of a level's tiles.

    Along each axis there are as few tiles as with `tile_px`, and they are as short as that allows: a level smaller than
    a tile is not padded to one. Sides are multiples of `align_px`.
    """
    return _tile_side(level.width, tiling), _tile_side(level.height, tiling)


def _tile_side(length: int, tiling: Tiling) -> int:
    count = _tile_count(length, tiling.tile_px, tiling)
    sides = range(tiling.align_px, tiling.tile_px + 1, tiling.align_px)
    return next(side for side in sides if _tile_count(length, side, tiling) == count)


def _tile_count(length: int, side: int, tiling: Tiling) -> int | None:
    """Return how many tiles of a side cover `length` pixels; None: they would not overlap."""
    beyond = _aligned(length, tiling) - side
    if beyond <= 0:
        return 1
    stride = tiling.stride_of(side)
    return 1 + math.ceil(beyond / stride) if stride > 0 else None


def _aligned(length: int, tiling: Tiling) -> int:
    return math.ceil(length / tiling.align_px) * tiling.align_px


def _spans(length: int, side: int, tiling: Tiling) -> list[tuple[int, int, int]]:
    """Return (start of the tile, start of its core, end of its core) along one axis of `length` pixels."""
    last = max(0, _aligned(length, tiling) - side)
    starts = [*range(0, last, tiling.stride_of(side)), last] if last else [0]
    # Seams lie in the middle of the overlap of two neighbours.
    seams = [(after + before + side) // 2 for before, after in itertools.pairwise(starts)]
    return list(zip(starts, [0, *seams], [*seams, length], strict=True))


def scene_detections(tile: Tile, boxes: FloatArray, scores: FloatArray) -> Detections:
    """Convert a tile's detections to scene pixels, and keep those that the tile owns.

    Kept are boxes whose centre lies in the tile's core, or within SEAM_PX of it, and that are not too small for the
    level. But for the coarsest level they must also lie in the tile, SEAM_PX from its edges: an airplane that an edge
    cuts off is left to a coarser level, which shows more around it. The edges of the scene cut off nothing that any
    level could show.

    Args:
        tile: the tile.
        boxes: (N, 4) in tile pixels.
        scores: (N,).

    Returns:
        Detections in scene pixels, clipped to the scene.
    """
    level, window = tile.level, tile.window
    in_level = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) + np.array(
        [window.col, window.row] * 2, dtype=np.float64
    )
    keep = _core_with_seam(tile).contains_points((in_level[:, :2] + in_level[:, 2:]) / 2)
    sides = (in_level[:, 2:] - in_level[:, :2]).max(axis=1, initial=0.0)
    keep &= level.min_side_px <= sides
    if not level.is_coarsest:
        keep &= _lie_inside(tile, in_level)
    size = np.array([level.width, level.height] * 2, dtype=np.float64)
    scale = np.array([level.scale_x, level.scale_y] * 2)
    in_scene = np.clip(in_level[keep], 0, size) * scale
    return Detections(in_scene, np.asarray(scores)[keep], np.full(len(in_scene), level.resolution_m))


def _lie_inside(tile: Tile, boxes: FloatArray) -> NDArray[np.bool_]:
    """Return which boxes (N, 4), level pixels, lie in the tile, SEAM_PX from its edges inside the level."""
    level, window = tile.level, tile.window
    left, top = (start + SEAM_PX if start > 0 else -math.inf for start in (window.col, window.row))
    right = window.right - SEAM_PX if window.right < level.width else math.inf
    bottom = window.bottom - SEAM_PX if window.bottom < level.height else math.inf
    return np.asarray((boxes[:, :2] >= [left, top]).all(axis=1) & (boxes[:, 2:] <= [right, bottom]).all(axis=1))


def scene_points(tile: Tile, points: FloatArray) -> FloatArray:
    """Convert points (N, 2) in tile pixels to scene pixels, and keep those in the tile's core, (M, 2)."""
    in_level = np.asarray(points, dtype=np.float64).reshape(-1, 2) + np.array([tile.window.col, tile.window.row])
    return np.asarray(in_level[tile.core.contains_points(in_level)] * [tile.level.scale_x, tile.level.scale_y])


def _core_with_seam(tile: Tile) -> Window:
    """Return the tile's core, grown by SEAM_PX inside the level."""
    core, level = tile.core, tile.level
    grown = Window(core.col - SEAM_PX, core.row - SEAM_PX, core.width + 2 * SEAM_PX, core.height + 2 * SEAM_PX)
    return grown.intersection(Window(0, 0, level.width, level.height))
