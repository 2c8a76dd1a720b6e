"""The page in Chromium, as people use it."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from geo.types import Detections, ImageArray
from model.inference.model_folder import CONFIG_FILE
from model.inference.predictor import Predictor
from pipeline import model_loading
from pipeline.serve.app import Service
from pipeline.serve.imagery import MapTiles
from pipeline.serve.models import describe_models
from pipeline.serve.review import ReviewStore
from pipeline.serve.scenes import catalog_of
from pipeline.values import SceneSource
from tests.browser import OpenPage
from tests.pipeline.scenes import AIRPLANES, CONFIG, write_scene
from tests.pipeline.serve.conftest import Gate
from tests.pipeline.serve.running import running
from tests.pipeline.serve.xyz_server import serving_map

ABOVE_DEFAULT = sum(level >= 0.85 * 255 for *_, level in AIRPLANES)


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    airports = ({"name": "Far away", "bounds": [2.5, 48.9, 2.6, 49.0]},)
    with running(dataclasses.replace(service, airports=airports)) as address:
        yield address


def analyze(page: Page) -> None:
    expect(page.locator("#analyze")).to_be_enabled()
    page.click("#analyze")
    expect(page.locator("#status")).to_contain_text("Done")


def test_analyze_shows_tiles_boxes_and_a_count_as_they_come(address: str, open_page: OpenPage, gate: Gate) -> None:
    page = open_page(address)
    expect(page.locator("#analyze")).to_be_enabled()
    gate.close()
    page.click("#analyze")
    expect(page.locator("#dismiss")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("tile")
    gate.open()
    expect(page.locator("#status")).to_contain_text("Done")
    expect(page.locator("#count")).to_have_text(str(ABOVE_DEFAULT))
    assert page.evaluate("App.panes[0].airplanes.length") == len(AIRPLANES)
    expect(page.locator("#dismiss")).to_be_hidden()


def test_the_slider_filters_boxes_count_and_downloads(address: str, open_page: OpenPage) -> None:
    page = open_page(address)
    analyze(page)
    page.focus("#score")
    page.keyboard.press("Home")
    expect(page.locator("#count")).to_have_text(str(len(AIRPLANES)))
    with page.expect_download() as download:
        page.click("#geojson")
    content = json.loads(download.value.path().read_text())
    assert len(content["features"]) == len(AIRPLANES)
    page.focus("#score")
    page.keyboard.press("End")
    expect(page.locator("#count")).to_have_text("0")


def test_an_airplane_is_selected_by_keyboard_and_by_click(address: str, open_page: OpenPage) -> None:
    page = open_page(address)
    analyze(page)
    page.focus("#next")
    page.keyboard.press("Enter")
    expect(page.locator("#details dd").first).to_have_text("0.980")
    page.wait_for_function("() => document.querySelector('#details img').naturalWidth > 30")
    page.focus("#previous")
    page.keyboard.press("Enter")
    expect(page.locator("#details dd").first).not_to_have_text("0.980")
    spot = page.evaluate(
        "(() => { const ring = App.panes[0].airplanes[0].geometry.coordinates[0].slice(0, 4);"
        " const mean = (index) => ring.reduce((sum, corner) => sum + corner[index], 0) / 4;"
        " const point = App.panes[0].map.latLngToContainerPoint([mean(1), mean(0)]); return [point.x, point.y]; })()"
    )
    page.locator("#map").click(position={"x": spot[0], "y": spot[1]})
    expect(page.locator("#details dd").first).to_have_text("0.980")


def test_scenes_airports_and_errors(address: str, open_page: OpenPage) -> None:
    page = open_page(address, width=390, height=844, dark=True)
    expect(page.locator("#analyze")).to_be_enabled()
    page.select_option("#source", "b")
    analyze(page)
    expect(page.locator("#count")).to_have_text("1")
    page.select_option("#source", "c")
    expect(page.locator("#problem")).to_contain_text("expected a raster")
    expect(page.locator("#analyze")).to_be_disabled()
    page.select_option("#airport", "0")
    assert abs(page.evaluate("App.panes[0].map.getCenter().lng") - 2.55) < 0.01
    expect(page.locator("#problem")).to_have_text("No scene shows Far away.")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture
def compared_address(service: Service, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a service with a second model, `other`, which misses the brightest airplane and has another."""
    folder = model_folder.with_name("other")
    shutil.copytree(model_folder, folder)
    (folder / CONFIG_FILE).write_text((model_folder / CONFIG_FILE).read_text().replace("name: fake", "name: other"))
    load = vars(model_loading)["load_predictor"]

    def load_either(name_or_path: str, *arguments: Any, **options: Any) -> Any:
        predictor = load(name_or_path, *arguments, **options)
        return predictor if name_or_path != str(folder) else MissesBrightest(predictor)

    monkeypatch.setattr(model_loading, "load_predictor", load_either)
    models = describe_models([str(model_folder), str(folder)], dataclasses.replace(CONFIG, min_score=None), False)
    with running(dataclasses.replace(service, models=models)) as address:
        yield address


