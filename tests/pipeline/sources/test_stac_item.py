import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pystac
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from pystac.extensions.hooks import RegisteredExtensionHooks

from geo.errors import InputError
from pipeline import local, planning
from pipeline.sources.stac import band_nodata, choose_asset, display_bands, item_source
from pipeline.values import Scene, SceneFailure, SceneSource
from tests.pipeline.scenes import CONFIG, IDENTITY, SIZE, write_scene
from tests.pipeline.stac_files import ACQUIRED_AT, COG, Json, asset, item
from tests.pipeline.test_steps import Untouched

VERSIONS = ["1.0.0", "1.1.0"]


def read(content: Json, key: str | None = None) -> SceneSource:
    return item_source(pystac.Item.from_dict(content), "/in/item.json", key)


def chosen(key: str | None = None, /, **assets: Json) -> str:
    return choose_asset({name: pystac.Asset.from_dict(content) for name, content in assets.items()}, key)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_item_gives_uri_id_and_acquisition_time(version: str) -> None:
    assert read(item("S-1", version)) == SceneSource("/in/a.tif", "S-1", ACQUIRED_AT)


@pytest.mark.parametrize("extensions", [True, False])
def test_both_stac_versions_give_the_same_scene(monkeypatch: pytest.MonkeyPatch, extensions: bool) -> None:
    if not extensions:
        # Migrations by pystac's extensions are not needed.
        hooks = RegisteredExtensionHooks()
        hooks._discovered = True
        monkeypatch.setattr(pystac, "EXTENSION_HOOKS", hooks)
    shared = {"proj:shape": [410, 330], "proj:transform": [0.5, 0, 560000, 0, -0.5, 5940000, 0, 0, 1]}
    names = ["blue", "green", "red", "nir"]
    older = [{"name": f"B{n}", "common_name": name} for n, name in enumerate(names)]
    newer = [{"name": f"B{n}", "eo:common_name": name} for n, name in enumerate(names)]
    old_item = item("S", "1.0.0", assets={"data": asset(**{"eo:bands": older})}, **shared, **{"proj:epsg": 32632})
    new_item = item("S", "1.1.0", assets={"data": asset(bands=newer)}, **shared, **{"proj:code": "EPSG:32632"})
    expected = SceneSource(
        "/in/a.tif", "S", ACQUIRED_AT, (3, 2, 1), "EPSG:32632", (330, 410), (0.5, 0.0, 560000.0, 0.0, -0.5, 5940000.0)
    )
    assert read(old_item) == read(new_item) == expected


def test_fields_of_the_asset_override_those_of_the_item() -> None:
    asset_fields = {"proj:code": "EPSG:32633", "proj:shape": [2, 1], "datetime": "2026-05-02T00:00:00Z"}
    item_fields = {"proj:code": "EPSG:32632", "proj:shape": [20, 10], "proj:transform": [1, 0, 2, 0, -1, 3]}
    source = read(item(assets={"visual": asset(**asset_fields)}, **item_fields))
    assert (source.crs, source.size, source.acquired_at) == ("EPSG:32633", (1, 2), "2026-05-02T00:00:00Z")
    assert source.affine == (1.0, 0.0, 2.0, 0.0, -1.0, 3.0)


# Hrefs.


@pytest.mark.parametrize(
    ("base", "href", "expected"),
    [
        ("items/i.json", "./a.tif", "items/a.tif"),
        ("i.json", "a.tif", "a.tif"),
        ("/in/i.json", "../x/a b.tif", "/in/../x/a b.tif"),
        ("items/i.json", "/data/a.tif", "/data/a.tif"),
        ("items/i.json", "file:///data/a%20b.tif", "/data/a b.tif"),
        ("items/i.json", "https://example.com/a.tif?key=1#x", "https://example.com/a.tif?key=1#x"),
        ("items/i.json", "gs://bucket/a.tif", "gs://bucket/a.tif"),
        ("items/i.json", "s3://bucket/a.tif", "s3://bucket/a.tif"),
        ("https://example.com/x/i.json", "./a.tif", "https://example.com/x/a.tif"),
        ("https://example.com/x/i.json", "../a.tif", "https://example.com/a.tif"),
        ("https://example.com/x/i.json", "/a.tif", "https://example.com/a.tif"),
        ("s3://bucket/x/i.json", "./a.tif", "s3://bucket/x/a.tif"),
    ],
)
def test_hrefs_are_relative_to_the_item(base: str, href: str, expected: str) -> None:
    source = item_source(pystac.Item.from_dict(item(assets={"visual": asset(href)})), base, None)
    assert source.uri == expected


# The choice of the asset.


