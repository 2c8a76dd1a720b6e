"""The report: its charts as data, and the page in Chromium, which fails each test on console errors and requests."""

import dataclasses
import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from playwright.sync_api import Page, expect

from pipeline.monitor import report
from pipeline.monitor.__main__ import main
from pipeline.monitor.airports import Airport
from pipeline.monitor.alerts import Event
from pipeline.monitor.report import AirportReport, draw_changes, draw_counts, gaps, scenes_by_visit, write_report
from pipeline.monitor.series import Tables
from pipeline.monitor.tables import SceneRow
from tests.browser import OpenPage
from tests.pipeline.monitor.conftest import MonitorRunner
from tests.pipeline.monitor.world import AIRPORT, Plane, make_airport, rows_of_planes, scene, tables_of

PLANES = rows_of_planes(10)
WEST = shapely.box(-2000, -2000, 0, 2000)


def year_of_three() -> tuple[list[SceneRow], Tables]:
    """Ten airplanes; then the first has left and one came; then only the west is seen, where nothing changed."""
    newcomer = Plane(400.0, 300.0, 50.0)
    scenes = [
        scene("2026-03-01", PLANES),
        scene("2026-03-05", [*PLANES[1:], newcomer], shift=(6.0, -3.0)),
        scene("2026-03-09", [*PLANES[1:], newcomer], seen=WEST),
    ]
    return [row for row, _ in scenes], tables_of(scenes, airport=make_airport({"A1": (-120.0, -150.0)}))


