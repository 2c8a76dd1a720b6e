import base64
import io
import math
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from geo.types import Detections
from model.common.charts import FIRST, SECOND, svg_chart
from model.data.labels import AnnotatedImage
from model.data.sources import read_annotated_images
from model.evaluation import page
from model.evaluation.images import ComparedImage, compare_image, read_evaluation_image
from model.evaluation.measure import ALL_SETS, EvaluationResult
from model.evaluation.page import Crop, crop_boxes, false_crops, missed_crops
from model.evaluation.predictions import predict
from model.evaluation.set_metrics import Curves, compute_curves, compute_metrics
from model.inference.predictor import FakePredictor
from tests.model.evaluation.synthetic_images import detections, evaluation_image, random_image
from tests.model.evaluation.test_predictions import CONFIG
from tests.model.image_sets import make_pixels, write_set

HOSTILE = "<script>alert(1)</script>&amp;"
VOID = {"meta", "link", "br", "image", "rect"}


class Page(HTMLParser):
    """Counts elements, keeps the targets of links, and fails if an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.targets: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sets")
    wrong = make_pixels()
    wrong[30:60, 20:45] = 100  # missed
    wrong[70:82, 60:75] = 140  # false
    write_set(folder / "good", {"a": make_pixels()})
    write_set(folder / "bad", {"a": wrong, "<b>&amp;": make_pixels()})
    sets = {
        name: predict(read_annotated_images(folder / name, "test"), FakePredictor(), CONFIG, 2).compare()
        for name in ("good", "bad")
    }
    sets[ALL_SETS] = [each for images in sets.values() for each in images]
    return page.render(EvaluationResult(HOSTILE, 0.5, sets), "test")


def test_the_page_is_complete_and_loads_nothing(text: str) -> None:
    parsed = Page(text)
    assert "script" not in parsed.counts
    assert parsed.counts["link"] == 1  # the icon
    assert parsed.targets
    assert all(target.startswith("data:image/") for target in parsed.targets)
    assert "url(" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;" in text


def test_misses_and_false_detections_of_each_set_are_shown_once(text: str) -> None:
    parsed = Page(text)
    assert parsed.counts["image"] == 2
    assert "30 px, not found" in text
    assert "score 0.55" in text
    assert text.count("No airplane is missed.") == 1
    assert text.count("There are none.") == 1


def test_every_set_has_its_charts_and_table_rows(text: str) -> None:
    for name in ("good", "bad", ALL_SETS):
        assert f"<h2>{name}</h2>" in text
        assert text.count(f'<th scope="row">{name}</th>') == 5
    for chart in (
        "Precision against recall",
        "Reliability",
        "Detections by score",
        "Recall by size, px",
        "Recall by size, m",
    ):
        assert text.count(f'aria-label="{chart}"') == 3


def test_a_set_without_airplanes_has_no_charts_of_recall(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {"a": make_pixels()})
    (image,) = read_annotated_images(tmp_path / "set", "test")
    predictions = predict([replace(image, boxes=np.zeros((0, 4)))], FakePredictor(), CONFIG, 2)
    text = page.render(EvaluationResult("m", 0.5, {"set": predictions.compare()}), "test")
    assert "Precision against recall" not in text
    assert text.count("<image ") == 3


# Charts

CURVES = compute_curves([random_image(seed) for seed in range(6)])
METRICS = compute_metrics([random_image(seed) for seed in range(6)], 0.3)
NONE = np.zeros((0, 4))
NO_CURVES = compute_curves([compare_image(evaluation_image("a", NONE), detections(NONE, np.zeros(0)))])
Plot = Callable[[Axes, Curves], None]
PLOTS: list[Plot] = [
    page.plot_precision_recall,
    lambda axes, curves: page.plot_reliability(axes, curves.reliability),
    page.plot_score_histogram,
    lambda axes, _: page.plot_recall_by_size(axes, METRICS.by_size_px, "px"),
    lambda axes, _: page.plot_recall_by_size(axes, METRICS.by_size_m, "m"),
]


def plotted(plot: Callable[[Axes], None]) -> Axes:
    axes = Figure().add_subplot()
    plot(axes)
    return axes


def rectangles(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def bars(axes: Axes, colour: str) -> list[float]:
    """The heights of the bars of a colour."""
    return [bar.get_height() for bar in rectangles(axes) if bar.get_facecolor() == to_rgba(colour)]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("curves", [CURVES, NO_CURVES])
def test_charts_stay_in_their_frame(plot: Plot, curves: Curves) -> None:
    axes = plotted(lambda axes: plot(axes, curves))
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for bar in rectangles(axes):
        assert left <= bar.get_x() <= bar.get_x() + bar.get_width() <= right + 1e-9
        assert bottom <= bar.get_y() <= bar.get_y() + bar.get_height() <= top + 1e-9
    for line in axes.lines:
        points = np.asarray(line.get_xydata())
        assert ((points >= (left, bottom)) & (points <= (right, top))).all()
    assert "nan" not in svg_chart("Chart", plot, curves)


def test_precision_falls_from_left_to_right() -> None:
    axes = plotted(lambda axes: page.plot_precision_recall(axes, CURVES))
    assert len(axes.lines) == 2
    for line in axes.lines:
        recall, precision = np.asarray(line.get_xydata()).T
        assert len(recall) == 101
        assert (np.diff(recall) > 0).all()
        assert (np.diff(precision) <= 0).all()


def test_a_bar_is_as_high_as_its_recall() -> None:
    axes = plotted(lambda axes: page.plot_recall_by_size(axes, METRICS.by_size_px, "px"))
    filled = [each for each in METRICS.by_size_px if each.airplanes]
    assert bars(axes, FIRST) == pytest.approx([each.recall for each in filled])
    assert [text.get_text() for text in axes.texts] == [str(each.airplanes) for each in filled]


def test_every_bin_of_scores_has_its_bars() -> None:
    axes = plotted(lambda axes: page.plot_score_histogram(axes, CURVES))
    assert bars(axes, FIRST) == pytest.approx([math.log1p(n) for n in CURVES.right if n])
    assert bars(axes, SECOND) == pytest.approx([math.log1p(n) for n in CURVES.wrong if n])


def test_bins_of_scores_show_the_share_of_airplanes() -> None:
    axes = plotted(lambda axes: page.plot_reliability(axes, CURVES.reliability))
    assert bars(axes, FIRST) == pytest.approx(CURVES.reliability.shares[CURVES.reliability.counts > 0].tolist())


# Crops

WIDTH, HEIGHT = 400, 300


def compared(
    folder: Path, airplanes: NDArray[np.float64], detected: NDArray[np.float64], scores: list[float]
) -> ComparedImage:
    """An image whose red and green values are half its column and half its row."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([columns // 2, rows // 2, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    source = read_evaluation_image(
        AnnotatedImage(folder / "a.png", "a", airplanes.reshape(-1, 4), 0.5, resolution_known=True)
    )
    return compare_image(source, Detections(detected.reshape(-1, 4), np.array(scores), np.full(len(scores), np.nan)))


