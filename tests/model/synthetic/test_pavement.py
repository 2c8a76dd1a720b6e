import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.synthetic.geometry import Frame
from model.synthetic.pavement import Runway, lay_runway, runway_number
from model.synthetic.streams import stream
from model.synthetic.style import sample_style
from model.synthetic.world import WHITE_PAINT, World


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
