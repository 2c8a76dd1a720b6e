import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon, unary_union

from model.synthetic.buildings import bar, facet, pitched, winged, wings_of
from model.synthetic.geometry import Place, rectangles
from model.synthetic.streams import stream
from model.synthetic.style import Light, draw_style
from model.synthetic.world import Layer, World

GREY = (150.0, 150.0, 150.0)


def sheet(lean: tuple[float, float] = (0.0, 0.0)) -> World:
    style = draw_style(1, 45.0)
    light = Light(sun=(0.6, 0.0, 0.8), shadow=(-0.75, 0.0), lean=lean, sky=0.4)  # the sun stands right
    return World(200, 200, replace(style, light=light))


def outlines(layer: Layer) -> list[Polygon]:
    packed = layer.pack(0.01)
    return [Polygon((packed.points[a:b] + 0.5) * 0.01).buffer(0) for a, b in pairwise(packed.starts)]


@given(st.floats(0, 7), st.floats(0, 30))
def test_a_level_piece_looks_like_its_colour_and_is_seen_and_shaded_by_its_height(angle: float, height: float) -> None:
    world = sheet(lean=(0.1, 0.2))
    facet(world, Place(100, 100, angle), [(-5, -3, height), (5, -3, height), (5, 3, height), (-5, 3, height)], GREY)
    assert world.objects.pack(0.01).values[0].tolist() == [150, 150, 150, 255]
    seen, shaded = outlines(world.objects)[0].centroid, outlines(world.shadows)[0].centroid
    assert (seen.x, seen.y) == pytest.approx((100 + 0.1 * height, 100 + 0.2 * height), abs=0.02)
    assert (shaded.x, shaded.y) == pytest.approx((100 - 0.75 * height, 100), abs=0.02)


@pytest.mark.parametrize("angle", [0.0, math.pi])
def test_the_side_of_a_roof_that_faces_the_sun_is_brighter(angle: float) -> None:
    world = sheet()
    pitched(world, Place(100, 100, angle + math.pi / 2), (20, 10), (4, 8), GREY)
    left, right = sorted(range(-2, 0), key=lambda k: outlines(world.objects)[k].centroid.x)
    light = world.objects.pack(0.01).values[:, 0]
    assert light[right] > 160
    assert light[left] < 140


def test_a_hip_roof_covers_its_house() -> None:
    world = sheet()
    pitched(world, Place(100, 100, 0.4), (18, 10), (4, 8), GREY, hip=True)
    planes = outlines(world.objects)[-4:]
    assert sum(plane.area for plane in planes) == pytest.approx(180, rel=0.01)
    assert unary_union(planes).area == pytest.approx(180, rel=0.01)


@given(st.floats(0, 7), st.floats(1, 40), st.floats(0.3, 4))
def test_a_level_bar_has_its_length_and_its_width(angle: float, length: float, width: float) -> None:
    world = sheet(lean=(0.3, 0.0))
    bar(world, Place(100, 100, angle), [(0, 0, 20), (length, 0, 20)], (width, width), GREY)
    for layer in (world.objects, world.shadows):
        assert outlines(layer)[0].area == pytest.approx(length * width, rel=0.05)


def test_an_upright_bar_leans_and_throws_its_shadow() -> None:
    world = sheet(lean=(0.0, 0.2))
    bar(world, Place(100, 100), [(0, 0, 0), (0, 0, 50)], (1, 1), GREY)
    assert outlines(world.objects)[0].bounds == pytest.approx((99.5, 100, 100.5, 110), abs=0.03)
    assert outlines(world.shadows)[0].bounds == pytest.approx((62.5, 99.5, 100, 100.5), abs=0.03)


@pytest.mark.parametrize("letter", ["L", "T", "U", "H", "X", "O"])
def test_a_letter_is_one_building_within_its_size(letter: str) -> None:
    plan = unary_union([Polygon(ring) for ring in rectangles(wings_of(letter, (40, 30), 9))])
    assert plan.geom_type == "Polygon"
    assert plan.bounds == (-20, -15, 20, 15)
    assert plan.area < 0.85 * 40 * 30
    world = sheet()
    winged(world, Place(100, 100, 0.2), wings_of(letter, (40, 30), 9), 12, GREY, stream(1, "x"))
    assert len(world.footprints) == 1
