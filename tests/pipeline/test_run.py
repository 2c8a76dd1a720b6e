"""The command: its outputs, messages and exit status; each kind of bad input."""

import argparse
import dataclasses
import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import geopandas
import pytest
import rasterio
import shapely
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from geo.types import Detections, ImageArray
from model.datagen import beam_options
from model.inference.predictor import FakePredictor
from pipeline import command, local, model_loading, run
from pipeline.model_loading import describe_model, load_model
from pipeline.sinks.files import read_geojson
from pipeline.values import SceneSource
from tests.geo.range_server import serving
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.scenes import AIRPLANES, CONFIG, SIZE, write_damaged_scene, write_scene
from tests.pipeline.stac_files import ACQUIRED_AT, asset, catalog, item, items, write


def test_a_good_scene(cli: CommandRunner) -> None:
    status, lines = cli.run()
    assert status == 0
    airplanes = read_geojson(Path("x.geojson"))
    # The model's default threshold is 0.85: one of the five airplanes is below it.
    assert len(airplanes) == sum(level / 255 >= 0.85 for *_, level in AIRPLANES) == 4
    assert {plane.scene_uri for plane in airplanes} == {"a.tif"}
    assert lines == []
    assert list(cli.summary) == ["airplanes", "scenes", "area", "time", "written"]
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


def test_a_mosaic_is_one_scene(cli: CommandRunner) -> None:
    """Every airplane is detected as in the undivided scene; the second and the fourth lie across two files."""
    assert cli.run(output="undivided.geojson")[0] == 0
    with rasterio.open("a.tif") as scene:
        for name, left, right in (("left.tif", 0, 207), ("right.tif", 207, SIZE[0])):
            window = rasterio.windows.Window(left, 0, right - left, SIZE[1])
            profile = {**scene.profile, "width": right - left, "transform": scene.window_transform(window)}
            with rasterio.open(name, "w", **profile) as part:
                part.write(scene.read(window=window))
    assert cli.run("--mosaic", "--report", "report", inputs=("left.tif", "right.tif"))[0] == 0
    expected, detected = read_geojson(Path("undivided.geojson")), read_geojson(Path("x.geojson"))
    assert [plane.geometry for plane in detected] == [plane.geometry for plane in expected]
    assert {plane.scene_uri for plane in detected} == {"x.geojson.mosaic.vrt"}
    # Without --mosaic, each file is a scene.
    assert cli.run(inputs=("left.tif", "right.tif"))[0] == 0
    assert cli.ledger().totals.scenes == 2
    assert cli.ledger().totals.airplanes > len(AIRPLANES)


def test_an_unchanged_mosaic_is_not_rewritten(cli: CommandRunner) -> None:
    vrt = Path("x.geojson.mosaic.vrt")
    versions = []
    for bands in (3, 3, 4):
        write_scene(cli.folder / "b.tif", bands=bands)
        assert cli.run("--mosaic", inputs=("b.tif",))[0] == 0
        versions.append((vrt.read_text(), vrt.stat().st_mtime_ns))
    assert versions[0] == versions[1]
    assert versions[1][0] != versions[2][0]


def test_a_mosaic_of_different_grids_is_an_error(cli: CommandRunner) -> None:
    write_scene(cli.folder / "b.tif", resolution=0.6)
    assert "b.tif: expected one grid of pixels as in a.tif" in cli.usage_error("--mosaic", inputs=("a.tif", "b.tif"))


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


def test_a_duplicate_is_reported_and_not_a_failure(cli: CommandRunner) -> None:
    shutil.copy("a.tif", "b.tif")
    status, lines = cli.run("--report", "report", inputs=("b.tif", "a.tif"))
    assert status == 0
    assert lines[0] == "duplicate: b.tif: same content as a.tif, processed once"
    assert (cli.summary["airplanes"], cli.summary["scenes"]) == ("4", "2: 1 complete, 1 duplicate")
    assert cli.written == ["x.geojson", "report/ledger.json", "report/report.html"]
    assert {plane.scene_uri for plane in read_geojson(Path("x.geojson"))} == {"a.tif"}
    entries = {entry.scene_uri: entry.status for entry in cli.ledger("report/ledger.json").scenes}
    assert entries == {"a.tif": "complete", "b.tif": "duplicate"}


def test_the_duplicate_of_an_incomplete_scene_keeps_the_status_1(cli: CommandRunner) -> None:
    write_damaged_scene(cli.folder / "b.tif")
    shutil.copy("b.tif", "c.tif")
    assert cli.run(inputs=("b.tif", "c.tif"))[0] == 1
    assert (cli.entry("b.tif").status, cli.entry("c.tif").status) == ("incomplete", "duplicate")