def picture(path: Path, shift: tuple[float, float] = (0.0, 0.0)) -> None:
    """Write a scene of the airport, 5 m per pixel: its left half red, its right half blue."""
    pixels = np.zeros((3, 420, 420), np.uint8)
    pixels[0, :, :210], pixels[2, :, 210:] = 200, 200
    crs = f"+proj=aeqd +lat_0={AIRPORT.plane.lat} +lon_0={AIRPORT.plane.lon} +datum=WGS84 +units=m"
    transform = Affine(5, 0, -1050 + shift[0], 0, -5, 1050 + shift[1])
    with rasterio.open(
        path, "w", driver="GTiff", width=420, height=420, count=3, dtype="uint8", crs=crs, transform=transform
    ) as dataset:
        dataset.write(pixels)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two airports, one of them without a scene; the picture of the third visit is gone."""
    folder = tmp_path_factory.mktemp("monitor")
    rows, tables = year_of_three()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        picture(folder / rows[0].scene_uri)
        picture(folder / rows[1].scene_uri, (6.0, -3.0))
        event = Event(
            "1", "HAM", "{}", "new_airplane", None, rows[1].acquired_at, "<b>an airplane</b> of 70 m", None, 70.0
        )
        empty = AirportReport(make_other(), Tables((), (), (), (), ()), [], [])
        return Path(write_report("report", [AirportReport(AIRPORT, tables, rows, [event]), empty])).resolve()


def make_other() -> Airport:
    return dataclasses.replace(AIRPORT, id="XXX", name="No scene yet", iata="XXX")


def open_report(open_page: OpenPage, page_file: Path, **window: Any) -> Page:
    page = open_page(page_file, **window)
    expect(page.locator("#summary")).to_contain_text("UTC")
    return page


def choose(page: Page, before: int, after: int) -> None:
    page.locator("#before").select_option(str(before))
    page.locator("#after").select_option(str(after))


def test_two_dates_show_what_arrived_and_left(page_file: Path, open_page: OpenPage) -> None:
    page = open_report(open_page, page_file)
    choose(page, 0, 1)
    expect(page.locator("#summary")).to_have_text(
        "2026-03-01 10:00 to 2026-03-05 10:00 UTC: 1 arrived, 1 left, 9 stayed, 0 moved, 0 unknown"
    )
    for change, number in (("arrived", 1), ("left", 1), ("stayed", 18)):
        expect(page.locator(f"path.plane.{change}")).to_have_count(number)
    expect(page.locator("img.leaflet-image-layer")).to_have_count(2)
    expect(page.locator("#no-picture")).to_be_hidden()


def test_ground_that_one_date_did_not_see_is_unknown(page_file: Path, open_page: OpenPage) -> None:
    page = open_report(open_page, page_file)
    choose(page, 1, 2)
    east = sum(plane.x > 0 for plane in PLANES[1:]) + 1
    expect(page.locator("#summary")).to_contain_text(
        f": 0 arrived, 0 left, {10 - east} stayed, 0 moved, {east} unknown"
    )
    expect(page.locator("#no-picture")).to_contain_text("No image of 2026-03-09 10:00")
    expect(page.locator("#airport-HAM .warning")).to_contain_text("S-2026-03-09T10:00:00Z.tif")


def test_the_slider_divides_the_dates(page_file: Path, open_page: OpenPage) -> None:
    page = open_report(open_page, page_file)
    width = page.locator("#map").evaluate("map => map.clientWidth")
    for value in (0, 25, 100):
        page.locator("#slider").fill(str(value))
        left = page.locator("#divider").evaluate("divider => parseFloat(divider.style.left)")
        assert left == pytest.approx(width * value / 100, abs=2)
        clip = page.locator(".leaflet-before-pane").evaluate("pane => pane.style.clipPath")
        corners = [float(number) for number in re.findall(r"(-?[\d.]+)px", clip)]
        assert corners[2] - corners[0] == pytest.approx(width * value / 100, abs=2)


def test_an_airport_is_chosen_on_the_map(page_file: Path, open_page: OpenPage) -> None:
    page = open_report(open_page, page_file, dark=True)
    expect(page.locator("#world path.marker")).to_have_count(2)
    expect(page.locator("#airport-XXX")).to_be_hidden()
    page.locator("#airport").select_option("XXX")
    expect(page.locator("#airport-HAM")).to_be_hidden()
    expect(page.locator("#airport-XXX")).to_contain_text("No scene yet")
    expect(page.locator("#compare")).to_be_hidden()
    page.locator("#airport").select_option("HAM")
    expect(page.locator("#airport-HAM td", has_text="<b>an airplane</b> of 70 m")).to_be_visible()
    expect(page.locator("#compare")).to_be_visible()


def test_pictures_of_shifted_scenes_lie_on_each_other(page_file: Path, open_page: OpenPage) -> None:
    page = open_report(open_page, page_file)
    choose(page, 0, 1)
    script = """image => image.decode().then(() => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const row = context.getImageData(0, canvas.height / 2, canvas.width, 1).data;
        let x = 0;
        while (row[4 * x] > row[4 * x + 2]) x += 1;
        return x / canvas.width;
    })"""
    images = page.locator("img.leaflet-image-layer")
    edges = [images.nth(index).evaluate(script) for index in range(2)]
    # Red ends in the middle of both, although the second scene lies 6 m, 0.3 % of the width, farther east.
    assert edges == pytest.approx([0.5, 0.5], abs=0.0015)


def test_the_command_writes_the_report(monitor: MonitorRunner) -> None:
    monitor.add_scene("2026-01-05")
    status, out, err = monitor.run("--report", "pages")
    assert (status, err) == (0, [])
    assert out[-1] == "report: pages/monitor.html"
    written = Path("pages/monitor.html").read_text(encoding="utf-8")
    assert written.count("data:image/webp;base64") == 1
    assert main(["report", "--airports", "airports.yaml", "--store", "store", "--report", "again"]) == 0
    assert Path("again/monitor.html").read_text(encoding="utf-8") == written


# The charts


def drawn(draw: Any, tables: Tables) -> Any:
    axes = Figure().add_subplot()
    draw(axes, tables.visits)
    return axes


def quiet_tables(days: list[int], part: int | None = None) -> Tables:
    start = datetime.date(2026, 3, 1)
    return tables_of(
        [
            scene(str(start + datetime.timedelta(days=day)), PLANES, seen=WEST if number == part else None)
            for number, day in enumerate(days)
        ]
    )


def test_no_line_crosses_a_gap() -> None:
    tables = quiet_tables([0, 4, 8, 12, 40, 44])
    ((start, end),) = gaps(tables.visits)
    assert (start.day, end.month, end.day) == (13, 4, 10)
    lines = [line for line in drawn(draw_counts, tables).lines if len(line.get_xdata()) > 1]
    assert [len(line.get_xdata()) for line in lines] == [4, 2]


def test_a_visit_that_saw_a_part_is_hollow_and_on_no_line() -> None:
    axes = drawn(draw_counts, quiet_tables([0, 4, 8, 12], part=2))
    (line,) = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert len(line.get_xdata()) == 3
    markers = [line.get_markerfacecolor() for line in axes.lines if len(line.get_xdata()) == 1]
    assert [face == "none" for face in markers] == [False, False, True, False]


def test_the_charts_draw_intervals_and_changes() -> None:
    _, tables = year_of_three()
    bars = [lines for lines in drawn(draw_counts, tables).collections if isinstance(lines, LineCollection)]
    segments = [tuple(segment[:, 1]) for lines in bars for segment in lines.get_segments()]
    assert segments == [(visit.count_low, visit.count_high) for visit in tables.visits]
    heights = [bar.get_height() for bar in drawn(draw_changes, tables).patches]
    assert heights == [0, 0, 1, -1, 0, 0]


def test_the_scene_that_decides_is_drawn_last() -> None:
    scenes = [
        scene("2026-03-01", PLANES, published_at="2026-03-03T00:00:00Z"),
        scene("2026-03-01T10:10:00Z", PLANES, published_at="2026-03-02T00:00:00Z"),
        scene("2026-03-05", PLANES),
    ]
    rows, tables = [row for row, _ in scenes], tables_of(scenes)
    grouped = scenes_by_visit(tables.visits, rows)
    assert [[row.scene_key for row in grouped[visit.visit_id]] for visit in tables.visits] == [
        [rows[1].scene_key, rows[0].scene_key],
        [rows[2].scene_key],
    ]


def test_pictures_stay_within_their_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, tables = year_of_three()
    monkeypatch.chdir(tmp_path)
    for row in rows:
        picture(tmp_path / row.scene_uri)
    monkeypatch.setattr(report, "MAX_PICTURE_BYTES", 0)
    assert "data:image/webp" not in report.render([AirportReport(AIRPORT, tables, rows, [])])
