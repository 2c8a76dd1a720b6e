import colorsys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.data import augment
from model.data.augment import orient_chips, rotate_hues
from tests.model.data.made_up_chips import some_images

SIDE = 12
SEEDS = st.integers(0, 2**32 - 1)
# Every pixel encodes its position: row in red, column in green.
POSITIONS = np.stack([*np.indices((SIDE, SIDE)), np.zeros((SIDE, SIDE))], axis=-1).astype(np.uint8)
BOXES = np.array([[1.0, 2, 4, 9], [5, 0, 12, 3], [10, 10, 12, 12]])


def inside(pixels: np.ndarray, box: np.ndarray) -> set[tuple[int, ...]]:
    """The positions whose pixels lie in a box."""
    xmin, ymin, xmax, ymax = box.astype(int)
    return {tuple(position) for position in pixels[ymin:ymax, xmin:xmax].reshape(-1, 3).tolist()}


@pytest.mark.parametrize("orientation", range(8))
def test_boxes_move_with_the_pixels(orientation: int) -> None:
    pixels, boxes = augment.orient(POSITIONS, BOXES, orientation)
    assert pixels.shape == POSITIONS.shape
    assert pixels.flags.c_contiguous
    for before, after in zip(BOXES, boxes, strict=True):
        assert inside(pixels, after) == inside(POSITIONS, before)


def test_there_are_eight_orientations() -> None:
    assert len({augment.orient(POSITIONS, BOXES, orientation)[0].tobytes() for orientation in range(8)}) == 8
    np.testing.assert_array_equal(augment.orient(POSITIONS, BOXES, 0)[0], POSITIONS)


def test_the_bits_of_an_orientation() -> None:
    np.testing.assert_array_equal(augment.orient(POSITIONS, BOXES, 4)[0], POSITIONS[:, ::-1])
    np.testing.assert_array_equal(augment.orient(POSITIONS, BOXES, 2)[0], POSITIONS[::-1])
    np.testing.assert_array_equal(augment.orient(POSITIONS, BOXES, 1)[0], POSITIONS.swapaxes(0, 1))
    np.testing.assert_array_equal(augment.orient(POSITIONS, BOXES, 7)[0], POSITIONS[::-1, ::-1].swapaxes(0, 1))


def test_no_boxes_stay_no_boxes() -> None:
    assert augment.orient(POSITIONS, np.zeros((0, 4)), 7)[1].shape == (0, 4)


def ground(level: int = 70) -> np.ndarray:
    pixels = np.full((48, 40, 3), level, np.uint8)
    pixels[10:30, 8:18] = 190
    return pixels


@given(SEEDS)
def test_pixel_augmentation_does_not_move_the_airplane(seed: int) -> None:
    pixels = ground()
    with pytest.MonkeyPatch.context() as patch:
        # The border of a shadow may have more contrast than an airplane.
        patch.setattr(augment, "_cast_shadow", lambda x, _: x)
        augmented = augment.augment_pixels(pixels, np.random.default_rng(seed))
    assert augmented.shape == pixels.shape
    assert augmented.dtype == np.uint8
    np.testing.assert_array_equal(pixels, ground())  # the image is used again
    grey = augmented.astype(float).mean(axis=-1)
    airplane = np.zeros((48, 40), bool)
    airplane[10:30, 8:18] = True
    centre = (grey[airplane].mean() + grey[~airplane].mean()) / 2
    assert grey[airplane].mean() > grey[~airplane].mean() + 10
    assert ((grey > centre) == airplane).mean() > 0.93


