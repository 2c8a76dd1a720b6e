"""The page in Chromium, as people use it."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from pipeline.serve.app import Service
from pipeline.serve.review import ReviewStore
from tests.browser import OpenPage
from tests.pipeline.scenes import AIRPLANES
from tests.pipeline.serve.conftest import Gate
from tests.pipeline.serve.running import running

ABOVE_DEFAULT = sum(level >= 0.85 * 255 for *_, level in AIRPLANES)


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    airports = ({"name": "Far away", "bounds": [2.5, 48.9, 2.6, 49.0]},)
    with running(dataclasses.replace(service, airports=airports)) as address:
        yield address


def analyze(page: Page) -> None:
    expect(page.locator("#analyze")).to_be_enabled()
    page.click("#analyze")
    expect(page.locator("#status")).to_contain_text("successful")


def test_analyze_shows_tiles_boxes_and_a_count_as_they_come(address: str, open_page: OpenPage, gate: Gate) -> None:
    page = open_page(address)
    expect(page.locator("#analyze")).to_be_enabled()
    gate.close()
    page.click("#analyze")
    expect(page.locator("#dismiss")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("tile")
    gate.open()
    expect(page.locator("#status")).to_contain_text("successful")
    expect(page.locator("#count")).to_have_text(str(ABOVE_DEFAULT))
    assert page.evaluate("App.state.airplanes.length") == len(AIRPLANES)
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
    page.wait_for_function("document.querySelector('#details img').naturalWidth > 30")
    page.focus("#previous")
    page.keyboard.press("Enter")
    expect(page.locator("#details dd").first).not_to_have_text("0.980")
    spot = page.evaluate(
        "(() => { const ring = App.state.airplanes[0].geometry.coordinates[0].slice(0, 4);"
        " const mean = (index) => ring.reduce((sum, corner) => sum + corner[index], 0) / 4;"
        " const point = App.map.latLngToContainerPoint([mean(1), mean(0)]); return [point.x, point.y]; })()"
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
    assert abs(page.evaluate("App.map.getCenter().lng") - 2.55) < 0.01
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


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


def test_airplanes_are_reviewed_by_keyboard_and_all_is_there_after_a_reload(
    review_address: str, open_page: OpenPage
) -> None:
    page = open_page(review_address)
    analyze(page)
    page.focus("#score")
    page.keyboard.press("Home")
    start_review(page)
    expect(page.locator("#review-item")).to_contain_text(f"1 of {len(AIRPLANES)}: no verdict yet")
    # Too fast for answers to come in between, as people do who know the keys.
    for key in "ynyyn":
        page.keyboard.press(key)
    expect(page.locator("#review-rates")).to_contain_text("5 boxes")
    assert sorted(verdicts(page)) == ["right", "right", "right", "wrong", "wrong"]
    expect(page.locator("#review-rates")).to_contain_text("Precision 0.60")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.locator("#review-rates")).to_contain_text("6 boxes")
    page.keyboard.press("t")
    expect(page.locator("#review-rates")).to_contain_text("1 tile")
    page.keyboard.press("u")
    expect(page.locator("#review-rates")).to_contain_text("0 tiles")
    page.keyboard.press("t")
    expect(page.locator("#review-rates")).to_contain_text("Recall 0.75")
    page.reload()
    expect(page.locator("#analyze")).to_be_enabled()
    page.click("#review-toggle")
    expect(page.locator("#review-rates")).to_contain_text("6 boxes and 1 tile")
    assert sorted(verdicts(page)) == ["checked", "right", "right", "right", "right", "wrong", "wrong"]


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
    drawn = page.evaluate("Review.current().box")
    page.mouse.move(x + 15, y + 10)
    page.mouse.wheel(0, -100)
    page.wait_for_function("([left]) => Review.current()?.box[0] < left - 0.9", arg=drawn)
    page.mouse.click(x + 15, y + 10, button="right")
    expect(page.locator("#review-item")).not_to_contain_text("right, added")
    assert "wrong" in verdicts(page)


def test_the_review_needs_a_name(review_address: str, open_page: OpenPage) -> None:
    page = open_page(review_address)
    page.click("#review-toggle")
    expect(page.locator("#problem")).to_contain_text("name")
    expect(page.locator("#review-tools")).to_be_hidden()
