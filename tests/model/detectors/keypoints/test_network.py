"""The keypoint network and its loss."""

import numpy as np
import pytest

from model.detectors.keypoints import network
from model.detectors.keypoints.heat_maps import CELLS, CROP_PX, encode


def test_every_point_has_a_heat_map() -> None:
    model = network.build()
    logits = model(np.zeros((2, CROP_PX, CROP_PX, 3), np.float32))
    assert logits.shape == (2, CELLS * CELLS, network.POINTS)


def test_the_loss_is_the_mean_over_known_points() -> None:
    points = np.full((2, 4, 2), 30.0)
    points[1, 2:] = np.nan
    targets = encode(points)
    uniform = np.zeros_like(targets)
    assert np.asarray(network.loss(targets, uniform)) == pytest.approx(np.log(CELLS * CELLS), rel=1e-5)
    # Logits of a point that is hidden change nothing.
    logits = np.random.default_rng(1).normal(size=targets.shape).astype(np.float32)
    other = logits.copy()
    other[1, :, 2:] += 5
    other[1, 7, 3] -= 9
    assert np.asarray(network.loss(targets, logits))[1] == pytest.approx(
        float(np.asarray(network.loss(targets, other))[1]), rel=1e-6
    )
