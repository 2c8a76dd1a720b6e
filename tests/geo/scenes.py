"""Small test scenes: asymmetric images, some of which encode their own coordinates."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling

from geo.types import FloatArray, ImageArray

AFFINE = Affine(0.5, 0, 565_000, 0, -0.5, 5_930_000)


def write_tiff(
    path: Path,
    pixels: NDArray[Any],
    *,
    overviews: tuple[int, ...] = (),
    crs: str | None = "EPSG:32632",
    affine: Affine | None = AFFINE,
    **profile: Any,
) -> str:
    """Write pixels (height, width, bands) as a GeoTIFF of small tiles; returns its path as a URI."""
    height, width, bands = pixels.shape
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 32, "interleave": "pixel", **profile}
    georeference = {"crs": crs, "transform": affine} if affine is not None else {"crs": crs}
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=pixels.dtype, **georeference, **layout
    ) as dataset:
        dataset.write(np.moveaxis(pixels, -1, 0))
    if overviews:
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews(list(overviews), Resampling.average)
    return str(path)


def coordinates(width: int, height: int) -> ImageArray:
    """Red is the column, green the row, both reflected at 0 and 255; blue tells which is larger."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    red, green = (255 - np.abs(255 - position % 510) for position in (x, y))
    return np.stack([red, green, (x > y) * 200 + 20], axis=-1).astype(np.uint8)


def noise(width: int, height: int, bands: int = 3, seed: int = 1) -> ImageArray:
    """Uncorrelated random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)


def blob(width: int, height: int, x: float, y: float, sigma: float) -> ImageArray:
    """A bright spot on black, centred at (x, y), corner origin, fractions of pixels included."""
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    spot = 240 * np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(spot)[..., None], 3, axis=-1).astype(np.uint8)


def centroid(image: ImageArray) -> tuple[float, float]:
    """The centroid (x, y) of brightness, pixels."""
    weight = image[..., 0].astype(np.float64)
    x, y = np.arange(image.shape[1]) + 0.5, np.arange(image.shape[0]) + 0.5
    return float((weight.sum(axis=0) @ x) / weight.sum()), float((weight.sum(axis=1) @ y) / weight.sum())


def area_average(pixels: ImageArray, width: int, height: int) -> FloatArray:
    """The image resampled to another size by exact area averages, (height, width, bands)."""
    columns = _shares(pixels.shape[1], width)
    rows = _shares(pixels.shape[0], height)
    return np.asarray(np.einsum("hi,ijb,wj->hwb", rows, pixels.astype(np.float64), columns, optimize=True))


def _shares(source: int, target: int) -> FloatArray:
    """Weights (target, source) of source pixels in target pixels along one axis; rows add up to 1."""
    edges = np.arange(target + 1) * (source / target)
    low = np.maximum(edges[:-1, None], np.arange(source)[None])
    high = np.minimum(edges[1:, None], np.arange(1, source + 1)[None])
    return np.asarray(np.maximum(high - low, 0) * (target / source))
