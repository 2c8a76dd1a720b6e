import json
import stat
from collections.abc import Iterator
from pathlib import Path

import geopandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import records
from pipeline.errors import OutputError
from pipeline.records import Airplane
from pipeline.sinks.frame import to_frame
from pipeline.sinks.files import read_geojson, write_geojson
from pipeline.sinks.whole import check_writable, write_atomically
from tests.pipeline.airplanes import airplane, airplanes


@given(st.lists(airplanes, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_geojson_holds_every_airplane_in_any_order_of_arrival(tmp_path: Path, drawn: list[Airplane]) -> None:
    write_geojson(tmp_path / "a.geojson", drawn)
    write_geojson(tmp_path / "b.geojson", drawn[::-1])
    assert read_geojson(tmp_path / "a.geojson") == sorted(drawn, key=records.sort_key)
    if len({records.sort_key(one) for one in drawn}) == len(drawn):
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


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def chunks() -> Iterator[str]:
        yield "new"
        assert not path.exists() or path.read_text() == "old"
        raise OSError(28, "No space left on device")

    for before in (None, "old"):
        if before:
            path.write_text(before)
        with pytest.raises(OutputError, match=r"a\.txt: .*No space left on device"):
            write_atomically(path, chunks())
        assert (path.read_text() if path.exists() else None) == before
        assert [file.name for file in tmp_path.iterdir()] == (["a.txt"] if before else [])


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a longer old text")
    write_atomically(path, ["ne", "w"])
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_usual_rights(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", ["a"])
    (tmp_path / "b.txt").write_text("b")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")]
    assert modes[0] == modes[1]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "a.geojson")
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_an_unwritable_place_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"a\.geojson: expected a place that can be written, got '.+': name another"):
        check_writable(tmp_path / "file" / "a.geojson")
    with pytest.raises(OutputError, match="folder: expected the name of a file to write, got a folder: add"):
        check_writable(tmp_path / "folder")


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
