"""The weights that come with the project."""

from pathlib import Path

import numpy as np
import pytest

from model.detectors import registry
from model.inference import model_folder, weights_io
from model.inference.engine import Precision
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
def test_the_black_that_is_left_out_beyond_a_small_picture_changes_next_to_nothing(
    folder: Path, precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geo.matching import match
    from geo.raster.header import read_header
    from model import synthetic as render
    from model.inference.predictor import load_predictor
    from model.inference.scan import scan
    from model.inference.scan_config import read_scan_config

    render.write(render.render(600, 9, 0.5), tmp_path / "small.tif")
    header, config = read_header(str(tmp_path / "small.tif")), read_scan_config(Path("configs/pipeline/default.yaml"))
    predictor = load_predictor(str(folder), 1, 0.1, precision=precision)
    found = scan(header, config, predictor, 1)
    monkeypatch.setattr("model.inference.scan._BEYOND_PX", config.tiling.tile_px)
    whole = scan(header, config, predictor, 1)
    # What scores little more than the predictor's least score may be there but once.
    for some, others in ((found.take(found.scores > 0.15), whole), (whole.take(whole.scores > 0.15), found)):
        pairs = match(some.boxes, some.scores, others.boxes, 0.99)
        assert len(some) > 0
        assert (pairs >= 0).all()
        np.testing.assert_allclose(some.scores, others.scores[pairs], atol=0.003)
