"""A whole scene through a detector, in one process: what the pipeline does, without the pipeline."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geo.boxes import Suppression
from geo.errors import ConfigError
from geo.grid import Tile, Tiling, plan_levels, plan_tiles, scene_detections
from geo.nms import merge_levels
from geo.raster.header import SceneHeader
from geo.raster.reader import RasterReader
from geo.types import Detections, ImageArray
from model.common.config import from_mapping, read_yaml
from model.detectors import INPUT_MULTIPLE
from model.inference.predictor import Predictor

# Beyond a small picture the pipeline's tiles are black. This much of the black is kept, where a detector still sees it
# from within the picture; what lies farther out would be looked at for nothing. (The first packaged model, on pictures
# of three sets: no score moved by more than 0.003.)
_BEYOND_PX = 256


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


def read_scan_config(path: Path) -> ScanConfig:
    """The part of the pipeline's settings that an evaluation shares.

    Raises:
        ConfigError: no such file, or its settings are damaged.
    """
    content = read_yaml(path)
    try:
        shared = {name: content[name] for name in ("tiling", "suppression")}
    except KeyError as error:
        raise ConfigError(f"{path}: expected settings of the pipeline, {error} is missing") from error
    return from_mapping(ScanConfig, shared, str(path))


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
    """Finds the airplanes of one scene; see `scan_all`."""
    return scan_all([header], config, predictor, batch)[0]


def scan_all(headers: Iterable[SceneHeader], config: ScanConfig, predictor: Predictor, batch: int) -> list[Detections]:
    """Finds the airplanes of scenes; tiles of several small scenes share a batch.

    Args:
        headers: the scenes.
        config: how to look at them.
        predictor: the detector.
        batch: tiles in one call of it.

    Returns:
        For each scene one detection for each airplane, in scene pixels, by falling score. As in the pipeline, tiles
        without a valid pixel are not looked at.

    Raises:
        RasterError: a scene cannot be read.
        ResolutionError: a scene is too coarse.
    """
    found: list[list[Detections]] = []
    waiting: dict[tuple[int, ...], list[_View]] = defaultdict(list)
    for number, header in enumerate(headers):
        found.append([])
        for view in _views(number, header, config.tiling):
            alike = waiting[view.pixels.shape]
            alike.append(view)
            if len(alike) == batch:
                _look(alike, predictor, found)
    for alike in waiting.values():
        _look(alike, predictor, found)
    return [merge_levels(Detections.concatenate(parts), config.suppression) for parts in found]


class _View(NamedTuple):
    """A tile with its pixels, and the number of its scene."""

    scene: int
    tile: Tile
    pixels: ImageArray


def _views(number: int, header: SceneHeader, tiling: Tiling) -> Iterator[_View]:
    """What the detector is to see of a scene, tile by tile."""
    with RasterReader(header.uri, header.radiometry) as reader:
        for level in plan_levels(header.width, header.height, header.resolution_m, tiling):
            for tile in plan_tiles(level, tiling):
                if not reader.is_empty(tile):
                    yield _View(number, tile, _trimmed(reader.read_tile(tile), tile))


def _trimmed(pixels: ImageArray, tile: Tile) -> ImageArray:
    """A tile without most of what lies beyond the right and bottom edges of its level."""
    level, window = tile.level, tile.window
    rows, columns = (
        -(-(length + _BEYOND_PX) // INPUT_MULTIPLE) * INPUT_MULTIPLE
        for length in (level.height - window.row, level.width - window.col)
    )
    return pixels[:rows, :columns]


def _look(views: list[_View], predictor: Predictor, found: list[list[Detections]]) -> None:
    """Looks at views of one shape, and hands what is found to their scenes; empties the list."""
    if views:
        each = detect(predictor, [view.tile for view in views], [view.pixels for view in views])
        for view, detections in zip(views, each, strict=True):
            found[view.scene].append(detections)
        views.clear()
