"""Whatever a scene is brought as, the same airplanes are found, and they lie where they lie."""

import dataclasses
from pathlib import Path

import pytest

from model.predictor import Predictor
from pipeline import steps
from pipeline.config import load_config
from pipeline.engine import Engine, describe_model, load_model
from pipeline.records import Airplane
from pipeline.values import Scene, SceneResult, SceneSource
from tests.integration.imagery import CASES, Case, Made, Plain, agreement, look, plain
from tests.precisions import PRECISIONS


@dataclasses.dataclass(frozen=True)
class Bench:
    """The packaged model, the plain scene, its airplanes and its ground."""

    engine: Engine
    predictor: Predictor
    plain: Plain
    airplanes: tuple[Airplane, ...] = ()
    km2: float = 0.0

    def look(self, made: Made) -> tuple[Scene, SceneResult]:
        return look(str(made.path), self.engine.config, self.predictor, self.engine.identity, made.settings)


@pytest.fixture(scope="module", params=PRECISIONS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    engine = describe_model(dataclasses.replace(load_config(), precision=request.param))
    bench = Bench(engine, load_model(engine), plain())
    _, result = bench.look(CASES[0].write(tmp_path_factory.mktemp("plain"), bench.plain))
    return dataclasses.replace(bench, airplanes=result.airplanes, km2=result.entry.km2)


def test_the_plain_scene_has_airplanes(bench: Bench) -> None:
    assert len(bench.airplanes) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_airplanes_are_found_in_the_same_places(bench: Bench, case: Case, tmp_path: Path) -> None:
    made = case.write(tmp_path, bench.plain)
    scene, result = bench.look(made)
    assert result.entry.status == "complete"
    found = agreement(result.airplanes, bench.airplanes, scene, made)
    assert found.placed_m < 1e-3
    assert found.round_trip_px < 0.01
    assert found.matched >= len(bench.airplanes) - case.lost
    assert found.found <= found.matched + case.lost
    assert found.score <= case.score
    assert found.metres <= case.metres


@pytest.mark.parametrize("name", ["0.15 m", "0.3 m", "1 m", "3 m"])
def test_the_same_ground_resolutions_are_looked_at(bench: Bench, name: str, tmp_path: Path) -> None:
    (case,) = [case for case in CASES if case.name == name]
    scene = steps.open_scene(SceneSource(str(case.write(tmp_path, bench.plain).path)), bench.engine.config)
    asked = [0.5, 1.0, 2.0] if name != "3 m" else [2.0]
    assert [level.resolution_m for level in scene.levels] == pytest.approx(asked, rel=0.11)


@pytest.mark.parametrize("name", ["nodata around", "black around"])
def test_what_is_missing_is_not_counted(bench: Bench, name: str, tmp_path: Path) -> None:
    (part,) = [case for case in CASES if case.name == name]
    assert bench.look(part.write(tmp_path, bench.plain))[1].entry.km2 == pytest.approx(bench.km2, rel=0.005)
