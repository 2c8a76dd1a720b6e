"""The area of interest: its file, what is looked at, what comes out, and what the ledger says."""

import dataclasses
from pathlib import Path

import geopandas
import pytest
import shapely

from geo.aoi import AreaOfInterest
from model.inference.predictor import FakePredictor
from pipeline import local, planning
from pipeline.aoi import read_area
from pipeline.errors import InputError
from pipeline.ledger import SceneResult, why_empty
from pipeline.values import Scene, SceneSource
from tests.pipeline.scenes import AIRPLANES, CONFIG, IDENTITY, SIZE, write_scene

UTM = "EPSG:32632"


def drawn(pixels: shapely.Polygon) -> shapely.Polygon:
    """A polygon of pixels on the map of `write_scene`."""
    return shapely.transform(pixels, lambda xy: [560_000, 5_940_000] + xy * [0.5, -0.5])


def write_area(path: Path, *pixels: shapely.Polygon, crs: str = UTM) -> Path:
    frame = geopandas.GeoDataFrame(geometry=[drawn(polygon) for polygon in pixels], crs=UTM).to_crs(crs)
    frame.to_file(path)
    return path


def found_in(scene: Path, area: AreaOfInterest | None) -> tuple[Scene, SceneResult]:
    opened = planning.open_scene(SceneSource(str(scene)), CONFIG, area)
    return opened, local.detect_scene(opened, CONFIG, FakePredictor(), IDENTITY)


def levels_of(result: SceneResult) -> list[int]:
    """The brightness of the airplanes found, which names them."""
    return [round(one.score * 255) for one in result.airplanes]


# Around the first and the fourth airplane, with a hole around the fourth, and the corner of the fifth.
WITH_HOLE = shapely.box(5, 5, 250, 250) - shapely.box(140, 180, 230, 240)
BESIDE = shapely.box(100, 280, 320, 400)


@pytest.mark.parametrize(
    ("suffix", "crs"), [(".geojson", "OGC:CRS84"), (".gpkg", UTM), (".fgb", "EPSG:3857"), (".shp", "EPSG:25832")]
)
def test_only_airplanes_with_their_centre_in_it_come_out(tmp_path: Path, suffix: str, crs: str) -> None:
    area = read_area(write_area(tmp_path / f"area{suffix}", WITH_HOLE, BESIDE, crs=crs))
    _, result = found_in(write_scene(tmp_path / "a.tif"), area)
    # The third airplane's centre is at x = 96, beside both polygons; the fifth's at (324, 402).
    assert levels_of(result) == [250, 240]
    assert result.entry.km2 == pytest.approx((WITH_HOLE.area + BESIDE.area) * 0.25e-6, rel=5e-3)
    assert result.entry.status == "complete"


def test_only_tiles_that_it_touches_are_looked_at(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif")
    area = read_area(write_area(tmp_path / "area.gpkg", shapely.box(10, 10, 60, 60)))
    opened, result = found_in(scene, area)
    blocks = list(planning.plan_blocks(opened, dataclasses.replace(CONFIG, block_tiles=4)))
    _, everything = found_in(scene, None)
    assert 0 < result.entry.parts_planned == sum(len(block.tiles) for block in blocks)
    assert result.entry.parts_planned == result.entry.parts_done < everything.entry.parts_planned / 3
    assert levels_of(result) == [250]
    # What is found in an area is what is found there without one.
    assert result.airplanes[0] in everything.airplanes


def test_it_is_counted_where_pixels_are_missing_too(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", AIRPLANES[:1], nodata_right_of=150)
    area = read_area(write_area(tmp_path / "area.gpkg", shapely.box(100, 100, 200, 300)))
    assert found_in(scene, area)[1].entry.km2 == pytest.approx(50 * 200 * 0.25e-6, rel=5e-3)


def test_a_scene_beside_it_is_empty_with_nothing_looked_at(tmp_path: Path) -> None:
    area = read_area(write_area(tmp_path / "area.gpkg", shapely.box(9000, 9000, 9100, 9100)))
    _, result = found_in(write_scene(tmp_path / "a.tif"), area)
    entry = result.entry
    assert (entry.status, entry.parts_planned, entry.km2, result.airplanes) == ("empty", 0, 0.0, ())
    assert why_empty(entry) == "nothing of it lies in the area of interest, so nothing was processed"


def test_all_of_the_scene_is_as_good_as_none(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif")
    area = read_area(write_area(tmp_path / "area.gpkg", shapely.box(-10, -10, SIZE[0] + 10, SIZE[1] + 10)))
    assert found_in(scene, area)[1].airplanes == found_in(scene, None)[1].airplanes


def two_layers(path: Path) -> None:
    for name in ("one", "two"):
        geopandas.GeoDataFrame(geometry=[drawn(BESIDE)], crs=UTM).to_file(path, layer=name, driver="GPKG")


def without_crs(path: Path) -> None:
    geopandas.GeoDataFrame(geometry=[drawn(BESIDE)]).to_file(path, driver="GPKG")


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
    text: "expected a vector file such as GeoJSON, got .*: mend the path",
    nothing: "expected at least one polygon, got none",
    missing: "expected a vector file such as GeoJSON, got .*: mend the path",
}


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize(("write", "message"), REFUSED.items())
def test_what_is_no_area_is_refused(tmp_path: Path, write: object, message: str) -> None:
    path = tmp_path / "area.gpkg"
    assert callable(write)
    write(path)
    with pytest.raises(InputError, match=f"--aoi .*area.gpkg: {message}") as caught:
        read_area(path)
    assert len(str(caught.value).splitlines()) == 1
