"""A cheap look first: where the coarsest level sees something like an airplane, the finer levels look too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from geo.grid import Tile, Tiling
from geo.types import Detections, FloatArray
from pipeline import ledger_entries as entries
from pipeline.config import Screen
from pipeline.values import Scene, TileOutcome


def coarse_tiles(scene: Scene, tiling: Tiling) -> Iterator[Tile]:
    """Yields the tiles of a scene that are looked at first: those of its coarsest level."""
    return (tile for tile in entries.tiles_of(scene, tiling) if tile.level == scene.levels[-1])


def fine_tiles(
    scene: Scene, tiling: Tiling, screen: Screen, coarse: Iterable[TileOutcome]
) -> tuple[list[Tile], list[Tile]]:
    """Divides the other tiles of a scene by what became of the coarse ones, in whatever order they come.

    Returns:
        The tiles that are worth a look, and those that are not: whose core is farther from all marks than the margin.
        What the coarse look failed to see is worth one.
    """
    reach = (screen.margin_m / scene.header.resolution_m[0], screen.margin_m / scene.header.resolution_m[1])
    sights = np.concatenate([np.zeros((0, 4)), *(_sights(outcome, reach) for outcome in coarse)])
    tiles = [tile for tile in entries.tiles_of(scene, tiling) if tile.level != scene.levels[-1]]
    worth = [_overlap(_scene_core(tile), sights) for tile in tiles]
    return (
        [tile for tile, chosen in zip(tiles, worth, strict=True) if chosen],
        [tile for tile, chosen in zip(tiles, worth, strict=True) if not chosen],
    )


def left_out(scene: Scene, tiles: Sequence[Tile]) -> Iterator[TileOutcome]:
    """Yields the outcomes of tiles that were not worth a look."""
    for tile in tiles:
        yield TileOutcome(scene.header.uri, tile, "screened", Detections.empty(), 0.0, None, 0.0)


def _sights(outcome: TileOutcome, reach: tuple[float, float]) -> FloatArray:
    """Returns where a finer look is worth it, (N, 4), scene pixels."""
    if outcome.status == "failed":
        return _scene_core(outcome.tile)[None]
    return np.concatenate([outcome.marks - reach, outcome.marks + reach], axis=1)


def _scene_core(tile: Tile) -> FloatArray:
    """Returns the core of a tile in scene pixels, (4,)."""
    core, level = tile.core, tile.level
    sides = np.array([core.col, core.row, core.right, core.bottom], dtype=np.float64)
    return np.asarray(sides * ([level.scale_x, level.scale_y] * 2))


def _overlap(box: FloatArray, others: FloatArray) -> bool:
    return bool(((others[:, :2] < box[2:]) & (others[:, 2:] > box[:2])).all(axis=1).any())
