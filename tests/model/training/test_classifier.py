import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors.numpy
import yaml
from numpy.typing import NDArray

from model import train
from model.data import chips
from model.data.chips import Chips
from model.detectors.config import DenseConfig
from model.inference import weights_io
from model.inference.model_folder import WEIGHTS_FILE
from model.training import classifier, loop
from model.training.classifier import measure_classifier
from model.training.config import ClassifierTrainConfig
from model.training.schedules import ExponentialDecay
from tests.model.data import made_up_chips
from tests.model.tiny_training import InterruptedTrainingError, assert_same, run_eagerly

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")

EPOCHS, STEPS = 3, 2
SMALL = {
    "task": "classifier",
    "name": "small",
    # Dropout too: what it draws must not hang on whether a training was broken off.
    "classifier": {"kind": "conv", "filters": "S", "depth": 2, "dropout": 0.5, "l2": 1e-4},
    "change": {"orientation": True, "hue": 0.1},
    "batch": 8,
    "steps_per_epoch": STEPS,
    "epochs": EPOCHS,
    "decay_steps": 4,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_chips.write(tmp_path_factory.mktemp("data"))


def settings(folder: Path, data: Path, /, **changes: object) -> Path:
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(SMALL | {"data": str(data), "run": str(folder / "run")} | changes))
    return file


def trained(folder: Path, data: Path, **changes: object) -> Path:
    """Trains, and returns the run's folder."""
    with run_eagerly():
        assert train.main(["--config", str(settings(folder, data, **changes))]) == 0
    return folder / "run"


def weights(run: Path) -> dict[str, NDArray[Any]]:
    return dict(safetensors.numpy.load_file(run / "model" / WEIGHTS_FILE))


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("uninterrupted"), data)


def test_an_interrupted_training_equals_an_uninterrupted_one(
    uninterrupted: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(100))

    def stop(*_: object, **__: object) -> None:
        if next(steps) == STEPS + 1:
            raise InterruptedTrainingError

    with monkeypatch.context() as patch:
        patch.setattr(loop.StopAtNaN, "on_train_batch_begin", stop)
        with pytest.raises(InterruptedTrainingError):
            trained(tmp_path, data)
    assert not (tmp_path / "run" / "result.json").exists()
    run = trained(tmp_path, data)
    assert_same(weights(run), weights(uninterrupted))
    for name in ("val.csv", "result.json"):
        assert (run / name).read_bytes() == (uninterrupted / name).read_bytes()
    assert [(row["epoch"], row["loss"]) for row in table(run / "log.csv")] == [
        (row["epoch"], row["loss"]) for row in table(uninterrupted / "log.csv")
    ]


def test_another_seed_makes_another_model(uninterrupted: Path, data: Path, tmp_path: Path) -> None:
    # Or the comparison above would compare nothing.
    second = weights(trained(tmp_path, data, seed=2))
    assert all(np.abs(second[name] - array).max() > 0 for name, array in weights(uninterrupted).items())


def test_a_run_leaves_its_tables_its_model_and_its_result(uninterrupted: Path) -> None:
    assert {path.name for path in uninterrupted.iterdir()} == {
        *("log.csv", "val.csv", "model", "state", "tensorboard", "result.json")
    }
    assert [row["epoch"] for row in table(uninterrupted / "log.csv")] == ["0", "1", "2"]
    assert [(row["epoch"], row["chips"]) for row in table(uninterrupted / "val.csv")] == [
        (f"{k}", "40") for k in range(3)
    ]
    result = json.loads((uninterrupted / "result.json").read_text())
    assert (result["split"], result["chips"]) == ("random", 100)
    assert result["model"] == weights_io.load_classifier(uninterrupted / "model")[1].version


