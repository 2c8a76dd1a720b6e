from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from geo.types import ImageArray
from model.data import augment, crops
from model.data.crops import Crop, CropBatches, CropConfig, TrainingSet
from model.data.labels import AnnotatedImage
from model.detectors.anchor_free import losses

SIDE = 96
GROUND, AIRPLANE = 60, 220
SEEDS = st.integers(0, 2**32 - 1)
Array = NDArray[np.float64]


def image(generator: np.random.Generator, size: tuple[int, int] = (260, 190)) -> tuple[ImageArray, Array]:
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


def bright_areas(pixels: ImageArray) -> Array:
    """Boxes around the bright areas."""
    slices = ndimage.find_objects(ndimage.label(pixels[..., 0] > (GROUND + AIRPLANE) / 2)[0])
    return np.array([[x.start, y.start, x.stop, y.stop] for y, x in slices], np.float64).reshape(-1, 4)


def drawn_cut(seed: int) -> tuple[ImageArray, Array, Array, float, Crop]:
    """An image and a random crop of it, which may extend beyond the image on every side."""
    generator = np.random.default_rng(seed)
    pixels, boxes = image(generator)
    scale = float(np.exp(generator.uniform(*np.log([0.45, 2.2]))))
    corner = generator.uniform(-0.6 * SIDE / scale, [260 - 0.4 * SIDE / scale, 190 - 0.4 * SIDE / scale])
    return pixels, boxes, corner, scale, crops.cut_crop(pixels, boxes, corner, scale, SIDE)


@given(SEEDS)
def test_boxes_lie_where_the_bright_areas_do(seed: int) -> None:
    *_, crop = drawn_cut(seed)
    areas = bright_areas(crop.pixels)
    for box in crop.boxes:
        assert len(areas)
        assert np.abs(areas - box).max(axis=1).min() <= 1.0


@given(SEEDS)
def test_every_bright_area_is_a_box_or_ignored(seed: int) -> None:
    *_, crop = drawn_cut(seed)
    answered = np.concatenate([crop.boxes, crop.ignored])
    for area in bright_areas(crop.pixels):
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


def marked(generator: np.random.Generator, size: tuple[int, int]) -> tuple[ImageArray, Array, Array]:
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


BATCH_SIDE = 64
CONFIG = CropConfig(side_px=BATCH_SIDE, size_px=(16.0, 40.0))


def source(seed: int, level: int = AIRPLANE, weight: float = 1.0) -> TrainingSet:
    """Two images with bright rectangles far from one another."""
    generator = np.random.default_rng(seed)
    images, arrays = [], []
    for _ in range(2):
        pixels = np.full((240, 300, 3), GROUND, np.uint8)
        boxes = []
        for left, top in [(20, 30), (160, 40), (90, 150)]:
            width, height = generator.integers(18, 50, 2)
            pixels[top : top + height, left : left + width] = level
            boxes.append([left, top, left + width, top + height])
        images.append(AnnotatedImage(Path("unread.png"), "set/a", np.array(boxes, np.float64), 1.0, False))
        arrays.append(pixels)
    return TrainingSet(tuple(images), tuple(arrays), weight)


def batches(seed: int = 3, epoch: int = 0, batch: int = 8) -> CropBatches:
    return CropBatches([source(1), source(2)], CONFIG, batch, 4, seed, losses.targets, epoch)


