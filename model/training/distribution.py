"""The devices of a training: a CPU, one GPU or several, several machines, TPUs.

Data parallelism: each device has a copy of the model and an equal part of every batch, and gradients are averaged.
Several GPUs, several machines with GPUs, and TPUs have not been tried by us: the tests use devices made of a CPU.
"""

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from geo.errors import ConfigError, one_line


@dataclass(frozen=True, slots=True)
class DistributionConfig:
    """The devices that share a training.

    Attributes:
        device: the kind; `auto` is the one device that the backend chooses: its first GPU or TPU, or else the CPU.
        devices: how many in each machine. A CPU is divided into several, to test a distribution without GPUs.
        machines: how many machines; all run the same command, see `scope` for how they connect.
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
        """The number of devices in all machines together."""
        return self.devices * self.machines


def scope(config: DistributionConfig, batch: int) -> AbstractContextManager[Any]:
    """Return the context in which a model is to be built, compiled and fitted.

    Call this before anything is computed: a backend fixes its devices then. Of several machines, each waits here for
    the others. They connect by environment variables of Keras:
    KERAS_DISTRIBUTION_JOB_ADDRESSES (host:port of the first machine), KERAS_DISTRIBUTION_NUM_PROCESSES, and
    KERAS_DISTRIBUTION_PROCESS_ID (0 for the first machine); on TPUs nothing is needed.

    Args:
        config: the devices.
        batch: examples in a step, of all devices together.

    Raises:
        ConfigError: the backend cannot do it, devices or machines are missing, or the batch cannot be divided.
    """
    backend = keras.backend.backend()
    _check(config, backend, batch)
    if config.device == "auto":
        return contextlib.nullcontext()
    try:
        return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend](config)
    except (RuntimeError, ValueError) as error:
        reason = one_line(error).rstrip(".")
        raise ConfigError(
            f"distribution: expected {_describe(config)} that {backend} can use, got: {reason}: docs/training.md "
            "(Machines) describes the requirements"
        ) from error


def batches_of_machine(batches: keras.utils.PyDataset, config: DistributionConfig) -> keras.utils.PyDataset:
    """Return the batches of this machine, every n-th of those of all n machines; to be called in `scope`'s context."""
    if config.machines == 1:
        return batches
    import jax

    return _EveryNth(batches, jax.process_index(), config.machines)


class _EveryNth(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """Every n-th batch, beginning with the one that has the machine's number."""

    def __init__(self, batches: keras.utils.PyDataset, number: int, machines: int) -> None:
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self.batches, self.number, self.machines = batches, number, machines

    def __len__(self) -> int:
        return len(self.batches) // self.machines

    def __getitem__(self, index: int) -> Any:
        """Return a batch of this machine."""
        return self.batches[index * self.machines + self.number]


def check_same_epoch(config: DistributionConfig, epochs: int) -> None:
    """Check that all machines resume from the same epoch: else their states would be mixed. In `scope`'s context.

    Args:
        config: the devices.
        epochs: the completed epochs of this machine.

    Raises:
        ConfigError: other machines have completed more or fewer.
    """
    if config.machines == 1:
        return
    from jax.experimental import multihost_utils

    by_machine = np.ravel(multihost_utils.process_allgather(np.array(epochs))).tolist()
    if len(set(by_machine)) > 1:
        raise ConfigError(
            f"run: expected as many finished epochs on every machine, got {', '.join(map(str, by_machine))}: copy the "
            "run's folder of one machine to the others"
        )


def _check(config: DistributionConfig, backend: str, batch: int) -> None:
    """Reject what the backend does not support, before any device is used."""
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
    names = _select_devices(config, [device.name for device in tf.config.list_logical_devices(config.device.upper())])
    return tf.distribute.MirroredStrategy(names).scope() if config.devices > 1 else contextlib.nullcontext()


def _jax(config: DistributionConfig) -> AbstractContextManager[Any]:
    import jax

    if config.device == "cpu" and config.devices > 1:
        jax.config.update("jax_num_cpu_devices", config.devices)
    if config.machines > 1:
        keras.distribution.initialize()
    names = _select_devices(config, keras.distribution.list_devices(config.device))
    # The dataset of each machine is already its own part.
    scope: AbstractContextManager[Any] = keras.distribution.DataParallel(
        devices=names, auto_shard_dataset=False
    ).scope()
    return scope


def _torch(config: DistributionConfig) -> AbstractContextManager[Any]:
    import torch

    if config.device == "gpu":
        _select_devices(config, [f"gpu:{number}" for number in range(torch.cuda.device_count())])
    scope: AbstractContextManager[Any] = keras.device(f"{config.device}:0")
    return scope


def _select_devices(config: DistributionConfig, available: list[str]) -> list[str]:
    """Return as many devices as the config asks for.

    Raises:
        ValueError: there are fewer; or more in several machines: the first ones would not cover every machine.
    """
    if len(available) < config.shares or (config.machines > 1 and len(available) > config.shares):
        raise ValueError(f"{len(available)} in all")
    return available[: config.shares]


def _describe(config: DistributionConfig) -> str:
    machines = f" in each of {config.machines} machines" if config.machines > 1 else ""
    return f"{config.devices} x {config.device}{machines}"
