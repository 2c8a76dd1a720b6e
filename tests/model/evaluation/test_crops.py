import base64
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from geo.types import Detections
from model.data.labels import AnnotatedImage
from model.evaluation.crops import Crop, boxes_of, false_hits, misses
from model.evaluation.images import Picture, compare, read_subject

WIDTH, HEIGHT = 400, 300


def looked_at(folder: Path, truth: NDArray[np.float64], found: NDArray[np.float64], scores: list[float]) -> Picture:
    """A picture whose red and green tell the column and the row, halved."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([columns // 2, rows // 2, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    subject = read_subject(AnnotatedImage(folder / "a.png", "a", truth.reshape(-1, 4), 0.5, resolution_known=True))
    return compare(subject, Detections(found.reshape(-1, 4), np.array(scores), np.full(len(scores), np.nan)))


def boxes(*rows: list[float]) -> NDArray[np.float64]:
    return np.array(rows, np.float64)


def pixels_of(crop: Crop) -> NDArray[np.uint8]:
    raw = base64.b64decode(crop.picture.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))


def test_a_crop_shows_what_lies_around_its_box(tmp_path: Path) -> None:
    of = looked_at(tmp_path, boxes([200, 100, 230, 120]), boxes(), [])
    (crop,) = misses([of], 0.5, 4)
    assert (crop.window.col, crop.window.row, crop.window.width, crop.window.height) == (170, 65, 90, 90)
    shown = pixels_of(crop).astype(float)
    assert shown.shape == (90, 90, 3)
    # To the accuracy of lossy compression.
    assert abs(shown[10, 20, 0] * 2 - 190) < 12
    assert abs(shown[70, 20, 1] * 2 - 135) < 12


@pytest.mark.parametrize("box", [[2, 2, 12, 9], [380, 280, 398, 298], [10, 5, 300, 250]])
def test_a_crop_stays_in_its_picture(tmp_path: Path, box: list[float]) -> None:
    (crop,) = misses([looked_at(tmp_path, boxes(box), boxes(), [])], 0.5, 4)
    window = crop.window
    assert min(window.col, window.row) >= 0
    assert window.right <= WIDTH
    assert window.bottom <= HEIGHT
    assert window.col <= box[0]
    assert window.bottom >= box[3]
    assert max(pixels_of(crop).shape) <= 240


def test_the_largest_and_the_smallest_misses_are_shown(tmp_path: Path) -> None:
    truth = boxes(*([10 + 50 * n, 100, 15.0 + 50 * n + 3 * n, 104] for n in range(7)))
    of = looked_at(tmp_path, truth, truth[3:5], [0.9, 0.2])
    crops = misses([of], 0.5, 4)
    assert [crop.box.tolist() for crop in crops] == truth[[6, 5, 1, 0]].tolist()
    assert len(misses([of], 0.5, 10)) == 6
    assert {crop.caption for crop in misses([of], 0.5, 10)} >= {"17 px, found at 0.20 alone", "23 px, not found"}
    assert misses([looked_at(tmp_path, truth, truth, [0.9] * 7)], 0.5, 4) == []


def test_the_highest_false_hits_are_shown_first(tmp_path: Path) -> None:
    truth = boxes([10, 10, 40, 40])
    found = np.concatenate([truth, boxes([100, 100, 120, 120], [200, 100, 220, 120], [300, 100, 320, 120])])
    crops = false_hits([looked_at(tmp_path, truth, found, [0.99, 0.4, 0.8, 0.1])], 0.5, 2)
    assert [crop.caption for crop in crops] == ["score 0.80", "score 0.40, below the threshold"]
    assert crops[0].box.tolist() == [200, 100, 220, 120]


def test_what_is_near_is_drawn_and_what_is_far_is_not(tmp_path: Path) -> None:
    truth = boxes([100, 100, 130, 130], [140, 100, 160, 120], [350, 250, 380, 280])
    found = boxes([140, 100, 160, 121], [350, 250, 380, 281], [90, 135, 100, 145])
    (crop,) = misses([looked_at(tmp_path, truth, found, [0.9, 0.9, 0.2])], 0.5, 4)
    assert list(boxes_of(crop)) == [
        ("truth", [100, 100, 30, 30]),
        ("truth", [140, 100, 20, 20]),
        ("found", [140, 100, 20, 21]),
        ("about", [100, 100, 30, 30]),
    ]
    assert crop.place == "a.png, column 100, row 100"
