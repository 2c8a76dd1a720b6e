import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from geo.errors import ConfigError
from model import backend, train
from tests.model.test_train import settings


def test_the_backend_is_chosen_before_keras_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    backend.choose("tensorflow")
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


@pytest.mark.parametrize("name", ["numpy", "Tensorflow", None, 3])
def test_an_unknown_backend_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match="tensorflow, jax, torch"):
        backend.choose(name)


@pytest.mark.parametrize("as_flag", [True, False])
def test_a_backend_that_is_not_installed_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_flag: bool
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jax" else SimpleNamespace())
    file = settings(tmp_path, tmp_path, **({} if as_flag else {"backend": "jax"}))
    assert train.main(["--config", str(file), *(["--backend", "jax"] if as_flag else [])]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "pip install jax" in captured.err


def test_a_backend_other_than_the_one_that_runs_is_refused() -> None:
    backend.check("tensorflow")
    with pytest.raises(ConfigError, match="KERAS_BACKEND=torch"):
        backend.check("torch")


def test_all_devices_of_torch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ConfigError, match="jax or tensorflow"), backend.on("all", 2):
        pass


def test_a_batch_is_shared_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [SimpleNamespace(name="/CPU:0")] * 3)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: SimpleNamespace(scope=lambda: None))
    with pytest.raises(ConfigError, match="multiple of the 3 devices"), backend.on("all", 4):
        pass


TWO_DEVICES = """
import keras, numpy as np, tensorflow as tf
from model import assignment, backend
from model.losses import DetectionLoss, box_loss, detection_loss
from tests.model.test_train import tiny_network

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
generator = np.random.default_rng(1)
pixels = generator.integers(0, 256, (4, 64, 64, 3)).astype(np.float32)
corners = [generator.uniform(4, 60, (airplanes, 2, 2)) for airplanes in (1, 2, 1, 4)]
boxes = [np.concatenate([some.min(axis=1), some.max(axis=1)], axis=1) for some in corners]
wanted = np.stack([assignment.targets(some, np.zeros((0, 4)), 64, 64) for some in boxes])

def network():
    keras.utils.set_random_seed(1)
    return tiny_network(None)

class Batch(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return pixels, wanted

one = network()
losses, gradients = [], []
for half in (slice(0, 2), slice(2, 4)):
    with tf.GradientTape() as tape:
        losses.append(detection_loss(wanted[half], one(pixels[half], training=True)))
    gradients.append(tape.gradient(losses[-1], one.trainable_variables))

with backend.on("all", 4):
    two = network()
    two.compile(keras.optimizers.SGD(0.5), DetectionLoss(), metrics=[box_loss], jit_compile=False)
    found = {name: values[0] for name, values in two.fit(Batch(workers=2), shuffle=False, verbose=0).history.items()}
assert two.distribute_strategy.num_replicas_in_sync == 2
np.testing.assert_allclose(found["loss"], np.mean(losses), rtol=1e-5)
for mine, before, first, second in zip(two.trainable_variables, one.trainable_variables, *gradients):
    np.testing.assert_allclose(mine.numpy(), before.numpy() - 0.5 * (first + second) / 2, rtol=1e-4, atol=1e-6)
"""


def test_two_devices_take_the_mean_of_their_steps() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
