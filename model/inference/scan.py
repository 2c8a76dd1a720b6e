"""Scan a scene with a detector: plan tiles, read them, detect, assign detections to tiles, merge.

The evaluation calls `scan_all`. The pipeline, in one process or on Beam, calls the same functions one by one, with
retries, failures as values and counters around them: what is measured is what runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from geo.aoi import Polygons, core_mask, tiles_in_area
from geo.grid import Level, Tile, Tiling, plan_levels, plan_tiles, scene_detections, scene_points
from geo.nms import Suppression, merge_levels
from geo.raster.header import SceneHeader
from geo.raster.reader import RasterReader
from geo.types import Detections, FloatArray, ImageArray
from model.detectors import INPUT_MULTIPLE
from model.inference.predictor import Predictor
from model.inference.scan_config import ScanConfig

#: A `margin_px` for `scan_all` that is cheap and close: with the first packaged model, on three data sets, no score
#: moved by more than 0.003.
MARGIN_PX = 256


class TilePixels(NamedTuple):
    """The pixels of a tile.

    Attributes:
        pixels: uint8 (tile_px, tile_px, 3).
        valid_fraction: share of the tile's core that is valid and of interest, 0..1.
    """

    pixels: ImageArray
    valid_fraction: float


class TileDetections(NamedTuple):
    """The detections of a tile, in scene pixels.

    Attributes:
        owned: detections that the tile is responsible for: their centre lies in its core.
        candidates: (N, 2) centres in the core of everything that the predictor returned, however low its score.
    """

    owned: Detections
    candidates: FloatArray


def plan_scan(header: SceneHeader, tiling: Tiling, *, force: bool = False) -> tuple[Level, ...]:
    """Return the levels of a scene, finest first.

    Args:
        header: the scene.
        tiling: resolutions asked for.
        force: plan scenes that are too coarse to show an airplane, too.

    Raises:
        ResolutionError: the scene is too coarse.
    """
    return plan_levels(header.width, header.height, header.resolution_m, tiling, force=force)


def level_tiles(level: Level, tiling: Tiling, area: Polygons | None = None) -> Iterator[Tile]:
    """Yield the tiles of a level row by row; with an area of interest (scene pixels) only those that touch it."""
    tiles = plan_tiles(level, tiling)
    return tiles if area is None else tiles_in_area(area, tiles)


def read_tile(reader: RasterReader, tile: Tile, area: Polygons | None = None) -> TilePixels | None:
    """Read a tile; None if none of its pixels is valid.

    Args:
        reader: the open scene.
        tile: the tile.
        area: area of interest, scene pixels; it counts for `valid_fraction` alone.

    Raises:
        RasterError: the tile cannot be read.
    """
    valid = reader.read_valid_mask(tile)
    if valid is not None and not valid.any():
        return None
    core = tile.core
    counted = np.ones((core.height, core.width), dtype=np.bool_)
    if valid is not None:
        top, left = core.row - tile.window.row, core.col - tile.window.col
        counted &= valid[top : top + core.height, left : left + core.width]
    if area is not None:
        counted &= core_mask(area, tile)
    return TilePixels(reader.read_tile(tile), float(counted.mean()))


def detect(
    predictor: Predictor, tiles: Sequence[Tile], images: Sequence[ImageArray], min_score: float = 0.0
) -> list[TileDetections]:
    """Run the predictor on a batch of tiles and assign each detection to the tile that owns it.

    Args:
        predictor: the detector.
        tiles: B tiles.
        images: their pixels, uint8 (height, width, 3), all of one shape.
        min_score: detections below it are candidates only.

    Returns:
        The detections of each tile, in scene pixels.
    """
    return [
        _assigned(tile, detections, min_score)
        for tile, detections in zip(tiles, predictor(np.stack(images)), strict=True)
    ]


def _assigned(tile: Tile, detections: Detections, min_score: float) -> TileDetections:
    candidates = scene_points(tile, (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2)
    kept = detections.take(np.flatnonzero(detections.scores >= min_score)) if min_score else detections
    return TileDetections(scene_detections(tile, kept.boxes, kept.scores), candidates)


def merge(detections: Iterable[Detections], suppression: Suppression) -> Detections:
    """Return one detection for each airplane of a scene, by falling score, from the detections of all its tiles."""
    return merge_levels(Detections.concatenate(list(detections)), suppression)


def scan(
    header: SceneHeader, config: ScanConfig, predictor: Predictor, batch: int, margin_px: int | None = None
) -> Detections:
    """Detect the airplanes of one scene; see `scan_all`."""
    return scan_all([header], config, predictor, batch, margin_px)[0]


def scan_all(
    headers: Iterable[SceneHeader],
    config: ScanConfig,
    predictor: Predictor,
    batch: int,
    margin_px: int | None = None,
) -> list[Detections]:
    """Detect the airplanes of several scenes; tiles of different scenes may share a batch.

    Args:
        headers: the scenes.
        config: levels, tiles and suppression.
        predictor: the detector.
        batch: tiles per call of the predictor.
        margin_px: where a tile is larger than its level, cut off what is more than this beyond the level's right and
            bottom edges. Faster on small images, but not exactly what the pipeline computes. None: infer whole tiles.

    Returns:
        For each scene one detection for each airplane, in scene pixels, by falling score. Tiles without a valid pixel
        are skipped.

    Raises:
        RasterError: a scene cannot be read.
        ResolutionError: a scene is too coarse.
    """
    by_scene: list[list[Detections]] = []
    pending: dict[tuple[int, ...], list[_SceneTile]] = defaultdict(list)
    for number, header in enumerate(headers):
        by_scene.append([])
        for item in _read_tiles(number, header, config.tiling, margin_px):
            same_shape = pending[item.pixels.shape]
            same_shape.append(item)
            if len(same_shape) == batch:
                _detect_batch(same_shape, predictor, by_scene)
    for same_shape in pending.values():
        if same_shape:
            _detect_batch(same_shape, predictor, by_scene)
    return [merge(detections, config.suppression) for detections in by_scene]


class _SceneTile(NamedTuple):
    """A tile with its pixels, and the number of its scene."""

    scene: int
    tile: Tile
    pixels: ImageArray


def _read_tiles(number: int, header: SceneHeader, tiling: Tiling, margin_px: int | None) -> Iterator[_SceneTile]:
    """Yield the tiles of a scene that hold a valid pixel."""
    with RasterReader(header.uri, header.radiometry) as reader:
        for level in plan_scan(header, tiling):
            for tile in level_tiles(level, tiling):
                image = read_tile(reader, tile)
                if image is not None:
                    yield _SceneTile(number, tile, _trimmed(image.pixels, tile, margin_px))


def _trimmed(pixels: ImageArray, tile: Tile, margin_px: int | None) -> ImageArray:
    """Cut off what lies more than a margin beyond the level; the sides stay multiples of the detector's stride."""
    if margin_px is None:
        return pixels
    level, window = tile.level, tile.window
    rows, columns = (
        -(-(length + margin_px) // INPUT_MULTIPLE) * INPUT_MULTIPLE
        for length in (level.height - window.row, level.width - window.col)
    )
    return pixels[:rows, :columns]


def _detect_batch(items: list[_SceneTile], predictor: Predictor, by_scene: list[list[Detections]]) -> None:
    """Run the detector on tiles of one shape and append the detections to their scenes; clears the list."""
    results = detect(predictor, [item.tile for item in items], [item.pixels for item in items])
    for item, result in zip(items, results, strict=True):
        by_scene[item.scene].append(result.owned)
    items.clear()
