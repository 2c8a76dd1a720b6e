"""Reviews: what is stored, what two reviewers see, and what a training reads."""

import dataclasses
import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import OutputError
from model.data.sources import read_annotated_images
from pipeline.serve.app import Service
from pipeline.serve.review import FILE_NAME, LAYER, Rate, ReviewStore
from tests.pipeline.serve.conftest import client_of
from tests.pipeline.serve.test_detect import detect, results
from tests.pipeline.serve.test_predict import error_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "review"


@pytest.fixture
def reviewed(service: Service, folder: Path) -> Iterator[TestClient]:
    with client_of(dataclasses.replace(service, review=ReviewStore(folder))) as client:
        yield client


def act(client: TestClient, action: str, status: int = 200, reviewer: str = "anna", **more: Any) -> dict[str, Any]:
    answer = client.post("/review/actions", json={"scene": "a", "action": action, "reviewer": reviewer, **more})
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def items(client: TestClient) -> dict[str, dict[str, Any]]:
    listed = client.get("/review/items", params={"scene": "a"}).json()["items"]
    return {item["item"]: item for item in listed}


def detections(client: TestClient) -> list[dict[str, Any]]:
    """What the page sends of each detection of the scene `a`, by falling score."""
    sides = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
    facts = [feature["properties"] for feature in results(client, detect(client, scene="a", min_score=0.5))]
    return [
        {
            "item": each["detection_id"],
            "box": [each[side] for side in sides],
            "score": each["score"],
            "model": each["model"],
        }
        for each in facts
    ]


def corners(client: TestClient, box: tuple[float, float, float, float]) -> list[list[float]]:
    """A box of scene pixels as the map has it, lon/lat, by the bounds of the scene; good to a few pixels."""
    west, south, east, north = client.get("/scenes/a").json()["bounds"]
    x = [west + side / 330 * (east - west) for side in (box[0], box[2])]
    y = [north - side / 410 * (north - south) for side in (box[1], box[3])]
    return [[x[0], y[0]], [x[1], y[1]]]


MIDDLE = (160.0, 200.0, 170.0, 210.0)


def test_a_verdict_is_stored_at_once_where_any_gis_reads_it(reviewed: TestClient, folder: Path) -> None:
    first, second, *_ = detections(reviewed)
    act(reviewed, "right", **first)
    act(reviewed, "wrong", **second)
    frame = geopandas.read_file(folder / FILE_NAME, layer=LAYER)
    assert frame.action.tolist() == ["right", "wrong"]
    assert frame.item.tolist() == [first["item"], second["item"]]
    assert frame[["xmin_px", "ymin_px", "xmax_px", "ymax_px"]].to_numpy().tolist() == [first["box"], second["box"]]
    assert frame.geometry.iloc[0].area > 0
    west, south, east, north = reviewed.get("/scenes/a").json()["bounds"]
    assert west < frame.geometry.iloc[0].centroid.x < east
    assert south < frame.geometry.iloc[0].centroid.y < north


def test_boxes_are_put_on_the_ground_as_a_verdict_would_store_them(reviewed: TestClient) -> None:
    boxes = [each["box"] for each in detections(reviewed)]
    answer = reviewed.post("/review/boxes", json={"scene": "a", "boxes": boxes})
    stored = [act(reviewed, "right", **each)["geometry"] for each in detections(reviewed)]
    assert [item["coordinates"] for item in answer.json()["geometries"]] == json.loads(
        json.dumps([geometry["coordinates"] for geometry in stored])
    )
    for wrong in ({"scene": "a"}, {"scene": "a", "boxes": [[1, 2, 3]]}, {"scene": "a", "boxes": [[1, 2, "x", 4]]}):
        assert reviewed.post("/review/boxes", json=wrong).status_code == 400


