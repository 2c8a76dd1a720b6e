from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.synthetic.texture import Textures, draw_textures


@cache
def drawn() -> Textures:
    return draw_textures(4)


@given(st.integers(-600, 5000), st.integers(-600, 5000), st.integers(1, 60), st.integers(1, 60))
def test_a_window_is_cut_from_one_endless_field(x: int, y: int, width: int, height: int) -> None:
    textures = drawn()
    whole = textures.at(x - 7, y - 3, width + 20, height + 20)
    np.testing.assert_array_equal(textures.at(x, y, width, height), whole[:, 3 : 3 + height, 7 : 7 + width])


def test_fields_have_mean_0_and_deviation_1() -> None:
    textures = drawn()
    for tile in (textures.fine, textures.medium, textures.blotchy, textures.coarse):
        assert tile.mean() == pytest.approx(0, abs=1e-3)
        assert tile.std() == pytest.approx(1, abs=1e-3)


def test_coarser_fields_change_more_slowly() -> None:
    textures = drawn()
    steps = [float(np.abs(np.diff(field, axis=1)).mean()) for field in textures.at(0, 0, 400, 400)]
    fine, medium, coarse, blotchy = steps
    assert fine > medium > blotchy > coarse


def test_the_coarse_field_has_no_steps() -> None:
    coarse = drawn().at(100, 100, 500, 500)[2]
    steps = np.abs(np.diff(coarse, axis=0))
    samples = np.abs(np.diff(drawn().coarse, axis=0)).max()
    assert steps.max() <= samples / 16 * 1.01


def test_another_seed_is_another_field() -> None:
    textures = drawn()
    assert not np.array_equal(textures.fine, draw_textures(5).fine)
