import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon

from model.synthetic.geometry import (
    Frame,
    arc,
    centred_box,
    dashes,
    discs,
    evenly_spaced,
    oriented_boxes,
    path_distances,
    rectangle,
    regular_polygon,
    ribbon,
)

metres = st.floats(-5000, 5000)
angles = st.floats(-7, 7)
frames = st.builds(Frame, metres, metres, angles)


@given(frames, metres, metres)
def test_local_inverts_points(frame: Frame, x: float, y: float) -> None:
    np.testing.assert_allclose(frame.local(frame.points((x, y))), (x, y), atol=1e-8)


@given(frames, metres, metres, angles, metres, metres)
def test_child_frames_compose(frame: Frame, x: float, y: float, turn: float, ahead: float, aside: float) -> None:
    child = frame.child(x, y, turn)
    within = Frame(x, y, turn).points((ahead, aside))
    np.testing.assert_allclose(child.points((ahead, aside)), frame.points(within), atol=1e-7)


@given(frames, metres, metres)
def test_vector_keeps_the_length_and_ignores_the_origin(frame: Frame, x: float, y: float) -> None:
    turned = frame.vector((x, y))
    assert math.hypot(*turned) == pytest.approx(math.hypot(x, y), abs=1e-7)
    np.testing.assert_allclose(turned, Frame(0, 0, frame.angle).vector((x, y)), atol=1e-7)


def test_quarter_turn_maps_right_to_down() -> None:
    np.testing.assert_allclose(Frame(10, 20, math.pi / 2).points([(1, 0), (0, 1)]), [(10, 21), (9, 20)], atol=1e-12)


@given(st.floats(0.5, 90), st.floats(0.5, 90), angles)
def test_oriented_boxes_have_the_given_sides_and_centre(length: float, width: float, angle: float) -> None:
    ring = oriented_boxes([(3.0, -8.0)], length, width, angle)[0]
    assert Polygon(ring).area == pytest.approx(length * width)
    np.testing.assert_allclose(ring.mean(axis=0), (3, -8), atol=1e-9)
    ahead = Frame(3, -8, angle).local(ring)
    np.testing.assert_allclose(np.ptp(ahead, axis=0), (length, width), atol=1e-9)


def test_rectangles_and_discs_have_the_expected_area() -> None:
    assert Polygon(rectangle(1, 2, 4, 9)).area == 21
    assert Polygon(centred_box((6, 4))).bounds == (-3, -2, 3, 2)
    disc, larger = discs([(0, 0), (50, 0)], [2.0, 3.0], 64)
    assert Polygon(disc).area == pytest.approx(4 * math.pi, rel=0.01)
    assert Polygon(larger).area == pytest.approx(9 * math.pi, rel=0.01)
    assert Polygon(larger).centroid.x == pytest.approx(50)


@pytest.mark.parametrize("corners", [6, 8])
def test_regular_polygon_has_a_side_perpendicular_to_x(corners: int) -> None:
    ring = regular_polygon(10, corners)
    # The side facing x is vertical.
    assert np.sort(ring[:, 0])[-1] == pytest.approx(np.sort(ring[:, 0])[-2])


@given(st.floats(1, 500), st.floats(0.1, 30), frames)
def test_area_of_a_straight_ribbon(length: float, width: float, frame: Frame) -> None:
    ring = ribbon(frame.points([(0, 0), (length / 3, 0), (length, 0)]), width)
    assert Polygon(ring).area == pytest.approx(length * width, rel=1e-6)


def test_arc_runs_between_its_angles() -> None:
    path = arc(5, 5, 10, 0, math.pi / 2)
    np.testing.assert_allclose(path[[0, -1]], [(15, 5), (5, 15)], atol=1e-9)
    np.testing.assert_allclose(np.hypot(*(path - 5).T), 10)


def test_dashes_have_equal_lengths_and_gaps() -> None:
    pieces = dashes([(0, 0), (0, 40), (60, 40)], 6, 4)
    assert len(pieces) == 10
    at = path_distances(np.array([(0, 0), (0, 40), (60, 40)], dtype=float))[-1]
    assert at == 100
    straight = [dash for dash in pieces if (dash[:, 0] == 0).all()]
    assert [dash[:, 1].tolist() for dash in straight] == [[0, 6], [10, 16], [20, 26], [30, 36]]


def test_evenly_spaced_is_centred_on_0() -> None:
    assert evenly_spaced(3, 10) == [-10, 0, 10]
    assert evenly_spaced(2, 10) == [-5, 5]
