"""One rendered airport in many forms: other data types, bands, edges, projections, resolutions and formats.

Each case writes the same ground and sets the tolerances within which its airplanes must agree with those of the
reference scene: 8 bits, red, green and blue, north up, UTM. `tests/integration/test_imagery.py` checks every case;
`tests/benchmarks/imagery.py` prints the table of `docs/results.md`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.rpc import RPC
from rasterio.warp import calculate_default_transform, reproject

from geo.raster.header import read_header
from geo.raster.writer import mosaic_vrt
from geo.types import FloatArray, ImageArray
from model import synthetic as render
from model.inference.predictor import Predictor
from pipeline import local, planning
from pipeline.config import PipelineConfig
from pipeline.ledger import SceneResult
from pipeline.records import Airplane
from pipeline.values import Identity, Scene, SceneSource

SIZE, SEED, RESOLUTION = 1300, 5, 0.5
GEOD = Geod(ellps="WGS84")
Pixels = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Reference:
    """The scene from which the variants are made: pixels (H, W, 3), affine and CRS."""

    pixels: ImageArray
    affine: Affine
    crs: str


@dataclasses.dataclass(frozen=True)
class Variant:
    """A written scene: its file, an independent pixel-to-lon/lat function, and the settings that it needs."""

    path: Path
    lonlat: Callable[[FloatArray], FloatArray]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Case:
    """One form of the scene.

    Attributes:
        name: name of the case.
        write: writes the scene into a folder.
        score: largest difference of an airplane's scores.
        metres: largest distance of an airplane's centres.
        lost: most airplanes that may be missing, and most that may be additional.
    """

    name: str
    write: Callable[[Path, Reference], Variant]
    score: float = 0.05
    metres: float = 0.3
    lost: int = 0


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How the airplanes of a case agree with those of the reference scene."""

    detected: int
    matched: int
    score: float
    metres: float
    placed_m: float
    round_trip_px: float


def reference_scene() -> Reference:
    scene = render.render(SIZE, SEED, RESOLUTION)
    pixels = np.concatenate([block for _, block in render.paint_blocks(scene)], axis=1)
    georef = scene.georef
    return Reference(pixels, georef.affine, georef.crs.to_string())


def write(path: Path, pixels: Pixels, affine: Affine | None, crs: str | None, **profile: Any) -> Path:
    """Write pixels (H, W, B) as a GeoTIFF."""
    height, width, bands = pixels.shape
    layout = {"driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": pixels.dtype.name}
    packing = {"compress": "deflate", "tiled": True, "blockxsize": 256, "blockysize": 256, **profile}
    with rasterio.open(path, "w", **layout, **packing, crs=crs, transform=affine) as dataset:
        dataset.write(np.moveaxis(pixels, -1, 0))
    return path


def by_affine(affine: Affine, crs: str) -> Callable[[FloatArray], FloatArray]:
    to_lonlat = Transformer.from_crs(CRS(crs).to_2d(), "OGC:CRS84", always_xy=True)
    return lambda xy: np.array([to_lonlat.transform(*(affine @ (x, y))) for x, y in xy.tolist()])


def as_is(change: Callable[[ImageArray], Pixels], **profile: Any) -> Callable[[Path, Reference], Variant]:
    """The grid of the reference scene with other pixels."""

    def write_variant(folder: Path, reference: Reference) -> Variant:
        path = write(folder / "scene.tif", change(reference.pixels), reference.affine, reference.crs, **profile)
        return Variant(path, by_affine(reference.affine, reference.crs))

    return write_variant


def scaled(kind: str, gain: float, offset: float = 0.0) -> Callable[[Path, Reference], Variant]:
    return as_is(lambda pixels: (pixels * np.float64(gain) + offset).round(6 if kind == "float32" else 0).astype(kind))


