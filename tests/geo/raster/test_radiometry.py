"""Band selection, display stretch and black collar."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geo.errors import RasterError
from geo.raster.radiometry import Stretch, choose_bands, detect_collar, estimate_stretch
from geo.types import FloatArray

# Levels of a typical photo: mostly mid-tones, and the full range.
PHOTO = np.random.default_rng(4).normal(130, 45, 20_000).clip(0, 255).round()


@pytest.mark.parametrize(
    ("colours", "requested", "bands"),
    [
        (["red", "green", "blue"], None, (1, 2, 3)),
        (["blue", "green", "red", "undefined"], None, (3, 2, 1)),
        (["alpha", "red", "green", "blue"], None, (2, 3, 4)),
        (["gray", "undefined", "undefined", "undefined"], None, (1, 2, 3)),
        (["gray"], None, (1,)),
        (["undefined"], None, (1,)),
        (["gray", "alpha"], None, (1,)),
        (["undefined"] * 8, (5, 3, 2), (5, 3, 2)),
        (["red", "green", "blue"], (2,), (2,)),
        (["gray", "undefined"], (2,), (2,)),
        (["palette", "red", "green", "blue"], None, (2, 3, 4)),
    ],
)
def test_bands_are_chosen_by_colour_or_as_requested(
    colours: list[str], requested: tuple[int, ...] | None, bands: tuple[int, ...]
) -> None:
    assert choose_bands(colours, requested) == bands


@pytest.mark.parametrize(
    ("colours", "requested", "message"),
    [
        (["gray", "undefined"], None, "at least 3 .* got 2: choose bands"),
        (["alpha"], None, "got 0"),
        (["palette"], None, "indices of a palette: .*-expand rgb"),
        (["gray", "palette"], (2,), "indices of a palette"),
        (["red", "green", "blue"], (1, 2), r"1 band .* or 3 .* got \[1, 2\]"),
        (["red", "green", "blue"], (1, 2, 4), r"bands from 1 to 3, got \[1, 2, 4\]"),
        (["red", "green", "blue"], (0,), r"bands from 1 to 3, got \[0\]"),
    ],
)
def test_unusable_bands_are_rejected(colours: list[str], requested: tuple[int, ...] | None, message: str) -> None:
    with pytest.raises(RasterError, match=message):
        choose_bands(colours, requested)


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("gain", [8, 16, 257 / 2])
def test_a_scene_that_fills_its_bit_depth_looks_the_same_in_any_depth(kind: str, gain: float) -> None:
    values = (PHOTO * gain).astype(kind)
    stretch = estimate_stretch(values)
    assert stretch is not None
    assert np.abs(stretch.apply(values) - PHOTO).max() <= 1


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 20_000), (0.001, 1.0), (0.5, -500), (3, 1000)])
def test_other_scenes_are_stretched_to_the_levels_of_photos(gain: float, offset: float) -> None:
    values = (PHOTO * gain + offset).astype(np.float32)
    stretch = estimate_stretch(values)
    assert stretch is not None
    dark, bright = np.percentile(stretch.apply(values), [1, 99])
    assert 20 <= dark <= 65
    assert 200 <= bright <= 250


def test_8_bit_values_are_unchanged_unless_dim() -> None:
    assert estimate_stretch(PHOTO.astype(np.uint8)) is None
    assert estimate_stretch((60 + PHOTO / 8).astype(np.uint8)) is None
    dim = (PHOTO / 8).astype(np.uint8)
    stretch = estimate_stretch(dim)
    assert stretch is not None
    assert np.percentile(stretch.apply(dim), 99) == pytest.approx(235, abs=8)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("value", [0, 1, 7, 100])
def test_a_constant_scene_becomes_one_level(kind: str, value: int) -> None:
    values = np.full(50, value, kind)
    stretch = estimate_stretch(values)
    assert stretch is None or len(np.unique(stretch.apply(values))) == 1


def test_a_scene_without_valid_values_has_a_stretch() -> None:
    for kind in ("uint8", "uint16", "float32"):
        estimate_stretch(np.empty(0, kind))
    assert estimate_stretch(np.full(9, np.nan, np.float32)) is not None


def test_nan_is_black_and_left_out_of_the_statistics() -> None:
    values = np.append((PHOTO * 8).astype(np.float32), [np.nan, np.inf, -np.inf])
    stretch = estimate_stretch(values)
    assert stretch == estimate_stretch(values[:-3])
    assert stretch is not None
    assert stretch.apply(values)[-3:].tolist() == [0, 255, 0]


@given(hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)))
def test_the_stretch_is_monotonic(values: NDArray[np.float32]) -> None:
    stretch = estimate_stretch(values)
    assert stretch is not None
    levels = stretch.apply(np.sort(values[np.isfinite(values)])).astype(int)
    assert (np.diff(levels) >= 0).all()


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_an_empty_or_infinite_range_is_rejected(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low < high"):
        Stretch(low, high)


def test_values_are_clipped_to_0_and_255() -> None:
    values: FloatArray = np.array([-5.0, 10, 15, 20, 99])
    assert Stretch(10, 20).apply(values).tolist() == [0, 0, 128, 255, 255]


def test_only_black_connected_to_the_border_is_collar() -> None:
    black = np.zeros((60, 80), dtype=np.bool_)
    black[:, :10] = True
    black[30:35, 40:45] = True  # a shadow
    collar = detect_collar(black)
    assert collar is not None
    mask = collar.covers((np.arange(80) + 0.5) / 80, (np.arange(60) + 0.5) / 60)
    expected = np.zeros((60, 80), dtype=np.bool_)
    expected[:, :11] = True
    assert (mask == expected).all()


def test_no_collar_without_black_at_the_border_nor_in_a_black_scene() -> None:
    black = np.zeros((60, 80), dtype=np.bool_)
    assert detect_collar(black) is None
    black[20, 20] = True
    assert detect_collar(black) is None
    assert detect_collar(np.ones((60, 80), dtype=np.bool_)) is None


def test_a_collar_pickles_small() -> None:
    row, column = np.mgrid[:512, :512]
    collar = detect_collar((row + column < 250) | (row - column > 300) | (column * 3 - row > 1300))
    assert len(pickle.dumps(collar)) < 3000
