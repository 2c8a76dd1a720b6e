"""Files of airports, and the commands that write, show and check them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Geod

from geo.errors import ConfigError
from geo.polygons import LocalPlane
from pipeline.monitor.__main__ import main
from pipeline.monitor.airports import load_airports, overlaps, stray_spots

CONFIGS = Path(__file__).parents[3] / "configs" / "airports"
GEOD = Geod(ellps="WGS84")
SQUARE = [[9.98, 53.62], [10.0, 53.62], [10.0, 53.64], [9.98, 53.64]]


def test_the_airports_of_the_talk() -> None:
    airports = load_airports(CONFIGS / "talk.yaml")
    assert [airport.iata for airport in airports] == ["TLS", "LAX", "SFO", "CDG", "LBG", "SEA", "NRT", "ICN", "DMA"]
    assert [airport.icao for airport in airports] == [
        "LFBO", "KLAX", "KSFO", "LFPG", "LFPB", "KSEA", "RJAA", "RKSI", "KDMA",
    ]  # fmt: skip
    assert overlaps(airports) == []
    assert all(10 < airport.km2 < 70 for airport in airports)


def test_a_circle_is_one_on_the_ground(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("airports: [{name: X, icao: PAFA, centre: [-147.856, 64.815], radius_m: 3000}]")
    (airport,) = load_airports(tmp_path / "a.yaml")
    corners = shapely.get_coordinates(airport.area.polygons)
    distances = GEOD.inv(np.full(len(corners), -147.856), np.full(len(corners), 64.815), *corners.T)[2]
    assert distances.max() <= 3000.01
    assert distances.min() > 2990
    assert airport.id == "PAFA"


def test_the_plane_measures_metres() -> None:
    plane = LocalPlane(-179.99, 52.0)
    lonlat = np.array([[179.95, 52.02], [-179.9, 51.97], [190.0 - 370, 52.0]])
    metres = plane.to_metres(lonlat)
    for point, (lon, lat) in zip(metres, lonlat, strict=True):
        assert np.hypot(*point) == pytest.approx(GEOD.inv(-179.99, 52.0, lon, lat)[2], abs=1e-6)
    back = plane.to_lonlat(metres)
    assert (back[:, 0] - lonlat[:, 0]) % 360 == pytest.approx([0, 0, 0], abs=1e-9) or np.allclose(
        (back[:, 0] - lonlat[:, 0] + 180) % 360 - 180, 0, atol=1e-9
    )
    ends = plane.shape_to_lonlat(shapely.LineString(metres[:2]))
    assert abs(ends.coords[0][0] - ends.coords[1][0]) < 1  # continuous across the antimeridian


def test_stands_and_aprons(tmp_path: Path) -> None:
    stands = "stands: [{id: A1, centre: [9.99, 53.63]}, {id: A2, centre: [9.99, 53.65], radius_m: 30}]"
    apron = f"aprons: [{{name: East, polygon: {SQUARE}}}]"
    (tmp_path / "a.yaml").write_text(f"airports: [{{name: X, id: HAM, polygon: {SQUARE}, {stands}, {apron}}}]")
    (airport,) = load_airports(tmp_path / "a.yaml")
    assert [stand.name for stand in airport.stands] == ["A1", "A2"]
    assert airport.stands[0].polygon.area == pytest.approx(np.pi * 20**2, rel=0.01)
    assert airport.aprons[0].polygon.area == pytest.approx(1e6 * airport.km2, rel=1e-6)
    assert stray_spots(airport) == ["A2"]


def test_areas_to_ignore(tmp_path: Path) -> None:
    ignore = "ignore: [{centre: [9.99, 53.63]}, {polygon: [[9.99, 53.63], [9.991, 53.63], [9.991, 53.631]]}]"
    (tmp_path / "a.yaml").write_text(f"airports: [{{name: X, id: HAM, polygon: {SQUARE}, {ignore}}}]")
    (airport,) = load_airports(tmp_path / "a.yaml")
    assert airport.ignored[0].polygon.area == pytest.approx(np.pi * 20**2, rel=0.01)
    assert len(airport.ignored) == 2
    (tmp_path / "a.yaml").write_text(f"airports: [{{name: X, id: HAM, polygon: {SQUARE}, ignore: [{{radius_m: 20}}]}}]")
    with pytest.raises(ConfigError, match="expected centre and radius_m, or polygon"):
        load_airports(tmp_path / "a.yaml")


def test_geojson_says_the_same(tmp_path: Path) -> None:
    def feature(geometry: dict[str, Any], **properties: Any) -> dict[str, Any]:
        return {"type": "Feature", "geometry": geometry, "properties": properties}

    polygon = {"type": "Polygon", "coordinates": [[*SQUARE, SQUARE[0]]]}
    point = {"type": "Point", "coordinates": [9.99, 53.63]}
    features = [
        feature(polygon, name="X", iata="HAM", comment="ignored"),
        feature(point, kind="stand", airport="HAM", id="A1", radius_m=25),
        feature(point, kind="ignore", airport="HAM", radius_m=15),
        feature(polygon, kind="apron", airport="HAM", name="East"),
        feature({"type": "Point", "coordinates": [1.36, 43.63]}, name="T", icao="LFBO", iata="TLS", radius_m=2000),
    ]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    first, second = load_airports(path)
    yaml = tmp_path / "a.yaml"
    yaml.write_text(
        f"airports: [{{name: X, iata: HAM, polygon: {SQUARE}, "
        "stands: [{id: A1, centre: [9.99, 53.63], radius_m: 25}], "
        f"aprons: [{{name: East, polygon: {SQUARE}}}], ignore: [{{centre: [9.99, 53.63], radius_m: 15}}]}},"
        "{name: T, icao: LFBO, iata: TLS, centre: [1.36, 43.63], radius_m: 2000}]"
    )
    assert (first, second) == load_airports(yaml)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: X, centre: [1, 2], radius_m: 9}", "expected an iata or icao code, or an id, got none"),
        ("{name: X, icao: lfbo, centre: [1, 2], radius_m: 9}", "icao: expected four capital letters"),
        ("{name: X, iata: TLSX, centre: [1, 2], radius_m: 9}", "iata: expected three"),
        ("{name: X, id: ../x, centre: [1, 2], radius_m: 9}", "id: expected letters"),
        ("{name: X, iata: TLS, centre: [1, 2]}", "expected centre and radius_m, or polygon"),
        ("{name: X, iata: TLS, centre: [1, 200], radius_m: 9}", "longitude comes first"),
        ("{name: X, iata: TLS, centre: [1, 2], radius_m: -9}", "radius_m: expected metres above 0"),
        ("{name: X, iata: TLS, polygon: [[1, 2], [1, 3]]}", "three corners or more"),
        ("{name: X, iata: TLS, polygon: [[0, 0], [0.01, 0.01], [0.01, 0], [0, 0.01]]}", "edges that do not cross"),
        ("{name: X, iata: TLS, polygon: [[0, 0], [1, 0], [1, 1]]}", "at most 50 km across"),
        ("{name: X, iata: TLS, centre: [1, 2], radius_m: 9, size: 3}", "unknown key airports[0].size"),
        (
            "{name: X, iata: TLS, centre: [1, 2], radius_m: 9}, {name: Y, iata: TLS, centre: [1, 2], radius_m: 9}",
            "twice",
        ),
    ],
)
def test_a_wrong_airport_is_refused(tmp_path: Path, entry: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(f"airports: [{entry}]")
    with pytest.raises(ConfigError) as error:
        load_airports(tmp_path / "a.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("name", ["a.yaml", "a.geojson"])
def test_add_list_check(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    file = str(tmp_path / "new" / name)
    add = ["airports", "add", "--airports", file]
    assert main([*add, "--name", "Toulouse", "--iata", "TLS", "--centre", "1.36", "43.63", "--radius-m", "2000"]) == 0
    area = tmp_path / "area.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [[*SQUARE, SQUARE[0]]]}))
    assert main([*add, "--name", "Hamburg", "--icao", "EDDH", "--polygon", str(area)]) == 0
    before = Path(file).read_bytes()
    assert main([*add, "--name", "Again", "--iata", "TLS", "--centre", "1.36", "43.63", "--radius-m", "2000"]) == 2
    assert main([*add, "--name", "Nowhere", "--iata", "NWH"]) == 2
    assert Path(file).read_bytes() == before
    capsys.readouterr()
    assert main(["airports", "list", "--airports", file]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "TLS: Toulouse (TLS) at 43.6300, 1.3600 (latitude, longitude), 12.5 km2"
    assert second.startswith("EDDH: Hamburg (EDDH) at 53.6300, 9.9900")
    assert main(["airports", "check", "--airports", file]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{file}: valid, airports: 2"


def test_comments_of_a_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text((CONFIGS / "talk.yaml").read_text())
    add = ["airports", "add", "--airports", str(file), "--name", "Hamburg", "--iata", "HAM"]
    assert main([*add, "--centre", "9.99", "53.63", "--radius-m", "2500"]) == 0
    assert file.read_text().startswith((CONFIGS / "talk.yaml").read_text().rstrip())
    assert len(load_airports(file)) == 10
