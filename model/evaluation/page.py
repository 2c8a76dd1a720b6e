"""The picture page: curves, and what went wrong, in one HTML file that opens anywhere, without a network.

It shows parts of the data sets' pictures: whether it may be passed on is for their licences to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.evaluation import charts
from model.evaluation.crops import Crop, boxes_of, false_hits, misses
from model.evaluation.figures import Figures, curves, figures
from model.evaluation.images import Picture
from model.evaluation.predictions import TOGETHER, Measured
from model.evaluation.tables import parts
from model.evaluation.template import fill

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
    return fill(
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
    """The charts of a set; those that ask for airplanes, or for metres, only where there are any."""
    drawn = curves(pictures)
    made = [
        ("Reliability", charts.reliability(drawn.reliability)),
        ("Scores", charts.score_histogram(drawn)),
    ]
    if of.airplanes:
        made.insert(0, ("Precision and recall", charts.precision_recall(drawn)))
        made.append(("Recall by size in the picture", charts.recall_by_size(of.by_size_px, "px")))
    if any(each.airplanes for each in of.by_size_m):
        made.append(("Recall by size on the ground", charts.recall_by_size(of.by_size_m, "m")))
    return made
