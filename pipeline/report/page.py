"""The report: one self-contained HTML file, which opens without a network."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.common.pages import render_template
from pipeline.ledger import Ledger, PartFailure, SceneEntry, why_empty
from pipeline.records import Airplane
from pipeline.report import FILE_NAME
from pipeline.report.scenes import FIELDS, scene_views
from pipeline.sinks import storage

#: Failed parts per scene that the page lists; the ledger file has all of them.
MAX_LISTED_PARTS = 5

_FOLDER = Path(__file__).parent
#: Scenes that need attention come first.
_STATUS_ORDER = {"failed": 0, "incomplete": 1, "empty": 2, "complete": 3, "duplicate": 4}


def write_report(folder: str | Path, airplanes: Sequence[Airplane], ledger: Ledger) -> str:
    """Write the report of one run, atomically.

    Thumbnails are read from the scenes, through their overviews. A scene that can no longer be read is shown without
    one, with the reason.

    Args:
        folder: folder of the report, local or `gs://`; created if missing.
        airplanes: all airplanes of the run, in any order.
        ledger: ledger of the run, with an entry for the scene of every airplane.

    Returns:
        The page: `folder`/report.html.

    Raises:
        OutputError: the file cannot be written.
    """
    uri = f"{folder}/{FILE_NAME}"
    storage.check_writable(uri)
    storage.write_text(uri, render(airplanes, ledger))
    return uri


def render(airplanes: Sequence[Airplane], ledger: Ledger) -> str:
    """Return the HTML of the page; arguments as for `write_report`."""
    views = scene_views(airplanes, ledger)
    return render_template(
        _FOLDER / "report.html",
        summary=_summary(ledger),
        has_scenes=bool(views),
        ledger=ledger_table(ledger),
        data={"fields": FIELDS, "scenes": views, "min_score": ledger.run.settings.get("min_score") or 0.0},
        styles=[_FOLDER / "report.css"],
        scripts=[_FOLDER / "map.js", _FOLDER / "report.js"],
        leaflet=True,
    )


def _summary(ledger: Ledger) -> dict[str, Any]:
    totals = ledger.totals
    problems = [
        f"{_scenes(count)} {status}"
        for count, status in ((totals.failed, "failed"), (totals.incomplete, "incomplete"))
        if count
    ]
    return {
        "airplanes": totals.airplanes,
        "scenes": totals.scenes,
        "km2": totals.km2,
        "model": ledger.run.model,
        "started": ledger.run.started_at[:16].replace("T", " ") + " UTC",
        "problems": ", ".join(problems),
        "empty": _scenes(totals.empty) if totals.empty else "",
    }


def _scenes(count: int) -> str:
    return f"{count:,} {'scene' if count == 1 else 'scenes'}"


# The ledger as a table.


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and whether it holds numbers, which are right-aligned."""

    title: str
    number: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A scene: its cells as text, in the order of the columns, whether it needs no attention, and a note or ""."""

    cells: tuple[str, ...]
    ok: bool
    note: str


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """The ledger as text: columns, rows (failures first), and the run's command, versions and settings as JSON."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    run: str


COLUMNS = (
    Column("Status", number=False),
    Column("Scene", number=False),
    Column("Size, px", number=True),
    Column("CRS", number=False),
    Column("m/px", number=True),
    Column("Tiles", number=True),
    Column("Processed", number=True),
    Column("Empty", number=True),
    Column("Failed", number=True),
    Column("Screened out", number=True),
    Column("km²", number=True),
    Column("km², coarse", number=True),
    Column("Airplanes", number=True),
    Column("Seconds", number=True),
)


def ledger_table(ledger: Ledger) -> Table:
    """Return the ledger as a table: failed scenes, then incomplete, empty, complete ones and duplicates; by URI."""
    entries = sorted(ledger.scenes, key=lambda entry: (_STATUS_ORDER[entry.status], entry.scene_uri))
    run = json.dumps(dataclasses.asdict(ledger.run), indent=2, ensure_ascii=False)
    return Table(columns=COLUMNS, rows=tuple(_row(entry) for entry in entries), run=run)


def _row(entry: SceneEntry) -> Row:
    cells = (
        entry.status,
        entry.scene_uri,
        f"{entry.width_px} x {entry.height_px}" if entry.width_px and entry.height_px else "-",
        entry.crs or "-",
        _resolution(entry.resolution_m),
        f"{entry.parts_planned:,}",
        f"{entry.parts_done:,}",
        f"{entry.parts_empty:,}",
        f"{entry.parts_failed:,}",
        f"{entry.parts_screened:,}",
        f"{entry.km2:,.3f}",
        f"{entry.km2_coarse:,.3f}",
        f"{entry.airplanes:,}",
        f"{entry.seconds:,.1f}",
    )
    return Row(cells=cells, ok=entry.status not in ("failed", "incomplete"), note=_note(entry))


def _resolution(resolution_m: tuple[float, float] | None) -> str:
    if resolution_m is None:
        return "-"
    across, down = (f"{metres:.3g}" for metres in resolution_m)
    return across if across == down else f"{across} x {down}"


def _note(entry: SceneEntry) -> str:
    lines = [entry.error] if entry.error else []
    lines += [f"Empty: {why_empty(entry)}."] if entry.status == "empty" else []
    lines += [f"Same content as {entry.duplicate_of}, processed once."] if entry.duplicate_of else []
    lines += [f"{_position(part)}: {part.error}" for part in entry.failures[:MAX_LISTED_PARTS]]
    if len(entry.failures) > MAX_LISTED_PARTS:
        lines.append(f"and {len(entry.failures) - MAX_LISTED_PARTS} more parts; ledger.json lists all of them")
    return "\n".join(lines)


def _position(part: PartFailure) -> str:
    return f"{part.width} x {part.height} px at column {part.col}, row {part.row} of the {part.resolution_m:g} m level"
