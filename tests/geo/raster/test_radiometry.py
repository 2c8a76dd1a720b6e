"""Radiometry: band selection, display stretch, nodata and black collar; the functions, and scenes read from files."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from geo.errors import RasterError
from geo.grid import Level, Tile
from geo.raster.header import read_header
from geo.raster.radiometry import Stretch, choose_bands, detect_collar, estimate_stretch
from geo.raster.reader import RasterReader
from geo.types import FloatArray, ImageArray, Window
from tests.geo.scenes import noise, write_tiff

# Levels of a typical image: mostly mid-tones, and the full range.
PHOTO = np.random.default_rng(4).normal(130, 45, 20_000).clip(0, 255).round()


@pytest.mark.parametrize(
    ("colours", "requested", "bands"),
    [
        (["red", "green", "blue"], None, (1, 2, 3)),
        (["blue", "green", "red", "undefined"], None, (3, 2, 1)),
        (["alpha", "red", "green", "blue"], None, (2, 3, 4)),
        (["gray", "undefined", "undefined", "undefined"], None, (1, 2, 3)),
        (["gray"], None, (1,)),
        (["undefined"], None, (1,)),
        (["gray", "alpha"], None, (1,)),
        (["undefined"] * 8, (5, 3, 2), (5, 3, 2)),
        (["red", "green", "blue"], (2,), (2,)),
        (["gray", "undefined"], (2,), (2,)),
        (["palette", "red", "green", "blue"], None, (2, 3, 4)),
    ],
)
def test_bands_are_chosen_by_colour_or_as_requested(
    colours: list[str], requested: tuple[int, ...] | None, bands: tuple[int, ...]
) -> None:
    assert choose_bands(colours, requested) == bands


@pytest.mark.parametrize(
    ("colours", "requested", "message"),
    [
        (["gray", "undefined"], None, "at least 3 .* got 2: choose bands"),
        (["alpha"], None, "got 0"),
        (["palette"], None, "indices of a palette: .*-expand rgb"),
        (["gray", "palette"], (2,), "indices of a palette"),
        (["red", "green", "blue"], (1, 2), r"1 band .* or 3 .* got \[1, 2\]"),
        (["red", "green", "blue"], (1, 2, 4), r"bands from 1 to 3, got \[1, 2, 4\]"),
        (["red", "green", "blue"], (0,), r"bands from 1 to 3, got \[0\]"),
    ],
)
def test_unusable_bands_are_rejected(colours: list[str], requested: tuple[int, ...] | None, message: str) -> None:
    with pytest.raises(RasterError, match=message):
        choose_bands(colours, requested)


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("gain", [8, 16, 257 / 2])
def test_a_scene_that_fills_its_bit_depth_looks_the_same_in_any_depth(kind: str, gain: float) -> None:
    values = (PHOTO * gain).astype(kind)
    stretch = estimate_stretch(values)
    assert stretch is not None
    assert np.abs(stretch.apply(values) - PHOTO).max() <= 1


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 20_000), (0.001, 1.0), (0.5, -500), (3, 1000)])
def test_other_scenes_are_stretched_to_photographic_levels(gain: float, offset: float) -> None:
    values = (PHOTO * gain + offset).astype(np.float32)
    stretch = estimate_stretch(values)
    assert stretch is not None
    dark, bright = np.percentile(stretch.apply(values), [1, 99])
    assert 20 <= dark <= 65
    assert 200 <= bright <= 250


def test_8_bit_values_are_unchanged_unless_dim() -> None:
    assert estimate_stretch(PHOTO.astype(np.uint8)) is None
    assert estimate_stretch((60 + PHOTO / 8).astype(np.uint8)) is None
    dim = (PHOTO / 8).astype(np.uint8)
    stretch = estimate_stretch(dim)
    assert stretch is not None
    assert np.percentile(stretch.apply(dim), 99) == pytest.approx(235, abs=8)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("value", [0, 1, 7, 100])
def test_a_constant_scene_becomes_one_level(kind: str, value: int) -> None:
    values = np.full(50, value, kind)
    stretch = estimate_stretch(values)
    assert stretch is None or len(np.unique(stretch.apply(values))) == 1


def test_a_scene_without_valid_values_has_a_stretch() -> None:
    for kind in ("uint8", "uint16", "float32"):
        estimate_stretch(np.empty(0, kind))
    assert estimate_stretch(np.full(9, np.nan, np.float32)) is not None


def test_nan_is_black_and_left_out_of_the_statistics() -> None:
    values = np.append((PHOTO * 8).astype(np.float32), [np.nan, np.inf, -np.inf])
    stretch = estimate_stretch(values)
    assert stretch == estimate_stretch(values[:-3])
    assert stretch is not None
    assert stretch.apply(values)[-3:].tolist() == [0, 255, 0]


@given(hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)))
def test_the_stretch_is_monotonic(values: NDArray[np.float32]) -> None:
    stretch = estimate_stretch(values)
    assert stretch is not None
    levels = stretch.apply(np.sort(values[np.isfinite(values)])).astype(int)
    assert (np.diff(levels) >= 0).all()


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_an_empty_or_infinite_range_is_rejected(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low < high"):
        Stretch(low, high)


def test_values_are_clipped_to_0_and_255() -> None:
    values: FloatArray = np.array([-5.0, 10, 15, 20, 99])
    assert Stretch(10, 20).apply(values).tolist() == [0, 0, 128, 255, 255]


def test_only_black_connected_to_the_border_is_collar() -> None:
    black = np.zeros((60, 80), dtype=np.bool_)
    black[:, :10] = True
    black[30:35, 40:45] = True  # a shadow
    collar = detect_collar(black)
    assert collar is not None
    mask = collar.covers((np.arange(80) + 0.5) / 80, (np.arange(60) + 0.5) / 60)
    expected = np.zeros((60, 80), dtype=np.bool_)
    expected[:, :11] = True
    assert (mask == expected).all()


def test_no_collar_without_black_at_the_border_nor_in_a_black_scene() -> None:
    black = np.zeros((60, 80), dtype=np.bool_)
    assert detect_collar(black) is None
    black[20, 20] = True
    assert detect_collar(black) is None
    assert detect_collar(np.ones((60, 80), dtype=np.bool_)) is None


def test_a_collar_pickles_small() -> None:
    row, column = np.mgrid[:512, :512]
    collar = detect_collar((row + column < 250) | (row - column > 300) | (column * 3 - row > 1300))
    assert len(pickle.dumps(collar)) < 3000


WIDTH, HEIGHT = 200, 150
LEVEL = Level(1.0, WIDTH, HEIGHT, 1.0, 1.0)
FULL = Window(0, 0, WIDTH, HEIGHT)


def read_rgb(uri: str, bands: tuple[int, ...] | None = None) -> ImageArray:
    header = read_header(uri, bands=bands)
    with RasterReader(uri, header.radiometry) as reader:
        return reader.read_window(FULL, LEVEL)


def read_valid_mask(uri: str, window: Window = FULL) -> NDArray[np.bool_]:
    with RasterReader(uri, read_header(uri).radiometry) as reader:
        valid_mask = reader.read_valid_mask(Tile(LEVEL, window, window))
    assert valid_mask is not None
    return valid_mask


def test_bands_are_read_by_colour_as_requested_or_as_grey(tmp_path: Path) -> None:
    pixels = noise(WIDTH, HEIGHT, bands=5) | 1
    uri = write_tiff(tmp_path / "scene.tif", pixels)
    with rasterio.open(uri, "r+") as dataset:
        undefined = ColorInterp.undefined
        dataset.colorinterp = [undefined, ColorInterp.blue, ColorInterp.green, undefined, ColorInterp.red]
    assert read_header(uri).radiometry.bands == (5, 3, 2)
    assert (read_rgb(uri) == pixels[..., [4, 2, 1]]).all()
    assert (read_rgb(uri, (4, 1, 5)) == pixels[..., [3, 0, 4]]).all()
    assert (read_rgb(uri, (4,)) == pixels[..., 3:4]).all()
    with pytest.raises(RasterError, match=r"scene\.tif: expected bands from 1 to 5, got \[6\]"):
        read_header(uri, bands=(6,))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "uint32", "float64"])
@pytest.mark.parametrize("bands", [1, 3])
def test_a_scene_looks_the_same_in_every_pixel_type(tmp_path: Path, kind: str, bands: int) -> None:
    pixels = noise(WIDTH, HEIGHT, bands)
    gain = {"uint8": 1, "uint16": 257, "float32": 1 / 255, "float64": 4.0}.get(kind, 8)
    uri = write_tiff(tmp_path / "scene.tif", (pixels.astype(np.float64) * gain).astype(kind))
    assert np.abs(read_rgb(uri) - pixels.astype(int)).max() <= (1 if kind != "uint8" else 0)


def test_every_tile_has_the_stretch_of_the_scene(tmp_path: Path) -> None:
    pixels = (np.arange(WIDTH)[None, :, None] * 50 + 3000 + noise(WIDTH, HEIGHT)).astype(np.uint16)
    uri = write_tiff(tmp_path / "scene.tif", pixels)
    everything = read_rgb(uri)
    for radiometry in (None, read_header(uri).radiometry):
        with RasterReader(uri, radiometry) as reader:
            part = reader.read_window(Window(120, 30, 60, 70), LEVEL)
        assert (part == everything[30:100, 120:180]).all()


def test_the_stretch_that_is_given_is_used(tmp_path: Path) -> None:
    """Tiles are read with the header's, on every worker, also where the file's own would be another."""
    pixels = (noise(WIDTH, HEIGHT).astype(np.uint16) + 1) * 10
    uri = write_tiff(tmp_path / "scene.tif", pixels)
    given = dataclasses.replace(read_header(uri).radiometry, stretch=Stretch(0.0, 25_500.0))
    with RasterReader(uri, given) as reader:
        assert (reader.read_window(Window(0, 0, WIDTH, HEIGHT), LEVEL) == np.rint(pixels / 100)).all()


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


def _not_finite(path: Path) -> str:
    pixels = noise(WIDTH, HEIGHT).astype(np.float32) + 1
    pixels[HOLE] = np.nan
    pixels[45, 5] = np.inf
    return write_tiff(path, pixels)


NODATA: dict[str, Any] = {
    "nodata": _nodata,
    "nodata 16 bits": lambda path: _nodata(path, "int16", -9999),
    "nodata float": lambda path: _nodata(path, "float32", -3.4e38),
    "nodata NaN": lambda path: _nodata(path, "float32", float("nan")),
    "alpha": _alpha,
    "mask": _mask,
    "not finite": _not_finite,
}


@pytest.mark.parametrize("write", NODATA.values(), ids=NODATA.keys())
def test_nodata_is_black_and_invalid(tmp_path: Path, write: Any) -> None:
    uri = write(tmp_path / "scene.tif")
    assert (read_valid_mask(uri) == ~HOLE).all()
    image = read_rgb(uri)
    assert not image[HOLE].any()
    # Nodata is left out of the statistics of the stretch.
    assert image[~HOLE].max() > 100
    assert image[~HOLE].std() > 20
    with RasterReader(uri) as reader:
        for window, empty in ((Window(10, 45, 64, 32), True), (Window(100, 45, 64, 32), False)):
            assert reader.is_empty(Tile(LEVEL, window, window)) is empty


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("overviews", [(), (2, 4)])
def test_the_black_collar_is_nodata_and_black_inside_is_not(
    tmp_path: Path, kind: str, overviews: tuple[int, ...]
) -> None:
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    collar = (row + column < 110) | (row - column > 90)
    pixels = (noise(WIDTH, HEIGHT) | 1).astype(kind)
    pixels[collar] = 0
    pixels[70:100, 120:160] = 0
    uri = write_tiff(tmp_path / "scene.tif", pixels, overviews=overviews)
    assert (read_valid_mask(uri) == ~collar).all()
    assert not read_rgb(uri)[collar].any()
    with RasterReader(uri) as reader:
        windows = {Window(0, 0, 40, 40): True, Window(0, 0, 80, 80): False, Window(125, 75, 30, 20): False}
        for window, empty in windows.items():
            assert reader.is_empty(Tile(LEVEL, window, window)) is empty


@pytest.mark.parametrize("overviews", [(), (2, 4)])
def test_the_collar_is_left_out_of_the_stretch(tmp_path: Path, overviews: tuple[int, ...]) -> None:
    pixels = noise(WIDTH, HEIGHT).astype(np.uint16) + 240  # too near to 0 for a fill
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    pixels[row + column < 150] = 0
    stretch = read_header(write_tiff(tmp_path / "scene.tif", pixels, overviews=overviews)).radiometry.stretch
    assert stretch is not None
    assert stretch.low > 100


def test_pixels_beyond_the_scene_are_invalid(tmp_path: Path) -> None:
    uri = _mask(tmp_path / "scene.tif")
    valid_mask = read_valid_mask(uri, Window(150, 100, 64, 64))
    assert valid_mask[:50, :50].all()
    assert valid_mask.sum() == 50 * 50
