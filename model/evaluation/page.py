"""The picture page: curves, and what went wrong, in one HTML file that opens anywhere, without a network.

It shows parts of the data sets' pictures: whether it may be passed on is for their licences to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.common.charts import svg_chart
from model.common.pages import render_template
from model.evaluation import charts
from model.evaluation.crops import Crop, boxes_of, false_hits, misses
from model.evaluation.figures import Figures, curves, figures
from model.evaluation.images import Picture
from model.evaluation.predictions import TOGETHER, Measured
from model.evaluation.tables import parts

# Of each set.
_CROPS = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Section:
    """One set on the page: charts with their titles, and crops, which all sets together do not show again."""

    name: str
    charts: list[tuple[str, str]]
    with_crops: bool
    misses: list[Crop]
    false_hits: list[Crop]


def render(of: Measured, split: str) -> str:
    """Returns the page's HTML.

    Raises:
        RasterError: a picture cannot be read any more.
    """
    numbers = {name: figures(pictures, of.min_score) for name, pictures in of.sets.items()}
    return render_template(
        Path(__file__).with_name("page.html"),
        model=of.model,
        split=split,
        min_score=f"{of.min_score:.3f}",
        tables=parts(numbers),
        sets=_sections(of.sets, numbers, of.min_score),
        boxes_of=boxes_of,
    )


def _sections(
    sets: Mapping[str, Sequence[Picture]], numbers: Mapping[str, Figures], min_score: float
) -> list[_Section]:
    return [
        _Section(
            name=name,
            charts=_charts(pictures, numbers[name]),
            with_crops=name != TOGETHER,
            misses=misses(pictures, min_score, _CROPS) if name != TOGETHER else [],
            false_hits=false_hits(pictures, min_score, _CROPS) if name != TOGETHER else [],
        )
        for name, pictures in sets.items()
    ]


def _charts(pictures: Sequence[Picture], of: Figures) -> list[tuple[str, str]]:
    """Draw the charts of a set; those about airplanes, or about metres, only where there are any."""
    drawn = curves(pictures)
    made = [
        ("Reliability", svg_chart("Reliability", charts.plot_reliability, drawn.reliability)),
        ("Scores", svg_chart("Detections by score", charts.plot_score_histogram, drawn)),
    ]
    if of.airplanes:
        precision_recall = svg_chart("Precision against recall", charts.plot_precision_recall, drawn)
        by_size = svg_chart("Recall by size, px", charts.plot_recall_by_size, of.by_size_px, "px")
        made = [("Precision and recall", precision_recall), *made, ("Recall by size in the picture", by_size)]
    if any(each.airplanes for each in of.by_size_m):
        by_size = svg_chart("Recall by size, m", charts.plot_recall_by_size, of.by_size_m, "m")
        made.append(("Recall by size on the ground", by_size))
    return made