def placed(swap: Affine, turn: Callable[[ImageArray], ImageArray]) -> Callable[[Path, Reference], Variant]:
    """The same ground with its pixels in another order; `swap` maps pixel coordinates back to the reference."""

    def write_variant(folder: Path, reference: Reference) -> Variant:
        affine = reference.affine @ swap
        path = write(folder / "scene.tif", np.ascontiguousarray(turn(reference.pixels)), affine, reference.crs)
        return Variant(path, by_affine(affine, reference.crs))

    return write_variant


def warped(
    crs: str, affine: Affine, size: tuple[int, int], folder: Path, reference: Reference, **profile: Any
) -> Variant:
    """The same ground on another grid, resampled."""
    pixels = np.zeros((3, size[1], size[0]), np.uint8)
    grid = {"src_transform": reference.affine, "src_crs": reference.crs, "dst_transform": affine, "dst_crs": crs}
    reproject(np.moveaxis(reference.pixels, -1, 0), pixels, **grid, resampling=Resampling.cubic)
    path = write(folder / "scene.tif", np.moveaxis(pixels, 0, -1), affine, crs, **profile)
    return Variant(path, by_affine(affine, crs))


def on_map(crs: str) -> Callable[[Path, Reference], Variant]:
    def write_variant(folder: Path, reference: Reference) -> Variant:
        bounds = rasterio.transform.array_bounds(SIZE, SIZE, reference.affine)
        affine, width, height = calculate_default_transform(reference.crs, crs, SIZE, SIZE, *bounds)
        return warped(crs, affine, (width, height), folder, reference)

    return write_variant


def on_grid(shape: Affine, size: tuple[int, int]) -> Callable[[Path, Reference], Variant]:
    """A grid around the scene's centre; `shape` in metres from there, y up."""

    def write_variant(folder: Path, reference: Reference) -> Variant:
        centre = reference.affine @ (SIZE / 2, SIZE / 2)
        affine = Affine.translation(*centre) @ shape @ Affine.translation(-size[0] / 2, -size[1] / 2)
        return warped(reference.crs, affine, size, folder, reference)

    return write_variant


def at_resolution(metres: float) -> Callable[[Path, Reference], Variant]:
    def write_variant(folder: Path, reference: Reference) -> Variant:
        side = round(SIZE * RESOLUTION / metres)
        affine = reference.affine @ Affine.scale(SIZE / side)
        pixels = np.zeros((3, side, side), np.uint8)
        grid = {
            "src_transform": reference.affine,
            "dst_transform": affine,
            "src_crs": reference.crs,
            "dst_crs": reference.crs,
        }
        resampling = Resampling.average if metres > RESOLUTION else Resampling.cubic
        reproject(np.moveaxis(reference.pixels, -1, 0), pixels, **grid, resampling=resampling)
        path = write(folder / "scene.tif", np.moveaxis(pixels, 0, -1), affine, reference.crs)
        return Variant(path, by_affine(affine, reference.crs))

    return write_variant


def with_bands(order: tuple[int, ...], from_settings: bool) -> Callable[[Path, Reference], Variant]:
    """Eight bands, three of which are colours, in this order; known from the settings or from the file."""

    def write_variant(folder: Path, reference: Reference) -> Variant:
        noise = np.random.default_rng(1).integers(1, 255, (SIZE, SIZE, 8), dtype=np.uint8)
        for colour, band in enumerate(order):
            noise[..., band - 1] = reference.pixels[..., colour]
        path = write(folder / "scene.tif", noise, reference.affine, reference.crs)
        if from_settings:
            return Variant(path, by_affine(reference.affine, reference.crs), {"bands": order})
        with rasterio.open(path, "r+") as dataset:
            colours = dict(zip(order, (ColorInterp.red, ColorInterp.green, ColorInterp.blue), strict=True))
            dataset.colorinterp = [colours.get(band, ColorInterp.undefined) for band in range(1, 9)]
        return Variant(path, by_affine(reference.affine, reference.crs))

    return write_variant


def grey(pixels: ImageArray) -> Pixels:
    return np.asarray((pixels @ np.array([0.3, 0.59, 0.11]))[..., None].round(), dtype=np.uint8)


