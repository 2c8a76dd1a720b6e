import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from model.data import crops
from model.data.crops import Crop, CropConfig

SIDE = 96
GROUND, AIRPLANE = 60, 220
SEEDS = st.integers(0, 2**32 - 1)
Image = NDArray[np.uint8]
Array = NDArray[np.float64]


def image(generator: np.random.Generator, size: tuple[int, int] = (260, 190)) -> tuple[Image, Array]:
    """An image with at most one bright rectangle in each cell of a grid, so that none touch; some reach the edges."""
    width, height = size
    pixels = np.full((height, width, 3), GROUND, np.uint8)
    boxes = []
    for left in range(0, width - 60, 65):
        for top in range(0, height - 60, 65):
            if generator.random() < 0.3:
                continue
            low = np.array([left, top]) + generator.integers(0, 15, 2) * generator.integers(0, 2, 2)
            high = low + generator.integers(16, 45, 2)
            pixels[low[1] : high[1], low[0] : high[0]] = AIRPLANE
            boxes.append([*low, *high])
    return pixels, np.array(boxes, np.float64).reshape(-1, 4)


def bright(pixels: Image) -> Array:
    """Boxes around the bright areas."""
    slices = ndimage.find_objects(ndimage.label(pixels[..., 0] > (GROUND + AIRPLANE) / 2)[0])
    return np.array([[x.start, y.start, x.stop, y.stop] for y, x in slices], np.float64).reshape(-1, 4)


def drawn_cut(seed: int) -> tuple[Image, Array, Array, float, Crop]:
    """An image and a random crop of it, which may extend beyond the image on every side."""
    generator = np.random.default_rng(seed)
    pixels, boxes = image(generator)
    scale = float(np.exp(generator.uniform(*np.log([0.45, 2.2]))))
    corner = generator.uniform(-0.6 * SIDE / scale, [260 - 0.4 * SIDE / scale, 190 - 0.4 * SIDE / scale])
    return pixels, boxes, corner, scale, crops.cut_crop(pixels, boxes, corner, scale, SIDE)


@given(SEEDS)
def test_boxes_lie_where_the_bright_areas_do(seed: int) -> None:
    *_, crop = drawn_cut(seed)
    areas = bright(crop.pixels)
    for box in crop.boxes:
        assert len(areas)
        assert np.abs(areas - box).max(axis=1).min() <= 1.0


@given(SEEDS)
def test_every_bright_area_is_a_box_or_ignored(seed: int) -> None:
    *_, crop = drawn_cut(seed)
    answered = np.concatenate([crop.boxes, crop.ignored])
    for area in bright(crop.pixels):
        assert np.abs(answered - area).max(axis=1).min(initial=np.inf) <= 1.0


@given(SEEDS)
def test_the_black_outside_does_not_bleed_in(seed: int) -> None:
    *_, corner, scale, crop = drawn_cut(seed)
    values = crop.pixels
    black = values[..., 0] == 0
    assert (values[~black] >= GROUND).all()
    # Pixels of the crop that lie inside the image are not black, those outside are.
    low = corner + np.arange(SIDE)[:, None] / scale
    high = low + 1 / scale
    size, slack = np.array([260, 190]), 1e-6
    inside = (low >= -slack) & (high <= size + slack)
    outside = (high <= slack) | (low >= size - slack)
    assert not black[np.ix_(inside[:, 1], inside[:, 0])].any()
    assert black[outside[:, 1]].all()
    assert black[:, outside[:, 0]].all()


@given(SEEDS)
def test_an_airplane_counts_only_if_enough_of_it_is_visible(seed: int) -> None:
    _, boxes, corner, scale, crop = drawn_cut(seed)
    moved = (boxes - np.tile(corner, 2)) * scale
    counted = {tuple(box) for box in crop.boxes}
    ignored = {tuple(box) for box in crop.ignored}
    for box in moved:
        inner = np.clip(box, 0, SIDE)
        width, height = inner[2:] - inner[:2]
        fraction = width * height / (box[2:] - box[:2]).prod()
        assume(abs(fraction - 0.35) > 1e-9)
        large = max(width, height) >= 6
        assert (tuple(inner) in counted) == (fraction >= 0.35 and large)
        assert (tuple(inner) in ignored) == (width > 0 and height > 0 and not (fraction >= 0.35 and large))


def test_at_scale_one_pixels_are_copied() -> None:
    generator = np.random.default_rng(2)
    pixels = generator.integers(1, 256, (120, 150, 3), dtype=np.uint8)
    crop = crops.cut_crop(pixels, np.zeros((0, 4)), np.array([-10.0, 40.0]), 1.0, SIDE)
    np.testing.assert_array_equal(crop.pixels[:80, 10:], pixels[40:, : SIDE - 10])
    assert (crop.pixels[80:] == 0).all()
    assert (crop.pixels[:, :10] == 0).all()


def test_a_crop_outside_the_image_is_black() -> None:
    pixels = np.full((50, 50, 3), 200, np.uint8)
    crop = crops.cut_crop(pixels, np.array([[10.0, 10, 30, 30]]), np.array([60.0, 0.0]), 1.5, SIDE)
    assert (crop.pixels == 0).all()
    assert len(crop.boxes) == len(crop.ignored) == 0


