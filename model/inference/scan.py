"""Scan a scene with a detector: plan tiles, read them, detect, assign detections to tiles, merge.

The evaluation calls `scan_all`. The pipeline, in one process or on Beam, calls the same functions one by one, with
retries, failures as values and counters around them: what is measured is what runs.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from geo.aoi import Polygons, core_mask, tiles_in_area
from geo.grid import Level, Tile, Tiling, plan_levels, plan_tiles, scene_detections, scene_points
from geo.nms import Suppression, merge_levels
from geo.raster.header import SceneHeader
from geo.raster.reader import RasterReader
from geo.types import Detections, FloatArray, ImageArray
from model.inference.predictor import Predictor, images_per_batch
from model.inference.scan_config import ScanConfig

#: Batches that a predictor gets in one call: while the model runs on one, the cells of the one before become boxes.
BATCHES_PER_CALL = 4
#: Tiles that wait for others of their shape, in calls: more would hold the pixels of a whole folder of odd chips.
_MAX_WAITING_CALLS = 4

T = TypeVar("T")
_END = object()


class TilePixels(NamedTuple):
    """The pixels of a tile.

    Attributes:
        pixels: uint8 (height, width, 3) of the tile's window.
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
    return plan_tiles(level, tiling) if area is None else tiles_in_area(area, level, tiling)


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
    return TilePixels(reader.read_tile(tile), _valid_fraction(tile, valid, area))


def _valid_fraction(tile: Tile, valid: NDArray[np.bool_] | None, area: Polygons | None) -> float:
    """Return the share of a tile's core that is valid (mask of its window) and of interest."""
    if valid is None and area is None:
        return 1.0
    core = tile.core
    counted = np.ones((core.height, core.width), dtype=np.bool_)
    if valid is not None:
        top, left = core.row - tile.window.row, core.col - tile.window.col
        counted &= valid[top : top + core.height, left : left + core.width]
    if area is not None:
        counted &= core_mask(area, tile)
    return float(counted.mean())


def group_by_shape(
    items: Iterable[T],
    shape: Callable[[T], tuple[int, ...]],
    batch_size: int,
    batches_per_call: int = BATCHES_PER_CALL,
) -> Iterator[list[T]]:
    """Yield the items in groups of equal shape, each for one call of a predictor.

    Groups are full, `batches_per_call` batches, but for the last of each shape and where too many shapes wait.

    Args:
        items: tiles of any number of scenes.
        shape: the shape of an item's pixels, (height, width, bands), or () if it has none.
        batch_size: large tiles that the model runs on at once; see `images_per_batch` for small ones.
        batches_per_call: more is faster, fewer gives the first results earlier.
    """
    waiting: dict[tuple[int, ...], list[T]] = {}
    calls = 0.0  # that the waiting items will fill
    for item in items:
        key = shape(item)
        size = _group_size(key, batch_size, batches_per_call)
        group = waiting.setdefault(key, [])
        group.append(item)
        calls += 1 / size
        if len(group) < size and calls < _MAX_WAITING_CALLS:
            continue
        # A full group, or the one that was begun first.
        key = key if len(group) == size else next(iter(waiting))
        group = waiting.pop(key)
        calls -= len(group) / _group_size(key, batch_size, batches_per_call)
        yield group
    yield from waiting.values()


def _group_size(shape: tuple[int, ...], batch_size: int, batches_per_call: int) -> int:
    per_batch = images_per_batch(shape[0], shape[1], batch_size) if shape else batch_size
    return per_batch * batches_per_call


def detect(
    predictor: Predictor, tiles: Sequence[Tile], images: Sequence[ImageArray], min_score: float = 0.0
) -> list[TileDetections]:
    """Run the predictor on tiles of one shape and assign each detection to the tile that owns it.

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


def scan(header: SceneHeader, config: ScanConfig, predictor: Predictor, batch_size: int) -> Detections:
    """Detect the airplanes of one scene; see `scan_all`."""
    return scan_all([header], config, predictor, batch_size)[0]


def scan_all(
    headers: Iterable[SceneHeader], config: ScanConfig, predictor: Predictor, batch_size: int
) -> list[Detections]:
    """Detect the airplanes of several scenes; tiles of different scenes may share a batch.

    Args:
        headers: the scenes.
        config: levels, tiles and suppression.
        predictor: the detector.
        batch_size: large tiles that the model runs on at once.

    Returns:
        For each scene one detection for each airplane, in scene pixels, by falling score. Tiles without a valid pixel
        are skipped.

    Raises:
        RasterError: a scene cannot be read.
        ResolutionError: a scene is too coarse.
    """
    by_scene: list[list[Detections]] = []
    tiles = _read_scenes(headers, config.tiling, by_scene)
    for group in group_by_shape(prefetch(tiles, batch_size * BATCHES_PER_CALL), _shape, batch_size):
        results = detect(predictor, [item.tile for item in group], [item.pixels for item in group])
        for item, result in zip(group, results, strict=True):
            item.detections.append(result.owned)
    return [merge(detections, config.suppression) for detections in by_scene]


class _SceneTile(NamedTuple):
    """A tile with its pixels, and the list for the detections of its scene."""

    detections: list[Detections]
    tile: Tile
    pixels: ImageArray


def _shape(item: _SceneTile) -> tuple[int, ...]:
    return item.pixels.shape


def _read_scenes(
    headers: Iterable[SceneHeader], tiling: Tiling, by_scene: list[list[Detections]]
) -> Iterator[_SceneTile]:
    """Yield the tiles of scenes that hold a valid pixel; appends a list for each scene to `by_scene`."""
    for header in headers:
        by_scene.append([])
        with RasterReader(header.uri, header.radiometry) as reader:
            for level in plan_scan(header, tiling):
                for tile in level_tiles(level, tiling):
                    image = read_tile(reader, tile)
                    if image is not None:
                        yield _SceneTile(by_scene[-1], tile, image.pixels)


def prefetch(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """Yield the same items in the same order, while a thread computes the next ones.

    At most `depth` items are held. An error in `items` is raised where its item would have come. All of `items` runs in
    that one thread, so it may open and close what is bound to a thread.

    Args:
        items: the items, as an iterator.
        depth: how many items are computed in advance, at least 1.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            pending: deque[Future[object]] = deque(pool.submit(next, items, _END) for _ in range(depth))
            while (item := pending.popleft().result()) is not _END:
                pending.append(pool.submit(next, items, _END))
                yield cast("T", item)
        finally:
            for future in pending:
                future.cancel()
            if isinstance(items, Generator):
                # A consumer that stops early must not leave the scene open.
                pool.submit(items.close)
