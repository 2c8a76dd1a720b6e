import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point, Polygon

from model.synthetic.aircraft import LIGHT, NARROW, REGIONAL, TYPES, WIDE
from model.synthetic.geometry import SCENE_FRAME, Frame
from model.synthetic.stands import Stand, apron_traffic, baggage_train, choose_type, fill_stand, park_airplane, stairs
from model.synthetic.style import sample_style, stream
from model.synthetic.world import World

JET = next(shape for shape in TYPES if shape.kind == NARROW)


def empty_world(size: float = 300.0) -> World:
    return World(size, size, sample_style(1, 45.0))


@given(st.integers(0, 1000), st.sampled_from([(36.0, 46.0), (64.9, 75.0), (30.0, 40.0)]))
def test_type_fits_the_stand(seed: int, size: tuple[float, float]) -> None:
    stand = Stand(SCENE_FRAME, *size, ((NARROW, 0.5), (REGIONAL, 0.3), (WIDE, 0.2)))
    shape = choose_type(stand, stream(seed, "x"))
    assert shape.span <= size[0]
    assert shape.length <= size[1]
    assert shape.kind in (NARROW, REGIONAL, WIDE)


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(0, 2 * math.pi))
@settings(max_examples=60)
def test_parked_airplanes_do_not_overlap(x: float, y: float, angle: float) -> None:
    world, rng = empty_world(), stream(1, "x")
    assert park_airplane(world, JET, Frame(150, 150, 1.0), rng)
    stands = park_airplane(world, JET, Frame(150 + x, 150 + y, angle), rng, clearance=2.0)
    assert len(world.airplanes) == len(world.footprints) == 1 + stands
    if stands:
        assert world.footprints[0].distance(world.footprints[1]) >= 2.0
    if math.hypot(x, y) > JET.length + 4:
        assert stands


@given(st.floats(-20, 320), st.floats(-20, 320), st.floats(0, 2 * math.pi))
@settings(max_examples=60)
def test_airplane_is_completely_inside_or_left_out(x: float, y: float, angle: float) -> None:
    world = empty_world()
    if park_airplane(world, JET, Frame(x, y, angle), stream(1, "x")):
        box = np.array(world.airplanes[0].box)
        assert box.min() >= 0
        assert box.max() <= 300
    else:
        assert not world.airplanes
        assert world.objects.pack(0.1).intersecting(-(10**6), -(10**6), 10**6, 10**6) == []


def test_airplane_well_inside_is_parked() -> None:
    assert park_airplane(empty_world(), JET, Frame(150, 150, 0.3), stream(1, "x"))


def test_stand_is_filled_with_the_given_probability() -> None:
    used = 0
    for seed in range(200):
        stand = Stand(Frame(150, 150, 0.7), 20.0, 20.0, ((LIGHT, 1.0),))
        used += fill_stand(empty_world(), stand, stream(seed, "x"), 0.7) is not None
    assert 120 <= used <= 160


def test_nose_is_at_the_stop() -> None:
    world = empty_world()
    stand = Stand(Frame(150, 150, 0.0), 36.0, 46.0, ((NARROW, 1.0),))
    shape = fill_stand(world, stand, stream(5, "x"), 1.0)
    assert shape is not None
    nose = world.airplanes[0].pose.points((shape.length / 2, 0))
    np.testing.assert_allclose(nose, (150, 150), atol=1.0)


@pytest.mark.parametrize("count", [1, 6])
def test_carts_follow_the_tug(count: int) -> None:
    world = empty_world(1000)
    baggage_train(world, Frame(500, 500, 1.0), count, stream(1, "x"))
    rings = np.diff(world.objects.pack(0.01).starts)
    assert len(rings) == 2 * (count + 1)  # each has a body and something on it
    points = Frame(500, 500, 1.0).local((world.objects.pack(0.01).points + 0.5) * 0.01)
    assert points[:, 0].max() < 4
    assert points[:, 0].min() > -3.7 * count - 4


def test_apron_traffic_keeps_clear_and_adds_no_airplanes() -> None:
    world, hall = empty_world(1000), Polygon([(450, 450), (550, 450), (550, 550), (450, 550)])
    world.footprints.append(hall)
    apron_traffic(world, Frame(500, 350), (500, 350), stream(3, "x"))
    stairs(world, Frame(300, 300), stream(3, "x"))
    points = (world.objects.pack(0.01).points + 0.5) * 0.01
    assert len(points) > 100
    outside = [Point(*point).distance(hall) > 0 for point in points]
    assert np.mean(outside) > 0.97  # the end of a long train may come close
    assert not world.airplanes
