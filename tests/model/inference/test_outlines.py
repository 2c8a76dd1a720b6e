"""Airplanes of a rendered scene, measured by the packaged keypoint model, whatever the raster."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.vrt import WarpedVRT

from geo.errors import RasterError
from geo.georef import BaseGeoReference
from geo.outline import rectangle
from geo.raster.header import read_header
from geo.raster.reader import RasterReader
from geo.types import FloatArray
from model import synthetic
from model.inference.outlines import MIN_SIDE_PX, Outline, measure_outlines

MODEL = "keypoints"
SIZE_PX = 1500


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outlines") / "scene.tif"
    synthetic.write(synthetic.render(SIZE_PX, seed=6100, resolution_m=0.5), path)
    return path


def truth_of(scene: Path) -> list[dict[str, float]]:
    content = json.loads(scene.with_suffix(".truth.geojson").read_text())
    return [feature["properties"] for feature in content["features"]]


def write_variant(scene: Path, name: str) -> Path:
    """The same ground in another raster."""
    path = scene.with_name(f"{name}.tif")
    with rasterio.open(scene) as source:
        pixels, transform, crs = source.read(), source.transform, source.crs
        if name == "degrees":
            with WarpedVRT(source, crs="EPSG:4326", resampling=rasterio.enums.Resampling.bilinear) as warped:
                pixels, transform, crs = warped.read(), warped.transform, warped.crs
    if name == "south up":
        pixels, transform = pixels[:, ::-1], transform @ Affine.translation(0, SIZE_PX) @ Affine.scale(1, -1)
    if name == "turned":
        pixels = np.rot90(pixels, axes=(1, 2))
        transform = transform @ Affine.translation(SIZE_PX, 0) @ Affine.rotation(90)
    _, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": crs, "transform": transform}
    with rasterio.open(path, "w", width=width, height=height, **profile) as target:
        target.write(pixels)
    return path


def georef_of(path: Path) -> BaseGeoReference:
    georef = read_header(str(path)).georef
    assert georef is not None
    return georef


def boxes_in(georef: BaseGeoReference, scene: Path) -> FloatArray:
    """The truth's boxes in the pixels of another raster of the same ground."""
    own = georef_of(scene)
    boxes = []
    for airplane in truth_of(scene):
        ends = np.array([airplane[name] for name in ("nose_px", "tail_px", "left_px", "right_px")])
        moved = georef.lonlat_to_pixel(own.pixel_to_lonlat(ends))
        boxes.append([*moved.min(axis=0), *moved.max(axis=0)])
    return np.array(boxes)


def measure_all(reader: RasterReader, georef: BaseGeoReference, boxes: FloatArray) -> list[Outline | None]:
    outlines = measure_outlines(reader, georef, boxes, MODEL)
    assert not any(isinstance(outline, RasterError) for outline in outlines)
    return cast("list[Outline | None]", outlines)


def measured(path: Path, scene: Path) -> list[Outline | None]:
    georef = georef_of(path)
    with RasterReader(str(path)) as reader:
        return measure_all(reader, georef, boxes_in(georef, scene))


def errors(outlines: Sequence[Outline | None], scene: Path) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Errors of heading, degrees, and of length and wingspan, relative; of those that were measured."""
    rows = []
    for outline, airplane in zip(outlines, truth_of(scene), strict=True):
        if outline is not None and outline.heading_deg is not None:
            heading = (outline.heading_deg - airplane["heading_deg"] + 180) % 360 - 180
            length = outline.length_m / airplane["length_m"] - 1
            rows.append((heading, length, outline.wingspan_m / airplane["wingspan_m"] - 1))
    heading, length, wingspan = np.abs(np.array(rows)).T
    return heading, length, wingspan


@pytest.mark.parametrize("raster", ["as it is", "south up", "turned", "degrees"])
def test_measures_do_not_depend_on_the_raster(scene: Path, raster: str) -> None:
    path = scene if raster == "as it is" else write_variant(scene, raster)
    outlines = measured(path, scene)
    assert len(outlines) >= 15
    heading, length, wingspan = errors(outlines, scene)
    assert len(heading) >= 0.9 * len(outlines)
    assert np.median(heading) < 1.5
    assert (heading > 90).sum() == 0
    assert np.median(length) < 0.05
    assert np.median(wingspan) < 0.05


def test_two_thirds_of_the_errors_are_within_the_expected_one(scene: Path) -> None:
    ratios = []
    for outline, airplane in zip(measured(scene, scene), truth_of(scene), strict=True):
        if outline is not None:
            ratios.append(abs(outline.length_m - airplane["length_m"]) / outline.length_sd_m)
            ratios.append(abs(outline.wingspan_m - airplane["wingspan_m"]) / outline.wingspan_sd_m)
    assert 0.4 < np.mean(np.array(ratios) < 1) < 0.95


def test_small_airplanes_are_not_measured_and_those_at_the_edge_are(scene: Path) -> None:
    georef = georef_of(scene)
    boxes = np.array([[700, 700, 700 + MIN_SIDE_PX - 0.1, 705], [0, 0, 60, 60], [SIZE_PX - 60, 20, SIZE_PX, 70]])
    with RasterReader(str(scene)) as reader:
        small, *others = measure_all(reader, georef, boxes)
        assert measure_all(reader, georef, boxes[:0]) == []
    assert small is None
    assert all(outline is None or np.isfinite(outline.points).all() for outline in others)


def test_an_outline_that_contradicts_the_box_is_not_taken(scene: Path) -> None:
    georef = georef_of(scene)
    boxes = boxes_in(georef, scene)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    # As if a detection lay beside the airplane.
    beside = boxes + 0.45 * sides[:, None]
    inside = (beside[:, :2] > 0).all(axis=1) & (beside[:, 2:] < SIZE_PX).all(axis=1) & (sides > 30)
    with RasterReader(str(scene)) as reader:
        measured = measure_all(reader, georef, boxes[inside])
        displaced = measure_all(reader, georef, beside[inside])
    assert inside.sum() > 5
    assert all(outline is not None for outline in measured)
    middles = (beside[inside, :2] + beside[inside, 2:]) / 2
    for outline, middle, side in zip(displaced, middles, sides[inside], strict=True):
        assert outline is None or np.linalg.norm(rectangle(outline.points).mean(axis=0) - middle) < 0.3 * side
    assert None in displaced


def test_airplanes_are_measured_one_by_one(scene: Path) -> None:
    georef = georef_of(scene)
    boxes = boxes_in(georef, scene)
    with RasterReader(str(scene)) as reader:
        together = measure_all(reader, georef, boxes)
        for number in (0, 7):
            (alone,) = measure_all(reader, georef, boxes[[number]])
            one = together[number]
            assert alone is not None
            assert one is not None
            assert (alone.length_m, alone.heading_deg) == (one.length_m, one.heading_deg)
