"""The steps as Beam transforms: thin, with counters. The logic is in `pipeline.planning` and `pipeline.steps`.

Transforms are plain dataclasses, not frozen ones: Beam stores a transform's resource hints on the transform itself.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.transforms.window import GlobalWindows

from geo.aoi import AreaOfInterest
from geo.grid import Tile
from geo.nms import LocalNmsResult, Suppression, merge_local_results
from geo.raster.uri import redacted
from geo.types import Detections
from model.common.logs import log_event
from model.inference import scan
from model.inference.predictor import Predictor
from pipeline import planning, progress, steps, tile_cache
from pipeline.config import PipelineConfig
from pipeline.ledger import SceneResult, duplicate_entry, failed_entry
from pipeline.tile_cache import TileCache
from pipeline.values import Duplicate, Identity, Scene, SceneFailure, SceneSource, TileBlock, TileImage, TileOutcome

NAMESPACE = "airplanes"

# Tags of side outputs.
_FAILURES = "failures"
_DUPLICATES = "duplicates"
_OUTCOMES = "outcomes"


# Counters of tiles, by the status of their outcome.
_TILE_COUNTERS = {
    "done": "tiles_inferred",
    "empty": "tiles_skipped",
    "screened": "tiles_skipped",
    "failed": "tiles_failed",
}

_log = logging.getLogger(__name__)


def _count(name: str, amount: int = 1) -> None:
    Metrics.counter(NAMESPACE, name).inc(amount)


def _measure(name: str, seconds: float) -> None:
    """Add to a distribution of milliseconds."""
    Metrics.distribution(NAMESPACE, name).update(round(1000 * seconds))


@dataclasses.dataclass(eq=False)
class DetectAirplanes(beam.PTransform):  # type: ignore[misc]
    """The job between its sources and its sinks: `SceneSource` to one `SceneResult` per scene.

    Attributes:
        config: the settings.
        load: loads the model; called once in each process that runs it.
        identity: what goes into the detections' ids.
        area: the area of interest; None: everything.
        cache: the tile cache; None: nothing is cached.
        hints: Beam's resource hints for the steps that read and detect; see `resources.resource_hints`.
    """

    config: PipelineConfig
    load: Callable[[], Predictor]
    identity: Identity
    area: AreaOfInterest | None = None
    cache: TileCache | None = None
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def expand(self, sources: beam.PCollection[SceneSource]) -> beam.PCollection[SceneResult]:
        """Build the graph."""
        described = sources | DescribeScenes(self.config, self.area)
        unique = described.scenes | Deduplicate()
        outcomes = unique.scenes | DetectTiles(self.config, self.load, self.cache, self.hints)
        finished = (unique.scenes, outcomes) | FinishScenes(self.config, self.identity)
        failed = described[_FAILURES] | "FailedScenes" >> beam.Map(_failed_result)
        duplicates = unique[_DUPLICATES] | "DuplicateScenes" >> beam.Map(_duplicate_result)
        return (finished, failed, duplicates) | "Results" >> beam.Flatten()


@dataclasses.dataclass(eq=False)
class DescribeScenes(beam.PTransform):  # type: ignore[misc]
    """`SceneSource` to planned scenes (`scenes`), and to those that cannot be processed (`failures`)."""

    config: PipelineConfig
    area: AreaOfInterest | None

    def expand(self, sources: beam.PCollection[SceneSource]) -> Any:
        """Build the graph."""
        return (
            sources
            # The headers of a long list of scenes are read by all workers, not by the one that holds the list.
            | "RedistributeScenes" >> beam.Reshuffle()
            | "ReadHeaders" >> beam.FlatMap(self._describe).with_outputs(_FAILURES, main="scenes")
        )

    def _describe(self, source: SceneSource) -> Iterator[Scene | beam.pvalue.TaggedOutput]:
        described = planning.describe_scene(source, self.config, self.area)
        progress.add(scenes=1)
        if isinstance(described, Scene):
            _count("scenes")
            yield described
        else:
            _count("scenes_failed")
            log_event(_log, logging.WARNING, "scene failed", scene=redacted(source.uri), error=described.error)
            progress.add(scenes_done=1)
            yield beam.pvalue.TaggedOutput(_FAILURES, described)


@dataclasses.dataclass(eq=False)
class Deduplicate(beam.PTransform):  # type: ignore[misc]
    """Planned scenes to unique ones (`scenes`), and to the duplicates of these (`duplicates`)."""

    def expand(self, scenes: beam.PCollection[Scene]) -> Any:
        """Build the graph."""
        return (
            scenes
            | "KeyByFingerprint" >> beam.Map(_key_by_fingerprint).with_output_types(tuple[str, Scene])
            | "GroupByFingerprint" >> beam.GroupByKey()
            | "SeparateDuplicates" >> beam.FlatMap(self._deduplicate).with_outputs(_DUPLICATES, main="scenes")
        )

    def _deduplicate(self, group: tuple[str, Iterable[Scene]]) -> Iterator[Scene | beam.pvalue.TaggedOutput]:
        _, scenes = group
        for item in planning.deduplicate(scenes):
            if isinstance(item, Scene):
                yield item
            else:
                _count("scenes_duplicate")
                progress.add(scenes_done=1)
                yield beam.pvalue.TaggedOutput(_DUPLICATES, item)


@dataclasses.dataclass(eq=False)
class DetectTiles(beam.PTransform):  # type: ignore[misc]
    """Planned scenes to one `TileOutcome` per tile, in one pass, or in two where scenes are screened."""

    config: PipelineConfig
    load: Callable[[], Predictor]
    cache: TileCache | None = None
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def expand(self, scenes: beam.PCollection[Scene]) -> beam.PCollection[TileOutcome]:
        """Build the graph."""
        blocks = scenes | "PlanBlocks" >> beam.FlatMap(self._plan)
        first = blocks | "DetectBlocks" >> DetectBlocks(self.config, self.load, self.cache, self.hints)
        if self.config.screen is None:
            return first
        keyed = {
            "scenes": scenes | "KeyScenesByUri" >> beam.Map(_key_scene).with_output_types(tuple[str, Scene]),
            "coarse": first | "KeyTilesByUri" >> beam.Map(_key_outcome).with_output_types(tuple[str, TileOutcome]),
        }
        remaining = (
            keyed
            | "GroupByScene" >> beam.CoGroupByKey()
            | "PlanRemaining" >> beam.FlatMapTuple(self._plan_remaining).with_outputs(_OUTCOMES, main="blocks")
        )
        second = remaining.blocks | "DetectRemainingBlocks" >> DetectBlocks(
            self.config, self.load, self.cache, self.hints
        )
        return (first, second, remaining[_OUTCOMES]) | "AllOutcomes" >> beam.Flatten()

    def _plan(self, scene: Scene) -> Iterator[TileBlock]:
        _count("tiles", scene.tile_count)
        progress.add(parts=scene.tile_count)
        return planning.plan_blocks(scene, self.config)

    def _plan_remaining(
        self, uri: str, groups: dict[str, Iterable[Any]]
    ) -> Iterator[TileBlock | beam.pvalue.TaggedOutput]:
        del uri
        (scene,) = groups["scenes"]
        for item in planning.plan_remaining(scene, self.config, groups["coarse"]):
            yield item if isinstance(item, TileBlock) else beam.pvalue.TaggedOutput(_OUTCOMES, _counted(item))


@dataclasses.dataclass(eq=False)
class DetectBlocks(beam.PTransform):  # type: ignore[misc]
    """Blocks to one `TileOutcome` per tile. Only descriptions are shuffled: pixels are read after the shuffle."""

    config: PipelineConfig
    load: Callable[[], Predictor]
    cache: TileCache | None
    hints: Mapping[str, str]

    def expand(self, blocks: beam.PCollection[TileBlock]) -> beam.PCollection[TileOutcome]:
        """Build the graph."""
        detect = ReadAndDetect(self.config, self.load, self.cache)
        if self.hints:
            detect = detect.with_resource_hints(**self.hints)
        return blocks | "RedistributeBlocks" >> beam.Reshuffle() | "ReadAndDetect" >> detect


@dataclasses.dataclass(eq=False)
class ReadAndDetect(beam.PTransform):  # type: ignore[misc]
    """Redistributed blocks to one `TileOutcome` per tile.

    Resource hints hold for all of its steps. Steps of different hints run on different workers, and pixels must not
    travel: so these are together, and nothing else is with them.
    """

    config: PipelineConfig
    load: Callable[[], Predictor]
    cache: TileCache | None

    def expand(self, blocks: beam.PCollection[TileBlock]) -> beam.PCollection[TileOutcome]:
        """Build the graph."""
        read = blocks | "ReadTiles" >> beam.ParDo(ReadTiles(self.cache, _pixels_per_call(self.config))).with_outputs(
            _OUTCOMES, main="images"
        )
        handler = TileModelHandler(self.load, self.config)
        # Both passes share one loaded model. Tiles are counted before the Flatten, which ends a stage: too late for
        # the progress.
        infer = RunInference(handler, model_identifier="detector")
        inferred = read.images | "Infer" >> infer | "CountTiles" >> beam.Map(_counted)
        return (inferred, read[_OUTCOMES]) | "Outcomes" >> beam.Flatten()


class ReadTiles(beam.DoFn):  # type: ignore[misc]
    """Blocks to their tiles with pixels, and to the outcomes of those without.

    RunInference is fused with this: while the model runs on tiles that were yielded, a thread reads on, across blocks.
    So the last block is yielded when the next one comes, or the bundle ends.

    Args:
        cache: the tile cache; None: nothing is cached.
        max_pixels: how many pixels are read in advance.
    """

    def __init__(self, cache: TileCache | None, max_pixels: int) -> None:
        self._cache = cache
        self._max_pixels = max_pixels
        self._reader: TileReader

    def start_bundle(self) -> None:
        """Begin to read."""
        self._reader = TileReader(self._cache, self._max_pixels)

    def process(self, block: TileBlock) -> Iterator[TileImage | beam.pvalue.TaggedOutput]:
        """Add a block and yield the tiles of the one before."""
        self._reader.add(block)
        for item in self._take(keep=len(block.tiles)):
            yield item if isinstance(item, TileImage) else beam.pvalue.TaggedOutput(_OUTCOMES, item)

    def finish_bundle(self) -> Iterator[Any]:
        """Yield the tiles of the last block."""
        for item in self._take(keep=0):
            value = GlobalWindows.windowed_value(item)
            yield value if isinstance(item, TileImage) else beam.pvalue.TaggedOutput(_OUTCOMES, value)
        self._reader.close()

    def _take(self, keep: int) -> Iterator[TileImage | TileOutcome]:
        """Yield tiles as the reader does, and count them: here, since Beam counts per thread of its own."""
        started = time.perf_counter()
        for item in self._reader.take(keep):
            _measure("wait_ms", time.perf_counter() - started)
            if isinstance(item, TileImage):
                _count("tiles_read")
                _count("bytes_read", item.pixels.nbytes)
                _measure("read_ms", item.seconds)
            else:
                _counted(item)
            yield item
            started = time.perf_counter()


class TileReader:
    """Reads the tiles of blocks in a thread, in order, at most `max_pixels` (or one tile) before they are taken."""

    def __init__(self, cache: TileCache | None, max_pixels: int) -> None:
        self._cache = cache
        self._max_pixels = max_pixels
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._unread: deque[tuple[int, Generator[TileImage | TileOutcome, None, None], bool]] = deque()
        self._pending: deque[tuple[int, Future[TileImage | TileOutcome]]] = deque()
        self._pending_pixels = 0

    def add(self, block: TileBlock) -> None:
        """Add a block, which has an item for each of its tiles."""
        items = tile_cache.read_tiles(self._cache, block)
        last = len(block.tiles) - 1
        self._unread.extend((_pixels(tile), items, number == last) for number, tile in enumerate(block.tiles))
        self._read_ahead()

    def take(self, keep: int) -> Iterator[TileImage | TileOutcome]:
        """Yield tiles until `keep` of those that were added remain."""
        while len(self._unread) + len(self._pending) > keep:
            pixels, future = self._pending.popleft()
            item = future.result()
            self._pending_pixels -= pixels
            self._read_ahead()
            yield item

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()

    def _read_ahead(self) -> None:
        while self._unread and (not self._pending or self._pending_pixels + self._unread[0][0] <= self._max_pixels):
            pixels, items, is_last = self._unread.popleft()
            self._pending.append((pixels, self._pool.submit(_next_tile, items, is_last)))
            self._pending_pixels += pixels


def _pixels(tile: Tile) -> int:
    return tile.window.width * tile.window.height


def _image_pixels(image: TileImage) -> int:
    return _pixels(image.tile)


def _next_tile(items: Generator[TileImage | TileOutcome, None, None], last: bool) -> TileImage | TileOutcome:
    """Return the next tile of a block; after its last one its scene is closed, in the thread that opened it."""
    item = next(items)
    if last:
        items.close()
    return item


def _pixels_per_call(config: PipelineConfig) -> int:
    """Return the pixels of as many of the largest tiles as the model gets in one call."""
    return config.batch_size * scan.BATCHES_PER_CALL * config.tiling.tile_px**2


class TileModelHandler(ModelHandler[TileImage, TileOutcome, Predictor]):  # type: ignore[misc]
    """The detector as RunInference calls it: tiles in, their outcomes out, in the order of their shapes.

    Args:
        load: loads the model; RunInference calls it once per process.
        config: the settings.
    """

    def __init__(self, load: Callable[[], Predictor], config: PipelineConfig) -> None:
        # By pixels: a batch of a few tiles of a small scene would leave the model's own batches half empty.
        size = _pixels_per_call(config)
        super().__init__(min_batch_size=size, max_batch_size=size, element_size_fn=_image_pixels)
        self._load = load
        self._config = config

    def load_model(self) -> Predictor:
        """Load the model."""
        return self._load()

    def run_inference(
        self, batch: Sequence[TileImage], model: Predictor, inference_args: dict[str, Any] | None = None
    ) -> Iterable[TileOutcome]:
        """Run the model on tiles of any shapes; there are no `inference_args`."""
        del inference_args
        outcomes: list[TileOutcome] = []
        for group in scan.group_by_shape(batch, _shape, self._config.batch_size):
            progress.add(pixels=sum(image.pixels[..., 0].size for image in group))
            started = time.perf_counter()
            outcomes += tile_cache.detect_tiles(model, group, self._config)
            _measure("model_ms", time.perf_counter() - started)
        return outcomes

    def get_num_bytes(self, batch: Sequence[TileImage]) -> int:
        """Return the size of the pixels; Beam's default would pickle them to know it."""
        return sum(image.pixels.nbytes for image in batch)

    def get_metrics_namespace(self) -> str:
        """Return the namespace of RunInference's own counters."""
        return NAMESPACE


