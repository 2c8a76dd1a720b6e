"""The report as a reader uses it, in Chromium, which fails each test on console errors and requests."""

import base64
import dataclasses
import functools
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from geo.outline import POINT_FIELDS
from pipeline.ledger import Ledger
from pipeline.records import Airplane
from pipeline.report.page import write_report
from pipeline.report.scenes import scene_views
from tests.browser import PATIENCE_MS, OpenPage
from tests.pipeline.report.factories import HEIGHT, WIDTH, airplane, entry, failed_entry, ledger, part_failure

FIRST, SECOND = "/in/first.tif", "/in/second.tif"
#: What a page may have in elements, however many airplanes it shows.
MAX_ELEMENTS = 900


def sample() -> list[Airplane]:
    """30 airplanes in two scenes; the larger, the lower the score."""
    planes = []
    for number in range(30):
        plane = airplane((FIRST, SECOND)[number % 3 == 2], number, score=0.95 - number / 50)
        x, y = 200.0 + 110 * number, 300.0 + 80 * (number % 7)
        planes.append(
            dataclasses.replace(plane, xmin_px=x, ymin_px=y, xmax_px=x + 60, ymax_px=y + 45, size_m=20.0 + number)
        )
    return planes


def sample_ledger() -> Ledger:
    parts = {"status": "incomplete", "parts_failed": 1, "failures": (part_failure(0, 1024),)}
    return ledger(
        entry(FIRST, airplanes=20), entry(SECOND, airplanes=10, **parts), failed_entry("/in/x.txt", "no raster")
    )


def write_page(folder: Path, airplanes: Sequence[Airplane], ledger: Ledger) -> Path:
    return Path(write_report(folder, airplanes, ledger))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def report(folder: Path) -> Path:
    path = folder / "report.html"
    return path if path.exists() else write_page(folder, sample(), sample_ledger())


def shown(page: Page) -> str:
    return page.locator("#shown").inner_text()


def rows(page: Page) -> Locator:
    return page.locator("#rows [role=option]")


def selected(page: Page) -> str | None:
    details = page.locator("#details")
    return page.locator("#details-title").inner_text() if details.is_visible() else None


def move_slider(page: Page, score: float) -> None:
    page.locator("#score").fill(str(score))


