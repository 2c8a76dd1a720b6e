"""The Beam graph gives what the steps give in one process."""

import dataclasses
import json
import logging
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import pytest
import shapely
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import BeamAssertException, assert_that, equal_to
from pyproj import CRS

from geo.aoi import build_aoi
from geo.errors import OutputError
from geo.grid import Tile
from geo.raster import reader as raster
from geo.types import Detections, ImageArray
from model.inference import scan
from model.inference.predictor import FakePredictor, Predictor
from pipeline import local, planning, progress, records, steps, transforms
from pipeline.config import PipelineConfig
from pipeline.job import Job, run_job
from pipeline.ledger import RunInfo, SceneResult, read_ledger
from pipeline.model_loading import ModelSpec
from pipeline.sinks.files import read_geojson
from pipeline.values import SceneSource
from tests.pipeline.scenes import AIRPLANES, CONFIG, IDENTITY, write_alike, write_damaged_scene, write_scene

TAKEN = "2026-05-01T10:20:30Z"

PER_CALL = CONFIG.batch_size * scan.BATCHES_PER_CALL

INFO = RunInfo("r", "c", "2026-11-23T06:00:00.000+00:00", IDENTITY.model, {}, {})


@pytest.fixture
def sources(tmp_path: Path) -> tuple[SceneSource, ...]:
    """The copy of a sound scene, that scene, a damaged one, one that is no raster, one half empty, one too coarse.

    And two that differ, but not where the fingerprint looks.
    """
    (tmp_path / "d.tif").write_text("no raster")
    paths = [
        write_scene(tmp_path / "b.tif"),
        write_scene(tmp_path / "a.tif"),
        write_damaged_scene(tmp_path / "c.tif"),
        tmp_path / "d.tif",
        write_scene(tmp_path / "e.tif", AIRPLANES[:3], nodata_right_of=215, rotation=20.0),
        write_scene(tmp_path / "f.tif", resolution=30.0),
        *write_alike(tmp_path / "g.tif", tmp_path / "h.tif"),
    ]
    return tuple(SceneSource(str(path), acquired_at=TAKEN) for path in paths)


def timeless(result: SceneResult) -> SceneResult:
    return dataclasses.replace(result, entry=dataclasses.replace(result.entry, seconds=0.0))


def run_beam(
    sources: Sequence[SceneSource],
    check: Callable[[Any], None],
    load: Callable[[], Predictor] = FakePredictor,
    config: PipelineConfig = CONFIG,
) -> Any:
    with beam.Pipeline(runner=FnApiRunner()) as graph:
        results = graph | beam.Create(sources) | transforms.DetectAirplanes(config, load, IDENTITY)
        assert_that(results | beam.Map(timeless), check)
    return graph.result


def distributions(result: Any) -> dict[str, Any]:
    measured = result.metrics().query(MetricsFilter().with_namespace(transforms.NAMESPACE))["distributions"]
    return {distribution.key.metric.name: distribution.committed for distribution in measured}


def counters(result: Any) -> dict[str, int]:
    queried = result.metrics().query(MetricsFilter().with_namespace(transforms.NAMESPACE))["counters"]
    return {counter.key.metric.name: counter.committed for counter in queried}


def test_beam_equals_local(sources: tuple[SceneSource, ...]) -> None:
    config = dataclasses.replace(CONFIG, keypoints="keypoints")
    expected = [timeless(result) for result in local.detect_scenes(sources, config, FakePredictor(), IDENTITY)]
    assert [result.entry.status for result in expected] == [
        *["duplicate", "complete", "incomplete", "failed", "complete", "failed", "complete", "complete"]
    ]
    assert expected[0].entry.duplicate_of == sources[1].uri
    assert expected[0].airplanes == ()
    assert any(airplane.length_m for result in expected for airplane in result.airplanes)
    run_beam(sources, equal_to(expected), config=config)


