"""The steps as Beam transforms: thin, with counters. The logic is in `pipeline.steps`.

Transforms are plain dataclasses, not frozen ones: Beam keeps a transform's resource hints on the transform itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from geo.aoi import AreaOfInterest
from geo.boxes import Suppression
from geo.nms import Settled, join
from geo.types import Detections
from model.inference.predictor import Predictor
from pipeline import ledger_entries as entries
from pipeline import progress, steps
from pipeline import tile_cache as work
from pipeline.config import PipelineConfig
from pipeline.prefetch import ahead
from pipeline.tile_cache import WorkFolder
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

NAMESPACE = "airplanes"

_FAILURES = "failures"
_DUPLICATES = "duplicates"
_SETTLED = "settled"


def _count(name: str, amount: int = 1) -> None:
    Metrics.counter(NAMESPACE, name).inc(amount)


@dataclasses.dataclass(eq=False)
class FindAirplanes(beam.PTransform):  # type: ignore[misc]
    """The job between its sources and its sinks: scenes asked for to one `SceneResult` a scene.

    Attributes:
        config: the settings.
        load: makes the model; called once in each process that looks at tiles.
        identity: what goes into the airplanes' ids.
        area: the area of interest; None: everything.
        work: where outcomes are kept, and taken from; None: nowhere.
    """

    config: PipelineConfig
    load: Callable[[], Predictor]
    identity: Identity
    area: AreaOfInterest | None = None
    work: WorkFolder | None = None

    def expand(self, sources: beam.PCollection[SceneSource]) -> beam.PCollection[SceneResult]:
        """Builds the graph."""
        described = sources | Describe(self.config, self.area)
        sorted_out = described.scenes | SortOut()
        outcomes = sorted_out.scenes | Look(self.config, self.load, self.work)
        finished = (sorted_out.scenes, outcomes) | Finish(self.config, self.identity)
        failed = described[_FAILURES] | "FailedScenes" >> beam.Map(_failed_result)
        duplicates = sorted_out[_DUPLICATES] | "DuplicateScenes" >> beam.Map(_duplicate_result)
        return (finished, failed, duplicates) | "Results" >> beam.Flatten()


@dataclasses.dataclass(eq=False)
class Describe(beam.PTransform):  # type: ignore[misc]
    """Scenes asked for to planned scenes (`scenes`), with those that failed beside them (`failures`)."""

    config: PipelineConfig
    area: AreaOfInterest | None

    def expand(self, sources: beam.PCollection[SceneSource]) -> Any:
        """Builds the graph."""
        return (
            sources
            # A long list of scenes is opened by all workers, not by the one that holds the list.
            | "ShareScenes" >> beam.Reshuffle()
            | "Describe" >> beam.FlatMap(self._describe).with_outputs(_FAILURES, main="scenes")
        )

    def _describe(self, source: SceneSource) -> Iterator[Scene | beam.pvalue.TaggedOutput]:
        described = steps.describe(source, self.config, self.area)
        progress.add(scenes=1)
        if isinstance(described, Scene):
            _count("scenes")
            yield described
        else:
            _count("scenes_failed")
            progress.add(scenes_done=1)
            yield beam.pvalue.TaggedOutput(_FAILURES, described)


@dataclasses.dataclass(eq=False)
class SortOut(beam.PTransform):  # type: ignore[misc]
    """Planned scenes to those that are looked at (`scenes`), with duplicates of them beside (`duplicates`)."""

    def expand(self, scenes: beam.PCollection[Scene]) -> Any:
        """Builds the graph."""
        return (
            scenes
            | "KeyFingerprints" >> beam.Map(_scene_with_fingerprint).with_output_types(tuple[str, Scene])
            | "ByFingerprint" >> beam.GroupByKey()
            | "SortOut" >> beam.FlatMap(self._sort_out).with_outputs(_DUPLICATES, main="scenes")
        )

    def _sort_out(self, group: tuple[str, Iterable[Scene]]) -> Iterator[Scene | beam.pvalue.TaggedOutput]:
        _, scenes = group
        for one in steps.distinct(scenes):
            if isinstance(one, Scene):
                yield one
            else:
                _count("scenes_duplicate")
                progress.add(scenes_done=1)
                yield beam.pvalue.TaggedOutput(_DUPLICATES, one)


@dataclasses.dataclass(eq=False)
class Look(beam.PTransform):  # type: ignore[misc]
    """Planned scenes to one `TileOutcome` a tile, in one pass, or in two where they are screened."""

    config: PipelineConfig
    load: Callable[[], Predictor]
    work: WorkFolder | None = None

    def expand(self, scenes: beam.PCollection[Scene]) -> beam.PCollection[TileOutcome]:
        """Builds the graph."""
        blocks = scenes | "Plan" >> beam.FlatMap(self._plan)
        first = blocks | "LookAtBlocks" >> LookAtBlocks(self.config, self.load, self.work)
        if self.config.screen is None:
            return first
        keyed = {
            "scenes": scenes | "KeyScenes" >> beam.Map(_scene_with_key).with_output_types(tuple[str, Scene]),
            "coarse": first | "KeyCoarse" >> beam.Map(_tile_with_key).with_output_types(tuple[str, TileOutcome]),
        }
        more = (
            keyed
            | "ByScene" >> beam.CoGroupByKey()
            | "PlanMore" >> beam.FlatMapTuple(self._plan_more).with_outputs(_SETTLED, main="blocks")
        )
        second = more.blocks | "LookCloser" >> LookAtBlocks(self.config, self.load, self.work)
        return (first, second, more[_SETTLED]) | "Outcomes" >> beam.Flatten()

    def _plan(self, scene: Scene) -> Iterator[Block]:
        return map(_planned, steps.plan(scene, self.config))

    def _plan_more(self, uri: str, groups: dict[str, Iterable[Any]]) -> Iterator[Block | beam.pvalue.TaggedOutput]:
        del uri
        (scene,) = groups["scenes"]
        for one in steps.plan_more(scene, self.config, groups["coarse"]):
            if isinstance(one, Block):
                yield _planned(one)
            else:
                yield beam.pvalue.TaggedOutput(_SETTLED, _counted(one))


@dataclasses.dataclass(eq=False)
class LookAtBlocks(beam.PTransform):  # type: ignore[misc]
    """Blocks to one `TileOutcome` a tile. Descriptions are shuffled, pixels never: they are read after it."""

    config: PipelineConfig
    load: Callable[[], Predictor]
    work: work.WorkFolder | None

    def expand(self, blocks: beam.PCollection[Block]) -> beam.PCollection[TileOutcome]:
        """Builds the graph."""
        read = (
            blocks
            | "ShareBlocks" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(self._read).with_outputs(_SETTLED, main="images")
        )
        handler = AirplaneHandler(self.load, self.config)
        # Counted before they are brought together: that ends a stage, and would be too late for the progress.
        detect = RunInference(handler, model_identifier="detector")  # loaded once for both passes
        looked = read.images | "Detect" >> detect | "Count" >> beam.Map(_counted)
        return (looked, read[_SETTLED]) | "Outcomes" >> beam.Flatten()

    def _read(self, block: Block) -> Iterator[TileImage | beam.pvalue.TaggedOutput]:
        # RunInference is fused with this: while the model looks at what was yielded, the thread reads on.
        for item in ahead(work.read(self.work, block), self.config.batch_size):
            yield item if isinstance(item, TileImage) else beam.pvalue.TaggedOutput(_SETTLED, _counted(item))


class AirplaneHandler(ModelHandler[TileImage, TileOutcome, Predictor]):  # type: ignore[misc]
    """Lets RunInference call our model: tiles of one size in, their outcomes out.

    Args:
        load: makes the model; RunInference calls it once a process.
        config: the settings; the last batch of a bundle has fewer tiles than they say.
    """

    def __init__(self, load: Callable[[], Predictor], config: PipelineConfig) -> None:
        super().__init__(min_batch_size=config.batch_size, max_batch_size=config.batch_size)
        self._load = load
        self._config = config

    def load_model(self) -> Predictor:
        """Makes the model."""
        return self._load()

    def run_inference(
        self, batch: Sequence[TileImage], model: Predictor, inference_args: dict[str, Any] | None = None
    ) -> Iterable[TileOutcome]:
        """Looks at a batch of tiles; there are no `inference_args`."""
        del inference_args
        progress.add(pixels=sum(image.pixels[..., 0].size for image in batch))
        return work.detect(model, batch, self._config)

    def get_num_bytes(self, batch: Sequence[TileImage]) -> int:
        """The pixels' size; Beam's own way would pickle them to know."""
        return sum(image.pixels.nbytes for image in batch)

    def get_metrics_namespace(self) -> str:
        """Where RunInference's own counters stand."""
        return NAMESPACE


