"""Plan scenes from their headers: levels, tiles, blocks of tiles, screening, and the estimate for `--plan`.

Levels and tile counts are computed once, in `open_scene`, and travel with the `Scene`. No pixel is read here but the
header's sample, and there is no Beam.
"""

from __future__ import annotations

import dataclasses
import filecmp
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from geo.aoi import AreaOfInterest, Polygons, core_mask, level_bounds
from geo.errors import FinderError, GeoreferenceError, InputError, RasterError
from geo.grid import Level, Tile, Tiling, count_tiles, tile_size
from geo.raster.gdal_io import dataset_files, open_raster
from geo.raster.header import SceneHeader, read_header
from geo.raster.uri import is_remote, redacted, suffix
from geo.types import Detections, FloatArray
from model.inference import scan
from model.inference.predictor import Predictor
from pipeline.config import PipelineConfig, Screen
from pipeline.sources.item_check import check_item_matches_raster
from pipeline.values import Duplicate, LevelPlan, Scene, SceneFailure, SceneSource, TileBlock, TileOutcome

#: How long the model's rate is measured, seconds.
RATE_SECONDS = 3.0

#: Tiles of one level; with tiles of 1920 px some 7 million million pixels.
MAX_TILES = 2_000_000


def open_scene(source: SceneSource, config: PipelineConfig, area: AreaOfInterest | None = None) -> Scene:
    """Read the header of a scene and plan its levels.

    Args:
        source: the scene as it was asked for.
        config: the settings.
        area: the area of interest; None: everything.

    Raises:
        RasterError: no raster, a truncated one, or bands that do not fit.
        GeoreferenceError: no georeference, or the STAC item and the file contradict each other.
        ResolutionError: too coarse to show an airplane.
    """
    return _planned(source, _read_header(source, config), config, area)


def describe_scene(
    source: SceneSource, config: PipelineConfig, area: AreaOfInterest | None = None
) -> Scene | SceneFailure:
    """Return the planned scene, or why it cannot be processed; see `open_scene`."""
    header = None
    try:
        header = _read_header(source, config)
        return _planned(source, header, config, area)
    except FinderError as error:
        return SceneFailure(source, error_with_uri(source.uri, error), header)


def describe_scenes(
    sources: Iterable[SceneSource], config: PipelineConfig, area: AreaOfInterest | None = None
) -> list[Scene | SceneFailure | Duplicate]:
    """Return each scene planned, failed, or as a duplicate of another one, in the order of the sources."""
    described = [describe_scene(source, config, area) for source in sources]
    unique = deduplicate(scene for scene in described if isinstance(scene, Scene))
    duplicates = {item.scene.source.uri: item for item in unique if isinstance(item, Duplicate)}
    return [duplicates.get(item.source.uri, item) for item in described]


def deduplicate(scenes: Iterable[Scene]) -> Iterator[Scene | Duplicate]:
    """Yield each scene, by URI, or as a duplicate of the first one with the same pixels."""
    kept: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda scene: scene.source.uri):
        others = kept.setdefault(scene.header.scene_id, [])
        first = next((other for other in others if _is_duplicate(other, scene)), None)
        if first is None:
            others.append(scene)
        yield scene if first is None else Duplicate(scene, first.source.uri)


def error_with_uri(uri: str, error: FinderError) -> str:
    """Return the message of an error, with the scene's URI in front where the message lacks it."""
    text, name = str(error), redacted(uri)
    return text if name in text else f"{name}: {text}"


def _read_header(source: SceneSource, config: PipelineConfig) -> SceneHeader:
    if source.error is not None:
        raise InputError(source.error)
    try:
        bands = config.bands or source.bands
        return read_header(source.uri, bands=bands, height_m=config.rpc_height_m, nodata=source.nodata)
    except GeoreferenceError as error:
        # The item's CRS does not replace what the file lacks: nothing would be left to check it by.
        hint = (
            f" (its STAC item says {source.crs}; if it is right, gdal_edit.py -a_srs writes it)" if source.crs else ""
        )
        raise GeoreferenceError(f"{error}{hint}") from error


def _planned(source: SceneSource, header: SceneHeader, config: PipelineConfig, area: AreaOfInterest | None) -> Scene:
    if header.georef is None:
        raise GeoreferenceError(f"{header.uri}: expected a georeference, got none: write one, e.g. with gdal_edit")
    check_item_matches_raster(source, header, header.georef)
    levels = scan.plan_scan(header, config.tiling, force=config.force)
    polygons = None if area is None else area.in_pixels(header.georef, header.width, header.height)
    plan = tuple(LevelPlan(level, _count_tiles(level, config.tiling, polygons)) for level in levels)
    return Scene(source, header, header.georef, plan, polygons)


