import math
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geo.errors import RasterError
from geo.georef import GeoReference
from geo.grid import Level, Tile, Tiling, plan_tiles
from geo.raster.header import read_header, read_size
from geo.raster.reader import RasterReader, read_image
from geo.types import ImageArray, Window
from tests.geo.scenes import AFFINE, area_average, blob, centroid, coordinates, noise, write_tiff

TILING = Tiling((1.0,), tile_px=64, halo_px=12, align_px=8)
OVERVIEWS = [(), (2, 4)]
WIDTH, HEIGHT = 251, 187  # odd, so that no overview is exactly half


def level_at(scale: float, width: int = WIDTH, height: int = HEIGHT, halved: bool = False) -> Level:
    """A level with about this many scene pixels per level pixel."""
    columns, rows = (math.ceil(n / scale) if halved else round(n / scale) for n in (width, height))
    return Level(1.0, columns, rows, width / columns, height / rows, math.inf)


LEVELS = [level_at(4, halved=True), level_at(2, halved=True), level_at(2), level_at(1.5), level_at(1), level_at(0.5)]
levels = pytest.mark.parametrize("level", LEVELS, ids=lambda level: f"{level.scale_x:.3f}")
overviews = pytest.mark.parametrize("decimations", OVERVIEWS, ids=["plain", "overviews"])


def full(reader: RasterReader, level: Level) -> ImageArray:
    return reader.read_window(Window(0, 0, level.width, level.height), level)


@levels
@overviews
def test_tile_pixels_show_their_scene_coordinates(tmp_path: Path, level: Level, decimations: tuple[int, ...]) -> None:
    """Red and green encode the scene's column and row, up to its edges."""
    uri = write_tiff(tmp_path / "scene.tif", coordinates(WIDTH, HEIGHT), overviews=decimations)
    with RasterReader(uri) as reader:
        for tile in plan_tiles(level, TILING):
            shown = tile.window.intersection(Window(0, 0, level.width, level.height))
            image = reader.read_tile(tile).astype(np.float64)[: shown.height, : shown.width]
            x = (np.arange(shown.col, shown.right) + 0.5) * level.scale_x - 0.5
            y = (np.arange(shown.row, shown.bottom) + 0.5) * level.scale_y - 0.5
            off_x, off_y = image[..., 0] - x[None], image[..., 1] - y[:, None]
            # Grey values are integers, so averages are rounded, once for each overview.
            assert max(np.abs(off_x).max(), np.abs(off_y).max()) <= 0.76 + 0.5 * len(decimations)
            assert max(abs(off_x.mean()), abs(off_y.mean())) < (0.3 if level.scale_x > 1 else 0.01)


@overviews
@pytest.mark.parametrize("scale", [2.0, 1.5, 1.0, 0.5])
@pytest.mark.parametrize("position", [(20.3, 21.6), (231.4, 20.7), (230.6, 167.4), (121.25, 96.5)])
def test_a_feature_in_a_tile_maps_back_to_its_scene_pixel(
    tmp_path: Path, scale: float, position: tuple[float, float], decimations: tuple[int, ...]
) -> None:
    uri = write_tiff(tmp_path / "scene.tif", blob(WIDTH, HEIGHT, *position, sigma=5), overviews=decimations)
    level = level_at(scale)
    tiling = Tiling((1.0,), tile_px=128, halo_px=int(24 / scale), align_px=8)
    with RasterReader(uri) as reader:
        expected = [(tile, reader.read_tile(tile)) for tile in plan_tiles(level, tiling)]
    at = np.array([[position[0] / level.scale_x, position[1] / level.scale_y]])
    (tile, image) = next((tile, image) for tile, image in expected if tile.core.contains_points(at)[0])
    x, y = centroid(image)
    actual = ((tile.window.col + x) * level.scale_x, (tile.window.row + y) * level.scale_y)
    assert actual == pytest.approx(position, abs=0.05)


@levels
@overviews
def test_tiles_equal_a_read_of_the_level(tmp_path: Path, level: Level, decimations: tuple[int, ...]) -> None:
    uri = write_tiff(tmp_path / "scene.tif", noise(WIDTH, HEIGHT), overviews=decimations)
    with RasterReader(uri) as reader:
        everything = full(reader, level).astype(int)
        for tile in plan_tiles(level, TILING):
            window = tile.window
            expected = everything[window.row : window.bottom, window.col : window.right]
            image = reader.read_tile(tile).astype(int)
            assert np.abs(image[: expected.shape[0], : expected.shape[1]] - expected).max() <= 1
            assert not image[expected.shape[0] :].any()
            assert not image[:, expected.shape[1] :].any()


