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
from pipeline.records import Airplane, to_frame
from pipeline.sinks.files import check_writable, read_geojson, write_geojson, write_output
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


def test_a_failed_write_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def chunks() -> Iterator[str]:
        yield "new"
        assert not path.exists() or path.read_text() == "old"
        raise OSError(28, "No space left on device")

    for previous in (None, "old"):
        if previous:
            path.write_text(previous)
        with pytest.raises(OutputError, match=r"a\.txt: .*No space left on device"):
            write_output(path, chunks())
        assert (path.read_text() if path.exists() else None) == previous
        assert [file.name for file in tmp_path.iterdir()] == (["a.txt"] if previous else [])


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a longer old text")
    write_output(path, ["ne", "w"])
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_default_permissions(tmp_path: Path) -> None:
    write_output(tmp_path / "a.txt", ["a"])
    (tmp_path / "b.txt").write_text("b")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")]
    assert modes[0] == modes[1]


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "a.geojson")
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_an_unwritable_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"a\.geojson: expected a writable path, got '.+': choose another"):
        check_writable(tmp_path / "file" / "a.geojson")
    with pytest.raises(OutputError, match="folder: expected the name of a file to write, got a folder: add"):
        check_writable(tmp_path / "folder")


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
