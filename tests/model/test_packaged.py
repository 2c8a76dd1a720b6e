"""The weights that come with the project."""

from pathlib import Path

import pytest

from model import weights_io
from model.detector import build

FOLDERS = sorted(file.parent for file in weights_io.PACKAGED.glob(f"*/{weights_io.CONFIG_FILE}"))


def test_the_default_model_of_the_pipeline_is_there() -> None:
    from pipeline.config import load_config

    assert weights_io.resolve(load_config().model) in FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_packaged_model_is_whole_small_and_described(folder: Path) -> None:
    config = weights_io.read_config(folder)  # holds the weights against their digest
    assert config.name == folder.name
    weights = folder / weights_io.WEIGHTS_FILE
    assert weights.stat().st_size <= 10_000_000
    weights_io.load_into(build(config.detector), weights)
    card = (folder / "README.md").read_text(encoding="utf-8")
    # The card speaks of these weights and this threshold, not of earlier ones.
    assert config.version in card
    assert f"{config.min_score:.3f}" in card
