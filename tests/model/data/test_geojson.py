import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pyproj import CRS
from shapely.geometry import mapping

from geo.errors import ConfigError, RasterError
from geo.georef import GeoReference
from geo.outline import POINT_FIELDS
from geo.polygons import ground_polygon, outline_polygon
from model import synthetic as render
from model.data import sources
from model.data.labels import AnnotatedImage
from pipeline import records
from pipeline.sinks.files import write_geojson
from tests.geo.scenes import AFFINE, coordinates, write_tiff
from tests.pipeline.airplanes import airplane

WIDTH, HEIGHT = 200, 120
UTM = "EPSG:32632"
# Rotated, mirrored, in degrees, of another datum, across the antimeridian.
SCENES = {
    "north up": (AFFINE, UTM),
    "turned": (Affine.translation(565_000, 5_930_000) @ Affine.rotation(33) @ Affine.scale(0.5, -0.5), UTM),
    "south up": (Affine(0.5, 0, 565_000, 0, 0.5, 5_930_000), UTM),
    "web mercator": (Affine(0.7, 0, 1_100_000, 0, -0.7, 7_085_000), "EPSG:3857"),
    "degrees": (Affine(8e-6, 0, 10.0, 0, -5e-6, 53.5), "EPSG:4326"),
    "older datum": (Affine(1, 0, 3_565_000, 0, -1, 5_930_000), "EPSG:31467"),
    "antimeridian": (Affine(0.7, 0, 20_037_508 - 70, 0, -0.7, -1_900_000), "EPSG:3857"),
}


def scene(folder: Path, name: str = "a.tif", affine: Affine = AFFINE, crs: str = UTM) -> GeoReference:
    """Write a scene; return its georeference."""
    folder.mkdir(exist_ok=True)
    write_tiff(folder / name, coordinates(WIDTH, HEIGHT), affine=affine, crs=crs)
    return GeoReference(affine, CRS.from_user_input(crs))


def drawn(box: list[float], georef: GeoReference, **properties: object) -> dict[str, Any]:
    """Return a feature, as a GIS writes it, around a pixel box."""
    return {"type": "Feature", "geometry": mapping(ground_polygon(np.array(box), georef)), "properties": properties}


def save(path: Path, features: list[dict[str, Any]], **more: object) -> None:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **more}), encoding="utf-8")


def read(folder: Path) -> list[AnnotatedImage]:
    return sources.read_annotated_images(folder, "all")


@pytest.mark.parametrize("scene_kind", SCENES)
def test_polygons_become_their_pixel_boxes(tmp_path: Path, scene_kind: str) -> None:
    georef = scene(tmp_path, "a.tif", *SCENES[scene_kind])
    boxes: list[list[float]] = [[10, 20, 45.5, 41.25], [90, 5, 120, 60], [150, 70, 199, 119]]
    save(tmp_path / "a.geojson", [drawn(box, georef) for box in boxes])
    (image,) = read(tmp_path)
    # A seventh decimal of a degree is a centimetre, a fiftieth of a pixel here.
    np.testing.assert_allclose(image.boxes, boxes, atol=0.03)
    assert (image.path, image.resolution_m, image.resolution_known) == (tmp_path / "a.tif", None, True)
    np.testing.assert_array_equal(image.pixels(), coordinates(WIDTH, HEIGHT))


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=3, max_size=9, unique=True).filter(
        lambda corners: abs(np.cov(np.array(corners).T)[0, 0]) > 0.1
    )
)
def test_an_outline_becomes_the_upright_box_around_its_corners(
    tmp_path_factory: pytest.TempPathFactory, corners: list[tuple[float, float]]
) -> None:
    folder = tmp_path_factory.mktemp("outline")
    georef = scene(folder, "a.tif", *SCENES["turned"])
    # A star-shaped outline: corners in the order of their directions from the centre.
    xy = np.array([60.0, 50.0]) + 10 * np.array(sorted(corners, key=lambda corner: np.arctan2(*corner)))
    ring = georef.pixel_to_lonlat(np.vstack([xy, xy[:1]])).tolist()
    feature = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": None}
    save(folder / "a.geojson", [feature])
    try:
        (image,) = read(folder)
    except ConfigError as error:
        assert "with an area" in str(error)  # noqa: PT017  # three corners on a line
        return
    np.testing.assert_allclose(image.boxes[0], [*xy.min(axis=0), *xy.max(axis=0)], atol=1e-3)


