"""The job in one process, without Beam: what `pipeline.detect` runs, and the oracle of the Beam graph."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from geo.aoi import AreaOfInterest
from model.inference import scan
from model.inference.predictor import Predictor
from model.inference.scan import prefetch
from pipeline import planning, steps
from pipeline.config import PipelineConfig
from pipeline.ledger import SceneResult, duplicate_entry, failed_entry
from pipeline.values import Duplicate, Identity, Scene, SceneFailure, SceneSource, TileBlock, TileImage, TileOutcome


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
    scenes = [item for item in described if isinstance(item, Scene)]
    outcomes = _group_by_scene(_detect_scenes(scenes, config, predictor))
    return [_result(item, outcomes, config, identity) for item in described]


def detect_scene(
    scene: Scene | SceneFailure | Duplicate, config: PipelineConfig, predictor: Predictor, identity: Identity
) -> SceneResult:
    """Return the result of one described scene."""
    scenes = [scene] if isinstance(scene, Scene) else []
    return _result(scene, _group_by_scene(_detect_scenes(scenes, config, predictor)), config, identity)


def detect_tiles(
    scene: Scene, config: PipelineConfig, predictor: Predictor, batches_per_call: int = scan.BATCHES_PER_CALL
) -> Iterator[TileOutcome]:
    """Yield the outcome of each tile of a scene as soon as it is known; see `scan.group_by_shape`."""
    return _detect_scenes([scene], config, predictor, batches_per_call)


def _detect_scenes(
    scenes: Sequence[Scene],
    config: PipelineConfig,
    predictor: Predictor,
    batches_per_call: int = scan.BATCHES_PER_CALL,
) -> Iterator[TileOutcome]:
    """Yield the outcome of each tile of scenes; tiles of several scenes may share a batch."""
    blocks = itertools.chain.from_iterable(planning.plan_blocks(scene, config) for scene in scenes)
    first = []
    for outcome in _detect_blocks(blocks, config, predictor, batches_per_call):
        first.append(outcome)
        yield outcome
    coarse = _group_by_scene(first)
    remaining = [item for scene in scenes for item in planning.plan_remaining(scene, config, coarse[scene.header.uri])]
    yield from (item for item in remaining if isinstance(item, TileOutcome))
    fine = (item for item in remaining if isinstance(item, TileBlock))
    yield from _detect_blocks(fine, config, predictor, batches_per_call)


def _detect_blocks(
    blocks: Iterable[TileBlock], config: PipelineConfig, predictor: Predictor, batches_per_call: int
) -> Iterator[TileOutcome]:
    """Yield the outcome of each tile of blocks; the next tiles are read while the model runs."""
    ahead = prefetch(_read_blocks(blocks), config.batch_size * scan.BATCHES_PER_CALL)
    for group in scan.group_by_shape(ahead, _shape, config.batch_size, batches_per_call):
        images = [item for item in group if isinstance(item, TileImage)]
        yield from (item for item in group if isinstance(item, TileOutcome))
        if images:
            yield from steps.detect_tiles(predictor, images, config)


def _read_blocks(blocks: Iterable[TileBlock]) -> Iterator[TileImage | TileOutcome]:
    """Yield the tiles of blocks; closed early, it closes the scene, in the thread that has opened it."""
    for block in blocks:
        yield from steps.read_tiles(block)


def _shape(item: TileImage | TileOutcome) -> tuple[int, ...]:
    return item.pixels.shape if isinstance(item, TileImage) else ()


def _group_by_scene(outcomes: Iterable[TileOutcome]) -> dict[str, list[TileOutcome]]:
    grouped: dict[str, list[TileOutcome]] = defaultdict(list)
    for outcome in outcomes:
        grouped[outcome.scene_uri].append(outcome)
    return grouped


def _result(
    scene: Scene | SceneFailure | Duplicate,
    outcomes: Mapping[str, list[TileOutcome]],
    config: PipelineConfig,
    identity: Identity,
) -> SceneResult:
    """Return the result of a described scene; `outcomes` holds those of its tiles under its URI."""
    if isinstance(scene, SceneFailure):
        return SceneResult(failed_entry(scene), ())
    if isinstance(scene, Duplicate):
        return SceneResult(duplicate_entry(scene), ())
    tiles = outcomes[scene.header.uri]
    return steps.finish(scene, tiles, steps.merge(tiles, config.suppression), identity, config.keypoints)
