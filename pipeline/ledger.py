"""The ledger: what was looked at, what was not, and why.

It tells "no airplanes" from "not looked": every scene that was asked for has one entry, whatever became of it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from model.common.config import from_mapping

Status = Literal["complete", "incomplete", "failed", "empty", "duplicate"]


@dataclasses.dataclass(frozen=True, slots=True)
class PartFailure:
    """A part of a scene that was planned and could not be read.

    Attributes:
        resolution_m: ground resolution of the level, metres per pixel.
        col: left side of the part's window, pixels of that level.
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
class SceneEntry:
    """What became of one scene. A scene that could not be opened has None where nothing is known.

    Attributes:
        scene_uri: where it was read from, as it was given.
        scene_id: the STAC item's id, or else a fingerprint, or None.
        acquired_at: when the picture was taken, RFC 3339 UTC, or None where nothing tells.
        status: "complete" (every part was looked at or is empty), "incomplete" (some part failed), "failed" (nothing
            was looked at), "empty" (there was nothing to look at: see `why_empty`) or "duplicate" (the same picture was
            looked at as another scene).
        error: the cause, one line, or None.
        duplicate_of: of a duplicate, the `scene_uri` of the scene that was looked at in its place; else None.
        width_px: columns, or None.
        height_px: rows, or None.
        crs: "EPSG:32631" where there is a code, else the name; or None.
        resolution_m: ground metres of one pixel along columns and rows at the centre, or None.
        bands: the bands that are red, green and blue, or the one that is grey, counted from 1; or None.
        stretch: the values that became 0 and 255; None where the values stayed as they are, or nothing is known.
        parts_planned: tiles planned, over every level.
        parts_done: tiles that the model looked at.
        parts_empty: tiles without any valid pixel, skipped.
        parts_failed: tiles that could not be read.
        parts_screened: tiles that were not worth a look, by what the coarsest level had seen (`screen`, a setting).
        km2: ground looked at on the finest level: of interest, and not missing in the file; square kilometres.
        km2_coarse: ground that was screened out: only the coarsest level has seen it.
        airplanes: airplanes found.
        seconds: spent on reading its parts and looking at them.
        failures: the parts that failed.
        parts_taken_over: of the parts done or empty, those that an earlier run has looked at (`--work-dir`).
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


@dataclasses.dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a run before it starts.

    Attributes:
        run_id: names the run.
        command: as it was typed.
        started_at: RFC 3339 UTC.
        model: name@first 12 of the weights' sha256.
        versions: version by package.
        settings: the whole config as it was used.
    """

    run_id: str
    command: str
    started_at: str
    model: str
    versions: dict[str, str]
    settings: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """The whole run.

    Attributes:
        run: what was known before it started.
        seconds: from its start to the writing of the ledger.
        totals: sums over the scenes.
        scenes: one entry a scene, by URI.
    """

    run: RunInfo
    seconds: float
    totals: Totals
    scenes: tuple[SceneEntry, ...]

    @property
    def complete(self) -> bool:
        """Whether every scene was looked at wherever there is something to see, itself or as what it duplicates."""
        return self.totals.incomplete + self.totals.failed == 0


def why_empty(entry: SceneEntry) -> str:
    """Returns why there was nothing to look at in a scene whose status says so."""
    if entry.parts_planned == 0:
        return "nothing of it lies in the area of interest, so nothing was looked at"
    return f"no pixel of it is valid in any of {entry.parts_planned} parts, so nothing was looked at"


def make_ledger(run: RunInfo, seconds: float, entries: Iterable[SceneEntry]) -> Ledger:
    """Returns the ledger of a run: the entries by URI, and their sums."""
    scenes = tuple(sorted(entries, key=lambda entry: entry.scene_uri))
    return Ledger(run=run, seconds=round(seconds, 2), totals=_totals(scenes), scenes=scenes)


def _totals(scenes: tuple[SceneEntry, ...]) -> Totals:
    def having(status: Status) -> int:
        return sum(entry.status == status for entry in scenes)

    return Totals(
        scenes=len(scenes),
        complete=having("complete"),
        incomplete=having("incomplete"),
        failed=having("failed"),
        empty=having("empty"),
        duplicate=having("duplicate"),
        parts_planned=sum(entry.parts_planned for entry in scenes),
        parts_done=sum(entry.parts_done for entry in scenes),
        parts_empty=sum(entry.parts_empty for entry in scenes),
        parts_failed=sum(entry.parts_failed for entry in scenes),
        parts_screened=sum(entry.parts_screened for entry in scenes),
        km2=round(sum(entry.km2 for entry in scenes), 6),
        km2_coarse=round(sum(entry.km2_coarse for entry in scenes), 6),
        airplanes=sum(entry.airplanes for entry in scenes),
        parts_taken_over=sum(entry.parts_taken_over for entry in scenes),
    )


def to_json(ledger: Ledger) -> str:
    """Returns the ledger as JSON text."""
    return json.dumps(dataclasses.asdict(ledger), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_ledger(path: Path) -> Ledger:
    """Reads a ledger that a run has written."""
    return from_mapping(Ledger, json.loads(path.read_text(encoding="utf-8")), str(path))
