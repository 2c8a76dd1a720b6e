import datetime
from typing import Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pystac.extensions.hooks import RegisteredExtensionHooks

from pipeline.errors import InputError
from pipeline.sources.stac import band_numbers, choose_asset, scene_source
from pipeline.values import SceneSource
from tests.pipeline.stac_files import COG, TAKEN, Json, asset, item

VERSIONS = ["1.0.0", "1.1.0"]


def read(content: Json, told: str | None = None) -> SceneSource:
    return scene_source(pystac.Item.from_dict(content), "/in/item.json", told)


def chosen(told: str | None = None, /, **assets: Json) -> str:
    return choose_asset({key: pystac.Asset.from_dict(one) for key, one in assets.items()}, told)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_item_says_where_its_scene_is_and_when_it_was_taken(version: str) -> None:
    assert read(item("S-1", version)) == SceneSource("/in/a.tif", "S-1", TAKEN)


@pytest.mark.parametrize("extensions", [True, False])
def test_both_versions_tell_the_same_in_their_own_words(monkeypatch: pytest.MonkeyPatch, extensions: bool) -> None:
    if not extensions:
        # What pystac's extensions would bring up to date is not needed.
        hooks = RegisteredExtensionHooks()
        hooks._discovered = True
        monkeypatch.setattr(pystac, "EXTENSION_HOOKS", hooks)
    shared = {"proj:shape": [410, 330], "proj:transform": [0.5, 0, 560000, 0, -0.5, 5940000, 0, 0, 1]}
    names = ["blue", "green", "red", "nir"]
    older = [{"name": f"B{n}", "common_name": name} for n, name in enumerate(names)]
    newer = [{"name": f"B{n}", "eo:common_name": name} for n, name in enumerate(names)]
    before = item("S", "1.0.0", assets={"data": asset(**{"eo:bands": older})}, **shared, **{"proj:epsg": 32632})
    after = item("S", "1.1.0", assets={"data": asset(bands=newer)}, **shared, **{"proj:code": "EPSG:32632"})
    wanted = SceneSource(
        "/in/a.tif", "S", TAKEN, (3, 2, 1), "EPSG:32632", (330, 410), (0.5, 0.0, 560000.0, 0.0, -0.5, 5940000.0)
    )
    assert read(before) == read(after) == wanted


def test_what_the_asset_says_goes_before_what_the_item_says() -> None:
    of_asset = {"proj:code": "EPSG:32633", "proj:shape": [2, 1], "datetime": "2026-05-02T00:00:00Z"}
    of_item = {"proj:code": "EPSG:32632", "proj:shape": [20, 10], "proj:transform": [1, 0, 2, 0, -1, 3]}
    found = read(item(assets={"visual": asset(**of_asset)}, **of_item))
    assert (found.crs, found.size, found.acquired_at) == ("EPSG:32633", (1, 2), "2026-05-02T00:00:00Z")
    assert found.affine == (1.0, 0.0, 2.0, 0.0, -1.0, 3.0)


# Where it lies.