@dataclasses.dataclass(eq=False)
class MergeDetections(beam.PTransform):  # type: ignore[misc]
    """Tile outcomes to merged detections of chunks, by scene URI; the chunks of a scene are merged in parallel."""

    suppression: Suppression

    def expand(self, outcomes: beam.PCollection[TileOutcome]) -> beam.PCollection[tuple[str, LocalNmsResult]]:
        """Build the graph."""
        return (
            outcomes
            | "SplitIntoChunks"
            >> beam.FlatMap(steps.split_into_chunks).with_output_types(tuple[steps.ChunkKey, Detections])
            | "GroupByChunk" >> beam.GroupByKey()
            | "MergeChunk" >> beam.MapTuple(self._merge).with_output_types(tuple[str, LocalNmsResult])
        )

    def _merge(self, key: steps.ChunkKey, detections: Iterable[Detections]) -> tuple[str, LocalNmsResult]:
        return key[0], steps.merge_chunk(key, detections, self.suppression)


@dataclasses.dataclass(eq=False)
class FinishScenes(beam.PTransform):  # type: ignore[misc]
    """(planned scenes, tile outcomes) to one `SceneResult` per scene.

    Scenes are keyed by URI, not by fingerprint, which is a sample: two different scenes may share one.
    """

    config: PipelineConfig
    identity: Identity

    def expand(
        self, inputs: tuple[beam.PCollection[Scene], beam.PCollection[TileOutcome]]
    ) -> beam.PCollection[SceneResult]:
        """Build the graph."""
        scenes, outcomes = inputs
        tiles = outcomes | "DropDetections" >> beam.Map(steps.without_detections)
        keyed = {
            "scenes": scenes | "KeyScenesByUri" >> beam.Map(_key_scene).with_output_types(tuple[str, Scene]),
            "outcomes": tiles | "KeyTilesByUri" >> beam.Map(_key_outcome).with_output_types(tuple[str, TileOutcome]),
            "merged": outcomes | "MergeDetections" >> MergeDetections(self.config.suppression),
        }
        return keyed | "GroupByScene" >> beam.CoGroupByKey() | "Georeference" >> beam.MapTuple(self._finish)

    def _finish(self, uri: str, groups: dict[str, Iterable[Any]]) -> SceneResult:
        del uri
        (scene,) = groups["scenes"]
        merged = merge_local_results(groups["merged"], self.config.suppression)
        result = steps.finish(scene, groups["outcomes"], merged, self.identity, self.config.keypoints)
        _count("airplanes", len(result.airplanes))
        progress.add(scenes_done=1)
        return result