def test_a_stac_item_gives_asset_id_and_acquisition_time(cli: CommandRunner) -> None:
    assets = {"preview": asset("a.png", type="image/png"), "scene": asset("../a.tif")}
    properties = {"proj:code": "EPSG:32632", "proj:shape": SIZE[::-1]}
    write(cli.folder / "items" / "good.json", item("S-1", assets=assets, **properties))
    assert cli.run(inputs=("items/good.json",))[0] == 0
    ids = {plane.detection_id for plane in read_geojson(Path("x.geojson"))}
    assert {(plane.scene_id, plane.acquired_at) for plane in read_geojson(Path("x.geojson"))} == {("S-1", ACQUIRED_AT)}
    assert cli.entry("items/../a.tif").acquired_at == ACQUIRED_AT
    cli.run(inputs=("a.tif",))
    assert {plane.detection_id for plane in read_geojson(Path("x.geojson"))} == ids


def test_the_acquisition_time_is_from_item_then_name_then_tags(cli: CommandRunner) -> None:
    settings = json.loads((cli.folder / "settings.yaml").read_text())
    rule = r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    (cli.folder / "settings.yaml").write_text(json.dumps({**settings, "acquired_in_name": rule}))
    for number, name in enumerate(("tagged.tif", "20250203.tif", "20250204.tif"), start=1):
        write_scene(cli.folder / name, AIRPLANES[:number])
        with rasterio.open(name, "r+") as dataset:
            dataset.update_tags(TIFFTAG_DATETIME="2024:05:06 07:08:09")
    write(cli.folder / "i.json", item(assets={"visual": asset("20250204.tif")}))
    assert cli.run(inputs=("tagged.tif", "20250203.tif", "i.json", "a.tif"))[0] == 0
    expected = {
        "tagged.tif": "2024-05-06T07:08:09Z",
        "20250203.tif": "2025-02-03T00:00:00Z",
        "20250204.tif": ACQUIRED_AT,
        "a.tif": None,
    }
    assert {entry.scene_uri: entry.acquired_at for entry in cli.ledger().scenes} == expected
    assert {plane.scene_uri: plane.acquired_at for plane in read_geojson(Path("x.geojson"))} == expected


def test_a_mosaic_has_the_common_acquisition_time_of_its_files(cli: CommandRunner) -> None:
    settings = json.loads((cli.folder / "settings.yaml").read_text())
    rule = r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    (cli.folder / "settings.yaml").write_text(json.dumps({**settings, "acquired_in_name": rule}))
    for name, date_time in (("20250203.tif", "2024:05:06 07:08:09"), ("same.tif", "2025:02:03 00:00:00")):
        write_scene(cli.folder / name)
        with rasterio.open(name, "r+") as dataset:
            dataset.update_tags(TIFFTAG_DATETIME=date_time)
    for inputs, expected in (
        (("20250203.tif", "same.tif"), "2025-02-03T00:00:00Z"),
        (("20250203.tif", "same.tif", "a.tif"), None),
    ):
        # The time in the name of the output is ignored.
        assert cli.run("--mosaic", inputs=inputs, output="20200101.geojson")[0] == 0
        assert {plane.acquired_at for plane in read_geojson(Path("20200101.geojson"))} == {expected}
        assert [entry.acquired_at for entry in cli.ledger("20200101.geojson.ledger.json").scenes] == [expected]


def test_a_remote_catalog_is_processed_and_its_duplicates_once(cli: CommandRunner) -> None:
    files = {
        "/c/catalog.json": write(cli.folder / "catalog.json", catalog(("item", "./a.json"), ("item", "./b.json"))),
        "/c/a.json": write(cli.folder / "a.json", item("A", assets={"data": asset("../a.tif")})),
        "/c/b.json": write(cli.folder / "b.json", item("B", assets={"data": asset("../b.tif")})),
        **dict.fromkeys(("/a.tif", "/b.tif"), cli.folder / "a.tif"),
    }
    with serving() as server:
        server.files |= files
        status, lines = cli.run(inputs=(f"{server.address}/c/catalog.json",))
        first, second = (f"{server.address}/{name}.tif" for name in "ab")
    assert status == 0
    assert {(plane.scene_uri, plane.scene_id) for plane in read_geojson(Path("x.geojson"))} == {(first, "A")}
    assert (cli.entry(second).status, cli.entry(second).duplicate_of) == ("duplicate", first)
    assert lines[0] == f"duplicate: {second}: same content as {first}, processed once"


def test_a_stac_item_that_contradicts_its_raster_fails_alone(cli: CommandRunner) -> None:
    write_scene(cli.folder / "b.tif", AIRPLANES[:2])
    features = item("S-1"), item("S-2", assets={"visual": asset("b.tif")}, **{"proj:epsg": 32633})
    write(cli.folder / "items.json", items(*features))
    status, lines = cli.run(inputs=("items.json",))
    assert status == 1
    assert (cli.entry("a.tif").status, cli.entry("b.tif").status) == ("complete", "failed")
    assert "failed: b.tif: expected EPSG:32633, as in its STAC item, got EPSG:32632 in the file" in lines[0]


