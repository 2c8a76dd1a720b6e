"""The figures of all sets as text for a terminal of 120 columns."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from model.evaluation.figures import Figures, SizeBin
from model.evaluation.tile_metrics import TILE_PX

# Lines of cells; the first names the columns, and the first cell of each the set.
Rows = list[list[str]]

_NAME_WIDTH = 18
# Title, and what stands in the column.
_COLUMNS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("pictures", lambda of: str(of.pictures)),
    ("planes", lambda of: str(of.airplanes)),
    ("AP50", lambda of: number(of.ap50)),
    ("AP75", lambda of: number(of.ap75)),
    ("AP", lambda of: number(of.ap)),
    ("best F1", lambda of: number(of.best_f1)),
    ("at", lambda of: number(of.best_f1_min_score)),
    ("prec.", lambda of: number(of.precision)),
    ("recall", lambda of: number(of.recall)),
    ("AR", lambda of: number(of.mean_recall)),
    ("false", lambda of: str(of.false)),
    ("a picture", lambda of: number(of.false_per_picture, 2)),
    ("ECE", lambda of: number(of.calibration_error)),
)
_TILES: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("tiles", lambda of: str(of.tiles)),
    ("IOU of found and true ground", lambda of: number(of.tile_iou)),
    ("mistakes a tile", lambda of: number(of.mistakes_per_tile)),
)
_BACKGROUND: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("km2", lambda of: number(of.background_km2, 1)),
    ("false", lambda of: str(of.false_elsewhere)),
    ("per 100 km2", lambda of: number(of.false_per_100km2, 1)),
)


def tables(sets: Mapping[str, Figures]) -> str:
    """All tables; a line a set."""
    return "\n\n".join(aligned(part) for part in parts(sets))


def parts(sets: Mapping[str, Figures]) -> list[Rows]:
    """The figures, those of tiles, false airplanes on the background, recall by size in pixels and in metres.

    What no set has is left out.
    """
    sizes = [size_rows(sets, "px"), size_rows(sets, "m")]
    return [rows for rows in (figure_rows(sets), tile_rows(sets), background_rows(sets), *sizes) if len(rows) > 1]


def figure_rows(sets: Mapping[str, Figures]) -> Rows:
    """The figures of every set."""
    return _rows("set", _COLUMNS, sets)


def tile_rows(sets: Mapping[str, Figures]) -> Rows:
    """The talk's two figures of every set, over tiles of 256 px."""
    return _rows(f"{TILE_PX} px tiles", _TILES, sets)


def background_rows(sets: Mapping[str, Figures]) -> Rows:
    """False airplanes away from airplanes, of those sets whose resolution is known."""
    return _rows("background", _BACKGROUND, {name: of for name, of in sets.items() if of.background_km2})


def size_rows(sets: Mapping[str, Figures], unit: Literal["px", "m"]) -> Rows:
    """Recall by the longer side of an airplane, of those sets that know it."""
    bins = {name: of.by_size_px if unit == "px" else of.by_size_m for name, of in sets.items()}
    titles = [f"{span(each)} {unit}" for each in next(iter(bins.values()))]
    lines = [[short(name), *map(_recall, row)] for name, row in bins.items() if any(each.airplanes for each in row)]
    return [["recall (airplanes)", *titles], *lines]


def _rows(title: str, columns: Sequence[tuple[str, Callable[[Figures], str]]], sets: Mapping[str, Figures]) -> Rows:
    lines = [[short(name), *(text(of) for _, text in columns)] for name, of in sets.items()]
    return [[title, *(name for name, _ in columns)], *lines]


def number(value: float, digits: int = 3) -> str:
    """A number with so many digits after the point, or a dash for what makes no sense."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def span(of: SizeBin) -> str:
    """The sizes of a bin."""
    if not of.least:
        return f"<{of.below:g}"
    return f"{of.least:g}-{of.below:g}" if math.isfinite(of.below) else f">={of.least:g}"


def short(name: str) -> str:
    """A set's name that leaves room for its figures."""
    return name if len(name) <= _NAME_WIDTH else f"..{name[2 - _NAME_WIDTH :]}"


def _recall(of: SizeBin) -> str:
    return f"{of.recall:.3f} ({of.airplanes})" if of.airplanes else "-"


def aligned(rows: Rows) -> str:
    """Columns set to the right, but for the first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
