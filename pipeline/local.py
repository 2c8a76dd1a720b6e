"""The steps in one process, without Beam: the oracle of the Beam graph, and what `pipeline.detect` runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from geo.aoi import AreaOfInterest
from model.inference.predictor import Predictor
from pipeline import ledger_entries as entries
from pipeline import steps
from pipeline.config import PipelineConfig
from pipeline.prefetch import ahead
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


def find(
    sources: Iterable[SceneSource],
    config: PipelineConfig,
    predictor: Predictor,
    identity: Identity,
    area: AreaOfInterest | None = None,
) -> list[SceneResult]:
    """Returns the result of each scene, in the order of the scenes.

    Failed ones, and those that are duplicates of others, have an entry and no airplanes.
    """
    return [find_in(one, config, predictor, identity) for one in describe_all(sources, config, area)]


def describe_all(
    sources: Iterable[SceneSource], config: PipelineConfig, area: AreaOfInterest | None = None
) -> list[Scene | SceneFailure | Duplicate]:
    """Returns what each scene is, in the order of the scenes."""
    described = [steps.describe(source, config, area) for source in sources]
    sorted_out = steps.distinct(scene for scene in described if isinstance(scene, Scene))
    duplicates = {one.scene.source.uri: one for one in sorted_out if isinstance(one, Duplicate)}
    return [duplicates.get(one.source.uri, one) for one in described]


def find_in(
    scene: Scene | SceneFailure | Duplicate, config: PipelineConfig, predictor: Predictor, identity: Identity
) -> SceneResult:
    """Returns the result of one scene that was described."""
    if isinstance(scene, SceneFailure):
        return SceneResult(entries.failed_entry(scene), ())
    if isinstance(scene, Duplicate):
        return SceneResult(entries.duplicate_entry(scene), ())
    outcomes = list(look(scene, config, predictor))
    return steps.finish(scene, outcomes, steps.merge(outcomes, config.suppression), config.tiling, identity)


def look(scene: Scene, config: PipelineConfig, predictor: Predictor) -> Iterator[TileOutcome]:
    """Yields what became of each tile of a scene."""
    first = list(_look(steps.plan(scene, config), config, predictor))
    yield from first
    more = list(steps.plan_more(scene, config, first))
    yield from (one for one in more if isinstance(one, TileOutcome))
    yield from _look((one for one in more if isinstance(one, Block)), config, predictor)


def _look(blocks: Iterable[Block], config: PipelineConfig, predictor: Predictor) -> Iterator[TileOutcome]:
    """Yields what became of each tile of blocks; the next batch is read while the model looks at one."""
    tiles = itertools.chain.from_iterable(steps.read(block) for block in blocks)
    batch: list[TileImage] = []
    for item in ahead(tiles, config.batch_size):
        if isinstance(item, TileOutcome):
            yield item
            continue
        batch.append(item)
        if len(batch) == config.batch_size:
            yield from steps.detect(predictor, batch, config)
            batch = []
    if batch:
        yield from steps.detect(predictor, batch, config)
