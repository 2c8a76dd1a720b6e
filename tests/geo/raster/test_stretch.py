import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geo.raster.stretch import Stretch, find_stretch
from geo.types import FloatArray

# What a photo made for the eye looks like: most in the middle, a little of everything.
PHOTO = np.random.default_rng(4).normal(130, 45, 20_000).clip(0, 255).round()


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("gain", [8, 16, 257 / 2])
def test_a_scene_that_uses_the_range_of_its_bits_looks_the_same_in_any(kind: str, gain: float) -> None:
    values = (PHOTO * gain).astype(kind)
    stretch = find_stretch(values)
    assert stretch is not None
    assert np.abs(stretch.apply(values) - PHOTO).max() <= 1


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 20_000), (0.001, 1.0), (0.5, -500), (3, 1000)])
def test_any_other_is_stretched_to_what_photos_look_like(gain: float, offset: float) -> None:
    values = (PHOTO * gain + offset).astype(np.float32)
    stretch = find_stretch(values)
    assert stretch is not None
    dark, bright = np.percentile(stretch.apply(values), [1, 99])
    assert 20 <= dark <= 65
    assert 200 <= bright <= 250


def test_8_bits_stay_unless_they_are_dim() -> None:
    assert find_stretch(PHOTO.astype(np.uint8)) is None
    assert find_stretch((60 + PHOTO / 8).astype(np.uint8)) is None
    dim = (PHOTO / 8).astype(np.uint8)
    stretch = find_stretch(dim)
    assert stretch is not None
    assert np.percentile(stretch.apply(dim), 99) == pytest.approx(235, abs=8)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("value", [0, 1, 7, 100])
def test_one_value_is_one_level(kind: str, value: int) -> None:
    values = np.full(50, value, kind)
    stretch = find_stretch(values)
    assert stretch is None or len(np.unique(stretch.apply(values))) == 1


def test_nothing_valid_breaks_nothing() -> None:
    for kind in ("uint8", "uint16", "float32"):
        find_stretch(np.empty(0, kind))
    assert find_stretch(np.full(9, np.nan, np.float32)) is not None


def test_what_is_no_number_is_black_and_does_not_count() -> None:
    values = np.append((PHOTO * 8).astype(np.float32), [np.nan, np.inf, -np.inf])
    stretch = find_stretch(values)
    assert stretch == find_stretch(values[:-3])
    assert stretch is not None
    assert stretch.apply(values)[-3:].tolist() == [0, 255, 0]


@given(hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)))
def test_any_values_have_a_stretch_that_keeps_their_order(values: NDArray[np.float32]) -> None:
    stretch = find_stretch(values)
    assert stretch is not None
    levels = stretch.apply(np.sort(values[np.isfinite(values)])).astype(int)
    assert (np.diff(levels) >= 0).all()


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_a_stretch_spans_something(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low < high"):
        Stretch(low, high)


def test_the_ends_are_0_and_255() -> None:
    values: FloatArray = np.array([-5.0, 10, 15, 20, 99])
    assert Stretch(10, 20).apply(values).tolist() == [0, 0, 128, 255, 255]
