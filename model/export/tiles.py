"""Tiles with airplanes, to try an export on."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geo.errors import ConfigError
from geo.types import ImageArray
from model import synthetic as render
from model.data import sources

# A scene of this size has an airport with airplanes on it.
_SCENE_PX = 2048


def tiles_of_sets(data: Path, sets: Sequence[str], count: int, side_px: int) -> ImageArray:
    """Tiles of real photos, or of a scene drawn for the purpose where the data is not there.

    Args:
        data: folder of the data sets.
        sets: names of the sets, of whose test photos tiles are cut.
        count: tiles of each set, at most.
        side_px: of a tile.

    Returns:
        Tiles (B, side, side, 3).

    Raises:
        ConfigError: the data is there, but lacks one of the sets, or a set has no airplanes.
        RasterError: a photo that cannot be read.
    """
    if not data.is_dir():
        return _drawn(count * len(sets), side_px)
    return np.concatenate([_of_set(data / name, count, side_px) for name in sets])


def tile_around(pixels: ImageArray, box: NDArray[np.float64], side_px: int) -> ImageArray:
    """Cuts a tile.

    Args:
        pixels: a picture (H, W, 3).
        box: xmin, ymin, xmax, ymax in its pixels.
        side_px: of the tile.

    Returns:
        (side, side, 3): the box is in the middle, or nearer to the picture's edge; black where the picture is smaller.
    """
    room = np.maximum(np.array(pixels.shape[1::-1]) - side_px, 0)
    x, y = np.clip(np.round((box[:2] + box[2:] - side_px) / 2), 0, room).astype(int)
    part = pixels[y : y + side_px, x : x + side_px]
    return np.pad(part, ((0, side_px - part.shape[0]), (0, side_px - part.shape[1]), (0, 0)))


def _drawn(count: int, side_px: int) -> ImageArray:
    with tempfile.TemporaryDirectory() as folder:
        render.write(render.render(_SCENE_PX, seed=1), Path(folder) / "scene.tif")
        (scene,) = sources.read_photos(Path(folder), "test")
        pixels = scene.pixels()
    return np.stack([tile_around(pixels, box, side_px) for box in scene.boxes[_spread(len(scene.boxes), count)]])


def _of_set(folder: Path, count: int, side_px: int) -> ImageArray:
    shown = [photo for photo in sources.read_photos(folder, "test") if len(photo.boxes)]
    if not shown:
        raise ConfigError(f"{folder}: expected test photos with airplanes, found none: name another set")
    chosen = [shown[number] for number in _spread(len(shown), count)]
    return np.stack([tile_around(photo.pixels(), photo.boxes[0], side_px) for photo in chosen])


def _spread(length: int, count: int) -> NDArray[np.int64]:
    """Up to `count` places in a list, far from each other."""
    return np.linspace(0, length - 1, min(length, count)).astype(np.int64)
