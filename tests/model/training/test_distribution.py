import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from geo.errors import ConfigError
from model import train
from model.data.crops import CropBatches
from model.training import detector as training
from model.training import distribution
from model.training.distribution import DistributionConfig
from tests.model.image_sets import make_pixels, write_set
from tests.model.tiny_training import assert_same, log, settings, state, trained

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax, which is not installed")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_set(folder / "one", {"a": make_pixels(), "b": make_pixels(0.8)}, split="train")
    write_set(folder / "two", {"c": make_pixels(0.6)}, split="train")
    write_set(folder / "three", {"d": make_pixels(0.7)}, split="dev")
    return folder


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"device": "cpu", "devices": 0}, "devices"),
        ({"device": "gpu", "machines": -1}, "machines"),
        ({"devices": 2}, "cpu, gpu or tpu"),
        ({"machines": 2}, "cpu, gpu or tpu"),
    ],
)
def test_invalid_numbers_of_devices_are_rejected(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        DistributionConfig(**values)


@pytest.mark.parametrize(
    ("backend", "config", "remedy"),
    [
        ("torch", DistributionConfig("gpu", devices=2), "set backend to jax or tensorflow"),
        ("torch", DistributionConfig("cpu", machines=2), "set backend to jax or tensorflow"),
        ("torch", DistributionConfig("tpu"), "set backend to jax"),
        ("tensorflow", DistributionConfig("tpu", devices=4), "set backend to jax"),
        ("tensorflow", DistributionConfig("gpu", machines=2), "set backend to jax"),
        ("jax", DistributionConfig("gpu", devices=3), "batch: expected a multiple of the 3 devices"),
        ("jax", DistributionConfig("tpu", devices=4, machines=4), "batch: expected a multiple of the 16 devices"),
    ],
)
def test_unsupported_features_of_a_backend_are_rejected_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, backend: str, config: DistributionConfig, remedy: str
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    with pytest.raises(ConfigError, match=remedy):
        distribution.scope(config, 4)


def with_gpus(patch: pytest.MonkeyPatch, count: int) -> list[list[str]]:
    """Make TensorFlow report GPUs; return those that a strategy uses."""
    mirrored: list[list[str]] = []

    def strategy(names: list[str]) -> SimpleNamespace:
        mirrored.append(names)
        return SimpleNamespace(scope=contextlib.nullcontext)

    gpus = [SimpleNamespace(name=f"/GPU:{number}") for number in range(count)]
    patch.setattr(tf.config, "list_logical_devices", lambda kind: gpus if kind == "GPU" else [])
    patch.setattr(tf.distribute, "MirroredStrategy", strategy)
    return mirrored


def test_missing_gpus_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    with pytest.raises(ConfigError, match=r"expected 2 x gpu that tensorflow can use, got: 1 in all.*training\.md"):
        distribution.scope(DistributionConfig("gpu", devices=2), 4)


def test_the_configured_number_of_gpus_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    mirrored = with_gpus(monkeypatch, 3)
    distribution.scope(DistributionConfig("gpu"), 4)
    assert mirrored == []
    distribution.scope(DistributionConfig("gpu", devices=2), 4)
    assert mirrored == [["/GPU:0", "/GPU:1"]]


def test_devices_are_not_changed_under_a_computation(capsys: pytest.CaptureFixture[str]) -> None:
    tf.zeros(1)
    with pytest.raises(ConfigError, match="2 x cpu"):
        distribution.scope(DistributionConfig("cpu", devices=2), 4)


def test_one_cpu_equals_the_default_without_gpus(data: Path, tmp_path: Path) -> None:
    runs = []
    for device in ("auto", "cpu"):
        (tmp_path / device).mkdir()
        runs.append(trained(tmp_path / device, data, epochs=1, distribution={"device": device}))
    assert_same(state(runs[0]), state(runs[1]))


def test_missing_devices_are_rejected_before_any_work(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, 0)
    monkeypatch.setattr(training, "_load_sets", lambda config: pytest.fail("read data"))
    assert train.main(["--config", str(settings(tmp_path, data)), "--distribution.device=gpu"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "1 x gpu" in captured.err
    assert not (tmp_path / "run").exists()


class Numbered(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        return index


def test_the_batches_of_all_machines_are_all_batches() -> None:
    full = Numbered(workers=3, max_queue_size=5)
    parts = [distribution._EveryNth(full, number, 3) for number in range(3)]
    assert [[part[step] for step in range(len(part))] for part in parts] == [[0, 3], [1, 4], [2, 5]]
    assert (parts[0].workers, parts[0].max_queue_size) == (3, 5)
    assert distribution.batches_of_machine(full, DistributionConfig("gpu", devices=2)) is full


def test_a_machine_trains_on_its_part_of_every_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of batches of 4 two machines have 2 each, and the second one every second of these.
    asked, original = [], CropBatches.__getitem__

    def note(self: CropBatches, index: int) -> Any:
        asked.append((self.epoch, index))
        own_batch = original(self, index)
        assert len(own_batch[0]) == 2
        return own_batch

    monkeypatch.setattr(CropBatches, "__getitem__", note)
    monkeypatch.setattr(distribution, "scope", lambda config, batch: contextlib.nullcontext())
    monkeypatch.setattr(distribution, "check_same_epoch", lambda config, epochs: None)
    monkeypatch.setattr(distribution, "batches_of_machine", lambda crops, config: distribution._EveryNth(crops, 1, 2))
    trained(tmp_path, data, batch=4, epochs=2, steps_per_epoch=3, distribution={"device": "cpu", "machines": 2})
    assert set(asked) == {(epoch, index) for epoch in (0, 1) for index in (1, 3, 5)}


@needs_jax
@pytest.mark.parametrize("everywhere", [[3, 3], [3, 2]])
def test_machines_at_different_epochs_are_refused(monkeypatch: pytest.MonkeyPatch, everywhere: list[int]) -> None:
    from jax.experimental import multihost_utils

    monkeypatch.setattr(multihost_utils, "process_allgather", lambda own: np.array(everywhere)[:, None])
    alike = everywhere == [3, 3]
    with contextlib.nullcontext() if alike else pytest.raises(ConfigError, match="got 3, 2: copy the run's folder"):
        distribution.check_same_epoch(DistributionConfig("cpu", machines=2), 3)


PROGRAM = """
import sys

import keras
import numpy as np
from model import train
from model.detectors.anchor_free import losses, network
from model.detectors.anchor_free.losses import DetectionLoss, box_loss, detection_loss
from model.training import distribution
from tests.model.tiny_training import tiny_network

network.build = tiny_network
"""

# Arguments: those of the training that follows the step.
STEP = """
generator = np.random.default_rng(1)
pixels = generator.integers(0, 256, (4, 64, 64, 3)).astype(np.float32)
corners = [generator.uniform(4, 60, (airplanes, 2, 2)) for airplanes in (1, 2, 1, 4)]
boxes = [np.concatenate([pair.min(axis=1), pair.max(axis=1)], axis=1) for pair in corners]
targets = np.stack([losses.targets(each, np.zeros((0, 4)), 64, 64) for each in boxes])

class Batch(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return pixels, targets

def fit():
    keras.utils.set_random_seed(1)
    network = tiny_network(None)
    jit = keras.backend.backend() == "jax"
    network.compile(keras.optimizers.SGD(0.5), DetectionLoss(), metrics=[box_loss], jit_compile=jit)
    history = network.fit(Batch(workers=2), shuffle=False, verbose=0).history
    return network, history["loss"][0]

with distribution.scope(distribution.DistributionConfig("cpu", devices=2), 4):
    on_two, loss = fit()
"""

STEP_ON_ONE_DEVICE = {
    "tensorflow": """
import tensorflow as tf

# Each device divides by the airplanes of its own crops; the step is the mean of both.
assert on_two.distribute_strategy.num_replicas_in_sync == 2
keras.utils.set_random_seed(1)
on_one = tiny_network(None)
values, gradients = [], []
for half in (slice(0, 2), slice(2, 4)):
    with tf.GradientTape() as tape:
        values.append(detection_loss(targets[half], on_one(pixels[half], training=True)))
    gradients.append(tape.gradient(values[-1], on_one.trainable_variables))
np.testing.assert_allclose(loss, np.mean(values), rtol=1e-5)
for after, before, first, second in zip(on_two.trainable_variables, on_one.trainable_variables, *gradients):
    np.testing.assert_allclose(after.numpy(), before.numpy() - 0.5 * (first + second) / 2, rtol=1e-4, atol=1e-6)
""",
    "jax": """
# JAX computes on two devices what it would compute on one.
on_one, expected = fit()
devices = [len(each.trainable_variables[0].value.sharding.device_set) for each in (on_two, on_one)]
assert devices == [2, 1]
np.testing.assert_allclose(loss, expected, rtol=1e-5)
for two, one in zip(on_two.trainable_variables, on_one.trainable_variables):
    np.testing.assert_allclose(np.asarray(two.value), np.asarray(one.value), rtol=1e-4, atol=1e-6)
""",
}

TRAIN = "sys.exit(train.main(sys.argv[1:]))"


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=needs_jax)])
def test_two_devices_share_each_step_of_a_training(data: Path, tmp_path: Path, backend: str) -> None:
    file = settings(tmp_path, data, backend=backend, epochs=2, callbacks={"every": 1, "sets": ["three"], "batch": 1})
    program = PROGRAM + STEP + STEP_ON_ONE_DEVICE[backend] + TRAIN
    flags = ["--config", str(file), "--distribution.device=cpu", "--distribution.devices=2"]
    process = subprocess.run(
        [sys.executable, "-c", program, *flags],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"KERAS_BACKEND": backend},
    )
    assert process.returncode == 0, process.stderr
    assert [row["crops"] for row in log(tmp_path / "run")] == ["4", "8"]
    assert (tmp_path / "run" / "val.csv").read_text().count("\n1,") == 2


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def train_on_two_machines(folder: Path, data: Path, *flags: str) -> list[tuple[int, str]]:
    """Train in two processes that act as two machines; return the exit status and stderr of each."""
    port, processes = free_port(), []
    for number in range(2):
        (own := folder / str(number)).mkdir(exist_ok=True)
        file = settings(own, data, backend="jax", batch=4, callbacks={"every": 2, "sets": ["three"], "batch": 1})
        environment = os.environ | {
            "KERAS_BACKEND": "jax",
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        }
        machines = ["--distribution.device=cpu", "--distribution.machines=2"]
        command = [sys.executable, "-c", PROGRAM + TRAIN, "--config", str(file), *machines, *flags]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment))
    outputs = [process.communicate()[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, outputs, strict=True)]


@needs_jax
def test_two_machines_train_one_model_and_resume_together(data: Path, tmp_path: Path) -> None:
    for epochs in ("2", "3"):
        for status, stderr in train_on_two_machines(tmp_path, data, "--epochs", epochs):
            assert status == 0, stderr
    runs = [tmp_path / "0" / "run", tmp_path / "1" / "run"]
    assert_same(state(runs[0]), state(runs[1]))
    losses = [[row["loss"] for row in log(run)] for run in runs]
    assert losses[0] == losses[1]
    assert [row["crops"] for row in log(runs[0])] == ["8", "16", "24"]
