import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.types import Detections, Window

windows = st.builds(Window, *[st.integers(-8, 8)] * 2, *[st.integers(0, 9)] * 2)


def _pixels(window: Window) -> set[tuple[int, int]]:
    return {(x, y) for x in range(window.col, window.right) for y in range(window.row, window.bottom)}


@given(windows, windows)
def test_the_intersection_holds_the_common_pixels(a: Window, b: Window) -> None:
    assert _pixels(a.intersection(b)) == _pixels(a) & _pixels(b)
    assert min(a.intersection(b).width, a.intersection(b).height) >= 0


@given(windows, st.floats(-10, 20), st.floats(-10, 20))
def test_a_window_contains_the_points_of_its_pixels(window: Window, x: float, y: float) -> None:
    inside = (int(np.floor(x)), int(np.floor(y))) in _pixels(window)
    assert window.contains_points(np.array([[x, y]])).tolist() == [inside]


def test_windows_are_half_open_and_contain_no_nan() -> None:
    points = np.array([[2.0, 3.0], [6.0, 3.0], [2.0, 5.0], [5.999, 4.999], [np.nan, 4.0], [3.0, np.nan]])
    assert Window(2, 3, 4, 2).contains_points(points).tolist() == [True, False, False, True, False, False]


def test_detections_hold_float64_of_equal_length() -> None:
    detections = Detections(np.array([[1, 2, 3, 4]], dtype=np.int32), np.array([0.5], dtype=np.float32), np.array([1]))
    assert len(detections) == 1
    assert all(values.dtype == np.float64 for values in (detections.boxes, detections.scores, detections.resolution_m))


@pytest.mark.parametrize(
    "shapes", [((2, 4), (1,), (2,)), ((2, 4), (2,), (1,)), ((2, 3), (2,), (2,)), ((4,), (4,), (4,))]
)
def test_detections_of_unequal_lengths_are_rejected(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="expected shape"):
        Detections(*(np.zeros(shape) for shape in shapes))


def test_taking_from_a_concatenation_returns_the_parts() -> None:
    def part(start: int, count: int) -> Detections:
        values = np.arange(float(start), start + count)
        return Detections(np.column_stack([values] * 4), values / 100, values * 2)

    first, second = part(0, 3), part(3, 2)
    both = Detections.concatenate([first, Detections.empty(), second])
    again = both.take(np.array([3, 4]))
    assert len(both) == 5
    assert again.boxes.tolist() == second.boxes.tolist()
    assert again.scores.tolist() == second.scores.tolist()
    assert again.resolution_m.tolist() == second.resolution_m.tolist()
    assert both.take(both.scores < 0.025).boxes.tolist() == first.boxes.tolist()
    assert len(Detections.concatenate([])) == 0