def copied(name: str, driver: str, **options: Any) -> Callable[[Path, Reference], Variant]:
    """The reference scene in another format."""

    def write_variant(folder: Path, reference: Reference) -> Variant:
        source = write(folder / "plain.tif", reference.pixels, reference.affine, reference.crs)
        rasterio.shutil.copy(source, folder / name, driver=driver, **options)
        return Variant(folder / name, by_affine(reference.affine, reference.crs))

    return write_variant


def turned_in_a_frame(nodata: str) -> Callable[[Path, Reference], Variant]:
    """The scene turned by 20 degrees in a larger, north-up frame; the frame is nodata, or just black."""

    def write_variant(folder: Path, reference: Reference) -> Variant:
        side = math.ceil(SIZE * (math.cos(math.radians(20)) + math.sin(math.radians(20)))) + 60
        frame = reference.affine @ Affine.translation(SIZE / 2, SIZE / 2) @ Affine.rotation(20)
        affine = frame @ Affine.translation(-side / 2, -side / 2)
        variant = warped(reference.crs, affine, (side, side), folder, reference)
        if nodata != "black":
            _mark_nodata(variant.path, nodata, reference, affine, side)
        return variant

    return write_variant


def _mark_nodata(path: Path, kind: str, reference: Reference, affine: Affine, side: int) -> None:
    inside = np.zeros((side, side), np.uint8)
    grid = {
        "src_transform": reference.affine,
        "dst_transform": affine,
        "src_crs": reference.crs,
        "dst_crs": reference.crs,
    }
    reproject(np.full((SIZE, SIZE), 255, np.uint8), inside, **grid, resampling=Resampling.nearest)
    with rasterio.open(path) as dataset:
        pixels, crs = dataset.read(), dataset.crs
    if kind == "alpha":
        with_alpha = np.moveaxis(np.concatenate([pixels, inside[None]]), 0, -1)
        write(path, with_alpha, affine, crs, photometric="RGB", alpha="yes")
    elif kind == "nodata":
        pixels = np.where(inside > 0, np.maximum(pixels, 1), 0)
        write(path, np.moveaxis(pixels, 0, -1), affine, crs, nodata=0)
    elif kind == "NaN":
        values = np.where(inside > 0, pixels.astype(np.float32), np.nan)
        write(path, np.moveaxis(values, 0, -1), affine, crs)
    else:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(inside)


def four_files(folder: Path, reference: Reference) -> Variant:
    """Four adjacent files as one scene, as `--mosaic` makes it; their seams run through airplanes."""
    headers = []
    for row, col in ((0, 0), (0, 611), (555, 0), (555, 611)):
        pixels = reference.pixels[row : SIZE if row else 555, col : SIZE if col else 611]
        path = write(
            folder / f"{row}-{col}.tif", pixels, reference.affine @ Affine.translation(col, row), reference.crs
        )
        headers.append(read_header(str(path)))
    (folder / "scene.vrt").write_text(mosaic_vrt(headers), encoding="utf-8")
    return Variant(folder / "scene.vrt", by_affine(reference.affine, reference.crs))


def by_control_points(*lines: float) -> Callable[[Path, Reference], Variant]:
    """No affine, but control points where these lines (fractions of the side) cross."""

    def write_variant(folder: Path, reference: Reference) -> Variant:
        path = write(folder / "scene.tif", reference.pixels, None, None)
        corners = [(x * SIZE, y * SIZE) for x in lines for y in lines]
        points = [GroundControlPoint(y, x, *(reference.affine @ (x, y))) for x, y in corners]
        with rasterio.open(path, "r+") as dataset:
            dataset.gcps = (points, rasterio.crs.CRS.from_string(reference.crs))
        return Variant(path, by_affine(reference.affine, reference.crs))

    return write_variant


