"""The command: its outputs, messages and exit status; scenes that fail."""

import dataclasses
import json
import re
import shutil
import signal
from pathlib import Path

import geopandas
import pytest
import shapely

from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor
from pipeline import local, model_loading, run
from pipeline.model_loading import describe_model, load_model
from pipeline.sinks.files import read_geojson
from pipeline.values import SceneSource
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.scenes import AIRPLANES, CONFIG, SIZE, write_damaged_scene, write_scene


def test_a_good_scene(cli: CommandRunner) -> None:
    status, lines = cli.run()
    assert status == 0
    airplanes = read_geojson(Path("x.geojson"))
    # The model's default threshold is 0.85: one of the five airplanes is below it.
    assert len(airplanes) == sum(level / 255 >= 0.85 for *_, level in AIRPLANES) == 4
    assert {plane.scene_uri for plane in airplanes} == {"a.tif"}
    assert lines == []
    assert list(cli.summary) == ["airplanes", "scenes", "area", "time", "run", "written"]
    assert (cli.summary["airplanes"], cli.summary["scenes"]) == ("4", "1: 1 complete")
    assert cli.summary["area"] == f"{SIZE[0] * SIZE[1] / 4e6:.2f} km2"
    assert re.fullmatch(r"\d+ s, \d+\.\d Mpx/s", cli.summary["time"])
    assert cli.written == ["x.geojson", "x.geojson.ledger.json"]


def test_the_summary_counts_in_thousands_and_names_what_is_not_complete(cli: CommandRunner) -> None:
    cli.run()
    done = cli.ledger()
    totals = dataclasses.replace(
        done.totals, airplanes=12_345, scenes=1_003, complete=1_000, incomplete=2, failed=1, km2=5_000.0, mpx=36_000.0
    )
    lines = list(
        run.summary_lines(dataclasses.replace(done, totals=totals, seconds=9_000.0), ["x.geojson", "bq://p.d.t"])
    )
    assert lines == [
        "airplanes  12,345",
        "scenes     1,003: 1,000 complete, 2 incomplete, 1 failed",
        "area       5,000.00 km2",
        "time       2 h 30 min, 4.0 Mpx/s",
        f"run        {done.run.run_id}",
        "written    x.geojson",
        "           bq://p.d.t",
    ]
    cached = dataclasses.replace(totals, parts_taken_over=3, km2_coarse=7.5)
    lines = list(run.summary_lines(dataclasses.replace(done, totals=cached, seconds=130.4), []))
    assert lines[2:4] == ["area       5,000.00 km2, and 7.50 km2 at the coarsest level only", "time       2 min"]


def test_the_ledger_describes_the_run(cli: CommandRunner) -> None:
    cli.run("--min-score", "0.9")
    info = cli.ledger().run
    assert info.command.startswith("python -m pipeline.run --input a.tif --output x.geojson")
    assert info.command.endswith("--min-score 0.9")
    assert (info.settings["min_score"], info.settings["batch_size"]) == (0.9, CONFIG.batch_size)
    assert info.settings["tiling"]["tile_px"] == CONFIG.tiling.tile_px
    assert info.model.startswith("fake@")
    assert {"python", "apache-beam", "rasterio"} < set(info.versions)


def test_min_score_filters_airplanes(cli: CommandRunner) -> None:
    cli.run("--min-score", "0.9")
    assert [plane.score >= 0.9 for plane in read_geojson(Path("x.geojson"))] == [True] * 3


def test_the_command_equals_the_local_run(cli: CommandRunner) -> None:
    cli.run()
    spec = describe_model(dataclasses.replace(CONFIG, min_score=None, model=str(cli.model)))
    (result,) = local.detect_scenes([SceneSource("a.tif")], spec.config, load_model(spec), spec.identity)
    assert read_geojson(Path("x.geojson")) == list(result.airplanes)


def test_a_file_named_twice_is_one_scene(cli: CommandRunner) -> None:
    cli.run(inputs=("a.tif", f"{cli.folder}/a.tif", "*.tif"))
    assert [entry.scene_uri for entry in cli.ledger().scenes] == ["a.tif"]


