"""The area of interest: its file, the tiles and airplanes in it, and its ground area in the ledger."""

import dataclasses
import json
from pathlib import Path

import geopandas
import pytest
import shapely

from geo.aoi import AreaOfInterest
from geo.errors import InputError
from model.inference.predictor import FakePredictor
from pipeline import local, planning
from pipeline.command import read_area
from pipeline.ledger import SceneResult, why_empty
from pipeline.values import Scene, SceneSource
from tests.pipeline.scenes import AIRPLANES, CONFIG, IDENTITY, SIZE, write_scene

UTM = "EPSG:32632"


def to_map(pixels: shapely.Polygon) -> shapely.Polygon:
    """Map coordinates of a polygon in pixels of `write_scene`."""
    return shapely.transform(pixels, lambda xy: [560_000, 5_940_000] + xy * [0.5, -0.5])


def write_area(path: Path, *pixels: shapely.Polygon, crs: str = UTM) -> Path:
    frame = geopandas.GeoDataFrame(geometry=[to_map(polygon) for polygon in pixels], crs=UTM).to_crs(crs)
    frame.to_file(path)
    return path


def detect_in(scene: Path, area: AreaOfInterest | None) -> tuple[Scene, SceneResult]:
    opened = planning.open_scene(SceneSource(str(scene)), CONFIG, area)
    return opened, local.detect_scene(opened, CONFIG, FakePredictor(), IDENTITY)


def brightness(result: SceneResult) -> list[int]:
    """The brightness of the detected airplanes, which identifies them."""
    return [round(plane.score * 255) for plane in result.airplanes]


# Around the first and the fourth airplane, with a hole around the fourth, and the corner of the fifth.
WITH_HOLE = shapely.box(5, 5, 250, 250) - shapely.box(140, 180, 230, 240)
BESIDE = shapely.box(100, 280, 320, 400)


@pytest.mark.parametrize(
    ("suffix", "crs"), [(".geojson", "OGC:CRS84"), (".gpkg", UTM), (".fgb", "EPSG:3857"), (".shp", "EPSG:25832")]
)
def test_airplanes_with_their_centre_in_the_area_are_kept(tmp_path: Path, suffix: str, crs: str) -> None:
    area = read_area(write_area(tmp_path / f"area{suffix}", WITH_HOLE, BESIDE, crs=crs))
    _, result = detect_in(write_scene(tmp_path / "a.tif"), area)
    # The centre of the third airplane, x = 96, is outside of both polygons, and that of the fifth, (324, 402).
    assert brightness(result) == [250, 240]
    assert result.entry.km2 == pytest.approx((WITH_HOLE.area + BESIDE.area) * 0.25e-6, rel=5e-3)
    assert result.entry.status == "complete"


def test_only_tiles_that_touch_the_area_are_planned(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif")
    area = read_area(write_area(tmp_path / "area.gpkg", shapely.box(10, 10, 60, 60)))
    opened, result = detect_in(scene, area)
    blocks = list(planning.plan_blocks(opened, dataclasses.replace(CONFIG, block_tiles=4)))
    _, everything = detect_in(scene, None)
    assert 0 < result.entry.parts_planned == sum(len(block.tiles) for block in blocks)
    assert result.entry.parts_planned == result.entry.parts_done < everything.entry.parts_planned / 3
    assert brightness(result) == [250]
    # The detection is the same as without an area.
    assert result.airplanes[0] in everything.airplanes


def test_nodata_in_the_area_is_not_counted_as_ground(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", AIRPLANES[:1], nodata_right_of=150)
    area = read_area(write_area(tmp_path / "area.gpkg", shapely.box(100, 100, 200, 300)))
    assert detect_in(scene, area)[1].entry.km2 == pytest.approx(50 * 200 * 0.25e-6, rel=5e-3)


def test_a_scene_outside_of_the_area_is_empty(tmp_path: Path) -> None:
    area = read_area(write_area(tmp_path / "area.gpkg", shapely.box(9000, 9000, 9100, 9100)))
    _, result = detect_in(write_scene(tmp_path / "a.tif"), area)
    entry = result.entry
    assert (entry.status, entry.parts_planned, entry.km2, result.airplanes) == ("empty", 0, 0.0, ())
    assert why_empty(entry) == "nothing of it lies in the area of interest, so nothing was processed"


def test_an_area_around_the_scene_changes_nothing(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif")
    area = read_area(write_area(tmp_path / "area.gpkg", shapely.box(-10, -10, SIZE[0] + 10, SIZE[1] + 10)))
    assert detect_in(scene, area)[1].airplanes == detect_in(scene, None)[1].airplanes


def two_layers(path: Path) -> None:
    for name in ("one", "two"):
        geopandas.GeoDataFrame(geometry=[to_map(BESIDE)], crs=UTM).to_file(path, layer=name, driver="GPKG")


def without_crs(path: Path) -> None:
    geopandas.GeoDataFrame(geometry=[to_map(BESIDE)]).to_file(path, driver="GPKG")


def points(path: Path) -> None:
    geopandas.GeoDataFrame(geometry=[shapely.Point(9, 53)], crs=4326).to_file(path, driver="GPKG")


def text(path: Path) -> None:
    path.write_text("no vector file")


def nothing(path: Path) -> None:
    path.write_text('{"type": "FeatureCollection", "features": []}')


def missing(path: Path) -> None:
    pass


REFUSED = {
    two_layers: "expected one layer, got one, two: write one",
    without_crs: "expected an area with a CRS, got none: write it",
    points: "expected polygons, got Point",
    text: "expected a vector file such as GeoJSON, got .*: fix the path",
    nothing: "expected at least one polygon, got none",
    missing: "expected a vector file such as GeoJSON, got .*: fix the path",
}


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_an_area_whose_ring_is_not_closed_is_an_error(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    ring = [[9.9, 53.5], [10, 53.5], [10, 53.7], [9.9, 53.7]]
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    with pytest.raises(InputError, match=r"--aoi .*area.geojson: expected a vector file .*closed"):
        read_area(tmp_path / "area.geojson")
    assert not recwarn.list


@pytest.mark.parametrize(("write", "message"), REFUSED.items())
def test_an_invalid_area_is_an_error(tmp_path: Path, write: object, message: str) -> None:
    path = tmp_path / "area.gpkg"
    assert callable(write)
    write(path)
    with pytest.raises(InputError, match=f"--aoi .*area.gpkg: {message}") as caught:
        read_area(path)
    assert len(str(caught.value).splitlines()) == 1
