"""A small file in the format of PlanesNet; airplanes are bright crosses."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geo.types import ImageArray
from model.detectors.classifier import SIDE_PX

# Scenes of the chips; several per day.
SCENES = [f"{20170101 + 7 * (number // 3)}_1807{number:02}_0f12" for number in range(48)]


def images(labels: NDArray[np.integer], seed: int = 1) -> ImageArray:
    """Return chips (N, 20, 20, 3) for labels (N,): noise, with a cross for an airplane."""
    chips = np.random.default_rng(seed).integers(0, 120, (len(labels), SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    chips[labels == 1, 4:16, 9:11] = 220
    chips[labels == 1, 8:11, 4:16] = 230
    return chips


def write(folder: Path, count: int = 640) -> Path:
    """Write `planesnet/planesnet.npz` into a folder of data sets; return the folder."""
    generator = np.random.default_rng(7)
    labels = (np.arange(count) % 4 == 0).astype(np.uint8)
    file = folder / "planesnet" / "planesnet.npz"
    file.parent.mkdir(parents=True)
    np.savez(
        file,
        images=images(labels),
        labels=labels,
        scene=generator.integers(len(SCENES), size=count).astype(np.int32),
        scene_ids=np.array(SCENES),
        lonlat=np.zeros((count, 2)),
    )
    return folder


def some_images(count: int) -> ImageArray:
    return np.random.default_rng(5).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)