@pytest.mark.parametrize(
    ("base", "href", "wanted"),
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
def test_hrefs_start_where_the_item_is(base: str, href: str, wanted: str) -> None:
    found = scene_source(pystac.Item.from_dict(item(assets={"visual": asset(href)})), base, None)
    assert found.uri == wanted


# Which asset.


def test_the_asset_is_as_told() -> None:
    assert chosen("pan", visual=asset(), pan=asset()) == "pan"
    with pytest.raises(InputError, match=r"expected the asset 'pan', as the settings say, got the assets visual \("):
        chosen("pan", visual=asset())


def test_without_a_word_the_asset_is_found_by_key_role_and_kind_in_this_order() -> None:
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


def test_a_preview_of_the_right_role_is_no_scene() -> None:
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
def test_the_only_raster_is_known_by_media_type_or_suffix(href: str, kind: str | None) -> None:
    others = {"thumbnail": asset("x.png", type="image/png"), "metadata": asset("x.xml", type="application/xml")}
    assert chosen(**others, scene=asset(href, type=kind)) == "scene"


@pytest.mark.parametrize(
    ("assets", "got"),
    [
        ({}, "got no assets: mend the item, or name the raster itself"),
        (
            {"thumb": asset("x.png", type="image/png", roles=["thumbnail"])},
            r"thumb \(image/png, thumbnail\): say which",
        ),
        ({"B1": asset("1.tif"), "B2": asset("2.tif", type=None)}, r"B1 \(image/tiff.*\); B2 \(no type\): say which"),
        ({"B1": asset(roles=["data"]), "B2": asset(roles=["data"])}, r"B1 .*data\); B2 .*data\): say which"),
        ({"B1": asset(roles=["visual"]), "B2": asset(roles=["visual"]), "B3": asset(roles=["data"])}, "B1.*B2.*B3"),
    ],
)
def test_a_choice_that_would_be_a_guess_is_refused(assets: Json, got: str) -> None:
    with pytest.raises(InputError, match=f"expected one asset called visual or data.*{got}"):
        chosen(**assets)


# When.


@pytest.mark.parametrize(
    ("properties", "wanted"),
    [
        ({"datetime": "2026-05-01T12:20:30+02:00"}, TAKEN),
        ({"datetime": "2026-05-01T10:20:30.5Z"}, "2026-05-01T10:20:30.500000Z"),
        ({"datetime": "2026-05-01T10:20:30"}, TAKEN),
        ({"datetime": None, "start_datetime": TAKEN, "end_datetime": "2026-05-03T00:00:00Z"}, TAKEN),
    ],
)
def test_the_time_is_utc_and_of_a_span_its_start(properties: Json, wanted: str) -> None:
    assert read(item(**properties)).acquired_at == wanted


@given(st.datetimes(datetime.datetime(1900, 1, 1), timezones=st.timezones()))
def test_every_time_is_the_same_moment(taken: datetime.datetime) -> None:
    found = read(item(datetime=taken.astimezone(datetime.UTC).isoformat())).acquired_at
    assert found is not None
    assert found.endswith("Z")
    # In seconds: of an hour that a clock shows twice, Python says that it equals no moment at all.
    assert datetime.datetime.fromisoformat(found).timestamp() == taken.timestamp()


# Bands.


def test_bands_that_are_not_named_or_named_twice_are_left_to_the_file() -> None:
    named = {"red": 1, "green": 2, "blue": 3}
    assert band_numbers({}) is None
    assert band_numbers({"bands": []}) is None
    assert band_numbers({"bands": [{"name": "B1"}, {"name": "B2"}, {"name": "B3"}]}) is None
    assert band_numbers({"bands": [{"eo:common_name": one} for one in (*named, "red")]}) is None
    assert band_numbers({"bands": [{"eo:common_name": one} for one in ("red", "green")]}) is None
    assert band_numbers({"bands": [{"eo:common_name": one} for one in ("pan", "pan")]}) is None
    assert band_numbers({"bands": [{"eo:common_name": one} for one in ("pan", "red", "green")]}) is None


def test_a_panchromatic_band_is_found_by_itself() -> None:
    assert band_numbers({"bands": [{"name": "P", "eo:common_name": "pan"}]}) == (1,)
    assert band_numbers({"eo:bands": [{"name": "mask"}, {"name": "Gray"}]}) == (2,)


def test_colours_go_before_a_panchromatic_band_and_a_common_name_before_a_name() -> None:
    bands: list[Json] = [{"name": "pan"}, {"name": "Blue"}, {"name": "green"}, {"name": "x", "eo:common_name": "red"}]
    assert band_numbers({"bands": bands}) == (4, 3, 2)
    assert band_numbers({"bands": [*bands, {"name": "red", "eo:common_name": "rededge"}]}) == (4, 3, 2)


def test_names_in_raster_bands_are_read_where_there_are_no_others() -> None:
    assert band_numbers({"raster:bands": [{"name": "blue"}, {"name": "green"}, {"name": "red"}]}) == (3, 2, 1)
    assert band_numbers({"raster:bands": [{"nodata": 0, "scale": 0.1}] * 4}) is None


def test_bands_of_the_item_are_not_those_of_the_asset() -> None:
    bands = [{"name": one} for one in ("blue", "green", "red")]
    assert read(item(bands=bands)).bands is None


# What does not fit.


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"proj:shape": [410]}, r"expected 2 numbers in proj:shape, got \[410\]: mend the item"),
        ({"proj:shape": "big"}, "expected 2 numbers in proj:shape, got big"),
        ({"proj:shape": [True, False]}, "expected 2 numbers in proj:shape"),
        ({"proj:transform": [1, 2, 3]}, "expected 6 or 9 numbers in proj:transform"),
        ({"proj:transform": [1, 0, "x", 0, -1, 0]}, "expected 6 or 9 numbers in proj:transform"),
    ],
)
def test_fields_that_are_not_what_stac_says_are_refused(properties: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(item(**properties))


def test_a_field_that_is_null_is_not_told() -> None:
    nothing = {"proj:code": None, "proj:epsg": None, "proj:shape": None, "proj:transform": None, "bands": None}
    assert read(item(assets={"visual": asset()}, **nothing)) == SceneSource("/in/a.tif", "S-1", TAKEN)


@pytest.mark.parametrize("bands", ["red", [1, 2, 3], {"red": 1}])
def test_bands_that_are_no_list_of_objects_are_refused(bands: object) -> None:
    with pytest.raises(InputError, match="expected bands as a list of objects"):
        band_numbers({"bands": bands})
