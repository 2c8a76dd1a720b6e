import json
from pathlib import Path

import geopandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import records
from pipeline.records import Airplane
from pipeline.sinks.frame import to_frame
from pipeline.sinks.geojson import read_geojson, write_geojson
from tests.pipeline.airplanes import airplane, airplanes


@given(st.lists(airplanes, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_geojson_holds_every_airplane_in_any_order_of_arrival(tmp_path: Path, drawn: list[Airplane]) -> None:
    write_geojson(tmp_path / "a.geojson", drawn)
    write_geojson(tmp_path / "b.geojson", drawn[::-1])
    assert read_geojson(tmp_path / "a.geojson") == sorted(drawn, key=records.order)
    if len({records.order(one) for one in drawn}) == len(drawn):
        assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_geojson_is_what_rfc_7946_says(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", [airplane()])
    collection = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))
    assert set(collection) == {"type", "features"}
    assert collection["type"] == "FeatureCollection"
    (feature,) = collection["features"]
    assert feature["type"] == "Feature"
    (exterior,) = feature["geometry"]["coordinates"]
    assert exterior[0] == exterior[-1]


def test_other_programs_read_it(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", [airplane("1"), airplane("2", xmin_px=99.0)])
    frame = geopandas.read_file(tmp_path / "a.geojson")
    assert frame.crs == "OGC:CRS84" or frame.crs.to_epsg() == 4326
    assert list(frame.detection_id) == ["1", "2"]
    assert frame.geometry.iloc[0].bounds == pytest.approx((9.98, 53.63, 9.9805, 53.6303))


def test_no_airplanes_are_an_empty_collection(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", [])
    assert json.loads((tmp_path / "a.geojson").read_text()) == {"type": "FeatureCollection", "features": []}


@given(st.lists(airplanes, max_size=4))
def test_a_frame_has_the_fields_in_order(drawn: list[Airplane]) -> None:
    frame = to_frame(drawn)
    assert list(frame.columns) == ["geometry", *records.PROPERTIES]
    assert frame.crs == "OGC:CRS84"
    assert list(frame.geometry) == [one.geometry for one in drawn]
    assert list(frame.score) == [one.score for one in drawn]
    assert [None if text != text else text for text in frame.acquired_at] == [one.acquired_at for one in drawn]
    assert list(frame.length_m.isna()) == [one.length_m is None for one in drawn]


def test_an_empty_frame_has_the_types_of_a_full_one() -> None:
    assert list(to_frame([]).dtypes) == list(to_frame([airplane()]).dtypes)
