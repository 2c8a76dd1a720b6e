"""Synthetic airplanes, ledgers and pages for the tests of the report."""

import dataclasses
import json
from html.parser import HTMLParser
from typing import Any

from shapely.geometry import box

from geo.grid import Tiling
from pipeline.ledger import Ledger, PartFailure, RunInfo, SceneEntry, make_ledger
from pipeline.records import Airplane

WIDTH, HEIGHT = 4000, 3000
TILING = Tiling(levels_m=(0.5, 1.0), max_upsampling=4.0)
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
        wingspan_m=None,
        heading_deg=None,
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
    )
    return dataclasses.replace(complete, **changes)


def failed_entry(uri: str, error: str) -> SceneEntry:
    unknown = dict.fromkeys(("scene_id", "width_px", "height_px", "crs", "resolution_m"))
    return entry(uri, status="failed", error=error, **unknown, parts_planned=0, parts_done=0, km2=0.0)


def part_failure(col: int, row: int, error: str = "a broken block") -> PartFailure:
    return PartFailure(resolution_m=0.5, col=col, row=row, width=1024, height=1024, error=error)


def ledger(*entries: SceneEntry, command: str = "python -m pipeline.run --input x.tif") -> Ledger:
    run = RunInfo(
        run_id="run-1",
        command=command,
        started_at="2026-11-23T06:00:00Z",
        model=MODEL,
        versions={"apache-beam": "2.77.0"},
        settings={"batch_size": 8, "tiling": dataclasses.asdict(TILING), "force": False},
    )
    return make_ledger(run, 12.0, entries)


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
