import json
from pathlib import Path

import geopandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import records
from pipeline.records import Airplane, to_frame
from pipeline.sinks.files import read_geojson, write_geojson
from tests.pipeline.airplanes import airplane, airplanes


@given(st.lists(airplanes, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_geojson_does_not_depend_on_the_order_of_airplanes(tmp_path: Path, drawn: list[Airplane]) -> None:
    write_geojson(tmp_path / "a.geojson", drawn)
    write_geojson(tmp_path / "b.geojson", drawn[::-1])
    assert read_geojson(tmp_path / "a.geojson") == sorted(drawn, key=records.sort_key)
    if len({records.sort_key(plane) for plane in drawn}) == len(drawn):
        assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_geojson_follows_rfc_7946(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", [airplane()])
    collection = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))
    assert set(collection) == {"type", "features"}
    assert collection["type"] == "FeatureCollection"
    (feature,) = collection["features"]
    assert feature["type"] == "Feature"
    (exterior,) = feature["geometry"]["coordinates"]
    assert exterior[0] == exterior[-1]


def test_geopandas_reads_geojson(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", [airplane("1"), airplane("2", xmin_px=99.0)])
    frame = geopandas.read_file(tmp_path / "a.geojson")
    assert frame.crs == "OGC:CRS84" or frame.crs.to_epsg() == 4326
    assert list(frame.detection_id) == ["1", "2"]
    assert frame.geometry.iloc[0].bounds == pytest.approx((9.98, 53.63, 9.9805, 53.6303))


def test_no_airplanes_give_an_empty_collection(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", [])
    assert json.loads((tmp_path / "a.geojson").read_text()) == {"type": "FeatureCollection", "features": []}


@given(st.lists(airplanes, max_size=4))
def test_a_frame_has_the_fields_in_order(drawn: list[Airplane]) -> None:
    frame = to_frame(drawn)
    assert list(frame.columns) == ["geometry", *records.PROPERTIES]
    assert frame.crs == "OGC:CRS84"
    assert list(frame.geometry) == [plane.geometry for plane in drawn]
    assert list(frame.score) == [plane.score for plane in drawn]
    assert [None if text != text else text for text in frame.acquired_at] == [plane.acquired_at for plane in drawn]
    assert list(frame.length_m.isna()) == [plane.length_m is None for plane in drawn]


def test_an_empty_frame_has_the_same_types() -> None:
    assert list(to_frame([]).dtypes) == list(to_frame([airplane()]).dtypes)