def canvas_colours(page: Page, canvas: Locator, ready: Callable[[NDArray[np.uint8]], bool]) -> NDArray[np.uint8]:
    """The pixels of a canvas, (height, width, 4), as soon as they are ready: images are decoded in the background."""
    for _ in range(PATIENCE_MS // 50):
        url = canvas.evaluate("canvas => canvas.toDataURL()")
        colours = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"))
        if ready(colours):
            return colours
        page.wait_for_timeout(50)
    raise AssertionError("the canvas has not become ready")


def has_middle(colours: NDArray[np.uint8]) -> bool:
    """Whether something is drawn in the middle."""
    return bool(colours[colours.shape[0] // 2, colours.shape[1] // 2, 3])


def test_it_opens_with_every_airplane(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    assert shown(page) == "30 airplanes"
    assert page.locator("#total").inner_text() == "30"
    assert page.locator("#scene option").all_inner_texts() == [
        "All scenes (30)",
        "first.tif (20)",
        "second.tif (10, incomplete)",
    ]
    expect(rows(page).first).to_contain_text("0.95")
    warning = page.locator("body > .warning").first.inner_text()
    assert "1 scene failed, 1 scene incomplete" in warning
    assert [badge.strip() for badge in page.locator("#ledger .badge").all_inner_texts()] == [
        "failed",
        "incomplete",
        "complete",
    ]


def test_counts_list_and_charts_follow_the_slider(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    move_slider(page, 0.7)
    assert shown(page) == "13 of 30 airplanes"
    assert page.locator("#total").inner_text() == "13 of 30"
    assert page.locator("#score-value").inner_text() == "0.70"
    scores = page.locator("#scores svg").get_attribute("aria-label") or ""
    sizes = page.locator("#sizes svg").get_attribute("aria-label") or ""
    for label in (scores, sizes):
        assert sum(map(int, re.findall(r": (\d+)", label))) == 13
    assert "0.64 to" not in scores
    page.locator("#scene").select_option("second.tif (10, incomplete)")
    assert shown(page) == "4 of 10 airplanes"
    assert page.locator("#total").inner_text() == "13 of 30"
    move_slider(page, 1)
    assert shown(page) == "0 of 10 airplanes"
    assert "None above this score" in page.locator("#rows").inner_text()


def test_the_list_sorts_by_score_or_size(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    expect(rows(page).first).to_contain_text("20.0 m")
    page.get_by_role("button", name="Size").click()
    expect(rows(page).first).to_contain_text("49.0 m")
    assert page.locator("#by-size").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Score", exact=True).click()
    expect(rows(page).first).to_contain_text("20.0 m")


def test_a_click_in_the_list_flies_to_the_airplane(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    before = page.locator(".scale").inner_text()
    rows(page).nth(2).click()  # the first of the second scene
    assert selected(page) == "22.0 m"
    assert page.locator("#caption").inner_text() == "second.tif"
    expect(rows(page).nth(2)).to_have_attribute("aria-selected", "true")
    assert page.locator(".scale").inner_text() != before
    # It lies in the middle of the map: a click there selects it.
    page.locator("#close").click()
    assert selected(page) is None
    page.locator("#map").click()
    assert selected(page) == "22.0 m"
    texts = page.locator("#fields").inner_text()
    assert "second.tif" in texts
    assert "420.0 to 480.0" in texts


def test_a_click_beside_airplanes_deselects(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    rows(page).first.click()
    assert selected(page) == "20.0 m"
    page.locator("#map").click(position={"x": 60, "y": 500})
    assert selected(page) is None


def test_it_is_usable_by_keyboard_alone(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    press = page.keyboard.press
    for key, size in (
        ("n", "20.0 m"),
        ("n", "21.0 m"),
        ("n", "22.0 m"),
        ("p", "21.0 m"),
        ("s", "21.0 m"),
        ("n", "20.0 m"),
    ):
        press(key)
        assert selected(page) == size
    press("Escape")
    assert selected(page) is None
    score = page.locator("#score-value")
    start = float(score.inner_text())
    press(".")
    press(".")
    assert float(score.inner_text()) == pytest.approx(start + 0.1)
    press(",")
    assert float(score.inner_text()) == pytest.approx(start + 0.05)
    press("0")
    overview = page.locator(".scale").inner_text()
    for _ in range(4):
        press("+")
    assert page.locator(".scale").inner_text() != overview
    press("0")
    assert page.locator(".scale").inner_text() == overview
    press("Shift+N")
    assert page.locator("#scene option:checked").inner_text() == "second.tif (10, incomplete)"
    press("Shift+P")
    assert page.locator("#scene option:checked").inner_text() == "first.tif (20)"
    press("?")
    assert page.evaluate("document.activeElement.id") == "keys"


def test_tab_reaches_every_control_and_arrows_work_where_the_focus_is(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    reached = set()
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"scene", "map", "zoom-in", "zoom-out", "fit", "score", "by-score", "by-size", "list"} <= reached
    page.locator("#list").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert selected(page) == "21.0 m"
    active = page.locator("#list").get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-posinset") == "2"
    page.keyboard.press("End")
    assert selected(page) == "49.0 m"
    page.locator("#map").focus()
    page.keyboard.press("ArrowUp")
    assert selected(page) == "49.0 m"  # moves the map
    page.locator("#score").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#score-value")).to_have_text("0.26")


def test_every_key_is_documented(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    documented = " ".join(page.locator("#keys kbd").all_inner_texts()).split()
    script = (Path(__file__).parents[3] / "pipeline/report/report.js").read_text()
    (table,) = re.findall(r"const KEYS = \{(.*?)\n  \};", script, re.S)
    keys = {key.strip("\"'") for key in re.findall(r"^    (\S+): \(\) =>", table, re.M)}
    assert {key.upper() for key in keys} - {"ESCAPE", "=", "-"} <= {key.upper() for key in documented}
    assert "Esc" in documented


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_is_wider_than_the_window(width: int, report: Path, open_page: OpenPage) -> None:
    page = open_page(report, width=width)
    rows(page).first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for locator in ("#map", "#score", "#list", "#details"):
        box = page.locator(locator).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["width"] > 250
    assert page.locator("#map").bounding_box()["height"] > 300  # type: ignore[index]


def test_dark_and_light_differ_and_text_has_contrast(report: Path, open_page: OpenPage) -> None:
    grounds = []
    for dark in (False, True):
        page = open_page(report, dark=dark)
        grounds.append(luminance(page, "body", "backgroundColor"))
        for selector in ("h1", ".panel .quiet", "#ledger thead th", "#shown"):
            lighter, darker = sorted(
                (luminance(page, selector, "color"), luminance(page, ".card", "backgroundColor")), reverse=True
            )
            assert (lighter + 0.05) / (darker + 0.05) > 4.5, (dark, selector)
    assert grounds[0] > 0.8
    assert grounds[1] < 0.02


def luminance(page: Page, selector: str, name: str) -> float:
    """The relative luminance of a colour of an element, as WCAG defines it."""
    colour = page.evaluate(
        "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]", [selector, name]
    )
    parts = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_map_shows_the_scene_the_airplanes_and_what_failed(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    pixels, outlines = page.locator("#map canvas").all()
    page.locator("#scene").select_option("first.tif (20)")
    colours = canvas_colours(page, pixels, has_middle)
    inside = colours[colours[..., 3] == 255]
    assert np.median(inside[:, 2]) == pytest.approx(80, abs=5)  # blue is 80 all over the scene
    assert np.ptp(inside[:, 0]) > 150  # red grows from left to right
    canvas_colours(page, outlines, lambda colours: bool(colours.any()))
    move_slider(page, 1)
    canvas_colours(page, outlines, lambda colours: not colours.any())
    page.locator("#scene").select_option("second.tif (10, incomplete)")
    colours = canvas_colours(page, pixels, has_middle)
    red, green, blue, _ = np.moveaxis(colours.astype(int), 2, 0)
    assert ((red > 240) & (abs(green - 122) < 12) & (blue < 40)).sum() > 100


def test_a_thumbnail_shows_its_airplane(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    colours = canvas_colours(page, page.locator("#rows canvas").first, has_middle)
    red, green, blue = colours[..., :3].mean(axis=(0, 1))
    plane = sample()[0]
    assert red == pytest.approx((plane.xmin_px + plane.xmax_px) / 2 * 200 / WIDTH, abs=6)
    assert green == pytest.approx((plane.ymin_px + plane.ymax_px) / 2 * 250 / HEIGHT, abs=6)
    assert blue == pytest.approx(80, abs=6)


def test_hostile_names_stay_text(tmp_path: Path, open_page: OpenPage) -> None:
    name = "/in/<img src=x onerror=document.title=1>.tif"
    error = "<b>broken</b><script>document.title = 2</script>"
    failures = (part_failure(0, 0, error),)
    plane = dataclasses.replace(sample()[0], scene_uri=name, detection_id="<i>7</i>", scene_id="<u>5</u>")
    scene = entry(name, status="incomplete", failures=failures, error=error)
    page = open_page(write_page(tmp_path, [plane], ledger(scene)))
    title = page.title()
    rows(page).first.click()
    assert "<i>7</i>" in page.locator("#fields").inner_text()
    assert error in page.locator("#note").inner_text()
    page.locator("#fit").click()
    page.locator("#map").hover(position={"x": 200, "y": 100})
    expect(page.locator(".leaflet-tooltip")).to_have_text(f"Not processed: {error}")
    assert page.locator("img, #fields i, .leaflet-tooltip b").count() == 0
    assert page.title() == title


def test_what_has_no_pixels_is_said(tmp_path: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.page.scene_views", functools.partial(scene_views, max_bytes=12_000))
    page = open_page(write_page(tmp_path, sample(), ledger(entry(FIRST, airplanes=20), entry(SECOND, airplanes=10))))
    numbers = [int(text) for text in re.findall(r"\d+", page.locator("#pixels").text_content() or "")]
    assert sum(numbers) == 30
    assert min(numbers) > 0


def test_a_run_without_airplanes_has_an_empty_list(tmp_path: Path, open_page: OpenPage) -> None:
    page = open_page(write_page(tmp_path, [], ledger(entry(FIRST))))
    assert shown(page) == "0 airplanes"
    assert "No airplanes detected" in page.locator("#rows").inner_text()
    for key in ("n", "p", "End", "z", "s", "."):
        page.keyboard.press(key)
    assert selected(page) is None


def test_a_run_without_any_scene_shows_the_ledger(tmp_path: Path, open_page: OpenPage) -> None:
    page = open_page(write_page(tmp_path, [], ledger(failed_entry("/in/a.tif", "no raster"))))
    assert not page.locator("#viewer").is_visible()
    assert "no raster" in page.locator("#ledger").inner_text()


def many(count: int) -> Sequence[Airplane]:
    random = np.random.default_rng(5)
    base = airplane(FIRST, 0)
    planes = []
    for number in range(count):
        x, y = (float(value) for value in random.uniform(0, (WIDTH - 40, HEIGHT - 40)))
        planes.append(
            dataclasses.replace(
                base,
                detection_id=f"{number:016x}",
                score=round(float(random.uniform(0.3, 1)), 6),
                size_m=round(float(random.uniform(10, 70)), 2),
                xmin_px=x,
                ymin_px=y,
                xmax_px=x + 40,
                ymax_px=y + 30,
            )
        )
    return planes


def test_20000_airplanes_need_no_more_elements_than_a_few(
    tmp_path: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.report.page.scene_views", functools.partial(scene_views, max_bytes=0))
    page = open_page(write_page(tmp_path, many(20_000), ledger(entry(FIRST, airplanes=20_000))))
    assert shown(page) == "20,000 airplanes"
    count = "document.querySelectorAll('*').length"
    assert page.evaluate(count) < MAX_ELEMENTS
    for step in range(8):
        move_slider(page, 0.3 + step / 12)
        assert page.evaluate(count) < MAX_ELEMENTS
    move_slider(page, 0.5)
    assert re.fullmatch(r"14,\d{3} of 20,000 airplanes", shown(page))
    page.locator("#list").focus()
    page.keyboard.press("End")
    assert page.evaluate(count) < MAX_ELEMENTS
    expect(rows(page).last).to_contain_text("0.50")
    page.locator("#list").evaluate("list => { list.scrollTop = 300000; }")
    expect(rows(page).first).to_have_attribute("aria-posinset", re.compile("46.."))
    assert rows(page).count() < 30
    assert page.locator("#map canvas").count() == 2


def test_measures_are_shown_with_their_expected_errors(tmp_path: Path, open_page: OpenPage) -> None:
    plane = dataclasses.replace(sample()[0], length_m=37.62, length_sd_m=0.91, wingspan_m=34.1, wingspan_sd_m=1.0)
    plane = dataclasses.replace(plane, heading_deg=272.4, heading_sd_deg=1.2)
    page = open_page(write_page(tmp_path, [plane], ledger(entry(FIRST, airplanes=1))))
    rows(page).first.click()
    expect(page.locator("#fields")).to_contain_text("37.6 ± 0.9 m")
    expect(page.locator("#fields")).to_contain_text("34.1 ± 1.0 m")
    expect(page.locator("#fields")).to_contain_text("272 ± 1°")


def test_a_measured_airplane_is_drawn_as_its_outline_with_a_nose(tmp_path: Path, open_page: OpenPage) -> None:
    scene = entry(FIRST, airplanes=1, width_px=200, height_px=150)
    upright = dataclasses.replace(airplane(FIRST, 1), xmin_px=70.0, ymin_px=45.0, xmax_px=130.0, ymax_px=105.0)
    # To the upper right: a square on its corner.
    points: dict[str, Any] = dict(zip(POINT_FIELDS, (121.0, 54.0, 79.0, 96.0, 79.0, 54.0, 121.0, 96.0), strict=True))
    measured = dataclasses.replace(upright, outline="oriented", **points)
    masks = []
    for number, plane in enumerate((upright, measured, dataclasses.replace(measured, heading_deg=45.0))):
        folder = tmp_path / str(number)
        folder.mkdir()
        page = open_page(write_page(folder, [plane], ledger(scene)))
        drawn = canvas_colours(page, page.locator("#map canvas").last, lambda colours: bool(colours.any()))
        mask = drawn[..., 3] > 0
        masks.append(mask[np.ix_(mask.any(axis=1), mask.any(axis=0))])
    upright_corner, oriented_corner = (mask[:10, -10:].any() for mask in masks[:2])
    assert upright_corner
    assert not oriented_corner
    assert masks[2].sum() > masks[1].sum() + 20
    # Ahead of the middle of the front edge.
    height, width = masks[2].shape
    front = masks[2][: height // 2, width // 2 :]
    assert front.sum() > masks[1][: height // 2, width // 2 :].sum() + 20
