"""Outlines of made-up detections against made-up points."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo.outline import measure
from geo.raster.reader import RasterReader
from geo.types import Detections, FloatArray
from model.data.sources import read_annotated_images
from model.evaluation import outlines
from model.evaluation.images import read_evaluation_image
from model.evaluation.outlines import ComparedOutlines, compare_outlines, compute_outline_metrics, outline_tables
from model.evaluation.predictions import Predictions
from model.evaluation.set_metrics import to_json
from model.inference.outlines import Outline

CENTRES = np.array([[60.0, 60.0], [150.0, 70.0], [60.0, 170.0], [170.0, 170.0]])
HEADINGS = (0.0, 45.0, 120.0, 250.0)
LENGTH_PX, WINGSPAN_PX = 70.0, 44.0


def airplane(centre: FloatArray, heading_deg: float, length: float = LENGTH_PX) -> FloatArray:
    """Nose, tail, left and right wingtip, the wings in the middle; heading clockwise from the top of the picture."""
    angle = math.radians(heading_deg)
    ahead, right = np.array([math.sin(angle), -math.cos(angle)]), np.array([math.cos(angle), math.sin(angle)])
    ends = [ahead * length / 2, -ahead * length / 2, -right * WINGSPAN_PX / 2, right * WINGSPAN_PX / 2]
    return centre + np.array(ends)


def bounds(points: FloatArray) -> list[float]:
    return [*points.min(axis=0), *points.max(axis=0)]


TRUTH = [airplane(centre, heading) for centre, heading in zip(CENTRES, HEADINGS, strict=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set with one picture: four airplanes and a helicopter; the tail of the last airplane is hidden."""
    Image.fromarray(np.zeros((240, 240, 3), np.uint8)).save(tmp_path / "a.png")
    rows = [
        dict(zip(("nose", "tail", "left", "right"), points.tolist(), strict=True)) | {"box": bounds(points)}
        for points in TRUTH
    ]
    rows[3]["tail"] = None
    rows.append({"nose": [100, 100], "box": [95, 95, 110, 110], "kind": "helicopter"})
    image = {"image": "a.png", "width": 240, "height": 240, "split": "val", "boxes": [row["box"] for row in rows]}
    (tmp_path / "annotations.json").write_text(
        json.dumps({"name": "made up", "gsd_m": 0.5, "images": [image | {"airplanes": rows}]})
    )
    return tmp_path


def compared(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: list[FloatArray | None],
    boxes: list[list[float]] | None = None,
) -> list[ComparedOutlines]:
    """Compare detections with the boxes of the truth, and these points, every one with a score of its own."""

    def fake(_: RasterReader, georef: object, boxes: FloatArray, __: str) -> list[Outline | None]:
        results: list[Outline | None] = []
        for points in measured[: len(boxes)]:
            size = None if points is None else measure(points, georef)  # type: ignore[arg-type]
            results.append(
                None
                if points is None or size is None
                else Outline(points, size.length_m, 1.0, size.wingspan_m, 1.0, size.heading_deg, 1.0)
            )
        return results

    monkeypatch.setattr(outlines, "measure_outlines", fake)
    (image,) = read_annotated_images(folder, "test")
    sides = np.array([bounds(points) for points in TRUTH] if boxes is None else boxes, np.float64)
    scores = np.array([0.9 - 0.1 * rank for rank in range(len(sides))], np.float64)
    detections = Detections(sides, scores, np.full(len(sides), 0.5))
    return compare_outlines(Predictions([read_evaluation_image(image)], [detections]), "fake")


def test_true_outlines_have_no_errors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = compute_outline_metrics(compared(folder, monkeypatch, list(TRUTH)), 0.3)
    assert (metrics.airplanes, metrics.ap50, metrics.ap75) == (3, 1.0, 1.0)
    large = metrics.by_side_px[-1]
    assert (large.detected, large.measured, large.headings, large.reversed) == (3, 3, 3, 0)
    assert (large.heading_deg, large.length, large.wingspan) == pytest.approx((0, 0, 0), abs=1e-6)
    assert large.within_sd == 1.0


def test_boxes_overlap_a_turned_airplane_less_than_its_rectangle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = compute_outline_metrics(compared(folder, monkeypatch, [None] * 4), 0.3)
    # At 0 degrees they are the same.
    assert metrics.ap50 == 1.0
    assert metrics.ap75 < 0.5
    assert metrics.by_side_px[-1].measured == 0
    assert math.isnan(metrics.by_side_px[-1].heading_deg)


def test_errors_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = airplane(CENTRES[0], HEADINGS[0] + 3.0)
    reversed_ends = TRUTH[1][[1, 0, 3, 2]]
    longer = airplane(CENTRES[2], HEADINGS[2], length=1.1 * LENGTH_PX)
    images = compared(folder, monkeypatch, [turned, reversed_ends, longer, None])
    large = compute_outline_metrics(images, 0.3).by_side_px[-1]
    assert (large.headings, large.reversed) == (3, 1)
    assert large.heading_deg == pytest.approx(1.5, abs=0.01)  # the median of 3 and 0
    assert large.length == pytest.approx(0.0, abs=1e-6)
    # Of 9 errors: 3 degrees, 180 degrees and 3.5 m are more than the 1 expected.
    assert large.within_sd == pytest.approx(6 / 9)


def test_low_scores_do_not_count_and_what_is_hidden_is_void(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = compared(folder, monkeypatch, list(TRUTH))
    assert compute_outline_metrics(images, 0.85).by_side_px[-1].detected == 1
    # The helicopter is void only as a box of the labels: it has no outline, so a detection of it is false.
    assert [len(matches.scores) for matches in images[0].matches.values()] == [3, 3]
    nowhere = compared(folder, monkeypatch, [None], boxes=[[200.0, 10.0, 220.0, 30.0]])
    assert [matches.correct.tolist() for matches in nowhere[0].matches.values()] == [[False], [False]]
    assert compute_outline_metrics(nowhere, 0.3).ap50 == 0.0


def test_a_set_without_points_has_no_outlines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((folder / "annotations.json").read_text())
    del content["images"][0]["airplanes"]
    other = folder / "other"
    other.mkdir()
    (folder / "a.png").rename(other / "a.png")
    (other / "annotations.json").write_text(json.dumps(content))
    assert compared(other, monkeypatch, list(TRUTH)) == []


def test_tables_and_results_hold_the_metrics(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = compared(folder, monkeypatch, list(TRUTH))
    precisions, errors = outline_tables({"made up": images}, 0.3)
    assert precisions[1] == ["made up", "3", "1.000", "1.000"]
    assert errors[1] == ["made up", "48-", "3", "3", "0.0 deg", "0 of 3", "0.0 %", "0.0 %", "100 %"]
    assert outline_tables({}, 0.3) == []
    content = to_json(compute_outline_metrics(images, 0.3))
    assert content["by_side_px"][-1] | {"max_side_px": None} == content["by_side_px"][-1]
    json.dumps(content, allow_nan=False)