def test_the_last_action_of_an_item_is_its_state_after_a_restart(service: Service, folder: Path) -> None:
    with client_of(dataclasses.replace(service, review=ReviewStore(folder))) as client:
        first, second, *_ = detections(client)
        version = act(client, "right", **first)["version"]
        moved = first | {"box": [21, 31, 45, 50]}
        act(client, "change", **moved, version=version)
        act(client, "wrong", **second)
    store = ReviewStore(folder)
    states = {item.item: (item.verdict, item.box) for item in store.items("a")}
    assert states[first["item"]] == ("right", (21.0, 31.0, 45.0, 50.0))
    assert states[second["item"]][0] == "wrong"
    store.close()


def test_a_killed_process_loses_nothing_and_a_half_written_row_is_none(reviewed: TestClient, folder: Path) -> None:
    first, *_ = detections(reviewed)
    act(reviewed, "right", **first)
    # As another process sees the file while the service runs, or after it was killed.
    with sqlite3.connect(folder / FILE_NAME) as other:
        assert other.execute("SELECT count(*) FROM reviews").fetchone() == (1,)


def test_two_reviewers_do_not_overwrite_each_other(reviewed: TestClient) -> None:
    first, *_ = detections(reviewed)
    version = act(reviewed, "right", **first)["version"]
    late = reviewed.post(
        "/review/actions", json={"scene": "a", "action": "wrong", "reviewer": "ben", "version": 0, **first}
    )
    assert late.status_code == 409
    assert "anna was faster" in error_of(late)
    assert items(reviewed)[first["item"]]["verdict"] == "right"
    act(reviewed, "wrong", reviewer="ben", **first, version=version)
    assert items(reviewed)[first["item"]]["reviewer"] == "ben"
    assert "another's" in act(reviewed, "undo", status=409)["error"]


def test_undo_goes_back_step_by_step(reviewed: TestClient) -> None:
    first, second, *_ = detections(reviewed)
    version = act(reviewed, "right", **first)["version"]
    act(reviewed, "change", **(first | {"box": [21, 31, 45, 50]}), version=version)
    act(reviewed, "wrong", **second)
    act(reviewed, "undo")
    assert items(reviewed)[second["item"]]["verdict"] == "none"
    act(reviewed, "undo")
    state = items(reviewed)[first["item"]]
    assert (state["verdict"], state["box"]) == ("right", first["box"])
    act(reviewed, "undo")
    assert items(reviewed)[first["item"]]["verdict"] == "none"
    assert "got none" in act(reviewed, "undo", status=409)["error"]
    act(reviewed, "wrong", **first, version=items(reviewed)[first["item"]]["version"])
    assert items(reviewed)[first["item"]]["verdict"] == "wrong"


def test_a_drawn_box_lies_where_it_was_drawn(reviewed: TestClient) -> None:
    added = act(reviewed, "add", lonlat=corners(reviewed, (100, 100, 140, 130)))
    assert np.allclose(added["box"], [100, 100, 140, 130], atol=6)
    assert added["score"] is None
    act(reviewed, "remove", item=added["item"], box=added["box"], version=added["version"])
    assert items(reviewed)[added["item"]]["verdict"] == "wrong"


def rates(client: TestClient, **query: float) -> list[dict[str, Any]]:
    models: list[dict[str, Any]] = client.get("/review/rates", params=query).json()["models"]
    return models


def test_rates_count_what_was_reviewed(reviewed: TestClient) -> None:
    detected = detections(reviewed)
    for each in detected[:3]:
        act(reviewed, "right", **each)
    act(reviewed, "wrong", **detected[3])
    (own,) = rates(reviewed)
    assert own["model"] == detected[0]["model"]
    assert (own["all"]["precision"]["hits"], own["all"]["precision"]["total"]) == (3, 4)
    assert own["all"]["recall"]["value"] is None
    act(reviewed, "add", lonlat=corners(reviewed, (100, 100, 140, 130)))
    tile = act(reviewed, "check", lonlat=corners(reviewed, MIDDLE)[0])
    assert rates(reviewed)[0]["all"]["recall"]["value"] is None  # a tile that was labelled without a model
    checked = {"lonlat": corners(reviewed, MIDDLE)[0], "version": tile["version"], "model": detected[0]["model"]}
    act(reviewed, "check", **checked)
    (own,) = rates(reviewed)
    recall = own["all"]["recall"]
    assert (recall["hits"], recall["total"], own["all"]["checked_tiles"]) == (3, 4, 1)
    assert own["scenes"] == {"a": own["all"]}
    (higher,) = rates(reviewed, min_score=detected[0]["score"])
    assert (higher["all"]["recall"]["hits"], higher["all"]["precision"]["total"]) == (1, 1)