class MissesBrightest:
    """A model without the airplanes that another one scores above 0.97."""

    name = "other@000000000000"
    default_min_score = 0.5

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __call__(self, images: ImageArray) -> list[Detections]:
        return [detections.take(detections.scores < 0.97) for detections in self._predictor(images)]


def test_two_models_side_by_side_show_what_one_of_them_alone_detects(
    compared_address: str, open_page: OpenPage
) -> None:
    page = open_page(compared_address)
    expect(page.locator("#analyze")).to_be_enabled()
    expect(page.locator("#map-2")).to_be_hidden()
    page.select_option("#other-model", "other")
    expect(page.locator("#map-2")).to_be_visible()
    page.click("#analyze")
    expect(page.locator("#comparison")).to_contain_text("Both models: ")
    page.focus("#score")
    page.keyboard.press("Home")
    everything = len(AIRPLANES)
    expect(page.locator("#comparison")).to_have_text(
        f"Both models: {everything - 1}. Dashed: only fake: 1, only other: 0."
    )
    expect(page.locator("#caption-2")).to_have_text("other")
    page.click("#next")
    expect(page.locator("#details")).to_contain_text("not detected")
    page.click("#next")
    expect(page.locator("#details")).to_contain_text("otherscore 0.")
    # One view: where one map goes, the other goes, too.
    page.focus("#map-2")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "() => { const [first, second] = App.panes.map(({ map }) => map.getCenter());"
        " const [west, , east] = App.state.source.bounds;"
        " return first.equals(second, 1e-9) && first.lng > (west + east) / 2; }"
    )
    with page.expect_download() as download:
        page.click("#geojson-2")
    assert len(json.loads(download.value.path().read_text())["features"]) == everything - 1
    page.select_option("#other-model", "")
    expect(page.locator("#map-2")).to_be_hidden()
    expect(page.locator("#comparison")).to_be_hidden()


def test_another_scene_ends_an_analysis_that_runs(address: str, open_page: OpenPage, gate: Gate) -> None:
    page = open_page(address)
    expect(page.locator("#analyze")).to_be_enabled()
    gate.close()
    page.click("#analyze")
    expect(page.locator("#status")).to_contain_text("tile")
    page.select_option("#source", "b")
    expect(page.locator("#dismiss")).to_be_hidden()
    gate.open()
    analyze(page)
    expect(page.locator("#count")).to_have_text("1")
    states = [job["status"] for job in page.evaluate("fetch('/jobs').then((answer) => answer.json())")["jobs"]]
    assert states == ["dismissed", "successful"]


@pytest.fixture
def review_address(service: Service, tmp_path: Path) -> Iterator[str]:
    with running(dataclasses.replace(service, review=ReviewStore(tmp_path / "review"))) as address:
        yield address


def start_review(page: Page) -> None:
    page.fill("#reviewer", "anna")
    page.click("#review-toggle")
    # The tools are there at once, the boxes when the server has answered.
    expect(page.locator("#review-item")).to_contain_text("1 of")


def verdicts(page: Page) -> list[str]:
    return list(page.evaluate("Review.settled().then(() => Review.items().map((item) => item.verdict))"))


def test_ten_airplanes_are_reviewed_by_keyboard_and_all_is_there_after_a_reload(
    service: Service, tmp_path: Path, open_page: OpenPage
) -> None:
    corners = [(20 + 60 * column, 40 + 200 * row) for row in (0, 1) for column in range(5)]
    airplanes = [(x, y, x + 20, y + 14, 250 - number) for number, (x, y) in enumerate(corners)]
    scenes = catalog_of([SceneSource(str(write_scene(tmp_path / "ten.tif", airplanes)))], CONFIG)
    store = ReviewStore(tmp_path / "review")
    with running(dataclasses.replace(service, scenes=scenes, review=store)) as address:
        review_ten(open_page(address))


