from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model.detectors import backbones
from model.detectors.anchor_free import network as detector
from model.detectors.config import DetectorConfig
from model.inference import weights_io


@pytest.fixture(scope="session")
def network() -> Any:
    """The detector with the ImageNet backbone and a random head, built once: do not change it.

    Its kernels are exact in half precision, so that it comes back from a model folder bit by bit.
    """
    keras.utils.set_random_seed(1)
    model = detector.build(DetectorConfig())
    backbones.load_imagenet(model)
    for variable in model.variables:
        if len(variable.shape) > 1:
            variable.assign(variable.value.numpy().astype(np.float16).astype(np.float32))
    return model


@pytest.fixture(scope="session")
def model_folder(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of that detector: copy it before you change a file."""
    folder = tmp_path_factory.mktemp("model")
    weights_io.save(folder, network, "tiny", DetectorConfig(), 0.25)
    return folder
