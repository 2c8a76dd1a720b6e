"""What Keras runs on: TensorFlow, JAX or PyTorch.

Nothing here imports Keras before `choose` has had its say.
"""

import importlib.util
import os
from typing import Literal, get_args

from geo.errors import ConfigError

Backend = Literal["tensorflow", "jax", "torch"]


def choose(name: object) -> None:
    """Lets Keras run on a backend; to be called before anything imports Keras.

    Raises:
        ConfigError: no such backend, or it is not installed.
    """
    if name not in get_args(Backend):
        raise ConfigError(f"backend: expected {', '.join(get_args(Backend))}, got {name!r}")
    if importlib.util.find_spec(str(name)) is None:
        raise ConfigError(
            f"backend: expected one that is installed, {name} is not: install it (pip install {name}), or name another"
        )
    os.environ["KERAS_BACKEND"] = str(name)


def check(name: Backend) -> None:
    """Refuses a backend that is not the one Keras runs on.

    Raises:
        ConfigError: it is not.
    """
    import keras

    running = keras.backend.backend()
    if running != name:
        raise ConfigError(
            f"backend: expected {running}, on which Keras already runs, got {name}: set KERAS_BACKEND={name} before "
            "Keras is imported, as `python -m model.train` does"
        )
