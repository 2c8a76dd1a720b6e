"""An item and its raster: what contradicts each other is a failure of the scene that names both."""

import dataclasses
from pathlib import Path

import pytest
import rasterio
from affine import Affine
from pyproj import CRS

from pipeline import local, planning
from pipeline.values import Scene, SceneFailure, SceneSource
from tests.pipeline.scenes import CONFIG, IDENTITY, SIZE, write_scene
from tests.pipeline.test_steps import Untouched

AFFINE = (0.5, 0.0, 560_000.0, 0.0, -0.5, 5_940_000.0)
FOLLOWS = "mend the item, or name the raster itself"


@pytest.fixture
def told(tmp_path: Path) -> SceneSource:
    """A scene of half a metre in UTM zone 32, and an item that tells of it what it is."""
    return SceneSource(str(write_scene(tmp_path / "a.tif")), "S-1", crs="EPSG:32632", size=SIZE, affine=AFFINE)


def failure(source: SceneSource) -> str:
    described = planning.describe_scene(source, CONFIG)
    assert isinstance(described, SceneFailure)
    entry = local.detect_scene(described, CONFIG, Untouched(), IDENTITY).entry
    assert (entry.status, entry.scene_id) == ("failed", source.scene_id)
    assert described.error.startswith(source.uri)
    assert "\n" not in described.error
    return described.error


def test_what_is_told_rightly_changes_nothing(told: SceneSource) -> None:
    described = planning.describe_scene(told, CONFIG)
    assert isinstance(described, Scene)
    plain = planning.describe_scene(SceneSource(told.uri), CONFIG)
    assert dataclasses.replace(described, source=SceneSource(told.uri)) == plain


def test_another_size_is_named(told: SceneSource) -> None:
    line = failure(dataclasses.replace(told, size=SIZE[::-1]))
    assert f"expected 410 x 330 px, as its STAC item says, got 330 x 410 px in the file: {FOLLOWS}" in line


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857", "EPSG:4326", "EPSG:32732", "EPSG:25833"])
def test_another_crs_is_named(told: SceneSource, crs: str) -> None:
    for affine in (AFFINE, None):
        line = failure(dataclasses.replace(told, crs=crs, affine=affine))
        assert f"expected {crs}, as its STAC item says, got EPSG:32632 in the file: {FOLLOWS}" in line


def test_another_place_is_named(told: SceneSource) -> None:
    for change in (Affine.translation(4, 0), Affine.scale(1.01), Affine.scale(1, -1), Affine.rotation(1)):
        affine = tuple(Affine(*AFFINE) @ change)[:6]
        line = failure(dataclasses.replace(told, affine=affine))
        assert f"expected the affine {affine}, as its STAC item says, got another place or size of the pixels" in line
    assert "expected the affine" in failure(dataclasses.replace(told, affine=(0.0,) * 6))
    assert "expected the affine" in failure(dataclasses.replace(told, affine=(float("nan"),) * 6))
    # With the affine alone the CRS is the file's.
    assert "expected the affine" in failure(dataclasses.replace(told, crs=None, affine=(*AFFINE[:5], 5_940_009.0)))


def test_an_affine_may_be_rounded(told: SceneSource) -> None:
    affine = (0.5, 0.0, 560_000.2, 0.0, -0.5, 5_940_000.2)
    assert isinstance(planning.describe_scene(dataclasses.replace(told, affine=affine), CONFIG), Scene)


@pytest.mark.parametrize(
    "spelled",
    [
        CRS.from_epsg(32632).to_wkt("WKT1_ESRI"),
        CRS.from_epsg(32632).to_wkt("WKT1_GDAL"),
        "+proj=utm +zone=32 +datum=WGS84 +type=crs",
        "EPSG:25832",  # on a datum of its own, some decimetres away
    ],
)
def test_the_same_crs_may_be_spelled_otherwise(tmp_path: Path, spelled: str) -> None:
    path = write_scene(tmp_path / "a.tif", crs=rasterio.CRS.from_user_input(spelled))
    source = SceneSource(str(path), crs="EPSG:32632", affine=AFFINE)
    assert isinstance(planning.describe_scene(source, CONFIG), Scene)


def test_degrees_are_longitude_first_whatever_the_code_says(tmp_path: Path) -> None:
    degrees = Affine(5e-6, 0, 9.98, 0, -4e-6, 53.6)
    path = write_scene(tmp_path / "a.tif", crs="OGC:CRS84", transform=degrees)
    source = SceneSource(str(path), crs="EPSG:4326", size=SIZE, affine=tuple(degrees)[:6])
    assert isinstance(planning.describe_scene(source, CONFIG), Scene)


@pytest.mark.parametrize("crs", ["EPSG:999999", "EPSG:yes", "", "IAU_2015:30100"])
def test_a_crs_that_is_none_is_named(told: SceneSource, crs: str) -> None:
    line = failure(dataclasses.replace(told, crs=crs))
    assert crs in line
    assert FOLLOWS in line


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_crs_of_an_item_is_not_put_in_the_place_of_a_missing_one(tmp_path: Path) -> None:
    source = SceneSource(str(write_scene(tmp_path / "a.tif", crs=None)), crs="EPSG:32632", affine=AFFINE)
    told = "(its STAC item says EPSG:32632; if it is right, gdal_edit.py -a_srs writes it)"
    assert failure(source).endswith(told)
    assert "STAC" not in failure(dataclasses.replace(source, crs=None))
