"""Files whose parts contradict each other, and nodata that no tag names: right, or refused with the reason."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from geo.errors import RasterError
from geo.grid import Level, Tile
from geo.raster.header import read_header
from geo.raster.radiometry import Fill, detect_fill
from geo.raster.reader import RasterReader
from geo.types import ImageArray, Window
from tests.geo.scenes import AFFINE, noise, write_tiff

WIDTH, HEIGHT = 600, 500
FULL = Level(0.5, WIDTH, HEIGHT, 1.0, 1.0)
TILE = Tile(FULL, Window(0, 0, WIDTH, HEIGHT), Window(0, 0, WIDTH, HEIGHT))

ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
CORNER = COLUMNS + ROWS < 200  # asymmetric, 7 % of the scene


def photo() -> ImageArray:
    """Mid-tones with structure: a gradient and noise, 40 to 240."""
    gradient = 40 + 100 * COLUMNS / WIDTH + 50 * ROWS / HEIGHT
    return np.asarray((gradient[..., None] + noise(WIDTH, HEIGHT) * (50 / 255)).round(), dtype=np.uint8)


def read(uri: str) -> tuple[ImageArray, NDArray[np.bool_]]:
    """The display pixels of a scene and which of them are valid."""
    with RasterReader(uri, read_header(uri).radiometry) as reader:
        valid = reader.read_valid_mask(TILE)
        return reader.read_tile(TILE), np.ones((HEIGHT, WIDTH), np.bool_) if valid is None else valid


@pytest.mark.parametrize(
    ("kind", "gain", "fill"),
    [
        ("float32", 1 / 255, -9999),
        ("float32", 1 / 255, np.finfo("f4").min),
        ("float32", 1 / 255, np.finfo("f4").max),
        ("uint16", 8, 65535),
        ("int16", 8, -9999),
        ("int16", 8, -32768),
        ("int16", 8, 32767),
        ("float32", 1 / 255, 9.96921e36),  # netCDF's
        ("float32", 4, 65535),
        ("float32", 1 / 255, 1e20),
        ("uint16", 8, 55537),  # -9999 in 16 bits without a sign
        ("uint16", 8, 32767),
        ("int16", 8, 9999),
    ],
)
@pytest.mark.parametrize("overviews", [(), (2, 4)], ids=["plain", "overviews"])
def test_an_untagged_fill_is_nodata_and_leaves_the_stretch_alone(
    tmp_path: Path, kind: str, gain: float, fill: float, overviews: tuple[int, ...]
) -> None:
    pixels = (photo() * gain).astype(kind)
    plain, _ = read(write_tiff(tmp_path / "plain.tif", pixels, overviews=overviews))
    pixels[CORNER] = fill
    uri = write_tiff(tmp_path / "filled.tif", pixels, overviews=overviews)
    filled, valid = read(uri)
    np.testing.assert_array_equal(valid, ~CORNER)
    np.testing.assert_array_equal(filled, np.where(CORNER[..., None], 0, plain))
    detected = read_header(uri).radiometry.fill
    assert detected is not None
    assert detected.value == np.float64(np.array(fill, dtype=kind))


@given(
    start=st.integers(0, 2000),
    step=st.integers(1, 40),
    steps=st.integers(4, 50),
    count=st.integers(0, 40),
    fill=st.sampled_from([-9999, -32768, 32767, 29999]),
)
def test_a_fill_lies_further_from_all_values_than_these_from_each_other(
    start: int, step: int, steps: int, count: int, fill: int
) -> None:
    ground = list(range(start, start + step * steps, step))
    values = np.array([*ground * 20, *[fill] * count], dtype=np.int16)
    fills = detect_fill(np.stack([values, values]))
    assert (fills is not None) == (count > 0 and (fill < 0 or count / len(values) >= 0.002))
    if fills is not None:
        assert fills.covers(np.array([[fill], [fill]]))
        assert not fills.covers(np.array([ground, ground])).any()


@pytest.mark.parametrize(
    "values",
    [
        [50, 60, 70, 2047],  # a bright airplane on dark ground
        [500, 600, 700, 10000],  # the same in reflectance
        [*[50, 60, 70] * 333, *[2000] * 10, 1500, 1700, 1900],  # one with edges, in a sensor that ends elsewhere
        [-9999, -9000, -8000],  # temperatures or heights: nothing lies apart
        [7, 7, 7],
        [*[40] * 300, *[250] * 8],  # a drawn scene: flat ground, and an airplane of one brightness
        [*[40] * 300, *[32767] * 8],
        [*[200] * 300, *[0] * 8],
    ],
)
def test_bright_ground_and_negative_scenes_have_no_fill(values: list[int]) -> None:
    assert detect_fill(np.array([values * 100], dtype=np.int16)) is None


def test_a_gap_of_zeros_inside_leaves_the_stretch_alone(tmp_path: Path) -> None:
    pixels = photo().astype(np.uint16) * 4 + 5000
    plain, _ = read(write_tiff(tmp_path / "plain.tif", pixels))
    pixels[100:250, 300:420] = 0
    gap, valid = read(write_tiff(tmp_path / "gap.tif", pixels))
    assert not valid[100:250, 300:420].any()
    np.testing.assert_allclose(gap[valid].astype(int), plain[valid], atol=3)


def test_one_band_at_the_fill_is_ground() -> None:
    assert not Fill(-9999.0, -math.inf, -4000.0).covers(np.array([[[-9999]], [[100]], [[100]]])).any()


def test_alpha_hides_ground_although_there_is_a_nodata_value(tmp_path: Path) -> None:
    """GDAL's masks know only the nodata value then."""
    pixels = np.dstack([photo(), np.where(CORNER, 0, 255).astype(np.uint8)])
    pixels[CORNER, :3] = 255
    uri = write_tiff(tmp_path / "scene.tif", pixels, nodata=0, photometric="RGB", alpha="YES")
    image, valid = read(uri)
    np.testing.assert_array_equal(valid, ~CORNER)
    assert not image[CORNER].any()