def boxes(*rows: list[float]) -> NDArray[np.float64]:
    return np.array(rows, np.float64)


def decoded(crop: Crop) -> NDArray[np.uint8]:
    raw = base64.b64decode(crop.pixels.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))


def test_a_crop_shows_the_surroundings_of_its_box(tmp_path: Path) -> None:
    image = compared(tmp_path, boxes([200, 100, 230, 120]), boxes(), [])
    (crop,) = missed_crops([image], 0.5, 4)
    assert (crop.window.col, crop.window.row, crop.window.width, crop.window.height) == (170, 65, 90, 90)
    shown = decoded(crop).astype(float)
    assert shown.shape == (90, 90, 3)
    # Within the accuracy of the lossy compression.
    assert abs(shown[10, 20, 0] * 2 - 190) < 12
    assert abs(shown[70, 20, 1] * 2 - 135) < 12


@pytest.mark.parametrize("box", [[2, 2, 12, 9], [380, 280, 398, 298], [10, 5, 300, 250]])
def test_a_crop_stays_in_its_image(tmp_path: Path, box: list[float]) -> None:
    (crop,) = missed_crops([compared(tmp_path, boxes(box), boxes(), [])], 0.5, 4)
    window = crop.window
    assert min(window.col, window.row) >= 0
    assert window.right <= WIDTH
    assert window.bottom <= HEIGHT
    assert window.col <= box[0]
    assert window.bottom >= box[3]
    assert max(decoded(crop).shape) <= 240


def test_the_largest_and_the_smallest_misses_are_shown(tmp_path: Path) -> None:
    airplanes = boxes(*([10 + 50 * n, 100, 15.0 + 50 * n + 3 * n, 104] for n in range(7)))
    image = compared(tmp_path, airplanes, airplanes[3:5], [0.9, 0.2])
    crops = missed_crops([image], 0.5, 4)
    assert [crop.box.tolist() for crop in crops] == airplanes[[6, 5, 1, 0]].tolist()
    assert len(missed_crops([image], 0.5, 10)) == 6
    captions = {crop.caption for crop in missed_crops([image], 0.5, 10)}
    assert captions >= {"17 px, found at 0.20 alone", "23 px, not found"}
    assert missed_crops([compared(tmp_path, airplanes, airplanes, [0.9] * 7)], 0.5, 4) == []


def test_false_detections_are_shown_by_falling_score(tmp_path: Path) -> None:
    airplanes = boxes([10, 10, 40, 40])
    detected = np.concatenate([airplanes, boxes([100, 100, 120, 120], [200, 100, 220, 120], [300, 100, 320, 120])])
    crops = false_crops([compared(tmp_path, airplanes, detected, [0.99, 0.4, 0.8, 0.1])], 0.5, 2)
    assert [crop.caption for crop in crops] == ["score 0.80", "score 0.40, below the threshold"]
    assert crops[0].box.tolist() == [200, 100, 220, 120]


def test_only_boxes_in_the_window_are_drawn(tmp_path: Path) -> None:
    airplanes = boxes([100, 100, 130, 130], [140, 100, 160, 120], [350, 250, 380, 280])
    detected = boxes([140, 100, 160, 121], [350, 250, 380, 281], [90, 135, 100, 145])
    (crop,) = missed_crops([compared(tmp_path, airplanes, detected, [0.9, 0.9, 0.2])], 0.5, 4)
    assert list(crop_boxes(crop)) == [
        ("truth", [100, 100, 30, 30]),
        ("truth", [140, 100, 20, 20]),
        ("found", [140, 100, 20, 21]),
        ("about", [100, 100, 30, 30]),
    ]
    assert crop.location == "a.png, column 100, row 100"