def test_the_settings_choose_the_asset(cli: CommandRunner) -> None:
    settings = json.loads((cli.folder / "settings.yaml").read_text())
    assets = {"visual": asset("gone.tif"), "pan": asset("a.tif")}
    write(cli.folder / "i.json", item(assets=assets))
    assert cli.run(inputs=("i.json",))[0] == 1
    (cli.folder / "settings.yaml").write_text(json.dumps({**settings, "asset": "pan"}))
    assert cli.run(inputs=("i.json",))[0] == 0
    (cli.folder / "settings.yaml").write_text(json.dumps({**settings, "asset": "swir"}))
    assert "i.json, item 'S-1': expected the asset 'swir', as in the settings" in cli.usage_error(inputs=("i.json",))


# Invalid commands: status 2, one line, nothing written.


def test_inputs_that_match_nothing_are_refused(cli: CommandRunner) -> None:
    (cli.folder / "hollow").mkdir()
    assert "missing.tif: expected a raster file" in cli.usage_error(inputs=("missing.tif",))
    assert "*.jp2: expected a glob that matches rasters or STAC files" in cli.usage_error(inputs=("*.jp2",))
    assert "hollow: expected a folder with rasters" in cli.usage_error(inputs=("hollow",))
    assert "missing.tif" in cli.usage_error(inputs=("a.tif", "missing.tif"))
    assert "--input" in cli.usage_error(inputs=())
    assert "--input: expected a raster file, a folder, a glob" in cli.usage_error(inputs=("",))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in names")
def test_a_name_that_is_not_utf8_is_refused(cli: CommandRunner) -> None:
    (cli.folder / os.fsdecode(b"b\xff.tif")).touch()
    assert "'b\\udcff.tif': expected a name in UTF-8" in cli.usage_error(inputs=(".",))
    assert "expected a name in UTF-8" in cli.usage_error(output=os.fsdecode(b"\xff.geojson"))


def test_an_unwritable_output_is_refused(cli: CommandRunner) -> None:
    (cli.folder / "folder.geojson").mkdir()
    line = cli.usage_error(output="a.tif/x.geojson")
    assert "a.tif/x.geojson: expected a writable path" in line
    assert "choose another folder" in line
    assert "folder.geojson: expected the name of a file" in cli.usage_error(output="folder.geojson")
    assert "a.tif/ledger.json: expected a writable path" in cli.usage_error("--report", "a.tif")
    assert "--report: expected a path, got an empty argument" in cli.usage_error("--report", "")
    assert "a.tif/y.geojson: expected a writable path" in cli.usage_error("--output", "a.tif/y.geojson")


def test_an_unknown_output_format_is_refused(cli: CommandRunner) -> None:
    for output in ("x.shp", "x", "x.json", ""):
        line = cli.usage_error(output=output)
        assert f"--output {output}: expected the suffix .geojson, .geojsonl, .parquet, .fgb, .gpkg or .coco" in line
        assert line.endswith(": name a file such as x.geojson")


def test_an_invalid_config_is_refused(cli: CommandRunner) -> None:
    good = json.loads((cli.folder / "settings.yaml").read_text())
    for change, expected in (
        ({"halo_px": 3}, "settings.yaml: unknown key halo_px; known here: tiling, suppression, model, min_score"),
        ({"batch_size": 0}, "settings.yaml: batch_size: expected a whole number from 1 to 1024, got 0"),
        ({"min_score": 1.5}, "settings.yaml: min_score: expected a number from 0 to 1, got 1.5"),
        ({"batch_size": "two"}, "settings.yaml"),
    ):
        (cli.folder / "settings.yaml").write_text(json.dumps({**good, **change}))
        assert expected in cli.usage_error()
    (cli.folder / "settings.yaml").unlink()
    assert "settings.yaml: expected a readable YAML config" in cli.usage_error()


def test_a_score_out_of_range_is_refused(cli: CommandRunner) -> None:
    for text in ("2", "-0.1", "nan", "much"):
        assert f"--min-score: expected a number from 0 to 1, got {text}" in cli.usage_error(f"--min-score={text}")


def test_damaged_weights_are_refused(cli: CommandRunner) -> None:
    weights = cli.model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    line = cli.usage_error()
    assert f"{weights}: expected the weights with sha256" in line
    assert "restore" in line


def test_a_missing_model_is_refused(cli: CommandRunner) -> None:
    assert "model nowhere: expected a packaged model" in cli.usage_error("--model", "nowhere")


