"""The ledger: the outcome of every scene of a run, and its sums.

It separates "no airplanes" from "not processed": every scene that was asked for has one entry, whatever became of it.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pyproj import CRS

from geo.grid import Level, Tile
from geo.raster.header import SceneHeader
from model.common.config import from_mapping
from pipeline.planning import core_km2
from pipeline.records import Airplane
from pipeline.values import Duplicate, LevelPlan, Scene, SceneFailure, SceneSource, TileOutcome

Status = Literal["complete", "incomplete", "failed", "empty", "duplicate"]
TableRows = Literal["replaced", "merged", "kept"]


@dataclasses.dataclass(frozen=True, slots=True)
class PartFailure:
    """A tile that could not be read.

    Attributes:
        resolution_m: ground resolution of its level, metres per pixel.
        col: left side of the tile's window, pixels of that level.
        row: upper side.
        width: pixels of that level.
        height: pixels of that level.
        error: the cause.
    """

    resolution_m: float
    col: int
    row: int
    width: int
    height: int
    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class LevelEntry:
    """A level of a scene as it was planned.

    Attributes:
        resolution_m: ground resolution, metres per pixel.
        width: columns of the scene at this level.
        height: rows.
        parts: its tiles.
    """

    resolution_m: float
    width: int
    height: int
    parts: int


@dataclasses.dataclass(frozen=True, slots=True)
class SceneEntry:
    """The outcome of one scene. A scene that could not be opened has None where nothing is known.

    Attributes:
        scene_uri: where it was read from, as it was given.
        scene_id: the STAC item's id, or else a fingerprint, or None.
        acquired_at: acquisition time, RFC 3339 UTC, or None where it is not known.
        status: "complete" (every tile was inferred or is empty), "incomplete" (some tile failed), "failed" (no tile was
            inferred), "empty" (there was no tile to infer: see `why_empty`) or "duplicate" (the same image as another
            scene, which was processed in its place).
        error: the cause, one line, or None.
        duplicate_of: of a duplicate, the `scene_uri` of the scene that was processed in its place; else None.
        width_px: columns, or None.
        height_px: rows, or None.
        crs: "EPSG:32631" where there is a code, else the name; or None.
        resolution_m: ground metres of one pixel along columns and rows at the centre, or None.
        bands: the bands that are red, green and blue, or the one that is grey, counted from 1; or None.
        stretch: the values that became 0 and 255; None where the values stayed as they are, or nothing is known.
        parts_planned: tiles planned, over every level.
        parts_done: tiles inferred.
        parts_empty: tiles without any valid pixel, skipped.
        parts_failed: tiles that could not be read.
        parts_screened: tiles skipped because the coarsest level has no candidate nearby (the setting `screen`).
        km2: ground inferred on the finest level, valid and of interest, square kilometres.
        km2_coarse: ground that was screened out: inferred on the coarsest level only.
        airplanes: airplanes detected.
        seconds: time spent reading and inferring its tiles.
        failures: the tiles that failed.
        parts_taken_over: tiles, done or empty, whose outcome came from the cache of an earlier run (`--work-dir`).
        fill_value: the value that was taken for nodata although no tag of the file says so; or None.
        table_rows: what became of its rows of earlier runs in tables (`bq://`): "replaced", "merged" (some tile failed:
            airplanes that were not detected again are kept) or "kept" (it failed); None for a duplicate, and where no
            output is a table.
        levels: its levels as they were planned, finest first; none if it was not planned.
        mpx: pixels of the tiles that were inferred, over every level, millions.
    """

    scene_uri: str
    scene_id: str | None
    acquired_at: str | None
    status: Status
    error: str | None
    duplicate_of: str | None
    width_px: int | None
    height_px: int | None
    crs: str | None
    resolution_m: tuple[float, float] | None
    bands: tuple[int, ...] | None
    stretch: tuple[float, float] | None
    parts_planned: int
    parts_done: int
    parts_empty: int
    parts_failed: int
    parts_screened: int
    km2: float
    km2_coarse: float
    airplanes: int
    seconds: float
    failures: tuple[PartFailure, ...]
    parts_taken_over: int = 0
    fill_value: float | None = None
    table_rows: TableRows | None = None
    levels: tuple[LevelEntry, ...] = ()
    mpx: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class SceneResult:
    """A processed scene: its ledger entry, and its airplanes by falling score."""

    entry: SceneEntry
    airplanes: tuple[Airplane, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the scenes; the fields mean what they mean there."""

    scenes: int
    complete: int
    incomplete: int
    failed: int
    empty: int
    duplicate: int
    parts_planned: int
    parts_done: int
    parts_empty: int
    parts_failed: int
    parts_screened: int
    km2: float
    km2_coarse: float
    airplanes: int
    parts_taken_over: int = 0
    mpx: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a run before it starts.

    Attributes:
        run_id: identifies the run.
        command: the command line.
        started_at: RFC 3339 UTC.
        model: name@first 12 of the weights' sha256.
        versions: version by package.
        settings: the whole config as used.
    """

    run_id: str
    command: str
    started_at: str
    model: str
    versions: dict[str, str]
    settings: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of a run.

    Attributes:
        run: the run.
        seconds: from its start to the writing of the ledger.
        totals: sums over the scenes.
        scenes: one entry per scene, by URI.
    """

    run: RunInfo
    seconds: float
    totals: Totals
    scenes: tuple[SceneEntry, ...]

    @property
    def complete(self) -> bool:
        """Whether every scene is fully processed, empty, or a duplicate of a processed scene."""
        return self.totals.incomplete + self.totals.failed == 0