def by_rpcs(folder: Path, reference: Reference) -> Variant:
    """No affine, but RPCs fitted to it; their origin is the centre of the first pixel."""
    lonlat = by_affine(reference.affine, reference.crs)
    side = np.linspace(0, SIZE, 9)
    xy = np.array([(x, y) for x in side for y in side])
    ground_points = lonlat(xy)
    centre, half = ground_points.mean(axis=0), np.ptp(ground_points, axis=0) / 2
    lon, lat = ((ground_points - centre) / half).T
    # The terms of a numerator in their order: 1, longitude, latitude, height, ... ; the ground is flat at height 0.
    terms = {0: np.ones_like(lon), 1: lon, 2: lat, 4: lon * lat, 7: lon**2, 8: lat**2}
    terms |= {11: lon**3, 12: lon * lat**2, 14: lon**2 * lat, 15: lat**3}
    numerators = []
    for values in ((xy - 0.5 - SIZE / 2) / (SIZE / 2)).T:
        fitted = np.linalg.lstsq(np.column_stack(list(terms.values())), values, rcond=None)[0]
        numerators.append([dict(zip(terms, fitted.tolist(), strict=True)).get(power, 0.0) for power in range(20)])
    denominator = [1.0] + [0.0] * 19
    scale = {"line_off": SIZE / 2, "samp_off": SIZE / 2, "line_scale": SIZE / 2, "samp_scale": SIZE / 2}
    ground = {"long_off": centre[0], "lat_off": centre[1], "long_scale": half[0], "lat_scale": half[1]}
    ratios = {"samp_num_coeff": numerators[0], "line_num_coeff": numerators[1], "samp_den_coeff": denominator}
    rpcs = RPC(**ratios, line_den_coeff=denominator, **scale, **ground, height_off=0.0, height_scale=500.0)
    path = write(folder / "scene.tif", reference.pixels, None, None, rpcs=rpcs)
    return Variant(path, lonlat, {"rpc_height_m": 0.0})


def identity(pixels: ImageArray) -> ImageArray:
    return pixels


def white_border(pixels: ImageArray) -> ImageArray:
    """Return the scene with a border that is thinner than the cells in which borders are looked for."""
    return np.pad(pixels[1:-1, 1:-1], ((1, 1), (1, 1), (0, 0)), constant_values=255)


def is_point(folder: Path, reference: Reference) -> Variant:
    """The file declares PixelIsPoint: the transform gives the centres of pixels."""
    path = write(folder / "scene.tif", reference.pixels, reference.affine, reference.crs)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    return Variant(path, by_affine(reference.affine, reference.crs))


