"""Small TFRecord files of made-up tiles."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from model.data import tfrecord
from model.data.crops import Crop
from model.data.tfrecord import Tile

SIDE = 64


def made_up_tile(number: int, side: int = SIDE) -> Tile:
    """A tile whose first box begins at x = number, below 50; odd numbers have two more boxes and an ignored one."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    boxes = np.array([[number, 3, 55, 40.5], [1, 2, 9, 30], [30, 30, 60, 61.25]])[: 1 + 2 * (number % 2)]
    ignored = np.array([[0.0, 50, 12, 64]])[: number % 2]
    return Tile(f"one/a.png@{number},0", Crop(pixels, boxes, ignored))


def write(file: Path, *numbers: int) -> None:
    """Write tiles in the given order."""
    with tf.io.TFRecordWriter(str(file)) as writer:
        for number in numbers:
            writer.write(tfrecord.encode_tile(made_up_tile(number), 90))


def write_files(folder: Path) -> str:
    """Write ten tiles to three files; return the pattern of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, numbers in enumerate([(0, 1, 2, 3), (4, 5, 6), (7, 8, 9)]):
        write(folder / f"tiles-{file:05d}-of-00003.tfrecord", *numbers)
    return str(folder / "*.tfrecord")
