"""Patches of airplanes and augmented crops: points stay where they are in the picture."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geo.errors import ConfigError
from geo.types import FloatArray, ImageArray
from model.data import keypoints
from model.data.keypoints import PATCH_PX, AirplanePatches, KeypointBatches, View
from model.data.sources import RenderedSet
from model.detectors.keypoints.heat_maps import CROP_PX, decode

POINTS = np.array([[64.0, 36.0], [64.0, 92.0], [40.0, 60.0], [88.0, 62.0]])
BOX = np.array([36.0, 34.0, 92.0, 94.0])


def dots(points: FloatArray, size: int) -> ImageArray:
    """A black picture with a soft white dot at each point."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    brightness = sum(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y in points)
    return np.repeat(np.clip(255 * np.asarray(brightness), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@given(
    angle=st.floats(0, 2 * math.pi),
    mirrored=st.booleans(),
    context=st.floats(1.4, 1.8),
    shift=st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05)),
)
def test_points_move_with_the_pixels(angle: float, mirrored: bool, context: float, shift: tuple[float, float]) -> None:
    view = View(angle, mirrored, context, shift)
    for number, point in enumerate(POINTS):
        pixels, moved = keypoints.crop(Image.fromarray(dots(point[None], PATCH_PX)), POINTS, BOX, view)
        # Left and right are those of the mirrored airplane.
        own = {2: 3, 3: 2}.get(number, number) if mirrored else number
        weights = pixels[..., 0].astype(float)
        rows, columns = np.mgrid[:CROP_PX, :CROP_PX] + 0.5
        centre = ((columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum())
        assert moved[own] == pytest.approx(centre, abs=0.15)


def labelled(folder: Path) -> Path:
    """A data set with one picture: two airplanes, one of them with a hidden tail, and a helicopter."""
    (folder / "images").mkdir(parents=True)
    shifted = POINTS + np.array((90, 0))
    Image.fromarray(dots(np.concatenate([POINTS, shifted]), 256)).save(folder / "images" / "a.png")
    first = dict(zip(("nose", "tail", "left", "right"), POINTS.tolist(), strict=True))
    second = dict(zip(("nose", "tail", "left", "right"), shifted.tolist(), strict=True)) | {"tail": None}
    airplanes = [
        {**first, "box": BOX.tolist(), "kind": "airplane"},
        {**second, "box": (BOX + np.array((90, 0, 90, 0))).tolist(), "kind": "airplane"},
        {"nose": [10, 10], "box": [5, 5, 30, 30], "kind": "helicopter"},
    ]
    image = {
        "image": "images/a.png",
        "width": 256,
        "height": 256,
        "split": "train",
        "group": "a",
        "boxes": [airplane["box"] for airplane in airplanes],
        "airplanes": airplanes,
    }
    (folder / "annotations.json").write_text(json.dumps({"name": "made up", "gsd_m": 0.3, "images": [image]}))
    return folder


def test_patches_are_cut_around_annotated_airplanes(tmp_path: Path) -> None:
    patches = keypoints.read_patches(labelled(tmp_path / "set"), "train")
    assert len(patches) == 2
    assert np.isnan(patches.points).any(axis=-1).tolist() == [[False] * 4, [False, True, False, False]]
    for pixels, points in zip(patches.pixels, patches.points, strict=True):
        x, y = points[0]
        assert pixels[round(y - 0.5), round(x - 0.5), 0] > 200
    assert patches.sides_px == pytest.approx([60, 60])


def test_a_set_without_points_is_refused(tmp_path: Path) -> None:
    folder = labelled(tmp_path / "set")
    content = json.loads((folder / "annotations.json").read_text())
    del content["images"][0]["airplanes"]
    (folder / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="expected airplanes with points"):
        keypoints.read_patches(folder, "train")


def test_rendered_airplanes_have_their_points_inside_of_their_boxes(tmp_path: Path) -> None:
    patches = keypoints.rendered_patches(RenderedSet("airport", (3,), size_px=1200, resolution_m=0.5), tmp_path)
    assert len(patches) > 3
    low, high = patches.boxes[:, None, :2] - 1, patches.boxes[:, None, 2:] + 1
    assert ((patches.points >= low) & (patches.points <= high)).all()


def test_batches_depend_on_seed_epoch_and_number_alone() -> None:
    patches = AirplanePatches(dots(POINTS, PATCH_PX)[None], POINTS[None], BOX[None], np.ones(1))

    def batch(seed: int, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        batches = KeypointBatches([(patches, 1.0)], batch=3, steps=4, seed=seed)
        batches.epoch = epoch
        return batches[index]

    pixels, maps = batch(1, 2, 3)
    again, _ = batch(1, 2, 3)
    assert np.array_equal(pixels, again)
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 2)):
        assert not np.array_equal(pixels, batch(*other)[0])
    assert pixels.shape == (3, CROP_PX, CROP_PX, 3)
    assert 0 <= pixels.min() <= pixels.max() <= 255
    assert np.isfinite(decode(maps).points).all()
