import csv
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers
from numpy.typing import NDArray
from tensorboardX.proto.event_pb2 import Event

from geo.grid import Tiling
from geo.nms import Suppression
from model import train
from model.data.sources import read_annotated_images
from model.inference.model_folder import WEIGHTS_FILE
from model.inference.predictor import FakePredictor
from model.inference.scan_config import ScanConfig
from model.training import loop
from model.training.config import CallbacksConfig
from tests.model.image_sets import AIRPLANES, make_pixels, write_set
from tests.model.tiny_training import InterruptedTrainingError, settings, tiny_detector, trained

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")

SCAN = ScanConfig(Tiling((0.5,), 256, 32, 32, 2.0, 0.1), Suppression(0.5, 0.8))


class Board:
    """Records what is written."""

    def __init__(self) -> None:
        self.points: dict[str, dict[int, float]] = {}
        self.pictures: dict[str, NDArray[np.uint8]] = {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.points.setdefault(name, {})[step] = value

    def add_image(self, name: str, pixels: NDArray[np.uint8], step: int, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.pictures[name] = pixels

    def flush(self) -> None:
        pass


def read(file: Path) -> list[dict[str, str]]:
    with file.open() as opened:
        return list(csv.DictReader(opened))


def events(run: Path) -> list[Any]:
    """Read the event files of a run: records of a length (8 bytes), a checksum (4), an event, a checksum."""
    records = []
    for file in sorted((run / "tensorboard").iterdir()):
        raw = file.read_bytes()
        while raw:
            length = int.from_bytes(raw[:8], "little")
            records.append(Event.FromString(raw[12 : 12 + length]))
            raw = raw[16 + length :]
    return records


@given(st.lists(st.integers(0, 12)), st.integers(0, 12), st.sampled_from([b"", b"1", b"11,12"]))
def test_a_table_is_truncated_to_the_completed_epochs(
    tmp_path_factory: pytest.TempPathFactory, epochs: list[int], done: int, torn: bytes
) -> None:
    file = tmp_path_factory.mktemp("table") / "log.csv"
    for number, epoch in enumerate(sorted(epochs)):
        loop.append_row(file, {"epoch": epoch, "number": number})
    with file.open("ab") as opened:
        opened.write(torn if epochs else b"")
    loop.truncate_table(file, done)
    loop.append_row(file, {"epoch": done, "number": -1})
    kept = [epoch for epoch in sorted(epochs) if epoch < done]
    assert [row["epoch"] for row in read(file)] == [str(epoch) for epoch in [*kept, done]]


def test_averaged_weights_are_set_and_restored() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="dense")])
    model.compile(keras.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.6), "mse")
    generator = np.random.default_rng(1)
    mean = kernel = np.zeros(0)
    for step in range(5):
        model.train_on_batch(generator.normal(size=(4, 3)), generator.normal(size=(4, 2)))
        kernel = model.get_layer("dense").kernel.numpy()
        mean = 0.6 * mean + 0.4 * kernel if step else kernel
    with loop.averaged_weights(model):
        np.testing.assert_allclose(model.get_layer("dense").kernel, mean, rtol=1e-5)
        model.predict_on_batch(np.zeros((1, 3)))
    np.testing.assert_array_equal(model.get_layer("dense").kernel, kernel)
    with loop.averaged_weights(model):
        np.testing.assert_allclose(model.get_layer("dense").kernel, mean, rtol=1e-5)


def test_curves_are_means_of_ten_steps_and_lines_of_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 108.0, 200.0, 204.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    board = Board()
    log = loop.TrainingLog(tmp_path, board, lambda step: step / 1000, 20, 4)
    losses = np.random.default_rng(1).uniform(1, 2, 40)
    for epoch in (0, 1):
        log.on_epoch_begin(epoch)
        for batch in range(20):
            # As Keras has it: the mean since the epoch began.
            mean = float(losses[epoch * 20 : epoch * 20 + batch + 1].mean())
            log.on_train_batch_end(batch, {"loss": mean})
        log.on_epoch_end(epoch, {"loss": mean})
    expected = {10 * (k + 1): losses[10 * k : 10 * k + 10].mean() for k in range(4)}
    assert board.points["step/loss"] == pytest.approx(expected)
    assert board.points["step/learning_rate"] == pytest.approx({step: step / 1000 for step in expected})
    rows = [{name: float(value) for name, value in row.items()} for row in read(tmp_path / "log.csv")]
    assert rows[0] == pytest.approx(
        {
            "epoch": 0,
            "crops": 80,
            "seconds": 8,
            "crops_per_second": 10,
            "learning_rate": 0.02,
            "loss": losses[:20].mean(),
        }
    )
    assert rows[1] == pytest.approx(
        {
            "epoch": 1,
            "crops": 160,
            "seconds": 4,
            "crops_per_second": 20,
            "learning_rate": 0.04,
            "loss": losses[20:].mean(),
        }
    )
    assert board.points["epoch/crops_per_second"] == {20: 10, 40: 20}


