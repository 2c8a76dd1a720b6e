"""Ten dates of a made year through the command: what it tells is the script."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS

from geo.georef import GeoReference
from geo.grid import Tiling
from pipeline.monitor.airports import load_airports
from pipeline.monitor.alerts import read_events
from pipeline.monitor.run import load_tables
from pipeline.monitor.settings import load_settings
from pipeline.monitor.store import Store
from tests.pipeline.monitor import year
from tests.pipeline.monitor.conftest import MonitorRunner
from tests.pipeline.monitor.stac_api import StacApi, serving_api
from tests.pipeline.monitor.year import Date, Planted, Slot
from tests.pipeline.monitor.year_scenes import (
    CLOUD,
    SIZE_PX,
    Site,
    make_site,
    paint_rectangles,
    rectangle_slots,
    write_airport,
    write_date,
)

DATES = 10
PLANTED = Planted(full=-1, empty=9, large=-1, gap_before=4)
MARGIN_M = 30.0


@dataclasses.dataclass
class MadeYear:
    """A script, its scenes in a folder, and the command."""

    monitor: MonitorRunner
    site: Site
    slots: list[Slot]
    script: list[Date]
    items: list[dict[str, object]]

    def run(self, api: StacApi, date: Date, store: str) -> list[str]:
        until = ("--until", f"{date.time:%Y-%m-%d}")
        status, out, err = self.monitor.run(*until, "--config", "monitor.yaml", source=api.url, store=store)
        assert (status, err) == (0, [])
        return out


@pytest.fixture
def made(monitor: MonitorRunner) -> MadeYear:
    georef = GeoReference(Affine(0.5, 0, 500_000, 0, -0.5, 5_940_000), CRS.from_epsg(32632))
    site = make_site(georef, *SIZE_PX, border_px=30)
    slots = rectangle_slots(site)
    script = year.write_script(slots, DATES, PLANTED, seed=3, extent_m=390, cloudy=0.1, days=100)
    write_airport(monitor.folder / "airports.yaml", site, slots)
    pipeline = json.loads((monitor.folder / "settings.yaml").read_text())
    pipeline["tiling"] = dataclasses.asdict(Tiling(levels_m=(0.5,), tile_px=512, halo_px=64))
    (monitor.folder / "settings.yaml").write_text(json.dumps(pipeline))
    settings = dataclasses.asdict(load_settings())
    settings["baseline"]["min_visits"] = 4
    settings["recall"] = [{"min_px": 0, "recall": 1.0, "airplanes": 100}]
    (monitor.folder / "monitor.yaml").write_text(json.dumps(settings))
    random = np.random.default_rng(1)
    folder = monitor.folder / "scenes"
    items = [
        write_date(folder, date, paint_rectangles(site, slots, date, random), site, CLOUD, folder.as_uri())
        for date in script
    ]
    return MadeYear(monitor, site, slots, script, items)


def test_the_monitor_tells_the_script(made: MadeYear) -> None:
    told: list[str] = []
    with serving_api() as api:
        for date, item in zip(made.script, made.items, strict=True):
            api.items.append(item)
            told += made.run(api, date, "store")
        before = made.monitor.files()
        assert made.run(api, made.script[-1], "store")[-1].startswith("airports: 1; scenes processed: 0;")
        assert made.monitor.files() == before
        # The same dates, but most of them late: every third in time, then the others in two runs.
        late: list[str] = []
        for there in ((0,), (0, 2), (0, 1, 2)):
            api.items = [item for index, item in enumerate(made.items) if index % 3 in there]
            late += made.run(api, made.script[-1], "late")
    airport = load_airports(Path("airports.yaml"))[0]
    tables = load_tables(Store("store"), airport.id)
    assert load_tables(Store("late"), airport.id) == tables
    assert abs(year.count_error(tables, made.slots, made.script, made.site.area_m)) < 0.03
    scores = year.score_changes(tables, made.slots, made.script, made.site.area_m, MARGIN_M)
    assert sum(score.told for score in scores.values()) > 30
    assert min(scores["arrived"].f1, scores["left"].f1) >= 0.95, scores
    for lines, store in ((told, "store"), (late, "late")):
        alerts = [line for line in lines if line.startswith("ALERT")]
        assert len(alerts) == len(set(alerts))
        events = read_events(Store(store))
        missing, wrong = year.score_alerts([event for event in events if not event.withdrawn], made.script, PLANTED)
        assert (missing, wrong) == (["full", "large"], [])
