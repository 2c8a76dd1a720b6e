import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data import augment

SIDE = 12
# Every pixel says its own place: row in red, column in green.
PLACES = np.stack([*np.indices((SIDE, SIDE)), np.zeros((SIDE, SIDE))], axis=-1).astype(np.uint8)
BOXES = np.array([[1.0, 2, 4, 9], [5, 0, 12, 3], [10, 10, 12, 12]])


def inside(pixels: np.ndarray, box: np.ndarray) -> set[tuple[int, ...]]:
    """The places whose pixels lie in a box."""
    xmin, ymin, xmax, ymax = box.astype(int)
    return {tuple(place) for place in pixels[ymin:ymax, xmin:xmax].reshape(-1, 3).tolist()}


@pytest.mark.parametrize("orientation", range(8))
def test_boxes_move_with_the_pixels(orientation: int) -> None:
    pixels, boxes = augment.orient(PLACES, BOXES, orientation)
    assert pixels.shape == PLACES.shape
    assert pixels.flags.c_contiguous
    for before, after in zip(BOXES, boxes, strict=True):
        assert inside(pixels, after) == inside(PLACES, before)


def test_there_are_eight_orientations() -> None:
    assert len({augment.orient(PLACES, BOXES, orientation)[0].tobytes() for orientation in range(8)}) == 8
    np.testing.assert_array_equal(augment.orient(PLACES, BOXES, 0)[0], PLACES)


def test_the_bits_of_an_orientation_mean_what_they_say() -> None:
    np.testing.assert_array_equal(augment.orient(PLACES, BOXES, 4)[0], PLACES[:, ::-1])
    np.testing.assert_array_equal(augment.orient(PLACES, BOXES, 2)[0], PLACES[::-1])
    np.testing.assert_array_equal(augment.orient(PLACES, BOXES, 1)[0], PLACES.swapaxes(0, 1))
    np.testing.assert_array_equal(augment.orient(PLACES, BOXES, 7)[0], PLACES[::-1, ::-1].swapaxes(0, 1))


def test_no_boxes_stay_no_boxes() -> None:
    assert augment.orient(PLACES, np.zeros((0, 4)), 7)[1].shape == (0, 4)


def ground(level: int = 70) -> np.ndarray:
    pixels = np.full((48, 40, 3), level, np.uint8)
    pixels[10:30, 8:18] = 190
    return pixels


@given(st.integers(0, 2**32 - 1))
def test_weather_leaves_the_airplane_where_it_is(seed: int) -> None:
    pixels = ground()
    seen = augment.weather(pixels, np.random.default_rng(seed))
    assert seen.shape == pixels.shape
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(pixels, ground())  # the photo is used again
    grey = seen.astype(float).mean(axis=-1)
    airplane = np.zeros((48, 40), bool)
    airplane[10:30, 8:18] = True
    middle = (grey[airplane].mean() + grey[~airplane].mean()) / 2
    assert grey[airplane].mean() > grey[~airplane].mean() + 10
    assert ((grey > middle) == airplane).mean() > 0.93


def test_weather_is_drawn_from_the_generator_alone() -> None:
    one, same, other = (augment.weather(ground(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_weather_comes_in_many_kinds() -> None:
    seen = [augment.weather(ground(), np.random.default_rng(seed)).astype(float) for seed in range(60)]
    means = [picture.mean() for picture in seen]
    assert max(means) - min(means) > 60
    grey = [np.ptp(picture.mean(axis=(0, 1))) < 1 for picture in seen]
    assert 0 < sum(grey) < len(grey)
