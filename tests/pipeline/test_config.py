import dataclasses
import json
from pathlib import Path

import pytest

from geo.errors import ConfigError
from geo.grid import Tiling
from model.inference.scan_config import PIPELINE_KEYS, ScanConfig, read_scan_config
from pipeline.config import PipelineConfig, load_config, settings_id
from tests.pipeline.scenes import CONFIG


def settings(path: Path, **change: object) -> Path:
    path.write_text(json.dumps({**dataclasses.asdict(CONFIG), **change}))
    return path


def test_the_default_settings_load() -> None:
    config = load_config()
    assert config.min_score is None
    assert config.block_tiles % config.batch_size == 0
    # The file and the defaults in the code are the same numbers.
    assert config.tiling == Tiling(config.tiling.levels_m, fine_levels_m=config.tiling.fine_levels_m)


def test_the_default_settings_open_with_the_command() -> None:
    from pipeline.config import DEFAULT_CONFIG

    assert "python -m pipeline.run" in DEFAULT_CONFIG.read_text(encoding="utf-8").splitlines()[1]


def test_the_evaluation_scans_with_the_settings_of_the_pipeline(tmp_path: Path) -> None:
    path = settings(tmp_path / "a.yaml")
    assert read_scan_config(path) == ScanConfig(CONFIG.tiling, CONFIG.suppression)
    (tmp_path / "b.yaml").write_text(json.dumps({**dataclasses.asdict(CONFIG), "halo": 3}))
    with pytest.raises(ConfigError, match="unknown key halo"):
        read_scan_config(tmp_path / "b.yaml")
    own = {field.name for field in dataclasses.fields(PipelineConfig)}
    assert own - {field.name for field in dataclasses.fields(ScanConfig)} == PIPELINE_KEYS


def test_a_file_is_read_without_change(tmp_path: Path) -> None:
    assert load_config(settings(tmp_path / "a.yaml")) == CONFIG


def test_overrides_replace_values_of_the_file(tmp_path: Path) -> None:
    path = settings(tmp_path / "a.yaml")
    changed = load_config(path, {"min_score": 0.75, "model": None})
    assert changed == dataclasses.replace(CONFIG, min_score=0.75)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"halo": 3}, "unknown key halo; known here: tiling, suppression, model, min_score"),
        ({"min_score": -0.1}, "min_score: expected a number from 0 to 1, got -0.1"),
        ({"precision": "double"}, "precision: expected 'auto', 'float32' or 'bfloat16', got 'double'"),
        ({"batch_size": 0}, "batch_size: expected a whole number from 1 to 1024, got 0"),
        ({"block_tiles": -2}, "block_tiles: expected a whole number from 1 to 65536, got -2"),
        ({"tiling": {"levels_m": [0.5], "halo": 3}}, "unknown key tiling.halo; known here: levels_m, tile_px"),
        ({"tiling": {"levels_m": []}}, "levels_m"),
        ({"bands": [1, 2]}, r"bands: expected 1 or 3 numbers from 1 on, got \[1, 2\]"),
        ({"rpc_height_m": "high"}, "rpc_height_m: expected a valid number"),
        ({"acquired_in_name": "(?P<year>"}, "acquired_in_name: expected a regular expression"),
        ({"acquired_in_name": "(?P<year>.)"}, "acquired_in_name: expected the named groups year, month, day"),
        ({"bands": [0]}, r"bands: expected 1 or 3 numbers from 1 on, got \[0\]"),
        ({"tiling": {"levels_m": [0.5], "tile_px": 144, "align_px": 16}}, "tiling.align_px: expected a multiple of 32"),
        ({"suppression": {"iou": 2.0, "containment": 0.5}}, "iou"),
    ],
)
def test_invalid_settings_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml: .*" + message):
        load_config(settings(tmp_path / "a.yaml", **change))


def test_the_fingerprint_follows_what_shapes_the_result() -> None:
    rule = "(?P<year>.*)(?P<month>.*)(?P<day>.*)"
    same = [
        CONFIG,
        dataclasses.replace(CONFIG, model="other", batch_size=7, block_tiles=9, asset="pan", acquired_in_name=rule),
    ]
    other = [
        dataclasses.replace(CONFIG, min_score=0.6),
        dataclasses.replace(CONFIG, precision="bfloat16"),
        dataclasses.replace(CONFIG, tiling=dataclasses.replace(CONFIG.tiling, halo_px=32)),
        dataclasses.replace(CONFIG, bands=(5, 3, 2)),
        dataclasses.replace(CONFIG, rpc_height_m=0.0),
        dataclasses.replace(CONFIG, suppression=dataclasses.replace(CONFIG.suppression, iou=0.4)),
    ]
    assert len({settings_id(config) for config in same}) == 1
    assert len({settings_id(config) for config in [*same, *other]}) == 1 + len(other)


def test_the_settings_of_the_project_load() -> None:
    files = sorted(Path("configs/pipeline").glob("*.yaml"))
    assert len(files) > 1
    for file in files:
        load_config(file)


def test_a_height_is_a_number_of_metres() -> None:
    with pytest.raises(ConfigError, match="rpc_height_m: expected a number of metres, got nan"):
        dataclasses.replace(CONFIG, rpc_height_m=float("nan"))