def test_rates_cover_all_reviewed_scenes(reviewed: TestClient) -> None:
    first, second, *_ = detections(reviewed)
    act(reviewed, "right", **first)
    act(reviewed, "wrong", **second)
    (feature,) = results(reviewed, detect(reviewed, scene="b", min_score=0.5))
    facts = feature["properties"]
    other = first | {"item": facts["detection_id"], "score": facts["score"], "box": [40, 30, 60, 44]}
    act(reviewed, "right", scene="b", **other)
    west, south, east, north = reviewed.get("/scenes/b").json()["bounds"]
    middle = [(west + east) / 2, (south + north) / 2]
    act(reviewed, "check", scene="b", lonlat=middle, model=first["model"])
    (own,) = rates(reviewed)
    assert (own["all"]["precision"]["hits"], own["all"]["precision"]["total"]) == (2, 3)
    assert (own["all"]["recall"]["hits"], own["all"]["recall"]["total"]) == (1, 1)
    assert own["scenes"]["a"]["precision"]["value"] == 0.5
    assert own["scenes"]["a"]["recall"]["value"] is None
    assert own["scenes"]["b"]["precision"]["value"] == 1


def test_an_airplane_that_two_models_detect_is_one(reviewed: TestClient) -> None:
    first, *others = detections(reviewed)
    xmin, ymin, xmax, ymax = first["box"]
    act(reviewed, "add", lonlat=corners(reviewed, (100, 100, 140, 130)))
    act(reviewed, "right", **first)
    newer: dict[str, Any] = {"model": "newer@1", "score": 0.7}
    act(reviewed, "right", **(newer | {"item": "n-1", "box": [xmin, ymin, xmax + 1, ymax + 1]}))
    act(reviewed, "right", **(newer | {"item": "n-2", "box": [102, 101, 139, 131]}))
    act(reviewed, "right", **(newer | {"item": "n-3", "box": others[0]["box"]}))
    act(reviewed, "check", lonlat=corners(reviewed, MIDDLE)[0], model="newer@1")
    boxes = [each["bbox"][:2] for each in reviewed.get("/review/export.coco").json()["annotations"]]
    assert sorted(boxes) == sorted([[xmin, ymin], [102, 101], others[0]["box"][:2]])
    by_model = {each["model"]: each["all"] for each in rates(reviewed)}
    assert (by_model["newer@1"]["recall"]["hits"], by_model["newer@1"]["recall"]["total"]) == (3, 3)
    assert by_model["newer@1"]["precision"]["total"] == 3
    older = by_model[first["model"]]
    assert (older["precision"]["total"], older["recall"]["value"]) == (1, None)
    (newer_at,) = [each for each in rates(reviewed, min_score=0.8) if each["model"] == "newer@1"]
    assert (newer_at["all"]["recall"]["hits"], newer_at["all"]["recall"]["total"]) == (0, 3)


def test_a_training_reads_the_folder_as_it_is(reviewed: TestClient, folder: Path) -> None:
    detected = detections(reviewed)
    for each in detected[:2]:
        act(reviewed, "right", **each)
    for each in detected[2:]:
        act(reviewed, "wrong", **each)
    act(reviewed, "add", lonlat=corners(reviewed, (100, 100, 140, 130)))
    act(reviewed, "check", lonlat=corners(reviewed, MIDDLE)[0])
    (image,) = read_annotated_images(folder, "all")
    expected = [each["box"] for each in detected[:2]]
    boxes = image.boxes[np.argsort(image.boxes[:, 0])]
    assert np.allclose(boxes[[0, 2]], expected, atol=0.01)
    assert np.allclose(boxes[1], [100, 100, 140, 130], atol=6)
    pixels = image.pixels()
    assert pixels.shape == (410, 330, 3)
    xmin, ymin, xmax, ymax = (round(side) for side in expected[0])
    assert pixels[ymin:ymax, xmin:xmax].min() > 200
    assert image.resolution_known
    act(reviewed, "undo")
    assert reviewed.get("/review/export.coco").json()["images"] == []


