import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import yaml
from keras import layers
from numpy.typing import NDArray

from geo.raster import read_header
from model import config as config_file
from model import train, training, weights_io
from model.backbones import efficientnet_lite
from model.detector import DetectorConfig, build
from model.training import TrainConfig
from model.weights_io import WEIGHTS_FILE
from tests.model.photos import picture, write_set

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")

EPOCHS, STEPS = 3, 2
SMALL = {
    "name": "small",
    "data": "data",
    "sources": [{"set": "one", "weight": 0.7}, {"set": "two", "weight": 0.3}],
    "run": "run",
    "crops": {"side_px": 64, "size_px": [16, 40]},
    "batch": 2,
    "steps_per_epoch": STEPS,
    "epochs": EPOCHS,
    "warmup_steps": 2,
    "learning_rate": 0.01,
    "min_score": 0.3,
}


def tiny_network(_: DetectorConfig) -> Any:
    """A network of the detector's input and output, batch statistics included, that trains in no time."""
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Conv2D(6, 8, strides=8, name="patches")(layers.Rescaling(1 / 128)(pixels))
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    return keras.Model(pixels, layers.Conv2D(5, 1, name="cells")(x), name="detector")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_set(folder / "one", {"a": picture(), "b": picture(0.8)}, split="train")
    write_set(folder / "two", {"c": picture(0.6)}, split="train")
    return folder


def settings(folder: Path, data: Path, **changes: object) -> Path:
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(SMALL | {"data": str(data), "run": str(folder / "run")} | changes))
    return file


@contextmanager
def eagerly(patch_network: bool = True) -> Iterator[None]:
    """Step by step: so few steps are done long before a graph of them is made."""
    with pytest.MonkeyPatch.context() as patch:
        if patch_network:
            patch.setattr(training, "build", tiny_network)
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(False)


def trained(folder: Path, data: Path, **changes: object) -> Path:
    """Trains the tiny network and returns the run's folder."""
    with eagerly():
        assert train.main(["--config", str(settings(folder, data, **changes))]) == 0
    return folder / "run"


def state(run: Path) -> dict[str, NDArray[np.floating]]:
    """Everything that training goes on from: weights, statistics, and the optimizer's memory."""
    found: dict[str, NDArray[np.floating]] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item)

    with h5py.File(run / "state" / "latest.weights.h5") as file:
        file.visititems(keep)
    return found


def log(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("unbroken"), data)


class PulledPlugError(Exception):
    """What ends a training in the middle."""


def broken_off(folder: Path, data: Path, where: Callable[[pytest.MonkeyPatch], None]) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        where(patch)
        with pytest.raises(PulledPlugError):
            trained(folder, data)
    return folder / "run"


def in_the_second_epoch(patch: pytest.MonkeyPatch) -> None:
    steps = iter(range(100))

    def pull(*_: object, **__: object) -> None:
        if next(steps) == STEPS + 1:
            raise PulledPlugError

    patch.setattr(training._Save, "on_train_batch_begin", pull, raising=False)


