"""The same scene in every pixel type, format and georeference: the same airplanes at the same positions."""

import dataclasses
from pathlib import Path

import pytest

from model.inference.predictor import Predictor
from pipeline import planning
from pipeline.config import load_config
from pipeline.ledger import SceneResult
from pipeline.model_loading import ModelSpec, describe_model, load_model
from pipeline.records import Airplane
from pipeline.values import Scene, SceneSource
from tests.integration.imagery import CASES, Case, Reference, Variant, agreement, detect, reference_scene
from tests.precisions import PRECISIONS


@dataclasses.dataclass(frozen=True)
class Bench:
    """The packaged model, the reference scene, its airplanes and its area."""

    spec: ModelSpec
    predictor: Predictor
    reference: Reference
    airplanes: tuple[Airplane, ...] = ()
    km2: float = 0.0

    def detect(self, variant: Variant) -> tuple[Scene, SceneResult]:
        return detect(str(variant.path), self.spec.config, self.predictor, self.spec.identity, variant.settings)


@pytest.fixture(scope="module", params=PRECISIONS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    # Positions are those of the boxes: outlines in other rasters are tested with the keypoint model.
    config = dataclasses.replace(load_config(), precision=request.param, keypoints=None)
    spec = describe_model(config)
    bench = Bench(spec, load_model(spec), reference_scene())
    _, result = bench.detect(CASES[0].write(tmp_path_factory.mktemp("reference"), bench.reference))
    return dataclasses.replace(bench, airplanes=result.airplanes, km2=result.entry.km2)


def test_the_reference_scene_has_airplanes(bench: Bench) -> None:
    assert len(bench.airplanes) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_airplanes_are_detected_at_the_same_positions(bench: Bench, case: Case, tmp_path: Path) -> None:
    variant = case.write(tmp_path, bench.reference)
    scene, result = bench.detect(variant)
    assert result.entry.status == "complete"
    agreed = agreement(result.airplanes, bench.airplanes, scene, variant)
    assert agreed.placed_m < 1e-3
    assert agreed.round_trip_px < 0.01
    assert agreed.matched >= len(bench.airplanes) - case.lost
    assert agreed.detected <= agreed.matched + case.lost
    assert agreed.score <= case.score
    assert agreed.metres <= case.metres


@pytest.mark.parametrize(
    ("name", "levels_m"),
    [("0.15 m", [0.5, 1.25]), ("0.3 m", [0.5, 1.25]), ("1 m", [0.5, 1.0, 2.0]), ("3 m", [2.0])],
)
def test_levels_have_the_same_ground_resolutions(
    bench: Bench, name: str, levels_m: list[float], tmp_path: Path
) -> None:
    (case,) = [case for case in CASES if case.name == name]
    scene = planning.open_scene(SceneSource(str(case.write(tmp_path, bench.reference).path)), bench.spec.config)
    assert [level.resolution_m for level in scene.levels] == pytest.approx(levels_m, rel=0.11)


@pytest.mark.parametrize("name", ["nodata around", "black around"])
def test_nodata_is_not_counted_as_ground(bench: Bench, name: str, tmp_path: Path) -> None:
    (case,) = [case for case in CASES if case.name == name]
    assert bench.detect(case.write(tmp_path, bench.reference))[1].entry.km2 == pytest.approx(bench.km2, rel=0.005)
