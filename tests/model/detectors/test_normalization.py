from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from model.detectors.normalization import conv_norm, fold

KINDS = [
    (layers.Conv2D, {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"}),
    # As many channels out as there are rows in the kernel: no axis may be taken for another.
    (layers.Conv2D, {"filters": 3, "kernel_size": 3}),
    (layers.Conv2D, {"filters": 1, "kernel_size": 1}),
    (layers.DepthwiseConv2D, {"kernel_size": 3}),
    (layers.DepthwiseConv2D, {"kernel_size": 5, "padding": "same"}),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_a_folded_network_gives_the_same(kind: Any, settings: dict[str, Any], channels: int) -> None:
    generator = np.random.default_rng(1)
    trained, folded = (
        keras.Model(x := keras.Input((9, 11, channels)), conv_norm(x, kind, "a", folded=folded, **settings))
        for folded in (False, True)
    )
    for variable in trained.variables:
        low = 0.3 if variable.path.endswith(("gamma", "variance")) else -2
        variable.assign(generator.uniform(low, 2, variable.shape))
    arrays = fold({variable.path: variable.value.numpy() for variable in trained.variables})
    assert arrays.keys() == {variable.path for variable in folded.variables} == {"a/kernel", "a/bias"}
    for variable in folded.variables:
        variable.assign(arrays[variable.path])
    x = generator.normal(size=(2, 9, 11, channels)).astype(np.float32)
    actual, expected = (ops.convert_to_numpy(model(x, training=False)) for model in (folded, trained))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_a_layer_without_normalisation_is_unchanged() -> None:
    kernel, bias = np.ones((1, 1, 2, 3), np.float16), np.array([0.5, -1, 2], np.float32)
    arrays = fold({"cells/kernel": kernel, "cells/bias": bias})
    assert arrays.keys() == {"cells/kernel", "cells/bias"}
    np.testing.assert_array_equal(arrays["cells/kernel"], kernel)
    np.testing.assert_array_equal(arrays["cells/bias"], bias)
