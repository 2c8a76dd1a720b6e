"""The tile cache: its files, what a resumed run takes from them, and what it never does."""

import dataclasses
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from geo.aoi import AreaOfInterest, build_aoi
from geo.errors import OutputError
from geo.grid import Tile
from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor
from pipeline import local, planning, steps, tile_cache
from pipeline.config import PipelineConfig, Screen, settings_id
from pipeline.job import Job, run_job
from pipeline.ledger import Ledger, RunInfo
from pipeline.model_loading import ModelSpec
from pipeline.sinks.files import write_geojson
from pipeline.tile_cache import TileCache
from pipeline.values import Identity, SceneSource, TileOutcome
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.scenes import CONFIG, IDENTITY, SIZE, write_alike, write_damaged_scene, write_scene
from tests.pipeline.test_faults import full_beyond

VERSIONS = {"gdal": "3.10", "python": "3.11"}

# The file of one tile.


def a_tile(folder: Path) -> Tile:
    scene = planning.open_scene(SceneSource(str(write_scene(folder / "a.tif"))), CONFIG)
    return next(planning.plan_blocks(scene, CONFIG)).tiles[0]


@pytest.fixture(scope="module")
def tile(tmp_path_factory: pytest.TempPathFactory) -> Tile:
    return a_tile(tmp_path_factory.mktemp("tile"))


# One kind of "no number": which of them it is means nothing.
numbers = st.floats(allow_nan=False) | st.just(math.nan)


@st.composite
def detections(draw: st.DrawFn) -> Detections:
    rows = draw(st.lists(st.tuples(*[numbers] * 6), max_size=5))
    columns = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(columns[:, :4], columns[:, 4], columns[:, 5])


def outcome(tile: Tile, detections: Detections, valid_fraction: float = 1.0, seconds: float = 0.5) -> TileOutcome:
    return TileOutcome(
        "a.tif", tile, "done", detections, valid_fraction, None, seconds, candidates=detections.boxes[:, :2]
    )


def bits(detections: Detections) -> list[bytes]:
    return [
        np.ascontiguousarray(column).tobytes()
        for column in (detections.boxes, detections.scores, detections.resolution_m)
    ]


@given(detections=detections(), valid_fraction=st.floats(0, 1), seconds=st.floats(0, 1e6))
def test_cached_outcomes_are_exact(tile: Tile, detections: Detections, valid_fraction: float, seconds: float) -> None:
    again = tile_cache.decode(tile_cache.encode(outcome(tile, detections, valid_fraction, seconds)), "b.tif", tile)
    assert again is not None
    assert (again.scene_uri, again.tile, again.status, again.error) == ("b.tif", tile, "done", None)
    assert (again.valid_fraction, again.seconds, again.cached) == (valid_fraction, seconds, True)
    assert bits(again.detections) == bits(detections)
    assert again.candidates.tobytes() == detections.boxes[:, :2].tobytes()


def test_every_field_of_an_outcome_is_cached(tile: Tile) -> None:
    not_stored = {"scene_uri", "tile", "error", "cached"}  # arguments of the reader, or constant
    stored = {"status", "valid_fraction", "seconds", "detections", "candidates"}
    assert {field.name for field in dataclasses.fields(TileOutcome)} == not_stored | stored


@given(detections=detections(), data=st.data())
def test_a_damaged_file_counts_as_missing(tile: Tile, detections: Detections, data: st.DataObject) -> None:
    text = tile_cache.encode(outcome(tile, detections))
    where = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda char: char != text[where]))
    assert tile_cache.decode(text[:where] + other + text[where + 1 :], "a.tif", tile) is None
    assert tile_cache.decode(text[:where], "a.tif", tile) is None
    assert tile_cache.decode(text + text[where:], "a.tif", tile) is None


def test_a_binary_file_counts_as_missing(tile: Tile, tmp_path: Path) -> None:
    tile_cache.store(str(tmp_path), outcome(tile, Detections.empty()))
    assert tile_cache.load(str(tmp_path), "a.tif", tile) is not None
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"\xff\xfe\x00")
    assert tile_cache.load(str(tmp_path), "a.tif", tile) is None
    path.unlink()
    path.mkdir()
    assert tile_cache.load(str(tmp_path), "a.tif", tile) is None


# Runs.


class Counting(FakePredictor):
    """Counts the tiles that it was given."""

    inferred = 0

    def __call__(self, images: ImageArray) -> list[Detections]:
        Counting.inferred += len(images)
        return super().__call__(images)


