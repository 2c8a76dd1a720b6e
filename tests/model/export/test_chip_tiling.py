import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.export.chip_tiling import ChipTiling, boxes, zoomed

tilings = st.builds(
    ChipTiling,
    st.lists(st.floats(0.3, 4), min_size=1, max_size=3).map(tuple),
    st.integers(1, 25),
)


@given(st.integers(1, 120), st.integers(1, 120), tilings)
def test_tiles_lie_inside_of_the_picture_and_are_20_px_wide_at_their_zoom(
    height: int, width: int, tiling: ChipTiling
) -> None:
    found = boxes(height, width, tiling)
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= np.array([width, height]) + 1e-9).all()
    sides = {(round(x, 6), round(y, 6)) for x, y in found[:, 2:] - found[:, :2]}
    wanted = [(width / zoomed(width, zoom) * 20, height / zoomed(height, zoom) * 20) for zoom in tiling.zooms]
    assert sides <= {(round(x, 6), round(y, 6)) for x, y in wanted}
    assert sum(len(boxes(height, width, ChipTiling((zoom,), tiling.step_px))) for zoom in tiling.zooms) == len(found)


@given(st.integers(20, 120), st.integers(20, 120), st.integers(1, 20))
def test_neighbours_are_a_step_apart_and_no_more_than_a_step_is_left_over(height: int, width: int, step: int) -> None:
    found = boxes(height, width, ChipTiling((1.0,), step))
    for axis, length in ((0, width), (1, height)):
        begins = np.unique(found[:, axis])
        assert begins[0] == 0
        assert (np.diff(begins) == step).all()
        assert length - step < begins[-1] + 20 <= length


def test_a_zoom_of_2_looks_at_40_px() -> None:
    found = boxes(50, 90, ChipTiling((2.0,), 5))
    assert found.tolist() == [[x, 0, x + 40, 40] for x in (0, 10, 20, 30, 40, 50)] + [
        [x, 10, x + 40, 50] for x in (0, 10, 20, 30, 40, 50)
    ]


def test_a_picture_smaller_than_a_tile_has_none() -> None:
    assert boxes(19, 64, ChipTiling((1.0, 2.0))).shape == (0, 4)


@pytest.mark.parametrize(
    ("zooms", "step", "named"),
    [((), 4, "zooms"), ((1.0, 0.0), 4, "zooms"), ((float("nan"),), 4, "zooms"), ((1.0,), 0, "step_px")],
)
def test_tilings_that_cannot_be_are_refused(zooms: tuple[float, ...], step: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ChipTiling(zooms, step)