@dataclasses.dataclass(eq=False)
class Merge(beam.PTransform):  # type: ignore[misc]
    """Tile outcomes to what is settled of each scene, by its URI: parts of a scene are merged side by side."""

    suppression: Suppression

    def expand(self, outcomes: beam.PCollection[TileOutcome]) -> beam.PCollection[tuple[str, Settled]]:
        """Builds the graph."""
        return (
            outcomes
            | "KeyBlocks" >> beam.FlatMap(steps.by_block).with_output_types(tuple[steps.BlockKey, Detections])
            | "ByBlock" >> beam.GroupByKey()
            | "Settle" >> beam.MapTuple(self._settle).with_output_types(tuple[str, Settled])
        )

    def _settle(self, key: steps.BlockKey, detections: Iterable[Detections]) -> tuple[str, Settled]:
        return key[0], steps.settle(key, detections, self.suppression)


@dataclasses.dataclass(eq=False)
class Finish(beam.PTransform):  # type: ignore[misc]
    """(planned scenes, tile outcomes) to one `SceneResult` a scene.

    Scenes are told apart by their URI: two that differ may have the same fingerprint, which is a sample.
    """

    config: PipelineConfig
    identity: Identity

    def expand(
        self, inputs: tuple[beam.PCollection[Scene], beam.PCollection[TileOutcome]]
    ) -> beam.PCollection[SceneResult]:
        """Builds the graph."""
        scenes, outcomes = inputs
        tiles = outcomes | "WithoutDetections" >> beam.Map(steps.without_detections)
        keyed = {
            "scenes": scenes | "KeyScenes" >> beam.Map(_scene_with_key).with_output_types(tuple[str, Scene]),
            "outcomes": tiles | "KeyTiles" >> beam.Map(_tile_with_key).with_output_types(tuple[str, TileOutcome]),
            "settled": outcomes | "Merge" >> Merge(self.config.suppression),
        }
        return keyed | "ByScene" >> beam.CoGroupByKey() | "Finish" >> beam.MapTuple(self._finish)

    def _finish(self, uri: str, groups: dict[str, Iterable[Any]]) -> SceneResult:
        del uri
        (scene,) = groups["scenes"]
        config = self.config
        merged = join(groups["settled"], config.suppression)
        result = steps.finish(scene, groups["outcomes"], merged, config.tiling, self.identity)
        _count("airplanes", len(result.airplanes))
        progress.add(scenes_done=1)
        return result


def _scene_with_key(scene: Scene) -> tuple[str, Scene]:
    return scene.header.uri, scene


def _scene_with_fingerprint(scene: Scene) -> tuple[str, Scene]:
    return scene.header.scene_id, scene


def _tile_with_key(outcome: TileOutcome) -> tuple[str, TileOutcome]:
    return outcome.scene_uri, outcome


def _failed_result(failure: SceneFailure) -> SceneResult:
    return SceneResult(entries.failed_entry(failure), ())


def _duplicate_result(duplicate: Duplicate) -> SceneResult:
    return SceneResult(entries.duplicate_entry(duplicate), ())


def _planned(block: Block) -> Block:
    _count("tiles", len(block.tiles))
    progress.add(parts=len(block.tiles))
    return block


def _counted(outcome: TileOutcome) -> TileOutcome:
    _count(f"tiles_{outcome.status}")
    if outcome.taken_over:
        _count("tiles_taken_over")
    progress.add(parts_done=1, airplanes=len(outcome.detections))
    return outcome