@pytest.fixture
def image_sets(tmp_path: Path) -> Path:
    """Twelve images with airplanes and one without, all of them in the val split of one set or the other."""
    write_set(tmp_path / "full", {f"{k:02}": make_pixels() for k in range(12)}, split="dev")
    write_set(tmp_path / "empty", {"none": np.full((150, 200, 3), 50, np.uint8)}, split="dev")
    file = tmp_path / "empty" / "annotations.json"
    boxes = str([box for box, _ in AIRPLANES])
    file.write_text(file.read_text().replace(boxes, "[]"))
    return tmp_path


def test_validation_measures_each_set_and_all_together(image_sets: Path) -> None:
    sets = {name: read_annotated_images(image_sets / name, "val") for name in ("full", "empty")}
    rows, images = loop.validate(sets, FakePredictor(), CallbacksConfig(pictures=2), SCAN, min_score=0.5)
    figures = [tuple(row.values()) for row in rows]
    assert figures == [
        ("full", 12, 36, 1.0, 1.0, 0, 1.0, 0.0),
        ("empty", 1, 0, None, None, 0, None, 0.0),
        ("together", 13, 36, 1.0, 1.0, 0, 1.0, 0.0),
    ]
    assert images.keys() == {"full/00", "full/06", "empty/none"}
    again, _ = loop.validate(sets, FakePredictor(), CallbacksConfig(pictures=0), SCAN, min_score=0.5)
    assert again == rows


def test_false_airplanes_are_counted_from_the_threshold_on(image_sets: Path) -> None:
    sets = {"full": read_annotated_images(image_sets / "full", "val")[:1]}
    sets["full"][0].boxes[0] += 60
    for min_score, false in ((250.5 / 255, 0), (249.5 / 255, 1)):
        rows, _ = loop.validate(sets, FakePredictor(), CallbacksConfig(), SCAN, min_score)
        assert [row["false"] for row in rows] == [false, false]
        # One tile: the three airplanes are missed, or also the misplaced one is a false positive.
        assert [row["mistakes_per_tile"] for row in rows] == [3 + false] * 2


def test_figures_and_images_are_written_to_tensorboard(capsys: pytest.CaptureFixture[str]) -> None:
    board = Board()
    row = {"set": "full", "ap50": 0.5, "ap75": None, "tile_iou": 0.25, "mistakes_per_tile": 1.5}
    loop.write_validation([row], {"full/00": np.zeros((4, 5, 3), np.uint8)}, board, 7)
    assert board.points == {
        "val/ap50/full": {7: 0.5},
        "val/tile_iou/full": {7: 0.25},
        "val/mistakes_per_tile/full": {7: 1.5},
    }
    assert board.pictures.keys() == {"val/full/00"}
    assert "ap75 -, tile_iou 0.25" in capsys.readouterr().out


def test_ignored_boxes_neither_count_nor_harm(image_sets: Path) -> None:
    image = read_annotated_images(image_sets / "full", "val")[0]
    sets = {"full": [replace(image, boxes=image.boxes[1:], ignored=image.boxes[:1])]}
    rows, _ = loop.validate(sets, FakePredictor(), CallbacksConfig(), SCAN, 0.5)
    assert [(row["airplanes"], row["ap50"], row["false"]) for row in rows] == [(2, 1.0, 0)] * 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_set(folder / "one", {f"{k:02}": make_pixels(0.7 + k / 50) for k in range(12)}, split="train")
    write_set(folder / "two", {"c": make_pixels(0.6)}, split="train")
    return folder


