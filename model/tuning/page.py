"""The page of a study: its table, its history, and what matters."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from model.common.pages import render_template
from model.evaluation.tables import Rows
from model.tuning import charts, metric
from model.tuning.config import TuneConfig
from model.tuning.rows import Row


def render(cells: Rows, found: Sequence[Row], shares: Mapping[str, float], config: TuneConfig) -> str:
    """Returns the page's HTML.

    Args:
        cells: the table of all trials.
        found: the trials.
        shares: what part each parameter has, as far as that can be said.
        config: the study.
    """
    shown = [("History", charts.history(found, config.metric.direction == "maximize"))]
    if shares:
        shown.append(("What matters", charts.importance(shares)))
    shown += [(f"{config.metric.column} over {of.name}", charts.parameter(found, of)) for of in config.parameters]
    return render_template(
        Path(__file__).with_name("study.html"),
        study=config.study.name,
        base=config.base,
        method=config.method,
        metric=metric.name(config.metric),
        direction=config.metric.direction,
        rows=cells,
        charts=shown,
        failed=[of for of in found if of.state == "failed"],
    )