def test_every_output_is_written_and_the_ledger_is_named_after_the_first(cli: CommandRunner) -> None:
    assert cli.run("--output", "y.geojson", "--output", "./x.geojson")[0] == 0
    assert len(read_geojson(Path("x.geojson"))) == 4
    assert Path("y.geojson").read_bytes() == Path("x.geojson").read_bytes()
    assert [path.name for path in cli.folder.glob("*.ledger.json")] == ["x.geojson.ledger.json"]
    assert cli.written == ["x.geojson", "y.geojson", "x.geojson.ledger.json"]


def test_names_may_have_spaces_and_any_script(cli: CommandRunner) -> None:
    folder = cli.folder / "zwei  Räume"
    folder.mkdir()
    write_scene(folder / "飛行機 1.tif")
    assert cli.run(inputs=("zwei  Räume",), output="zwei  Räume/ö.geojson")[0] == 0
    assert {plane.scene_uri for plane in read_geojson(folder / "ö.geojson")} == {"zwei  Räume/飛行機 1.tif"}
    assert "zwei  Räume/gone.tif: expected" in cli.usage_error(inputs=("zwei  Räume/gone.tif",))


def test_the_report_folder_holds_page_and_ledger(cli: CommandRunner) -> None:
    status, _ = cli.run("--report", "report")
    assert status == 0
    assert sorted(path.name for path in Path("report").iterdir()) == ["ledger.json", "report.html"]
    assert not Path("x.geojson.ledger.json").exists()
    assert "a.tif" in Path("report/report.html").read_text(encoding="utf-8")


def test_only_airplanes_in_the_area_of_interest_are_kept(cli: CommandRunner) -> None:
    box = shapely.transform(shapely.box(5, 5, 60, 60), lambda xy: [560_000, 5_940_000] + xy * [0.5, -0.5])
    geopandas.GeoDataFrame(geometry=[box], crs="EPSG:32632").to_file("area.gpkg")
    assert cli.run("--aoi", "area.gpkg")[0] == 0
    (airplane,) = read_geojson(Path("x.geojson"))
    assert airplane.score == round(AIRPLANES[0][4] / 255, 6)
    assert cli.entry("a.tif").km2 == pytest.approx(55 * 55 * 0.25e-6, rel=5e-3)
    Path("area.gpkg").unlink()
    assert "--aoi area.gpkg: expected a vector file" in cli.usage_error("--aoi", "area.gpkg")


def test_force_processes_a_too_coarse_scene(cli: CommandRunner) -> None:
    write_scene(cli.folder / "coarse.tif", resolution=30.0, size=(20, 10))
    assert cli.run(inputs=("coarse.tif",))[0] == 1
    assert cli.run("--force", inputs=("coarse.tif",))[0] == 0
    assert cli.ledger().run.settings["force"] is True


def test_a_missing_output_folder_is_created(cli: CommandRunner) -> None:
    status, _ = cli.run(output="new/deep/x.geojson")
    assert status == 0
    assert Path("new/deep/x.geojson").exists()


# Failed scenes: status 1, the others are written, the ledger and stderr name the file and the remedy.


def no_raster(path: Path) -> None:
    path.write_text("no raster")