def review_ten(page: Page) -> None:
    analyze(page)
    start_review(page)
    expect(page.locator("#review-item")).to_contain_text("1 of 10: no verdict yet")
    # Too fast for answers to come in between, as people do who know the keys.
    for key in "nyyyyyyyny":
        page.keyboard.press(key)
    expect(page.locator("#review-rates")).to_contain_text("10 boxes")
    assert sorted(verdicts(page)) == ["right"] * 8 + ["wrong"] * 2
    expect(page.locator("#review-rates")).to_contain_text("0.80 (8 of 10)")
    # The map's middle is now on the first airplane, whose box was wrong.
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.locator("#review-rates")).to_contain_text("11 boxes")
    page.keyboard.press("t")
    expect(page.locator("#review-rates")).to_contain_text("1 tile")
    page.keyboard.press("u")
    expect(page.locator("#review-rates")).to_contain_text("0 tiles")
    page.keyboard.press("t")
    expect(page.locator("#review-rates")).to_contain_text("0.89 (8 of 9)")
    page.reload()
    expect(page.locator("#analyze")).to_be_enabled()
    page.click("#review-toggle")
    expect(page.locator("#review-rates")).to_contain_text("11 boxes and 1 tile")
    assert sorted(verdicts(page)) == ["checked", *["right"] * 9, *["wrong"] * 2]


def test_keys_wait_for_the_boxes(review_address: str, open_page: OpenPage) -> None:
    page = open_page(review_address)
    analyze(page)
    held: list[Route] = []
    page.route("**/review/items?*", lambda route: held.append(route), times=1)
    page.fill("#reviewer", "anna")
    page.click("#review-toggle")
    while not held:
        page.wait_for_timeout(10)
    for key in ("y", "n", "a", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate("Review.current()") is None
    held[0].continue_()
    expect(page.locator("#review-rates")).to_contain_text("3 boxes")
    assert [verdict for verdict in verdicts(page) if verdict != "none"] == ["right", "wrong", "right"]


def test_a_box_is_moved_resized_drawn_and_deleted(review_address: str, open_page: OpenPage) -> None:
    page = open_page(review_address)
    analyze(page)
    start_review(page)
    before = page.evaluate("Review.current().box")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "+"):
        page.keyboard.press(key)
    expect(page.locator("#review-item")).to_contain_text(": right")
    after = page.evaluate("Review.settled().then(() => Review.current().box)")
    moved = [before[0] + 1, before[1] + 4, before[2] + 3, before[3] + 6]
    assert after == pytest.approx(moved, abs=0.01)
    page.keyboard.press("a")
    frame = page.locator("#map").bounding_box()
    assert frame
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20, steps=3)
    page.mouse.up()
    expect(page.locator("#review-item")).to_contain_text("right, added")
    drawn = page.evaluate("Review.settled().then(() => Review.current().box)")
    page.mouse.move(x + 15, y + 10)
    page.mouse.wheel(0, -100)
    page.wait_for_function("([left]) => Review.current()?.box[0] < left - 0.9", arg=drawn)
    page.mouse.click(x + 15, y + 10, button="right")
    expect(page.locator("#review-item")).not_to_contain_text("right, added")
    page.keyboard.press("a")
    page.mouse.click(x - 60, y)
    expect(page.locator("#review-item")).to_contain_text("right, added")
    assert "wrong" in verdicts(page)


def test_another_map_is_analyzed_but_not_reviewed(service: Service, tmp_path: Path, open_page: OpenPage) -> None:
    airports = ({"name": "Hamburg", "bounds": [9.969, 53.608, 9.973, 53.6105]},)
    with serving_map([(9.97, 53.61), (9.9712, 53.6093)], zoom=17) as template:
        map_tiles, review = MapTiles(template, 17), ReviewStore(tmp_path / "review")
        with running(dataclasses.replace(service, map_tiles=map_tiles, airports=airports, review=review)) as address:
            page = open_page(address)
            expect(page.locator("#analyze")).to_be_enabled()
            page.select_option("#source", "map")
            page.select_option("#airport", "0")
            analyze(page)
            expect(page.locator("#count")).to_have_text("2")
            page.fill("#reviewer", "anna")
            page.click("#review-toggle")
            expect(page.locator("#review-hint")).to_contain_text("Only scenes can be reviewed")
            expect(page.locator("#review-tools")).to_be_hidden()
            page.select_option("#source", "a")
            expect(page.locator("#review-tools")).to_be_visible()
            expect(page.locator("#review-hint")).to_be_hidden()
            page.close()  # before the service: its map still loads tiles


def test_the_review_needs_a_name(review_address: str, open_page: OpenPage) -> None:
    page = open_page(review_address)
    page.click("#review-toggle")
    expect(page.locator("#problem")).to_contain_text("name")
    expect(page.locator("#review-tools")).to_be_hidden()
