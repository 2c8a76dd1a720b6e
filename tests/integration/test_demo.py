"""The demo from end to end: sample scenes, the packaged model, the main job, the report."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import Polygon, box, shape

from geo.raster.header import read_header
from pipeline import demo
from pipeline.ledger import read_ledger
from pipeline.sinks.files import read_geojson

# The smallest scenes that have every kind of tile: at an edge, at a seam, on two levels.
SIZE = 1600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of the demo, run in a process of its own."""
    folder = tmp_path_factory.mktemp("demo")
    args = ["--directory", str(folder), "--size", str(SIZE)]
    done = subprocess.run([sys.executable, "-m", "pipeline.demo", *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "recall" in done.stdout
    # Only the summary: no log lines of TensorFlow, GDAL or Beam.
    names = [line.split(" ")[0] for line in done.stderr.splitlines()]
    assert names == ["airplanes", "scenes", "area", "time", "run", "written", "", ""], done.stderr
    return folder


def scenes(folder: Path) -> list[Path]:
    return sorted((folder / "scenes").glob("*.tif"))


def test_it_writes_airplanes_report_and_ledger(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"airplanes.geojson", "ledger.json", "report.html", "scenes"}
    ledger = read_ledger(folder / "ledger.json")
    assert ledger.complete
    assert ledger.totals.scenes == len(demo.SEEDS)
    assert ledger.totals.airplanes == len(read_geojson(folder / "airplanes.geojson"))
    assert ledger.totals.km2 == pytest.approx(len(demo.SEEDS) * (SIZE * demo.RESOLUTION_M) ** 2 / 1e6, rel=0.01)


def test_it_detects_the_airplanes(folder: Path) -> None:
    airplanes = read_geojson(folder / "airplanes.geojson")
    comparisons = [
        demo.compare(
            [airplane for airplane in airplanes if airplane.scene_uri == str(scene)],
            scene.with_suffix(".truth.geojson"),
        )
        for scene in scenes(folder)
    ]
    expected, detected, correct = (
        sum(getattr(comparison, name) for comparison in comparisons) for name in ("airplanes", "detections", "correct")
    )
    assert expected > 20
    assert correct >= 0.9 * expected
    assert correct >= 0.9 * detected


def test_airplanes_lie_in_their_scenes_on_the_map(folder: Path) -> None:
    extents = {str(scene): extent(scene) for scene in scenes(folder)}
    collection = json.loads((folder / "airplanes.geojson").read_text(encoding="utf-8"))
    assert "crs" not in collection
    for feature in collection["features"]:
        outline = shape(feature["geometry"])
        assert outline.exterior.is_ccw
        assert extents[feature["properties"]["scene_uri"]].contains(outline)


def extent(scene: Path) -> Polygon:
    """The scene's bounds in longitude and latitude, a little wider for the corners that the graticule turns."""
    georef = read_header(str(scene)).georef
    assert georef is not None
    corners = georef.pixel_to_lonlat(np.array([[0.0, 0.0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]]))
    return box(*corners.min(axis=0), *corners.max(axis=0)).buffer(1e-6)


def test_a_second_run_renders_nothing_and_writes_the_same_bytes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = {scene: scene.stat().st_mtime_ns for scene in scenes(folder)}
    written = (folder / "airplanes.geojson").read_bytes()
    assert demo.main(["--directory", str(folder), "--size", str(SIZE)]) == 0
    assert "rendering" not in capsys.readouterr().out
    assert {scene: scene.stat().st_mtime_ns for scene in scenes(folder)} == drawn
    assert (folder / "airplanes.geojson").read_bytes() == written


def test_a_scene_that_cannot_be_rendered_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--directory", str(tmp_path), "--size", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: size: expected 64")
