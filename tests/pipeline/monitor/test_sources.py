"""Sources: STAC APIs, static catalogs at URLs and in buckets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely

from geo.aoi import AreaOfInterest
from geo.errors import InputError
from pipeline.config import load_config
from pipeline.monitor.scenes import TimeLimits, open_source, parse_limits
from tests.pipeline.monitor.conftest import AIRPLANES, MonitorRunner
from tests.pipeline.monitor.stac_api import StacApi, serving_api
from tests.pipeline.stac_files import catalog, item, served, write

CONFIG = load_config()
WORLD = shapely.geometry.mapping(shapely.box(-180, -90, 180, 90))
HERE = AreaOfInterest(shapely.box(9.90, 53.59, 9.92, 53.61))


@pytest.fixture
def api() -> Iterator[StacApi]:
    with serving_api() as api:
        yield api


def api_item(name: str, day: str, href: str, **fields: Any) -> dict[str, Any]:
    content = item(name, "1.0.0", {"visual": {"href": href}}, datetime=f"{day}T10:00:00Z")
    return {**content, "geometry": WORLD, "bbox": [-180, -90, 180, 90], "collection": "daily", **fields}


def test_the_scenes_of_an_api(monitor: MonitorRunner, api: StacApi) -> None:
    api.page_size = 1
    for day in ("2026-01-05", "2026-01-06", "2026-01-07"):
        path = monitor.add_scene(day).with_suffix(".tif")
        path.with_suffix(".json").unlink()
        api.items.append(api_item(f"S-{day}", day, path.as_uri()))
    away = shapely.geometry.mapping(shapely.box(1, 1, 2, 2))
    api.items.append(api_item("away", "2026-01-06", "/nowhere.tif", geometry=away, bbox=[1, 1, 2, 2]))
    status, out, err = monitor.run("--collection", "daily", source=api.url)
    assert (status, err) == (0, [])
    assert out[-1].startswith("airports: 1; scenes processed: 3;")
    assert [visit.detected for visit in monitor.visits()] == [3, 3, 3]
    assert {search["collections"][0] for search in api.searches} == {"daily"}
    # An Item that is published anew is processed anew, in its place.
    api.items[1]["properties"]["updated"] = "2026-02-01T00:00:00Z"
    monitor.add_scene("2026-01-06", AIRPLANES[:1])
    assert monitor.run(source=api.url)[1][-1].startswith("airports: 1; scenes processed: 1;")
    assert [visit.detected for visit in monitor.visits()] == [3, 1, 3]


def test_an_api_that_breaks_down_is_one_line(monitor: MonitorRunner, api: StacApi) -> None:
    api.broken = True
    status, out, err = monitor.run(source=api.url)
    assert (status, out, len(err)) == (1, [], 1)
    assert "expected a STAC API that can be searched" in err[0]
    assert json.loads((monitor.folder / "store" / "heartbeat.json").read_text())["state"] == "failed"


def test_limits_are_passed_on(api: StacApi) -> None:
    api.items = [api_item(f"S{day}", f"2026-01-0{day}", f"/x/{day}.tif") for day in range(1, 8)]
    listed = open_source(api.url, CONFIG, (), parse_limits("2026-01-02", "2026-01-05"))(HERE)
    assert [scene.source.scene_id for scene in listed] == ["S2", "S3", "S4", "S5"]
    assert "datetime" in api.searches[0]
    assert len(open_source(api.url, CONFIG)(HERE)) == 7


def test_an_area_across_the_antimeridian(api: StacApi) -> None:
    east = shapely.geometry.mapping(shapely.box(-180, -10, -179, 10))
    api.items = [api_item("S", "2026-01-01", "/x/a.tif", geometry=east)]
    area = AreaOfInterest(shapely.box(179.99, -0.01, 180.01, 0.01))
    api_search = open_source(api.url, CONFIG)(area)
    assert api.searches[0]["bbox"] == pytest.approx([179.99, -0.01, -179.99, 0.01])
    assert api_search == [] or [scene.source.scene_id for scene in api_search] == ["S"]


def test_static_stac_at_a_url(tmp_path: Path) -> None:
    write(tmp_path / "catalog.json", catalog(("item", "./a.json"), ("item", "./b.json")))
    write(tmp_path / "a.json", item("A", assets={"visual": {"href": "./a.tif"}}))
    far = shapely.geometry.mapping(shapely.box(100, 1, 101, 2))
    write(tmp_path / "b.json", {**item("B", assets={"visual": {"href": "./b.tif"}}), "geometry": far})
    with served(tmp_path) as url:
        listed = open_source(f"{url}/catalog.json", CONFIG)(HERE)
    assert [(scene.source.scene_id, scene.source.uri) for scene in listed] == [("A", f"{url}/a.tif")]


def test_a_page_that_is_no_stac_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>")
    with served(tmp_path) as url, pytest.raises(InputError, match="expected a STAC API or a STAC file, got a page"):
        open_source(f"{url}/index.html", CONFIG)


def test_signed_links_are_no_new_version(api: StacApi) -> None:
    api.items = [api_item("S", "2026-01-01", "https://example.com/a.tif?sig=1")]
    (first,) = open_source(api.url, CONFIG)(HERE)
    api.items = [api_item("S", "2026-01-01", "https://example.com/a.tif?sig=2")]
    (second,) = open_source(api.url, CONFIG)(HERE)
    assert (first.key, first.version) == (second.key, second.version)
    api.items[0]["properties"]["updated"] = "2026-02-01T00:00:00Z"
    (third,) = open_source(api.url, CONFIG)(HERE)
    assert first.key == third.key
    assert first.version != third.version


def test_a_prefix_of_a_bucket_to_a_bucket(monitor: MonitorRunner, bucket: Any) -> None:
    for day in ("2026-01-05", "2026-01-06"):
        monitor.add_scene(day)
    for path in (monitor.folder / "scenes").iterdir():
        bucket.blob(f"in/deep/{path.name}").upload_from_filename(path)
    assert monitor.run()[0] == 0
    status, out, err = monitor.run(source="gs://maps/in", store="gs://maps/out/store")
    assert (status, err) == (0, [])
    assert out[-1].startswith("airports: 1; scenes processed: 2;")
    names = {blob.name.removeprefix("out/store/") for blob in bucket.list_blobs(prefix="out/")}
    local = {Path(name).parent for name in monitor.files()}
    assert {Path(name).parent for name in names if name.endswith(".parquet")} == local - {Path(), Path("state")}
    assert "lock" not in names
    assert json.loads(bucket.blob("out/store/heartbeat.json").download_as_bytes())["exit_status"] == 0
    assert monitor.run(source="gs://maps/in", store="gs://maps/out/store")[1][-1].startswith(
        "airports: 1; scenes processed: 0;"
    )
    # Published anew, and earlier.
    monitor.add_item("2026-01-04", "S-2026-01-05")
    bucket.blob("in/deep/S-2026-01-05.json").upload_from_filename(monitor.folder / "scenes" / "S-2026-01-05.json")
    assert monitor.run(source="gs://maps/in", store="gs://maps/out/store")[1][-1].startswith(
        "airports: 1; scenes processed: 1;"
    )
    days = {blob.name.split("/")[4] for blob in bucket.list_blobs(prefix="out/store/visits/")}
    assert days == {"day=2026-01-04", "day=2026-01-06"}


def test_an_empty_prefix_is_refused(bucket: Any) -> None:
    with pytest.raises(InputError, match="expected a prefix with rasters or STAC files, got none"):
        open_source("gs://maps/none", CONFIG, (), TimeLimits())