def test_polygons_of_rendered_airplanes_round_trip(tmp_path: Path) -> None:
    drawing = render.render(600, 5, 0.5)
    truth = render.write(drawing, tmp_path / "a.tif")
    content = json.loads(truth.read_text())
    expected = sources.read_rendered_scenes(tmp_path)[0].boxes
    truth.unlink()
    for feature in content["features"]:
        feature["properties"] = {}
    save(tmp_path / "labels.geojson", content["features"])
    assert len(expected) > 3
    np.testing.assert_allclose(read(tmp_path)[0].boxes, expected, atol=0.03)


def test_the_output_of_a_run_is_read_and_its_polygons_override_its_pixel_boxes(tmp_path: Path) -> None:
    georef = scene(tmp_path)
    scene(tmp_path, "b.tif")  # the same ground on another day
    boxes: list[list[float]] = [[10, 20, 45, 41], [90, 5, 120, 60]]
    # As if moved in a GIS: the polygons change, the fields of pixels do not.
    airplanes = [
        replace(airplane(scene_uri=f"scenes/{name}.tif"), geometry=ground_polygon(np.array(box), georef))
        for name, box in zip("ab", boxes, strict=True)
    ]
    write_geojson(tmp_path / "airplanes.geojson", airplanes)
    first, second = read(tmp_path)
    np.testing.assert_allclose(first.boxes, boxes[:1], atol=0.03)
    np.testing.assert_allclose(second.boxes, boxes[1:], atol=0.03)


def oriented(georef: GeoReference, heading_deg: float = 40.0, moved: tuple[float, float] = (0, 0)) -> dict[str, Any]:
    """A measured airplane of 60 x 50 pixels at (100, 60), the wings before its middle; its outline may be moved."""
    ahead = np.array([math.cos(math.radians(heading_deg)), math.sin(math.radians(heading_deg))])
    across = np.array([-ahead[1], ahead[0]])
    ends = [30 * ahead, -30 * ahead, 5 * ahead - 25 * across, 5 * ahead + 25 * across]
    points = np.array([100.0, 60.0]) + np.array(ends)
    box = [*points.min(axis=0), *points.max(axis=0)]
    plane = replace(
        airplane(scene_uri="scenes/a.tif"),
        **dict(zip(("xmin_px", "ymin_px", "xmax_px", "ymax_px"), box, strict=True)),
        **dict(zip(POINT_FIELDS, points.ravel().tolist(), strict=True)),
        geometry=outline_polygon(points + moved, georef),
        outline="oriented",
    )
    return records.to_feature(plane)


@pytest.mark.parametrize("scene_kind", SCENES)
def test_an_oriented_outline_gives_back_the_box_of_its_detection(tmp_path: Path, scene_kind: str) -> None:
    georef = scene(tmp_path, "a.tif", *SCENES[scene_kind])
    features = [oriented(georef, heading) for heading in (0.0, 40.0, 135.0)]
    save(tmp_path / "a.geojson", features)
    (image,) = read(tmp_path)
    sides = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
    assert image.boxes.tolist() == [[feature["properties"][side] for side in sides] for feature in features]


def test_an_oriented_outline_that_was_moved_gives_the_box_around_the_middles_of_its_edges(tmp_path: Path) -> None:
    georef = scene(tmp_path)
    moved = oriented(georef, heading_deg=45.0, moved=(20.0, -10.0))
    redrawn = drawn([10, 20, 45.5, 41.25], georef, **moved["properties"])
    save(tmp_path / "a.geojson", [moved, redrawn])
    (image,) = read(tmp_path)
    half = 30 * math.sqrt(0.5)
    # Its corners are up to 39 pixels from its middle.
    np.testing.assert_allclose(image.boxes[0], [120 - half, 50 - half, 120 + half, 50 + half], atol=0.1)
    np.testing.assert_allclose(image.boxes[1], [10, 20, 45.5, 41.25], atol=18)


def test_a_pixel_box_without_polygon_belongs_to_its_scene(tmp_path: Path) -> None:
    scene(tmp_path)
    scene(tmp_path, "b.tif")
    feature = records.to_feature(airplane(scene_uri="b.tif", xmin_px=10.5)) | {"geometry": None}
    save(tmp_path / "airplanes.geojson", [feature])
    first, second = read(tmp_path)
    assert (first.boxes.tolist(), second.boxes.tolist()) == ([], [[10.5, 20, 70.5, 70]])
    save(tmp_path / "airplanes.geojson", [feature | {"properties": feature["properties"] | {"scene_uri": "c.tif"}}])
    with pytest.raises(ConfigError, match=r"feature 1: .*got only a pixel box, of c.tif"):
        read(tmp_path)


