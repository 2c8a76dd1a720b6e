"""The monitor on a made year: 60 rendered dates, served by a STAC API on this machine, and what it tells of them.

python -m tests.benchmarks.monitor_year --work out/monitor_year --output out/monitor_year.json

An airport is drawn by `model.synthetic` on 60 dates: airplanes come, stay, are pushed back and leave by a script; the
sun, the season, haze and noise change; georeferences are off by up to 8 m; clouds come with a mask; some scenes show
only a part. The monitor runs date by date, then once more; on an empty store with two thirds of the dates late; and on
another one with all dates at once. All three stores must be equal in the end. Scenes stay in the work folder, and are
not drawn again.

`--at-once STORE` runs the monitor only once, on all dates, and measures that store: the dates up to `CHOSEN_ON` alone,
the others alone, and all; and the others after a review of the first ones, in which what was falsely detected at least
twice, and not beside a slot, was put under `ignore`. With `--measure STORE` nothing is run but the tables, so that
rules can be compared without detecting again. `--evaluation FILE`, the results of `model.evaluate` on scenes like
these, gives the recall to measure with. Stores are folders in the work folder.
"""

import argparse
import dataclasses
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely import Polygon, unary_union

from geo.georef import GeoReference
from geo.types import FloatArray, ImageArray, Window
from model.common.atomic import make_folder, write_atomically
from model.synthetic.aircraft import TYPES, WIDE, AircraftType, silhouette
from model.synthetic.airframe import draw_airplane, sample_livery
from model.synthetic.geometry import Frame
from model.synthetic.scene import SCENES, finish, paint_window, render
from model.synthetic.style import Light, Style, sample_style, stream
from model.synthetic.world import World
from pipeline.monitor import alerts, series
from pipeline.monitor.airports import IGNORE_RADIUS_M, Spot, load_airports
from pipeline.monitor.alerts import find_events, is_same
from pipeline.monitor.run import load_tables
from pipeline.monitor.series import Tables
from pipeline.monitor.settings import MonitorSettings, Recall, load_settings
from pipeline.monitor.store import Store
from pipeline.monitor.visits import Visit, group_visits
from tests.geo.range_server import RangeServer, serving
from tests.pipeline.monitor import year
from tests.pipeline.monitor.stac_api import StacApi, serving_api
from tests.pipeline.monitor.year import Date, Parked, Planted, Slot
from tests.pipeline.monitor.year_scenes import Site, make_site, write_airport, write_date

SIDE_PX, RESOLUTION_M, DATES = 1600, 0.75, 60
#: The airport on which rules are chosen. Any other one can be drawn; not every one has room for the script.
SEED, SCRIPT_SEED = 12, 7
BORDER_PX, MARGIN_M = 30.0, 45.0
#: Smaller airplanes are not part of the script: the model misses some of them, which is measured elsewhere.
MIN_SIZE_M, LARGE_M = 20.0, 60.0
PLANTED = Planted(full=26, empty=36, large=44, gap_before=51)
QUIET_MONTH = 9
#: Stores of the same dates: run date by date, with two thirds of the dates late, and all at once.
STORES = ("in_time", "late", "at_once")
#: What depends on the detector's errors (`certain_score`, `certain_visits`) was chosen on the dates before this one.
CHOSEN_ON = 28


@dataclasses.dataclass(frozen=True)
class Berth:
    """A slot with what can park there, in the renderer's frame."""

    shape: AircraftType
    pose: Frame


def lay_out(style: Style, seed: int) -> World:
    """Return the airport without its airplanes; what would park there is reserved. The same on every date."""
    extent = SIDE_PX * RESOLUTION_M
    world = World(extent, extent, style, reserved=[])
    SCENES["airport"](world, seed)
    return world


def choose_berths(world: World) -> list[Berth]:
    """Return the places of the script: clear of the edges, and with room behind to be pushed back; a large one last."""
    extent, berths, parked = world.width_m, [], list[shapely.Geometry]()
    for shape, pose in world.reserved or []:
        outline = _outline(shape, pose)
        swept = unary_union([outline, _outline(shape, pushed(pose))])
        xmin, ymin, xmax, ymax = swept.bounds
        inside = min(xmin, ymin, extent - xmax, extent - ymax) > MARGIN_M
        size = max(np.ptp(pose.points(_box(shape)), axis=0))
        if inside and MIN_SIZE_M < size < 0.9 * LARGE_M and all(other.distance(swept) > 2 for other in parked):
            berths.append(Berth(shape, pose))
            parked.append(outline)
    largest = max((shape for shape in TYPES if shape.kind == WIDE), key=lambda shape: min(shape.length, shape.span))
    obstacles = [_outline(berth.shape, pose) for berth in berths for pose in (berth.pose, pushed(berth.pose))]
    return [*berths, _large_berth(world, largest, obstacles)]


