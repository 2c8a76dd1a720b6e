import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon, unary_union

from model.synthetic.aircraft import TYPES, AircraftType
from model.synthetic.airframe import Livery, draw_airplane, draw_livery, fringe, visible_box
from model.synthetic.geometry import Place
from model.synthetic.streams import stream
from model.synthetic.style import draw_style
from model.synthetic.world import World

types = st.sampled_from(TYPES)
seeds = st.integers(0, 50)


def drawn(shape: AircraftType, angle: float, seed: int) -> World:
    world = World(200, 200, draw_style(seed, 45.0))
    draw_airplane(world, shape, Place(100, 90, angle), draw_livery(stream(seed, "livery"), shape.kind))
    return world


@given(types, st.floats(0, 2 * math.pi), seeds)
def test_the_box_is_tight_around_what_is_drawn(shape: AircraftType, angle: float, seed: int) -> None:
    world = drawn(shape, angle, seed)
    subsample = 0.01
    bounds = world.objects.pack(subsample).bounds
    seen = (*bounds[:, :2].min(axis=0), *(bounds[:, 2:].max(axis=0) + 1))
    np.testing.assert_allclose(np.array(seen) * subsample, world.airplanes[0].box, atol=0.15)


@given(types, st.floats(0, 2 * math.pi), seeds)
def test_the_shadow_lies_away_from_the_sun(shape: AircraftType, angle: float, seed: int) -> None:
    world = drawn(shape, angle, seed)
    middles = []
    for layer in (world.shadows, world.objects):
        packed = layer.pack(0.01)
        rings = [Polygon(packed.points[a:b]).buffer(0) for a, b in pairwise(packed.starts)]
        middles.append(np.array(unary_union(rings).centroid.coords[0]))
    shifted = (middles[0] - middles[1]) * 0.01
    assert shifted @ np.array(world.light.sun[:2]) < -0.1


@pytest.mark.parametrize("shape", TYPES[:3])
def test_the_side_in_the_sun_is_brighter(shape: AircraftType) -> None:
    style = draw_style(1, 45.0)
    light = replace(style.light, sun=(0.0, 0.6, 0.8), shadow=(0.0, -0.75), lean=(0.0, 0.0))  # the sun stands below
    world = World(200, 200, replace(style, light=light))
    white = (200.0, 200.0, 200.0)
    livery = Livery(white, white, white, 0.8, white, white, white, white, white)
    draw_airplane(world, shape, Place(100, 100, 0.0), livery)
    packed = world.objects.pack(0.01)
    long = packed.bounds[:, 2] - packed.bounds[:, 0] > 60 * shape.length
    y = packed.bounds[long][:, [1, 3]].mean(axis=1) * 0.01 - 100
    brightness = packed.values[long, 1].astype(float)
    assert np.corrcoef(y[np.abs(y) < shape.width / 2], brightness[np.abs(y) < shape.width / 2])[0, 1] > 0.8


@given(types, st.floats(0, 2 * math.pi))
def test_a_box_moves_with_the_airplane(shape: AircraftType, angle: float) -> None:
    world = World(200, 200, draw_style(3, 45.0))
    here = visible_box(world, shape, Place(50, 60, angle))
    there = visible_box(world, shape, Place(150, 20, angle))
    np.testing.assert_allclose(np.array(there) - np.array(here), (100, -40, 100, -40), atol=1e-9)


@given(types, st.floats(0, 2 * math.pi), st.floats(0.3, 6))
def test_rims_of_a_moving_airplane_lie_along_its_way_and_are_no_airplane(
    shape: AircraftType, angle: float, shift: float
) -> None:
    world, place = World(300, 300, draw_style(2, 45.0)), Place(150, 150, angle)
    fringe(world, shape, place, shift)
    points = place.local((world.objects.pack(0.01).points + 0.5) * 0.01)
    assert not world.airplanes
    np.testing.assert_allclose(np.ptp(points[:, 0]), shape.length + 2 * shift, rtol=0.01, atol=0.05)
    np.testing.assert_allclose(np.ptp(points[:, 1]), shape.span, atol=0.05)


def test_red_lies_behind_a_moving_airplane_and_blue_ahead() -> None:
    world = World(300, 300, draw_style(2, 45.0))
    fringe(world, TYPES[0], Place(150, 150), 3.0)
    packed = world.objects.pack(0.01)
    middles = packed.bounds[:, [0, 2]].mean(axis=1)
    red = packed.values[:, 0] > packed.values[:, 2]
    assert middles[red].mean() < middles[~red].mean() - 300
