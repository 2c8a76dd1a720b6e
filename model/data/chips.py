"""PlanesNet's chips, 20x20 px at 3 m, each with an airplane in its middle or without: read and split.

There are two splits. The random one is what one does at first: chips of one scene come to lie on both sides. By scene
is the honest one. There the scenes of one day stay together too, since they overlap: two of five airplanes are seen in
another scene of the same day.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from geo.errors import ConfigError
from geo.types import ImageArray
from model.detectors.classifier import SIDE_PX

# In the folder of the data sets.
FILE = Path("planesnet") / "planesnet.npz"
# What the label of an airplane is, and its place among the two probabilities.
AIRPLANE = 1

Part = Literal["train", "val", "test"]
Split = Literal["random", "scene"]

# Of all chips: 5,000 of 32,000 to test, as in the talk, and 2,000 to choose by.
_TEST_SHARE, _VAL_SHARE = 5 / 32, 2 / 32
# Whatever is trained, it is tested on the same chips.
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
        """The chips at these positions, or where this (N,) mask is true."""
        return type(self)(self.images[indices], self.labels[indices], self.scenes[indices])


def read(file: Path) -> Chips:
    """Reads `planesnet.npz`.

    Raises:
        ConfigError: no such file, or another one.
    """
    try:
        with np.load(file, allow_pickle=False) as content:
            chips = Chips(content["images"], content["labels"].astype(np.int64), content["scene_ids"][content["scene"]])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{file}: expected PlanesNet's chips (images, labels, scene, scene_ids), got {reason}: put the file there, "
            "or name the folder of the data sets with --data"
        ) from error
    wanted = (len(chips), SIDE_PX, SIDE_PX, 3)
    if chips.images.shape != wanted or chips.images.dtype != np.uint8:
        raise ConfigError(
            f"{file}: expected images {wanted} of bytes, got {chips.images.shape} of {chips.images.dtype}: "
            "take PlanesNet's own chips"
        )
    return chips


def split(chips: Chips, by: Split) -> dict[Part, Chips]:
    """Divides the chips into those to learn from, to choose by and to test on.

    Args:
        chips: all of them.
        by: `random`, chip by chip: 5 of 32 chips to test, 2 of 32 for val, to the chip. Or `scene`: about as many, and
            all chips of one scene, and of all scenes of one day, are in one part.

    Returns:
        The parts: the same for the same chips.
    """
    days = np.array([scene[:_DAY_LENGTH] for scene in chips.scenes])
    groups = np.arange(len(chips)) if by == "random" else np.unique(days, return_inverse=True)[1]
    # Groups in an order drawn once; which part a group is in hangs on where, among all chips, its middle lies.
    sizes = np.bincount(groups)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(sizes))
    before = np.zeros(len(sizes), np.int64)
    before[order] = np.cumsum(sizes[order]) - sizes[order]
    place = (before + sizes / 2)[groups] / len(chips)
    part = np.digitize(place, [_TEST_SHARE, _TEST_SHARE + _VAL_SHARE])
    return {"test": chips.take(part == 0), "val": chips.take(part == 1), "train": chips.take(part == 2)}