def _large_berth(world: World, shape: AircraftType, taken: Sequence[shapely.Geometry]) -> Berth:
    """Return a place for a large airplane, straight in the picture, on free ground near the centre."""
    centre = world.width_m / 2
    spots = [(centre + dx, centre + dy) for dx in range(-330, 331, 15) for dy in range(-330, 331, 15)]
    obstacles = unary_union([*taken, *world.footprints])
    for x, y in sorted(spots, key=lambda spot: math.hypot(spot[0] - centre, spot[1] - centre)):
        pose = Frame(float(x), float(y), 0.0)
        if _outline(shape, pose).distance(obstacles) > 8:
            return Berth(shape, pose)
    raise SystemExit("no room for a large airplane: choose another seed")


def _box(shape: AircraftType) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.concatenate(silhouette(shape))


def _outline(shape: AircraftType, pose: Frame) -> shapely.Geometry:
    return unary_union([Polygon(pose.points(ring)) for ring in silhouette(shape)])


def pushed(pose: Frame) -> Frame:
    """Return where an airplane stands when it is pushed back."""
    return pose.child(-year.PUSHED_M, 0.0)


def slots_of(berths: Sequence[Berth], site: Site) -> list[Slot]:
    """Return the berths as slots of the script, by the centres of their boxes on the ground."""
    slots = []
    for number, berth in enumerate(berths):
        here, away = (_centre(berth.shape, pose, site) for pose in (berth.pose, pushed(berth.pose)))
        back = (away - here) / year.PUSHED_M
        slot = Slot(float(here[0]), float(here[1]), (float(back[0]), float(back[1])), number == len(berths) - 1)
        slots.append(slot)
    return slots


def _centre(shape: AircraftType, pose: Frame, site: Site) -> np.ndarray[Any, np.dtype[np.float64]]:
    points = pose.points(_box(shape)) / RESOLUTION_M
    return np.asarray(site.to_metres(((points.min(axis=0) + points.max(axis=0)) / 2)[None])[0])


def style_of(date: Date, latitude: float, seed: int) -> Style:
    """Return the look of a date: the sun and the grass of its season, its haze, another sensor noise and view."""
    base = sample_style(seed, latitude)
    random = stream(int(date.time.strftime("%j")), "date")
    summer = 0.5 - 0.5 * math.cos(2 * math.pi * (date.time.timetuple().tm_yday - 10) / 365)
    elevation = math.radians(22 + 40 * summer)
    azimuth = math.radians(random.uniform(130, 160))
    sun = (math.sin(azimuth) * math.cos(elevation), -math.cos(azimuth) * math.cos(elevation), math.sin(elevation))
    tilt, towards = math.tan(math.radians(random.uniform(0, 20))), random.uniform(0, 2 * math.pi)
    light = Light(
        sun=sun,
        shadow=(-sun[0] / sun[2], -sun[1] / sun[2]),
        lean=(tilt * math.cos(towards), tilt * math.sin(towards)),
        sky=base.light.sky,
    )
    grass = np.array(base.palette.dry_grass) * (1 - summer) + np.array(base.palette.grass) * summer
    palette = dataclasses.replace(base.palette, grass=tuple(grass.tolist()))
    sensor = dataclasses.replace(base.sensor, haze=date.haze, noise=float(random.uniform(1.2, 2.6)))
    return Style(light, palette, sensor)


def paint(date: Date, berths: Sequence[Berth], latitude: float, seed: int) -> ImageArray:
    """Return the scene of a date in clear weather, uint8 (SIDE_PX, SIDE_PX, 3)."""
    world = lay_out(style_of(date, latitude, seed), seed)
    reserved = [(shape, dataclasses.astuple(pose)) for shape, pose in world.reserved or []]
    if any((berth.shape, dataclasses.astuple(berth.pose)) not in reserved for berth in berths[:-1]):
        raise SystemExit(f"{date.name}: the airport is not laid out as on the other dates")
    for index, airplane in date.parked.items():
        berth = berths[index]
        livery = sample_livery(stream(airplane.number, "livery"), berth.shape.kind)
        draw_airplane(world, berth.shape, pushed(berth.pose) if airplane.pushed else berth.pose, livery)
    scene = finish(world, seed, RESOLUTION_M, noise_seed=1000 + int(date.time.strftime("%j")))
    return paint_window(scene, Window(0, 0, SIDE_PX, SIDE_PX))


