"""Square crops of annotated images, and batches of them to train on: the same ones for the same seed, on any backend.

The scale of a crop is drawn, so that airplanes come in every size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.data import augment
from model.data.labels import MIN_VISIBLE, AnnotatedImage
from model.detectors import INPUT_MULTIPLE
from model.detectors.registry import Targets

_MIN_SIDE_PX = 6.0  # the longer side of a box in the crop


@dataclass(frozen=True, slots=True)
class CropConfig:
    """Settings of the crops.

    Attributes:
        side_px: side of a crop, a multiple of 32.
        near_airplane: share of the crops of an image with airplanes that are cut around one of them.
        size_px: range of the longer side to which this airplane is scaled, drawn log-uniform.
        scale: bounds of the scale; crops without an airplane draw it log-uniform from this range.
        scale_around: range of the scale, log-uniform, of crops around a given box.
    """

    side_px: int = 256
    near_airplane: float = 0.75
    size_px: tuple[float, float] = (10.0, 150.0)
    scale: tuple[float, float] = (0.45, 2.2)
    scale_around: tuple[float, float] = (0.65, 2.2)

    def __post_init__(self) -> None:
        if self.side_px < 1 or self.side_px % INPUT_MULTIPLE:
            raise ValueError(f"side_px: expected a multiple of {INPUT_MULTIPLE}, got {self.side_px}")


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A crop: pixels (side, side, 3), airplanes (N, 4) and boxes to ignore (M, 4), in its pixels."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    ignored: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The images of one data set, decoded in memory.

    Attributes:
        images: the annotated images.
        pixels: pixels of each, (height, width, 3).
        weight: the share of crops that come from this set.
        hard_examples: where an earlier model was wrong: the number of an image, and a box (4,) in it.
    """

    images: tuple[AnnotatedImage, ...]
    pixels: tuple[NDArray[np.uint8], ...]
    weight: float
    hard_examples: tuple[tuple[int, NDArray[np.float64]], ...] = ()

    @classmethod
    def load(cls, images: Sequence[AnnotatedImage], weight: float) -> Self:
        """Decode images (memory: 3 bytes a pixel)."""
        return cls(tuple(images), tuple(image.pixels() for image in images), weight)

    def with_hard_examples(self, boxes: Sequence[NDArray[np.float64]]) -> Self:
        """Return the set with the boxes (K, 4) of each image that are to be trained on more often."""
        numbered = tuple((number, box) for number, of_image in enumerate(boxes) for box in of_image)
        return replace(self, hard_examples=numbered)


class CropBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """The batches of augmented crops of one epoch; set `epoch` before it begins.

    Every batch is a function of the seed, the epoch and its number alone: a resumed training gets the batches that an
    uninterrupted one would have got.

    Args:
        sets: what crops are drawn from, by their weights.
        config: how crops are drawn.
        batch: crops in a batch.
        steps: batches in an epoch.
        seed: seed of every draw.
        targets: builds the targets of the network from the boxes of a crop.
        epoch: the first epoch.
        hard_share: of sets with hard examples, the share of crops that are cut around one of these.
    """

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        config: CropConfig,
        batch: int,
        steps: int,
        seed: int,
        targets: Targets,
        epoch: int = 0,
        hard_share: float = 0.0,
    ) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=16)
        self.sets = sets
        self.config = config
        self.batch = batch
        self.steps = steps
        self.seed = seed
        self.targets = targets
        self.epoch = epoch
        self.hard_share = hard_share
        weights = np.array([training_set.weight for training_set in sets])
        self.shares = weights / weights.sum()

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return pixels (B, side, side, 3) uint8 and targets (B, ...) float32."""
        generator = np.random.default_rng([self.seed, self.epoch, index])
        examples = [self._draw_example(generator) for _ in range(self.batch)]
        return np.stack([pixels for pixels, _ in examples]), np.stack([target for _, target in examples])

    def _draw_example(self, generator: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        drawn = self.sets[generator.choice(len(self.sets), p=self.shares)]
        number, around = int(generator.integers(len(drawn.images))), None
        if drawn.hard_examples and generator.random() < self.hard_share:
            number, around = drawn.hard_examples[generator.integers(len(drawn.hard_examples))]
        crop = draw_crop(drawn.pixels[number], drawn.images[number].boxes, self.config, generator, around)
        pixels, boxes, ignored = augment.augment(crop.pixels, crop.boxes, crop.ignored, generator)
        side = self.config.side_px
        return pixels, self.targets(boxes, ignored, side, side)


def draw_crop(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    config: CropConfig,
    generator: np.random.Generator,
    around: NDArray[np.float64] | None = None,
) -> Crop:
    """Draw one crop of an image.

    Args:
        pixels: the image (height, width, 3).
        boxes: its airplanes (N, 4), in its pixels.
        config: how to draw.
        generator: the source of every draw.
        around: a box (4,) that the crop is to show, at about the image's own scale; by default an airplane, scaled to a
            size that is drawn, or any position.
    """
    if around is not None:
        scale = _draw_log_uniform(config.scale_around, generator)
        centre = _draw_centre(around, config.side_px / scale, generator)
    elif len(boxes) > 0 and generator.random() < config.near_airplane:
        airplane = boxes[generator.integers(len(boxes))]
        size = _draw_log_uniform(config.size_px, generator)
        scale = float(np.clip(size / (airplane[2:] - airplane[:2]).max(), *config.scale))
        centre = _draw_centre(airplane, config.side_px / scale, generator)
    else:
        scale = _draw_log_uniform(config.scale, generator)
        centre = generator.uniform(0, [pixels.shape[1], pixels.shape[0]])
    return cut_crop(pixels, boxes, _corner(centre, config.side_px / scale, pixels), scale, config.side_px)


def _draw_log_uniform(bounds: tuple[float, float], generator: np.random.Generator) -> float:
    return float(np.exp(generator.uniform(*np.log(bounds))))


def _draw_centre(box: NDArray[np.float64], side: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw the centre of a crop such that the box lies anywhere in it, at times cut by its edge."""
    return (box[:2] + box[2:]) / 2 + generator.uniform(-0.5, 0.5, 2) * side


