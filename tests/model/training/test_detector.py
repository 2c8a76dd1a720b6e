from pathlib import Path
from typing import Any

import numpy as np

from model.detectors import registry
from model.detectors.config import DetectorConfig
from model.inference.frozen_graph import FrozenPredictor
from model.inference.predictor import Predictor, load_predictor
from model.training.detector import KerasPredictor
from tests.model.thresholds import in_a_gap

DECODE = registry.get(DetectorConfig()).decode
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)


def test_it_agrees_with_the_frozen_graph(network: Any, model_folder: Path) -> None:
    full = load_predictor(str(model_folder), 3, 0.0, calibrated=False)
    assert isinstance(full, FrozenPredictor)
    everything = full(IMAGES)
    # Of all cells: those above it have their say in a box, too.
    threshold = in_a_gap(full.engine(IMAGES)[1])
    frozen = load_predictor(str(model_folder), 3, threshold, calibrated=False)(IMAGES)
    for count in (1, 3):
        predictor: Predictor = KerasPredictor(network, DECODE, "young", threshold)
        detections = predictor(IMAGES[:count])
        assert len(detections) == count
        for detected, expected, unfiltered in zip(detections, frozen, everything, strict=False):
            assert 0 < len(detected) == len(expected) < len(unfiltered)
            np.testing.assert_allclose(detected.boxes, expected.boxes, rtol=1e-4, atol=1e-2)
            np.testing.assert_allclose(detected.scores, expected.scores, atol=1e-4)


def test_it_has_the_given_name_and_threshold(network: Any) -> None:
    predictor = KerasPredictor(network, DECODE, "young", 0.25)
    assert (predictor.name, predictor.default_min_score) == ("young", 0.25)


def test_it_follows_the_model(network: Any) -> None:
    predictor, bias = KerasPredictor(network, DECODE, "young", 0.999), network.get_layer("cells").bias
    before = bias.numpy()
    (first,) = predictor(IMAGES[:1])
    try:
        bias.assign(before + np.array([30, 0, 0, 0, 0], np.float32))
        (second,) = predictor(IMAGES[:1])
    finally:
        bias.assign(before)
    assert len(first) < len(second)