@pytest.mark.parametrize("scale", [3.3, 2.0, 1.9, 1.7, 1.5, 1.2])
@pytest.mark.parametrize("decimations", [(), (8,)], ids=["plain", "overviews too coarse"])
def test_coarser_pixels_are_area_averages(tmp_path: Path, scale: float, decimations: tuple[int, ...]) -> None:
    pixels = noise(WIDTH, HEIGHT)
    uri = write_tiff(tmp_path / "scene.tif", pixels, overviews=decimations)
    level = level_at(scale)
    with RasterReader(uri) as reader:
        off = np.abs(full(reader, level) - area_average(pixels, level.width, level.height))
    # GDAL's weights are slightly off in the last column and row of some scenes.
    assert off[:-1, :-1].max() <= 1


@pytest.mark.parametrize("scale", [1.7, 1.9, 1.99])
def test_an_overview_coarser_than_the_level_is_not_used(tmp_path: Path, scale: float) -> None:
    """GDAL would upsample the overview of 2 for these."""
    pixels = noise(WIDTH, HEIGHT)
    uri = write_tiff(tmp_path / "scene.tif", pixels, overviews=(2, 4))
    level = level_at(scale)
    with RasterReader(uri) as reader:
        off = np.abs(full(reader, level) - area_average(pixels, level.width, level.height))
    assert off[:-1, :-1].max() <= 1


@pytest.mark.parametrize(("scale", "decimation"), [(2, 2), (3, 2), (3.9, 2), (4, 4), (7, 4)])
def test_the_coarsest_fitting_overview_is_used(tmp_path: Path, scale: float, decimation: int) -> None:
    """The overviews are overwritten with constants, so that they differ from the scene."""
    uri = write_tiff(tmp_path / "scene.tif", noise(256, 128), overviews=(2, 4))
    for position, value in enumerate((20, 40)):
        _paint_overview(uri, position, value)
    level = level_at(scale, 256, 128)
    with RasterReader(uri) as reader:
        assert set(np.unique(full(reader, level))) == {decimation * 10}


def _paint_overview(uri: str, position: int, value: int) -> None:
    with rasterio.open(uri, "r+", overview_level=position) as overview:
        overview.write(np.full((3, overview.height, overview.width), value, dtype=np.uint8))


def test_native_pixels_are_copied(tmp_path: Path) -> None:
    pixels = noise(WIDTH, HEIGHT)
    uri = write_tiff(tmp_path / "scene.tif", pixels, overviews=(2,))
    with RasterReader(uri) as reader:
        assert (full(reader, level_at(1)) == pixels).all()
        part = reader.read_window(Window(31, 17, 60, 70), level_at(1))
        assert (part == pixels[17:87, 31:91]).all()
        assert (full(reader, level_at(2, halved=True)).shape) == (94, 126, 3)


