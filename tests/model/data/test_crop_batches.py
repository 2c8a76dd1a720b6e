from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from model.data import augment, crops
from model.data.crops import CropBatches, CropConfig, TrainingSet
from model.data.labels import AnnotatedImage
from model.detectors.anchor_free import assignment

SIDE = 64
CONFIG = CropConfig(side_px=SIDE, size_px=(16.0, 40.0))
GROUND, AIRPLANE = 60, 220


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
    return CropBatches([source(1), source(2)], CONFIG, batch, 4, seed, assignment.targets, epoch)


@pytest.fixture
def plain_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns pixel augmentation off, so that brightness separates airplanes from ground."""
    monkeypatch.setattr(augment, "augment_pixels", lambda pixels, _: pixels)


def test_a_batch_has_its_shapes_and_types() -> None:
    pixels, target = batches()[0]
    assert pixels.shape == (8, SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    assert target.shape == (8, SIDE // 4, SIDE // 4, assignment.CHANNELS)
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
    config = CropConfig(side_px=SIDE, size_px=(60.0, 90.0))
    hidden = 0
    for image, target in zip(
        *CropBatches([source(1), source(2)], config, 60, 1, 3, assignment.targets)[0], strict=True
    ):
        boxes = target_boxes(target)
        for area in bright_areas(image):
            if np.abs(boxes - area).max(axis=1).min(initial=np.inf) > 1.0:
                counted = counted_inside(target, area)
                hidden += len(counted)
                assert not counted.any()
    assert hidden > 10


def target_boxes(target: NDArray[np.float32]) -> NDArray[np.float32]:
    """The boxes in the targets of positive cells."""
    positive = target[..., assignment.POSITIVE] > 0
    return np.unique(target[positive][:, assignment.BOX], axis=0)


def bright_areas(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    slices = ndimage.find_objects(ndimage.label(image[..., 0] > (GROUND + AIRPLANE) / 2)[0])
    return np.array([[x.start, y.start, x.stop, y.stop] for y, x in slices], np.float64).reshape(-1, 4)


def counted_inside(target: NDArray[np.float32], area: NDArray[np.float64]) -> NDArray[np.float32]:
    """Whether each cell well inside an area counts."""
    y, x = (np.indices(target.shape[:2]) + 0.5) * 4
    inside = (x > area[0] + 1) & (x < area[2] - 1) & (y > area[1] + 1) & (y < area[3] - 1)
    return np.asarray(target[inside][:, assignment.COUNTED])


@pytest.mark.usefixtures("plain_pixels")
def test_every_orientation_occurs() -> None:
    # The quarters of the image differ, so each crop of all of it shows its orientation.
    whole = np.full((SIDE, SIDE, 3), 10, np.uint8)
    whole[: SIDE // 2], whole[: SIDE // 2, : SIDE // 2] = 60, 110
    image = AnnotatedImage(Path("unread.png"), "set/a", np.zeros((0, 4)), 1.0, False)
    config = CropConfig(side_px=SIDE, scale=(1.0, 1.0))
    shown = CropBatches([TrainingSet((image,), (whole,), 1.0)], config, 100, 1, 1, assignment.targets)[0][0]
    assert len({image.tobytes() for image in shown}) == 8


@pytest.mark.usefixtures("plain_pixels")
def test_crops_come_from_sources_by_their_weights() -> None:
    config = CropConfig(side_px=SIDE, near_airplane=1.0, size_px=(30.0, 30.0))
    weighted = [source(1, 250, weight=3.0), source(2, 180, weight=1.0), source(3, 130, weight=0.0)]
    mixed = CropBatches(weighted, config, 200, 1, 5, assignment.targets)
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
        return crops.Crop(np.zeros((SIDE, SIDE, 3), np.uint8), boxes[:0], boxes[:0])

    monkeypatch.setattr(crops, "draw_crop", draw)
    for fraction in (0.0, 0.4, 1.0):
        asked.clear()
        CropBatches([wrong, right], CONFIG, 600, 1, 7, assignment.targets, hard_share=fraction)[0]
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
    settings = [wrong, source(2)], CONFIG, 8, 4, 3, assignment.targets, 2
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
