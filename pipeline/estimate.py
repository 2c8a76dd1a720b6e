"""What a run would do, from the headers of its scenes alone (`--plan`): tiles, pixels, ground, and hours."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from geo.aoi import core_mask
from geo.grid import Tile
from model.inference.predictor import Predictor
from pipeline import ledger_entries as entries
from pipeline.config import PipelineConfig
from pipeline.values import Duplicate, Scene, SceneFailure

#: How long the model is tried, seconds.
TRIED_S = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """What would be done; what is missing in the scenes shows only when they are read, so all of it is at most.

    Attributes:
        scenes: that would be looked at.
        duplicates: that would be looked at as others.
        errors: why others could not be looked at, one line each.
        tiles: by the ground resolution of their level, metres, finest first.
        tile_px: side of a tile.
        km2: ground of interest.
    """

    scenes: int
    duplicates: int
    errors: tuple[str, ...]
    tiles: dict[float, int]
    tile_px: int
    km2: float

    @property
    def mpx(self) -> float:
        """Pixels that the model would look at, millions."""
        return sum(self.tiles.values()) * self.tile_px**2 / 1e6


def estimate(described: Sequence[Scene | SceneFailure | Duplicate], config: PipelineConfig) -> Estimate:
    """Returns what a run over these scenes would do."""
    scenes = [one for one in described if isinstance(one, Scene)]
    tiles: Counter[float] = Counter()
    km2 = 0.0
    for scene in scenes:
        for tile in entries.tiles_of(scene, config.tiling):
            tiles[round(tile.level.resolution_m, 2)] += 1
            if tile.level == scene.levels[0]:
                km2 += entries.core_km2(scene, tile, _of_interest(scene, tile))
    return Estimate(
        scenes=len(scenes),
        duplicates=sum(isinstance(one, Duplicate) for one in described),
        errors=tuple(one.error for one in described if isinstance(one, SceneFailure)),
        tiles=dict(sorted(tiles.items())),
        tile_px=config.tiling.tile_px,
        km2=km2,
    )


def rate(predictor: Predictor, config: PipelineConfig) -> float:
    """Returns how fast the model is on this machine, Mpx/s: it is tried on black tiles for some seconds."""
    side = config.tiling.tile_px
    batch = np.zeros((config.batch_size, side, side, 3), np.uint8)
    predictor(batch)  # the first call takes longer
    started, looked = time.perf_counter(), 0
    while (seconds := time.perf_counter() - started) < TRIED_S:
        predictor(batch)
        looked += batch[..., 0].size
    return looked / 1e6 / seconds


def lines(found: Estimate, mpx_per_s: float, screened: bool) -> Iterable[str]:
    """Yields the estimate for people, line by line.

    Args:
        found: what would be done.
        mpx_per_s: how fast the model is here.
        screened: whether only a part of the finer levels would be looked at.
    """
    duplicates = f", {found.duplicates} duplicate" if found.duplicates else ""
    yield f"{found.scenes} scenes to look at, {len(found.errors)} that cannot be{duplicates}"
    for resolution_m, tiles in found.tiles.items():
        yield f"{resolution_m:g} m: {tiles:,} tiles, {tiles * found.tile_px**2 / 1e6:,.1f} Mpx"
    if screened:
        yield "of the finer levels only what is near something that the coarsest one takes for an airplane"
    yield f"together at most {sum(found.tiles.values()):,} tiles, {found.mpx:,.1f} Mpx, {found.km2:,.2f} km2"
    hours = found.mpx / mpx_per_s / 3600
    yield f"at most {hours:,.2f} hours for the model on this machine ({mpx_per_s:.1f} Mpx/s just now)"


def _of_interest(scene: Scene, tile: Tile) -> float:
    """Returns the share of a tile's core that is of interest."""
    return 1.0 if scene.area is None else float(core_mask(scene.area, tile).mean())