def test_white_nodata_makes_no_holes_in_white_airplanes(tmp_path: Path) -> None:
    pixels = photo()
    pixels[CORNER] = 255
    airplane = (slice(300, 310), slice(400, 460))
    pixels[airplane] = 255
    image, valid = read(write_tiff(tmp_path / "scene.tif", pixels, nodata=255))
    np.testing.assert_array_equal(valid, ~CORNER)
    assert (image[airplane] == 255).all()
    assert not image[CORNER].any()


def test_a_large_gap_of_white_nodata_inside_is_nodata(tmp_path: Path) -> None:
    pixels = photo()
    pixels[200:300, 200:300] = 255
    _, valid = read(write_tiff(tmp_path / "scene.tif", pixels, nodata=255))
    assert not valid[200:300, 200:300].any()
    assert valid.sum() == WIDTH * HEIGHT - 10_000


def test_a_scene_of_white_nodata_alone_is_not_ground(tmp_path: Path) -> None:
    _, valid = read(write_tiff(tmp_path / "scene.tif", np.full((HEIGHT, WIDTH, 3), 255, np.uint8), nodata=255))
    assert not valid.any()


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_negative_is_inverted(tmp_path: Path, kind: str) -> None:
    grey = photo()[..., :1]
    pixels = (255 - grey).astype(kind) * (1 if kind == "uint8" else 257)
    image, _ = read(write_tiff(tmp_path / "scene.tif", pixels, photometric="MINISWHITE"))
    np.testing.assert_array_equal(image, np.repeat(grey, 3, axis=2))


@pytest.mark.parametrize(
    ("descriptions", "bands"),
    [
        (("blue", "green", "red", "nir"), (3, 2, 1)),
        (("nir", "Red", "Green ", "BLUE"), (2, 3, 4)),
        (("b1", "b2", "b3", "b4"), (1, 2, 3)),
        (("red", "red", "green", "blue"), (1, 2, 3)),  # not one of each: file order
    ],
)
def test_bands_are_chosen_by_their_descriptions(
    tmp_path: Path, descriptions: tuple[str, ...], bands: tuple[int, ...]
) -> None:
    uri = write_tiff(tmp_path / "scene.tif", noise(64, 64, 4).astype(np.uint16), photometric="MINISBLACK")
    with rasterio.open(uri, "r+") as dataset:
        dataset.descriptions = descriptions
    assert read_header(uri).radiometry.bands == bands


