"""Heat maps of keypoints: what is encoded is decoded, and what is uncertain says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geo.outline import NOSE, TAIL
from geo.types import FloatArray
from model.detectors.keypoints.heat_maps import CELL_PX, CROP_PX, decode, encode

INSIDE = st.floats(CELL_PX, CROP_PX - CELL_PX)


@given(points=arrays.arrays(np.float64, (3, 4, 2), elements=INSIDE))
def test_decoding_inverts_encoding(points: FloatArray) -> None:
    decoded = decode(encode(points))
    assert np.abs(decoded.points - points).max() < 0.5
    assert decoded.spread_px.max() < 0.9 * CELL_PX


def test_hidden_points_and_points_outside_are_no_targets() -> None:
    points = np.full((1, 4, 2), 30.0)
    points[0, 1] = np.nan
    points[0, 2] = (CROP_PX + 1.0, 30.0)
    assert encode(points).sum(axis=1)[0] == pytest.approx([1, 0, 0, 1])


def test_a_nose_at_two_places_is_uncertain() -> None:
    points = np.array([[[32.0, 10.0], [32.0, 54.0], [10.0, 32.0], [54.0, 32.0]]])
    certain = encode(points)
    swapped = certain[..., [TAIL, NOSE, 2, 3]]
    assert decode(certain).reversed_probability[0] < 1e-6
    wavering = decode(0.6 * certain + 0.4 * swapped)
    assert wavering.points[0] == pytest.approx(points[0], abs=0.5)
    assert wavering.reversed_probability[0] == pytest.approx(0.4**2 / (0.4**2 + 0.6**2), abs=0.01)
    assert wavering.spread_px[0, NOSE] > 3 * decode(certain).spread_px[0, NOSE]
    assert wavering.spread_px[0, 2] == pytest.approx(decode(certain).spread_px[0, 2])
