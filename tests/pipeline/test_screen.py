"""Screening: which fine tiles are inferred, the detections, and the ledger."""

import dataclasses
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import shapely
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from hypothesis import given
from hypothesis import strategies as st

from geo.grid import Tile
from geo.types import Detections, FloatArray
from model.inference.predictor import FakePredictor
from pipeline import local, planning
from pipeline.config import Screen
from pipeline.ledger import SceneResult
from pipeline.transforms import DetectAirplanes
from pipeline.values import Scene, SceneSource, TileOutcome
from tests.pipeline.scenes import AIRPLANES, CONFIG, IDENTITY, write_damaged_scene, write_scene

SIZE = (1500, 1100)
# Airplanes in one corner, and far from them a spot too dim to be one, but bright enough to be a candidate.
SPOT = (1200, 900, 1220, 914, 110)
SCREENED = dataclasses.replace(CONFIG, screen=Screen(min_score=0.4, margin_m=40.0))


class Unsure(FakePredictor):
    """Also returns detections of low score."""

    def __call__(self, images: np.ndarray) -> list[Detections]:
        brighter = np.where(images >= 100, np.maximum(images, 128), images)
        detections = super().__call__(brighter)
        return [
            dataclasses.replace(detected, scores=np.array([_level(image, box) / 255 for box in detected.boxes]))
            for image, detected in zip(images, detections, strict=True)
        ]


def _level(image: np.ndarray, box: FloatArray) -> float:
    xmin, ymin, xmax, ymax = (int(side) for side in box)
    return float(image[ymin:ymax, xmin:xmax, 0].max())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return opened(write_scene(tmp_path / "a.tif", [*AIRPLANES, SPOT], size=SIZE))


def opened(path: Path) -> Scene:
    return planning.open_scene(SceneSource(str(path)), CONFIG)


def test_screening_loses_no_airplane_and_skips_most_tiles(scene: Scene) -> None:
    everywhere = local.detect_scene(scene, CONFIG, Unsure(), IDENTITY)
    near = local.detect_scene(scene, SCREENED, Unsure(), IDENTITY)
    assert [airplane.geometry for airplane in near.airplanes if airplane.score >= 0.5] == [
        airplane.geometry for airplane in near.airplanes
    ]
    confident = [airplane for airplane in everywhere.airplanes if airplane.score >= 0.5]
    assert [airplane.geometry for airplane in near.airplanes] == [airplane.geometry for airplane in confident]
    assert len(near.airplanes) == len(AIRPLANES)
    planned = len(list(planning.scene_tiles(scene, CONFIG.tiling)))
    assert near.entry.parts_planned == near.entry.parts_done + near.entry.parts_screened == planned
    assert near.entry.parts_screened > planned / 2
    assert (near.entry.status, near.entry.error) == ("complete", None)


def test_the_ledger_counts_ground_inferred_only_on_the_coarsest_level(scene: Scene) -> None:
    everywhere = local.detect_scene(scene, CONFIG, Unsure(), IDENTITY).entry
    near = local.detect_scene(scene, SCREENED, Unsure(), IDENTITY).entry
    assert (everywhere.km2_coarse, everywhere.parts_screened) == (0.0, 0)
    assert 0 < near.km2 < everywhere.km2 / 2
    assert near.km2 + near.km2_coarse == pytest.approx(everywhere.km2, rel=1e-5)


def test_detections_below_the_screening_score_are_no_candidates(scene: Scene) -> None:
    stricter = dataclasses.replace(CONFIG, screen=Screen(min_score=0.45, margin_m=40.0))
    entries = [
        local.detect_scene(scene, config, Thresholded(config.screen), IDENTITY).entry for config in (SCREENED, stricter)
    ]
    assert entries[1].parts_screened > entries[0].parts_screened


class Thresholded(Unsure):
    """As the model is loaded: no detections below a minimum score."""

    def __init__(self, screen: Screen | None) -> None:
        self._min_score = screen.min_score if screen else 0.0

    def __call__(self, images: np.ndarray) -> list[Detections]:
        return [
            detected.take(np.flatnonzero(detected.scores >= self._min_score)) for detected in super().__call__(images)
        ]