def test_descriptions_and_colours_that_differ_are_refused(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", noise(64, 64), photometric="RGB")
    with rasterio.open(uri, "r+") as dataset:
        dataset.descriptions = ("blue", "green", "red")
    with pytest.raises(RasterError, match=r"\[1, 2, 3\] by colour interpretation and \[3, 2, 1\] by description: set"):
        read_header(uri)
    assert read_header(uri, bands=(3, 2, 1)).radiometry.bands == (3, 2, 1)


def write_stale_overview(path: Path, kind: str, stale: Any) -> str:
    """A scene whose overviews were built before these pixels (rows, columns) were written over it."""
    pixels = photo().astype(kind) * (1 if kind == "uint8" else 8)
    old = pixels.copy()
    old[stale] = 0
    uri = write_tiff(path, old, overviews=(2, 4))
    with rasterio.open(uri, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(np.moveaxis(pixels, -1, 0))
    return uri


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize(
    "stale", [np.s_[:, :], np.s_[:, 300:], np.s_[250:, :300]], ids=["all black", "half", "a quarter"]
)
def test_a_stale_overview_is_named(tmp_path: Path, kind: str, stale: Any) -> None:
    uri = write_stale_overview(tmp_path / "scene.tif", kind, stale)
    with pytest.raises(RasterError, match=r"scene.tif: expected overviews of the image.*1 : [24].*gdaladdo -clean"):
        read_header(uri)


@pytest.mark.parametrize("resampling", ["nearest", "average", "gauss"])
def test_good_overviews_of_any_resampling_are_accepted(tmp_path: Path, resampling: str) -> None:
    uri = write_tiff(tmp_path / "scene.tif", noise(WIDTH, HEIGHT))
    with rasterio.open(uri, "r+") as dataset:
        dataset.build_overviews([2, 4, 8, 16], rasterio.enums.Resampling[resampling])
    read_header(uri)


def write_delivery(folder: Path, pixels: ImageArray, side: tuple[int, int], corner: str = "") -> str:
    """A Maxar delivery: two tiles side by side and an index; `side` is what the index says of rows and columns."""
    folder.mkdir(exist_ok=True)
    til = 'bandId = "RGB";\nnumTiles = 2;\ntileSizeX = 300;\ntileSizeY = 500;\ntileUnits = "Pixels";\n'
    for number, left in ((1, 0), (2, 300)):
        affine = AFFINE @ Affine.translation(left, 0)
        write_tiff(folder / f"t{number}.TIF", pixels[:, left : left + 300], affine=affine)
        til += (
            f'BEGIN_GROUP = TILE_{number}\n\tfilename = "t{number}.TIF";\n\tULColOffset = {left};\n\tULRowOffset = 0;\n'
            f"\tLRColOffset = {left + 299};\n\tLRRowOffset = {HEIGHT - 1};\nEND_GROUP = TILE_{number}\n"
        )
    (folder / "s.TIL").write_text(til + "END;\n")
    origin = corner or f"\tULX = {AFFINE.c + 0.25};\n\tULY = {AFFINE.f - 0.25};\n\tproductGSD = 0.5;\n"
    (folder / "s.IMD").write_text(
        f'version = "28.4";\nproductLevel = "LV2A";\nbitsPerPixel = 8;\nnumRows = {side[0]};\nnumColumns = {side[1]};\n'
        f"BEGIN_GROUP = MAP_PROJECTED_PRODUCT\n{origin}END_GROUP = MAP_PROJECTED_PRODUCT\nEND;\n"
    )
    return str(folder / "s.TIL")


def test_an_index_that_fits_its_tiles_is_read(tmp_path: Path) -> None:
    pixels = photo()
    image, _ = read(write_delivery(tmp_path / "good", pixels, (HEIGHT, WIDTH)))
    np.testing.assert_array_equal(image, pixels)


@pytest.mark.parametrize(
    ("side", "corner"),
    [
        ((HEIGHT, 300), ""),  # the size of one tile
        ((HEIGHT + 200, WIDTH + 200), ""),
        ((HEIGHT, WIDTH), "\tULX = 566000.25;\n\tULY = 5929999.75;\n\tproductGSD = 0.5;\n"),  # a kilometre off
        ((HEIGHT, WIDTH), "\tproductGSD = 0.5;\n"),
    ],
)
def test_an_index_that_contradicts_its_tiles_is_refused(tmp_path: Path, side: tuple[int, int], corner: str) -> None:
    uri = write_delivery(tmp_path / "bad", photo(), side, corner)
    with pytest.raises(RasterError, match=r"s.TIL: expected an index that fits its tiles, got .*: fetch"):
        read_header(uri)


def test_a_file_with_further_pages_is_refused(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", noise(64, 64))
    profile = {"width": 64, "height": 64, "count": 3, "dtype": "uint8", "crs": "EPSG:32632", "transform": AFFINE}
    with rasterio.open(uri, "w", driver="GTiff", APPEND_SUBDATASET="YES", **profile) as dataset:
        dataset.write(np.moveaxis(noise(64, 64, seed=2), -1, 0))
    with pytest.raises(RasterError, match=r"one image, got 2 \(GTIFF_DIR:1:.*gdal_translate"):
        read_header(uri)


def test_colours_stay_when_only_alpha_is_named(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", noise(64, 64, 4), photometric="RGB", alpha="YES")
    with rasterio.open(uri) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    assert read_header(uri).radiometry.bands == (1, 2, 3)


@pytest.mark.parametrize(
    ("kind", "gain", "value"),
    [
        ("uint8", 1, 0),
        ("uint8", 1, 1),
        ("uint8", 1, 100),
        ("uint16", 8, 1),
        ("uint16", 8, 65535),
        ("float32", 1 / 255, -1.0),
    ],
)
def test_nodata_that_only_the_item_states_is_used(tmp_path: Path, kind: str, gain: float, value: float) -> None:
    pixels = (photo() * gain).astype(kind)
    pixels[CORNER] = value
    tagged = write_tiff(tmp_path / "tagged.tif", pixels, nodata=value)
    uri = write_tiff(tmp_path / "scene.tif", pixels)
    header = read_header(uri, nodata=value)
    with RasterReader(uri, header.radiometry) as reader:
        np.testing.assert_array_equal(reader.read_valid_mask(TILE), ~CORNER)
        np.testing.assert_array_equal(reader.read_tile(TILE), read(tagged)[0])
    assert read_header(tagged, nodata=value).radiometry.fill is None


def test_white_nodata_that_only_the_item_states_makes_no_holes(tmp_path: Path) -> None:
    pixels = photo()
    pixels[CORNER] = 255
    pixels[300:310, 400:460] = 255
    tagged = write_tiff(tmp_path / "tagged.tif", pixels, nodata=255)
    uri = write_tiff(tmp_path / "scene.tif", pixels)
    header = read_header(uri, nodata=255)
    with RasterReader(uri, header.radiometry) as reader:
        np.testing.assert_array_equal(reader.read_valid_mask(TILE), ~CORNER)
        np.testing.assert_array_equal(reader.read_tile(TILE), read(tagged)[0])


def test_nodata_that_the_type_cannot_hold_changes_nothing(tmp_path: Path) -> None:
    pixels = photo()
    pixels[CORNER] = 255
    image, valid = read(write_tiff(tmp_path / "scene.tif", pixels.astype(np.uint16), nodata=65535))
    assert valid.all()
    np.testing.assert_array_equal(image[CORNER], 255)


def test_nodata_of_item_and_file_that_differ_are_refused(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", photo(), nodata=0)
    with pytest.raises(
        RasterError, match=r"scene.tif: expected the nodata value 255, as in its STAC item, got \[0.0\]"
    ):
        read_header(uri, nodata=255.0)
