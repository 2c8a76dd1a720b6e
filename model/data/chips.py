"""PlanesNet's chips, 20x20 px at 3 m, each with an airplane in its centre or without: read, split and batched.

There are two ways to split. `random` is the naive one: chips of one scene come to lie in several splits. `scene` is the
honest one. It keeps the scenes of one day together, too, since they overlap: two of five airplanes appear in another
scene of the same day.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import keras
import numpy as np
from numpy.typing import NDArray

from geo.errors import ConfigError, one_line
from geo.types import ImageArray
from model.data.augment import orient_chips, rotate_hues
from model.detectors.classifier import SIDE_PX

# In the folder of the data sets.
FILE = Path("planesnet") / "planesnet.npz"
# The label of an airplane, and its index among the two probabilities.
AIRPLANE = 1
ChipSplit = Literal["train", "val", "test"]
SplitMethod = Literal["random", "scene"]
# Of all chips: 5,000 of 32,000 for test, as in the talk, and 2,000 for val.
_TEST_SHARE, _VAL_SHARE = 5 / 32, 2 / 32
# Fixed: every training is tested on the same chips.
_SPLIT_SEED = 20
# A scene's name begins with its day, 20170501_180620_1005.
_DAY_LENGTH = 8


@dataclass(frozen=True, slots=True, eq=False)
class Chips:
    """Chips with their labels.

    Attributes:
        images: (N, 20, 20, 3), red, green, blue.
        labels: (N,) 1 for an airplane, 0 for none.
        scenes: (N,) the name of the scene of each.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    scenes: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[Any]) -> Self:
        """Return the chips at these indices, or where this (N,) mask is true."""
        return type(self)(self.images[indices], self.labels[indices], self.scenes[indices])


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Settings of the augmentation of chips.

    Attributes:
        orientation: whether each is brought into one of eight orientations.
        hue: standard deviation of the angle, radians, by which its colours are rotated about grey.
    """

    orientation: bool = False
    hue: float = 0.0

    def __post_init__(self) -> None:
        if not self.hue >= 0:
            raise ValueError(f"hue: expected an angle from 0 on, in radians, got {self.hue}")


class ChipBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """The batches of one epoch; set `epoch` before it begins.

    Every batch is a function of the seed, the epoch and its number alone: a resumed training gets the batches that an
    uninterrupted one would have got.
    """

    def __init__(self, chips: Chips, config: AugmentConfig, batch: int, steps: int, seed: int) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=16)
        self.chips = chips
        self.config = config
        self.batch = batch
        self.steps = steps
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[ImageArray, NDArray[np.int64]]:
        """Return pixels (B, 20, 20, 3) uint8 and labels (B,)."""
        generator = np.random.default_rng([self.seed, self.epoch, index])
        drawn = self.chips.take(generator.integers(len(self.chips), size=self.batch))
        images = drawn.images
        if self.config.orientation:
            images = orient_chips(images, generator.integers(8, size=self.batch))
        if self.config.hue > 0:
            images = rotate_hues(images, generator.normal(0, self.config.hue, self.batch))
        return images, drawn.labels


def read_chips(file: Path) -> Chips:
    """Read `planesnet.npz`.

    Raises:
        ConfigError: the file is missing, or has another content.
    """
    try:
        with np.load(file, allow_pickle=False) as content:
            chips = Chips(content["images"], content["labels"].astype(np.int64), content["scene_ids"][content["scene"]])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = one_line(error)
        raise ConfigError(
            f"{file}: expected PlanesNet's chips (images, labels, scene, scene_ids), got {reason}: put the file there, "
            "or name the folder of the data sets with --data"
        ) from error
    expected_shape = (len(chips), SIDE_PX, SIDE_PX, 3)
    if chips.images.shape != expected_shape or chips.images.dtype != np.uint8:
        raise ConfigError(
            f"{file}: expected images {expected_shape} of bytes, got {chips.images.shape} of {chips.images.dtype}: "
            "take PlanesNet's own chips"
        )
    return chips


def split_chips(chips: Chips, method: SplitMethod) -> dict[ChipSplit, Chips]:
    """Divide the chips into train, val and test; the same splits for the same chips.

    Args:
        chips: all of them.
        method: `random`: chip by chip, exactly 5 of 32 chips for test and 2 of 32 for val. `scene`: about as many, with
            all chips of one day's scenes in one split.
    """
    days = np.array([scene[:_DAY_LENGTH] for scene in chips.scenes])
    groups = np.arange(len(chips)) if method == "random" else np.unique(days, return_inverse=True)[1]
    # The groups are laid out in an order drawn once; the split of a group depends on where its middle lies.
    sizes = np.bincount(groups)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(sizes))
    before = np.zeros(len(sizes), np.int64)
    before[order] = np.cumsum(sizes[order]) - sizes[order]
    position = (before + sizes / 2)[groups] / len(chips)
    index = np.digitize(position, [_TEST_SHARE, _TEST_SHARE + _VAL_SHARE])
    return {"test": chips.take(index == 0), "val": chips.take(index == 1), "train": chips.take(index == 2)}