def make_scenes(
    folder: Path, script: Sequence[Date], berths: Sequence[Berth], site: Site, seed: int
) -> list[dict[str, Any]]:
    """Write the dates that the folder lacks, and return the Items of all."""
    make_folder(folder)
    items = []
    for date in script:
        path = folder / f"{date.name}.json"
        if not path.is_file():
            item = write_date(folder, date, paint(date, berths, site.plane.lat, seed), site, 236, ".")
            write_atomically(path, json.dumps(item))
            print(f"{date.name}: {len(date.parked)} airplanes", file=sys.stderr)
        items.append(json.loads(path.read_text()))
    return items


def serve(items: Sequence[dict[str, Any]], folder: Path, api: StacApi, files: RangeServer) -> None:
    """Make the API serve Items whose assets are on the file server."""
    api.items = []
    for item in items:
        assets = {}
        for key, asset in item["assets"].items():
            name = asset["href"].removeprefix("./")
            files.files[f"/{name}"] = folder / name
            assets[key] = asset | {"href": f"{files.address}/{name}"}
        api.items.append(item | {"assets": assets})


def run_monitor(work: Path, store: str, source: str, until: Date) -> list[str]:
    """Run the command as a user does, and return its lines on stdout."""
    command = [sys.executable, "-m", "pipeline.monitor", "run", "--airports", str(work / "airports.yaml")]
    command += ["--source", source, "--store", str(work / store), "--until", f"{until.time:%Y-%m-%d}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    return done.stdout.splitlines()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the year and print its figures; the status is 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("out/monitor_year"), help="folder of scenes and stores")
    parser.add_argument("--output", type=Path, default=Path("out/monitor_year.json"))
    parser.add_argument("--seed", type=int, default=SEED, help="airport and script; the work folder is for one of them")
    parser.add_argument("--measure", metavar="STORE", help="only measure a store with scenes of the year")
    parser.add_argument("--evaluation", type=Path, metavar="FILE", help="results of model.evaluate: take their recall")
    parser.add_argument("--at-once", metavar="STORE", help="only run all dates at once, and measure that store")
    parser.add_argument("--dates", type=int, default=DATES, help="only the first dates, to try it")
    options = parser.parse_args(argv)
    started = time.monotonic()
    seed, work = options.seed, options.work
    plain = render(SIDE_PX, seed, RESOLUTION_M).georef
    site = make_site(GeoReference(plain.affine, plain.crs), SIDE_PX, SIDE_PX, BORDER_PX)
    berths = choose_berths(lay_out(sample_style(seed, site.plane.lat), seed))
    slots = slots_of(berths, site)
    extent = (SIDE_PX - 2 * BORDER_PX) * RESOLUTION_M
    script = year.write_script(slots, DATES, PLANTED, seed=seed - SEED + SCRIPT_SEED, extent_m=extent)[: options.dates]
    make_folder(work)
    write_airport(work / "airports.yaml", site, slots)
    settings = load_settings()
    if options.evaluation:
        settings = dataclasses.replace(settings, recall=read_recall(options.evaluation))
    figures: dict[str, Any]
    if options.measure:
        figures = measure_store(work / options.measure, work, script, slots, site, settings)
    else:
        items = make_scenes(work / "scenes", script, berths, site, seed)
        if options.at_once:
            run_monitor(work, options.at_once, str(work / "scenes"), script[-1])
            figures = measure_store(work / options.at_once, work, script, slots, site, settings)
        else:
            told, again = run_year(work, items, script)
            figures = measure(work, script, slots, site, told, again)
        figures["seconds"] = round(time.monotonic() - started)
    print(json.dumps(figures, indent=2))
    write_atomically(options.output, json.dumps(figures, indent=2) + "\n")
    return 0 if figures.get("targets_met", True) else 1


def run_year(work: Path, items: Sequence[dict[str, Any]], script: Sequence[Date]) -> tuple[list[str], list[str]]:
    """Run the monitor date by date, once more, with late dates, and on all dates at once.

    Returns:
        The lines on stdout of the runs date by date, and of the one after them.
    """
    for store in STORES:
        shutil.rmtree(work / store, ignore_errors=True)
    told = []
    with serving_api() as api, serving() as files:

        def run(store: str, until: Date) -> list[str]:
            lines = run_monitor(work, store, api.url, until)
            print("\n".join(lines if store == "in_time" else lines[-1:]), file=sys.stderr)
            return lines

        for number, date in enumerate(script, start=1):
            serve(items[:number], work / "scenes", api, files)
            told += run("in_time", date)
        again = run("in_time", script[-1])
        for known in (1, 2, 3):  # of three dates in a row
            serve([item for index, item in enumerate(items) if index % 3 < known], work / "scenes", api, files)
            run("late", script[-1])
        run("at_once", script[-1])
    return told, again


def read_recall(results: Path) -> tuple[Recall, ...]:
    """Return the recall by size, all sets together, of the results of `model.evaluate`."""
    rows = json.loads(results.read_text())["sets"]["together"]["by_size_px"]
    known = [row for row in rows if row["airplanes"]]
    return tuple(
        Recall(row["least"] if number else 0, row["recall"], row["airplanes"]) for number, row in enumerate(known)
    )


def measure_store(
    store: Path, work: Path, script: Sequence[Date], slots: Sequence[Slot], site: Site, settings: MonitorSettings
) -> dict[str, Any]:
    """Return the figures of the dates that a store has, for those that rules were chosen on and for the others."""
    (airport,) = load_airports(work / "airports.yaml")
    opened = Store(str(store))
    scenes = opened.scenes("MADE")
    detections, days = opened.detections(scenes), {scene.day for scene in scenes}
    script = [date for date in script if _day(date) in days]
    visits = group_visits(scenes, detections, airport, settings)
    reviewed = dataclasses.replace(airport, ignored=review(visits[:CHOSEN_ON], script, slots))
    parts = {
        "chosen_on": (script[:CHOSEN_ON], airport),
        "others": (script[CHOSEN_ON:], airport),
        "all": (script, airport),
        "others_reviewed": (script[CHOSEN_ON:], reviewed),
    }
    figures: dict[str, Any] = {"ignored": len(reviewed.ignored)}
    for name, (dates, site_airport) in parts.items():
        if dates:
            of_part = [scene for scene in scenes if scene.day in set(map(_day, dates))]
            tables = series.compute(of_part, detections, site_airport, settings)
            events = find_events(settings.alerts, tables.visits, tables.changes, site_airport, dates[-1].time)
            missing, wrong = year.score_alerts(events, script, PLANTED)
            figures[name] = table_figures(tables, dates, slots, site) | {
                "planted_not_told": missing,
                "told_not_planted": [alerts.line(event) for event in wrong],
            }
    return figures


def _day(date: Date) -> str:
    return f"{date.time:%Y-%m-%d}"


def review(visits: Sequence[Visit], script: Sequence[Date], slots: Sequence[Slot]) -> tuple[Spot, ...]:
    """Return where a person who looks at the detections of some dates would have them ignored.

    Where there was no airplane, but detections that count, on two dates or more, and none can stand.
    """
    standing = np.array([year.position(slot, Parked(0, is_pushed)) for slot in slots for is_pushed in (False, True)])
    false: list[FloatArray] = []
    for visit, date in zip(visits, script, strict=False):
        parked = [year.position(slots[index], airplane) for index, airplane in date.parked.items()]
        for sighting in visit.counted:
            xy = np.array([sighting.x, sighting.y]) - np.array(date.shift)
            if not parked or np.hypot(*(np.array(parked) - xy).T).min() > year.SLOT_M:
                false.append(xy)
    spots: list[Spot] = []
    for xy in false:
        again = sum(np.hypot(*(other - xy)) < IGNORE_RADIUS_M for other in false)
        is_known = any(shapely.intersects_xy(spot.polygon, *xy) for spot in spots)
        if again >= 2 and not is_known and np.hypot(*(standing - xy).T).min() > 2 * IGNORE_RADIUS_M:
            spots.append(Spot(f"false {len(spots)}", shapely.Point(*xy).buffer(IGNORE_RADIUS_M)))
    return tuple(spots)


def table_figures(tables: Tables, script: Sequence[Date], slots: Sequence[Slot], site: Site) -> dict[str, Any]:
    """Return the figures of counts, changes, shifts and stands."""
    scores = year.score_changes(tables, slots, script, site.area_m, MARGIN_M)
    inside = sum(
        visit.count_low <= year.true_count(slots, date, site.area_m) <= visit.count_high
        for visit, date in zip(tables.visits, script, strict=True)
    )
    shifts = [
        math.hypot(
            visit.shift_east_m - (date.shift[0] - script[0].shift[0]),
            visit.shift_north_m - (date.shift[1] - script[0].shift[1]),
        )
        for visit, date in zip(tables.visits, script, strict=True)
        if visit.shift_east_m is not None and visit.shift_north_m is not None
    ]
    stands = [row for row in tables.stands if row.state != "not_seen"]
    return {
        "dates": len(script),
        "slots": len(slots),
        "airplanes_seen": sum(year.true_count(slots, date, site.area_m) for date in script),
        "count_error": round(year.count_error(tables, slots, script, site.area_m), 4),
        "interval_holds": round(inside / len(script), 3),
        **{f"{name}_f1": round(score.f1, 4) for name, score in scores.items()},
        **{name: dataclasses.asdict(score) for name, score in scores.items()},
        "shift_error_m_median": round(float(np.median(shifts)), 2) if shifts else None,
        "shift_error_m_max": round(max(shifts), 2) if shifts else None,
        "shifts_estimated": len(shifts),
        "stands_right": round(_right_stands(stands, script, slots), 4),
    }


def measure(
    work: Path, script: Sequence[Date], slots: Sequence[Slot], site: Site, told: Sequence[str], again: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of the year."""
    stores = {name: Store(str(work / name)) for name in STORES}
    tables = load_tables(stores["in_time"], "MADE")
    events = [event for event in alerts.read_events(stores["in_time"]) if not event.withdrawn]
    missing, wrong = year.score_alerts(events, script, PLANTED)
    lines = [line for line in told if line.startswith("ALERT")]
    figures = table_figures(tables, script, slots, site) | {
        "alerts": len(events),
        "planted_not_told": missing,
        "told_not_planted": [alerts.line(event) for event in wrong],
        "alerts_in_the_quiet_month": sum(f"-{QUIET_MONTH:02d}-" in event.at for event in events),
        "told_twice": len(lines) - len(set(lines)),
        "second_run": again[-1],
        "differs_from_at_once": {name: differences(stores[name], stores["at_once"]) for name in ("in_time", "late")},
    }
    figures["targets_met"] = (
        abs(figures["count_error"]) <= 0.03
        and min(figures["arrived_f1"], figures["left_f1"]) >= 0.95
        and not missing
        and not wrong
        and figures["told_twice"] == 0
        and not any(figures["differs_from_at_once"].values())
        and "scenes processed: 0;" in again[-1]
    )
    return figures


def differences(store: Store, other: Store) -> list[str]:
    """Return the names of what differs between two stores: a table, or which alerts stand.

    Alerts are recorded as they were first told, so only which events they are about is compared.
    """
    scenes, other_scenes = store.scenes(), other.scenes()
    tables, other_tables = load_tables(store, "MADE").by_name(), load_tables(other, "MADE").by_name()
    pairs: dict[str, tuple[Any, Any]] = {
        "scenes": (scenes, other_scenes),
        "detections": (store.detections(scenes), other.detections(other_scenes)),
        **{name: (rows, other_tables[name][1]) for name, (_, rows) in tables.items()},
    }
    differing = [name for name, (first, second) in pairs.items() if first != second]
    events, other_events = (
        [event for event in alerts.read_events(each) if not event.withdrawn] for each in (store, other)
    )
    same = len(events) == len(other_events) and all(
        any(is_same(event, each) for each in other_events) for event in events
    )
    return differing if same else [*differing, "alerts"]


def _right_stands(rows: Sequence[Any], script: Sequence[Date], slots: Sequence[Slot]) -> float:
    """Return the share of stands, where they were seen, whose state is that of the script."""
    by_day = {f"{date.time:%Y-%m-%d}": date for date in script}
    right = 0
    for row in rows:
        airplane: Parked | None = by_day[row.day].parked.get(int(row.stand[1:]))
        occupied = airplane is not None and not airplane.pushed
        right += (row.state == "occupied") == occupied
    return right / max(1, len(rows))


if __name__ == "__main__":
    sys.exit(main())