@dataclasses.dataclass
class Bench:
    """A folder with a scene, half of it missing, and the job that looks at it with a work folder."""

    folder: Path

    def run(
        self,
        *,
        config: PipelineConfig = CONFIG,
        model: str = IDENTITY.model,
        versions: dict[str, str] = VERSIONS,
        area: AreaOfInterest | None = None,
        bands: tuple[int, ...] | None = None,
    ) -> tuple[Ledger, int]:
        """Run, and compare the airplanes with those of a run without a cache; return ledger and tiles inferred."""
        spec = ModelSpec(config, Identity(model, settings_id(config)))
        sources = (SceneSource(str(self.folder / "a.tif"), bands=bands),)
        output = self.folder / "x.geojson"
        info = RunInfo("r", "c", "2026-11-23T06:00:00.000+00:00", model, versions, {})
        cache = TileCache.for_model(str(self.folder / "work"), spec, versions)
        Counting.inferred = 0
        job = Job(sources, spec, (str(output),), str(self.folder / "ledger.json"), info, area, cache)
        ledger = run_job(job, FnApiRunner(), PipelineOptions([]), Counting)
        inferred = Counting.inferred
        expected = [
            airplane
            for result in local.detect_scenes(sources, config, FakePredictor(), spec.identity, area)
            for airplane in result.airplanes
        ]
        write_geojson(self.folder / "expected.geojson", expected)
        assert output.read_bytes() == (self.folder / "expected.geojson").read_bytes()
        return ledger, inferred

    def files(self) -> list[Path]:
        return sorted(path for path in (self.folder / "work").rglob("*") if path.is_file())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    write_scene(tmp_path / "a.tif", nodata_right_of=215)
    return Bench(tmp_path)


def test_a_second_run_infers_nothing(bench: Bench) -> None:
    first, inferred = bench.run()
    totals = first.totals
    assert inferred == totals.parts_done > 0
    assert totals.parts_empty > 0
    assert totals.parts_taken_over == 0
    again, inferred = bench.run()
    assert inferred == 0
    assert again.totals == dataclasses.replace(totals, parts_taken_over=totals.parts_planned)
    assert [entry.parts_taken_over for entry in again.scenes] == [totals.parts_planned]


def test_only_missing_outcomes_are_computed(bench: Bench) -> None:
    first, _ = bench.run()
    files = bench.files()
    assert len(files) == first.totals.parts_planned
    done = [path for path in files if '"done"' in path.read_text()]
    done[0].unlink()
    done[1].write_text(done[1].read_text()[:-9])
    done[2].write_bytes(b"")
    again, inferred = bench.run()
    assert (inferred, again.totals.parts_taken_over) == (3, len(files) - 3)
    assert bench.files() == files
    assert bench.run()[0].totals.parts_taken_over == len(files)


