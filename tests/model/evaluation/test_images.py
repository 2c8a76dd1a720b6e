from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from geo.types import Detections
from model.data.labels import AnnotatedImage
from model.data.sources import read_annotated_images
from model.evaluation import images
from model.evaluation.images import compare_image, read_evaluation_image
from tests.geo.scenes import write_tiff
from tests.model.image_sets import AIRPLANES, HEIGHT, WIDTH, make_pixels, write_set

# An airplane in the centre, one at the left edge, and one that is to be ignored.
AIRPLANE, CUT, IGNORED = [50.0, 40, 90, 70], [0.0, 100, 20, 120], [150.0, 100, 160, 112]


def image_at(folder: Path, resolution_m: float | None = 0.4, known: bool = True) -> AnnotatedImage:
    write_set(folder / "set", {"a": make_pixels()})
    return AnnotatedImage(
        path=folder / "set" / "a.png",
        group="a",
        boxes=np.array([AIRPLANE, CUT]),
        resolution_m=resolution_m,
        resolution_known=known,
        ignored=np.array([IGNORED]),
    )


def detections(*boxes: list[float]) -> Detections:
    return Detections(np.array(boxes).reshape(-1, 4), np.linspace(0.9, 0.5, len(boxes)), np.full(len(boxes), np.nan))


def test_the_background_is_the_image_without_its_airplanes(tmp_path: Path) -> None:
    compared = compare_image(read_evaluation_image(image_at(tmp_path)), detections())
    assert compared.background_km2 == pytest.approx((WIDTH * HEIGHT - 40 * 30 - 20 * 20) * 0.16e-6)


def test_sizes_are_the_longer_sides_of_the_airplanes_that_count(tmp_path: Path) -> None:
    compared = compare_image(read_evaluation_image(image_at(tmp_path)), detections())
    assert compared.sizes_px.tolist() == [40]
    assert compared.sizes_m.tolist() == pytest.approx([16])


def test_metric_sizes_are_nan_without_a_resolution(tmp_path: Path) -> None:
    compared = compare_image(read_evaluation_image(image_at(tmp_path, known=False)), detections())
    assert compared.sizes_px.tolist() == [40]
    assert np.isnan(compared.sizes_m).tolist() == [True]
    assert np.isnan(compared.background_km2)


def test_metric_sizes_use_the_resolution_of_each_axis(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", make_pixels(), affine=Affine(0.2, 0, 500_000, 0, -0.6, 5_000_000))
    box = np.array([[50.0, 40, 90, 70]])
    image = AnnotatedImage(Path(path), "a", box, None, resolution_known=True)
    compared = compare_image(read_evaluation_image(image), detections())
    assert compared.sizes_px.tolist() == [40]
    assert compared.sizes_m.tolist() == pytest.approx([18], rel=1e-3)
    assert compared.background_km2 == pytest.approx((WIDTH * HEIGHT - 1200) * 0.12e-6, rel=1e-3)


def test_false_detections_on_an_airplane_are_not_on_background(tmp_path: Path) -> None:
    part, far, at_edge, ignored = [60.0, 50, 70, 60], [100.0, 5, 120, 20], [0.0, 5, 12, 20], [149.0, 99, 161, 113]
    detected = detections(AIRPLANE, part, far, at_edge, ignored, CUT)
    compared = compare_image(read_evaluation_image(image_at(tmp_path)), detected)
    assert compared.comparison.detections.boxes.tolist() == [AIRPLANE, part, far]
    assert compared.comparison.matches[0.5].correct.tolist() == [True, False, False]
    assert compared.on_background.tolist() == [False, False, True]


# Detections on an image with three airplanes: a correct one, an imprecise one (the third airplane is missed), and four
# others: false, below the threshold, cut by the edge, and on an ignored box.
CORRECT, IMPRECISE, FALSE, LOW, CUT_DETECTION, VOID = (
    [22, 32, 47, 62],
    [120, 80, 165, 120],
    [60, 70, 90, 90],
    [5, 5, 15, 15],
    [0, 100, 12, 120],
    [152, 8, 172, 30],
)
IGNORED_BOX = [150, 5, 170, 27]


@pytest.fixture
def image(tmp_path: Path) -> AnnotatedImage:
    (image,) = read_annotated_images(write_set(tmp_path / "set", {"a": make_pixels()}, "dev"), "val")
    return replace(image, ignored=np.array([IGNORED_BOX], float))


def draw(image: AnnotatedImage, boxes: list[list[int]], scores: list[float]) -> NDArray[np.uint8]:
    detected = Detections(np.array(boxes, float).reshape(-1, 4), np.array(scores), np.full(len(boxes), 0.5))
    return images.draw(compare_image(read_evaluation_image(image), detected), detected, 0.3)


def corner(pixels: NDArray[np.uint8], box: list[int]) -> tuple[int, ...]:
    return tuple(pixels[box[1], box[0]].tolist())


def test_annotations_detections_and_mistakes_have_different_colours(image: AnnotatedImage) -> None:
    boxes = [CORRECT, IMPRECISE, FALSE, LOW, CUT_DETECTION, VOID]
    pixels = draw(image, boxes, [0.9, 0.8, 0.7, 0.1, 0.9, 0.9])
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    airplanes = [box for box, _ in AIRPLANES]
    assert [corner(pixels, box) for box in airplanes] == [images.DETECTED, images.MISSED, images.DETECTED]
    colours = [images.CORRECT, images.IMPRECISE, images.FALSE]
    assert [corner(pixels, box) for box in (CORRECT, IMPRECISE, FALSE)] == colours
    assert [corner(pixels, box) for box in (IGNORED_BOX, CUT_DETECTION, VOID)] == [images.VOID] * 3
    np.testing.assert_array_equal(pixels[:20, :18], image.pixels()[:20, :18])  # LOW is not drawn


def test_all_colours_are_different() -> None:
    colours = [images.DETECTED, images.MISSED, images.CORRECT, images.IMPRECISE, images.FALSE, images.VOID]
    assert len(set(colours)) == len(colours)


def test_the_score_is_drawn_below_a_detection(image: AnnotatedImage) -> None:
    pixels = draw(image, [FALSE], [0.7])
    below = pixels[FALSE[3] + 1 : FALSE[3] + 12, FALSE[0] : FALSE[0] + 25].astype(int)
    # Text is antialiased: hardly a pixel is pure magenta.
    assert (below[..., [0, 2]].min(axis=2) > below[..., 1] + 50).sum() > 10


def test_large_images_are_cropped_around_an_airplane(image: AnnotatedImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "DRAWN_SIDE_PX", 64)
    # The first airplane, 25 by 30 pixels, has its centre at (32.5, 45): the crop begins at (0, 13).
    pixels = draw(replace(image, ignored=np.array([[3.0, 16, 9, 22]])), [FALSE], [0.7])
    assert pixels.shape == (64, 64, 3)
    assert corner(pixels, [3, 16 - 13]) == images.VOID
    assert corner(pixels, [20, 30 - 13]) == images.MISSED
    assert corner(pixels, [60, 70 - 13]) == images.FALSE
