import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon

from model.synthetic.geometry import (
    Place,
    arc,
    boxes_at,
    centred,
    dashes,
    discs,
    lengths,
    rectangle,
    ribbon,
    ring_around,
    rows,
)

metres = st.floats(-5000, 5000)
angles = st.floats(-7, 7)
places = st.builds(Place, metres, metres, angles)


@given(places, metres, metres)
def test_local_undoes_points(place: Place, x: float, y: float) -> None:
    np.testing.assert_allclose(place.local(place.points((x, y))), (x, y), atol=1e-8)


@given(places, metres, metres, angles, metres, metres)
def test_a_child_is_a_place_within_a_place(
    place: Place, x: float, y: float, turn: float, ahead: float, aside: float
) -> None:
    child = place.child(x, y, turn)
    within = Place(x, y, turn).points((ahead, aside))
    np.testing.assert_allclose(child.points((ahead, aside)), place.points(within), atol=1e-7)


@given(places, metres, metres)
def test_vectors_keep_their_length_whatever_the_origin(place: Place, x: float, y: float) -> None:
    turned = place.vector((x, y))
    assert math.hypot(*turned) == pytest.approx(math.hypot(x, y), abs=1e-7)
    np.testing.assert_allclose(turned, Place(0, 0, place.angle).vector((x, y)), atol=1e-7)


def test_a_quarter_turn_leads_from_right_to_down() -> None:
    np.testing.assert_allclose(Place(10, 20, math.pi / 2).points([(1, 0), (0, 1)]), [(10, 21), (9, 20)], atol=1e-12)


@given(st.floats(0.5, 90), st.floats(0.5, 90), angles)
def test_boxes_have_their_sides_and_their_middle(length: float, width: float, angle: float) -> None:
    ring = boxes_at([(3.0, -8.0)], length, width, angle)[0]
    assert Polygon(ring).area == pytest.approx(length * width)
    np.testing.assert_allclose(ring.mean(axis=0), (3, -8), atol=1e-9)
    ahead = Place(3, -8, angle).local(ring)
    np.testing.assert_allclose(np.ptp(ahead, axis=0), (length, width), atol=1e-9)


def test_rectangles_and_discs_have_the_area_of_their_measures() -> None:
    assert Polygon(rectangle(1, 2, 4, 9)).area == 21
    assert Polygon(centred((6, 4))).bounds == (-3, -2, 3, 2)
    disc, other = discs([(0, 0), (50, 0)], [2.0, 3.0], 64)
    assert Polygon(disc).area == pytest.approx(4 * math.pi, rel=0.01)
    assert Polygon(other).area == pytest.approx(9 * math.pi, rel=0.01)
    assert Polygon(other).centroid.x == pytest.approx(50)


@pytest.mark.parametrize("corners", [6, 8])
def test_a_ring_around_stands_on_a_side(corners: int) -> None:
    ring = ring_around(10, corners)
    # The side that faces along x is upright.
    assert np.sort(ring[:, 0])[-1] == pytest.approx(np.sort(ring[:, 0])[-2])


@given(st.floats(1, 500), st.floats(0.1, 30), places)
def test_a_straight_ribbon_covers_its_length_times_its_width(length: float, width: float, place: Place) -> None:
    ring = ribbon(place.points([(0, 0), (length / 3, 0), (length, 0)]), width)
    assert Polygon(ring).area == pytest.approx(length * width, rel=1e-6)


def test_an_arc_runs_from_angle_to_angle() -> None:
    path = arc(5, 5, 10, 0, math.pi / 2)
    np.testing.assert_allclose(path[[0, -1]], [(15, 5), (5, 15)], atol=1e-9)
    np.testing.assert_allclose(np.hypot(*(path - 5).T), 10)


def test_dashes_have_one_length_and_one_gap() -> None:
    pieces = dashes([(0, 0), (0, 40), (60, 40)], 6, 4)
    assert len(pieces) == 10
    at = lengths(np.array([(0, 0), (0, 40), (60, 40)], dtype=float))[-1]
    assert at == 100
    straight = [piece for piece in pieces if (piece[:, 0] == 0).all()]
    assert [piece[:, 1].tolist() for piece in straight] == [[0, 6], [10, 16], [20, 26], [30, 36]]


def test_rows_lie_around_the_middle() -> None:
    assert rows(3, 10) == [-10, 0, 10]
    assert rows(2, 10) == [-5, 5]
