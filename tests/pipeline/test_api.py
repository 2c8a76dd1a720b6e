import dataclasses
import json
import subprocess
import sys
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

import pipeline
from geo.errors import ConfigError, InputError, RasterError
from model.inference.engine import Engine
from model.inference.model_folder import WeightsError
from model.inference.predictor import FakePredictor
from pipeline import model_loading, records
from pipeline.config import Screen
from pipeline.model_loading import ModelSpec, load_model, loading
from pipeline.sinks.files import read_geojson
from pipeline.values import Identity
from tests.pipeline.scenes import AIRPLANES, CONFIG, write_damaged_scene, write_scene
from tests.pipeline.stac_files import ACQUIRED_AT, asset, item, items, write


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(json.dumps(dataclasses.asdict(CONFIG)))
    return path


def test_detect_returns_the_fields_of_every_output(tmp_path: Path, settings: Path, model_folder: Path) -> None:
    frame = pipeline.detect(write_scene(tmp_path / "a.tif"), config=settings, model=str(model_folder))
    assert list(frame.columns) == ["geometry", *records.PROPERTIES]
    assert frame.crs == "OGC:CRS84"
    assert len(frame) == len(AIRPLANES)
    assert frame.score.is_monotonic_decreasing


def test_detect_returns_what_the_command_writes(
    tmp_path: Path, settings: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline import run

    scene, output = str(write_scene(tmp_path / "a.tif")), tmp_path / "x.geojson"
    argv = ["--input", scene, "--output", str(output), "--config", str(settings), "--model", str(model_folder)]
    assert run.main(argv) == 0
    frame = pipeline.detect(scene, config=settings, model=str(model_folder))
    assert list(frame.detection_id) == [plane.detection_id for plane in read_geojson(output)]


def test_min_score_overrides_the_settings(tmp_path: Path, settings: Path, model_folder: Path) -> None:
    scene = write_scene(tmp_path / "a.tif")
    frame = pipeline.detect(scene, config=str(settings), model=str(model_folder), min_score=0.9)
    assert len(frame) == 3


def test_detect_reads_the_acquisition_time_from_the_file_name(tmp_path: Path, model_folder: Path) -> None:
    rule = r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(CONFIG, acquired_in_name=rule))))
    frame = pipeline.detect(write_scene(tmp_path / "x_20250203.tif"), config=settings, model=str(model_folder))
    assert set(frame.acquired_at) == {"2025-02-03T00:00:00Z"}


def test_detect_accepts_a_stac_item(tmp_path: Path, settings: Path, model_folder: Path) -> None:
    write_scene(tmp_path / "a.tif")
    single = write(tmp_path / "i.json", item("S-1"))
    frame = pipeline.detect(single, config=settings, model=str(model_folder))
    assert set(frame.scene_id) == {"S-1"}
    assert set(frame.acquired_at) == {ACQUIRED_AT}
    double = write(tmp_path / "items.json", items(item("a"), item("b", assets={"data": asset("b.tif")})))
    with pytest.raises(InputError, match=r"items\.json: expected one scene, got 2: name an item"):
        pipeline.detect(double, config=settings, model=str(model_folder))


def test_an_incomplete_scene_is_an_error(tmp_path: Path, settings: Path, model_folder: Path) -> None:
    with pytest.raises(RasterError, match=r"parts could not be read.*a\.tif"):
        pipeline.detect(write_damaged_scene(tmp_path / "a.tif"), config=settings, model=str(model_folder))
    with pytest.raises(RasterError, match=r"missing\.tif"):
        pipeline.detect("missing.tif", config=settings, model=str(model_folder))
    with pytest.raises(ConfigError, match="min_score"):
        pipeline.detect("missing.tif", config=settings, model=str(model_folder), min_score=7)


def test_a_scene_without_valid_pixels_differs_from_one_without_airplanes(
    tmp_path: Path, settings: Path, model_folder: Path
) -> None:
    assert len(pipeline.detect(write_scene(tmp_path / "a.tif", []), config=settings, model=str(model_folder))) == 0
    with pytest.raises(RasterError, match=r"b\.tif: expected valid pixels, got none: no pixel of it is valid"):
        pipeline.detect(write_scene(tmp_path / "b.tif", nodata_right_of=0), config=settings, model=str(model_folder))


