"""Chips to training batches, the same ones for the same seed, on any Keras backend."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from geo.types import ImageArray
from model.data.chips import Chips


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How chips are changed before they are learned from.

    Attributes:
        orientation: whether each is turned into one of eight orientations.
        hue: by how much its colours are turned about grey: the standard deviation of the angle, radians.
    """

    orientation: bool = False
    hue: float = 0.0

    def __post_init__(self) -> None:
        if not self.hue >= 0:
            raise ValueError(f"hue: expected an angle from 0 on, in radians, got {self.hue}")


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """The batches of one epoch, which is to be set in `epoch` before it begins.

    Every batch is a function of the seed, the epoch and its number alone: a resumed training sees what an unbroken one
    would have seen.
    """

    def __init__(self, chips: Chips, change: AugmentConfig, batch: int, steps: int, seed: int) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=16)
        self.chips = chips
        self.change = change
        self.batch = batch
        self.steps = steps
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[ImageArray, NDArray[np.int64]]:
        """Pixels (B, 20, 20, 3) uint8 and labels (B,)."""
        generator = np.random.default_rng([self.seed, self.epoch, index])
        drawn = self.chips.take(generator.integers(len(self.chips), size=self.batch))
        images = drawn.images
        if self.change.orientation:
            images = oriented(images, generator.integers(8, size=self.batch))
        if self.change.hue > 0:
            images = hued(images, generator.normal(0, self.change.hue, self.batch))
        return images, drawn.labels


def oriented(images: ImageArray, orientations: NDArray[np.int64]) -> ImageArray:
    """Turns each chip (N, side, side, 3) into one of eight orientations (N,), which `augment.orient` counts."""
    bits = orientations[:, None, None, None]
    images = np.where(bits & 4, images[:, :, ::-1], images)
    images = np.where(bits & 2, images[:, ::-1], images)
    return np.where(bits & 1, images.swapaxes(1, 2), images)


def hued(images: ImageArray, angles: NDArray[np.float64]) -> ImageArray:
    """Turns the colours of each chip (N, height, width, 3) about the grey axis, by its own angle (N,), radians."""
    # Rodrigues' rotation about (1, 1, 1) / sqrt(3).
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    turns = cos * np.eye(3) + (1 - cos) / 3 + sin * cross
    colours: NDArray[np.float32] = np.einsum("nyxc,ndc->nyxd", images, turns.astype(np.float32))
    return np.clip(np.round(colours), 0, 255).astype(np.uint8)
