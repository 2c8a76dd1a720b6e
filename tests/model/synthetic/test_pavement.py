import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.synthetic.geometry import Frame
from model.synthetic.pavement import (
    Runway,
    TaxiNet,
    close_taxiways,
    closed_mark,
    helipad,
    lay_runway,
    old_runway,
    runway_number,
)
from model.synthetic.stands import hatched_box
from model.synthetic.style import sample_style, stream
from model.synthetic.world import WHITE_PAINT, YELLOW_PAINT, World


@pytest.mark.parametrize(("heading", "number"), [(0, 36), (4, 36), (6, 1), (90, 9), (184, 18), (186, 19), (355.5, 36)])
def test_runway_number_is_the_heading_in_tens_of_degrees(heading: float, number: int) -> None:
    # The x axis of a frame with angle 0 points right, to a heading of 90 degrees.
    assert runway_number(Frame(0, 0, math.radians(heading - 90))) == number


@given(st.floats(-10, 10))
def test_numbers_of_both_ends_differ_by_18(angle: float) -> None:
    first, second = runway_number(Frame(0, 0, angle)), runway_number(Frame(0, 0, angle + math.pi))
    assert 1 <= first <= 36
    assert abs(first - second) in (17, 18, 19)  # 18 except where .5 is rounded


@given(st.floats(400, 3600), st.sampled_from([45.0, 60.0]))
def test_white_markings_stay_on_the_runway(length: float, width: float) -> None:
    world, frame = World(4000, 4000, sample_style(1, 45.0)), Frame(2000, 2000, 0.4)
    lay_runway(world, frame, Runway(0.0, -length / 2, length / 2, width, True), stream(1, "x"))
    packed = world.ground.pack(0.01)
    rings = np.repeat(np.arange(len(packed.values)), np.diff(packed.starts))
    white = (packed.values[:, :3] == np.array(WHITE_PAINT)).all(axis=1)[rings]
    marks = frame.local((packed.points[white] + 0.5) * 0.01)
    assert len(marks) > 100
    assert np.abs(marks[:, 0]).max() <= length / 2 + 0.02
    assert np.abs(marks[:, 1]).max() <= width / 2 + 0.02


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
