import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.synthetic.geometry import rectangle
from model.synthetic.world import Layer

boxes = st.tuples(st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 20), st.integers(1, 20))


def test_empty_layer_packs() -> None:
    packed = Layer(4).pack(0.1)
    assert packed.intersecting(0, 0, 100, 100) == []
    assert packed.values.shape == (0, 4)


def test_rings_are_ordered_by_level_then_insertion() -> None:
    layer = Layer(1)
    layer.add(rectangle(0, 0, 1, 1), (1,), level=2)
    layer.add([rectangle(0, 0, 1, 1), rectangle(5, 5, 6, 6)], [(2,), (3,)], level=0)
    layer.add([(0, 0), (1, 0), (0, 1)], (4,), level=2)
    packed = layer.pack(0.5)
    assert packed.values[:, 0].tolist() == [2, 3, 1, 4]
    assert np.diff(packed.starts).tolist() == [4, 4, 4, 3]
    # The second ring's corners, in subsamples: each filled from its first to its last subsample.
    assert packed.points[packed.starts[1] : packed.starts[2]].min(axis=0).tolist() == [10, 10]


def test_values_are_rounded_and_clipped() -> None:
    layer = Layer(3)
    layer.add(rectangle(0, 0, 1, 1), (-5, 99.6, 300))
    assert layer.pack(1.0).values.tolist() == [[0, 100, 255]]


@given(st.lists(boxes, max_size=12), boxes)
def test_intersecting_agrees_with_brute_force(
    rings: list[tuple[int, int, int, int]], view: tuple[int, int, int, int]
) -> None:
    layer = Layer(1)
    for x, y, width, height in rings:
        layer.add(rectangle(x, y, x + width, y + height), (1,))
    packed, (left, top, wide, high) = layer.pack(1.0), view
    expected = []
    for k in range(len(rings)):
        points = packed.points[packed.starts[k] : packed.starts[k + 1]]
        covered_x = set(range(points[:, 0].min(), points[:, 0].max() + 1))
        covered_y = set(range(points[:, 1].min(), points[:, 1].max() + 1))
        if covered_x & set(range(left, left + wide)) and covered_y & set(range(top, top + high)):
            expected.append(k)
    assert packed.intersecting(left, top, left + wide, top + high) == expected


def test_rings_are_packed_without_a_shift() -> None:
    offsets = (np.arange(50) + 0.5) / 50
    layer = Layer(1)
    for offset in offsets:
        layer.add(rectangle(10 + offset, 4 + offset, 30 + offset, 8 + offset), (1,))
    bounds = layer.pack(1.0).bounds.astype(float)
    centres = (bounds[:, [0, 1]] + bounds[:, [2, 3]] + 1) / 2  # filled boxes include both ends
    errors = centres - np.stack([20 + offsets, 6 + offsets], axis=1)
    assert np.abs(errors).max() <= 0.5
    np.testing.assert_allclose(errors.mean(axis=0), 0, atol=0.02)
