"""The ledger as the page's table: failures on top, each with its cause."""

from __future__ import annotations

import dataclasses
import json

from pipeline.ledger import Ledger, PartFailure, SceneEntry, why_empty

#: Parts that failed are named up to this many; the ledger's own file has them all.
PARTS_NAMED = 5
_ORDER = {"failed": 0, "incomplete": 1, "empty": 2, "complete": 3, "duplicate": 4}
_GOOD = ("empty", "complete", "duplicate")


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, and whether it holds numbers (set to the right)."""

    title: str
    number: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One scene: its cells as text, in the order of the columns, whether all is well with it, and what to say or ""."""

    cells: tuple[str, ...]
    good: bool
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
    Column("Looked at", number=True),
    Column("Empty", number=True),
    Column("Failed", number=True),
    Column("Screened out", number=True),
    Column("km²", number=True),
    Column("km², coarse", number=True),
    Column("Airplanes", number=True),
    Column("Seconds", number=True),
)


def ledger_table(ledger: Ledger) -> Table:
    """Returns the ledger as a table: failed scenes first, then incomplete and empty ones, duplicates last; by URI."""
    entries = sorted(ledger.scenes, key=lambda entry: (_ORDER[entry.status], entry.scene_uri))
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
    return Row(cells=cells, good=entry.status in _GOOD, note=_note(entry))


def _resolution(resolution_m: tuple[float, float] | None) -> str:
    if resolution_m is None:
        return "-"
    across, down = (f"{step:.3g}" for step in resolution_m)
    return across if across == down else f"{across} x {down}"


def _note(entry: SceneEntry) -> str:
    lines = [entry.error] if entry.error else []
    lines += [f"Empty: {why_empty(entry)}."] if entry.status == "empty" else []
    lines += [f"The same as {entry.duplicate_of}, looked at once."] if entry.duplicate_of else []
    lines += [f"{_place(part)}: {part.error}" for part in entry.failures[:PARTS_NAMED]]
    if len(entry.failures) > PARTS_NAMED:
        lines.append(f"and {len(entry.failures) - PARTS_NAMED} more parts; ledger.json names each")
    return "\n".join(lines)


def _place(part: PartFailure) -> str:
    return f"{part.width} x {part.height} px at column {part.col}, row {part.row} of the {part.resolution_m:g} m level"
