"""The command on inputs of several kinds: mosaics, duplicates, STAC, and acquisition times."""

import json
import shutil
from pathlib import Path

import rasterio

from pipeline.sinks.files import read_geojson
from tests.geo.range_server import serving
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.scenes import AIRPLANES, SIZE, write_damaged_scene, write_scene
from tests.pipeline.stac_files import ACQUIRED_AT, asset, catalog, item, items, write


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