@pytest.fixture
def plain_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns pixel augmentation off, so that brightness separates airplanes from ground."""
    monkeypatch.setattr(augment, "augment_pixels", lambda pixels, _: pixels)


def test_a_batch_has_its_shapes_and_types() -> None:
    pixels, target = batches()[0]
    assert pixels.shape == (8, BATCH_SIDE, BATCH_SIDE, 3)
    assert pixels.dtype == np.uint8
    assert target.shape == (8, BATCH_SIDE // 4, BATCH_SIDE // 4, losses.CHANNELS)
    assert target.dtype == np.float32
    assert len(batches()) == 4


def test_a_batch_depends_on_seed_epoch_and_index_alone() -> None:
    used = batches()
    for index in (3, 0, 1):
        used[index]
    for mine, same in zip(used[2], batches()[2], strict=True):
        np.testing.assert_array_equal(mine, same)
    others = [batches()[1], batches(seed=4)[2], batches(epoch=1)[2]]
    assert all((used[2][0] != pixels).any() for pixels, _ in others)


def test_a_resumed_training_starts_with_the_next_epoch() -> None:
    used = batches()
    used.epoch += 1
    np.testing.assert_array_equal(used[0][0], batches(epoch=1)[0][0])


def test_crops_of_one_batch_differ() -> None:
    assert len({image.tobytes() for image in batches()[0][0]}) == 8


@pytest.mark.usefixtures("plain_pixels")
def test_targets_cover_the_visible_airplanes() -> None:
    airplanes = 0
    for image, target in zip(*batches(batch=50)[1], strict=True):
        areas = bright_areas(image)
        boxes = target_boxes(target)
        airplanes += len(boxes)
        for box in boxes:
            assert np.abs(areas - box).max(axis=1).min() <= 1.0
    assert airplanes > 20


@pytest.mark.usefixtures("plain_pixels")
def test_airplanes_cut_too_far_are_ignored() -> None:
    # Large airplanes: of some only a strip is visible, wide enough for cells.
    config = CropConfig(side_px=BATCH_SIDE, size_px=(60.0, 90.0))
    hidden = 0
    for image, target in zip(*CropBatches([source(1), source(2)], config, 60, 1, 3, losses.targets)[0], strict=True):
        boxes = target_boxes(target)
        for area in bright_areas(image):
            if np.abs(boxes - area).max(axis=1).min(initial=np.inf) > 1.0:
                counted = counted_inside(target, area)
                hidden += len(counted)
                assert not counted.any()
    assert hidden > 10


def target_boxes(target: NDArray[np.float32]) -> NDArray[np.float32]:
    """The boxes in the targets of positive cells."""
    positive = target[..., losses.POSITIVE] > 0
    return np.unique(target[positive][:, losses.BOX], axis=0)


def counted_inside(target: NDArray[np.float32], area: NDArray[np.float64]) -> NDArray[np.float32]:
    """Whether each cell well inside an area counts."""
    y, x = (np.indices(target.shape[:2]) + 0.5) * 4
    inside = (x > area[0] + 1) & (x < area[2] - 1) & (y > area[1] + 1) & (y < area[3] - 1)
    return np.asarray(target[inside][:, losses.COUNTED])


@pytest.mark.usefixtures("plain_pixels")
def test_every_orientation_occurs() -> None:
    # The quarters of the image differ, so each crop of all of it shows its orientation.
    quarters = np.full((BATCH_SIDE, BATCH_SIDE, 3), 10, np.uint8)
    quarters[: BATCH_SIDE // 2], quarters[: BATCH_SIDE // 2, : BATCH_SIDE // 2] = 60, 110
    image = AnnotatedImage(Path("unread.png"), "set/a", np.zeros((0, 4)), 1.0, False)
    config = CropConfig(side_px=BATCH_SIDE, scale=(1.0, 1.0))
    shown = CropBatches([TrainingSet((image,), (quarters,), 1.0)], config, 100, 1, 1, losses.targets)[0][0]
    assert len({image.tobytes() for image in shown}) == 8


@pytest.mark.usefixtures("plain_pixels")
def test_crops_come_from_sources_by_their_weights() -> None:
    config = CropConfig(side_px=BATCH_SIDE, near_airplane=1.0, size_px=(30.0, 30.0))
    weighted = [source(1, 250, weight=3.0), source(2, 180, weight=1.0), source(3, 130, weight=0.0)]
    mixed = CropBatches(weighted, config, 200, 1, 5, losses.targets)
    brightest = mixed[0][0].max(axis=(1, 2, 3))
    assert not (brightest == 130).any()
    assert 0.65 < (brightest == 250).sum() / (brightest >= 180).sum() < 0.85


HARD_BOXES = [np.zeros((0, 4)), np.array([[5.0, 6, 20, 30], [200, 100, 230, 140], [0, 0, 9, 9]])]


@pytest.mark.usefixtures("plain_pixels")
def test_the_share_of_crops_around_hard_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, right = source(1).with_hard_examples(HARD_BOXES), source(2)
    asked: list[tuple[Any, Any]] = []

    def draw(pixels: Any, boxes: Any, config: Any, generator: Any, around: Any = None) -> crops.Crop:
        asked.append((pixels, around))
        return crops.Crop(np.zeros((BATCH_SIDE, BATCH_SIDE, 3), np.uint8), boxes[:0], boxes[:0])

    monkeypatch.setattr(crops, "draw_crop", draw)
    for fraction in (0.0, 0.4, 1.0):
        asked.clear()
        CropBatches([wrong, right], CONFIG, 600, 1, 7, losses.targets, hard_share=fraction)[0]
        of_wrong = [around for pixels, around in asked if any(pixels is decoded for decoded in wrong.pixels)]
        assert len(of_wrong) == pytest.approx(300, abs=40)
        around = [box for box in of_wrong if box is not None]
        assert len(around) / len(of_wrong) == pytest.approx(fraction, abs=0.07)
        assert len(around) == sum(box is not None for _, box in asked)  # none of the other set
        # Each hard example about as often as the others, in its own image.
        assert all(pixels is wrong.pixels[1] for pixels, box in asked if box is not None)
        times = [sum((box == hard).all() for box in around) for hard in HARD_BOXES[1]]
        assert all(time == pytest.approx(len(around) / 3, abs=30) for time in times)


def test_crops_around_hard_examples_depend_on_seed_epoch_and_index_alone() -> None:
    wrong = source(1).with_hard_examples(HARD_BOXES)
    settings = [wrong, source(2)], CONFIG, 8, 4, 3, losses.targets, 2
    used, same = (CropBatches(*settings, hard_share=0.5) for _ in range(2))
    used[0]
    for mine, again in zip(used[3], same[3], strict=True):
        np.testing.assert_array_equal(mine, again)
    assert (used[3][0] != CropBatches(*settings)[3][0]).any()


def test_hard_examples_keep_the_numbers_of_their_images() -> None:
    plain = source(1)
    with_examples = plain.with_hard_examples(HARD_BOXES)
    assert [number for number, _ in with_examples.hard_examples] == [1, 1, 1]
    np.testing.assert_array_equal(np.array([box for _, box in with_examples.hard_examples]), HARD_BOXES[1])
    assert plain.hard_examples == ()
    assert (with_examples.images, with_examples.pixels, with_examples.weight) == (
        plain.images,
        plain.pixels,
        plain.weight,
    )


def test_images_are_decoded_once_and_kept(tmp_path: Path) -> None:
    pixels = np.full((20, 30, 3), 7, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = TrainingSet.load([AnnotatedImage(tmp_path / "a.png", "set/a", np.zeros((0, 4)), 1.0, False)], 0.3)
    (tmp_path / "a.png").unlink()
    np.testing.assert_array_equal(loaded.pixels[0], pixels)
    assert loaded.weight == 0.3
