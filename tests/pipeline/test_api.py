import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from geo.errors import ConfigError, InputError, RasterError
from pipeline import records
from pipeline.sinks.files import read_geojson
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