# Resampling changes scores and boxes a little. The centre of the upright box around a turned airplane lies elsewhere on
# the airplane.
RESAMPLED: dict[str, Any] = {"score": 0.3, "metres": 1.5, "lost": 1}
TURNED: dict[str, Any] = {"score": 0.3, "metres": 4.5, "lost": 1}
# The same, with nodata beside it.
AROUND: dict[str, Any] = {"score": 0.2, "metres": 3.0, "lost": 0}
# A mirrored airplane is another image: a level may contribute to the box of one and not to that of the other.
MIRRORED: dict[str, Any] = RESAMPLED | {"metres": 2.2}
CASES = (
    Case("8 bits, north up, UTM", as_is(identity)),
    Case("11 bits in uint16", scaled("uint16", 2047 / 255)),
    Case("12 bits in uint16", scaled("uint16", 4095 / 255)),
    Case("16 bits", scaled("uint16", 257)),
    Case("int16", scaled("int16", 16)),
    Case("float32 from 0 to 1", scaled("float32", 1 / 255)),
    Case("11 bits, a third of their range", scaled("uint16", 2.7, 210), **RESAMPLED),
    Case("8 bands, colours told by the file", with_bands((5, 3, 2), from_settings=False)),
    Case("8 bands, bands: [5, 3, 2]", with_bands((5, 3, 2), from_settings=True)),
    Case("one band", as_is(grey), **RESAMPLED),
    Case("nodata around", turned_in_a_frame("nodata"), **AROUND),
    Case("alpha around", turned_in_a_frame("alpha"), **AROUND),
    Case("mask around", turned_in_a_frame("mask"), **AROUND),
    Case("NaN around", turned_in_a_frame("NaN"), **AROUND),
    Case("black around", turned_in_a_frame("black"), **AROUND),
    Case("a border of one white pixel, nodata 255", as_is(white_border, nodata=255), metres=1.0),
    Case("south up", placed(Affine(1, 0, 0, 0, -1, SIZE), lambda pixels: pixels[::-1]), **MIRRORED),
    Case("turned by 90 degrees", placed(Affine(0, 1, 0, 1, 0, 0), lambda pixels: pixels.swapaxes(0, 1)), **RESAMPLED),
    Case("turned by 33 degrees", on_grid(Affine.rotation(33) @ Affine.scale(0.5, -0.5), (1830, 1830)), **TURNED),
    Case("sheared", on_grid(Affine.shear(8, 0) @ Affine.scale(0.5, -0.5), (1500, 1300)), **RESAMPLED),
    Case("pixels of 0.4 by 0.6 m", on_grid(Affine.scale(0.4, -0.6), (1625, 1084)), **RESAMPLED),
    Case("PixelIsPoint", is_point),
    Case("25 ground control points, thin plate", by_control_points(0, 0.2, 0.5, 0.7, 1)),
    Case("4 ground control points, polynomial", by_control_points(0, 1)),
    Case("RPCs, rpc_height_m: 0", by_rpcs),
    Case("degrees (EPSG:4326)", on_map("EPSG:4326"), **RESAMPLED),
    Case("Web Mercator", on_map("EPSG:3857"), **RESAMPLED),
    Case("polar stereographic", on_map("EPSG:3995"), **TURNED),
    Case("0.15 m", at_resolution(0.15), **RESAMPLED),
    Case("0.3 m", at_resolution(0.3), **RESAMPLED),
    Case("1 m", at_resolution(1.0), **RESAMPLED),
    Case("3 m", at_resolution(3.0), score=1.0, metres=4.5, lost=28),
    Case("COG", copied("scene.tif", "COG")),
    Case("JPEG 2000", copied("scene.jp2", "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")),
    Case("VRT", copied("scene.vrt", "VRT")),
    Case("four files, --mosaic", four_files),
)


def detect(
    path: str, config: PipelineConfig, predictor: Predictor, identity: Identity, settings: dict[str, Any]
) -> tuple[Scene, SceneResult]:
    config = dataclasses.replace(config, **settings)
    scene = planning.open_scene(SceneSource(path), config)
    return scene, local.detect_scene(scene, config, predictor, identity)


def agreement(
    detected: tuple[Airplane, ...], expected: tuple[Airplane, ...], scene: Scene, variant: Variant
) -> Agreement:
    """Match airplanes by position, nearest first, at most 5 m apart; compare the georeference with the other one."""
    distances = np.array([[_metres(first, column) for column in expected] for first in detected]).reshape(
        len(detected), len(expected)
    )
    scores, metres = [0.0], [0.0]
    while distances.size and distances.min() < 5:
        row, column = np.unravel_index(distances.argmin(), distances.shape)
        metres.append(float(distances[row, column]))
        scores.append(abs(detected[row].score - expected[column].score))
        distances[row, :] = distances[:, column] = np.inf
    width, height = scene.header.width, scene.header.height
    xy = np.array([[0.0, 0], [width, 0], [width, height], [0, height], [width * 0.3, height * 0.7]])
    lonlat, independent = scene.georef.pixel_to_lonlat(xy), variant.lonlat(xy)
    off = GEOD.inv(*lonlat.T, *independent.T)[2]
    back = scene.georef.lonlat_to_pixel(lonlat, (width / 2, height / 2))
    return Agreement(
        len(detected), len(metres) - 1, max(scores), max(metres), float(np.max(off)), float(np.abs(back - xy).max())
    )


def _metres(first: Airplane, column: Airplane) -> float:
    a, b = first.geometry.centroid, column.geometry.centroid
    return float(GEOD.inv(a.x, a.y, b.x, b.y)[2])