def test_pixel_augmentation_depends_on_the_generator_alone() -> None:
    first, same, second = (augment.augment_pixels(ground(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != second).any()


def test_pixel_augmentation_is_diverse() -> None:
    # Three uncorrelated bands; conversion to grey makes them equal.
    pixels = np.random.default_rng(1).choice([60, 190], (6, 5, 3)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    augmented = [augment.augment_pixels(pixels, np.random.default_rng(seed)).astype(float) for seed in range(300)]
    means = [image.mean() for image in augmented]
    assert max(means) - min(means) > 60
    grey = [np.corrcoef(image[..., 0].ravel(), image[..., 2].ravel())[0, 1] > 0.9 for image in augmented]
    assert 0.08 < np.mean(grey) < 0.22


@pytest.mark.parametrize(
    ("kind", "fraction"),
    [("_shift_colours", 0.85 * 0.4), ("_misregister_band", 0.15), ("_cast_shadow", 0.15), ("_compress", 0.3)],
)
def test_each_augmentation_occurs_at_its_rate(kind: str, fraction: float, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, times = getattr(augment, kind), []

    def counted(*arguments: Any) -> Any:
        times.append(kind)
        return plain(*arguments)

    monkeypatch.setattr(augment, kind, counted)
    generator = np.random.default_rng(1)
    for _ in range(400):
        augment.augment_pixels(ground()[:8, :8], generator)
    assert len(times) / 400 == pytest.approx(fraction, abs=0.06)


class Drawn:
    """A generator that draws the given values."""

    def __init__(self, angle: float, saturation: float) -> None:
        self.angle, self.saturation = angle, saturation

    def normal(self, *_: float) -> float:
        return self.angle

    def uniform(self, *_: float) -> float:
        return self.saturation


def recoloured(colours: NDArray[np.float32], angle: float, saturation: float) -> NDArray[np.float32]:
    generator: Any = Drawn(angle, saturation)
    return np.asarray(augment._shift_colours(colours[None], generator)[0])


def pale_colours(seed: int) -> NDArray[np.float32]:
    """Return colours (20, 3) so close to grey that no change of hue leaves 0..1."""
    generator = np.random.default_rng(seed)
    return (generator.uniform(0.4, 0.6, (20, 1)) + generator.uniform(-0.1, 0.1, (20, 3))).astype(np.float32)


def split(colours: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The grey part of colours, (N, 1), and the rest, (N, 3)."""
    exact = colours.astype(np.float64)
    grey = exact.mean(axis=1, keepdims=True)
    return grey, exact - grey


@given(SEEDS, st.floats(-np.pi, np.pi), st.floats(0.3, 1.5))
def test_a_hue_is_turned_about_grey_and_a_saturation_is_a_factor(seed: int, angle: float, saturation: float) -> None:
    colours = pale_colours(seed)
    (grey, rest), (new_grey, new_rest) = split(colours), split(recoloured(colours, angle, saturation))
    np.testing.assert_allclose(new_grey, grey, atol=1e-6)
    lengths, new_lengths = np.linalg.norm(rest, axis=1), np.linalg.norm(new_rest, axis=1)
    np.testing.assert_allclose(new_lengths, saturation * lengths, atol=1e-6)
    np.testing.assert_allclose((rest * new_rest).sum(axis=1), np.cos(angle) * lengths * new_lengths, atol=1e-6)


def test_a_third_of_a_turn_makes_green_of_red_and_blue_of_green() -> None:
    colours = pale_colours(1)
    np.testing.assert_allclose(recoloured(colours, 2 * np.pi / 3, 1.0), np.roll(colours, 1, axis=1), atol=1e-6)
    np.testing.assert_allclose(recoloured(colours, 0.0, 1.0), colours, atol=1e-6)


@given(SEEDS)
def test_grey_stays_grey_and_every_colour_a_colour(seed: int) -> None:
    generator = np.random.default_rng(seed)
    grey = np.repeat(generator.random((5, 7, 1), np.float32), 3, axis=-1)
    np.testing.assert_allclose(augment._shift_colours(grey, generator), grey, atol=1e-6)
    wild = augment._shift_colours(generator.random((5, 7, 3), np.float32), generator)
    assert wild.dtype == np.float32
    assert (wild >= 0).all()
    assert (wild <= 1).all()


@given(SEEDS)
def test_a_shadow_darkens_one_side_of_a_line_alone(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.uniform(0.1, 1, (160, 200, 3)).astype(np.float32)
    shadowed = augment._cast_shadow(x, generator)
    assert shadowed.dtype == np.float32
    light = (shadowed / x).astype(np.float64)
    assert np.ptp(light, axis=-1).max() < 1e-5  # no colour
    light = light.mean(axis=-1)
    minimum = light.min()
    assert 0.4 - 1e-5 <= minimum <= 0.8 + 1e-5
    assert light.max() == pytest.approx(1, abs=1e-5)
    # The penumbra is linear, and the border straight: fit a plane to it.
    rows, cols = np.nonzero((light > minimum + 1e-4) & (light < 1 - 1e-4))
    plane = np.column_stack([cols, rows, np.ones(len(rows))])
    slope, *_ = np.linalg.lstsq(plane, light[rows, cols])
    np.testing.assert_allclose(plane @ slope, light[rows, cols], atol=1e-4)
    everywhere = np.stack(np.meshgrid(np.arange(200), np.arange(160)), axis=-1) @ slope[:2] + slope[2]
    np.testing.assert_allclose(np.clip(everywhere, minimum, 1), light, atol=1e-3)


def test_orientations_are_those_of_the_detectors_crops() -> None:
    images = some_images(16)
    orientations = np.arange(16) % 8
    for image, orientation, actual in zip(images, orientations, orient_chips(images, orientations), strict=True):
        np.testing.assert_array_equal(actual, augment.orient(image, np.zeros((0, 4)), int(orientation))[0])


def test_a_rotation_of_the_hue_by_120_degrees_swaps_the_bands() -> None:
    images = some_images(4)
    actual = rotate_hues(images, np.array([0, 2 * np.pi / 3, -2 * np.pi / 3, 2 * np.pi]))
    for image, order in zip(
        zip(actual, images, strict=True), ([0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 1, 2]), strict=True
    ):
        np.testing.assert_array_equal(image[0], image[1][..., order])


def test_hue_leaves_grey_as_it_is_and_keeps_the_brightness() -> None:
    grey = np.repeat(some_images(3)[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(rotate_hues(grey, np.array([0.2, -1.0, 3.0])), grey)
    dull = (some_images(3) // 4 + 96).astype(np.uint8)  # no colour reaches the ends of its range
    actual = rotate_hues(dull, np.array([0.2, -1.0, 3.0]))
    np.testing.assert_allclose(actual.mean(axis=-1), dull.mean(axis=-1), atol=0.7)
    assert np.abs(actual.astype(int) - dull).max() > 10


def test_a_small_rotation_changes_the_hue_by_its_angle() -> None:
    red = np.full((1, 1, 1, 3), (140, 110, 110), np.uint8)
    hue, _, _ = colorsys.rgb_to_hsv(*(rotate_hues(red, np.array([0.5]))[0, 0, 0] / 255))
    assert hue * 2 * np.pi == pytest.approx(0.5, abs=0.1)
