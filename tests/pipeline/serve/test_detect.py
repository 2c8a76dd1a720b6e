"""`POST /detect` and its jobs."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pipeline import local, records
from pipeline.serve import addresses
from pipeline.serve.app import Service
from pipeline.serve.scenes import catalog_of
from pipeline.values import SceneSource
from tests.geo.range_server import serving
from tests.pipeline.scenes import AIRPLANES, CONFIG, write_scene
from tests.pipeline.serve.conftest import Gate, client_of, finished
from tests.pipeline.serve.test_predict import error_of


def detect(client: TestClient, **request: Any) -> dict[str, Any]:
    answer = client.post("/detect", json=request)
    assert answer.status_code == 202, answer.text
    return finished(client, answer.headers["Location"])


def results(client: TestClient, info: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/jobs/{info['jobID']}/results", params=query)
    assert answer.headers["content-type"] == "application/geo+json"
    features: list[dict[str, Any]] = answer.json()["features"]
    return features


def test_a_served_scene_gives_what_the_main_job_gives(client: TestClient, service: Service) -> None:
    info = detect(client, scene="a", min_score=0.5)
    assert (info["status"], info["progress"], info["scene_status"]) == ("successful", 100, "complete")
    predictor, config, identity = service.models.get(None).detector(0.5)
    (expected,) = local.detect_scenes([service.scenes.get("a").source], config, predictor, identity)
    assert [records.from_feature(feature) for feature in results(client, info)] == list(expected.airplanes)
    assert len(expected.airplanes) == len(AIRPLANES)
    assert info["airplanes"] == len(AIRPLANES)


def test_the_threshold_is_the_models_or_that_of_the_request(client: TestClient) -> None:
    assert detect(client, scene="a")["airplanes"] == sum(level >= 0.85 * 255 for *_, level in AIRPLANES)
    info = detect(client, scene="a", min_score=0.9)
    assert info["airplanes"] == sum(level >= 0.9 * 255 for *_, level in AIRPLANES)
    assert len(results(client, info, min_score=0.95)) == 1


def test_an_area_limits_the_job(client: TestClient) -> None:
    (airplane, *_) = results(client, detect(client, scene="a", min_score=0.5))
    info = detect(client, scene="a", min_score=0.5, aoi=airplane["geometry"])
    assert [feature["id"] for feature in results(client, info)] == [airplane["id"]]
    assert info["tiles_planned"] < 10


def test_progress_names_each_tile_with_its_ground_and_its_airplanes(client: TestClient) -> None:
    info = detect(client, scene="a", min_score=0.5)
    tiles = client.get(f"/jobs/{info['jobID']}/tiles").json()["tiles"]
    assert len(tiles) == info["tiles_planned"]
    west, south, east, north = client.get("/scenes/a").json()["bounds"]
    for tile in tiles:
        assert all(
            west - 1e-6 <= lon <= east + 1e-6 and south - 1e-6 <= lat <= north + 1e-6 for lon, lat in tile["ring"]
        )
    assert sum(len(tile["airplanes"]) for tile in tiles) >= len(AIRPLANES)
    rest = client.get(f"/jobs/{info['jobID']}/tiles", params={"start": len(tiles) - 1}).json()["tiles"]
    assert rest == tiles[-1:]


def test_tiles_are_told_as_they_are_done(service: Service, gate: Gate) -> None:
    with client_of(service) as client:
        gate.close()
        location = client.post("/detect", json={"scene": "a", "min_score": 0.5}).headers["Location"]
        for batches in (1, 3):
            gate.let_pass(batches)
            while len((answer := client.get(f"{location}/tiles").json())["tiles"]) < batches:
                assert answer["job"]["status"] in ("accepted", "running")
        info = client.get(location).json()
        assert info["status"] == "running"
        assert 0 < info["progress"] < 100
        gate.open()
        assert finished(client, location)["status"] == "successful"


def test_a_geotiff_can_be_sent(client: TestClient, service: Service) -> None:
    content = Path(service.scenes.get("a").source.uri).read_bytes()
    answer = client.post("/detect", params={"min_score": 0.5}, content=content, headers={"content-type": "image/tiff"})
    info = finished(client, answer.headers["Location"])
    sent = results(client, info)
    served = results(client, detect(client, scene="a", min_score=0.5))
    assert [feature["id"] for feature in sent] == [feature["id"] for feature in served]
    assert {feature["properties"]["scene_uri"] for feature in sent} == {"the uploaded scene"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected a GeoTIFF"),
        (b'<VRTDataset rasterXSize="1" rasterYSize="1"/>', "expected a GeoTIFF"),
        (b"\x89PNG\r\n\x1a\n", "expected a GeoTIFF"),
        (b"II*\x00" + bytes(300_000), "at most"),
    ],
)
def test_other_bodies_are_refused_at_once(client: TestClient, content: bytes, expected: str) -> None:
    answer = client.post("/detect", content=content, headers={"content-type": "image/tiff"})
    assert 400 <= answer.status_code < 500
    assert expected in error_of(answer)


def test_a_damaged_or_large_geotiff_fails_its_job_without_naming_a_path(client: TestClient, tmp_path: Path) -> None:
    large = write_scene(tmp_path / "large.tif", [], size=(1200, 1000), compress="deflate").read_bytes()
    for content, expected in ((b"II*\x00" + bytes(1000), "expected a raster"), (large, "at most 1 Mpx")):
        answer = client.post("/detect", content=content, headers={"content-type": "image/tiff"})
        info = finished(client, answer.headers["Location"])
        assert info["status"] == "failed"
        assert expected in info["message"]
        assert "/tmp" not in info["message"]  # noqa: S108
        assert client.get(f"/jobs/{info['jobID']}/results").status_code == 409


@pytest.mark.parametrize(
    "request_body",
    [
        {"scene": "secret"},
        {"scene": "../secret.tif"},
        {"scene": "/etc/passwd"},
        {"scene": "scenes/../secret.tif"},
        {"scene": "/vsizip/a.zip/a.tif"},
        {"scene": ""},
        {},
        {"scene": ["a"]},
    ],
)
def test_only_named_scenes_can_be_read(client: TestClient, request_body: dict[str, Any]) -> None:
    answer = client.post("/detect", json=request_body)
    assert answer.status_code in (400, 404)
    assert "scene" in error_of(answer)


@pytest.mark.parametrize(
    "options",
    [
        {"min_score": 2},
        {"min_score": "x"},
        {"min_score": True},
        {"min_score": float("inf")},
        {"aoi": 3},
        {"aoi": {"type": "Point", "coordinates": [9, 53]}},
        {"aoi": {"type": "Polygon", "coordinates": [[[0, 0], [1e9, 0], [1, 1], [0, 0]]]}},
        {"aoi": {"type": "Polygon", "coordinates": "x"}},
        {"model": "other"},
        {"model": 3},
        {"colour": "red"},
    ],
    ids=str,
)
def test_wrong_options_are_refused(client: TestClient, options: dict[str, Any]) -> None:
    answer = client.post(
        "/detect", content=json.dumps({"scene": "a", **options}), headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 404)
    assert error_of(answer)


def test_a_scene_that_cannot_be_read_fails_and_the_next_job_runs(client: TestClient) -> None:
    info = detect(client, scene="c")
    assert info["status"] == "failed"
    assert "expected a raster" in info["message"]
    assert detect(client, scene="b", min_score=0.5)["airplanes"] == 1
    assert "expected a raster" in client.get("/scenes/c").json()["error"]


def test_the_queue_has_a_bound_and_a_waiting_job_can_be_dismissed(service: Service, gate: Gate) -> None:
    with client_of(service) as client:
        gate.close()
        locations = []
        while (answer := client.post("/detect", json={"scene": "a"})).status_code == 202:
            locations.append(answer.headers["Location"])
            if len(locations) == 1:
                while client.get(locations[0]).json()["status"] != "running":
                    pass
        assert len(locations) == 3
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
        assert client.delete(locations[1]).status_code == 200
        gate.open()
        states = [finished(client, location)["status"] for location in locations]
    assert states == ["successful", "dismissed", "successful"]


def test_jobs_that_wait_are_lost_when_the_service_stops_and_named(service: Service, gate: Gate) -> None:
    gate.close()
    with client_of(service) as client:
        jobs = [client.post("/detect", json={"scene": "a"}).json()["jobID"] for _ in range(2)]
        while client.get(f"/jobs/{jobs[0]}").json()["status"] != "running":
            pass
        gate.open()
        # The end of the block stops the service.
    assert [job.id for job in service.jobs.all() if job.status == "dismissed"] == jobs[1:]
    assert service.jobs.get(jobs[0]).status == "successful"


def test_addresses_are_off(client: TestClient) -> None:
    answer = client.post("/detect", json={"scene": "https://example.org/a.tif"})
    assert answer.status_code == 403
    assert "--allow-remote" in error_of(answer)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1/a.tif", "http://10.0.0.1/a.tif", "gs://bucket/a.tif", "x://\ud800"]
)
def test_private_hosts_and_other_schemes_stay_closed(service: Service, address: str) -> None:
    with client_of(dataclasses.replace(service, allow_remote=True)) as client:
        content = json.dumps({"scene": address})
        answer = client.post("/detect", content=content, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 403)
        assert error_of(answer)


def test_a_public_address_is_fetched_whole(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    with serving() as server, client_of(dataclasses.replace(service, allow_remote=True)) as client:
        server.files["/scene.tif"] = Path(service.scenes.get("a").source.uri)
        address = f"{server.address}/scene.tif"
        info = detect(client, scene=address, min_score=0.5)
        assert info["airplanes"] == len(AIRPLANES), info
        assert {feature["properties"]["scene_uri"] for feature in results(client, info)} == {address}
        missing = detect(client, scene=f"{server.address}/none.tif")
        assert "404" in missing["message"]


def test_ids_of_scenes_are_unique_and_fit_for_addresses() -> None:
    sources = [
        SceneSource("x/ä b.tif"),
        SceneSource("y/ä b.tif"),
        SceneSource("https://h/c.tif?key=1", scene_id="../i"),
    ]
    assert list(catalog_of(sources, CONFIG).scenes) == ["b", "b-2", "i"]


def test_other_pages_cannot_use_the_service(client: TestClient) -> None:
    for origin, status in (("http://evil.example", 403), ("null", 403), ("http://testserver", 202)):
        assert client.post("/detect", json={"scene": "a"}, headers={"Origin": origin}).status_code == status


def test_other_names_of_this_host_are_refused_if_names_are_given(service: Service) -> None:
    with client_of(dataclasses.replace(service, hosts=("testserver",))) as client:
        assert client.get("/healthz", headers={"Host": "rebound.example:8000"}).status_code == 403
        assert client.get("/healthz", headers={"Host": "testserver:8000"}).status_code == 200
