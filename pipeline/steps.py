"""The steps of the job as plain functions: a scene's source in, airplanes and a line of the ledger out. No Beam.

Pixels are (x, y) = (column, row) with the corner as origin. What fails for one scene or one tile is returned as a
value, so that nothing stops the others and nothing goes unrecorded.
"""

from __future__ import annotations

import dataclasses
import filecmp
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from geo import nms as merging
from geo.aoi import AreaOfInterest, Polygons, core_mask, points_in_area
from geo.boxes import Suppression
from geo.errors import FinderError, GeoreferenceError
from geo.grid import Tile, Tiling, plan_levels, scene_detections, scene_points
from geo.nms import Settled, merge_levels
from geo.polygons import ground_polygon, size_m
from geo.raster.header import SceneHeader, read_header
from geo.raster.reader import RasterReader
from geo.raster.uri import is_remote, redacted, retry_delays_s, suffix
from geo.types import Detections, FloatArray
from model.inference.predictor import Predictor
from pipeline import ledger_entries as entries
from pipeline import records, screen
from pipeline.config import PipelineConfig
from pipeline.records import Airplane
from pipeline.sources.consistency import check_agrees
from pipeline.values import (
    Block,
    Duplicate,
    Identity,
    Scene,
    SceneFailure,
    SceneResult,
    SceneSource,
    TileImage,
    TileOutcome,
)

#: How often a tile is tried to be read.
TRIES = 3

#: The URI of a scene, and row and column of a part of it.
BlockKey = tuple[str, int, int]
#: Side of the parts in which detections are merged, scene pixels: far larger than airplanes, so that few cross an edge.
MERGE_PX = 8192


def open_scene(source: SceneSource, config: PipelineConfig, area: AreaOfInterest | None = None) -> Scene:
    """Reads the header of a scene and plans its levels, and the part of it that is of interest.

    Raises:
        RasterError: no raster, a truncated one, or bands that do not fit.
        GeoreferenceError: nothing says where it lies, or its STAC item and the file contradict each other.
        ResolutionError: too coarse to see an airplane.
    """
    return _planned(source, _header(source, config), config, area)


def describe(source: SceneSource, config: PipelineConfig, area: AreaOfInterest | None = None) -> Scene | SceneFailure:
    """Returns the planned scene, or why there is none."""
    header = None
    try:
        header = _header(source, config)
        return _planned(source, header, config, area)
    except FinderError as error:
        return SceneFailure(source, _naming(source.uri, error), header)


def distinct(scenes: Iterable[Scene]) -> Iterator[Scene | Duplicate]:
    """Yields each scene, by URI, or as a duplicate of the first that shows the same."""
    kept: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda scene: scene.source.uri):
        others = kept.setdefault(scene.header.scene_id, [])
        first = next((other for other in others if _same(other, scene)), None)
        if first is None:
            others.append(scene)
        yield scene if first is None else Duplicate(scene, first.source.uri)


def plan(scene: Scene, config: PipelineConfig) -> Iterator[Block]:
    """Yields the work of a scene, as descriptions only: all of it, or what comes first where it is screened."""
    screened = _is_screened(scene, config)
    tiles = screen.coarse_tiles(scene, config.tiling) if screened else entries.tiles_of(scene, config.tiling)
    return _blocks(scene, tiles, config.block_tiles)


def plan_more(scene: Scene, config: PipelineConfig, coarse: Iterable[TileOutcome]) -> Iterator[Block | TileOutcome]:
    """Yields the rest of the work of a scene that is screened, and the outcomes of tiles that are not worth it.

    Args:
        scene: the scene.
        config: the settings.
        coarse: what became of the tiles that `plan` has planned.
    """
    if config.screen is None or not _is_screened(scene, config):
        return
    worth, others = screen.fine_tiles(scene, config.tiling, config.screen, coarse)
    yield from screen.left_out(scene, others)
    yield from _blocks(scene, iter(worth), config.block_tiles)


def read(block: Block) -> Iterator[TileImage | TileOutcome]:
    """Yields the tiles of a block with their pixels; for an empty tile, or one that cannot be read, its outcome.

    The scene is opened once, and anew before a tile is tried again. Of a scene that was written since it was described
    nothing is read any more.
    """
    pauses = retry_delays_s(block.scene_uri)
    done = 0
    try:
        with RasterReader(block.scene_uri, block.radiometry, block.version) as reader:
            for tile in block.tiles:
                yield _read_patiently(reader, block, tile, pauses)
                done += 1
    except FinderError as error:
        # It was there when it was described: it has been moved or overwritten since, or its server is gone.
        yield from (_failed(block.scene_uri, tile, error, 0.0) for tile in block.tiles[done:])