def why_empty(entry: SceneEntry) -> str:
    """Return why a scene of status "empty" had no tile to infer."""
    if entry.parts_planned == 0:
        return "nothing of it lies in the area of interest, so nothing was processed"
    return f"no pixel of it is valid in any of {entry.parts_planned} parts, so nothing was processed"


def failed_entry(failure: SceneFailure) -> SceneEntry:
    """Return the entry of a scene that could not be opened."""
    return dataclasses.replace(_blank(failure.source, failure.header), status="failed", error=failure.error)


def duplicate_entry(duplicate: Duplicate) -> SceneEntry:
    """Return the entry of a duplicate."""
    scene = duplicate.scene
    return dataclasses.replace(_blank(scene.source, scene.header), status="duplicate", duplicate_of=duplicate.first)


def scene_entry(scene: Scene, outcomes: Sequence[TileOutcome], airplanes: int, error: str | None) -> SceneEntry:
    """Return the entry of a scene that was processed.

    Args:
        scene: the planned scene.
        outcomes: the outcomes of its tiles, in a fixed order.
        airplanes: number of detections.
        error: a failure after the tiles, or None.
    """
    planned = scene.tile_count
    counts = Counter(outcome.status for outcome in outcomes)
    failures = tuple(_part_failure(outcome) for outcome in outcomes if outcome.status == "failed")
    if error is None and counts.total() != planned:
        # No known fault loses a tile, but it must not go unnoticed.
        error = f"expected {planned} parts, got {counts.total()} back: run the scene again"
    if error is None and failures:
        error = f"{len(failures)} of {planned} parts could not be read; the first: {failures[0].error}"
    if error is None:
        status: Status = "complete" if counts["done"] else "empty"
    else:
        status = "incomplete" if counts["done"] else "failed"
    km2 = _inferred_km2(scene, outcomes, scene.levels[0])
    km2_coarse = max(0.0, _inferred_km2(scene, outcomes, scene.levels[-1]) - km2) if counts["screened"] else 0.0
    return dataclasses.replace(
        _blank(scene.source, scene.header),
        status=status,
        error=error,
        parts_planned=planned,
        parts_done=counts["done"],
        parts_empty=counts["empty"],
        parts_failed=counts["failed"],
        parts_screened=counts["screened"],
        km2=round(km2, 6),
        km2_coarse=round(km2_coarse, 6),
        airplanes=airplanes,
        seconds=round(sum(outcome.seconds for outcome in outcomes), 3),
        failures=failures,
        parts_taken_over=sum(outcome.cached for outcome in outcomes),
        levels=tuple(_level_entry(planned) for planned in scene.plan),
        mpx=round(sum(_pixels(outcome.tile) for outcome in outcomes if outcome.status == "done") / 1e6, 6),
    )