def test_a_scene_of_one_level_is_not_screened(tmp_path: Path) -> None:
    coarse = opened(write_scene(tmp_path / "a.tif", resolution=1.0))
    one_level = dataclasses.replace(coarse, plan=coarse.plan[-1:])
    entry = local.detect_scene(one_level, SCREENED, FakePredictor(), IDENTITY).entry
    assert (entry.parts_screened, entry.km2_coarse) == (0, 0.0)
    assert entry.parts_done == entry.parts_planned


def test_finer_tiles_are_inferred_where_the_coarse_tile_failed(tmp_path: Path) -> None:
    scene = opened(write_damaged_scene(tmp_path / "a.tif"))
    coarse = [
        outcome
        for outcome in local.detect_tiles(scene, SCREENED, FakePredictor())
        if outcome.tile.level == scene.levels[-1]
    ]
    failed = [outcome for outcome in coarse if outcome.status == "failed"]
    assert failed
    near, _ = planning.split_fine_tiles(scene, CONFIG.tiling, Screen(0.4, 0.0), failed)
    cores = shapely.box(*np.array([_sides(outcome.tile) for outcome in failed]).T)
    assert near
    assert all(shapely.intersects(cores, shapely.box(*_sides(tile))).any() for tile in near)


def _sides(tile: Tile) -> list[float]:
    core, by = tile.core, tile.level.scale_x
    return [side * by for side in (core.col, core.row, core.right, core.bottom)]


point_lists = st.lists(st.tuples(st.floats(0, SIZE[0]), st.floats(0, SIZE[1])), max_size=5)


@given(points=point_lists, margin=st.floats(0, 300))
def test_tiles_are_chosen_by_their_distance_to_candidates(
    coarse_tile: tuple[Scene, TileOutcome], points: list[tuple[float, float]], margin: float
) -> None:
    scene, outcome = coarse_tile
    coarse = dataclasses.replace(outcome, candidates=np.array(points, np.float64).reshape(-1, 2))
    near, far = planning.split_fine_tiles(scene, CONFIG.tiling, Screen(0.4, margin), [coarse])
    mx, my = scene.header.resolution_m
    for tiles, expected in ((near, True), (far, False)):
        for tile in tiles:
            left, top, right, bottom = _sides(tile)
            gaps = [max((left - x) * mx, (x - right) * mx, (top - y) * my, (y - bottom) * my) for x, y in points]
            nearest = min(gaps, default=np.inf)
            assert abs(nearest - margin) < 1e-6 or (nearest < margin) == expected


@pytest.fixture(scope="module")
def coarse_tile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, TileOutcome]:
    """A scene, and the outcome of its only coarse tile."""
    scene = opened(write_scene(tmp_path_factory.mktemp("screen") / "a.tif", size=SIZE))
    return scene, next(local.detect_tiles(scene, SCREENED, FakePredictor()))


def test_screening_on_beam_equals_local(tmp_path: Path) -> None:
    paths = [
        write_scene(tmp_path / "a.tif", [*AIRPLANES, SPOT], size=SIZE),
        write_damaged_scene(tmp_path / "b.tif"),
        write_scene(tmp_path / "c.tif", [], size=SIZE),
    ]
    sources = [SceneSource(str(path)) for path in paths]
    expected = local.detect_scenes(sources, SCREENED, Unsure(), IDENTITY)

    def alike(results: list[SceneResult]) -> None:
        sorted_results = sorted(map(timeless, results), key=lambda result: result.entry.scene_uri)
        assert sorted_results == [timeless(result) for result in expected]

    with beam.Pipeline(FnApiRunner()) as pipeline:
        assert_that(pipeline | beam.Create(sources) | DetectAirplanes(SCREENED, Unsure, IDENTITY), alike)
    assert expected[2].entry.parts_screened > 0


def timeless(result: SceneResult) -> SceneResult:
    return dataclasses.replace(result, entry=dataclasses.replace(result.entry, seconds=0.0))
