from typing import Any

import keras
import pytest

from model.detectors.backbones import squeezenet
from tests.model.detectors.backbones.graphs import convolutions, longest_chain


def fire(depth_in: int, squeeze: int, side: int) -> list[tuple[int, int, int, int]]:
    """A module of SqueezeNet: channels in, kernel, channels out, side."""
    return [(depth_in, 1, squeeze, side), (squeeze, 1, 4 * squeeze, side), (squeeze, 3, 4 * squeeze, side)]


TWELVE = [
    (3, 6, 32, 128),
    *fire(32, 5, 64),
    *fire(40, 10, 64),
    *fire(80, 15, 32),
    *fire(120, 20, 32),
    *fire(160, 25, 16),
]
SEVENTEEN = [
    (3, 3, 128, 256),
    (128, 3, 64, 128),
    *fire(64, 8, 128),
    *fire(64, 16, 128),
    *fire(128, 24, 64),
    *fire(192, 32, 64),
    *fire(256, 40, 32),
    *fire(320, 48, 32),
    *fire(384, 56, 16),
]


def network(layer_count: int) -> Any:
    pixels = keras.Input((256, 256, 3))
    return keras.Model(pixels, squeezenet.features(pixels, layer_count))


@pytest.mark.parametrize(("layer_count", "expected"), [(12, TWELVE), (17, SEVENTEEN)])
def test_the_networks_of_the_talk_have_their_layers(
    layer_count: int, expected: list[tuple[int, int, int, int]]
) -> None:
    assert convolutions(network(layer_count)) == expected


@pytest.mark.parametrize("layer_count", [squeezenet.MIN_LAYERS, 11, 12, 16, 17, 20])
def test_depth_is_what_is_asked_for(layer_count: int) -> None:
    features = network(layer_count).output
    assert longest_chain(features) == layer_count - 1  # the last is the head's
    assert features.shape[1:3] == (16, 16)


def test_below_17_layers_it_begins_fast() -> None:
    assert convolutions(network(16))[0] == TWELVE[0]
    assert convolutions(network(18))[0] == SEVENTEEN[0]


def test_a_module_expands_side_by_side() -> None:
    model = network(8)
    narrow, wide = (model.get_layer(f"module_0_expand_{kernel}_conv") for kernel in (1, 3))
    assert narrow.input is wide.input
    assert model.get_layer("module_0_expanded").output.shape[-1] == narrow.filters + wide.filters
