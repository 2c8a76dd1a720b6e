"""What is kept of a run: the files, what is taken over from them, and what never is."""

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
from pipeline import local, steps
from pipeline import tile_cache as work
from pipeline.config import PipelineConfig, settings_id
from pipeline.job import Job, run_job
from pipeline.ledger import Ledger, RunInfo
from pipeline.model_loading import Engine
from pipeline.sinks.geojson import write_geojson
from pipeline.values import Identity, SceneSource, TileOutcome
from tests.pipeline.desk import Desk
from tests.pipeline.scenes import CONFIG, IDENTITY, SIZE, write_alike, write_damaged_scene, write_scene
from tests.pipeline.test_faults import full_beyond

VERSIONS = {"gdal": "3.10", "python": "3.11"}

# The file of one tile.


def a_tile(folder: Path) -> Tile:
    scene = steps.open_scene(SceneSource(str(write_scene(folder / "a.tif"))), CONFIG)
    return next(steps.plan(scene, CONFIG)).tiles[0]


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


def outcome(tile: Tile, found: Detections, seen: float = 1.0, seconds: float = 0.5) -> TileOutcome:
    return TileOutcome("a.tif", tile, "done", found, seen, None, seconds, marks=found.boxes[:, :2])


def bits(found: Detections) -> list[bytes]:
    return [np.ascontiguousarray(column).tobytes() for column in (found.boxes, found.scores, found.resolution_m)]


@given(found=detections(), seen=st.floats(0, 1), seconds=st.floats(0, 1e6))
def test_what_is_kept_comes_back_to_the_last_bit(tile: Tile, found: Detections, seen: float, seconds: float) -> None:
    again = work.decode(work.encode(outcome(tile, found, seen, seconds)), "b.tif", tile)
    assert again is not None
    assert (again.scene_uri, again.tile, again.status, again.error) == ("b.tif", tile, "done", None)
    assert (again.seen, again.seconds, again.taken_over) == (seen, seconds, True)
    assert bits(again.detections) == bits(found)
    assert again.marks.tobytes() == found.boxes[:, :2].tobytes()


def test_every_field_of_an_outcome_is_kept(tile: Tile) -> None:
    known = {"scene_uri", "tile", "error", "taken_over"}  # told when it is read, or always the same
    kept = {"status", "seen", "seconds", "detections", "marks"}
    assert {field.name for field in dataclasses.fields(TileOutcome)} == known | kept


@given(found=detections(), data=st.data())
def test_a_damaged_file_counts_as_missing(tile: Tile, found: Detections, data: st.DataObject) -> None:
    text = work.encode(outcome(tile, found))
    where = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda one: one != text[where]))
    assert work.decode(text[:where] + other + text[where + 1 :], "a.tif", tile) is None
    assert work.decode(text[:where], "a.tif", tile) is None
    assert work.decode(text + text[where:], "a.tif", tile) is None


def test_a_file_that_is_no_text_counts_as_missing(tile: Tile, tmp_path: Path) -> None:
    work.keep(tmp_path, outcome(tile, Detections.empty()))
    assert work.kept(tmp_path, "a.tif", tile) is not None
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"\xff\xfe\x00")
    assert work.kept(tmp_path, "a.tif", tile) is None
    path.unlink()
    path.mkdir()
    assert work.kept(tmp_path, "a.tif", tile) is None


# Runs.


class Counting(FakePredictor):
    """Notes how many tiles it has seen."""

    seen = 0

    def __call__(self, images: ImageArray) -> list[Detections]:
        Counting.seen += len(images)
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
        """The ledger, and how many tiles the model has seen; the airplanes are held against a run without a folder."""
        engine = Engine(config, Identity(model, settings_id(config)))
        sources = (SceneSource(str(self.folder / "a.tif"), bands=bands),)
        output = self.folder / "x.geojson"
        info = RunInfo("r", "c", "2026-11-23T06:00:00.000+00:00", model, versions, {})
        kept = work.work_folder(self.folder / "work", engine, versions)
        Counting.seen = 0
        job = Job(sources, engine, (output,), self.folder / "ledger.json", info, area, kept)
        ledger = run_job(job, FnApiRunner(), PipelineOptions([]), Counting)
        seen = Counting.seen
        plain = [
            one
            for result in local.find(sources, config, FakePredictor(), engine.identity, area)
            for one in result.airplanes
        ]
        write_geojson(self.folder / "plain.geojson", plain)
        assert output.read_bytes() == (self.folder / "plain.geojson").read_bytes()
        return ledger, seen

    def files(self) -> list[Path]:
        return sorted(path for path in (self.folder / "work").rglob("*") if path.is_file())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    write_scene(tmp_path / "a.tif", nodata_right_of=215)
    return Bench(tmp_path)


def test_a_second_run_looks_at_nothing(bench: Bench) -> None:
    first, seen = bench.run()
    totals = first.totals
    assert seen == totals.parts_done > 0
    assert totals.parts_empty > 0
    assert totals.parts_taken_over == 0
    again, seen = bench.run()
    assert seen == 0
    assert again.totals == dataclasses.replace(totals, parts_taken_over=totals.parts_planned)
    assert [entry.parts_taken_over for entry in again.scenes] == [totals.parts_planned]


def test_what_is_missing_is_done_and_nothing_else(bench: Bench) -> None:
    first, _ = bench.run()
    files = bench.files()
    assert len(files) == first.totals.parts_planned
    done = [path for path in files if '"done"' in path.read_text()]
    done[0].unlink()
    done[1].write_text(done[1].read_text()[:-9])
    done[2].write_bytes(b"")
    again, seen = bench.run()
    assert (seen, again.totals.parts_taken_over) == (3, len(files) - 3)
    assert bench.files() == files
    assert bench.run()[0].totals.parts_taken_over == len(files)