def detect(predictor: Predictor, images: Sequence[TileImage], config: PipelineConfig) -> list[TileOutcome]:
    """Looks at a batch of tiles; each keeps the boxes whose centre lies in its core, in scene pixels."""
    started = time.perf_counter()
    found = predictor(np.stack([image.pixels for image in images]))
    seconds = (time.perf_counter() - started) / len(images)
    return [_outcome(image, detections, config, seconds) for image, detections in zip(images, found, strict=True)]


def merge(outcomes: Sequence[TileOutcome], suppression: Suppression) -> Detections:
    """Returns one detection for each airplane of one scene, in scene pixels, the surest first, in one pass."""
    found = Detections.concatenate([outcome.detections for outcome in outcomes])
    return merge_levels(found, suppression)


def by_block(outcome: TileOutcome) -> Iterator[tuple[BlockKey, Detections]]:
    """Yields the detections of a tile for each part of its scene that they touch, to be merged in parts."""
    for block, found in merging.by_block(outcome.detections, MERGE_PX):
        yield (outcome.scene_uri, block.row, block.col), found


def settle(key: BlockKey, detections: Iterable[Detections], suppression: Suppression) -> Settled:
    """Merges the detections of all tiles that touch one part of a scene, in whatever order they come."""
    _, row, col = key
    return merging.settle(merging.Block(row, col, MERGE_PX), Detections.concatenate(list(detections)), suppression)


def without_detections(outcome: TileOutcome) -> TileOutcome:
    """What the ledger needs of a tile."""
    return dataclasses.replace(outcome, detections=Detections.empty(), marks=np.zeros((0, 2)))


def georeference(scene: Scene, detections: Detections, identity: Identity) -> tuple[Airplane, ...]:
    """Puts detections (scene pixels) on the map, in their order.

    Raises:
        GeoreferenceError: a box has no place on the Earth.
    """
    columns = (detections.boxes, detections.scores, detections.resolution_m)
    return tuple(
        _airplane(scene, identity, box, float(score), float(resolution_m))
        for box, score, resolution_m in zip(*columns, strict=True)
    )


def finish(
    scene: Scene, outcomes: Iterable[TileOutcome], merged: Detections, tiling: Tiling, identity: Identity
) -> SceneResult:
    """Brings the tiles of a scene together, in whatever order they come, and puts its airplanes on the map.

    Args:
        scene: the scene.
        outcomes: what became of its tiles; their detections are not looked at.
        merged: one detection for each airplane of them, see `merge`.
        tiling: what it was planned with.
        identity: what goes into the airplanes' ids.
    """
    outcomes = sorted(outcomes, key=_place)
    airplanes: tuple[Airplane, ...] = ()
    error = None
    try:
        airplanes = georeference(scene, _of_interest(scene, merged), identity)
    except FinderError as failure:
        error = _naming(scene.header.uri, failure)
    return SceneResult(entries.scene_entry(scene, outcomes, tiling, len(airplanes), error), airplanes)


def _header(source: SceneSource, config: PipelineConfig) -> SceneHeader:
    try:
        return read_header(source.uri, bands=config.bands or source.bands, height_m=config.rpc_height_m)
    except GeoreferenceError as error:
        # What an item tells is not put in the place of what the file lacks: nothing would be left to check it by.
        told = (
            f" (its STAC item says {source.crs}; if it is right, gdal_edit.py -a_srs writes it)" if source.crs else ""
        )
        raise GeoreferenceError(f"{error}{told}") from error


