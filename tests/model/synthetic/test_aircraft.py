import numpy as np
import pytest
from shapely import Polygon, unary_union

from model.synthetic.aircraft import (
    FIGHTER,
    LIGHT,
    NARROW,
    REGIONAL,
    TYPES,
    WIDE,
    AircraftType,
    fairing,
    fin,
    fuselage,
    half_wing,
    mirrored,
    nacelle,
    silhouette,
    wing_band,
)

every_type = pytest.mark.parametrize("shape", TYPES, ids=lambda shape: f"{shape.kind} {shape.length}")


@every_type
def test_outline_has_length_and_span_of_the_type(shape: AircraftType) -> None:
    points = np.concatenate(silhouette(shape))
    assert np.ptp(points[:, 0]) == pytest.approx(shape.length, rel=0.002)
    assert np.ptp(points[:, 1]) == pytest.approx(shape.span)
    assert points[:, 0].max() == pytest.approx(shape.length / 2)  # the nose


@every_type
def test_outline_is_connected_and_symmetric(shape: AircraftType) -> None:
    parts = [Polygon(ring) for ring in silhouette(shape)]
    assert all(part.is_valid for part in parts)
    outline = unary_union(parts)
    assert outline.geom_type == "Polygon"
    mirror = unary_union([Polygon(mirrored(ring)) for ring in silhouette(shape)])
    assert outline.symmetric_difference(mirror).area < 1e-6 * outline.area


@every_type
def test_parts_lie_within_the_airplane(shape: AircraftType) -> None:
    half = Polygon(half_wing(shape.wing, shape.length)).buffer(0.05)
    for chord, out in (((0.0, 0.1), (0.14, 0.92)), ((0.76, 1.0), (0.38, 0.72))):
        assert half.contains(Polygon(wing_band(shape.wing, shape.length, chord, out)))
    for engine in shape.engines:
        assert Polygon(nacelle(shape, engine)).centroid.y == pytest.approx(engine.offset, abs=1e-6)
    swelling = fairing(shape)
    assert np.abs(swelling[:, 1]).max() < shape.width
    feet = fin(shape)
    assert (np.diff(feet[:2, 0]) < 0).all()
    assert np.abs(feet[:, 0]).max() <= shape.length / 2


@every_type
def test_fuselage_strips_add_up_to_the_fuselage(shape: AircraftType) -> None:
    strips = [Polygon(fuselage(shape, 0.2, 0.7, side, side + 0.5)) for side in (-1.0, -0.5, 0.0, 0.5)]
    outline = Polygon(fuselage(shape, 0.2, 0.7, -1, 1))
    assert sum(strip.area for strip in strips) == pytest.approx(outline.area)


def test_fleet_covers_all_classes_in_plausible_sizes() -> None:
    sizes = {kind: [shape.length for shape in TYPES if shape.kind == kind] for kind in {shape.kind for shape in TYPES}}
    assert len(sizes) >= 7
    assert max(sizes[LIGHT]) < min(sizes[REGIONAL]) < max(sizes[NARROW]) < max(sizes[WIDE])
    assert 12 < min(sizes[FIGHTER]) <= max(sizes[FIGHTER]) < 25
