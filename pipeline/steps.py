"""The steps of the job as plain functions: blocks of tiles in, airplanes and a ledger entry out. No Beam.

Pixels are (x, y) = (column, row) with the corner as origin. What fails for one scene or one tile is returned as a
value, so that it stops nothing else and goes unrecorded nowhere. Planning is in `pipeline.planning`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from geo import nms
from geo.aoi import points_in_area
from geo.errors import FinderError, RasterError
from geo.grid import Tile
from geo.nms import LocalNmsResult, Suppression
from geo.outline import POINT_FIELDS
from geo.polygons import ground_polygon, outline_polygon, size_m
from geo.raster.reader import RasterReader
from geo.raster.uri import retry_delays_s
from geo.types import Detections, FloatArray
from model.inference import scan
from model.inference.predictor import Predictor
from pipeline import records
from pipeline.config import PipelineConfig
from pipeline.ledger import SceneResult, scene_entry
from pipeline.model_loading import model_folder_of
from pipeline.planning import error_with_uri
from pipeline.records import Airplane
from pipeline.values import Identity, Scene, TileBlock, TileImage, TileOutcome

if TYPE_CHECKING:
    from model.inference.outlines import Outline

#: How often a tile is read before it counts as failed.
READ_ATTEMPTS = 3

#: The URI of a scene, and row and column of a chunk of it.
ChunkKey = tuple[str, int, int]
#: Side of the chunks in which detections are merged, scene pixels: far larger than airplanes, so few cross an edge.
MERGE_PX = 8192


def read_tiles(block: TileBlock) -> Iterator[TileImage | TileOutcome]:
    """Yield the tiles of a block with their pixels; for an empty tile, or one that cannot be read, its outcome.

    The scene is opened once, and again before a tile is retried. A scene that was written since its header was read is
    not read any further.
    """
    pauses = retry_delays_s(block.scene_uri)
    done = 0
    try:
        with RasterReader(block.scene_uri, block.radiometry, block.version) as reader:
            for tile in block.tiles:
                yield _read_with_retries(reader, block, tile, pauses)
                done += 1
    except FinderError as error:
        # The scene was there when its header was read: it was moved or overwritten since, or its server is gone.
        yield from (_failed(block.scene_uri, tile, error, 0.0) for tile in block.tiles[done:])


def detect_tiles(predictor: Predictor, images: Sequence[TileImage], config: PipelineConfig) -> list[TileOutcome]:
    """Run the model on tiles of one shape; each outcome has the detections that its tile owns, in scene pixels."""
    started = time.perf_counter()
    # With screening the model also returns detections below the threshold, as candidates.
    min_score = (config.min_score or 0.0) if config.screen else 0.0
    results = scan.detect(predictor, [image.tile for image in images], [image.pixels for image in images], min_score)
    seconds = (time.perf_counter() - started) / len(images)
    return [
        TileOutcome(
            scene_uri=image.scene_uri,
            tile=image.tile,
            status="done",
            detections=result.owned,
            valid_fraction=image.valid_fraction,
            error=None,
            seconds=image.seconds + seconds,
            candidates=result.candidates if config.screen else np.zeros((0, 2)),
        )
        for image, result in zip(images, results, strict=True)
    ]


def merge(outcomes: Iterable[TileOutcome], suppression: Suppression) -> Detections:
    """Return one detection for each airplane of a scene, in scene pixels, by falling score, in one pass."""
    return scan.merge((outcome.detections for outcome in outcomes), suppression)


def split_into_chunks(outcome: TileOutcome) -> Iterator[tuple[ChunkKey, Detections]]:
    """Yield the detections of a tile for each chunk of its scene that they touch."""
    for chunk, detections in nms.split_into_chunks(outcome.detections, MERGE_PX):
        yield (outcome.scene_uri, chunk.row, chunk.col), detections


def merge_chunk(key: ChunkKey, detections: Iterable[Detections], suppression: Suppression) -> LocalNmsResult:
    """Merge the detections of all tiles that touch one chunk of a scene, in any order."""
    _, row, col = key
    return nms.local_nms(nms.Chunk(row, col, MERGE_PX), Detections.concatenate(list(detections)), suppression)


def without_detections(outcome: TileOutcome) -> TileOutcome:
    """Return the outcome without detections and candidates: what the ledger needs."""
    return dataclasses.replace(outcome, detections=Detections.empty(), candidates=np.zeros((0, 2)))


def finish(
    scene: Scene,
    outcomes: Iterable[TileOutcome],
    merged: Detections,
    identity: Identity,
    keypoint_model: str | None = None,
) -> SceneResult:
    """Return the result of a scene: its ledger entry and its georeferenced airplanes.

    Args:
        scene: the scene.
        outcomes: the outcomes of its tiles, in any order; their detections are not used.
        merged: one detection for each airplane, in scene pixels; see `merge`.
        identity: model and settings, which are part of the detections' ids.
        keypoint_model: by which the airplanes are measured; None: they are not. Those that could not be read again are
            not measured either, and the entry says so.
    """
    in_order = sorted(outcomes, key=_plan_order)
    airplanes: tuple[Airplane, ...] = ()
    error = None
    if scene.area is not None:
        merged = merged.take(points_in_area(scene.area, (merged.boxes[:, :2] + merged.boxes[:, 2:]) / 2))
    outlines: Sequence[Outline | None] = ()
    if keypoint_model is not None and len(merged):
        try:
            outlines, error = measure(scene, merged.boxes, keypoint_model)
        except FinderError as failure:
            error = f"airplanes not measured: {error_with_uri(scene.header.uri, failure)}"
        if any(outcome.status == "failed" for outcome in in_order):
            error = None  # the tiles that failed say more
    try:
        airplanes = georeference(scene, merged, identity, outlines)
    except FinderError as failure:
        error = error_with_uri(scene.header.uri, failure)
    return SceneResult(scene_entry(scene, in_order, len(airplanes), error), airplanes)


def measure(scene: Scene, boxes: FloatArray, keypoint_model: str) -> tuple[list[Outline | None], str | None]:
    """Return the outlines of airplanes, by reading the scene around them, and the error if some cannot be read.

    Args:
        scene: the scene.
        boxes: (N, 4) of the airplanes, scene pixels.
        keypoint_model: name or folder of the keypoint model, local or `gs://`.

    Raises:
        WeightsError: there is no such model, or it is damaged.
        GeoreferenceError: a point lies nowhere on the Earth.
    """
    from model.inference.outlines import measure_outlines  # imports LiteRT, which scenes without airplanes do not need

    header, pauses = scene.header, retry_delays_s(scene.header.uri)
    results: list[Outline | RasterError | None] = [None] * len(boxes)
    unread = list(range(len(boxes)))
    for attempt in range(READ_ATTEMPTS):
        if attempt:
            time.sleep(next(pauses))
        try:
            with RasterReader(header.uri, header.radiometry, header.version) as reader:
                measured = measure_outlines(reader, scene.georef, boxes[unread], model_folder_of(keypoint_model))
        except RasterError as error:
            measured = [error] * len(unread)
        for number, result in zip(unread, measured, strict=True):
            results[number] = result
        unread = [number for number in unread if isinstance(results[number], RasterError)]
        if not unread:
            break
    outlines = [None if isinstance(result, RasterError) else result for result in results]
    failures = [result for result in results if isinstance(result, RasterError)]
    if not failures:
        return outlines, None
    first = error_with_uri(header.uri, failures[0])
    return outlines, f"{len(failures)} of {len(boxes)} airplanes could not be measured; the first: {first}"


def georeference(
    scene: Scene, detections: Detections, identity: Identity, outlines: Sequence[Outline | None] = ()
) -> tuple[Airplane, ...]:
    """Return detections in scene pixels as airplanes on the map, in the same order.

    Args:
        scene: the scene.
        detections: N detections.
        identity: model and settings, which are part of the detections' ids.
        outlines: of the N airplanes, None where one was not measured; or of none of them.

    Raises:
        GeoreferenceError: a box lies nowhere on the Earth.
    """
    columns = (detections.boxes, detections.scores, detections.resolution_m, outlines or [None] * len(detections))
    return tuple(
        _airplane(scene, identity, box, float(score), float(resolution_m), outline)
        for box, score, resolution_m, outline in zip(*columns, strict=True)
    )


def _read_with_retries(
    reader: RasterReader, block: TileBlock, tile: Tile, pauses: Iterator[float]
) -> TileImage | TileOutcome:
    """Read a tile, and retry where that fails.

    Raises:
        RasterError: the scene cannot be opened again.
    """
    for _ in range(READ_ATTEMPTS - 1):
        item = _read_tile(reader, block, tile)
        if isinstance(item, TileImage) or item.status != "failed":
            return item
        time.sleep(next(pauses))
        reader.reopen()
    return _read_tile(reader, block, tile)


def _read_tile(reader: RasterReader, block: TileBlock, tile: Tile) -> TileImage | TileOutcome:
    uri, started = block.scene_uri, time.perf_counter()
    try:
        image = scan.read_tile(reader, tile, block.area)
    except FinderError as error:
        return _failed(uri, tile, error, time.perf_counter() - started)
    seconds = time.perf_counter() - started
    if image is None:
        return TileOutcome(uri, tile, "empty", Detections.empty(), 0.0, None, seconds)
    return TileImage(uri, tile, image.pixels, image.valid_fraction, seconds)


def _failed(uri: str, tile: Tile, error: FinderError, seconds: float) -> TileOutcome:
    return TileOutcome(uri, tile, "failed", Detections.empty(), 0.0, error_with_uri(uri, error), seconds)


def _plan_order(outcome: TileOutcome) -> tuple[float, int, int]:
    """Sort key: the order in which the tiles of a scene were planned."""
    tile = outcome.tile
    return tile.level.resolution_m, tile.window.row, tile.window.col


def _airplane(
    scene: Scene, identity: Identity, box: FloatArray, score: float, resolution_m: float, outline: Outline | None
) -> Airplane:
    xmin, ymin, xmax, ymax = sides = [float(side) for side in box]
    length, length_sd, wingspan, wingspan_sd, heading, heading_sd = _measures(outline)
    # As they are written, so that who reads them gets the same polygon.
    points = None if outline is None else outline.points.round(2)
    return Airplane(
        geometry=ground_polygon(box, scene.georef) if points is None else outline_polygon(points, scene.georef),
        # By the fingerprint, not by the STAC item's id: a detection has the same id with an item and without.
        detection_id=records.detection_id(scene.header.scene_id, identity.model, identity.settings_id, sides),
        scene_id=scene.scene_id,
        scene_uri=scene.header.uri,
        acquired_at=scene.acquired_at,
        score=score,
        xmin_px=xmin,
        ymin_px=ymin,
        xmax_px=xmax,
        ymax_px=ymax,
        size_m=round(size_m(box, scene.georef), 2),
        length_m=length,
        length_sd_m=length_sd,
        wingspan_m=wingspan,
        wingspan_sd_m=wingspan_sd,
        heading_deg=heading,
        heading_sd_deg=heading_sd,
        outline="upright" if points is None else "oriented",
        **dict(zip(POINT_FIELDS, [None] * 8 if points is None else points.ravel().tolist(), strict=True)),
        resolution_m=round(resolution_m, 4),
        model=identity.model,
    )


def _measures(outline: Outline | None) -> tuple[float | None, ...]:
    """Return length, wingspan and heading, each followed by its expected error, as they are written."""
    if outline is None:
        return (None,) * 6
    metres = (outline.length_m, outline.length_sd_m, outline.wingspan_m, outline.wingspan_sd_m)
    lengths = tuple(round(value, 2) for value in metres)
    if outline.heading_deg is None or outline.heading_sd_deg is None:
        return (*lengths, None, None)
    # 359.96 would be rounded to 360.
    return (*lengths, round(outline.heading_deg, 1) % 360, round(outline.heading_sd_deg, 1))
