"""A whole scene through a detector, in one process: what the pipeline does, without the pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo.boxes import Suppression, merge_levels
from geo.errors import ConfigError
from geo.grid import Tile, Tiling, plan_levels, plan_tiles, scene_detections
from geo.raster import RasterReader, SceneHeader
from geo.types import Detections, ImageArray
from model.predictor import INPUT_MULTIPLE, Predictor


def check_tiling(tiling: Tiling) -> None:
    """Refuses tiles that the detector cannot look at.

    Raises:
        ConfigError: tiles do not lie at multiples of 32 px.
    """
    if tiling.align_px % INPUT_MULTIPLE:
        raise ConfigError(
            f"tiling.align_px: expected a multiple of {INPUT_MULTIPLE}, got {tiling.align_px}: change it in the config"
        )


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """How a scene is looked at: what the pipeline and the evaluation have in common.

    Attributes:
        tiling: levels, tiles and their overlap.
        suppression: when two boxes are one airplane.
    """

    tiling: Tiling
    suppression: Suppression

    def __post_init__(self) -> None:
        check_tiling(self.tiling)


def detect(predictor: Predictor, tiles: Sequence[Tile], images: Sequence[ImageArray]) -> list[Detections]:
    """What a detector finds in tiles of a scene.

    Args:
        predictor: the detector.
        tiles: B tiles of one size.
        images: the pixels of each, (side, side, 3).

    Returns:
        For each tile the detections that it owns, in scene pixels.
    """
    return [
        scene_detections(tile, found.boxes, found.scores)
        for tile, found in zip(tiles, predictor(np.stack(images)), strict=True)
    ]


def scan(header: SceneHeader, config: ScanConfig, predictor: Predictor, batch: int) -> Detections:
    """Finds the airplanes of a scene.

    Args:
        header: the scene.
        config: how to look at it.
        predictor: the detector.
        batch: tiles in one call of it.

    Returns:
        One detection for each airplane, in scene pixels, by falling score. As in the pipeline, tiles without a valid
        pixel are not looked at.

    Raises:
        RasterError: the scene cannot be read.
        ResolutionError: the scene is too coarse.
    """
    levels = plan_levels(header.width, header.height, header.resolution_m, config.tiling)
    tiles = [tile for level in levels for tile in plan_tiles(level, config.tiling)]
    found: list[Detections] = []
    with RasterReader(header.uri) as reader:
        for start in range(0, len(tiles), batch):
            some = [tile for tile in tiles[start : start + batch] if not reader.is_empty(tile)]
            if some:
                found.extend(detect(predictor, some, [reader.read_tile(tile) for tile in some]))
    return merge_levels(Detections.concatenate(found), config.suppression)
