from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geo.types import Detections
from model.data.images import Photo
from model.data.sources import read_photos
from model.evaluation import drawing
from model.evaluation.images import compare, read_subject
from tests.model.photos import AIRPLANES, HEIGHT, WIDTH, picture, write_set

# Of the three airplanes one is found, one is missed, and of one the position is off. The others are false, below the
# threshold, cut by the edge, and on what is to be ignored.
RIGHT, OFF, FALSE, LOW, CUT, VOID = (
    [22, 32, 47, 62],
    [120, 80, 165, 120],
    [60, 70, 90, 90],
    [5, 5, 15, 15],
    [0, 100, 12, 120],
    [152, 8, 172, 30],
)
IGNORED = [150, 5, 170, 27]


@pytest.fixture
def photo(tmp_path: Path) -> Photo:
    (found,) = read_photos(write_set(tmp_path / "set", {"a": picture()}, "dev"), "val")
    return replace(found, ignored=np.array([IGNORED], float))


def drawn(photo: Photo, boxes: list[list[int]], scores: list[float]) -> NDArray[np.uint8]:
    found = Detections(np.array(boxes, float).reshape(-1, 4), np.array(scores), np.full(len(boxes), 0.5))
    return drawing.draw(compare(read_subject(photo), found), found, 0.3)


def corner(pixels: NDArray[np.uint8], box: list[int]) -> tuple[int, ...]:
    return tuple(pixels[box[1], box[0]].tolist())


def test_truth_detections_and_mistakes_have_colours_of_their_own(photo: Photo) -> None:
    boxes = [RIGHT, OFF, FALSE, LOW, CUT, VOID]
    pixels = drawn(photo, boxes, [0.9, 0.8, 0.7, 0.1, 0.9, 0.9])
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    found, missed, off = (box for box, _ in AIRPLANES)
    assert [corner(pixels, box) for box in (found, missed, off)] == [drawing.FOUND, drawing.MISSED, drawing.FOUND]
    assert [corner(pixels, box) for box in (RIGHT, OFF, FALSE)] == [drawing.RIGHT, drawing.OFF, drawing.FALSE]
    assert [corner(pixels, box) for box in (IGNORED, CUT, VOID)] == [drawing.VOID] * 3
    np.testing.assert_array_equal(pixels[:20, :18], photo.pixels()[:20, :18])  # nothing of LOW


def test_no_colour_stands_for_two_things() -> None:
    colours = [drawing.FOUND, drawing.MISSED, drawing.RIGHT, drawing.OFF, drawing.FALSE, drawing.VOID]
    assert len(set(colours)) == len(colours)


def test_a_detection_carries_its_score(photo: Photo) -> None:
    pixels = drawn(photo, [FALSE], [0.7])
    below = pixels[FALSE[3] + 1 : FALSE[3] + 12, FALSE[0] : FALSE[0] + 25].astype(int)
    # Letters are smooth: hardly a pixel of them is magenta and nothing else.
    assert (below[..., [0, 2]].min(axis=2) > below[..., 1] + 50).sum() > 10


def test_a_large_photo_is_cut_around_an_airplane(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "SIDE_PX", 64)
    # The first airplane, 25 by 30 pixels, has its centre at (32.5, 45): the part begins at (0, 13).
    pixels = drawn(replace(photo, ignored=np.array([[3.0, 16, 9, 22]])), [FALSE], [0.7])
    assert pixels.shape == (64, 64, 3)
    assert corner(pixels, [3, 16 - 13]) == drawing.VOID
    assert corner(pixels, [20, 30 - 13]) == drawing.MISSED
    assert corner(pixels, [60, 70 - 13]) == drawing.FALSE