def test_the_asset_of_the_settings_is_used() -> None:
    assert chosen("pan", visual=asset(), pan=asset()) == "pan"
    with pytest.raises(InputError, match=r"expected the asset 'pan', as in the settings, got the assets visual \("):
        chosen("pan", visual=asset())


def test_by_default_the_asset_is_chosen_by_key_then_role_then_type() -> None:
    assets = {
        "only": asset("x.tif"),
        "by_data_role": asset("d.tif", roles=["data"]),
        "data": asset("data.tif"),
        "by_visual_role": asset("v.tif", roles=["overview", "visual"]),
        "visual": asset("visual.tif"),
    }
    for best in ("visual", "by_visual_role", "data", "by_data_role", "only"):
        assert chosen(**assets) == best
        del assets[best]


def test_a_preview_with_a_preferred_role_is_not_used() -> None:
    preview = asset("v.png", type="image/png", roles=["visual"])
    assert chosen(preview=preview, scene=asset(roles=["visual"])) == "scene"
    assert chosen(preview=preview, scene=asset()) == "scene"


@pytest.mark.parametrize(
    ("href", "kind"),
    [
        ("x", COG),
        ("x", "image/tiff"),
        ("x", "IMAGE/TIFF;application=geotiff"),
        ("x", "image/vnd.stac.geotiff; cloud-optimized=true"),
        ("x", "image/jp2"),
        ("x", "application/vnd.nitf"),
        ("x.TIF", None),
        ("x.tiff", "application/octet-stream"),
        ("x.jp2", None),
        ("x.ntf", None),
        ("x.NITF", None),
        ("https://example.com/x.tif?key=a.png", None),
    ],
)
def test_rasters_are_recognized_by_media_type_or_suffix(href: str, kind: str | None) -> None:
    others = {"thumbnail": asset("x.png", type="image/png"), "metadata": asset("x.xml", type="application/xml")}
    assert chosen(**others, scene=asset(href, type=kind)) == "scene"


@pytest.mark.parametrize(
    ("assets", "got"),
    [
        ({}, "got no assets: fix the item, or name the raster itself"),
        (
            {"thumb": asset("x.png", type="image/png", roles=["thumbnail"])},
            r"thumb \(image/png, thumbnail\): choose one",
        ),
        ({"B1": asset("1.tif"), "B2": asset("2.tif", type=None)}, r"B1 \(image/tiff.*\); B2 \(no type\): choose one"),
        ({"B1": asset(roles=["data"]), "B2": asset(roles=["data"])}, r"B1 .*data\); B2 .*data\): choose one"),
        ({"B1": asset(roles=["visual"]), "B2": asset(roles=["visual"]), "B3": asset(roles=["data"])}, "B1.*B2.*B3"),
    ],
)
def test_an_ambiguous_choice_is_an_error(assets: Json, got: str) -> None:
    with pytest.raises(InputError, match=f"expected one asset called visual or data.*{got}"):
        chosen(**assets)


# Acquisition time.


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"datetime": "2026-05-01T12:20:30+02:00"}, ACQUIRED_AT),
        ({"datetime": "2026-05-01T10:20:30.5Z"}, "2026-05-01T10:20:30.500000Z"),
        ({"datetime": "2026-05-01T10:20:30"}, ACQUIRED_AT),
        ({"datetime": None, "start_datetime": ACQUIRED_AT, "end_datetime": "2026-05-03T00:00:00Z"}, ACQUIRED_AT),
    ],
)
def test_times_are_utc_and_intervals_give_their_start(properties: Json, expected: str) -> None:
    assert read(item(**properties)).acquired_at == expected


@given(st.datetimes(datetime.datetime(1900, 1, 1), timezones=st.timezones()))
def test_times_keep_their_instant(time: datetime.datetime) -> None:
    acquired_at = read(item(datetime=time.astimezone(datetime.UTC).isoformat())).acquired_at
    assert acquired_at is not None
    assert acquired_at.endswith("Z")
    # As timestamps: Python never compares times equal that are ambiguous at a change of daylight saving.
    assert datetime.datetime.fromisoformat(acquired_at).timestamp() == time.timestamp()


# Bands.


def test_bands_with_missing_or_ambiguous_names_are_not_used() -> None:
    assert display_bands({}) is None
    assert display_bands({"bands": []}) is None
    assert display_bands({"bands": [{"name": "B1"}, {"name": "B2"}, {"name": "B3"}]}) is None
    assert display_bands({"bands": [{"eo:common_name": name} for name in ("red", "green", "blue", "red")]}) is None
    assert display_bands({"bands": [{"eo:common_name": name} for name in ("red", "green")]}) is None
    assert display_bands({"bands": [{"eo:common_name": name} for name in ("pan", "pan")]}) is None
    assert display_bands({"bands": [{"eo:common_name": name} for name in ("pan", "red", "green")]}) is None


