from pathlib import Path

import numpy as np
import pytest

from geo.types import Detections
from model.data.labels import AnnotatedImage
from model.evaluation.images import compare, read_subject
from tests.geo.scenes import write_tiff
from tests.model.photos import HEIGHT, WIDTH, picture, write_set

# An airplane in the middle, one at the left edge, and one that is to be ignored.
AIRPLANE, CUT, IGNORED = [50.0, 40, 90, 70], [0.0, 100, 20, 120], [150.0, 100, 160, 112]


def photo(folder: Path, resolution_m: float | None = 0.4, known: bool = True) -> AnnotatedImage:
    write_set(folder / "set", {"a": picture()})
    return AnnotatedImage(
        path=folder / "set" / "a.png",
        group="a",
        boxes=np.array([AIRPLANE, CUT]),
        resolution_m=resolution_m,
        resolution_known=known,
        ignored=np.array([IGNORED]),
    )


def found(*boxes: list[float]) -> Detections:
    return Detections(np.array(boxes).reshape(-1, 4), np.linspace(0.9, 0.5, len(boxes)), np.full(len(boxes), np.nan))


def test_the_background_is_the_picture_without_its_airplanes(tmp_path: Path) -> None:
    of = compare(read_subject(photo(tmp_path)), found())
    assert of.background_km2 == pytest.approx((WIDTH * HEIGHT - 40 * 30 - 20 * 20) * 0.16e-6)


def test_sizes_are_the_longer_sides_of_airplanes_that_count(tmp_path: Path) -> None:
    of = compare(read_subject(photo(tmp_path)), found())
    assert of.sizes_px.tolist() == [40]
    assert of.sizes_m.tolist() == pytest.approx([16])


def test_without_a_resolution_there_are_no_metres(tmp_path: Path) -> None:
    of = compare(read_subject(photo(tmp_path, known=False)), found())
    assert of.sizes_px.tolist() == [40]
    assert np.isnan(of.sizes_m).tolist() == [True]
    assert np.isnan(of.background_km2)


def test_the_longer_side_is_longer_on_the_ground_where_pixels_are_no_squares(tmp_path: Path) -> None:
    from affine import Affine

    path = write_tiff(tmp_path / "a.tif", picture(), affine=Affine(0.2, 0, 500_000, 0, -0.6, 5_000_000))
    box = np.array([[50.0, 40, 90, 70]])
    of = compare(read_subject(AnnotatedImage(Path(path), "a", box, None, resolution_known=True)), found())
    assert of.sizes_px.tolist() == [40]
    assert of.sizes_m.tolist() == pytest.approx([18], rel=1e-3)
    assert of.background_km2 == pytest.approx((WIDTH * HEIGHT - 1200) * 0.12e-6, rel=1e-3)


def test_what_lies_on_an_airplane_is_no_false_hit_on_the_background(tmp_path: Path) -> None:
    part, far, at_edge, ignored = [60.0, 50, 70, 60], [100.0, 5, 120, 20], [0.0, 5, 12, 20], [149.0, 99, 161, 113]
    of = compare(read_subject(photo(tmp_path)), found(AIRPLANE, part, far, at_edge, ignored, CUT))
    assert of.compared.counted.boxes.tolist() == [AIRPLANE, part, far]
    assert of.compared.outcomes[0.5].correct.tolist() == [True, False, False]
    assert of.elsewhere.tolist() == [False, False, True]
