import numpy as np
import pytest

from model.export.check import Difference, ExportError, check, difference
from model.export.signatures import Outputs


def outputs(scores: list[list[float]], side: float = 8.0) -> Outputs:
    found = np.array(scores, np.float32)
    return np.full((*found.shape, 4), side, np.float32), found


def test_the_greatest_difference_counts() -> None:
    wanted, found = outputs([[0.9, 0.2], [0.5, 0.1]]), outputs([[0.9, 0.25], [0.5, 0.1]])
    found[0][0, 1, 2] -= 0.125
    found[0][1, 0, 3] += 0.0625
    of = difference(found, wanted)
    assert of.boxes_px == 0.125
    assert of.scores == pytest.approx(0.05)


def test_boxes_that_hardly_score_do_not_count() -> None:
    wanted, found = outputs([[0.9, 0.04]]), outputs([[0.9, 0.04]])
    found[0][0, 1] += 100
    assert difference(found, wanted) == Difference(0, 0)


def test_where_nothing_scores_the_best_box_counts_all_the_same() -> None:
    wanted, found = outputs([[0.02, 0.03]]), outputs([[0.02, 0.03]])
    found[0][0, 1] += 1
    assert difference(found, wanted).boxes_px == 1


@pytest.mark.parametrize("of", [Difference(0, 0), Difference(0.05, 0), Difference(0, 1e-3)])
def test_what_is_near_enough_passes(of: Difference) -> None:
    check("onnx", of)


@pytest.mark.parametrize(
    "of", [Difference(0.051, 0), Difference(0, 0.0011), Difference(float("nan"), 0), Difference(0, float("nan"))]
)
def test_what_is_too_far_is_refused_by_name(of: Difference) -> None:
    with pytest.raises(ExportError, match=r"onnx.*expected"):
        check("onnx", of)
