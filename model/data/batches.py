"""Photos to training batches, the same ones for the same seed, on any Keras backend."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from model.data import augment, crops
from model.data.crops import CropConfig
from model.data.sources import AnnotatedImage
from model.detectors.registry import Targets


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Photos of one set, held decoded in memory.

    Attributes:
        photos: the photos.
        pixels: of each, (height, width, 3).
        weight: the share of crops that come from this set.
        mistakes: where an earlier model was wrong: the photo's number, and a box (4,) in it.
    """

    photos: tuple[AnnotatedImage, ...]
    pixels: tuple[NDArray[np.uint8], ...]
    weight: float
    mistakes: tuple[tuple[int, NDArray[np.float64]], ...] = ()


def load(photos: Sequence[AnnotatedImage], weight: float) -> Source:
    """Decodes the photos of a set (memory: 3 bytes a pixel)."""
    return Source(tuple(photos), tuple(photo.pixels() for photo in photos), weight)


def with_mistakes(source: Source, boxes: Sequence[NDArray[np.float64]]) -> Source:
    """The set with the places (K, 4) of each photo that are to be trained on more often."""
    return replace(source, mistakes=tuple((number, box) for number, some in enumerate(boxes) for box in some))


class Crops(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """The batches of augmented crops of one epoch, which is to be set in `epoch` before it begins.

    Every batch is a function of the seed, the epoch and its number alone: a resumed training sees what an unbroken
    one would have seen. `targets` makes what the network is to say of a crop. Of the sets with mistakes, the share
    `mistakes` of the crops is cut around one of these.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        config: CropConfig,
        batch: int,
        steps: int,
        seed: int,
        targets: Targets,
        epoch: int = 0,
        mistakes: float = 0.0,
    ) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=16)
        self.sources = sources
        self.config = config
        self.batch = batch
        self.steps = steps
        self.seed = seed
        self.targets = targets
        self.epoch = epoch
        self.mistakes = mistakes
        weights = np.array([source.weight for source in sources])
        self.shares = weights / weights.sum()

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Pixels (B, side, side, 3) uint8 and targets (B, ...) float32."""
        generator = np.random.default_rng([self.seed, self.epoch, index])
        pairs = [self._example(generator) for _ in range(self.batch)]
        return np.stack([pixels for pixels, _ in pairs]), np.stack([target for _, target in pairs])

    def _example(self, generator: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        source = self.sources[generator.choice(len(self.sources), p=self.shares)]
        number, around = int(generator.integers(len(source.photos))), None
        if source.mistakes and generator.random() < self.mistakes:
            number, around = source.mistakes[generator.integers(len(source.mistakes))]
        crop = crops.draw(source.pixels[number], source.photos[number].boxes, self.config, generator, around)
        pixels, boxes, ignored = augment.change(crop.pixels, crop.boxes, crop.ignored, generator)
        side = self.config.side_px
        return pixels, self.targets(boxes, ignored, side, side)
