import keras
import pytest
from keras import layers

from model.detectors.flops import count_flops


def test_flops_are_the_multiplications_and_additions_of_convolutions() -> None:
    pixels = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(pixels)  # 16 x 24 positions, 3 x 3 x 3 x 8 numbers
    x = layers.ReLU()(layers.DepthwiseConv2D(5, padding="same")(x))  # 16 x 24, 5 x 5 x 8
    x = layers.Conv2D(4, 1)(x)  # 16 x 24, 8 x 4
    x = layers.Conv2DTranspose(5, 2, strides=2)(x)  # 16 x 24 of its input, 2 x 2 x 5 x 4
    expected = 2 * 16 * 24 * (3 * 3 * 3 * 8 + 5 * 5 * 8 + 8 * 4 + 2 * 2 * 5 * 4)
    assert count_flops(keras.Model(pixels, x), 32, 48) == expected


def test_a_model_of_two_inputs_is_refused() -> None:
    pixels = [keras.Input((None, None, 3)), keras.Input((None, None, 3))]
    with pytest.raises(ValueError, match="one input, got 2"):
        count_flops(keras.Model(pixels, layers.Add()(pixels)), 32, 32)
