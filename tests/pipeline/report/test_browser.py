"""The report as a reader uses it, in Chromium."""

from pathlib import Path

from playwright.sync_api import expect

from pipeline.report.page import render
from tests.browser import OpenPage
from tests.pipeline.report.factories import airplane, entry, ledger


def test_it_opens_and_the_slider_moves(tmp_path: Path, open_page: OpenPage) -> None:
    path = tmp_path / "report.html"
    airplanes = [airplane("/in/a.tif", number, score=0.5 + number / 100) for number in range(30)]
    path.write_text(render(airplanes, ledger(entry("/in/a.tif", airplanes=30))), encoding="utf-8")
    page = open_page(path)
    expect(page.locator("#shown")).to_have_text("30 of 30 airplanes shown")
    page.locator("#score").fill("0.7")
    expect(page.locator("#shown")).to_have_text("10 of 30 airplanes shown")