def at_the_second_end_of(callback: type[keras.callbacks.Callback]) -> Callable[[pytest.MonkeyPatch], None]:
    """Pulls the plug where an epoch has been kept in one place and not yet in another."""

    def where(patch: pytest.MonkeyPatch) -> None:
        plain = callback.on_epoch_end

        def pull(self: Any, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise PulledPlugError
            plain(self, epoch, logs)

        patch.setattr(callback, "on_epoch_end", pull)

    return where


def while_the_second_state_is_written(patch: pytest.MonkeyPatch) -> None:
    plain, times = keras.Model.save_weights, iter(range(100))

    def pull(self: Any, filepath: str, **options: Any) -> None:
        plain(self, filepath, **options)
        if next(times) == 1:
            Path(filepath).write_bytes(Path(filepath).read_bytes()[:5000])
            raise PulledPlugError

    patch.setattr(keras.Model, "save_weights", pull)


BREAKS = {
    "in the second epoch": in_the_second_epoch,
    "before the state is kept": at_the_second_end_of(keras.callbacks.BackupAndRestore),
    "while the state is kept": while_the_second_state_is_written,
    "before the log is written": at_the_second_end_of(keras.callbacks.CSVLogger),
    "before the model is saved": at_the_second_end_of(training._Save),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_training_broken_off_ends_as_an_unbroken_one(unbroken: Path, data: Path, tmp_path: Path, name: str) -> None:
    run = broken_off(tmp_path, data, BREAKS[name])
    assert len(log(run)) < EPOCHS
    assert trained(tmp_path, data) == run
    assert_same(state(run), state(unbroken))
    weights = [safetensors.numpy.load_file(folder / "model" / WEIGHTS_FILE) for folder in (run, unbroken)]
    assert_same(*weights)
    assert [row["epoch"] for row in log(run)] == ["0", "1", "2"]
    losses = [[float(row["loss"]) for row in log(folder)] for folder in (run, unbroken)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_finished_training_stays_finished(unbroken: Path, data: Path) -> None:
    before = {file: file.read_bytes() for file in sorted(unbroken.rglob("*")) if file.is_file()}
    trained(unbroken.parent, data)
    assert {file: file.read_bytes() for file in before} == before


def test_a_run_leaves_its_log_its_state_and_its_model(unbroken: Path, data: Path) -> None:
    assert {path.name for path in unbroken.iterdir()} == {"log.csv", "model", "state"}
    assert [row["epoch"] for row in log(unbroken)] == ["0", "1", "2"]
    assert all(np.isfinite(float(row["loss"])) for row in log(unbroken))
    config = weights_io.read_config(unbroken / "model")
    assert (config.name, config.min_score, config.detector) == ("small", 0.3, DetectorConfig())


def test_another_seed_makes_another_model(unbroken: Path, data: Path, tmp_path: Path) -> None:
    # Or the comparisons above would compare nothing.
    other = trained(tmp_path, data, seed=2)
    with pytest.raises(AssertionError, match="Not equal"):
        assert_same(state(other), state(unbroken))


def test_training_goes_on_from_weights_that_are_named(unbroken: Path, data: Path, tmp_path: Path) -> None:
    start = unbroken / "model" / WEIGHTS_FILE
    run = trained(tmp_path, data, start=str(start), learning_rate=0.0, epochs=1)
    found, wanted = (safetensors.numpy.load_file(file) for file in (run / "model" / WEIGHTS_FILE, start))
    for name, array in wanted.items():
        if "moving" not in name:
            np.testing.assert_array_equal(found[name], array)


def test_sample_scenes_are_drawn_once_and_trained_on(data: Path, tmp_path: Path) -> None:
    rendered = {"weight": 1.0, "seeds": [3, 4], "size_px": 128, "resolution_m": [0.5, 1.0]}
    run = trained(tmp_path, data, rendered=rendered, epochs=1)
    scenes = {file: file.read_bytes() for file in sorted((run / "rendered").iterdir())}
    assert [file.name for file in scenes] == ["3.tif", "3.truth.geojson", "4.tif", "4.truth.geojson"]
    assert read_header(str(run / "rendered" / "4.tif")).resolution_m == pytest.approx((1.0, 1.0), rel=0.01)
    trained(tmp_path, data, rendered=rendered, epochs=2)
    assert {file: file.read_bytes() for file in scenes} == scenes


def test_training_makes_the_loss_smaller(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "build", tiny_network)
    changes = {"epochs": 4, "steps_per_epoch": 15, "learning_rate": 0.02}
    assert train.main(["--config", str(settings(tmp_path, data, **changes))]) == 0
    losses = [float(row["loss"]) for row in log(tmp_path / "run")]
    assert losses[-1] < 0.8 * losses[0]


def test_a_training_gone_wild_ends_before_anything_of_it_is_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path, data, epochs=1)
    before = state(run)
    with eagerly():
        file = settings(tmp_path, data, epochs=2, learning_rate=1e30, warmup_steps=0)
        assert train.main(["--config", str(file)]) == 2
    assert "learning_rate" in capsys.readouterr().err
    assert_same(state(run), before)
    assert [row["epoch"] for row in log(run)] == ["0"]
    weights_io.read_config(run / "model")


def test_the_detector_itself_trains(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = settings(tmp_path, data, epochs=1, frozen_blocks=3)
    with eagerly(patch_network=False):
        assert train.main(["--config", str(file), "--steps-per-epoch", "1"]) == 0
    folder = tmp_path / "run" / "model"
    assert str(folder) in capsys.readouterr().out
    model, _ = weights_io.load(folder)
    started = build(DetectorConfig())
    efficientnet_lite.load_imagenet(started)
    held = ("conv_stem", "bn0", "blocks_0_", "blocks_1_", "blocks_2_")
    before = {variable.path: variable.value.numpy() for variable in started.variables}
    for variable in model.variables:
        moved = not np.allclose(variable.value.numpy(), before[variable.path], rtol=1e-3, atol=1e-7)
        if variable.path.startswith(held):
            assert not moved, variable.path
        elif variable.path.startswith("blocks_") and variable.path.endswith("kernel"):
            assert moved, variable.path


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--epochs", "0"], "epochs"),
        (["--steps-per-epoch", "-1"], "steps_per_epoch"),
    ],
)
def test_a_command_that_is_wrong_ends_with_one_line_and_2(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert train.main(["--config", str(settings(tmp_path, data)), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("model.train: ")
    assert captured.err.count("\n") == 1
    assert named in captured.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epoch": 3}, "unknown key epoch"),
        ({"crops": {"side": 64}}, "unknown key crops.side"),
        ({"crops": {"side_px": 100}}, "side_px"),
        ({"sources": [{"set": "unheard-of", "weight": 1.0}]}, "unheard-of"),
        ({"sources": [{"set": "one", "weight": 0}]}, "weight"),
        ({"sources": []}, "sources"),
        ({"sources": [{"set": "one", "weight": 1}, {"set": "empty", "weight": 1}]}, "empty"),
        ({"batch": 0}, "batch"),
        ({"detector": {"backbone": "resnet"}}, "resnet"),
        ({"start": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"run": "/dev/null/run"}, "/dev/null/run"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    named: str,
) -> None:
    if not (data / "empty").exists():
        write_set(data / "empty", {"v": picture()}, split="val")
    monkeypatch.setattr(training, "build", tiny_network)
    assert train.main(["--config", str(settings(tmp_path, data, **change))]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert named in captured.err


def test_a_config_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main([])
    assert caught.value.code == 2
    assert "--config" in capsys.readouterr().err


def test_the_configs_of_the_project_fit() -> None:
    files = sorted(Path("configs/train").glob("*.yaml"))
    assert files
    for file in files:
        config_file.load(TrainConfig, file)
