import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from geo.raster.header import read_header
from model import train
from model.common.config import load_yaml, read_yaml
from model.detectors import backbones
from model.detectors.anchor_free import network as detector
from model.detectors.anchor_free.network import build
from model.detectors.config import DetectorConfig
from model.inference import model_folder, weights_io
from model.inference.model_folder import WEIGHTS_FILE
from model.training import detector as training
from model.training import loop
from tests.model.image_sets import AIRPLANES, make_pixels, write_set
from tests.model.tiny_training import (
    EPOCHS,
    STEPS,
    InterruptedTrainingError,
    assert_same,
    assert_same_run,
    in_the_second_epoch,
    interrupted,
    log,
    model_weights,
    run_eagerly,
    settings,
    state,
    tiny_detector,
    tiny_network,
    trained,
)

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_set(folder / "one", {"a": make_pixels(), "b": make_pixels(0.8)}, split="train")
    write_set(folder / "two", {"c": make_pixels(0.6)}, split="train")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("uninterrupted"), data)


def at_the_end_of(callback: type[keras.callbacks.Callback], number: int = 1) -> Callable[[pytest.MonkeyPatch], None]:
    """Interrupt a training where an epoch has been saved by one callback and not yet by another."""

    def interrupt(patch: pytest.MonkeyPatch) -> None:
        plain = callback.on_epoch_end

        def stop(self: Any, epoch: int, logs: Any = None) -> None:
            if epoch == number:
                raise InterruptedTrainingError
            plain(self, epoch, logs)

        patch.setattr(callback, "on_epoch_end", stop)

    return interrupt


def while_the_second_state_is_written(patch: pytest.MonkeyPatch) -> None:
    plain, times = keras.Model.save_weights, iter(range(100))

    def stop(self: Any, filepath: str, **options: Any) -> None:
        plain(self, filepath, **options)
        if next(times) == 1:
            Path(filepath).write_bytes(Path(filepath).read_bytes()[:5000])
            raise InterruptedTrainingError

    patch.setattr(keras.Model, "save_weights", stop)


BREAKS = {
    "in the second epoch": in_the_second_epoch,
    "before the state is kept": at_the_end_of(keras.callbacks.BackupAndRestore),
    "while the state is kept": while_the_second_state_is_written,
    "before the log is written": at_the_end_of(loop.TrainingLog),
    "before the model is saved": at_the_end_of(training._Save),
    "before the last state is kept": at_the_end_of(keras.callbacks.BackupAndRestore, EPOCHS - 1),
    "before the last model is saved": at_the_end_of(training._Save, EPOCHS - 1),
}


@pytest.mark.parametrize("name", BREAKS)
def test_an_interrupted_training_equals_an_uninterrupted_one(
    uninterrupted: Path, data: Path, tmp_path: Path, name: str
) -> None:
    run = interrupted(tmp_path, data, BREAKS[name])
    assert trained(tmp_path, data) == run
    assert_same_run(run, uninterrupted)