def _shape(image: TileImage) -> tuple[int, ...]:
    return image.pixels.shape


def _key_scene(scene: Scene) -> tuple[str, Scene]:
    return scene.header.uri, scene


def _key_by_fingerprint(scene: Scene) -> tuple[str, Scene]:
    return scene.header.scene_id, scene


def _key_outcome(outcome: TileOutcome) -> tuple[str, TileOutcome]:
    return outcome.scene_uri, outcome


def _failed_result(failure: SceneFailure) -> SceneResult:
    return SceneResult(failed_entry(failure), ())


def _duplicate_result(duplicate: Duplicate) -> SceneResult:
    return SceneResult(duplicate_entry(duplicate), ())


def _counted(outcome: TileOutcome) -> TileOutcome:
    _count(_TILE_COUNTERS[outcome.status])
    if outcome.status == "failed":
        window = outcome.tile.window
        log_event(
            _log,
            logging.WARNING,
            "tile failed",
            scene=redacted(outcome.scene_uri),
            level_m=round(outcome.tile.level.resolution_m, 4),
            window=[window.col, window.row, window.width, window.height],
            error=outcome.error,
        )
    if outcome.cached:
        _count("tiles_cached")
    progress.add(parts_done=1, airplanes=len(outcome.detections))
    return outcome
