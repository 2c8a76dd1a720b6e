"""Tables of the metrics of all sets, as text for a terminal of 120 columns."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

from model.evaluation.metrics import TILE_PX
from model.evaluation.set_metrics import SetMetrics, SizeBin

# Rows of cells; the first row holds the column titles.
Rows = list[list[str]]

_NAME_WIDTH = 18
_Columns = Mapping[str, Callable[[SetMetrics], str]]
_MAIN: _Columns = {
    "pictures": lambda row: str(row.pictures),
    "planes": lambda row: str(row.airplanes),
    "AP50": lambda row: number(row.ap50),
    "AP75": lambda row: number(row.ap75),
    "AP": lambda row: number(row.ap),
    "best F1": lambda row: number(row.best_f1),
    "at": lambda row: number(row.best_f1_min_score),
    "prec.": lambda row: number(row.precision),
    "recall": lambda row: number(row.recall),
    "AR": lambda row: number(row.mean_recall),
    "false": lambda row: str(row.false),
    "a picture": lambda row: number(row.false_per_picture, 2),
    "ECE": lambda row: number(row.calibration_error),
}
_TILES: _Columns = {
    "tiles": lambda row: str(row.tiles),
    "IOU of found and true ground": lambda row: number(row.tile_iou),
    "mistakes a tile": lambda row: number(row.mistakes_per_tile),
}
_BACKGROUND: _Columns = {
    "km2": lambda row: number(row.background_km2, 1),
    "false": lambda row: str(row.false_elsewhere),
    "per 100 km2": lambda row: number(row.false_per_100km2, 1),
}


def format_tables(sets: Mapping[str, SetMetrics]) -> str:
    """Return all tables as text."""
    return "\n\n".join(align(rows) for rows in all_tables(sets))


def all_tables(sets: Mapping[str, SetMetrics]) -> list[Rows]:
    """Return the main metrics, per-tile metrics, false detections on background, and recall by size in px and m.

    Tables that would be empty are left out.
    """
    background = {name: row for name, row in sets.items() if row.background_km2}
    tables = [
        _table("set", _MAIN, sets),
        _table(f"{TILE_PX} px tiles", _TILES, sets),
        _table("background", _BACKGROUND, background),
        _recall_table(sets, "px"),
        _recall_table(sets, "m"),
    ]
    return [rows for rows in tables if len(rows) > 1]


def _table(title: str, columns: _Columns, sets: Mapping[str, SetMetrics]) -> Rows:
    rows = [[_shorten(name), *(cell(row) for cell in columns.values())] for name, row in sets.items()]
    return [[title, *columns], *rows]


def _recall_table(sets: Mapping[str, SetMetrics], unit: Literal["px", "m"]) -> Rows:
    """Recall by the longer side of an airplane, for the sets that have airplanes of known size."""
    bins = {name: row.by_size_px if unit == "px" else row.by_size_m for name, row in sets.items()}
    titles = [f"{size_range(size_bin)} {unit}" for size_bin in next(iter(bins.values()))]
    known = {name: row for name, row in bins.items() if any(size_bin.airplanes for size_bin in row)}
    return [["recall (airplanes)", *titles], *([_shorten(name), *map(_recall, row)] for name, row in known.items())]


def number(value: float, digits: int = 3) -> str:
    """Format a number with this many decimals; NaN and infinity as a dash."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def size_range(size_bin: SizeBin) -> str:
    """Format the sizes of a bin."""
    if not size_bin.min_size:
        return f"<{size_bin.max_size:g}"
    unbounded = math.isinf(size_bin.max_size)
    return f">={size_bin.min_size:g}" if unbounded else f"{size_bin.min_size:g}-{size_bin.max_size:g}"


def align(rows: Rows) -> str:
    """Format rows as text, with all columns but the first aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"..{name[2 - _NAME_WIDTH :]}"


def _recall(size_bin: SizeBin) -> str:
    return f"{size_bin.recall:.3f} ({size_bin.airplanes})" if size_bin.airplanes else "-"
