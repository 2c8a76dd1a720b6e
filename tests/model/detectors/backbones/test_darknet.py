from typing import Any

import keras
import pytest

from model.detectors.backbones import darknet
from tests.model.detectors.backbones.graphs import convolutions, longest_chain


def pair(depth_in: int, depth: int, side: int) -> list[tuple[int, int, int, int]]:
    """1x1 and 3x3: channels in, kernel, channels out, side."""
    return [(depth_in, 1, depth // 2, side), (depth // 2, 3, depth, side)]


TEN = [
    (3, 3, 32, 256),
    *pair(32, 64, 128),
    *pair(64, 128, 64),
    *pair(128, 256, 32),
    *pair(256, 512, 16),
]
SEVENTEEN = [
    (3, 3, 32, 256),
    (32, 3, 64, 128),
    *pair(64, 64, 128),
    *pair(64, 64, 128),
    *pair(64, 128, 64),
    *pair(128, 128, 64),
    *pair(128, 256, 32),
    *pair(256, 256, 32),
    *pair(256, 512, 16),
]


def network(layer_count: int) -> Any:
    pixels = keras.Input((256, 256, 3))
    return keras.Model(pixels, darknet.features(pixels, layer_count))


@pytest.mark.parametrize(("layer_count", "expected"), [(10, TEN), (17, SEVENTEEN)])
def test_the_networks_of_the_talk_have_their_layers(
    layer_count: int, expected: list[tuple[int, int, int, int]]
) -> None:
    assert convolutions(network(layer_count)) == expected


@pytest.mark.parametrize("layer_count", [darknet.MIN_LAYERS, 11, 17])
def test_depth_is_what_is_asked_for(layer_count: int) -> None:
    features = network(layer_count).output
    assert longest_chain(features) == layer_count - 1  # the last is the head's
    assert features.shape[1:] == (16, 16, 512)


def test_kernels_of_3_and_1_take_turns() -> None:
    assert [kernel for _, kernel, _, _ in convolutions(network(10))] == [3, 1, 3, 1, 3, 1, 3, 1, 3]