def test_a_finished_training_stays_finished(uninterrupted: Path, data: Path) -> None:
    before = {file: file.read_bytes() for file in sorted(uninterrupted.rglob("*")) if file.is_file()}
    trained(uninterrupted.parent, data)
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize(
    ("layers", "rate"),
    [({"kind": "dense"}, 0.003), ({"kind": "conv", "filters": "S", "depth": 4, "batch_norm_momentum": 0.8}, 0.01)],
)
def test_the_classifier_learns(data: Path, tmp_path: Path, layers: dict[str, object], rate: float) -> None:
    changes = {"classifier": layers, "split": "scene", "change": {}, "batch": 32, "steps_per_epoch": 30}
    file = settings(tmp_path, data, **changes, learning_rate=rate, decay_steps=100)
    assert train.main(["--config", str(file)]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert min(result["accuracy"], result["precision"], result["recall"]) > 0.95
    losses = [float(row["loss"]) for row in table(tmp_path / "run" / "log.csv")]
    assert losses[-1] < 0.5 * losses[0]


def test_training_does_not_use_the_test_chips(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = chips.read_chips(data / chips.FILE)
    parts = chips.split_chips(every, "scene")
    spoilt = {part: subset.take(np.zeros(0, int)) if part == "test" else subset for part, subset in parts.items()}
    run = trained(tmp_path, data, split="scene")
    monkeypatch.setattr(classifier, "_test", lambda *_: None)
    monkeypatch.setattr(chips, "split_chips", lambda *_: spoilt)
    (tmp_path / "other").mkdir()
    assert_same(weights(trained(tmp_path / "other", data, split="scene")), weights(run))


class _FixedModel:
    """A model with given predictions."""

    def __init__(self, predicted: list[int]) -> None:
        self.probabilities = np.eye(2)[predicted]

    def predict_on_batch(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        taken, self.probabilities = np.split(self.probabilities, [len(images)])
        return taken


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0, 0], (0.75, 0.6667, 0.6667)),
        ([1, 0, 0, 0, 0], [1, 1, 1, 0, 0], (0.6, 1.0, 0.3333)),
        ([0, 0, 0, 0], [1, 0, 0, 0], (0.75, None, 0.0)),
        ([0, 1], [0, 0], (0.5, 0.0, None)),
    ],
)
def test_accuracy_precision_and_recall(
    predicted: list[int], true: list[int], expected: tuple[float | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "_PREDICT_BATCH", 3)
    subset = Chips(np.zeros((len(true), 20, 20, 3), np.uint8), np.array(true), np.full(len(true), "scene"))
    actual = measure_classifier(_FixedModel(predicted), subset)
    assert (actual["chips"], actual["airplanes"]) == (len(true), sum(true))
    assert (actual["accuracy"], actual["precision"], actual["recall"]) == expected


def test_the_learning_rate_falls_to_1_over_e_of_the_way_in_the_steps_given() -> None:
    rate = ExponentialDecay(0.01, 1e-4, 800)
    assert float(rate(0)) == pytest.approx(0.01)
    assert float(rate(800)) == pytest.approx(1e-4 + 0.0099 / np.e)
    assert float(rate(100_000)) == pytest.approx(1e-4)
    assert ExponentialDecay.from_config(rate.get_config())(300) == rate(300)


def test_the_defaults_are_those_of_the_talk(data: Path, tmp_path: Path) -> None:
    config = ClassifierTrainConfig("classifier", "any", data, tmp_path, DenseConfig())
    assert (config.learning_rate, config.last_learning_rate, config.decay_steps) == (0.01, 1e-4, 800)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"task": "segmenter"}, "task: expected classifier"),
        ({"task": ["classifier"]}, "task: expected classifier"),
        ({"classifier": {"kind": "deep"}}, "'dense' or 'conv'"),
        ({"classifier": {"kind": "dense", "filters": "S"}}, "classifier.filters"),
        ({"classifier": {"kind": "conv", "filters": "XL"}}, "'L'"),
        ({"split": "day"}, "split"),
        ({"change": {"hue": -1}}, "hue"),
        ({"data": "nowhere"}, "nowhere"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
        ({"decay_steps": 0}, "decay_steps"),
        ({"learning_rate": 1e30}, "learning_rate"),
        ({"run": "/dev/null/run"}, "/dev/null/run"),
    ],
)
def test_invalid_settings_are_rejected(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], named: str
) -> None:
    with run_eagerly():
        assert train.main(["--config", str(settings(tmp_path, data, **change))]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert named in captured.err
    assert not (tmp_path / "run" / "model").exists()


@dataclass
class _Seven:
    """Seven batches an epoch."""

    epoch: int = 0

    def __len__(self) -> int:
        return 7


def test_seed_generators_are_set_as_in_an_uninterrupted_training() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5, seed=3), keras.layers.Dropout(0.5, seed=9)])
    set_epoch = loop.SetEpoch(batches := _Seven())
    set_epoch.set_model(model)
    set_epoch.on_epoch_begin(5)
    assert batches.epoch == 5
    assert [variable.numpy().tolist() for variable in model.variables] == [[3, 35], [9, 35]]
