"""The weights that come with the project."""

from pathlib import Path

import numpy as np
import pytest

from geo.boxes import match
from geo.raster.header import read_header
from model.detectors import registry
from model.inference import model_folder, weights_io
from model.inference.engine import Precision
from model.inference.predictor import load_predictor
from model.inference.scan import scan
from model.inference.scan_config import read_scan_config
from tests.precisions import PRECISIONS

FOLDERS = sorted(file.parent for file in model_folder.PACKAGED.glob(f"*/{model_folder.CONFIG_FILE}"))


def test_the_default_model_of_the_pipeline_is_packaged() -> None:
    from pipeline.config import load_config

    assert model_folder.resolve(load_config().model) in FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_packaged_model_is_complete_small_and_documented(folder: Path) -> None:
    config = model_folder.read_config(folder)  # checks the weights against their digest
    assert config.name == folder.name
    weights = folder / model_folder.WEIGHTS_FILE
    assert weights.stat().st_size <= 10_000_000
    weights_io.load_into(registry.get(config.detector).build(), weights)
    card = (folder / "README.md").read_text(encoding="utf-8")
    # The card describes these weights and this threshold, not earlier ones.
    assert config.version in card
    assert f"{config.min_score:.3f}" in card


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_small_scene_gives_the_airplanes_that_a_whole_tile_gives(
    folder: Path, precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model import synthetic as render

    render.write(render.render(600, 9, 0.5), tmp_path / "small.tif")
    header, config = read_header(str(tmp_path / "small.tif")), read_scan_config(Path("configs/pipeline/default.yaml"))
    predictor = load_predictor(str(folder), 1, 0.1, precision=precision)
    trimmed = scan(header, config, predictor, 1)
    monkeypatch.setattr("geo.grid.tile_size", lambda level, tiling: (tiling.tile_px, tiling.tile_px))
    padded = scan(header, config, predictor, 1)
    # Beyond the right and bottom edges, tiles end in one case and are black in the other.
    for detected, others in ((trimmed, padded), (padded, trimmed)):
        certain = detected.take(np.flatnonzero(detected.scores > 0.2))
        pairs = match(certain.boxes, certain.scores, others.boxes, 0.95)
        assert len(certain) > 5
        assert (pairs >= 0).all()
        np.testing.assert_allclose(certain.scores, others.scores[pairs], atol=0.01)