def _pixels(tile: Tile) -> int:
    return tile.window.width * tile.window.height


def _blank(source: SceneSource, header: SceneHeader | None) -> SceneEntry:
    """Return the entry of a scene of which no tile was processed, from what is known of it."""
    stretch = header.radiometry.stretch if header else None
    return SceneEntry(
        scene_uri=source.uri,
        scene_id=source.scene_id or (header.scene_id if header else None),
        acquired_at=source.acquired_at or (header.acquired_at if header else None),
        status="complete",
        error=None,
        duplicate_of=None,
        width_px=header.width if header else None,
        height_px=header.height if header else None,
        crs=_crs_name(header.georef.crs) if header and header.georef else None,
        resolution_m=header.resolution_m if header else None,
        bands=header.radiometry.bands if header else None,
        stretch=(stretch.low, stretch.high) if stretch else None,
        parts_planned=0,
        parts_done=0,
        parts_empty=0,
        parts_failed=0,
        parts_screened=0,
        km2=0.0,
        km2_coarse=0.0,
        airplanes=0,
        seconds=0.0,
        failures=(),
        fill_value=header.radiometry.fill.value if header and header.radiometry.fill else None,
    )


def _crs_name(crs: CRS) -> str:
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.name


def _level_entry(planned: LevelPlan) -> LevelEntry:
    level = planned.level
    return LevelEntry(_rounded_m(level), level.width, level.height, planned.tile_count)


def _rounded_m(level: Level) -> float:
    """Return the ground resolution of a level as it stands in the ledger, the same in levels and failures."""
    return round(level.resolution_m, 4)


def _part_failure(outcome: TileOutcome) -> PartFailure:
    window = outcome.tile.window
    return PartFailure(
        resolution_m=_rounded_m(outcome.tile.level),
        col=window.col,
        row=window.row,
        width=window.width,
        height=window.height,
        error=outcome.error or "",
    )


def _inferred_km2(scene: Scene, outcomes: Sequence[TileOutcome], level: Level) -> float:
    """Return the valid ground of interest that was inferred on a level, square kilometres."""
    inferred = (outcome for outcome in outcomes if outcome.status == "done" and outcome.tile.level == level)
    return sum(core_km2(scene, outcome.tile, outcome.valid_fraction) for outcome in inferred)


def make_ledger(run: RunInfo, seconds: float, entries: Iterable[SceneEntry]) -> Ledger:
    """Return the ledger of a run: the entries by URI, and their sums."""
    scenes = tuple(sorted(entries, key=lambda entry: entry.scene_uri))
    statuses = Counter(entry.status for entry in scenes)
    totals = Totals(
        scenes=len(scenes),
        complete=statuses["complete"],
        incomplete=statuses["incomplete"],
        failed=statuses["failed"],
        empty=statuses["empty"],
        duplicate=statuses["duplicate"],
        parts_planned=sum(entry.parts_planned for entry in scenes),
        parts_done=sum(entry.parts_done for entry in scenes),
        parts_empty=sum(entry.parts_empty for entry in scenes),
        parts_failed=sum(entry.parts_failed for entry in scenes),
        parts_screened=sum(entry.parts_screened for entry in scenes),
        km2=round(sum(entry.km2 for entry in scenes), 6),
        km2_coarse=round(sum(entry.km2_coarse for entry in scenes), 6),
        airplanes=sum(entry.airplanes for entry in scenes),
        parts_taken_over=sum(entry.parts_taken_over for entry in scenes),
        mpx=round(sum(entry.mpx for entry in scenes), 6),
    )
    return Ledger(run=run, seconds=round(seconds, 2), totals=totals, scenes=scenes)


def to_json(ledger: Ledger) -> str:
    """Return the ledger as JSON text."""
    return json.dumps(dataclasses.asdict(ledger), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_ledger(path: Path) -> Ledger:
    """Read the ledger of a run.

    Raises:
        ConfigError: the ledger is damaged.
    """
    return from_mapping(Ledger, json.loads(path.read_text(encoding="utf-8")), str(path))