def test_oblong_pixels_are_read_at_their_coordinates(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", coordinates(WIDTH, HEIGHT))
    level = Level(1.0, 180, 300, WIDTH / 180, HEIGHT / 300)
    with RasterReader(uri) as reader:
        image = full(reader, level).astype(np.float64)
    off_x = image[..., 0] - ((np.arange(180) + 0.5) * level.scale_x - 0.5)[None]
    off_y = image[..., 1] - ((np.arange(300) + 0.5) * level.scale_y - 0.5)[:, None]
    assert max(np.abs(off_x).max(), np.abs(off_y).max()) <= 0.8
    assert max(abs(off_x.mean()), abs(off_y.mean())) < 0.05


def first_tile(width: int = WIDTH, height: int = HEIGHT) -> Tile:
    return next(plan_tiles(level_at(1, width, height), TILING))


def test_one_band_is_grey_and_bands_after_the_third_are_ignored(tmp_path: Path) -> None:
    pixels = noise(80, 70, bands=5)
    grey = write_tiff(tmp_path / "grey.tif", pixels[..., :1])
    many = write_tiff(tmp_path / "many.tif", pixels)
    tile = first_tile(80, 70)
    height, width = tile.window.height, tile.window.width
    with RasterReader(grey) as reader:
        assert (reader.read_tile(tile) == pixels[:height, :width, :1]).all()
    with RasterReader(many) as reader:
        image = reader.read_tile(tile)
    assert image.dtype == np.uint8
    assert image.shape == (height, width, 3)
    assert (image == pixels[:height, :width, :3]).all()


def test_tiles_of_nodata_are_empty(tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[:, 150:] = noise(WIDTH - 150, HEIGHT) | 1
    pixels[70, 10, 1] = 3  # one pixel, in one band
    uri = write_tiff(tmp_path / "scene.tif", pixels, nodata=0)
    level = level_at(1)
    with RasterReader(uri) as reader:
        for tile in plan_tiles(level, TILING):
            window = tile.window
            expected = pixels[window.row : window.bottom, window.col : window.right]
            assert reader.is_empty(tile) == (not expected.any())


def test_transparent_pixels_are_nodata(tmp_path: Path) -> None:
    pixels = noise(128, 64, bands=4)
    pixels[..., 3] = 255
    pixels[:, :64, 3] = 0
    uri = write_tiff(tmp_path / "scene.tif", pixels, alpha="yes", photometric="RGB")
    level = level_at(1, 128, 64)
    with RasterReader(uri) as reader:
        assert [
            reader.is_empty(Tile(level, Window(col, 0, 64, 64), Window(col, 0, 64, 64))) for col in (0, 32, 64)
        ] == [
            True,
            False,
            False,
        ]


def test_a_black_scene_without_nodata_is_not_empty(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
    with RasterReader(uri) as reader:
        assert not reader.is_empty(first_tile())


def test_the_overview_covers_the_scene(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", coordinates(WIDTH, HEIGHT), overviews=(2,))
    with RasterReader(uri) as reader:
        picture, full = reader.read_overview(50), reader.read_overview(4000)
        assert reader.size == (WIDTH, HEIGHT)
    assert picture.shape == (37, 50, 3)
    assert picture.dtype == np.uint8
    assert picture[0, 0, :2].tolist() == pytest.approx([2, 2], abs=1)
    assert picture[-1, -1, :2].tolist() == pytest.approx([WIDTH - 3, HEIGHT - 3], abs=1)
    assert full.shape == (HEIGHT, WIDTH, 3)


def test_bands_are_chosen_where_the_radiometry_is_derived_again(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", noise(40, 30, bands=4))
    with RasterReader(uri, bands=(3, 2, 1)) as reader:
        assert reader.radiometry == read_header(uri, bands=(3, 2, 1)).radiometry
        chosen = reader.read_overview(40)
    with RasterReader(uri) as reader:
        assert np.array_equal(chosen, reader.read_overview(40)[..., ::-1])


def test_an_image_is_read_unchanged_with_or_without_a_georeference(tmp_path: Path) -> None:
    pixels = noise(90, 70, bands=4)
    pixels[..., 3] |= 1  # alpha
    for name, affine in (("placed.tif", AFFINE), ("plain.tif", None)):
        uri = write_tiff(tmp_path / name, pixels, affine=affine, overviews=(2,))
        assert read_size(uri) == (90, 70)
        np.testing.assert_array_equal(read_image(uri), pixels[..., :3])
    two = write_tiff(tmp_path / "two.tif", pixels[..., :2])
    for read in (read_size, read_image):
        with pytest.raises(RasterError, match=r"two.tif: .*got 2"):
            read(two)


def test_the_header_holds_the_metadata(tmp_path: Path) -> None:
    turned = AFFINE @ Affine.rotation(30)
    uri = write_tiff(tmp_path / "scene.tif", noise(80, 70, bands=4), affine=turned)
    header = read_header(uri)
    assert (header.uri, header.width, header.height, header.bands, header.dtype) == (uri, 80, 70, 4, "uint8")
    assert isinstance(header.georef, GeoReference)
    assert header.georef.affine.almost_equals(turned)
    assert header.georef.crs.to_epsg() == 32632
    assert header.resolution_m == pytest.approx((0.5002, 0.5002), abs=1e-4)
    assert pickle.loads(pickle.dumps(header)) == header  # noqa: S301


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_plain_image_takes_a_given_resolution(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "photo.tif", noise(80, 70), crs=None, affine=None)
    header = read_header(uri, resolution_m=0.7)
    assert header.georef is None
    assert header.resolution_m == (0.7, 0.7)


def test_scene_ids_identify_the_content(tmp_path: Path) -> None:
    pixels = noise(WIDTH, HEIGHT)

    def scene_id(name: str, pixels: ImageArray = pixels, affine: Affine = AFFINE) -> str:
        return read_header(write_tiff(tmp_path / name, pixels, affine=affine)).scene_id

    first = scene_id("a.tif")
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert scene_id("copy.tif") == first
    last = pixels.copy()
    last[-1, -1, 2] ^= 1
    others = [
        scene_id("b.tif", last),
        scene_id("c.tif", affine=AFFINE @ Affine.translation(1, 0)),
        scene_id("d.tif", pixels[::-1]),
    ]
    assert len({first, *others}) == 4


def test_a_reader_can_be_entered_again(tmp_path: Path) -> None:
    uri = write_tiff(tmp_path / "scene.tif", noise(WIDTH, HEIGHT))
    reader = RasterReader(uri)
    for _ in range(2):
        with reader:
            assert reader.read_tile(first_tile()).any()


def test_opening_a_missing_file_is_a_raster_error(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="no such file"), RasterReader(str(tmp_path / "gone.tif")):
        pass


def test_vsi_paths_are_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(write_tiff(tmp_path / "a.tif", noise(40, 30)), "a.tif")
    with pytest.raises(RasterError, match=r"a\.tif: expected a raster, got no such file"):
        read_header(f"/vsizip/{tmp_path}/a.zip/a.tif")