def cut_crop(
    pixels: NDArray[np.uint8], boxes: NDArray[np.float64], corner: NDArray[np.float64], scale: float, side_px: int
) -> Crop:
    """Cut a crop; black outside the image.

    Args:
        pixels: the image (height, width, 3).
        boxes: its airplanes (N, 4), in its pixels.
        corner: (x, y) of the crop's upper left corner in the image.
        scale: crop pixels per image pixel.
        side_px: side of the crop in its own pixels.

    Returns:
        The crop, with the boxes that `boxes_in_crop` returns.
    """
    return Crop(_resample(pixels, corner, scale, side_px), *boxes_in_crop(boxes, corner, scale, side_px))


def boxes_in_crop(
    boxes: NDArray[np.float64], corner: NDArray[np.float64], scale: float, side_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clip boxes to a crop; the arguments are those of `cut_crop`.

    Returns:
        Boxes in the crop's pixels: airplanes (N, 4), and those to ignore (M, 4), of which less than `MIN_VISIBLE` is
        in the crop, or whose longer side is under 6 px.
    """
    clipped = np.clip((boxes - np.tile(corner, 2)) * scale, 0, side_px)
    sides = clipped[:, 2:] - clipped[:, :2]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * scale**2
    inside = (sides > 0).all(axis=1)
    visible = inside & (sides.prod(axis=1) >= MIN_VISIBLE * area) & (sides.max(axis=1, initial=0) >= _MIN_SIDE_PX)
    return clipped[visible], clipped[inside & ~visible]


def _corner(centre: NDArray[np.float64], side: float, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the corner of a crop around `centre`, moved so that as much of it as possible lies in the image."""
    room = np.array([pixels.shape[1], pixels.shape[0]]) - side
    return np.clip(centre - side / 2, np.minimum(room, 0), np.maximum(room, 0))


def _resample(pixels: NDArray[np.uint8], corner: NDArray[np.float64], scale: float, side_px: int) -> NDArray[np.uint8]:
    """Resample the part of a crop that lies in the image, so that the black outside does not bleed in."""
    height, width = pixels.shape[:2]
    result = np.zeros((side_px, side_px, 3), np.uint8)
    # Whole crop pixels that lie in the image, with room for a rounded corner of a crop that ends where the image does.
    first = np.ceil(np.maximum(-corner * scale, 0) - 1e-6).astype(int)
    last = np.floor(np.minimum((np.array([width, height]) - corner) * scale, side_px) + 1e-6).astype(int)
    if (last <= first).any():
        return result
    box = (*np.maximum(corner + first / scale, 0), *np.minimum(corner + last / scale, [width, height]))
    # Pillow converts the whole array: cut the part out first, so that the cost is the crop's and not the image's.
    x, y = int(box[0]), int(box[1])
    part = Image.fromarray(pixels[y : int(np.ceil(box[3])), x : int(np.ceil(box[2]))])
    inner = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
    resized = part.resize(tuple(last - first), Image.Resampling.BILINEAR, box=inner)
    result[first[1] : last[1], first[0] : last[0]] = np.asarray(resized)
    return result