@pytest.fixture(scope="module")
def validated(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("validated"), data, callbacks={"every": 2})


def test_a_training_is_validated(validated: Path) -> None:
    assert {path.name for path in validated.iterdir()} == {"log.csv", "val.csv", "model", "state", "tensorboard"}
    # Every second epoch, and the last; the set without val images is left out.
    assert [(row["epoch"], row["set"]) for row in read(validated / "val.csv")] == [
        ("1", "one"),
        ("1", "together"),
        ("2", "one"),
        ("2", "together"),
    ]
    names = {value.tag for event in events(validated) for value in event.summary.value}
    assert {"epoch/loss", "epoch/objectness", "epoch/box", "epoch/learning_rate", "val/ap50/one"} <= names
    assert sum(name.startswith("val/one/") for name in names) == 1
    for row in read(validated / "log.csv"):
        assert float(row["objectness"]) + float(row["box"]) == pytest.approx(float(row["loss"]), rel=1e-5)


def test_validation_does_not_change_the_weights(validated: Path, data: Path, tmp_path: Path) -> None:
    run = trained(tmp_path, data)
    assert (run / "model" / WEIGHTS_FILE).read_bytes() == (validated / "model" / WEIGHTS_FILE).read_bytes()


def pulled(where: str) -> Callable[[pytest.MonkeyPatch], None]:
    def stop(patch: pytest.MonkeyPatch) -> None:
        plain, times = getattr(loop, where), iter(range(100))

        def once(*arguments: Any) -> Any:
            if next(times) == 1:
                raise InterruptedTrainingError
            return plain(*arguments)

        patch.setattr(loop, where, once)

    return stop


@pytest.mark.parametrize("where", ["validate", "write_validation"])
def test_a_training_interrupted_at_a_validation_resumes_bit_for_bit(
    validated: Path, data: Path, tmp_path: Path, where: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        pulled(where)(patch)
        with pytest.raises(InterruptedTrainingError):
            trained(tmp_path, data, callbacks={"every": 2})
    run = trained(tmp_path, data, callbacks={"every": 2})
    assert (run / "val.csv").read_bytes() == (validated / "val.csv").read_bytes()
    assert (run / "model" / WEIGHTS_FILE).read_bytes() == (validated / "model" / WEIGHTS_FILE).read_bytes()
    # TensorBoard is told the step from which to drop the events of the interrupted run.
    purged = [event.step for event in events(run) if event.HasField("session_log")]
    assert max(purged) == 2 * 2 + 1


def test_the_same_settings_make_the_same_weights_and_another_seed_others(
    validated: Path, data: Path, tmp_path: Path
) -> None:
    weights = []
    for name, seed in (("same", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        weights.append((trained(tmp_path / name, data, seed=seed) / "model" / WEIGHTS_FILE).read_bytes())
    expected = (validated / "model" / WEIGHTS_FILE).read_bytes()
    assert [raw == expected for raw in weights] == [True, False]


class ServedError(Exception):
    """What comes of asking for a batch."""


def test_no_batch_is_taken_before_the_first_step(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Keras would take one on JAX, PyTorch and several devices, and serve the others out of order.
    built = []

    def serve(_: int) -> Any:
        raise ServedError

    def fit(self: Any, *_: object, **__: object) -> None:
        self._symbolic_build(iterator=map(serve, [0]))
        built.append(self)

    monkeypatch.setattr(keras.Model, "fit", fit)
    trained(tmp_path, data)
    assert len(built) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"every": 0}, "every"),
        ({"pictures": -1}, "pictures"),
        ({"batch": 0}, "batch"),
        ({"sets": ["two"]}, "two"),
        ({"sets": ["unheard-of"]}, "unheard-of"),
    ],
)
def test_invalid_callbacks_are_rejected(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], named: str
) -> None:
    with tiny_detector():
        assert train.main(["--config", str(settings(tmp_path, data, callbacks=change))]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert named in captured.err


def test_training_itself_needs_no_tensorflow() -> None:
    # Keras does here, and is loaded with it; what comes after must do without.
    program = "import keras, sys\nsys.modules['tensorflow'] = None\nimport model.training.detector"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
