import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon, prepare

from model.synthetic.geometry import Frame, Size, centred_box, rectangle
from model.synthetic.land import Parcel, ParcelFiller, fill_patchwork
from model.synthetic.style import sample_style, stream
from model.synthetic.world import Tier, World

LAND = Polygon([(100, 100), (900, 150), (800, 850), (420, 500), (150, 900)])


def full_parcel(angle: float = 0.3) -> Parcel:
    prepare(LAND)
    return Parcel(World(1000, 1000, sample_style(1, 45.0)), Frame(500, 500, angle), LAND)


@given(st.floats(-7, 7), st.integers(0, 1000))
def test_usable_points_lie_on_the_land(angle: float, seed: int) -> None:
    parcel = full_parcel(angle)
    spots = stream(seed, "x").uniform(-700, 700, (50, 2))
    expected = [LAND.contains(Polygon(point + centred_box((1e-6, 1e-6)))) for point in parcel.frame.points(spots)]
    assert parcel.usable(spots).tolist() == expected


@given(st.floats(-7, 7), st.floats(-500, 500), st.floats(-500, 500), st.floats(5, 600), st.floats(5, 600))
def test_pave_clips_to_the_land(angle: float, x: float, y: float, width: float, depth: float) -> None:
    parcel = full_parcel(angle)
    ring = rectangle(x, y, x + width, y + depth)
    parcel.pave([ring, ring], [(10, 20, 30), (40, 50, 60)], Tier.LAND)
    packed = parcel.world.ground.pack(0.01)
    parts = [
        Polygon((packed.points[a:b] + 0.5) * 0.01).buffer(0)
        for a, b in zip(packed.starts[:-1], packed.starts[1:], strict=True)
    ]
    expected = LAND.intersection(Polygon(parcel.frame.points(ring)))
    area = sum(part.area for part in parts)
    np.testing.assert_allclose(area, 2 * expected.area, rtol=1e-3, atol=30)
    assert all(LAND.buffer(0.1).contains(part) for part in parts)


def test_patchwork_covers_the_land_without_overlaps() -> None:
    parcel, rings = full_parcel(), []

    def record(part: Parcel, size: Size, rng: np.random.Generator) -> None:
        rings.append(Polygon(part.frame.points(centred_box(size))))

    def choose(field: float, rng: np.random.Generator) -> ParcelFiller:
        assert -3.2 <= field <= 3.2
        return record

    fill_patchwork(parcel, 780.0, (120.0, 90.0), 0.0, choose, stream(1, "x"))
    covered = sum(ring.intersection(LAND).area for ring in rings)
    np.testing.assert_allclose(covered, LAND.area, rtol=1e-6)
    assert all(ring.intersects(LAND) for ring in rings)