def test_a_panchromatic_band_is_used() -> None:
    assert display_bands({"bands": [{"name": "P", "eo:common_name": "pan"}]}) == (1,)
    assert display_bands({"eo:bands": [{"name": "mask"}, {"name": "Gray"}]}) == (2,)


def test_colours_are_preferred_to_a_panchromatic_band_and_common_names_to_names() -> None:
    bands: list[Json] = [{"name": "pan"}, {"name": "Blue"}, {"name": "green"}, {"name": "x", "eo:common_name": "red"}]
    assert display_bands({"bands": bands}) == (4, 3, 2)
    assert display_bands({"bands": [*bands, {"name": "red", "eo:common_name": "rededge"}]}) == (4, 3, 2)


def test_names_of_raster_bands_are_the_last_resort() -> None:
    assert display_bands({"raster:bands": [{"name": "blue"}, {"name": "green"}, {"name": "red"}]}) == (3, 2, 1)
    assert display_bands({"raster:bands": [{"nodata": 0, "scale": 0.1}] * 4}) is None


def test_bands_of_the_item_are_not_used() -> None:
    bands = [{"name": name} for name in ("blue", "green", "red")]
    assert read(item(bands=bands)).bands is None


# Invalid fields.


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"proj:shape": [410]}, r"expected 2 numbers in proj:shape, got \[410\]: fix the item"),
        ({"proj:shape": "big"}, "expected 2 numbers in proj:shape, got big"),
        ({"proj:shape": [True, False]}, "expected 2 numbers in proj:shape"),
        ({"proj:transform": [1, 2, 3]}, "expected 6 or 9 numbers in proj:transform"),
        ({"proj:transform": [1, 0, "x", 0, -1, 0]}, "expected 6 or 9 numbers in proj:transform"),
    ],
)
def test_invalid_fields_are_errors(properties: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(item(**properties))


def test_null_fields_are_missing_fields() -> None:
    nulls = {"proj:code": None, "proj:epsg": None, "proj:shape": None, "proj:transform": None, "bands": None}
    assert read(item(assets={"visual": asset()}, **nulls)) == SceneSource("/in/a.tif", "S-1", ACQUIRED_AT)


@pytest.mark.parametrize("bands", ["red", [1, 2, 3], {"red": 1}])
def test_bands_must_be_a_list_of_objects(bands: object) -> None:
    with pytest.raises(InputError, match="expected bands as a list of objects"):
        display_bands({"bands": bands})


# An item against its raster.

AFFINE = (0.5, 0.0, 560_000.0, 0.0, -0.5, 5_940_000.0)
REMEDY = "fix the item, or name the raster itself"


@pytest.fixture
def source(tmp_path: Path) -> SceneSource:
    """A scene of 0.5 m in UTM zone 32 with matching metadata of an item."""
    return SceneSource(str(write_scene(tmp_path / "a.tif")), "S-1", crs="EPSG:32632", size=SIZE, affine=AFFINE)


def error_of(source: SceneSource) -> str:
    described = planning.describe_scene(source, CONFIG)
    assert isinstance(described, SceneFailure)
    entry = local.detect_scene(described, CONFIG, Untouched(), IDENTITY).entry
    assert (entry.status, entry.scene_id) == ("failed", source.scene_id)
    assert described.error.startswith(source.uri)
    assert "\n" not in described.error
    return described.error


def test_matching_metadata_changes_nothing(source: SceneSource) -> None:
    described = planning.describe_scene(source, CONFIG)
    assert isinstance(described, Scene)
    bare = planning.describe_scene(SceneSource(source.uri), CONFIG)
    assert dataclasses.replace(described, source=SceneSource(source.uri)) == bare


def test_a_different_size_is_an_error(source: SceneSource) -> None:
    line = error_of(dataclasses.replace(source, size=SIZE[::-1]))
    assert f"expected 410 x 330 px, as in its STAC item, got 330 x 410 px in the file: {REMEDY}" in line


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857", "EPSG:4326", "EPSG:32732", "EPSG:25833"])
def test_a_different_crs_is_an_error(source: SceneSource, crs: str) -> None:
    for affine in (AFFINE, None):
        line = error_of(dataclasses.replace(source, crs=crs, affine=affine))
        assert f"expected {crs}, as in its STAC item, got EPSG:32632 in the file: {REMEDY}" in line


def test_a_different_affine_is_an_error(source: SceneSource) -> None:
    for change in (Affine.translation(4, 0), Affine.scale(1.01), Affine.scale(1, -1), Affine.rotation(1)):
        affine = tuple(Affine(*AFFINE) @ change)[:6]
        line = error_of(dataclasses.replace(source, affine=affine))
        assert f"expected the affine {affine}, as in its STAC item, got another position or size of the pixels" in line
    assert "expected the affine" in error_of(dataclasses.replace(source, affine=(0.0,) * 6))
    assert "expected the affine" in error_of(dataclasses.replace(source, affine=(float("nan"),) * 6))
    # Without a CRS in the item, its affine is in the CRS of the file.
    assert "expected the affine" in error_of(dataclasses.replace(source, crs=None, affine=(*AFFINE[:5], 5_940_009.0)))


def test_a_rounded_affine_matches(source: SceneSource) -> None:
    affine = (0.5, 0.0, 560_000.2, 0.0, -0.5, 5_940_000.2)
    assert isinstance(planning.describe_scene(dataclasses.replace(source, affine=affine), CONFIG), Scene)


@pytest.mark.parametrize(
    "spelling",
    [
        CRS.from_epsg(32632).to_wkt("WKT1_ESRI"),
        CRS.from_epsg(32632).to_wkt("WKT1_GDAL"),
        "+proj=utm +zone=32 +datum=WGS84 +type=crs",
        "EPSG:25832",  # another datum, some decimetres away
    ],
)
def test_other_spellings_of_the_crs_match(tmp_path: Path, spelling: str) -> None:
    path = write_scene(tmp_path / "a.tif", crs=rasterio.CRS.from_user_input(spelling))
    source = SceneSource(str(path), crs="EPSG:32632", affine=AFFINE)
    assert isinstance(planning.describe_scene(source, CONFIG), Scene)


def test_the_axis_order_of_epsg_4326_is_ignored(tmp_path: Path) -> None:
    degrees = Affine(5e-6, 0, 9.98, 0, -4e-6, 53.6)
    path = write_scene(tmp_path / "a.tif", crs="OGC:CRS84", transform=degrees)
    source = SceneSource(str(path), crs="EPSG:4326", size=SIZE, affine=tuple(degrees)[:6])
    assert isinstance(planning.describe_scene(source, CONFIG), Scene)


@pytest.mark.parametrize("crs", ["EPSG:999999", "EPSG:yes", "", "IAU_2015:30100"])
def test_an_unknown_crs_is_an_error(source: SceneSource, crs: str) -> None:
    line = error_of(dataclasses.replace(source, crs=crs))
    assert crs in line
    assert REMEDY in line


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_crs_of_an_item_does_not_replace_a_missing_one(tmp_path: Path) -> None:
    source = SceneSource(str(write_scene(tmp_path / "a.tif", crs=None)), crs="EPSG:32632", affine=AFFINE)
    hint = "(its STAC item says EPSG:32632; if it is right, gdal_edit.py -a_srs writes it)"
    assert error_of(source).endswith(hint)
    assert "STAC" not in error_of(dataclasses.replace(source, crs=None))


@pytest.mark.parametrize(
    ("fields", "nodata"),
    [
        ({}, None),
        ({"raster:bands": [{"nodata": 0}, {"nodata": 0}, {"nodata": 0}]}, 0.0),
        ({"raster:bands": [{"nodata": "nan", "scale": 0.1, "offset": -5}] * 3}, float("nan")),
        ({"bands": [{"nodata": -9999}]}, -9999.0),
        ({"bands": [{"name": "red"}], "nodata": 65535}, 65535.0),
        ({"bands": [{"raster:scale": 0.1}], "nodata": None}, None),
        ({"raster:bands": [{"nodata": 0}, {"nodata": 0}, {"nodata": 0}, {}]}, 0.0),  # the fourth is alpha
        ({"bands": [{"name": n, "nodata": v} for n, v in (("nir", 7), ("red", 0), ("green", 0), ("blue", 0))]}, 0.0),
    ],
)
def test_nodata_of_the_bands(fields: dict[str, object], nodata: float | None) -> None:
    assert repr(band_nodata(fields)) == repr(nodata)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"raster:bands": [{"scale": 1}, {"scale": 2}]}, "one positive scale and one offset, got the scales ..1.*gdal"),
        ({"raster:bands": [{"scale": -1}]}, "one positive scale"),
        ({"raster:bands": [{"scale": "x"}]}, "one positive scale"),
        ({"raster:bands": [{"offset": 1}, {}]}, "one positive scale and one offset"),
        ({"raster:bands": [{"nodata": 1}, {"nodata": 2}]}, "one nodata value, got"),
        ({"raster:bands": [{"nodata": "white"}]}, "a number as nodata, got 'white'"),
    ],
)
def test_bands_that_would_change_the_display_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        band_nodata(fields)