def test_an_image_without_georeference_takes_pixel_boxes(tmp_path: Path) -> None:
    Image.fromarray(coordinates(WIDTH, HEIGHT)).save(tmp_path / "a.png")
    feature = {"geometry": None, "properties": {"xmin_px": 1, "ymin_px": 2, "xmax_px": 30, "ymax_px": 40}}
    save(tmp_path / "a.geojson", [feature])
    (image,) = read(tmp_path)
    assert image.boxes.tolist() == [[1, 2, 30, 40]]
    assert (image.resolution_m, image.resolution_known) == (0.5, False)
    save(tmp_path / "a.geojson", [drawn([1, 2, 30, 40], GeoReference(AFFINE, CRS.from_user_input(UTM)))])
    with pytest.raises(ConfigError, match=r"feature 1: expected a polygon on a.png \(which has no georeference\)"):
        read(tmp_path)


def shifted(metres: float) -> Affine:
    return Affine.translation(metres, 0) @ AFFINE


def test_a_file_with_the_name_of_a_scene_is_its_own_and_others_are_shared(tmp_path: Path) -> None:
    georef = scene(tmp_path, "a.tif")
    scene(tmp_path, "b.tif", shifted(80))  # 160 px to the east: 40 px of both show the same ground
    scene(tmp_path, "c.tif", shifted(10_000))
    save(tmp_path / "c.geojson", [drawn([20_010, 10, 20_030, 40], georef)])
    save(tmp_path / "east.geojson", [drawn([300, 10, 330, 40], georef)])
    save(tmp_path / "west.geojson", [drawn([10, 20, 45, 41], georef), drawn([165, 20, 195, 41], georef)])
    first, second, third = read(tmp_path)
    np.testing.assert_allclose(first.boxes, [[10, 20, 45, 41], [165, 20, 195, 41]], atol=0.03)
    np.testing.assert_allclose(second.boxes, [[140, 10, 170, 40], [5, 20, 35, 41]], atol=0.03)
    np.testing.assert_allclose(third.boxes, [[10, 10, 30, 40]], atol=0.03)


def test_polygons_are_clipped_at_the_edge_and_ignored_if_mostly_outside(
    tmp_path: Path,
) -> None:
    georef = scene(tmp_path)
    save(tmp_path / "a.geojson", [drawn([-10, 20, 45, 41], georef), drawn([190, 100, 240, 140], georef)])
    (image,) = read(tmp_path)
    np.testing.assert_allclose(image.boxes, [[0, 20, 45, 41]], atol=0.03)
    np.testing.assert_allclose(image.ignored, [[190, 100, WIDTH, HEIGHT]], atol=0.03)


def test_a_scene_without_airplanes_is_a_training_image(tmp_path: Path) -> None:
    georef = scene(tmp_path)
    scene(tmp_path, "b.tif", shifted(10_000))
    save(tmp_path / "a.geojson", [drawn([10, 20, 45, 41], georef)])
    save(tmp_path / "b.geojson", [])
    assert [len(image.boxes) for image in read(tmp_path)] == [1, 0]


