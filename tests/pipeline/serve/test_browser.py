"""The page in Chromium, as people use it."""

import dataclasses
import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from pipeline.serve.app import Service
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
    image = page.locator("#details img")
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 30
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
