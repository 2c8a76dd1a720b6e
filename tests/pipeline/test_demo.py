import json
from pathlib import Path

import pytest

from pipeline import demo
from pipeline.demo import Tally
from tests.pipeline.airplanes import airplane


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two airplanes that were drawn; the first where `airplane()` is."""
    boxes = [(10.0, 20.0, 70.0, 70.0), (500.0, 20.0, 560.0, 70.0)]
    features = [
        {"properties": dict(zip(("xmin_px", "ymin_px", "xmax_px", "ymax_px"), one, strict=True))} for one in boxes
    ]
    path = tmp_path / "a.truth.geojson"
    path.write_text(json.dumps({"features": features}))
    return path


def test_only_boxes_that_fit_are_right(truth: Path) -> None:
    near = airplane(xmin_px=14.0)
    far = airplane(xmin_px=200.0)
    assert demo.compare([near, far], truth) == Tally(there=2, found=2, right=1)


def test_one_airplane_is_right_once(truth: Path) -> None:
    found = [airplane(xmin_px=10.0), airplane(xmin_px=12.0, score=0.8)]
    assert demo.compare(found, truth) == Tally(there=2, found=2, right=1)


def test_nothing_found(truth: Path) -> None:
    assert demo.compare([], truth) == Tally(there=2, found=0, right=0)
    assert str(Tally(2, 0, 0)) == "2 airplanes, 0 found, 0 of these right: recall 0.00, precision -"


def test_the_tally_for_people() -> None:
    assert str(Tally(40, 38, 36)) == "40 airplanes, 38 found, 36 of these right: recall 0.90, precision 0.95"