def test_coordinates_in_another_crs_need_the_crs_in_the_file(tmp_path: Path) -> None:
    scene(tmp_path)
    west, north = AFFINE @ (10, 20)
    east, south = AFFINE @ (45, 41)
    ring = [[west, north], [east, north], [east, south], [west, south], [west, north]]
    features = [{"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    save(tmp_path / "a.geojson", features, crs=crs)
    np.testing.assert_allclose(read(tmp_path)[0].boxes, [[10, 20, 45, 41]], atol=1e-3)
    save(tmp_path / "a.geojson", features)
    with pytest.raises(ConfigError, match=r"feature 1: expected longitude and latitude, got \(565005, 5.92999e\+06\)"):
        read(tmp_path)
    save(tmp_path / "a.geojson", features, crs={"type": "name", "properties": {"name": "EPSG:99"}})
    with pytest.raises(ConfigError, match=r"a.geojson: expected a crs that PROJ knows, got 'EPSG:99'"):
        read(tmp_path)


def test_the_usual_names_of_wgs84_are_known(tmp_path: Path) -> None:
    georef = scene(tmp_path)
    for name in ("urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326", "EPSG:4326"):
        crs = {"type": "name", "properties": {"name": name}}
        save(tmp_path / "a.geojson", [drawn([10, 20, 45, 41], georef)], crs=crs)
        np.testing.assert_allclose(read(tmp_path)[0].boxes, [[10, 20, 45, 41]], atol=0.03)


def swapped(feature: dict[str, Any]) -> dict[str, Any]:
    ring = [[lat, lon] for lon, lat in feature["geometry"]["coordinates"][0]]
    return {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}


def test_polygons_outside_every_image_are_rejected_with_their_position(tmp_path: Path) -> None:
    georef = scene(tmp_path)
    good, wrong = drawn([10, 20, 45, 41], georef), swapped(drawn([10, 20, 45, 41], georef))
    where = r"longitude 53.5\d+, latitude 9.9\d+: .*EPSG:4326"
    save(tmp_path / "a.geojson", [good, wrong])
    with pytest.raises(ConfigError, match=rf"a.geojson: feature 2: .*a.tif \(longitude 9.98.* to 9.98.*\), .*{where}"):
        read(tmp_path)
    scene(tmp_path, "b.tif", shifted(10_000))
    (tmp_path / "a.geojson").rename(tmp_path / "all.geojson")
    with pytest.raises(ConfigError, match=rf"all.geojson: feature 2: expected .* one of the images in .*{where}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("feature", "named"),
    [
        ({"geometry": {"type": "Point", "coordinates": [9.98, 53.5]}}, "got a Point"),
        ({"geometry": {"type": "LineString", "coordinates": [[9.98, 53.5], [9.99, 53.5]]}}, "got a LineString"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[9, 53], [9, 53], [9, 53], [9, 53]]]}}, "of area 0"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[9, 53], [9, 54]]]}}, "damaged"),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, "of area 0"),
        ({"geometry": {"type": "Hexagon", "coordinates": []}}, "damaged"),
        ({"geometry": {"type": "Polygon"}}, "damaged"),
        ({"geometry": 3}, "damaged"),
        ({}, "got neither"),
        ({"properties": {"xmin_px": 1, "ymin_px": 2, "xmax_px": 3}}, "got neither"),
        ({"properties": {"xmin_px": "a", "ymin_px": 2, "xmax_px": 3, "ymax_px": 4}}, "damaged"),
        ({"properties": {"xmin_px": 5, "ymin_px": 2, "xmax_px": 3, "ymax_px": 4}}, "feature 1: .*with an area"),
    ],
)
def test_features_without_a_box_are_rejected(tmp_path: Path, feature: dict[str, Any], named: str) -> None:
    scene(tmp_path)
    save(tmp_path / "a.geojson", [feature])
    with pytest.raises(ConfigError, match=named) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_without_airplanes_or_images_are_rejected(tmp_path: Path) -> None:
    save(tmp_path / "a.geojson", [])
    with pytest.raises(ConfigError, match=r"a.geojson: expected polygons around airplanes, found none"):
        read(tmp_path)
    georef = scene(tmp_path)
    save(tmp_path / "a.geojson", [drawn([10, 20, 45, 41], georef)])
    (tmp_path / "a.tif").unlink()
    with pytest.raises(ConfigError, match=r"a.geojson: expected images beside it"):
        read(tmp_path)


def test_a_scene_without_labels_is_refused(tmp_path: Path) -> None:
    georef = scene(tmp_path)
    scene(tmp_path, "b.tif", shifted(10_000))
    save(tmp_path / "a.geojson", [drawn([10, 20, 45, 41], georef)])
    with pytest.raises(ConfigError, match=r"b.tif: expected b.geojson beside it"):
        read(tmp_path)


def test_other_files_in_the_folder_are_ignored(tmp_path: Path) -> None:
    georef = scene(tmp_path)
    save(tmp_path / "a.geojson", [drawn([10, 20, 45, 41], georef)])
    (tmp_path / "airplanes.geojson.ledger.json").write_text('{"scenes": []}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "a.qgz").write_bytes(b"\xff")
    assert len(read(tmp_path)[0].boxes) == 1


def test_grey_and_multispectral_scenes_are_read_as_in_the_pipeline(tmp_path: Path) -> None:
    # From 1 on: GDAL reads the last of four bands as alpha, where 0 is nodata.
    bands: NDArray[np.uint8] = np.random.default_rng(1).integers(1, 255, (HEIGHT, WIDTH, 5), dtype=np.uint8)
    for name, pixels in (("four", bands[..., :4]), ("grey", bands[..., :1]), ("five", bands)):
        write_tiff(tmp_path / f"{name}.tif", pixels)
    georef = GeoReference(AFFINE, CRS.from_user_input(UTM))
    save(tmp_path / "all.geojson", [drawn([10, 20, 45, 41], georef)])
    five, four, grey = read(tmp_path)
    np.testing.assert_array_equal(five.pixels(), bands[..., :3])
    np.testing.assert_array_equal(four.pixels(), bands[..., :3])
    np.testing.assert_array_equal(grey.pixels(), np.repeat(bands[..., :1], 3, axis=2))


def test_unusable_bands_are_rejected_before_training(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", coordinates(WIDTH, HEIGHT)[..., :2])
    save(tmp_path / "a.geojson", [drawn([10, 20, 45, 41], GeoReference(AFFINE, CRS.from_user_input(UTM)))])
    with pytest.raises(RasterError, match=r"a.tif: expected 1 band .* got 2"):
        read(tmp_path)
