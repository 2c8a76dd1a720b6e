"""Are rendered scenes realistic enough for the packaged detector, which was trained on photos and on other seeds?

Results of weights trained on images alone are in docs/results.md.
"""

from pathlib import Path

import numpy as np
import pytest

from geo.boxes import match
from geo.raster.header import read_header
from model.inference.engine import Precision
from model.inference.predictor import load_predictor
from model.inference.scan import scan
from model.inference.scan_config import read_scan_config
from model.synthetic import render, write
from tests.precisions import PRECISIONS

ROOT = Path(__file__).parents[3]
MODEL = "airplanes-lite0"
SIZE_PX, SEEDS = 1800, (31, 32)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.skipif(not (ROOT / "model/weights" / MODEL).is_dir(), reason="the packaged weights are missing")
def test_packaged_detector_reaches_90_percent_recall_at_90_percent_precision(
    precision: Precision, tmp_path: Path
) -> None:
    config = read_scan_config(ROOT / "configs/pipeline/default.yaml")
    predictor = load_predictor(MODEL, batch_size=2, min_score=0.01, precision=precision)
    scores, correct, airplanes = [], [], 0
    for seed in SEEDS:
        scene = render(SIZE_PX, seed)
        write(scene, tmp_path / f"{seed}.tif")
        detections = scan(read_header(str(tmp_path / f"{seed}.tif")), config, predictor, 2)
        boxes = np.array([airplane.box for airplane in scene.airplanes]) / scene.resolution_m
        scores.append(detections.scores)
        correct.append(match(detections.boxes, detections.scores, boxes, 0.5) >= 0)
        airplanes += len(boxes)
    hits = np.concatenate(correct)[np.argsort(-np.concatenate(scores), kind="stable")]
    precision_curve = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    recall = np.cumsum(hits) / airplanes
    assert airplanes > 30
    assert recall[precision_curve >= 0.9].max() >= 0.9
