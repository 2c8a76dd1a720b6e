import dataclasses
import json
from pathlib import Path

import pytest

from geo.errors import ConfigError
from geo.grid import Tiling
from pipeline.config import load_config, settings_id
from tests.pipeline.scenes import CONFIG


def settings(path: Path, **change: object) -> Path:
    path.write_text(json.dumps({**dataclasses.asdict(CONFIG), **change}))
    return path


def test_the_default_settings_load() -> None:
    config = load_config()
    assert config.min_score is None
    assert config.block_tiles % config.batch_size == 0
    # The file and the defaults in the code are the same numbers.
    assert config.tiling == Tiling(config.tiling.levels_m)


def test_the_default_settings_say_how_to_use_them() -> None:
    from pipeline.config import DEFAULT_CONFIG

    assert "python -m pipeline.run" in DEFAULT_CONFIG.read_text(encoding="utf-8").splitlines()[1]


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    assert load_config(settings(tmp_path / "a.yaml")) == CONFIG


def test_overrides_go_before_the_file(tmp_path: Path) -> None:
    path = settings(tmp_path / "a.yaml")
    changed = load_config(path, {"min_score": 0.75, "model": None})
    assert changed == dataclasses.replace(CONFIG, min_score=0.75)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"halo": 3}, "unknown key halo; known here: model, min_score, precision, batch_size, block_tiles"),
        ({"min_score": -0.1}, "min_score: expected a number from 0 to 1, got -0.1"),
        ({"precision": "double"}, "precision: expected 'auto', 'float32' or 'bfloat16', got 'double'"),
        ({"batch_size": 0}, "batch_size: expected a whole number from 1 on, got 0"),
        ({"block_tiles": -2}, "block_tiles: expected a whole number from 1 on, got -2"),
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
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
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


def test_the_settings_of_the_project_fit() -> None:
    files = sorted(Path("configs/pipeline").glob("*.yaml"))
    assert len(files) > 1
    for file in files:
        load_config(file)


def test_a_height_is_a_number_of_metres() -> None:
    with pytest.raises(ConfigError, match="rpc_height_m: expected a number of metres, got nan"):
        dataclasses.replace(CONFIG, rpc_height_m=float("nan"))
