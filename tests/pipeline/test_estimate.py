"""The estimate of `--plan` equals what the run then does."""

from pathlib import Path

import pytest
import shapely
from pyproj import CRS

from geo.aoi import AreaOfInterest, build_aoi
from model.inference.predictor import FakePredictor
from pipeline import local, planning, run, steps
from pipeline.ledger import make_ledger
from pipeline.values import SceneSource, TileImage
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.scenes import CONFIG, IDENTITY, write_scene
from tests.pipeline.test_beam import INFO

CORNERS = [[560_000 + x * 0.5, 5_940_000 - y * 0.5] for x, y in ((10, 10), (150, 20), (120, 320), (5, 310))]


@pytest.fixture
def sources(tmp_path: Path) -> list[SceneSource]:
    """A scene, its copy, one turned and of other pixels, and one that is no raster."""
    (tmp_path / "d.tif").write_text("no raster")
    paths = [
        write_scene(tmp_path / "a.tif"),
        write_scene(tmp_path / "b.tif"),
        write_scene(tmp_path / "c.tif", resolution=0.8, rotation=30),
        tmp_path / "d.tif",
    ]
    return [SceneSource(str(path)) for path in paths]


def _images(source: SceneSource, area: AreaOfInterest | None) -> list[TileImage]:
    scene = planning.open_scene(source, CONFIG, area)
    blocks = planning.plan_blocks(scene, CONFIG)
    return [item for block in blocks for item in steps.read_tiles(block) if isinstance(item, TileImage)]


@pytest.mark.parametrize("corners", [None, CORNERS])
def test_the_estimate_equals_the_totals_of_the_run(
    sources: list[SceneSource], corners: list[list[float]] | None
) -> None:
    area = None if corners is None else build_aoi([shapely.Polygon(corners)], CRS("EPSG:32632"))
    planned = planning.estimate(planning.describe_scenes(sources, CONFIG, area), CONFIG)
    results = local.detect_scenes(sources, CONFIG, FakePredictor(), IDENTITY, area)
    done = make_ledger(INFO, 0.0, [result.entry for result in results]).totals
    assert sum(planned.tiles.values()) == done.parts_done == done.parts_planned
    shapes = [item.pixels.shape for source in sources[:1] + sources[2:3] for item in _images(source, area)]
    assert planned.total_mpx == pytest.approx(sum(height * width for height, width, _ in shapes) / 1e6)
    assert planned.km2 == pytest.approx(done.km2, abs=1e-6)
    assert (planned.scenes, planned.duplicates, len(planned.errors)) == (2, done.duplicate, done.failed)
    assert set(planned.tiles) >= {0.5, 1.0}


def test_the_rate_is_measured_on_full_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "RATE_SECONDS", 0.001)
    assert planning.measure_rate(FakePredictor(), CONFIG) > 0


def test_plan_prints_the_estimate_and_writes_nothing(cli: CommandRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "RATE_SECONDS", 0.001)
    before = sorted(cli.folder.rglob("*"))
    args = ["--input", "a.tif", "--output", "x.geojson", "--config", "settings.yaml", "--model", str(cli.model)]
    assert run.main([*args, "--plan"]) == 0
    captured = cli.capsys.readouterr()
    assert captured.out.splitlines()[0] == "1 scenes to process, 0 that cannot be"
    assert [line.split(":")[0] for line in captured.out.splitlines()[1:3]] == ["0.5 m", "1 m"]
    assert "hours for the model on this machine" in captured.out.splitlines()[-1]
    assert captured.err == ""
    assert sorted(cli.folder.rglob("*")) == before


def test_plan_reports_scenes_that_cannot_be_processed(cli: CommandRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "RATE_SECONDS", 0.001)
    (cli.folder / "d.tif").write_text("no raster")
    args = ["--input", "*.tif", "--output", "x.geojson", "--config", "settings.yaml", "--model", str(cli.model)]
    assert run.main([*args, "--plan"]) == 1
    captured = cli.capsys.readouterr()
    assert captured.out.splitlines()[0] == "1 scenes to process, 1 that cannot be"
    assert captured.err.startswith("failed: ")
    assert "d.tif" in captured.err


def test_the_estimate_mentions_screening(sources: list[SceneSource]) -> None:
    estimate = planning.estimate(planning.describe_scenes(sources, CONFIG), CONFIG)
    without_screen, with_screen = (
        list(planning.estimate_lines(estimate, with_screen)) for with_screen in (False, True)
    )
    assert len(with_screen) == len(without_screen) + 1
    assert any(f"{estimate.total_mpx:,.1f} Mpx" in line for line in without_screen)