def _count_tiles(level: Level, tiling: Tiling, area: Polygons | None) -> int:
    """Return how many tiles of a level are planned; known before any is made, however large the scene.

    Raises:
        RasterError: there are too many for one run.
    """
    count = count_tiles(level, tiling, None if area is None else level_bounds(area, level))
    if count > MAX_TILES:
        raise RasterError(
            f"expected at most {MAX_TILES} tiles, got {count} at {level.resolution_m:.3g} m per pixel: name an area of "
            "interest with --aoi, or process parts of the scene"
        )
    return count if area is None else sum(1 for _ in scan.level_tiles(level, tiling, area))


def _is_duplicate(scene: Scene, other: Scene) -> bool:
    """Return whether two scenes of the same fingerprint have the same pixels."""
    if scene.header.radiometry.bands != other.header.radiometry.bands:
        return False  # their items name different bands: the same file, but another image
    uris = scene.source.uri, other.source.uri
    if any(map(is_remote, uris)):
        # Certainty would take a download of both: the fingerprint, a sample of the whole image, has to do.
        return True
    if any(suffix(uri) == ".vrt" for uri in uris):
        return False  # the same text may mean other files: paths in it are relative to the VRT
    try:
        # The index of a delivery may have the same text on another day: its tiles tell.
        files, others = (_files(uri) for uri in uris)
        return len(files) == len(others) and all(map(partial(filecmp.cmp, shallow=False), files, others))
    except (OSError, FinderError):
        return False  # one of them is gone, which is reported when it is read


def _files(uri: str) -> list[str]:
    """Return the files that a local raster consists of, by name."""
    with open_raster(uri) as dataset:
        return sorted(dataset_files(dataset))


def scene_tiles(scene: Scene, tiling: Tiling) -> Iterator[Tile]:
    """Yield every planned tile of a scene, level by level, finest first."""
    for level in scene.levels:
        yield from scan.level_tiles(level, tiling, scene.area)


def plan_blocks(scene: Scene, config: PipelineConfig) -> Iterator[TileBlock]:
    """Yield the blocks of tiles of a scene; of a scene that is screened only those of its coarsest level."""
    if _is_screened(scene, config):
        tiles = scan.level_tiles(scene.levels[-1], config.tiling, scene.area)
    else:
        tiles = scene_tiles(scene, config.tiling)
    return _blocks(scene, tiles, config.block_tiles)


def plan_remaining(
    scene: Scene, config: PipelineConfig, coarse: Iterable[TileOutcome]
) -> Iterator[TileBlock | TileOutcome]:
    """Yield the other blocks of a scene that is screened, and the outcomes of the tiles that are skipped.

    Args:
        scene: the scene.
        config: the settings.
        coarse: the outcomes of the tiles that `plan_blocks` has planned, in any order.
    """
    if config.screen is None or not _is_screened(scene, config):
        return
    near, far = split_fine_tiles(scene, config.tiling, config.screen, coarse)
    for tile in far:
        yield TileOutcome(scene.header.uri, tile, "screened", Detections.empty(), 0.0, None, 0.0)
    yield from _blocks(scene, iter(near), config.block_tiles)


def split_fine_tiles(
    scene: Scene, tiling: Tiling, screen: Screen, coarse: Iterable[TileOutcome]
) -> tuple[list[Tile], list[Tile]]:
    """Divide the tiles of all but the coarsest level by their distance to the candidates of that level.

    Args:
        scene: the scene.
        tiling: its tiling.
        screen: how near a candidate must be.
        coarse: the outcomes of the tiles of the coarsest level, in any order.

    Returns:
        The tiles whose core lies within the margin of a candidate, or on a tile of the coarsest level that failed;
        and the others.
    """
    margin_px = np.array([screen.margin_m / length for length in scene.header.resolution_m])
    regions = np.concatenate([np.zeros((0, 4)), *(_candidate_regions(outcome, margin_px) for outcome in coarse)])
    near: list[Tile] = []
    far: list[Tile] = []
    for level in scene.levels[:-1]:
        for tile in scan.level_tiles(level, tiling, scene.area):
            core = _scene_core(tile)
            overlaps = (regions[:, :2] < core[2:]) & (regions[:, 2:] > core[:2])
            (near if overlaps.all(axis=1).any() else far).append(tile)
    return near, far


def _is_screened(scene: Scene, config: PipelineConfig) -> bool:
    return config.screen is not None and len(scene.plan) > 1


def _candidate_regions(outcome: TileOutcome, margin_px: FloatArray) -> FloatArray:
    """Return the regions around an outcome's candidates, (N, 4), scene pixels."""
    if outcome.status == "failed":
        return _scene_core(outcome.tile)[None]
    return np.concatenate([outcome.candidates - margin_px, outcome.candidates + margin_px], axis=1)


def _scene_core(tile: Tile) -> FloatArray:
    """Return the core of a tile in scene pixels, (4,)."""
    core, level = tile.core, tile.level
    sides = np.array([core.col, core.row, core.right, core.bottom], dtype=np.float64)
    return np.asarray(sides * ([level.scale_x, level.scale_y] * 2))