def truncated(path: Path) -> None:
    write_scene(path, compress=None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_in_the_header(path: Path) -> None:
    path.write_bytes(write_scene(path).read_bytes()[:6])


def empty(path: Path) -> None:
    path.touch()


def no_georeference(path: Path) -> None:
    write_scene(path, crs=None, transform=None)


def no_crs(path: Path) -> None:
    write_scene(path, crs=None)


def unknown_crs(path: Path) -> None:
    write_scene(path, crs='LOCAL_CS["somewhere",UNIT["metre",1]]')


def two_bands(path: Path) -> None:
    write_scene(path, bands=2)


def complex_numbers(path: Path) -> None:
    write_scene(path, dtype="complex64")


def too_coarse(path: Path) -> None:
    write_scene(path, resolution=30.0)


BAD = {
    no_raster: "expected a raster.*(fetch|write)",
    truncated: "(damaged|cut off).*fetch",
    cut_in_the_header: "(damaged|cut off).*fetch",
    empty: "(damaged|cut off).*fetch",
    no_georeference: "expected a georeference.*add it",
    no_crs: "expected a georeference.*no CRS.*add it",
    unknown_crs: "CRS.*somewhere.*write the right one",
    two_bands: "expected 1 band.*got 2: choose",
    complex_numbers: "expected real numbers.*got complex64: convert",
    too_coarse: "expected a scene of 2 m per pixel or finer, got 30 m: use a finer",
}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_failed_scenes_are_named_and_the_others_processed(cli: CommandRunner) -> None:
    for make in BAD:
        make(cli.folder / f"{make.__name__}.tif")
    status, lines = cli.run(inputs=(".",))
    assert status == 1
    assert {plane.scene_uri for plane in read_geojson(Path("x.geojson"))} == {"a.tif"}
    assert cli.entry("a.tif").status == "complete"
    totals = cli.ledger().totals
    assert (totals.scenes, totals.complete, totals.failed) == (len(BAD) + 1, 1, len(BAD))
    for make, message in BAD.items():
        name = f"{make.__name__}.tif"
        entry = cli.entry(name)
        assert (entry.status, entry.parts_done, entry.airplanes) == ("failed", 0, 0)
        assert entry.error is not None
        assert entry.error.startswith(name)
        assert re.search(message, entry.error), entry.error
        assert "\n" not in entry.error
        assert f"failed: {entry.error}" in lines


def test_a_damaged_part_makes_a_scene_incomplete(cli: CommandRunner) -> None:
    write_damaged_scene(cli.folder / "b.tif")
    status, lines = cli.run(inputs=("a.tif", "b.tif"))
    assert status == 1
    entry = cli.entry("b.tif")
    assert entry.status == "incomplete"
    assert f"incomplete: {entry.error}" in lines
    assert {plane.scene_uri for plane in read_geojson(Path("x.geojson"))} == {"a.tif", "b.tif"}


def test_failed_scenes_alone_give_an_empty_collection(cli: CommandRunner) -> None:
    no_raster(cli.folder / "b.tif")
    status, _ = cli.run(inputs=("b.tif",))
    assert status == 1
    assert json.loads(Path("x.geojson").read_text())["features"] == []


class Interrupting(FakePredictor):
    """The user presses Ctrl-C during inference."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, images: ImageArray) -> list[Detections]:
        signal.raise_signal(signal.SIGINT)
        return super().__call__(images)


def test_ctrl_c_prints_one_line_and_leaves_no_files(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model_loading, "load_predictor", Interrupting)
    before, handler = sorted(cli.folder.rglob("*")), signal.getsignal(signal.SIGINT)
    status, lines = cli.run()
    assert status == 130
    assert [line.split(":")[0] for line in lines] == ["interrupted"]
    assert caplog.records == []
    assert sorted(cli.folder.rglob("*")) == before
    assert signal.getsignal(signal.SIGINT) == handler


class RemovingFolder(Interrupting):
    """Someone removes the output folder during inference."""

    def __call__(self, images: ImageArray) -> list[Detections]:
        shutil.rmtree("new", ignore_errors=True)
        return [Detections.empty() for _ in images]


def test_an_output_that_becomes_unwritable_is_an_error_in_one_line(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model_loading, "load_predictor", RemovingFolder)
    status, lines = cli.run(output="new/x.geojson")
    assert status == 1
    (line,) = lines
    assert line.startswith("error: new/x.geojson: expected a writable path")
    assert caplog.records == []


def test_a_name_with_a_line_break_is_reported_in_one_line(cli: CommandRunner) -> None:
    (cli.folder / "line\nbreak.tif").write_text("no raster")
    status, lines = cli.run(inputs=("a.tif", "line\nbreak.tif"))
    assert status == 1
    (line,) = lines
    assert line.startswith("failed: line break.tif: expected a raster")