def test_a_checked_tile_without_airplanes_is_a_negative(reviewed: TestClient, folder: Path) -> None:
    first, *_ = detections(reviewed)
    act(reviewed, "right", **first)
    act(reviewed, "check", lonlat=corners(reviewed, MIDDLE)[0])
    west, south, east, north = reviewed.get("/scenes/b").json()["bounds"]
    act(reviewed, "check", scene="b", lonlat=[(west + east) / 2, (south + north) / 2])
    negatives = [image for image in read_annotated_images(folder, "all") if not len(image.boxes)]
    assert [image.pixels().shape for image in negatives] == [(90, 120, 3)]


def test_a_detection_whose_verdict_was_undone_is_ignored_in_training(reviewed: TestClient, folder: Path) -> None:
    first, second, *_ = detections(reviewed)
    act(reviewed, "right", **first)
    act(reviewed, "check", lonlat=corners(reviewed, MIDDLE)[0])
    act(reviewed, "wrong", **second)
    act(reviewed, "undo")
    (image,) = read_annotated_images(folder, "all")
    assert np.allclose(image.ignored, [second["box"]], atol=0.01)


def test_the_geojson_has_every_verdict(reviewed: TestClient) -> None:
    first, second, *_ = detections(reviewed)
    act(reviewed, "right", **first)
    act(reviewed, "wrong", **second)
    content = reviewed.get("/review/export.geojson").json()
    verdicts = {feature["id"]: feature["properties"]["verdict"] for feature in content["features"]}
    assert verdicts == {first["item"]: "right", second["item"]: "wrong"}
    assert reviewed.get("/review/export.shp").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"action": "praise"},
        {"action": None},
        {"reviewer": ""},
        {"reviewer": "x" * 101},
        {"reviewer": "a\nb"},
        {"scene": "secret"},
        {"scene": 5},
        {"item": "../x"},
        {"item": None},
        {"box": [1, 2, 3]},
        {"box": [5, 5, 5, 9]},
        {"box": [900, 900, 950, 950]},
        {"box": ["a", 1, 2, 3]},
        {"box": [math.inf, 1, 2, 3]},
        {"score": 3},
        {"version": -1},
        {"version": True},
        {"action": "add", "lonlat": [[1]]},
        {"action": "add", "lonlat": [[9, 95]]},
        {"action": "check", "lonlat": [100, 10]},
        {"action": "check", "lonlat": None},
        {"action": "check"},
    ],
    ids=str,
)
def test_what_is_no_action_is_refused_and_not_stored(reviewed: TestClient, change: dict[str, Any]) -> None:
    good = {"scene": "a", "action": "right", "reviewer": "anna", "item": "x", "box": [1, 2, 30, 40], "score": 0.5}
    content = json.dumps(good | {"model": "m"} | change)
    answer = reviewed.post("/review/actions", content=content)
    assert 400 <= answer.status_code < 500
    assert error_of(answer)
    assert items(reviewed) == {}


def test_a_folder_that_cannot_hold_reviews_is_one_error(folder: Path) -> None:
    folder.mkdir()
    (folder / FILE_NAME).write_text("no database")
    with pytest.raises(OutputError, match="GeoPackage of reviews"):
        ReviewStore(folder)


@given(st.integers(0, 200), st.integers(1, 200))
def test_intervals_hold_the_rate_and_solve_wilsons_equation(hits: int, total: int) -> None:
    hits = min(hits, total)
    rate = Rate(hits, total).to_json()
    assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1
    for bound in (rate["low"], rate["high"]):
        if 0 < bound < 1:
            deviation = abs(hits / total - bound) / math.sqrt(bound * (1 - bound) / total)
            assert deviation == pytest.approx(1.96, abs=0.03 + 0.002 * total)
