"""What a training computes on: a CPU, one GPU or several, several machines, TPUs.

Devices that share a training each have a copy of the model and an equal part of every batch, and make every step
together, by what all of them have learned from it.
"""

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from geo.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DistributionConfig:
    """The devices that share a training.

    Attributes:
        device: what they are; `auto` is one device, which the backend chooses: its first GPU or TPU, or else the CPU.
        devices: how many in each machine. Several of a CPU are made of it, to try a distribution without GPUs.
        machines: how many machines; all are given the same command, and `scope` says how they find each other.
    """

    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    devices: int = 1
    machines: int = 1

    def __post_init__(self) -> None:
        for name in ("devices", "machines"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1 on, got {getattr(self, name)}")
        if self.device == "auto" and self.shares > 1:
            raise ValueError(f"device: expected cpu, gpu or tpu, of which {self.shares} share a training, got auto")

    @property
    def shares(self) -> int:
        """How many devices there are in all machines together."""
        return self.devices * self.machines


def scope(config: DistributionConfig, batch: int) -> AbstractContextManager[Any]:
    """The context in which a model is to be built, compiled and fitted.

    To be called before anything is computed: by then a backend has chosen its devices. Of several machines, each waits
    here for the others. They find each other by their environment, as Keras has it:
    KERAS_DISTRIBUTION_JOB_ADDRESSES (host:port of the first machine), KERAS_DISTRIBUTION_NUM_PROCESSES, and
    KERAS_DISTRIBUTION_PROCESS_ID (0 for the first machine); on TPUs nothing is needed.

    Args:
        config: the devices.
        batch: examples in a step, for all devices together.

    Raises:
        ConfigError: the backend cannot do it, devices or machines are missing, or they cannot share such a batch.
    """
    backend = keras.backend.backend()
    _check(config, backend, batch)
    if config.device == "auto":
        return contextlib.nullcontext()
    try:
        return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend](config)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"distribution: expected {_described(config)} that {backend} can use, got: {reason}: docs/training.md "
            "(Machines) says what that takes"
        ) from error


def part(batches: keras.utils.PyDataset, config: DistributionConfig) -> keras.utils.PyDataset:
    """The batches of this machine: every so manieth of those of all machines; to be called in `scope`'s context."""
    if config.machines == 1:
        return batches
    import jax

    return _Part(batches, jax.process_index(), config.machines)


class _Part(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """Every so manieth batch, from the one on that has the machine's number."""

    def __init__(self, batches: keras.utils.PyDataset, number: int, machines: int) -> None:
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self.batches, self.number, self.machines = batches, number, machines

    def __len__(self) -> int:
        return len(self.batches) // self.machines

    def __getitem__(self, index: int) -> Any:
        """A batch as it is among those of all machines."""
        return self.batches[index * self.machines + self.number]


def check_epochs(config: DistributionConfig, epochs: int) -> None:
    """Refuses machines that would not go on from the same epoch: their states would be mixed. In `scope`'s context.

    Args:
        config: the devices.
        epochs: those that this machine has behind it.

    Raises:
        ConfigError: others have more or fewer.
    """
    if config.machines == 1:
        return
    from jax.experimental import multihost_utils

    everywhere = np.ravel(multihost_utils.process_allgather(np.array(epochs))).tolist()
    if len(set(everywhere)) > 1:
        raise ConfigError(
            f"run: expected as many finished epochs on every machine, got {', '.join(map(str, everywhere))}: copy the "
            "run's folder of one machine to the others"
        )


def _check(config: DistributionConfig, backend: str, batch: int) -> None:
    """Refuses what cannot work, before anything is touched."""
    if backend == "torch" and config.shares > 1:
        raise ConfigError(
            f"distribution: expected one device with torch, on which Keras trains on one, got {config.shares}: set "
            "backend to jax or tensorflow"
        )
    if backend == "tensorflow" and config.machines > 1:
        # MultiWorkerMirroredStrategy fails in `fit`, with PyDatasets and tf.data alike (Keras 3.15.1, TensorFlow 2.21).
        raise ConfigError(
            f"distribution.machines: expected 1 with tensorflow, on which Keras 3 cannot train on several (keras issue "
            f"20585), got {config.machines}: set backend to jax"
        )
    if backend != "jax" and config.device == "tpu":
        raise ConfigError(f"distribution.device: expected cpu or gpu with {backend}, got tpu: set backend to jax")
    if batch % config.shares:
        raise ConfigError(
            f"batch: expected a multiple of the {config.shares} devices that share it, got {batch}: change it, or "
            "the distribution"
        )


def _tensorflow(config: DistributionConfig) -> AbstractContextManager[Any]:
    import tensorflow as tf

    if config.device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        if config.devices > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            parts = [tf.config.LogicalDeviceConfiguration()] * config.devices
            tf.config.set_logical_device_configuration(cpu, parts)
    names = _enough(config, [device.name for device in tf.config.list_logical_devices(config.device.upper())])
    return tf.distribute.MirroredStrategy(names).scope() if config.devices > 1 else contextlib.nullcontext()


def _jax(config: DistributionConfig) -> AbstractContextManager[Any]:
    import jax

    if config.device == "cpu" and config.devices > 1:
        jax.config.update("jax_num_cpu_devices", config.devices)
    if config.machines > 1:
        keras.distribution.initialize()
    names = _enough(config, keras.distribution.list_devices(config.device))
    # What each machine is fed is its own part already.
    used: AbstractContextManager[Any] = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False).scope()
    return used


def _torch(config: DistributionConfig) -> AbstractContextManager[Any]:
    import torch

    if config.device == "gpu":
        _enough(config, [f"gpu:{number}" for number in range(torch.cuda.device_count())])
    used: AbstractContextManager[Any] = keras.device(f"{config.device}:0")
    return used


def _enough(config: DistributionConfig, found: list[str]) -> list[str]:
    """As many devices as are wanted.

    Raises:
        ValueError: there are fewer; or more in several machines, where the first ones would not be some of each.
    """
    if len(found) < config.shares or (config.machines > 1 and len(found) > config.shares):
        raise ValueError(f"{len(found)} in all")
    return found[: config.shares]


def _described(config: DistributionConfig) -> str:
    machines = f" in each of {config.machines} machines" if config.machines > 1 else ""
    return f"{config.devices} x {config.device}{machines}"
