"""The command from scenes to tables: what is new, what is seen, and that nothing doubles."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine

from pipeline import local
from pipeline.monitor import store
from pipeline.monitor.scenes import cloud_mask, parse_limits
from pipeline.records import PROPERTIES
from tests.pipeline.monitor.conftest import AIRPLANES, MonitorRunner
from tests.pipeline.scenes import write_damaged_scene, write_scene
from tests.pipeline.stac_files import item


def test_scenes_become_visits(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.add_scene("2026-01-06", AIRPLANES[:1])
    monitor.add_scene("2026-01-07", ())
    status, out, err = monitor.run()
    assert (status, err) == (0, [])
    assert (
        out[0]
        == "TST 2026-01-05T10:00:00Z: 2.8 airplanes (2 to 3) in 100 % of the airport, cloud unknown; " + UNCHANGED
    )
    assert out[-1] == "airports: 1; scenes processed: 3; failed or incomplete: 0"
    first, second, third = monitor.visits()
    assert (first.detected, second.detected, third.detected) == (3, 1, 0)
    assert (third.count, third.count_low, third.count_high) == (0.0, 0, 1)  # one may be missed
    assert {visit.share_seen for visit in (first, second, third)} == {1.0}
    assert first.enough_seen
    assert sum(row.detected for row in monitor.counts() if row.visit_id == first.visit_id) == 3


def test_a_second_run_changes_nothing(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.run()
    before = monitor.files()
    assert monitor.run()[:2] == (0, ["airports: 1; scenes processed: 0; failed or incomplete: 0"])
    assert monitor.files() == before


def test_late_and_reprocessed_scenes_give_the_tables_of_scenes_in_time(monitor: MonitorRunner) -> None:
    days = ["2026-01-05", "2026-01-06", "2026-01-07"]
    for day in (days[0], days[2], days[1]):
        monitor.add_scene(day, AIRPLANES[:2] if day == days[0] else AIRPLANES)
        assert monitor.run()[0] == 0
    monitor.add_scene(days[0], AIRPLANES)  # the provider corrects its scene
    monitor.add_item(days[0], f"S-{days[0]}", updated="2026-02-01T00:00:00Z")
    assert monitor.run()[1][-1].startswith("airports: 1; scenes processed: 1;")
    by_steps = monitor.tables()
    shutil.rmtree("store")
    monitor.run()
    assert monitor.tables() == by_steps
    assert [visit.detected for visit in monitor.visits()] == [3, 3, 3]


def test_a_corrected_time_moves_a_scene(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.run()
    monitor.add_item("2026-01-04", "S-2026-01-05")
    monitor.run()
    assert [visit.day for visit in monitor.visits()] == ["2026-01-04"]
    assert not [name for name in monitor.files() if "2026-01-05" in name]


def test_what_is_not_seen_is_not_zero(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05", nodata_right_of=150)
    monitor.run()
    (visit,) = monitor.visits()
    assert visit.detected == 2
    assert visit.share_seen == pytest.approx(0.42, abs=0.05)
    assert not visit.enough_seen


def test_a_cloud_mask_hides_ground_and_airplanes(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    _write_mask(monitor.folder / "scenes" / "cloud.tif", right_of=82)
    path = monitor.folder / "scenes" / "S-2026-01-05.json"
    content = json.loads(path.read_text())
    content["assets"]["mask"] = {"href": "./cloud.tif", "roles": ["cloud"], "classification:classes": CLASSES}
    path.write_text(json.dumps(content))
    assert monitor.run()[0] == 0  # and the mask is no scene of its own
    (visit,) = monitor.visits()
    assert (visit.detected, visit.in_cloud, visit.cloud_known) == (2, 1, True)
    assert visit.share_seen == pytest.approx(0.5, abs=0.05)
    assert visit.share_cloud == pytest.approx(0.5, abs=0.05)


UNCHANGED = "0 arrived, 0 left, 0 stayed, 0 moved"
CLASSES = [{"value": 1, "name": "clear"}, {"value": 2, "name": "cloud"}, {"value": 3, "name": "cloud_shadow"}]


def _write_mask(path: Path, right_of: float) -> None:
    """A mask of 1 m on the ground of the scenes, 2 (cloud) from some metres on, 3 and 1 before."""
    codes = np.full((205, 165), 1, np.uint8)
    codes[:100, :20] = 3
    codes[:, int(right_of) :] = 2
    place = {"crs": "EPSG:32632", "transform": Affine(1, 0, 560_000, 0, -1, 5_940_000)}
    with rasterio.open(path, "w", "GTiff", 165, 205, 1, dtype="uint8", **place) as dataset:
        dataset.write(codes, 1)


@pytest.mark.parametrize(
    ("assets", "values", "band"),
    [
        ({"x": {"href": "a.tif", "roles": ["cloud"]}}, None, 1),
        ({"x": {"href": "a.tif", "roles": ["cloud"], "classification:classes": CLASSES}}, (2,), 1),
        ({"x": {"href": "a.tif", "roles": ["cloud"], "bands": [{"classification:classes": CLASSES}]}}, (2,), 1),
        ({"udm2": {"href": "a.tif"}}, (1,), 6),
    ],
)
def test_cloud_masks_are_understood(
    assets: dict[str, dict[str, object]], values: tuple[int, ...] | None, band: int
) -> None:
    import pystac

    mask = cloud_mask(pystac.Item.from_dict(item(assets=assets)), "/data/x.json")
    assert mask is not None
    assert (mask.values, mask.band, mask.uri) == (values, band, "/data/a.tif")
    assert cloud_mask(pystac.Item.from_dict(item()), "x.json") is None


def test_scenes_of_one_pass_are_one_visit(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05", name="west", nodata_right_of=170)
    monitor.add_scene("2026-01-05", name="all", resolution=0.5)
    monitor.run()
    (visit,) = monitor.visits()
    assert (visit.scenes, visit.detected, visit.share_seen) == (2, 3, 1.0)


def test_a_bad_scene_stops_no_other_and_is_tried_again(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    path = monitor.add_scene("2026-01-06").with_suffix(".tif")
    good = path.read_bytes()
    path.write_bytes(b"no raster")
    status, out, err = monitor.run()
    assert status == 1
    assert len(err) == 1
    assert err[0].startswith("failed: scenes/S-2026-01-06.tif: expected a raster")
    assert out[-1] == "airports: 1; scenes processed: 1; failed or incomplete: 1"
    path.write_bytes(good)
    assert monitor.run()[0] == 0
    assert [visit.detected for visit in monitor.visits()] == [3, 3]


def test_a_damaged_part_is_not_seen(monitor: MonitorRunner) -> None:
    write_damaged_scene(monitor.folder / "scenes" / "S.tif")
    monitor.add_item("2026-01-05", "S")
    assert monitor.run()[0] == 1
    (scene,) = monitor.scenes()
    assert scene.status == "incomplete"
    assert 0.1 < scene.share_seen < 0.9
    assert monitor.run()[1][-1].startswith("airports: 1; scenes processed: 1;")  # tried again


def test_a_scene_without_a_time_is_refused(monitor: MonitorRunner) -> None:
    write_scene(monitor.folder / "scenes" / "a.tif")
    status, _, err = monitor.run()
    assert status == 1
    assert "expected a scene that says when it was acquired" in err[0]
    (monitor.folder / "scenes" / "a.tif").rename(monitor.folder / "scenes" / "20260105.tif")
    settings = json.loads((monitor.folder / "settings.yaml").read_text())
    settings["acquired_in_name"] = r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    (monitor.folder / "settings.yaml").write_text(json.dumps(settings))
    assert monitor.run()[0] == 0
    assert [visit.day for visit in monitor.visits()] == ["2026-01-05"]


def test_a_scene_elsewhere_is_opened_once(monitor: MonitorRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scene(monitor.folder / "scenes" / "a.tif", transform=Affine(0.5, 0, 600_000, 0, -0.5, 5_940_000))
    monitor.add_item("2026-01-05", "a")
    assert monitor.run()[1][-1] == "airports: 1; scenes processed: 0; failed or incomplete: 0"
    assert monitor.visits() == []
    monkeypatch.setattr(local, "detect_scene", None)
    assert monitor.run()[0] == 0


def test_the_area_of_an_airport_can_change(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.run()
    text = (monitor.folder / "airports.yaml").read_text()
    (monitor.folder / "airports.yaml").write_text(text.replace("radius_m: 80", "radius_m: 20"))
    assert monitor.run()[1][-1].startswith("airports: 1; scenes processed: 1;")
    assert [visit.detected for visit in monitor.visits()] == [0]


def test_another_model_is_noticed(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.run()
    settings = json.loads((monitor.folder / "settings.yaml").read_text())
    (monitor.folder / "settings.yaml").write_text(json.dumps(settings | {"min_score": 0.95}))
    _, out, _ = monitor.run()
    assert out[-1].startswith("stored scenes processed with another model or other settings: 1;")
    _, out, _ = monitor.run("--reprocess")
    assert out[-1].startswith("airports: 1; scenes processed: 1;")
    assert [visit.detected for visit in monitor.visits()] == [1]


def test_limits_of_time(monitor: MonitorRunner) -> None:
    for day in ("2026-01-04", "2026-01-05", "2026-01-06"):
        monitor.add_scene(day)
    monitor.run("--since", "2026-01-05", "--until", "2026-01-05")
    assert [visit.day for visit in monitor.visits()] == ["2026-01-05"]
    assert parse_limits("2026-01-05T00:00:00+02:00", None).include("2026-01-04T22:00:00Z")


def test_beam_gives_the_same_tables(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.add_scene("2026-01-06", AIRPLANES[:1])
    (monitor.folder / "scenes" / "c.tif").write_bytes(b"no raster")
    monitor.add_item("2026-01-07", "c")
    assert monitor.run()[0] == 1
    expected = monitor.files()
    shutil.rmtree("store")
    assert monitor.run("--runner", "DirectRunner")[0] == 1
    assert monitor.files() == expected


def test_the_store_is_geoparquet_by_airport_and_day(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.run()
    (path,) = (monitor.folder / "store" / "detections").rglob("*.parquet")
    assert path.parent.relative_to(monitor.folder) == Path("store/detections/airport=TST/day=2026-01-05")
    frame = geopandas.read_parquet(path)
    assert list(frame.columns)[:4] == ["airport", "day", "scene_key", "version"]
    assert set(PROPERTIES) < set(frame.columns)
    assert frame.crs.to_string() == "OGC:CRS84"


def test_remains_of_a_killed_run_are_removed(monitor: MonitorRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor.add_scene("2026-01-05")
    monitor.add_scene("2026-01-06")
    monitor.run()
    expected = monitor.files()
    shutil.rmtree("store")
    write = store.Store._write
    for fatal in range(1, 10):
        # Every write in turn is the last one of a run.
        writes = iter(range(1, 100))

        def killed(self: store.Store, path: str, frame: object, last: int = fatal) -> None:
            write(self, path, frame)
            if next(writes) == last:  # noqa: B023
                raise KeyboardInterrupt

        monkeypatch.setattr(store.Store, "_write", killed)
        if monitor.run()[0] == 0:
            break
    assert fatal > 3
    monkeypatch.setattr(store.Store, "_write", write)
    assert monitor.run()[0] == 0
    assert monitor.files() == expected


@pytest.mark.parametrize(
    ("args", "source", "message"),
    [
        (("--sice", "2026"), "scenes", "expected an option, got --sice: did you mean --since?"),
        (("x.tif",), "scenes", "expected options, got x.tif"),
        (("--since", "yesterday"), "scenes", "expected a time such as"),
        ((), "nowhere", "nowhere: expected a raster file"),
        (("--collection", "x"), "scenes", "expected a STAC API for --collection"),
        (("--model", "nosuch"), "scenes", "nosuch"),
        (("--config", "nosuch.yaml"), "scenes", "nosuch.yaml"),
    ],
)
def test_a_wrong_command_is_refused(monitor: MonitorRunner, args: tuple[str, ...], source: str, message: str) -> None:
    monitor.add_scene("2026-01-05")
    status, out, err = monitor.run(*args, source=source)
    assert (status, out, len(err)) == (2, [], 1)
    assert message in err[0]
    assert not (monitor.folder / "store").exists()


def test_help_is_fast() -> None:
    program = "import sys; from pipeline.monitor.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    slow = "print([name for name in ('rasterio', 'geopandas', 'apache_beam', 'pystac') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program + slow], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_rows_survive_the_store(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.run()
    (scene,) = monitor.scenes()
    monitor.run("--reprocess")
    assert [dataclasses.astuple(scene)] == [dataclasses.astuple(row) for row in monitor.scenes()]


def test_a_file_of_an_earlier_version_may_lack_a_column(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    monitor.run()
    (path,) = Path("store/detections").rglob("*.parquet")
    geopandas.read_parquet(path).drop(columns="length_sd_m").to_parquet(path)
    monitor.add_scene("2026-01-06")
    assert monitor.run()[0] == 0
    opened = store.Store("store")
    read = opened.detections(opened.scenes())
    assert [len(airplanes) for airplanes in read.values()] == [3, 3]
    assert {airplane.length_sd_m for airplanes in read.values() for airplane in airplanes} == {None}