@given(SEEDS)
def test_a_crop_near_an_airplane_shows_one_at_a_drawn_size(seed: int) -> None:
    generator = np.random.default_rng(seed)
    pixels = np.full((190, 260, 3), GROUND, np.uint8)
    box = np.array([[100.0, 80, 130, 100]])
    config = CropConfig(side_px=SIDE, near_airplane=1.0, size_px=(20.0, 40.0), scale=(0.45, 2.2))
    crop = crops.draw_crop(pixels, box, config, generator)
    assert len(crop.boxes) + len(crop.ignored) == 1
    (shown,) = np.concatenate([crop.boxes, crop.ignored])
    uncut = (shown[:2] > 0).all() and (shown[2:] < SIDE).all()
    if uncut:
        assert 20 - 1e-6 <= shown[2] - shown[0] <= 40 + 1e-6
        assert (shown[2] - shown[0]) / (shown[3] - shown[1]) == pytest.approx(1.5)


@given(SEEDS)
def test_the_scale_stays_in_its_range_and_the_crop_in_the_image(seed: int) -> None:
    generator = np.random.default_rng(seed)
    pixels, boxes = image(generator, (400, 300))
    config = CropConfig(side_px=SIDE, near_airplane=0.5, size_px=(1.0, 500.0), scale=(0.5, 2.0))
    crop = crops.draw_crop(pixels, boxes, config, generator)
    # At the smallest scale the crop covers 192 pixels of the image: it always fits.
    assert (crop.pixels >= GROUND).all()
    full = [box for box in crop.boxes if (box[:2] > 0).all() and (box[2:] < SIDE).all()]
    sides = np.array([box[2:] - box[:2] for box in full]).reshape(-1, 2)
    assert (sides >= 16 * 0.5 - 1e-6).all()
    assert (sides <= 45 * 2.0 + 1e-6).all()


def marked(generator: np.random.Generator, size: tuple[int, int]) -> tuple[Image, Array, Array]:
    """An image, a box that may extend beyond it, and a box of 2 pixels at its centre."""
    centre, sides = generator.uniform(0, size), generator.uniform(4, 120, 2)
    position = np.concatenate([centre - sides / 2, centre + sides / 2])
    return np.full((*size[::-1], 3), GROUND, np.uint8), position, np.concatenate([centre - 1, centre + 1])


@given(SEEDS, st.sampled_from([(400, 300), (150, 400), (70, 50)]))
def test_a_crop_around_a_box_shows_its_centre(seed: int, size: tuple[int, int]) -> None:
    # One image is smaller than every crop, one narrower than some.
    generator = np.random.default_rng(seed)
    pixels, position, mark = marked(generator, size)
    crop = crops.draw_crop(pixels, mark[None], CropConfig(SIDE), generator, position)
    assert len(crop.boxes) + len(crop.ignored) == 1


@given(SEEDS)
def test_a_crop_around_a_box_is_at_about_the_scale_of_the_image(seed: int) -> None:
    generator = np.random.default_rng(seed)
    pixels = np.full((300, 400, 3), GROUND, np.uint8)
    # Independent of `size_px` and `near_airplane`.
    config = CropConfig(SIDE, near_airplane=1.0, size_px=(90.0, 90.0), scale=(4.0, 4.0), scale_around=(0.8, 1.25))
    position = np.array([200.0, 150, 220, 170])
    crop = crops.draw_crop(pixels, position[None], config, generator, position)
    for box in crop.boxes:
        if (box[:2] > 0).all() and (box[2:] < SIDE).all():
            assert 20 * 0.8 - 1e-6 <= box[2] - box[0] <= 20 * 1.25 + 1e-6


def test_a_box_occurs_in_every_part_of_the_crops_around_it() -> None:
    generator = np.random.default_rng(1)
    pixels, position = np.full((400, 400, 3), GROUND, np.uint8), np.array([[195.0, 195, 205, 205]])
    drawn = [crops.draw_crop(pixels, position, CropConfig(SIDE), generator, position[0]) for _ in range(200)]
    centres = np.array([(crop.boxes[0, :2] + crop.boxes[0, 2:]) / 2 for crop in drawn if len(crop.boxes)])
    parts, times = np.unique(centres // (SIDE / 3), axis=0, return_counts=True)
    assert len(parts) == 9
    assert (times >= 8).all()


def test_far_crops_are_anywhere_and_airplanes_in_any_part_of_a_crop() -> None:
    pixels = np.full((400, 400, 3), GROUND, np.uint8)
    box = np.array([[190.0, 190, 210, 210]])
    generator = np.random.default_rng(1)
    near, far = (
        [
            crops.draw_crop(pixels, box, CropConfig(SIDE, fraction, (20.0, 20.0), (0.9, 1.1)), generator)
            for _ in range(100)
        ]
        for fraction in (1.0, 0.0)
    )
    centres = np.array([(c.boxes[0, :2] + c.boxes[0, 2:]) / 2 for c in near if len(c.boxes)])
    assert (centres.min(axis=0) < 0.2 * SIDE).all()
    assert (centres.max(axis=0) > 0.8 * SIDE).all()
    assert 0 < sum(len(crop.boxes) for crop in far) < 40


@given(SEEDS)
def test_an_image_smaller_than_the_crop_is_not_cut(seed: int) -> None:
    pixels = np.full((20, 30, 3), 99, np.uint8)
    crop = crops.draw_crop(pixels, np.zeros((0, 4)), CropConfig(SIDE, scale=(1.0, 1.0)), np.random.default_rng(seed))
    assert (crop.pixels[..., 0] == 99).sum() >= 19 * 29