def test_importing_is_light() -> None:
    heavy = "{'tensorflow', 'keras', 'apache_beam', 'rasterio', 'geopandas'}"
    code = f"import sys, pipeline; loaded = {heavy} & set(sys.modules); sys.exit(str(loaded) if loaded else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


class Counting(FakePredictor):
    """Counts how often a model is loaded; they are distinguishable."""

    loaded: ClassVar[list[tuple[object, ...]]] = []

    def __init__(self, *settings: object, **_: object) -> None:
        if settings[0] == "broken":
            raise WeightsError("broken")
        time.sleep(0.01)
        self.loaded.append(settings)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    monkeypatch.setattr(Counting, "loaded", [])
    monkeypatch.setattr(model_loading, "load_predictor", Counting)
    monkeypatch.setattr(model_loading, "_models", OrderedDict())
    return Counting.loaded


def spec(min_score: float = 0.5, model: str = "m", digest: str = "1") -> ModelSpec:
    config = dataclasses.replace(CONFIG, min_score=min_score, model=model)
    return ModelSpec(config, Identity(f"{model}@{digest}", "settings"))


def test_a_second_call_loads_no_model(
    tmp_path: Path, settings: Path, model_folder: Path, loaded: list[tuple[object, ...]]
) -> None:
    scene = write_scene(tmp_path / "a.tif")
    for min_score in (0.9, 0.5, 0.9, 0.5):
        pipeline.detect(scene, config=settings, model=str(model_folder), min_score=min_score)
    assert [min_score for *_, min_score in loaded] == [0.9, 0.5]


@pytest.mark.parametrize(("screen_score", "loaded_with"), [(0.2, 0.2), (0.7, 0.5)])
def test_a_screen_needs_a_model_that_returns_its_candidates(
    screen_score: float, loaded_with: float, loaded: list[tuple[object, ...]]
) -> None:
    screened = spec()
    config = dataclasses.replace(screened.config, screen=Screen(screen_score, 40.0))
    load_model(dataclasses.replace(screened, config=config))
    assert [min_score for *_, min_score in loaded] == [loaded_with]


def test_the_last_models_are_kept(loaded: list[tuple[object, ...]]) -> None:
    first = load_model(spec())
    for number in range(1, model_loading.KEPT_MODELS):
        load_model(spec(number / 10))
        assert load_model(spec()) is first
    for number in range(1, model_loading.KEPT_MODELS + 1):
        load_model(spec(number / 100))
    assert load_model(spec()) is not first


def test_other_weights_of_the_same_name_are_loaded(loaded: list[tuple[object, ...]]) -> None:
    assert load_model(spec(digest="1")) is not load_model(spec(digest="2"))


def test_threads_share_one_model(loaded: list[tuple[object, ...]]) -> None:
    with ThreadPoolExecutor(8) as pool:
        models = set(pool.map(load_model, [spec()] * 8))
    assert len(models) == len(loaded) == 1
    with loading(spec(0.6)):
        model = load_model(spec(0.6))
    assert load_model(spec(0.6)) is model
    assert len(loaded) == 2


def test_a_model_that_does_not_load_is_tried_again(loaded: list[tuple[object, ...]]) -> None:
    for _ in range(2):
        with pytest.raises(WeightsError, match="broken"), loading(spec(model="broken")):
            load_model(spec(model="broken"))


@pytest.mark.parametrize("engine", ["litert", "tensorflow"])
def test_detect_is_quiet(tmp_path: Path, engine: Engine) -> None:
    """With the packaged model, whose engines announce themselves on stderr."""
    scene = write_scene(tmp_path / "a.tif")
    config = tmp_path / "settings.yaml"
    config.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(CONFIG, engine=engine))))
    program = (
        "import sys\nfrom pipeline import detect\ndetect(*sys.argv[1:2], config=sys.argv[2], model='airplanes-lite0')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(scene), str(config)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
