"""`configs/train/finetune.yaml` in small: the detector learns a new kind of object from twenty labelled images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geo.types import FloatArray
from model import train
from model.data import sources
from model.data.labels import AnnotatedImage
from model.evaluation import metrics
from model.evaluation.metrics import Matches
from model.inference.predictor import load_predictor

RECIPE = Path("configs/train/finetune.yaml")
IMAGES, HELD_OUT = 25, 5
SIDE = 192
PAINT = [(200, 60, 50), (60, 90, 200), (220, 200, 70), (235, 235, 235), (40, 40, 45)]
# Balloons are the objects to detect. Darts and crosses, which look more like airplanes, are not.
BALLOON = 0.8 * np.array([[np.cos(angle), np.sin(angle)] for angle in np.linspace(0, 2 * np.pi, 40)])
DART = np.array([[1.0, 0.0], [-0.6, 0.75], [-0.6, -0.75]])
CROSS = (
    np.array(
        [[1, 3], [-1, 3], [-1, 1], [-3, 1], [-3, -1], [-1, -1], [-1, -3], [1, -3], [1, -1], [3, -1], [3, 1], [1, 1]]
    )
    / 3
)


def placed(shape: FloatArray, centre: FloatArray, generator: np.random.Generator) -> FloatArray:
    """The corners of a shape of random size and rotation."""
    angle, radius = generator.uniform(0, 2 * np.pi), generator.uniform(12, 20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(centre + radius * shape @ turn.T)


def draw(generator: np.random.Generator) -> tuple[NDArray[np.uint8], list[list[float]]]:
    """An image of balloons, darts and crosses on rough ground, and the boxes of the balloons."""
    rough = generator.integers(90, 150, 3) + generator.normal(0, 12, (SIDE, SIDE, 1))
    image = Image.fromarray(np.clip(rough, 0, 255).astype(np.uint8))
    boxes = []
    for cell in generator.permutation(9)[:6]:
        kind = generator.integers(4)
        centre = np.array([cell % 3, cell // 3]) * SIDE / 3 + SIDE / 6 + generator.uniform(-8, 8, 2)
        corners = placed((BALLOON, BALLOON, DART, CROSS)[kind], centre, generator)
        ImageDraw.Draw(image).polygon([(x, y) for x, y in corners], fill=PAINT[generator.integers(len(PAINT))])
        if kind < 2:
            boxes.append([*corners.min(axis=0), *corners.max(axis=0)])
    return np.asarray(image), boxes


def label(folder: Path) -> None:
    """Draw the images and write their labels as COCO."""
    folder.mkdir()
    generator = np.random.default_rng(7)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(IMAGES):
        pixels, boxes = draw(generator)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
        for xmin, ymin, xmax, ymax in boxes:
            bbox = [xmin, ymin, xmax - xmin, ymax - ymin]
            annotations.append({"id": len(annotations), "image_id": number, "category_id": 1, "bbox": bbox})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "balloon"}]}
    (folder / "balloons.coco.json").write_text(json.dumps(content), encoding="utf-8")


def average_precision(model: str, images: list[AnnotatedImage]) -> float:
    """AP50 over images of one size."""
    detections = load_predictor(model, len(images), 0.02)(np.stack([image.pixels() for image in images]))
    matches = [
        metrics.match_detections(detected, image.boxes, SIDE, SIDE, 0.5)
        for detected, image in zip(detections, images, strict=True)
    ]
    return metrics.average_precision(Matches.concatenate(matches))


@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
def test_the_packaged_detector_learns_from_twenty_labelled_images(tmp_path: Path) -> None:
    label(tmp_path / "labels")
    held_out = sources.read_annotated_images(tmp_path / "labels", "val")
    assert len(held_out) == HELD_OUT
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    # Fewer and smaller crops, larger steps, and no data of the previous training.
    small = {"rendered": [], "crops": {"side_px": 128}, "batch": 8, "steps_per_epoch": 40, "epochs": 1}
    quick = {"learning_rate": 0.001, "warmup_steps": 5, "ema": 0.9}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe | small | quick), encoding="utf-8")
    run = tmp_path / "run"
    arguments = ["--config", str(tmp_path / "small.yaml"), "--data", str(tmp_path / "labels"), "--run", str(run)]
    assert train.main(arguments) == 0
    before, after = (average_precision(model, held_out) for model in (recipe["start"], str(run / "model")))
    assert after > before + 0.5
