import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Proj
from shapely.geometry import shape as geometry

from geo.boxes import iou_matrix
from geo.errors import ConfigError, OutputError
from geo.types import ImageArray, Window
from model.synthetic import SampleScene, paint_blocks, paint_window, render, truth, write

SIZE, SEED = 1400, 11


@cache
def scene() -> SampleScene:
    return render(SIZE, SEED)


@cache
def pixels() -> ImageArray:
    return paint_window(scene(), Window(0, 0, SIZE, SIZE))


def features() -> list[dict[str, Any]]:
    collection: list[dict[str, Any]] = truth(scene())["features"]
    return collection


def boxes() -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    names = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
    return np.array([[feature["properties"][name] for name in names] for feature in features()])


@pytest.mark.parametrize("block_px", [512, 700, 4096])
def test_pixels_do_not_depend_on_the_block_size(block_px: int) -> None:
    painted = np.zeros_like(pixels())
    covered = np.zeros(painted.shape[:2], dtype=int)
    for window, block in paint_blocks(scene(), block_px):
        frame = np.s_[window.row : window.bottom, window.col : window.right]
        painted[frame] = block
        covered[frame] += 1
    assert (covered == 1).all()
    np.testing.assert_array_equal(painted, pixels())


@given(st.integers(0, SIZE - 60), st.integers(0, SIZE - 60), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=8)
def test_any_window_equals_the_crop_of_the_scene(col: int, row: int, width: int, height: int) -> None:
    part = paint_window(scene(), Window(col, row, width, height))
    np.testing.assert_array_equal(part, pixels()[row : row + height, col : col + width])


def test_render_is_deterministic() -> None:
    again = render(SIZE, SEED)
    window = Window(300, 500, 400, 300)
    np.testing.assert_array_equal(paint_window(again, window), pixels()[500:800, 300:700])
    assert truth(again) == truth(scene())


def test_airport_depends_on_the_seed() -> None:
    other = render(SIZE, SEED + 1)
    assert truth(other) != truth(scene())
    assert other.georef != scene().georef


def test_image_statistics_resemble_real_scenes() -> None:
    # Bounds that hold for all real scenes in our data sets, with some margin.
    image = pixels().astype(float)
    assert 80 < image.mean() < 190
    assert 22 < image.std() < 65
    assert (pixels() == 255).mean() < 0.1
    colourfulness = np.abs(image[..., 0] - image[..., 2]).mean()
    assert colourfulness < 60


def test_airplanes_contrast_with_the_ground() -> None:
    means = []
    for xmin, ymin, xmax, ymax in boxes().astype(int):
        inside = pixels()[ymin:ymax, xmin:xmax].max(axis=2)
        means.append(np.percentile(inside, 95) - np.percentile(inside, 25))
    assert np.median(means) > 40


def test_airplanes_are_inside_the_scene_and_do_not_overlap() -> None:
    airplane_boxes = boxes()
    assert len(airplane_boxes) >= 10
    assert airplane_boxes.min() >= 0
    assert airplane_boxes.max() <= SIZE
    overlaps = iou_matrix(airplane_boxes, airplane_boxes)
    np.fill_diagonal(overlaps, 0)
    assert overlaps.max() < 0.5  # boxes of oblique airplanes may overlap, the airplanes may not


def test_properties_match_the_airplane() -> None:
    for feature, airplane in zip(features(), scene().airplanes, strict=True):
        properties = feature["properties"]
        assert properties["type"] == airplane.shape.kind
        width, height = properties["xmax_px"] - properties["xmin_px"], properties["ymax_px"] - properties["ymin_px"]
        diagonal = math.hypot(properties["length_m"], properties["wingspan_m"]) / 0.5
        assert max(width, height) < diagonal + 12  # the fin may lean beyond the outline
        assert max(width, height) > 0.69 * max(properties["length_m"], properties["wingspan_m"]) / 0.5


def test_geometries_match_the_pixel_boxes() -> None:
    for feature, box in zip(features(), boxes(), strict=True):
        outline = geometry(feature["geometry"])
        assert outline.exterior.is_ccw
        ring = scene().georef.lonlat_to_pixel(np.array(outline.exterior.coords))
        np.testing.assert_allclose([*ring.min(axis=0), *ring.max(axis=0)], box, atol=0.05)
        lon, lat = outline.centroid.coords[0]
        assert -180 <= lon <= 180
        assert -60 < lat < 60


def test_headings_are_relative_to_true_north() -> None:
    georef = scene().georef
    convergence = Proj(georef.crs).get_factors
    for feature, airplane in zip(features(), scene().airplanes, strict=True):
        heading = feature["properties"]["heading_deg"]
        assert 0 <= heading < 360
        nose = airplane.pose.points((1.0, 0.0)) - (airplane.pose.x, airplane.pose.y)
        on_grid = math.degrees(math.atan2(nose[0], -nose[1]))
        centre = np.array([[airplane.pose.x, airplane.pose.y]]) / 0.5
        (lon, lat), *_ = georef.pixel_to_lonlat(centre)
        expected = on_grid + convergence(lon, lat).meridian_convergence
        assert (heading - expected + 180) % 360 - 180 == pytest.approx(0, abs=0.11)


def test_larger_scenes_have_more_airplanes() -> None:
    counts = [len(render(size, 3).airplanes) for size in (700, 1600, 3200)]
    assert counts[0] < counts[1] < counts[2]


@given(st.integers(64, 900), st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 1.0, 2.0]))
@settings(max_examples=10)
def test_any_size_seed_and_resolution_renders(size: int, seed: int, resolution: float) -> None:
    rendered = render(size, seed, resolution)
    for airplane in rendered.airplanes:
        assert min(airplane.box) >= 0
        assert max(airplane.box) <= size * resolution
    window = Window(size // 2, size // 2, 20, 20)
    assert paint_window(rendered, window).shape == (20, 20, 3)


@pytest.mark.parametrize(
    "arguments", [(63, 1, 0.5), (10**6, 1, 0.5), (500, -1, 0.5), (500, 1, 0.0), (500, 1, math.nan)]
)
def test_arguments_out_of_range_raise(arguments: tuple[int, int, float]) -> None:
    with pytest.raises(ConfigError, match=r"expected .* got .*: choose another"):
        render(*arguments)


def test_file_contains_the_scene_and_truth(tmp_path: Path) -> None:
    rendered = render(640, 2)
    truth_path = write(rendered, tmp_path / "new" / "a.b.tif")
    assert truth_path.name == "a.b.truth.geojson"
    assert json.loads(truth_path.read_text()) == truth(rendered)
    with rasterio.open(tmp_path / "new" / "a.b.tif") as dataset:
        np.testing.assert_array_equal(dataset.read().transpose(1, 2, 0), paint_window(rendered, Window(0, 0, 640, 640)))
        assert dataset.crs.to_epsg() == rendered.georef.crs.to_epsg()
        assert dataset.crs.linear_units == "metre"
        assert tuple(dataset.transform) == tuple(rendered.georef.affine)
        assert dataset.overviews(1)
        assert dataset.block_shapes == [(512, 512)] * 3
    assert {path.name for path in truth_path.parent.iterdir()} == {"a.b.tif", "a.b.truth.geojson"}


def test_written_files_are_deterministic(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(render(300, 5), tmp_path / name / "x.tif")
    for kind in ("x.tif", "x.truth.geojson"):
        assert (tmp_path / "first" / kind).read_bytes() == (tmp_path / "second" / kind).read_bytes()


def test_write_error_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write(render(64, 1), tmp_path / "file" / "x.tif")
