"""Small scenes for tests: bright rectangles on dark ground, which `FakePredictor` detects as airplanes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from geo.grid import Tiling
from geo.nms import Suppression
from model.inference.predictor import FakePredictor
from pipeline.config import PipelineConfig
from pipeline.values import Identity

# Width, height, and airplanes as (xmin, ymin, xmax, ymax, brightness); nothing is symmetric. The third airplane lies on
# a seam between tiles, the fourth is larger than the overlap of tiles of the finest level, the last is at the corner.
SIZE = (330, 410)
AIRPLANES = [
    (20, 30, 40, 44, 250),
    (200, 60, 214, 84, 240),
    (86, 300, 106, 312, 230),
    (150, 190, 210, 230, 220),
    (318, 396, 330, 410, 210),
]

CONFIG = PipelineConfig(
    model="fake",
    min_score=0.5,
    precision="float32",
    batch_size=2,
    block_tiles=3,
    tiling=Tiling(levels_m=(0.5, 1.0), tile_px=128, halo_px=16),
    suppression=Suppression(iou=0.5, containment=0.8),
)

IDENTITY = Identity(FakePredictor.name, "5e771465")


def write_scene(
    path: Path,
    airplanes: Sequence[tuple[int, int, int, int, int]] = AIRPLANES,
    *,
    size: tuple[int, int] = SIZE,
    resolution: float = 0.5,
    rotation: float = 0.0,
    bands: int = 3,
    dtype: str = "uint8",
    nodata_right_of: int | None = None,
    **profile: Any,
) -> Path:
    """Write a scene near Hamburg in UTM zone 32 and return its path.

    Args:
        path: the file.
        airplanes: boxes in pixels with their brightness.
        size: width and height.
        resolution: metres per pixel.
        rotation: degrees, counter-clockwise.
        bands: bands.
        dtype: type of the pixels.
        nodata_right_of: nodata from this column on.
        profile: passed to rasterio; None removes a key.
    """
    pixels = np.full((bands, size[1], size[0]), 40, dtype)
    for xmin, ymin, xmax, ymax, level in airplanes:
        pixels[:, ymin:ymax, xmin:xmax] = level
    if nodata_right_of is not None:
        pixels[:, :, nodata_right_of:] = 0
        profile["nodata"] = 0
    settings = {
        "driver": "GTiff",
        "crs": "EPSG:32632",
        "transform": Affine.translation(560_000, 5_940_000)
        @ Affine.rotation(rotation)
        @ Affine.scale(resolution, -resolution),
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
        "compress": "deflate",
        **profile,
    }
    settings = {key: value for key, value in settings.items() if value is not None}
    with rasterio.open(path, "w", width=size[0], height=size[1], count=bands, dtype=dtype, **settings) as dataset:
        dataset.write(pixels)
    return path


def write_alike(first: Path, second: Path) -> tuple[Path, Path]:
    """Write two scenes with one fingerprint: their different airplanes lie between the sampled blocks."""
    for path, row in ((first, 90), (second, 110)):
        write_scene(path, [(100, row, 120, row + 14, 250)], size=(900, 700), compress=None)
    return first, second


def write_damaged_scene(path: Path) -> Path:
    """Write a scene with a valid header and one damaged block, columns 192 to 256 and rows 64 to 128.

    The fingerprint does not sample the block. The second airplane lies on it.
    """
    return _damage_block(write_scene(path, size=(900, 700)), 3, 1)


def _damage_block(path: Path, column: int, row: int) -> Path:
    with rasterio.open(path) as dataset:
        offset, length = (
            int(dataset.get_tag_item(f"BLOCK_{name}_{column}_{row}", "TIFF", bidx=1)) for name in ("OFFSET", "SIZE")
        )
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = b"\xff" * length
    path.write_bytes(content)
    return path