def _of_interest(scene: Scene, detections: Detections) -> Detections:
    """Keeps the detections whose centre lies in the scene's area of interest."""
    if scene.area is None:
        return detections
    return detections.take(points_in_area(scene.area, (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2))


def _planned(source: SceneSource, header: SceneHeader, config: PipelineConfig, area: AreaOfInterest | None) -> Scene:
    if header.georef is None:
        raise GeoreferenceError(f"{header.uri}: expected a georeference, got none: write one, e.g. with gdal_edit")
    check_agrees(source, header, header.georef)
    levels = plan_levels(header.width, header.height, header.resolution_m, config.tiling, force=config.force)
    within = None if area is None else area.in_pixels(header.georef, header.width, header.height)
    return Scene(source, header, header.georef, levels, within)


def _same(one: Scene, other: Scene) -> bool:
    """Whether two scenes of one fingerprint show the same."""
    if one.header.radiometry.bands != other.header.radiometry.bands:
        return False  # told so by their items: the same file, but another picture
    uris = one.source.uri, other.source.uri
    if any(map(is_remote, uris)):
        # To be sure would be to fetch both whole: the fingerprint's sample of all parts of the picture must do.
        return True
    if any(suffix(uri) == ".vrt" for uri in uris):
        return False  # the same words may mean other files: what they name is relative to where they stand
    try:
        return filecmp.cmp(*uris, shallow=False)
    except OSError:
        return False  # one of them is gone, which is found out again, and told, where it is looked at


def _naming(uri: str, error: FinderError) -> str:
    """The message of an error, with the scene named where it is not."""
    text, name = str(error), redacted(uri)
    return text if name in text else f"{name}: {text}"


def _is_screened(scene: Scene, config: PipelineConfig) -> bool:
    return config.screen is not None and len(scene.levels) > 1


def _blocks(scene: Scene, tiles: Iterator[Tile], block_tiles: int) -> Iterator[Block]:
    for _, of_level in itertools.groupby(tiles, key=lambda tile: tile.level):
        while block := tuple(itertools.islice(of_level, block_tiles)):
            header = scene.header
            yield Block(header.uri, header.scene_id, header.version, header.radiometry, scene.area, block)


def _outcome(image: TileImage, found: Detections, config: PipelineConfig, seconds: float) -> TileOutcome:
    """What became of a tile in which something was `found`, in its pixels, with the model's time for it."""
    uri, tile = image.scene_uri, image.tile
    marks = np.zeros((0, 2))
    if config.screen is not None:
        # The model was told to say what it is unsure of, too.
        marks = scene_points(tile, (found.boxes[:, :2] + found.boxes[:, 2:]) / 2)
        found = found.take(np.flatnonzero(found.scores >= (config.min_score or 0.0)))
    owned = scene_detections(tile, found.boxes, found.scores)
    return TileOutcome(uri, tile, "done", owned, image.seen, None, image.seconds + seconds, marks)


def _read_patiently(reader: RasterReader, block: Block, tile: Tile, pauses: Iterator[float]) -> TileImage | TileOutcome:
    """Reads a tile, again where that fails.

    Raises:
        RasterError: the scene cannot be opened again.
    """
    for _ in range(TRIES - 1):
        item = _read_tile(reader, block, tile)
        if isinstance(item, TileImage) or item.status != "failed":
            return item
        time.sleep(next(pauses))
        reader.reopen()
    return _read_tile(reader, block, tile)


def _read_tile(reader: RasterReader, block: Block, tile: Tile) -> TileImage | TileOutcome:
    uri, started = block.scene_uri, time.perf_counter()
    try:
        valid = reader.read_valid_mask(tile)
        if valid is not None and not valid.any():
            return TileOutcome(uri, tile, "empty", Detections.empty(), 0.0, None, time.perf_counter() - started)
        pixels = reader.read_tile(tile)
    except FinderError as error:
        return _failed(uri, tile, error, time.perf_counter() - started)
    return TileImage(uri, tile, pixels, _seen(valid, block.area, tile), time.perf_counter() - started)


def _seen(valid: NDArray[np.bool_] | None, area: Polygons | None, tile: Tile) -> float:
    """Returns the share of a tile's core that is of interest and not missing; `valid` is for the tile's window."""
    core = tile.core
    seen = np.ones((core.height, core.width), dtype=np.bool_)
    if valid is not None:
        top, left = core.row - tile.window.row, core.col - tile.window.col
        seen &= valid[top : top + core.height, left : left + core.width]
    if area is not None:
        seen &= core_mask(area, tile)
    return float(seen.mean())


def _failed(uri: str, tile: Tile, error: FinderError, seconds: float) -> TileOutcome:
    return TileOutcome(uri, tile, "failed", Detections.empty(), 0.0, _naming(uri, error), seconds)


def _place(outcome: TileOutcome) -> tuple[float, int, int]:
    """Where a tile stands in the plan of its scene."""
    tile = outcome.tile
    return tile.level.resolution_m, tile.window.row, tile.window.col


def _airplane(scene: Scene, identity: Identity, box: FloatArray, score: float, resolution_m: float) -> Airplane:
    xmin, ymin, xmax, ymax = sides = [float(side) for side in box]
    return Airplane(
        geometry=ground_polygon(box, scene.georef),
        # The fingerprint, whatever the scene is called: found with a STAC item or without, an airplane keeps its id.
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
        length_m=None,
        wingspan_m=None,
        heading_deg=None,
        resolution_m=round(resolution_m, 4),
        model=identity.model,
    )
