"""One run of the monitor: new scenes are processed and stored, and all tables computed from what is stored."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pipeline.monitor import series
from pipeline.monitor.airports import Airport
from pipeline.monitor.alerts import Event, find_events, merge, read_events
from pipeline.monitor.detection import (
    DetectScenes,
    FailedScene,
    OutsideScene,
    ProcessedScene,
    scene_version,
)
from pipeline.monitor.scenes import ListScenes, MonitorScene, parse_time
from pipeline.monitor.series import Tables
from pipeline.monitor.settings import MonitorSettings
from pipeline.monitor.store import STATE, Store
from pipeline.monitor.tables import ChangeRow, SceneRow, VisitRow
from pipeline.values import Identity

#: Changes when the tables are computed in another way, so that they are computed anew.
TABLES_VERSION = 3
#: The settings that the tables depend on.
_TABLE_SETTINGS = (
    "visit_gap_minutes",
    "min_share_seen",
    "size_classes_m",
    "recall",
    "matching",
    "baseline",
)
T = TypeVar("T")

_OUTSIDE = f"{STATE}/outside.json"


@dataclasses.dataclass(frozen=True, slots=True)
class AirportResult:
    """What a run did for one airport.

    Attributes:
        airport: the airport.
        listed: scenes of the source that may show it.
        processed: scenes processed now.
        failed: scenes that could not be processed, or not all of it, with the cause.
        other_model: stored scenes that were processed with another model or other settings than this run's.
        visits: all visits, by time.
        new_days: the days with a scene that was processed now.
    """

    airport: Airport
    listed: int
    processed: int
    failed: tuple[str, ...]
    other_model: int
    visits: tuple[VisitRow, ...]
    new_days: frozenset[str]


def run_airports(
    airports: Sequence[Airport],
    list_scenes: ListScenes,
    detect: DetectScenes,
    store: Store,
    settings: MonitorSettings,
    identity: Identity,
    reprocess: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[AirportResult]:
    """Process the new scenes of airports, and compute their tables.

    Args:
        airports: the airports.
        list_scenes: lists the scenes of the source.
        detect: runs the main pipeline.
        store: the store, locked.
        settings: the settings.
        identity: model and settings of this run.
        reprocess: process all scenes of the source, also those that are stored.
        progress: is called with a line whenever something was done.
    """
    outside: dict[str, str] = store.read_json(_OUTSIDE) or {}
    results = []
    for airport in airports:
        progress(f"{airport.id}: looking for new scenes")
        stored = {row.scene_key: row for row in store.scenes(airport.id)}
        listed = list_scenes(airport.area)
        new = [scene for scene in listed if reprocess or _is_new(scene, airport, stored, outside)]
        done: set[str] = set()
        failed: list[str] = []
        for number, outcome in enumerate(detect(new, airport), start=1):
            progress(f"{airport.id}: {number} of {len(new)} new scenes")
            match outcome:
                case ProcessedScene(row, airplanes):
                    store.write_scene(row, airplanes)
                    done.add(row.scene_key)
                    if row.error:
                        failed.append(row.error)
                case FailedScene(_, error):
                    failed.append(error)
                case OutsideScene(scene):
                    outside[_outside_key(scene, airport)] = scene_version(scene, airport)
        progress(f"{airport.id}: computing tables")
        store.write_json(_OUTSIDE, outside)
        scenes = store.scenes(airport.id)
        compute_tables(airport, scenes, store, settings)
        visits = read_by_time(store, "visits", VisitRow, airport.id)
        results.append(
            AirportResult(
                airport=airport,
                listed=len(listed),
                processed=len(done),
                failed=tuple(failed),
                other_model=sum((row.model, row.settings_id) != dataclasses.astuple(identity) for row in scenes),
                visits=visits,
                new_days=frozenset(row.day for row in scenes if row.scene_key in done),
            )
        )
    return results


def _is_new(scene: MonitorScene, airport: Airport, stored: dict[str, SceneRow], outside: dict[str, str]) -> bool:
    """Return whether a scene must be processed: it is not stored in this version, or only in part."""
    version = scene_version(scene, airport)
    if outside.get(_outside_key(scene, airport)) == version:
        return False
    row = stored.get(scene.key)
    return row is None or row.version != version or row.status == "incomplete"


def _outside_key(scene: MonitorScene, airport: Airport) -> str:
    return f"{airport.id}/{scene.key}"


def compute_tables(airport: Airport, scenes: Sequence[SceneRow], store: Store, settings: MonitorSettings) -> bool:
    """Compute the tables of an airport from its stored scenes, and store what has changed.

    Always for the whole airport: so scenes that came late, or anew, are in their place, and everything after them is
    as if they had been there in time.

    Returns:
        Whether anything was computed: not if the tables are of the same scenes, airport and settings.
    """
    inputs = _digest(airport, scenes, settings)
    if store.inputs_of(airport.id) == inputs:
        return False
    tables = series.compute(scenes, store.detections(scenes), airport, settings)
    store.write_tables(airport.id, tables.by_name(), inputs)
    return True


def read_by_time(store: Store, table: str, cls: type[T], airport: str) -> tuple[T, ...]:
    """Return the rows of a computed table of an airport, by time."""
    rows: list[Any] = list(store.read_table(table, cls, airport))
    return tuple(sorted(rows, key=lambda row: parse_time(row.acquired_at)))


def load_tables(store: Store, airport: str) -> Tables:
    """Return the stored tables of an airport, by time."""
    return Tables(**{name: read_by_time(store, name, cls, airport) for name, cls in series.TABLES.items()})


def raise_alerts(
    results: Sequence[AirportResult], store: Store, settings: MonitorSettings, now: datetime.datetime
) -> list[Event]:
    """Return the record of events after a run; `deliver` sends the new ones."""
    events = []
    for result in results:
        changes = read_by_time(store, "changes", ChangeRow, result.airport.id)
        events += find_events(settings.alerts, result.visits, changes, result.airport, now)
    monitored = {result.airport.id for result in results}
    known = read_events(store)
    # The run says nothing about airports that it does not monitor.
    others = [event for event in known if event.airport not in monitored]
    own = [event for event in known if event.airport in monitored]
    record = others + merge(own, events, now, settings.max_alert_age_days)
    return sorted(record, key=lambda event: (event.at, event.airport, event.kind, event.id))


def _digest(airport: Airport, scenes: Sequence[SceneRow], settings: MonitorSettings) -> str:
    parts = [
        TABLES_VERSION,
        [(row.scene_key, row.version, row.status, row.model, row.settings_id) for row in scenes],
        [dataclasses.asdict(settings)[name] for name in _TABLE_SETTINGS],
        airport.area.polygons.wkt,
        [(spot.name, spot.polygon.wkt) for spot in (*airport.stands, *airport.aprons, *airport.ignored)],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def visit_line(visit: VisitRow) -> str:
    """Return a visit as a line for people."""
    cloud = "cloud unknown" if visit.share_cloud is None else f"{100 * visit.share_cloud:.0f} % under cloud"
    line = (
        f"{visit.airport} {visit.acquired_at}: {visit.count:.1f} airplanes ({visit.count_low} to {visit.count_high}) "
        f"in {100 * visit.share_seen:.0f} % of the airport, {cloud}; "
        f"{visit.arrived} arrived, {visit.left} left, {visit.stayed} stayed, {visit.moved} moved"
    )
    if visit.unusual is None:
        return line
    usual = f"usually {visit.usual:.1f} ({visit.usual_low:.0f} to {visit.usual_high:.0f})"
    return f"{line}; {usual}" + ("" if visit.unusual == "no" else f": unusually {visit.unusual}")


def summary_lines(results: Sequence[AirportResult]) -> list[str]:
    """Return what a run did as lines for people: new visits, and a line of totals."""
    lines = [visit_line(visit) for result in results for visit in result.visits if visit.day in result.new_days]
    totals = Counter[str]()
    for result in results:
        totals["processed"] += result.processed
        totals["failed"] += len(result.failed)
        totals["other"] += result.other_model
    lines.append(
        f"airports: {len(results)}; scenes processed: {totals['processed']}; failed or incomplete: {totals['failed']}"
    )
    if totals["other"]:
        lines.append(
            f"stored scenes processed with another model or other settings: {totals['other']}; "
            "--reprocess processes all scenes again"
        )
    return lines