def _blocks(scene: Scene, tiles: Iterator[Tile], block_tiles: int) -> Iterator[TileBlock]:
    """Yield tiles in blocks of `block_tiles`; a small scene is one block, with the tiles of all levels."""
    header = scene.header
    while block := tuple(itertools.islice(tiles, block_tiles)):
        yield TileBlock(header.uri, header.scene_id, header.version, header.radiometry, scene.area, block)


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """The extent of a run. Upper bounds: nodata shows only when the scenes are read.

    Attributes:
        scenes: scenes to process.
        duplicates: scenes that are duplicates of these.
        errors: why the other scenes cannot be processed, one line each.
        tiles: tile count by ground resolution, metres, finest first.
        mpx: pixels to infer by ground resolution, millions.
        km2: ground of interest.
    """

    scenes: int
    duplicates: int
    errors: tuple[str, ...]
    tiles: dict[float, int]
    mpx: dict[float, float]
    km2: float

    @property
    def total_mpx(self) -> float:
        """Pixels to infer on all levels, millions."""
        return sum(self.mpx.values())


def estimate(described: Sequence[Scene | SceneFailure | Duplicate], config: PipelineConfig) -> Estimate:
    """Return the extent of a run over described scenes."""
    scenes = [item for item in described if isinstance(item, Scene)]
    tiles: Counter[float] = Counter()
    pixels: Counter[float] = Counter()
    for planned in (planned for scene in scenes for planned in scene.plan if planned.tile_count):
        resolution_m = round(planned.level.resolution_m, 2)
        tiles[resolution_m] += planned.tile_count
        pixels[resolution_m] += planned.tile_count * math.prod(tile_size(planned.level, config.tiling))
    return Estimate(
        scenes=len(scenes),
        duplicates=sum(isinstance(item, Duplicate) for item in described),
        errors=tuple(item.error for item in described if isinstance(item, SceneFailure)),
        tiles=dict(sorted(tiles.items())),
        mpx={resolution_m: count / 1e6 for resolution_m, count in sorted(pixels.items())},
        km2=sum(_km2_of_interest(scene, config.tiling) for scene in scenes),
    )


def _km2_of_interest(scene: Scene, tiling: Tiling) -> float:
    """Return the ground of interest of a scene, square kilometres."""
    tiles = scan.level_tiles(scene.levels[0], tiling, scene.area)
    area = scene.area
    return sum(core_km2(scene, tile, 1.0 if area is None else float(core_mask(area, tile).mean())) for tile in tiles)


def core_km2(scene: Scene, tile: Tile, fraction: float) -> float:
    """Return the ground of a fraction, 0..1, of a tile's core, square kilometres."""
    level, core = tile.level, tile.core
    x, y = (core.col + core.width / 2) * level.scale_x, (core.row + core.height / 2) * level.scale_y
    mx, my = scene.georef.ground_resolution_m(x, y)
    return fraction * core.width * level.scale_x * mx * core.height * level.scale_y * my / 1e6


def measure_rate(predictor: Predictor, config: PipelineConfig) -> float:
    """Return the model's rate on this machine, Mpx/s, measured on black tiles for `RATE_SECONDS`."""
    side = config.tiling.tile_px
    batch = np.zeros((config.batch_size, side, side, 3), np.uint8)
    predictor(batch)  # warm up
    started, pixels = time.perf_counter(), 0
    while (seconds := time.perf_counter() - started) < RATE_SECONDS:
        predictor(batch)
        pixels += batch[..., 0].size
    return pixels / 1e6 / seconds


def estimate_lines(planned: Estimate, screened: bool) -> Iterator[str]:
    """Yield the estimate as text, line by line.

    Args:
        planned: the estimate.
        screened: whether the finer levels are inferred only in part.
    """
    duplicates = f", {planned.duplicates} duplicate" if planned.duplicates else ""
    yield f"{planned.scenes} scenes to process, {len(planned.errors)} that cannot be{duplicates}"
    for resolution_m, count in planned.tiles.items():
        yield f"{resolution_m:g} m: {count:,} tiles, {planned.mpx[resolution_m]:,.1f} Mpx"
    if screened:
        yield "finer levels: only tiles near a candidate of the coarsest level"
    tiles, mpx = sum(planned.tiles.values()), planned.total_mpx
    yield f"in total at most {tiles:,} tiles, {mpx:,.1f} Mpx, {planned.km2:,.2f} km2"


def hours_line(planned: Estimate, mpx_per_s: float) -> str:
    """Return the hours of a run on this machine as text.

    Args:
        planned: the estimate.
        mpx_per_s: the model's rate on this machine.
    """
    hours = planned.total_mpx / mpx_per_s / 3600
    return f"at most {hours:,.2f} hours for the model on this machine ({mpx_per_s:.1f} Mpx/s measured)"
