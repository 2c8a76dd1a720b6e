"""Synthetic airplanes, ledgers, scenes and pages for the tests of the report."""

import dataclasses
import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
from shapely.geometry import box

from geo.errors import RasterError
from geo.grid import Level
from geo.outline import POINT_FIELDS
from geo.raster.radiometry import Radiometry
from geo.types import ImageArray, Window
from pipeline.ledger import Ledger, LevelEntry, PartFailure, RunInfo, SceneEntry, make_ledger
from pipeline.records import Airplane

WIDTH, HEIGHT = 4000, 3000
MODEL = "airplanes-lite0@0123456789ab"


def airplane(uri: str, number: int, score: float = 0.9) -> Airplane:
    x, y = 100.0 + 40 * number, 900.0 - 7 * number
    lon, lat = 9.0 + x * 5e-6, 53.0 - y * 5e-6
    return Airplane(
        geometry=box(lon, lat, lon + 3e-4, lat + 2e-4),
        detection_id=f"{number:016x}",
        scene_id=f"id of {uri}",
        scene_uri=uri,
        acquired_at=None,
        score=score,
        xmin_px=x,
        ymin_px=y,
        xmax_px=x + 61.25,
        ymax_px=y + 42.5,
        size_m=30.5,
        length_m=None,
        length_sd_m=None,
        wingspan_m=None,
        wingspan_sd_m=None,
        heading_deg=None,
        heading_sd_deg=None,
        outline="upright",
        **dict.fromkeys(POINT_FIELDS),
        resolution_m=0.5,
        model=MODEL,
    )


def entry(uri: str, **changes: Any) -> SceneEntry:
    complete = SceneEntry(
        scene_uri=uri,
        scene_id=f"id of {uri}",
        acquired_at=None,
        status="complete",
        error=None,
        duplicate_of=None,
        width_px=WIDTH,
        height_px=HEIGHT,
        crs="EPSG:32632",
        resolution_m=(0.5, 0.5),
        bands=(1, 2, 3),
        stretch=None,
        parts_planned=20,
        parts_done=20,
        parts_empty=0,
        parts_failed=0,
        parts_screened=0,
        km2=3.0,
        km2_coarse=0.0,
        airplanes=0,
        seconds=1.5,
        failures=(),
        levels=(LevelEntry(0.5, WIDTH, HEIGHT, 15), LevelEntry(1.0, WIDTH // 2, HEIGHT // 2, 5)),
    )
    return dataclasses.replace(complete, **changes)


def failed_entry(uri: str, error: str) -> SceneEntry:
    unknown = dict.fromkeys(("scene_id", "width_px", "height_px", "crs", "resolution_m"))
    return entry(uri, status="failed", error=error, **unknown, parts_planned=0, parts_done=0, km2=0.0, levels=())


def part_failure(col: int, row: int, error: str = "a broken block") -> PartFailure:
    return PartFailure(resolution_m=0.5, col=col, row=row, width=1024, height=1024, error=error)


def ledger(*entries: SceneEntry, command: str = "python -m pipeline.run --input x.tif") -> Ledger:
    run = RunInfo(
        run_id="run-1",
        command=command,
        started_at="2026-11-23T06:00:00Z",
        model=MODEL,
        versions={"apache-beam": "2.77.0"},
        settings={"batch_size": 8, "min_score": 0.25},
    )
    return make_ledger(run, 12.0, entries)


class FakeReader:
    """Reader of scenes without files: red grows to the right, green downwards, blue is constant.

    Overviews are read small, since only their meaning matters. A scene with "gone" in its name cannot be opened, one
    with "broken" cannot be read in its left half.
    """

    radiometry = Radiometry((1, 2, 3), None, None)
    size = (WIDTH, HEIGHT)

    def __init__(self, uri: str, bands: tuple[int, ...] | None = None) -> None:
        self.uri = uri

    def __enter__(self) -> "FakeReader":
        if "gone" in self.uri:
            raise RasterError(f"expected a raster, got nothing at {self.uri}")
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_overview(self, max_px: int) -> ImageArray:
        width = min(max_px, 80)
        level = Level(1.0, width, width * HEIGHT // WIDTH, WIDTH / width, WIDTH / width)
        return self.read_window(Window(0, 0, level.width, level.height), level)

    def read_window(self, window: Window, level: Level) -> ImageArray:
        if "broken" in self.uri and window.col < level.width // 2:
            raise RasterError(f"{self.uri}: expected pixels in column {window.col}, got a read error")
        image = np.full((window.height, window.width, 3), 80, np.uint8)
        image[..., 0] = (np.arange(window.col, window.right) * 200 / level.width)[None, :]
        image[..., 1] = (np.arange(window.row, window.bottom) * 250 / level.height)[:, None]
        return image


class Page(HTMLParser):
    """The page as parsed by a browser: elements with attributes, the text after each up to the next tag, the data."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._in_element = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        self._in_element = True

    def handle_endtag(self, tag: str) -> None:
        self._in_element = False

    def handle_data(self, data: str) -> None:
        if self._in_element:
            self.texts[-1] += data

    def text_of(self, tag: str, **attributes: str) -> list[str]:
        """Text of each matching element up to the next tag, in page order."""
        return [
            text
            for (name, actual), text in zip(self.elements, self.texts, strict=True)
            if name == tag and attributes.items() <= actual.items()
        ]

    @property
    def data(self) -> Any:
        (text,) = self.text_of("script", id="page-data")
        return json.loads(text)