def test_a_scene_is_not_opened_for_what_is_known(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = steps.open_scene(SceneSource(str(bench.folder / "a.tif")), CONFIG)
    bench.run()
    monkeypatch.setattr(steps, "read", None)
    engine = Engine(CONFIG, Identity(IDENTITY.model, settings_id(CONFIG)))
    kept = work.work_folder(bench.folder / "work", engine, VERSIONS)
    for block in steps.plan(scene, CONFIG):
        assert [item.tile for item in work.read(kept, block)] == list(block.tiles)


def test_where_the_blocks_end_changes_nothing(bench: Bench) -> None:
    first, _ = bench.run()
    again, seen = bench.run(config=dataclasses.replace(CONFIG, block_tiles=7))
    assert (seen, again.totals.parts_taken_over) == (0, first.totals.parts_planned)


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
}


def test_whatever_shapes_the_result_names_other_files(bench: Bench) -> None:
    source = SceneSource(str(bench.folder / "a.tif"))
    named: list[set[Path]] = []
    for changed in OTHERWISE.values():
        config = changed.get("config", CONFIG)
        engine = Engine(config, Identity(changed.get("model", IDENTITY.model), settings_id(config)))
        kept = work.work_folder(bench.folder, engine, changed.get("versions", VERSIONS))
        scene = steps.open_scene(dataclasses.replace(source, bands=changed.get("bands")), config, changed.get("area"))
        blocks = steps.plan(scene, config)
        named.append({work.tile_file(work.scene_folder(kept, block), tile) for block in blocks for tile in block.tiles})
    assert min(len(files) for files in named) > 0
    assert len(set.union(*named)) == sum(len(files) for files in named)


@pytest.mark.parametrize("name", ["threshold", "area"])
def test_what_was_found_otherwise_is_not_taken_over(bench: Bench, name: str) -> None:
    bench.run()
    ledger, seen = bench.run(**OTHERWISE[name])
    assert ledger.totals.parts_taken_over == 0
    assert seen == ledger.totals.parts_done > 0


def test_another_picture_of_one_fingerprint_takes_nothing_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    write_alike(tmp_path / "a.tif", tmp_path / "b.tif")
    first, _ = bench.run()
    written = (tmp_path / "a.tif").stat().st_mtime_ns
    shutil.copyfile(tmp_path / "b.tif", tmp_path / "a.tif")
    os.utime(tmp_path / "a.tif", ns=(written + 1, written + 1))
    again, seen = bench.run()
    assert again.scenes[0].scene_id == first.scenes[0].scene_id
    assert (seen, again.totals.parts_taken_over) == (first.totals.parts_planned, 0)


def test_a_part_that_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    write_damaged_scene(tmp_path / "a.tif")
    first, _ = bench.run()
    again, seen = bench.run()
    assert again.totals.parts_failed == first.totals.parts_failed > 0
    assert (seen, again.totals.parts_taken_over) == (0, first.totals.parts_done + first.totals.parts_empty)
    assert again.scenes[0].failures == first.scenes[0].failures


# The command.


def test_the_command_takes_over_and_says_so(desk: Desk) -> None:
    assert desk.run("--work-dir", "deep/work")[0] == 0
    first, whole = desk.ledger(), Path("x.geojson").read_bytes()
    status, lines = desk.run("--work-dir", "deep/work")
    assert status == 0
    planned = first.totals.parts_planned
    assert lines[0] == f"taken over: {planned} of {planned} parts from deep/work, where an earlier run has kept them"
    assert desk.ledger().totals == dataclasses.replace(first.totals, parts_taken_over=planned)
    assert Path("x.geojson").read_bytes() == whole
    desk.run("--work-dir", "deep/work", "--min-score", "0.9")
    assert desk.ledger().totals.parts_taken_over == 0


def test_files_side_by_side_are_taken_over_too(desk: Desk) -> None:
    write_scene(desk.folder / "b.tif", transform=Affine(0.5, 0, 560_000 + SIZE[0] * 0.5, 0, -0.5, 5_940_000))
    words = ("--mosaic", "--work-dir", "work")
    assert desk.run(*words, inputs=("a.tif", "b.tif"))[0] == 0
    assert desk.run(*words, inputs=("a.tif", "b.tif"))[0] == 0
    totals = desk.ledger().totals
    assert totals.parts_taken_over == totals.parts_planned
    os.utime("b.tif", ns=(1, 1))
    assert desk.run(*words, inputs=("a.tif", "b.tif"))[0] == 0
    assert desk.ledger().totals.parts_taken_over == 0


def test_a_work_folder_that_cannot_be_used_is_refused(desk: Desk) -> None:
    line = desk.refused("--work-dir", "gs://bucket/work")
    assert "--work-dir gs://bucket/work: expected a folder, got an address: name a folder of this machine" in line
    assert "a.tif/tile.json: expected a place that can be written" in desk.refused("--work-dir", "a.tif")
    assert "--work-dir: expected a path, got an empty word" in desk.refused("--work-dir", "")


def test_a_disk_that_gets_full_ends_the_run_in_one_line_and_what_is_kept_is_sound(desk: Desk) -> None:
    with full_beyond(150):
        status, lines = desk.run("--work-dir", "work")
    assert status == 1
    (line,) = lines
    assert line.startswith("error: work/")
    assert "expected a place that can be written, got 'File too large'" in line
    assert not Path("x.geojson").exists()
    assert desk.run("--work-dir", "work")[0] == 0


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tile: Tile, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/deep: expected a place that can be written"):
        work.keep(tmp_path / "file" / "deep", outcome(tile, Detections.empty()))