def test_the_model_is_the_running_mean_and_the_state_the_weights_themselves(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[dict[str, NDArray[np.floating]]] = []

    def note(self: Any, batch: int, logs: object = None) -> None:
        steps.append({variable.path: variable.value.numpy().copy() for variable in self.model.variables})

    monkeypatch.setattr(training._Save, "on_train_batch_end", note, raising=False)
    run = trained(tmp_path, data)
    assert len(steps) == EPOCHS * STEPS
    mean = steps[0]
    for weights in steps[1:]:
        mean = {name: 0.7 * mean[name] + 0.3 * array for name, array in weights.items()}
    actual = model_weights(run)
    assert actual.keys() == mean.keys()
    for name, array in mean.items():
        # Kernels are stored in half precision.
        np.testing.assert_allclose(actual[name], array, rtol=1e-3 if array.ndim > 1 else 1e-5, atol=1e-6)
    last, of_state = steps[-1], [array for name, array in state(run).items() if name.startswith("layers/")]
    assert len(of_state) == len(last)
    for array in last.values():
        assert any(np.array_equal(array, other) for other in of_state)
    # Or this would tell nothing.
    assert all(np.abs(mean[name] - last[name]).max() > 1e-3 for name in last)


def test_a_finished_training_stays_finished(uninterrupted: Path, data: Path) -> None:
    before = {file: file.read_bytes() for file in sorted(uninterrupted.rglob("*")) if file.is_file()}
    trained(uninterrupted.parent, data)
    assert {file: file.read_bytes() for file in before} == before


def test_a_run_leaves_its_log_its_state_and_its_model(uninterrupted: Path, data: Path) -> None:
    assert {path.name for path in uninterrupted.iterdir()} == {"log.csv", "model", "state", "tensorboard"}
    assert [row["epoch"] for row in log(uninterrupted)] == ["0", "1", "2"]
    assert all(np.isfinite(float(row["loss"])) for row in log(uninterrupted))
    config = model_folder.read_config(uninterrupted / "model")
    assert (config.name, config.min_score, config.detector) == ("small", 0.3, DetectorConfig())


def test_another_seed_makes_another_model(uninterrupted: Path, data: Path, tmp_path: Path) -> None:
    # Or the comparisons above would compare nothing.
    other = trained(tmp_path, data, seed=2)
    with pytest.raises(AssertionError, match="not equal"):
        assert_same(state(other), state(uninterrupted))


def test_training_starts_from_a_named_model(
    uninterrupted: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(uninterrupted / "model", tmp_path / "packaged" / "tiny")
    monkeypatch.setattr("model.inference.model_folder.PACKAGED", tmp_path / "packaged")
    for start in (str(uninterrupted / "model"), "tiny"):
        (folder := tmp_path / Path(start).name).mkdir()
        run = trained(folder, data, start=start, learning_rate=0.0, epochs=1)
        actual = model_weights(run)
        for name, array in model_weights(uninterrupted).items():
            np.testing.assert_allclose(actual[name], array, rtol=1e-6)


def test_a_damaged_model_is_no_start(
    uninterrupted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = Path(shutil.copytree(uninterrupted / "model", tmp_path / "start"))
    content = bytearray((start / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (start / WEIGHTS_FILE).write_bytes(content)
    with tiny_detector():
        assert train.main(["--config", str(settings(tmp_path, data, start=str(start)))]) == 2
    assert "sha256" in capsys.readouterr().err


@pytest.fixture(scope="module")
def hard(uninterrupted: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Settings with hard examples, of a model that detects nothing."""
    return {
        "start": str(uninterrupted / "model"),
        "hard_examples": {"share": 0.5, "min_score": 0.9},
        "learning_rate": 1e-4,
    }


def test_hard_examples_are_mined_once_and_a_resumed_training_equals_an_uninterrupted_one(
    hard: dict[str, object], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_counts: list[int] = []
    original = training.mine_hard_examples

    def mine(images: Any, *others: Any) -> Any:
        image_counts.append(len(images))
        return original(images, *others)

    monkeypatch.setattr(training, "mine_hard_examples", mine)
    (tmp_path / "uninterrupted").mkdir()
    uninterrupted = trained(tmp_path / "uninterrupted", data, **hard)
    assert image_counts == [2, 1]
    # It finds nothing: every airplane is missed.
    expected = [box for box, _ in AIRPLANES]
    mined = json.loads((uninterrupted / "hard_examples.json").read_text())
    assert mined == {"one": [expected, expected], "two": [expected]}
    (tmp_path / "broken").mkdir()
    run = interrupted(tmp_path / "broken", data, in_the_second_epoch, **hard)
    trained(tmp_path / "broken", data, **hard)
    assert image_counts == [2, 1] * 2
    assert_same_run(run, uninterrupted)
    # And the crops are others than without hard examples.
    (tmp_path / "easy").mkdir()
    easy = trained(tmp_path / "easy", data, **hard | {"hard_examples": None})
    assert [row["loss"] for row in log(easy)] != [row["loss"] for row in log(uninterrupted)]


def test_hard_examples_in_other_images_are_rejected(
    hard: dict[str, object], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = [{"set": "one", "weight": 1.0}]
    trained(tmp_path, data, **hard | {"epochs": 1, "sources": single})
    capsys.readouterr()
    with tiny_detector():
        assert train.main(["--config", str(settings(tmp_path, data, **hard))]) == 2
    assert "hard_examples.json" in capsys.readouterr().err


def test_rendered_scenes_are_rendered_once_and_trained_on(data: Path, tmp_path: Path) -> None:
    scene = {"scene": "airport", "size_px": 128, "weight": 1.0}
    rendered = [scene | {"seeds": [3]}, scene | {"seeds": [4], "resolution_m": 1.0}]
    run = trained(tmp_path, data, rendered=rendered, epochs=1)
    scenes = {file: file.read_bytes() for file in sorted((run / "rendered").rglob("*.*")) if file.is_file()}
    assert [file.name for file in scenes] == ["3.tif", "3.truth.geojson", "4.tif", "4.truth.geojson"]
    coarse = next(file for file in scenes if file.name == "4.tif")
    assert read_header(str(coarse)).resolution_m == pytest.approx((1.0, 1.0), rel=0.01)
    trained(tmp_path, data, rendered=rendered, epochs=2)
    assert {file: file.read_bytes() for file in scenes} == scenes


def test_training_makes_the_loss_smaller(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "build", tiny_network)
    changes = {"epochs": 4, "steps_per_epoch": 15, "learning_rate": 0.02}
    assert train.main(["--config", str(settings(tmp_path, data, **changes))]) == 0
    losses = [float(row["loss"]) for row in log(tmp_path / "run")]
    assert losses[-1] < 0.8 * losses[0]


def test_a_diverged_training_ends_before_anything_is_saved(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path, data, epochs=1)
    before = state(run)
    with tiny_detector():
        file = settings(tmp_path, data, epochs=2, learning_rate=1e30, warmup_steps=0)
        assert train.main(["--config", str(file)]) == 2
    assert "learning_rate" in capsys.readouterr().err
    assert_same(state(run), before)
    assert [row["epoch"] for row in log(run)] == ["0"]
    model_folder.read_config(run / "model")


def test_the_detector_itself_trains(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = settings(tmp_path, data, epochs=1, frozen_blocks=3)
    with run_eagerly():
        assert train.main(["--config", str(file), "--steps-per-epoch", "1"]) == 0
    folder = tmp_path / "run" / "model"
    assert str(folder) in capsys.readouterr().out
    model, started = build(DetectorConfig()), build(DetectorConfig())
    weights_io.load_into(model, folder / model_folder.WEIGHTS_FILE)
    backbones.load_imagenet(started)
    frozen = ("conv_stem", "blocks_0_", "blocks_1_", "blocks_2_")
    before = {variable.path: variable.value.numpy() for variable in started.variables}
    for variable in model.variables:
        moved = not np.allclose(variable.value.numpy(), before[variable.path], rtol=1e-3, atol=1e-7)
        if variable.path.startswith(frozen):
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
def test_wrong_commands_exit_with_one_line_and_2(
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
        ({"start": "nowhere"}, "model nowhere"),
        ({"ema": 1.0}, "ema"),
        ({"hard_examples": {"share": 0.2}}, "hard_examples"),
        ({"hard_examples": {"share": 1.2}, "start": "nowhere"}, "share"),
        ({"sources": [{"set": "one", "weight": 1}, {"set": "one", "weight": 2}]}, "one, one"),
        (
            {"rendered": [{"scene": "town", "weight": 1, "seeds": [seed]} for seed in (1, 2)]},
            "rendered town 0.5 m, rendered town 0.5 m",
        ),
        ({"run": "/dev/null/run"}, "/dev/null/run"),
    ],
)
def test_invalid_settings_are_rejected(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    named: str,
) -> None:
    if not (data / "empty").exists():
        write_set(data / "empty", {"v": make_pixels()}, split="val")
    monkeypatch.setattr(detector, "build", tiny_network)
    assert train.main(["--config", str(settings(tmp_path, data, **change))]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert named in captured.err


def test_a_missing_config_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([]) == 2
    assert "--config" in capsys.readouterr().err


def test_the_configs_of_the_project_are_valid() -> None:
    files = sorted(Path("configs/train").glob("*.yaml"))
    assert files
    for file in files:
        module, settings = train.task(read_yaml(file))
        load_yaml(getattr(importlib.import_module(module), settings), file)