def test_a_scene_is_not_opened_for_cached_tiles(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = planning.open_scene(SceneSource(str(bench.folder / "a.tif")), CONFIG)
    bench.run()
    monkeypatch.setattr(steps, "read_tiles", None)
    spec = ModelSpec(CONFIG, Identity(IDENTITY.model, settings_id(CONFIG)))
    cache = TileCache.for_model(str(bench.folder / "work"), spec, VERSIONS)
    for block in planning.plan_blocks(scene, CONFIG):
        assert [item.tile for item in tile_cache.read_tiles(cache, block)] == list(block.tiles)


def test_the_block_size_does_not_change_the_cache_key(bench: Bench) -> None:
    first, _ = bench.run()
    again, inferred = bench.run(config=dataclasses.replace(CONFIG, block_tiles=7))
    assert (inferred, again.totals.parts_taken_over) == (0, first.totals.parts_planned)


CORNERS = [[560_000 + x * 0.5, 5_940_000 - y * 0.5] for x, y in ((10, 10), (150, 20), (120, 320), (5, 310))]

TILING = dataclasses.replace(CONFIG.tiling, halo_px=24)
OTHERWISE: dict[str, dict[str, Any]] = {
    "as it was": {},
    "threshold": {"config": dataclasses.replace(CONFIG, min_score=0.6)},
    "tiling": {"config": dataclasses.replace(CONFIG, tiling=TILING)},
    "batches": {"config": dataclasses.replace(CONFIG, batch_size=3)},
    "model": {"model": "fake@000000000001"},
    "versions": {"versions": {**VERSIONS, "gdal": "3.11"}},
    "area": {"area": build_aoi([shapely.Polygon(CORNERS)], CRS("EPSG:32632"))},
    "bands": {"bands": (3, 2, 1)},
    "screen": {"config": dataclasses.replace(CONFIG, screen=Screen(0.4, 40.0))},
    "another screen": {"config": dataclasses.replace(CONFIG, screen=Screen(0.3, 40.0))},
}


def test_everything_that_shapes_the_result_changes_the_cache_key(bench: Bench) -> None:
    source = SceneSource(str(bench.folder / "a.tif"))
    named: list[set[str]] = []
    for changed in OTHERWISE.values():
        config = changed.get("config", CONFIG)
        spec = ModelSpec(config, Identity(changed.get("model", IDENTITY.model), settings_id(config)))
        cache = TileCache.for_model(str(bench.folder), spec, changed.get("versions", VERSIONS))
        scene = planning.open_scene(
            dataclasses.replace(source, bands=changed.get("bands")), config, changed.get("area")
        )
        blocks = planning.plan_blocks(scene, config)
        named.append(
            {tile_cache.tile_file(cache.scene_folder(block), tile) for block in blocks for tile in block.tiles}
        )
    assert min(len(files) for files in named) > 0
    assert len(set.union(*named)) == sum(len(files) for files in named)


@pytest.mark.parametrize("name", ["threshold", "area"])
def test_outcomes_of_other_settings_are_not_used(bench: Bench, name: str) -> None:
    bench.run()
    ledger, inferred = bench.run(**OTHERWISE[name])
    assert ledger.totals.parts_taken_over == 0
    assert inferred == ledger.totals.parts_done > 0


def test_another_scene_of_the_same_fingerprint_is_not_taken_from_the_cache(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    write_alike(tmp_path / "a.tif", tmp_path / "b.tif")
    first, _ = bench.run()
    written = (tmp_path / "a.tif").stat().st_mtime_ns
    shutil.copyfile(tmp_path / "b.tif", tmp_path / "a.tif")
    os.utime(tmp_path / "a.tif", ns=(written + 1, written + 1))
    again, inferred = bench.run()
    assert again.scenes[0].scene_id == first.scenes[0].scene_id
    assert (inferred, again.totals.parts_taken_over) == (first.totals.parts_planned, 0)


def test_failed_tiles_are_retried_in_the_next_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    write_damaged_scene(tmp_path / "a.tif")
    first, _ = bench.run()
    again, inferred = bench.run()
    assert again.totals.parts_failed == first.totals.parts_failed > 0
    assert (inferred, again.totals.parts_taken_over) == (0, first.totals.parts_done + first.totals.parts_empty)
    assert again.scenes[0].failures == first.scenes[0].failures


# The command.


def test_the_command_resumes_and_reports_it(cli: CommandRunner) -> None:
    assert cli.run("--work-dir", "deep/work")[0] == 0
    first, content = cli.ledger(), Path("x.geojson").read_bytes()
    status, lines = cli.run("--work-dir", "deep/work")
    assert status == 0
    planned = first.totals.parts_planned
    assert lines[0] == f"resumed: {planned} of {planned} parts were cached in deep/work"
    assert cli.ledger().totals == dataclasses.replace(first.totals, parts_taken_over=planned)
    assert Path("x.geojson").read_bytes() == content
    cli.run("--work-dir", "deep/work", "--min-score", "0.9")
    assert cli.ledger().totals.parts_taken_over == 0


def test_tiles_of_a_mosaic_are_cached_too(cli: CommandRunner) -> None:
    write_scene(cli.folder / "b.tif", transform=Affine(0.5, 0, 560_000 + SIZE[0] * 0.5, 0, -0.5, 5_940_000))
    args = ("--mosaic", "--work-dir", "work")
    assert cli.run(*args, inputs=("a.tif", "b.tif"))[0] == 0
    assert cli.run(*args, inputs=("a.tif", "b.tif"))[0] == 0
    totals = cli.ledger().totals
    assert totals.parts_taken_over == totals.parts_planned
    os.utime("b.tif", ns=(1, 1))
    assert cli.run(*args, inputs=("a.tif", "b.tif"))[0] == 0
    assert cli.ledger().totals.parts_taken_over == 0


def test_an_unusable_work_folder_is_refused(cli: CommandRunner) -> None:
    line = cli.usage_error("--work-dir", "https://example.com/work")
    assert "--work-dir https://example.com/work: expected a local folder or gs://bucket/folder" in line
    assert "a.tif/tile.json: expected a writable path" in cli.usage_error("--work-dir", "a.tif")
    assert "argument --work-dir: expected a path, got an empty argument" in cli.usage_error("--work-dir", "")


def test_a_full_disk_is_an_error_of_one_line_and_leaves_a_sound_cache(cli: CommandRunner) -> None:
    with full_beyond(150):
        status, lines = cli.run("--work-dir", "work")
    assert status == 1
    (line,) = lines
    assert line.startswith("error: work/")
    assert "expected a writable path, got 'File too large'" in line
    assert not Path("x.geojson").exists()
    assert cli.run("--work-dir", "work")[0] == 0


def test_a_folder_that_cannot_be_created_is_an_output_error(tile: Tile, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/deep: expected a writable path"):
        tile_cache.store(str(tmp_path / "file" / "deep"), outcome(tile, Detections.empty()))
