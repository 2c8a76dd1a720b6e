"""The backend of Keras: TensorFlow, JAX or PyTorch.

This module does not import Keras: `choose` must be called before.
"""

import importlib.util
import os
from typing import Literal, get_args

from geo.errors import ConfigError

Backend = Literal["tensorflow", "jax", "torch"]


def choose(name: object) -> None:
    """Select the backend of Keras; to be called before anything imports Keras.

    Raises:
        ConfigError: the backend is unknown or not installed.
    """
    if name not in get_args(Backend):
        raise ConfigError(f"backend: expected {', '.join(get_args(Backend))}, got {name!r}")
    if importlib.util.find_spec(str(name)) is None:
        raise ConfigError(
            f"backend: expected one that is installed, {name} is not: install it (pip install {name}), or name another"
        )
    os.environ["KERAS_BACKEND"] = str(name)


def check(name: Backend) -> None:
    """Check that Keras runs on this backend.

    Raises:
        ConfigError: Keras runs on another backend.
    """
    import keras

    running = keras.backend.backend()
    if running != name:
        raise ConfigError(
            f"backend: expected {running}, on which Keras already runs, got {name}: set KERAS_BACKEND={name} before "
            "Keras is imported, as `python -m model.train` does"
        )
