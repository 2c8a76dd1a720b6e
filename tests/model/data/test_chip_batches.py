import colorsys

import numpy as np
import pytest

from geo.types import ImageArray
from model.data import augment
from model.data.chips import AugmentConfig, ChipBatches, Chips, orient_chips, rotate_hues

BOTH = AugmentConfig(orientation=True, hue=0.3)


def some_images(count: int) -> ImageArray:
    return np.random.default_rng(5).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)


def batches(config: AugmentConfig = BOTH, seed: int = 1, count: int = 50) -> ChipBatches:
    chips = Chips(some_images(count), np.arange(count), np.full(count, "scene"))
    return ChipBatches(chips, config, batch=8, steps=3, seed=seed)


def test_a_batch_depends_on_seed_epoch_and_number_alone() -> None:
    first, second = batches(), batches()
    first.epoch = second.epoch = 4
    _ = second[0]
    for actual, again in zip(first[2], second[2], strict=True):
        np.testing.assert_array_equal(actual, again)
    drawn = [first[2][0], first[1][0], batches(seed=2)[2][0]]
    first.epoch = 5
    drawn.append(first[2][0])
    assert len({images.tobytes() for images in drawn}) == 4


def test_chips_without_augmentation_keep_their_labels() -> None:
    source, served = some_images(50), batches(AugmentConfig())
    assert len(served) == 3
    for number in range(3):
        images, labels = served[number]
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, source[labels])


def test_every_chip_is_served() -> None:
    served = batches(AugmentConfig())
    drawn = [label for served.epoch in range(40) for number in range(3) for label in served[number][1]]
    counts = np.bincount(drawn, minlength=50)
    assert counts.min() > 0
    assert counts.max() < 5 * counts.mean()


def test_orientations_are_those_of_the_detectors_crops() -> None:
    images = some_images(16)
    orientations = np.arange(16) % 8
    for image, orientation, actual in zip(images, orientations, orient_chips(images, orientations), strict=True):
        np.testing.assert_array_equal(actual, augment.orient(image, np.zeros((0, 4)), int(orientation))[0])


def test_batches_have_every_orientation_if_configured() -> None:
    source, served = some_images(1), batches(AugmentConfig(orientation=True), count=1)
    drawn = {image.tobytes() for number in range(20) for image in served[number][0]}
    assert drawn == {image.tobytes() for image in orient_chips(np.repeat(source, 8, axis=0), np.arange(8))}


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


def test_a_negative_hue_is_rejected() -> None:
    with pytest.raises(ValueError, match="hue"):
        AugmentConfig(hue=-0.1)
