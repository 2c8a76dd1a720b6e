"""What the page asks for: tiles, crops, results, another map."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from geo.errors import CommandError
from pipeline.serve.app import Service
from pipeline.serve.imagery import MapTiles
from pipeline.serve.requests import RequestError
from pipeline.sinks.files import read_file
from tests.geo.raster.test_map_tiles import ZOOM, tile_of
from tests.pipeline.scenes import AIRPLANES
from tests.pipeline.serve.conftest import client_of
from tests.pipeline.serve.test_detect import detect, results
from tests.pipeline.serve.test_predict import error_of
from tests.pipeline.serve.xyz_server import serving_map


def test_the_page_and_the_description_of_the_interface_need_nothing_else(client: TestClient) -> None:
    for path in ("/", "/docs"):
        html = client.get(path).text
        assert "Content-Security-Policy" in html
        assert "//cdn" not in html
    assert "/v1/models/{name}:predict" in client.get("/docs").text
    assert "/detect" in client.get("/openapi.json").json()["paths"]


def test_tiles_of_named_scenes_and_no_others(client: TestClient) -> None:
    west, south, east, north = client.get("/scenes/a").json()["bounds"]
    x, y = tile_of((west + east) / 2, (south + north) / 2)
    answer = client.get(f"/scenes/a/tiles/{ZOOM}/{int(x)}/{int(y)}.webp")
    assert answer.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(answer.content)).size == (256, 256)
    around = client.get(f"/scenes/a/tiles/{ZOOM}/{int(x) + 2**ZOOM}/{int(y)}.webp")
    assert around.content == answer.content
    empty = client.get(f"/scenes/a/tiles/{ZOOM}/0/0.webp")
    assert np.asarray(Image.open(io.BytesIO(empty.content)).convert("RGBA"))[..., 3].max() == 0
    for path, status in (
        ("secret/tiles/0/0/0", 404),
        ("a/tiles/99/0/0", 404),
        ("a/tiles/1/0/7", 404),
        ("c/tiles/0/0/0", 422),
    ):
        answer = client.get(f"/scenes/{path}.webp")
        assert answer.status_code == status
        assert error_of(answer)
    assert client.get("/scenes/a/tilejson.json").json()["bounds"] == [west, south, east, north]


def test_a_crop_shows_its_airplane(client: TestClient) -> None:
    info = detect(client, scene="a", min_score=0.5)
    feature = results(client, info)[0]["properties"]
    box = ",".join(str(feature[side]) for side in ("xmin_px", "ymin_px", "xmax_px", "ymax_px"))
    answer = client.get(f"/jobs/{info['jobID']}/crop", params={"box": box})
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))
    middle = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]
    assert middle > 200 > 100 > pixels[0, 0]
    for wrong in ("1,2", "a,b,c,d", "nan,0,1,1", "5,5,5,5", "9000,9000,9010,9010"):
        answer = client.get(f"/jobs/{info['jobID']}/crop", params={"box": wrong})
        assert answer.status_code == 400, wrong
        assert error_of(answer)


def test_results_as_geopackage_and_as_report(client: TestClient, tmp_path: Path) -> None:
    info = detect(client, scene="a", min_score=0.5)
    path = f"/jobs/{info['jobID']}/results"
    (tmp_path / "x.gpkg").write_bytes(client.get(path, params={"format": "gpkg", "min_score": 0.9}).content)
    expected = {feature["id"] for feature in results(client, info, min_score=0.9)}
    assert {airplane.detection_id for airplane in read_file(str(tmp_path / "x.gpkg"))} == expected
    assert 0 < len(expected) < len(AIRPLANES)
    report = client.get(path, params={"format": "report"}).text
    assert f'<dd id="total">{len(AIRPLANES)}</dd>' in report
    assert client.get(path, params={"format": "shapefile"}).status_code == 400


def test_a_job_on_another_map_finds_its_airplanes_where_they_are(service: Service) -> None:
    positions = [(9.97, 53.61), (9.9712, 53.6093)]
    with serving_map(positions, zoom=17) as template:
        tiles = MapTiles(template, 17)
        with client_of(dataclasses.replace(service, map_tiles=tiles)) as client:
            assert client.get("/map/17/3/5").headers["content-type"] == "image/png"
            assert client.get("/map/18/3/5").headers["content-type"] == "image/webp"
            info = detect(client, scene="map", bounds=[9.969, 53.608, 9.973, 53.6105], min_score=0.5)
            assert info["status"] == "successful", info
            features = results(client, info)
            crop = client.get(f"/jobs/{info['jobID']}/crop", params={"box": "10,10,40,40"})
            assert crop.status_code == 200
            for bounds in ([0, 0, 60, 60], [1, 2, 3], "x", [9, 53, 8, 54], [float(190), 0, 191, 1]):
                answer = client.post("/detect", json={"scene": "map", "bounds": bounds})
                assert answer.status_code == 400
                assert error_of(answer).startswith("bounds: ")
    centres = sorted(tuple(np.mean(feature["geometry"]["coordinates"][0][:4], axis=0)) for feature in features)
    assert np.allclose(centres, positions, atol=1e-5)
    assert {feature["properties"]["scene_uri"] for feature in features} == {template}


def test_a_map_that_does_not_answer_fails_the_job_and_not_the_page(service: Service) -> None:
    tiles = MapTiles("http://127.0.0.1:9/{z}/{x}/{y}", 17)
    with client_of(dataclasses.replace(service, map_tiles=tiles)) as client:
        assert client.get("/map/1/0/0").status_code == 200
        info = detect(client, scene="map", bounds=[9.969, 53.608, 9.973, 53.6105])
    assert info["status"] == "failed"
    assert "no answer" in info["message"]


@pytest.mark.parametrize("template", ["https://host/{z}/{x}", "ftp://host/{z}/{x}/{y}", "https://host/{z}/{x}/{y}/{s}"])
def test_templates_are_checked(template: str) -> None:
    with pytest.raises(CommandError, match="--tiles"):
        MapTiles(template, 18)
    with pytest.raises(RequestError):
        MapTiles("https://host/{z}/{x}/{y}", 18).get(19, 0, 0)
