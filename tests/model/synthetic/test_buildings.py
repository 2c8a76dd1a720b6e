import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon, unary_union

from model.synthetic.buildings import bar, facet, pitched_building, wing_boxes, winged_building
from model.synthetic.geometry import Frame, rectangles
from model.synthetic.style import Light, sample_style, stream
from model.synthetic.world import Layer, World

GREY = (150.0, 150.0, 150.0)


def empty_world(lean: tuple[float, float] = (0.0, 0.0)) -> World:
    style = sample_style(1, 45.0)
    light = Light(sun=(0.6, 0.0, 0.8), shadow=(-0.75, 0.0), lean=lean, sky=0.4)  # sun to the right
    return World(200, 200, replace(style, light=light))


def outlines(layer: Layer) -> list[Polygon]:
    packed = layer.pack(0.01)
    return [Polygon((packed.points[a:b] + 0.5) * 0.01).buffer(0) for a, b in pairwise(packed.starts)]


@given(st.floats(0, 7), st.floats(0, 30))
def test_horizontal_facet_keeps_its_colour_and_is_displaced_by_its_height(angle: float, height: float) -> None:
    world = empty_world(lean=(0.1, 0.2))
    facet(world, Frame(100, 100, angle), [(-5, -3, height), (5, -3, height), (5, 3, height), (-5, 3, height)], GREY)
    assert world.objects.pack(0.01).values[0].tolist() == [150, 150, 150, 255]
    top, shadow = outlines(world.objects)[0].centroid, outlines(world.shadows)[0].centroid
    assert (top.x, top.y) == pytest.approx((100 + 0.1 * height, 100 + 0.2 * height), abs=0.02)
    assert (shadow.x, shadow.y) == pytest.approx((100 - 0.75 * height, 100), abs=0.02)


@pytest.mark.parametrize("angle", [0.0, math.pi])
def test_sunlit_roof_plane_is_brighter(angle: float) -> None:
    world = empty_world()
    pitched_building(world, Frame(100, 100, angle + math.pi / 2), (20, 10), (4, 8), GREY)
    left, right = sorted(range(-2, 0), key=lambda k: outlines(world.objects)[k].centroid.x)
    light = world.objects.pack(0.01).values[:, 0]
    assert light[right] > 160
    assert light[left] < 140


def test_hip_roof_covers_the_footprint() -> None:
    world = empty_world()
    pitched_building(world, Frame(100, 100, 0.4), (18, 10), (4, 8), GREY, hip=True)
    planes = outlines(world.objects)[-4:]
    assert sum(plane.area for plane in planes) == pytest.approx(180, rel=0.01)
    assert unary_union(planes).area == pytest.approx(180, rel=0.01)


@given(st.floats(0, 7), st.floats(1, 40), st.floats(0.3, 4))
def test_horizontal_bar_has_the_given_length_and_width(angle: float, length: float, width: float) -> None:
    world = empty_world(lean=(0.3, 0.0))
    bar(world, Frame(100, 100, angle), [(0, 0, 20), (length, 0, 20)], (width, width), GREY)
    for layer in (world.objects, world.shadows):
        assert outlines(layer)[0].area == pytest.approx(length * width, rel=0.05)


def test_vertical_bar_leans_and_casts_a_shadow() -> None:
    world = empty_world(lean=(0.0, 0.2))
    bar(world, Frame(100, 100), [(0, 0, 0), (0, 0, 50)], (1, 1), GREY)
    assert outlines(world.objects)[0].bounds == pytest.approx((99.5, 100, 100.5, 110), abs=0.03)
    assert outlines(world.shadows)[0].bounds == pytest.approx((62.5, 99.5, 100, 100.5), abs=0.03)


@pytest.mark.parametrize("letter", ["L", "T", "U", "H", "X", "O"])
def test_letter_plan_is_connected_and_fills_its_size(letter: str) -> None:
    plan = unary_union([Polygon(ring) for ring in rectangles(wing_boxes(letter, (40, 30), 9))])
    assert plan.geom_type == "Polygon"
    assert plan.bounds == (-20, -15, 20, 15)
    assert plan.area < 0.85 * 40 * 30
    world = empty_world()
    winged_building(world, Frame(100, 100, 0.2), wing_boxes(letter, (40, 30), 9), 12, GREY, stream(1, "x"))
    assert len(world.footprints) == 1
