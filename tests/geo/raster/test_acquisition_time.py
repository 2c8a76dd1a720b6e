"""Acquisition times from tags and from file names."""

import datetime
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import ConfigError
from geo.raster.acquisition_time import check_rule, time_in_name
from geo.raster.header import SceneHeader, read_header
from tests.geo.scenes import noise, write_tiff

LOOSE = "(?P<year>.*)(?P<month>.*)(?P<day>.*)"
DAY = r"(?P<year>\d{4})-?(?P<month>\d\d)-?(?P<day>\d\d)"
TIME = DAY + r"(?:[T_]?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?)?"


def tagged(path: Path, sensor: str | None = None, **tags: str) -> SceneHeader:
    write_tiff(path, noise(80, 70))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**tags)
        if sensor is not None:
            dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME=sensor)
    return read_header(str(path))


def test_the_tag_of_the_sensor_takes_precedence(tmp_path: Path) -> None:
    made = "2024:05:06 07:08:09"
    assert tagged(tmp_path / "a.tif").acquired_at is None
    assert tagged(tmp_path / "a.tif", TIFFTAG_DATETIME=made).acquired_at == "2024-05-06T07:08:09Z"
    assert (
        tagged(tmp_path / "a.tif", "2023-12-31 23:59:58", TIFFTAG_DATETIME=made).acquired_at == "2023-12-31T23:59:58Z"
    )


@pytest.mark.parametrize("value", ["", "0000:00:00 00:00:00", "2024:02:30 07:08:09", "2024-05-06", "yesterday"])
def test_invalid_times_in_tags_are_skipped(tmp_path: Path, value: str) -> None:
    assert tagged(tmp_path / "a.tif", TIFFTAG_DATETIME=value).acquired_at is None
    made = "2024:05:06 07:08:09"
    assert tagged(tmp_path / "a.tif", value, TIFFTAG_DATETIME=made).acquired_at == "2024-05-06T07:08:09Z"


def test_undecodable_tags_are_skipped(tmp_path: Path) -> None:
    header = tagged(tmp_path / "a.tif", TIFFTAG_DATETIME="2024:05:06 07:08:09")
    path = Path(header.uri)
    path.write_bytes(path.read_bytes().replace(b"2024:05:06 07", b"2024:\xff5:06 07"))
    assert read_header(header.uri).acquired_at is None


def test_nitf_has_an_acquisition_time(tmp_path: Path) -> None:
    layout = {"driver": "NITF", "width": 80, "height": 70, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    affine = Affine(1e-5, 0, 9, 0, -1e-5, 50)
    with rasterio.open(
        tmp_path / "a.ntf", "w", transform=affine, ICORDS="G", IDATIM="20240506070809", **layout
    ) as dataset:
        dataset.write(np.moveaxis(noise(80, 70, bands=1), -1, 0))
    assert read_header(str(tmp_path / "a.ntf")).acquired_at == "2024-05-06T07:08:09Z"


def test_the_time_is_not_part_of_the_fingerprint(tmp_path: Path) -> None:
    first, second = (tagged(tmp_path / "a.tif", TIFFTAG_DATETIME=f"2024:05:0{day} 07:08:09") for day in (6, 7))
    assert first.acquired_at != second.acquired_at
    assert first.scene_id == second.scene_id


@given(st.datetimes(datetime.datetime(1000, 1, 1)))
def test_any_time_is_read_from_a_name(taken: datetime.datetime) -> None:
    expected = taken.replace(microsecond=0).isoformat() + "Z"
    assert time_in_name(f"x/{taken:%Y-%m-%dT%H%M%S}_visual.tif", TIME) == expected
    assert time_in_name(f"x_{taken:%Y%m%d}.tif", TIME) == expected[:11] + "00:00:00Z"
    assert time_in_name(f"x_{taken:%Y%m%d}.tif", DAY) == expected[:11] + "00:00:00Z"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("2024-05-06/scene.tif", None),
        ("2024-05-06/scene_20230201.tif", "2023-02-01T00:00:00Z"),
        ("scene_20240506_0708.tif", "2024-05-06T07:08:00Z"),
        ("scene_20240506_070809.tif", "2024-05-06T07:08:09Z"),
        ("scene_20241306.tif", None),
        ("scene_20240230.tif", None),
        ("scene_20240506_246060.tif", None),
        ("https://example.com/20240506/scene.tif?signed=20240506", None),
        ("https://example.com/x/a%20b_20240506.tif?signed=20230101", "2024-05-06T00:00:00Z"),
        ("gs://bucket/20230101/20240506.tif", "2024-05-06T00:00:00Z"),
        ("", None),
    ],
)
def test_only_the_file_name_is_searched(uri: str, expected: str | None) -> None:
    assert time_in_name(uri, TIME) == expected


def test_years_of_two_digits_are_skipped() -> None:
    assert time_in_name("240506.tif", r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)") is None


@given(st.text(), st.sampled_from([DAY, TIME, LOOSE, "(?P<year>)(?P<month>)(?P<day>)"]))
def test_no_name_raises(uri: str, rule: str) -> None:
    time = time_in_name(uri, rule)
    assert time is None or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("(?P<year>", r"expected a regular expression, got '\(\?P<year>' \(.+\): correct it"),
        ("", "expected the named groups year, month, day, .* got none: write such as"),
        (r"(\d{4})(\d\d)(\d\d)", "got none: write"),
        (r"(?P<year>\d{4})(?P<day>\d\d)", "got day, year: write"),
        (DAY + r"(?P<minute>\d\d)", "got day, minute, month, year: write"),
        (DAY + r"(?P<hours>\d\d)", "got day, hours, month, year: write"),
    ],
)
def test_rules_without_a_date_are_rejected(rule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_rule(rule)


@pytest.mark.parametrize("rule", [DAY, TIME])
def test_valid_rules_are_accepted(rule: str) -> None:
    check_rule(rule)