@pytest.mark.parametrize("side_px", [7, 64])
def test_beam_merges_in_chunks_what_local_merges_in_one_pass(
    sources: tuple[SceneSource, ...], side_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [timeless(result) for result in local.detect_scenes(sources, CONFIG, FakePredictor(), IDENTITY)]
    monkeypatch.setattr(steps, "MERGE_PX", side_px)  # airplanes lie across many parts
    run_beam(sources, equal_to(expected))


def test_beam_keeps_to_an_area_as_local_does(sources: tuple[SceneSource, ...]) -> None:
    corners = [[560_000 + x * 0.5, 5_940_000 - y * 0.5] for x, y in ((10, 10), (150, 20), (120, 320), (5, 310))]
    area = build_aoi([shapely.Polygon(corners)], CRS("EPSG:32632"))
    expected = [
        timeless(result) for result in local.detect_scenes(sources[:4], CONFIG, FakePredictor(), IDENTITY, area)
    ]
    assert [len(result.airplanes) for result in expected] == [0, 2, 2, 0]  # the first is a duplicate
    with beam.Pipeline(runner=FnApiRunner()) as graph:
        results = graph | beam.Create(sources[:4]) | transforms.DetectAirplanes(CONFIG, FakePredictor, IDENTITY, area)
        assert_that(results | beam.Map(timeless), equal_to(expected))


def test_the_comparison_can_fail(sources: tuple[SceneSource, ...]) -> None:
    (complete,) = local.detect_scenes(sources[:1], CONFIG, FakePredictor(), IDENTITY)
    short = SceneResult(timeless(complete).entry, complete.airplanes[1:])
    with pytest.raises(BeamAssertException):
        run_beam(sources[:1], equal_to([short]))


def test_counters_count(sources: tuple[SceneSource, ...]) -> None:
    entries = [result.entry for result in local.detect_scenes(sources, CONFIG, FakePredictor(), IDENTITY)]
    result = run_beam(sources, lambda _: None)
    counted, measured = counters(result), distributions(result)
    assert (counted["scenes"], counted["scenes_failed"], counted["scenes_duplicate"]) == (6, 2, 1)
    assert counted["tiles"] == sum(entry.parts_planned for entry in entries)
    assert counted["tiles_inferred"] == sum(entry.parts_done for entry in entries)
    assert counted["tiles_skipped"] == sum(entry.parts_empty for entry in entries) > 0
    assert counted["tiles_failed"] == sum(entry.parts_failed for entry in entries) > 0
    assert counted["airplanes"] == sum(entry.airplanes for entry in entries) > 0
    assert counted["tiles_read"] == counted["tiles_inferred"] == measured["read_ms"].count
    assert counted["bytes_read"] >= counted["tiles_read"] * 32 * 32 * 3
    assert measured["wait_ms"].count == counted["tiles"]
    assert 0 < measured["model_ms"].count < counted["tiles_inferred"]


def test_failures_are_logged_with_scene_and_window(
    sources: tuple[SceneSource, ...], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests of this process run the command, whose summary tells of failures.
    monkeypatch.setattr(logging.getLogger("pipeline.transforms"), "level", logging.NOTSET)
    logging.getLogger("pipeline.transforms")._cache.clear()  # type: ignore[attr-defined] # of levels
    run_beam(sources[2:4], lambda _: None)
    events = [record.getMessage() for record in caplog.records if record.name == "pipeline.transforms"]
    (scene,) = [json.loads(event.removeprefix("scene failed ")) for event in events if event.startswith("scene ")]
    assert scene["scene"] == sources[3].uri
    assert "expected a raster" in scene["error"]
    tiles = [json.loads(event.removeprefix("tile failed ")) for event in events if event.startswith("tile failed ")]
    assert tiles
    assert {tile["scene"] for tile in tiles} == {sources[2].uri}
    # The damaged block, in pixels of the level.
    for tile in tiles:
        col, row, width, height = (length * tile["level_m"] / 0.5 for length in tile["window"])
        assert col < 256
        assert col + width > 192
        assert row < 128
        assert row + height > 64


class Watched(FakePredictor):
    """Notes what happens, for the whole process."""

    loads: ClassVar[list[int]] = []
    batches: ClassVar[list[int]] = []
    reads_before: ClassVar[list[int]] = []
    reads: ClassVar[list[Tile]] = []
    done_before: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.loads.append(1)

    def __call__(self, images: ImageArray) -> list[Detections]:
        self.batches.append(len(images))
        self.reads_before.append(len(self.reads))
        self.done_before.append(progress.counts().parts_done)
        return super().__call__(images)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    progress.reset()
    for notes in (Watched.loads, Watched.batches, Watched.reads_before, Watched.reads, Watched.done_before):
        notes.clear()
    read_tile = raster.RasterReader.read_tile

    def noted(reader: raster.RasterReader, tile: Tile) -> ImageArray:
        Watched.reads.append(tile)
        return read_tile(reader, tile)

    monkeypatch.setattr(raster.RasterReader, "read_tile", noted)
    return Watched


def test_progress_is_counted_between_batches(sources: tuple[SceneSource, ...], watched: type[Watched]) -> None:
    run_beam(sources, lambda _: None, watched)
    # The tiles of a call of RunInference, which may be several of the model, are counted before the next.
    assert watched.done_before == sorted(watched.done_before)
    assert len(set(watched.done_before)) >= len(watched.batches) / 3


def test_one_model_sees_every_tile_once_in_batches(tmp_path: Path, watched: type[Watched]) -> None:
    sources = [SceneSource(str(path)) for path in write_alike(tmp_path / "a.tif", tmp_path / "b.tif")]
    planned = sum(
        result.entry.parts_planned for result in local.detect_scenes(sources, CONFIG, FakePredictor(), IDENTITY)
    )
    Watched.reads.clear()
    run_beam(sources, lambda _: None, watched)
    assert len(watched.loads) == 1
    assert sum(watched.batches) == len(watched.reads) == planned
    # Odd are at most the last of each shape in a call of RunInference: two scenes have two shapes each.
    assert sum(size % CONFIG.batch_size for size in watched.batches) <= 6
    assert max(watched.batches) == PER_CALL
    assert len(watched.batches) <= planned / CONFIG.batch_size / 2


def test_tiles_are_inferred_in_the_stage_that_reads_them(tmp_path: Path, watched: type[Watched]) -> None:
    run_beam([SceneSource(str(write_scene(tmp_path / "a.tif", size=(600, 700))))], lambda _: None, watched)
    # A shuffle between reading and inference would have every tile read before the first batch.
    inferred = 0
    for size, reads in zip(watched.batches, watched.reads_before, strict=True):
        inferred += size
        assert reads <= inferred + 2 * PER_CALL + 1
    assert len(watched.reads) > 3 * PER_CALL


def test_nothing_large_is_shuffled(tmp_path: Path) -> None:
    scene = planning.open_scene(SceneSource(str(write_scene(tmp_path / "a.tif"))), CONFIG)
    shuffled = [*planning.plan_blocks(scene, CONFIG), *local.detect_tiles(scene, CONFIG, FakePredictor()), scene]
    pixels = CONFIG.tiling.tile_px**2 * 3
    assert max(len(pickle.dumps(element)) for element in shuffled) < pixels / 4


def test_an_exception_of_the_model_is_raised(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of order"):
        run_beam([SceneSource(str(write_scene(tmp_path / "a.tif")))], lambda _: None, Broken)


class Broken(FakePredictor):
    def __call__(self, images: ImageArray) -> list[Detections]:
        raise RuntimeError("out of order")


def job(sources: Sequence[SceneSource], folder: Path) -> Job:
    return Job(
        tuple(sources), ModelSpec(CONFIG, IDENTITY), (str(folder / "x.geojson"),), str(folder / "ledger.json"), INFO
    )


def test_the_job_writes_airplanes_and_ledger(sources: tuple[SceneSource, ...], tmp_path: Path) -> None:
    ledger = run_job(job(sources, tmp_path), FnApiRunner(), PipelineOptions([]), FakePredictor)
    expected = local.detect_scenes(sources, CONFIG, FakePredictor(), IDENTITY)
    airplanes = [airplane for result in expected for airplane in result.airplanes]
    assert read_geojson(tmp_path / "x.geojson") == sorted(airplanes, key=records.sort_key)
    assert [entry.scene_uri for entry in ledger.scenes] == sorted(source.uri for source in sources)
    totals = ledger.totals
    assert (totals.complete, totals.incomplete, totals.failed, totals.duplicate) == (4, 1, 2, 1)
    assert ledger.totals.airplanes == len(airplanes)
    assert ledger.run == INFO
    assert read_ledger(tmp_path / "ledger.json") == ledger


def test_a_second_run_writes_the_same_bytes(sources: tuple[SceneSource, ...], tmp_path: Path) -> None:
    written = []
    for order in (sources, sources[::-1]):
        run_job(job(order, tmp_path), FnApiRunner(), PipelineOptions([]), FakePredictor)
        written.append((tmp_path / "x.geojson").read_bytes())
    assert written[0] == written[1]


def test_no_ledger_is_written_when_an_output_fails(sources: tuple[SceneSource, ...], tmp_path: Path) -> None:
    (tmp_path / "x.geojson").mkdir()
    with pytest.raises(OutputError):
        run_job(job(sources[:1], tmp_path), FnApiRunner(), PipelineOptions([]), FakePredictor)
    assert not (tmp_path / "ledger.json").exists()
