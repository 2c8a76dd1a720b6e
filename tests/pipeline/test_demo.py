import json
from pathlib import Path

import pytest

from pipeline import demo
from pipeline.demo import Comparison
from tests.pipeline.airplanes import airplane


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Ground truth with two airplanes; the first at the position of `airplane()`."""
    boxes = [(10.0, 20.0, 70.0, 70.0), (500.0, 20.0, 560.0, 70.0)]
    features = [
        {"properties": dict(zip(("xmin_px", "ymin_px", "xmax_px", "ymax_px"), box, strict=True))} for box in boxes
    ]
    path = tmp_path / "a.truth.geojson"
    path.write_text(json.dumps({"features": features}))
    return path


def test_only_overlapping_boxes_are_correct(truth: Path) -> None:
    near = airplane(xmin_px=14.0)
    far = airplane(xmin_px=200.0)
    assert demo.compare([near, far], truth) == Comparison(airplanes=2, detections=2, correct=1)


def test_a_second_detection_of_one_airplane_is_not_correct(truth: Path) -> None:
    detected = [airplane(xmin_px=10.0), airplane(xmin_px=12.0, score=0.8)]
    assert demo.compare(detected, truth) == Comparison(airplanes=2, detections=2, correct=1)


def test_no_detections(truth: Path) -> None:
    assert demo.compare([], truth) == Comparison(airplanes=2, detections=0, correct=0)
    assert str(Comparison(2, 0, 0)) == "2 airplanes, 0 detections, 0 of these correct: recall 0.00, precision -"


def test_a_comparison_is_printed_with_recall_and_precision() -> None:
    assert (
        str(Comparison(40, 38, 36)) == "40 airplanes, 38 detections, 36 of these correct: recall 0.90, precision 0.95"
    )
