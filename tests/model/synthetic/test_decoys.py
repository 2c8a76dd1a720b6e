import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Point, Polygon

from model.synthetic.decoys import (
    apron_traffic,
    baggage_train,
    close_taxiways,
    closed_mark,
    hatched_box,
    helipad,
    old_runway,
    stairs,
)
from model.synthetic.geometry import Frame
from model.synthetic.pavement import TaxiNet
from model.synthetic.streams import stream
from model.synthetic.style import sample_style
from model.synthetic.world import YELLOW_PAINT, World


def empty_world() -> World:
    return World(1000, 1000, sample_style(1, 45.0))


def painted_points(world: World) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.asarray((world.ground.pack(0.01).points + 0.5) * 0.01, dtype=np.float64)


@given(st.floats(0, 7), st.floats(4, 60), st.integers(0, 50))
def test_cross_has_the_given_size_and_point_symmetry(angle: float, size: float, seed: int) -> None:
    world, frame = empty_world(), Frame(500, 500, angle)
    closed_mark(world, frame, size, YELLOW_PAINT, stream(seed, "x"))
    points = frame.local(painted_points(world))
    reach = np.hypot(*points.T)
    # The optional border extends a bar by 0.06 of the size on every side.
    assert size / 2 * math.hypot(1, 0.1) - 0.02 <= reach.min() <= size / 2 * math.hypot(1, 0.17) + 0.02
    assert reach.max() <= size / 2 * math.hypot(1.12, 0.29) + 0.02
    gaps = np.hypot(*(-points[:, None] - points[None]).transpose(2, 0, 1)).min(axis=1)
    np.testing.assert_allclose(gaps, 0, atol=0.04)


def test_crosses_lie_on_taxiways() -> None:
    net, world = TaxiNet(), empty_world()
    net.add_lane(180, -400, 400, 25)
    net.add_connector(100, 0, 180, 24)
    close_taxiways(world, Frame(500, 500), net, 1.0, stream(1, "x"))
    points = Frame(500, 500).local(painted_points(world))
    assert len(points) in (2 * 2 * 4, 3 * 2 * 4, 4 * 2 * 4)
    assert np.abs(points[:, 0] - 100).max() < 12
    assert 0 < points[:, 1].min() <= points[:, 1].max() < 180


@given(st.integers(0, 200))
def test_paint_stays_within_the_given_size(seed: int) -> None:
    pad, box, strip, frame = empty_world(), empty_world(), empty_world(), Frame(500, 500)
    helipad(pad, frame, 30, stream(seed, "x"))
    hatched_box(box, frame, (20, 8))
    old_runway(strip, frame, 800, 30, stream(seed, "x"))
    for world, reach in ((pad, 15.1), (box, 10.3), (strip, 416)):
        assert len(painted_points(world))
        assert np.abs(painted_points(world) - 500).max() <= reach


@pytest.mark.parametrize("count", [1, 6])
def test_carts_follow_the_tug(count: int) -> None:
    world = empty_world()
    baggage_train(world, Frame(500, 500, 1.0), count, stream(1, "x"))
    rings = np.diff(world.objects.pack(0.01).starts)
    assert len(rings) == 2 * (count + 1)  # each has a body and something on it
    points = Frame(500, 500, 1.0).local((world.objects.pack(0.01).points + 0.5) * 0.01)
    assert points[:, 0].max() < 4
    assert points[:, 0].min() > -3.7 * count - 4


def test_apron_traffic_keeps_clear_and_adds_no_airplanes() -> None:
    world, hall = empty_world(), Polygon([(450, 450), (550, 450), (550, 550), (450, 550)])
    world.footprints.append(hall)
    apron_traffic(world, Frame(500, 350), (500, 350), stream(3, "x"))
    stairs(world, Frame(300, 300), stream(3, "x"))
    points = (world.objects.pack(0.01).points + 0.5) * 0.01
    assert len(points) > 100
    outside = [Point(*point).distance(hall) > 0 for point in points]
    assert np.mean(outside) > 0.97  # the end of a long train may come close
    assert not world.airplanes