def test_an_unknown_option_is_refused(cli: CommandRunner) -> None:
    assert "got --min-scoer: did you mean --min-score?" in cli.usage_error("--min-scoer", "0.4")
    assert "got --runer=DirectRunner: did you mean --runner?" in cli.usage_error("--runer=DirectRunner")
    assert "got --no-such-thing: see --help" in cli.usage_error("--no-such-thing")


def test_words_without_an_option_are_refused(cli: CommandRunner) -> None:
    # What a shell makes of `--input *.tif`.
    line = cli.usage_error("b.tif", inputs=("a.tif",))
    assert line == "error: expected options, got b.tif: write --input before each input, and quote patterns: see --help"


def test_no_option_of_beam_counts_as_a_misspelled_one() -> None:
    beam = argparse.ArgumentParser(add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(beam)
    own = command.make_parser()._option_string_actions
    assert not [name for name in beam._option_string_actions if difflib.get_close_matches(name, own, 1, 0.8)]
    for name in beam._option_string_actions:
        command.check_unknown([name, "value"], [*own, "--runner"], "")


def test_an_invalid_beam_option_is_refused(cli: CommandRunner) -> None:
    assert "--direct_num_workers" in cli.usage_error("--direct_num_workers", "many")


def test_an_unknown_runner_is_refused(cli: CommandRunner) -> None:
    assert "--runner WalkingRunner: expected one of" in cli.usage_error("--runner", "WalkingRunner")
    assert "--runner no.such.Runner: expected one of" in cli.usage_error("--runner", "no.such.Runner")


@pytest.mark.parametrize("args", [[], ["--runner", "DirectRunner"], ["--runner=direct"], ["--runner", "FnApiRunner"]])
def test_direct_runner_is_the_in_process_runner(cli: CommandRunner, args: list[str]) -> None:
    parsed = command.parse(["--input", "a.tif", "--output", "x.geojson", *args])
    assert type(beam_options.runner(beam_options.parse(parsed.beam))) is FnApiRunner


def test_beam_options_are_passed_to_beam(cli: CommandRunner) -> None:
    parsed = command.parse(["--input", "a.tif", "--output", "x.geojson", "--temp_location", "somewhere"])
    assert beam_options.parse(parsed.beam).get_all_options()["temp_location"] == "somewhere"


def test_the_command_in_a_process_of_its_own(cli: CommandRunner) -> None:
    args = ["--input", "missing.tif", "--output", "x.geojson"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.run", *args],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: missing.tif: expected a raster file")


# What a command loads: modules of seconds, none of which a mistake has to wait for.

SLOW = ("apache_beam", "geopandas", "keras", "matplotlib", "pandas", "pystac", "rasterio", "scipy", "tensorflow")
_MISTAKES = """
import sys
from pipeline import run

good = ["--input", "a.tif", "--output", "x.geojson", "--config", "settings.yaml"]
for args, expected in (
    (["--help"], 0),
    ([], 2),
    ([*good, "b.tif"], 2),
    ([*good, "--min-scor", "1"], 2),
    ([*good, "--min-score", "7"], 2),
    ([*good[:2], "--output", "x.shp"], 2),
    ([*good[:4], "--config", "wrong.yaml"], 2),
    ([*good, "--input", "missing.tif"], 2),
    ([*good, "--model", "nowhere"], 2),
):
    try:
        status = run.main(args)
    except SystemExit as end:
        status = end.code
    assert status == expected, args
"""
_GOOD_RUN = """
import sys
from model.inference import litert
from model.inference.predictor import FakePredictor
from pipeline import model_loading, run

model_loading.load_predictor = lambda *_, **__: FakePredictor()
sys.argv[1:] = ["--input", "a.tif", "--output", "x.geojson", "--config", "settings.yaml", "--model", "{model}"]
assert run.main() == 0
"""
# Beam loads the clients of clouds where they are installed, and pandas.
_NOT_FOR_A_RUN = (
    *("tensorflow", "keras", "matplotlib", "jinja2", "PIL", "pystac", "pipeline.report.page"),
    *("google.cloud.bigquery", "google.cloud.storage", "pandas", "pymongo"),
)


@pytest.mark.parametrize(
    ("program", "modules"),
    [
        (_MISTAKES, SLOW),
        (_GOOD_RUN, _NOT_FOR_A_RUN),
    ],
    ids=["mistakes", "good run"],
)
def test_nothing_is_loaded_that_is_not_needed(cli: CommandRunner, program: str, modules: tuple[str, ...]) -> None:
    (cli.folder / "wrong.yaml").write_text((cli.folder / "settings.yaml").read_text().replace('"force"', '"forced"'))
    settings = json.loads((cli.folder / "settings.yaml").read_text())
    (cli.folder / "settings.yaml").write_text(json.dumps({**settings, "min_score": 0.5}))
    program = program.replace("{model}", str(cli.model)) + f"print(*sorted(set(sys.modules) & set({modules})))"
    environment = {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
