"""The job in one process, without Beam: what `pipeline.detect` runs, and the oracle of the Beam graph."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from geo.aoi import AreaOfInterest
from model.inference.predictor import Predictor
from pipeline import planning, steps
from pipeline.config import PipelineConfig
from pipeline.ledger import SceneResult, duplicate_entry, failed_entry
from pipeline.prefetch import prefetch
from pipeline.values import (
    Duplicate,
    Identity,
    Scene,
    SceneFailure,
    SceneSource,
    TileBlock,
    TileImage,
    TileOutcome,
)


def detect_scenes(
    sources: Iterable[SceneSource],
    config: PipelineConfig,
    predictor: Predictor,
    identity: Identity,
    area: AreaOfInterest | None = None,
) -> list[SceneResult]:
    """Return the result of each scene, in the order of the sources.

    Failed scenes and duplicates have a ledger entry and no airplanes.
    """
    described = planning.describe_scenes(sources, config, area)
    return [detect_scene(scene, config, predictor, identity) for scene in described]


def detect_scene(
    scene: Scene | SceneFailure | Duplicate, config: PipelineConfig, predictor: Predictor, identity: Identity
) -> SceneResult:
    """Return the result of one described scene."""
    if isinstance(scene, SceneFailure):
        return SceneResult(failed_entry(scene), ())
    if isinstance(scene, Duplicate):
        return SceneResult(duplicate_entry(scene), ())
    outcomes = list(detect_tiles(scene, config, predictor))
    return steps.finish(scene, outcomes, steps.merge(outcomes, config.suppression), identity)


def detect_tiles(scene: Scene, config: PipelineConfig, predictor: Predictor) -> Iterator[TileOutcome]:
    """Yield the outcome of each tile of a scene."""
    first = list(_detect_blocks(planning.plan_blocks(scene, config), config, predictor))
    yield from first
    remaining = list(planning.plan_remaining(scene, config, first))
    yield from (item for item in remaining if isinstance(item, TileOutcome))
    yield from _detect_blocks((item for item in remaining if isinstance(item, TileBlock)), config, predictor)


def _detect_blocks(blocks: Iterable[TileBlock], config: PipelineConfig, predictor: Predictor) -> Iterator[TileOutcome]:
    """Yield the outcome of each tile of blocks; the next batch is read while the model runs on one."""
    tiles = itertools.chain.from_iterable(steps.read_tiles(block) for block in blocks)
    batch: list[TileImage] = []
    for item in prefetch(tiles, config.batch_size):
        if isinstance(item, TileOutcome):
            yield item
            continue
        batch.append(item)
        if len(batch) == config.batch_size:
            yield from steps.detect_tiles(predictor, batch, config)
            batch = []
    if batch:
        yield from steps.detect_tiles(predictor, batch, config)
