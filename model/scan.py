"""A whole scene through a detector, in one process: what the pipeline does, without the pipeline."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from geo.grid import Tile, scene_detections
from geo.types import Detections, ImageArray
from model.predictor import Predictor


class TileReader(Protocol):
    """What `geo.raster.RasterReader` offers."""

    def read_tile(self, tile: Tile) -> ImageArray:
        """The tile's pixels, (side, side, 3)."""


def detect(predictor: Predictor, tiles: Sequence[Tile], images: ImageArray) -> list[Detections]:
    """What a detector finds in tiles of a scene.

    Args:
        predictor: the detector.
        tiles: B tiles of one size.
        images: their pixels (B, side, side, 3).

    Returns:
        For each tile the detections that it owns, in scene pixels.
    """
    return [
        scene_detections(tile, found.boxes, found.scores)
        for tile, found in zip(tiles, predictor(images), strict=True)
    ]


def scan(reader: TileReader, tiles: Iterable[Tile], predictor: Predictor, batch: int) -> Detections:
    """What a detector finds in all tiles of a scene, before suppression across tiles; in scene pixels."""
    found: list[Detections] = []
    for some in _batches(tiles, batch):
        images = np.stack([reader.read_tile(tile) for tile in some])
        found.extend(detect(predictor, some, images))
    return Detections.concatenate(found)


def _batches(tiles: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    source = iter(tiles)
    while some := list(itertools.islice(source, size)):
        yield some
