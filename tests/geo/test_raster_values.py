"""Bands, bit depths and missing pixels, read from files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from geo.errors import RasterError
from geo.grid import Level, Tile
from geo.raster.header import read_header
from geo.raster.reader import RasterReader
from geo.types import ImageArray, Window
from tests.geo.scenes import noise, write_tiff

WIDTH, HEIGHT = 200, 150
LEVEL = Level(1.0, WIDTH, HEIGHT, 1.0, 1.0)
WHOLE = Window(0, 0, WIDTH, HEIGHT)


def shown(uri: str, bands: tuple[int, ...] | None = None) -> ImageArray:
    header = read_header(uri, bands=bands)
    with RasterReader(uri, header.radiometry) as reader:
        return reader.read_window(WHOLE, LEVEL)


def valid(uri: str, window: Window = WHOLE) -> NDArray[np.bool_]:
    with RasterReader(uri, read_header(uri).radiometry) as reader:
        seen = reader.read_valid_mask(Tile(LEVEL, window, window))
    assert seen is not None
    return seen


def test_bands_are_read_by_colour_as_told_or_as_grey(tmp_path: Path) -> None:
    pixels = noise(WIDTH, HEIGHT, bands=5) | 1
    uri = write_tiff(tmp_path / "scene.tif", pixels)
    with rasterio.open(uri, "r+") as dataset:
        undefined = ColorInterp.undefined
        dataset.colorinterp = [undefined, ColorInterp.blue, ColorInterp.green, undefined, ColorInterp.red]
    assert read_header(uri).radiometry.bands == (5, 3, 2)
    assert (shown(uri) == pixels[..., [4, 2, 1]]).all()
    assert (shown(uri, (4, 1, 5)) == pixels[..., [3, 0, 4]]).all()
    assert (shown(uri, (4,)) == pixels[..., 3:4]).all()
    with pytest.raises(RasterError, match=r"scene\.tif: expected bands from 1 to 5, got \[6\]"):
        read_header(uri, bands=(6,))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "uint32", "float64"])
@pytest.mark.parametrize("bands", [1, 3])
def test_one_scene_is_the_same_in_every_depth(tmp_path: Path, kind: str, bands: int) -> None:
    pixels = noise(WIDTH, HEIGHT, bands)
    gain = {"uint8": 1, "uint16": 257, "float32": 1 / 255, "float64": 4.0}.get(kind, 8)
    uri = write_tiff(tmp_path / "scene.tif", (pixels.astype(np.float64) * gain).astype(kind))
    assert np.abs(shown(uri) - pixels.astype(int)).max() <= (1 if kind != "uint8" else 0)


def test_every_tile_has_the_stretch_of_the_scene(tmp_path: Path) -> None:
    pixels = (np.arange(WIDTH)[None, :, None] * 50 + 3000 + noise(WIDTH, HEIGHT)).astype(np.uint16)
    uri = write_tiff(tmp_path / "scene.tif", pixels)
    everything = shown(uri)
    for again in (None, read_header(uri).radiometry):
        with RasterReader(uri, again) as reader:
            part = reader.read_window(Window(120, 30, 60, 70), LEVEL)
        assert (part == everything[30:100, 120:180]).all()


HOLE = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
HOLE[40:90, :120] = True


def _nodata(path: Path, kind: str = "uint8", value: float = 255) -> str:
    pixels = (noise(WIDTH, HEIGHT) // 2 + 10).astype(kind)
    pixels[HOLE] = value
    return write_tiff(path, pixels, nodata=value)


def _alpha(path: Path) -> str:
    pixels = noise(WIDTH, HEIGHT, bands=4) | 1
    pixels[..., 3] = np.where(HOLE, 0, 255)
    return write_tiff(path, pixels, alpha="yes", photometric="RGB")


def _mask(path: Path) -> str:
    uri = write_tiff(path, noise(WIDTH, HEIGHT) | 1)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(uri, "r+") as dataset:
        dataset.write_mask(~HOLE)
    return uri


def _no_number(path: Path) -> str:
    pixels = noise(WIDTH, HEIGHT).astype(np.float32) + 1
    pixels[HOLE] = np.nan
    pixels[45, 5] = np.inf
    return write_tiff(path, pixels)


MARKS: dict[str, Any] = {
    "nodata": _nodata,
    "nodata 16 bits": lambda path: _nodata(path, "int16", -9999),
    "nodata float": lambda path: _nodata(path, "float32", -3.4e38),
    "nodata NaN": lambda path: _nodata(path, "float32", float("nan")),
    "alpha": _alpha,
    "mask": _mask,
    "no number": _no_number,
}


@pytest.mark.parametrize("mark", MARKS.values(), ids=MARKS.keys())
def test_what_is_missing_is_black_and_known(tmp_path: Path, mark: Any) -> None:
    uri = mark(tmp_path / "scene.tif")
    assert (valid(uri) == ~HOLE).all()
    image = shown(uri)
    assert not image[HOLE].any()
    # The missing have no say in the stretch.
    assert image[~HOLE].max() > 100
    assert image[~HOLE].std() > 20
    with RasterReader(uri) as reader:
        for window, empty in ((Window(10, 45, 64, 32), True), (Window(100, 45, 64, 32), False)):
            assert reader.is_empty(Tile(LEVEL, window, window)) is empty


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("overviews", [(), (2, 4)])
def test_a_black_border_is_missing_and_black_within_is_not(
    tmp_path: Path, kind: str, overviews: tuple[int, ...]
) -> None:
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    border = (row + column < 110) | (row - column > 90)
    pixels = (noise(WIDTH, HEIGHT) | 1).astype(kind)
    pixels[border] = 0
    pixels[70:100, 120:160] = 0
    uri = write_tiff(tmp_path / "scene.tif", pixels, overviews=overviews)
    assert (valid(uri) == ~border).all()
    assert not shown(uri)[border].any()
    with RasterReader(uri) as reader:
        windows = {Window(0, 0, 40, 40): True, Window(0, 0, 80, 80): False, Window(125, 75, 30, 20): False}
        for window, empty in windows.items():
            assert reader.is_empty(Tile(LEVEL, window, window)) is empty


def test_nothing_beyond_the_scene_is_valid(tmp_path: Path) -> None:
    uri = _mask(tmp_path / "scene.tif")
    seen = valid(uri, Window(150, 100, 64, 64))
    assert seen[:50, :50].all()
    assert seen.sum() == 50 * 50
