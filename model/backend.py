"""What Keras runs on: TensorFlow, JAX or PyTorch; one device of it, or all.

Nothing here imports Keras before `choose` has had its say.
"""

import contextlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

from geo.errors import ConfigError

Backend = Literal["tensorflow", "jax", "torch"]
Devices = Literal["one", "all"]


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


@contextlib.contextmanager
def on(devices: Devices, batch: int) -> Iterator[None]:
    """Trains what is built, compiled and fitted in the block on one device or on all of this machine.

    On all, each device has a copy of the model and an equal share of every batch.

    Args:
        devices: how many.
        batch: crops in a step, for all devices together.

    Raises:
        ConfigError: the devices cannot share such a batch, or the backend can only use one.
    """
    if devices == "one":
        yield
        return
    names, scope = _all_devices()
    if batch % len(names):
        raise ConfigError(
            f"batch: expected a multiple of the {len(names)} devices that share it, got {batch}: change it, or set "
            "devices to one"
        )
    with scope:
        yield


def _all_devices() -> tuple[Sequence[str], Any]:
    """The devices' names, and the context in which all of them are used."""
    import keras

    if keras.backend.backend() == "jax":
        names = keras.distribution.list_devices()
        return names, keras.distribution.DataParallel(devices=names, auto_shard_dataset=False).scope()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        logical = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [device.name for device in logical]
        return names, tf.distribute.MirroredStrategy(names).scope()
    raise ConfigError("devices: expected one, since Keras trains on one device with torch: name jax or tensorflow")
