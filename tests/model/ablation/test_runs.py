import fcntl
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from geo.errors import ConfigError
from model.ablation import runs as climb
from model.ablation import summary
from model.ablation.__main__ import main
from tests.model.ablation.ladders import TRAINING, command, go_up, read, settings

ALL = [f"{step} {model}" for model in ("01-a/1", "01-a/2", "02-b/1") for step in ("train", "val", "test")]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts, also where the tests run in a shell's background, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_every_step_is_done_once_and_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = read(tmp_path)
    assert go_up(config) == ALL
    assert go_up(config) == []
    assert capsys.readouterr().out.count("done before") == len(ALL)
    for model in ("01-a/1", "01-a/2", "02-b/1"):
        # The threshold of val is what test is measured with.
        assert json.loads((config.run / model / "figures-test.json").read_text())["min_score"] == 0.7
        assert (config.run / model / "rendered").samefile(config.run / "rendered")


def test_rungs_may_be_chosen(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert go_up(config, config.rungs[1]) == ALL[6:]
    assert go_up(config) == ALL[:6]


@pytest.mark.parametrize("call", ALL[:4])
def test_a_step_that_fails_stops_it_and_is_told(tmp_path: Path, call: str) -> None:
    config = read(tmp_path)
    (config.data / "broken").write_text(call)
    with pytest.raises(climb.StepError) as caught:
        climb.climb(config, config.rungs, command)
    first, *log = str(caught.value).splitlines()
    step, model = call.split()
    name = {"train": "training", "val": "threshold on val", "test": "figures on test"}[step]
    assert first.startswith(f"01-a, seed {model[-1]}: {name} failed: exit status 1: {call}: the data is gone; ")
    assert str(config.run / model / f"{step}.log") in first
    assert log == ["first words", f"{call}: the data is gone"]
    (config.data / "broken").unlink()
    assert go_up(config) == ALL[ALL.index(call) :]


@pytest.mark.parametrize("call", ALL[:3])
def test_a_step_that_makes_nothing_has_failed(tmp_path: Path, call: str) -> None:
    config = read(tmp_path)
    (config.data / "lost").write_text(call)
    with pytest.raises(climb.StepError, match="it ended without what it was to make"):
        climb.climb(config, config.rungs, command)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("call", ALL[:3])
def test_broken_off_it_lets_go_of_its_step_and_goes_on(tmp_path: Path, call: str) -> None:
    config = read(tmp_path)
    (config.data / "gate").write_text(f"{call}\n{os.getpid()}")
    with pytest.raises(KeyboardInterrupt):
        climb.climb(config, config.rungs, command)
    with (config.run / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the step has ended too
    (config.data / "gate").unlink()
    assert go_up(config) == ALL[ALL.index(call) :]


def test_figures_of_another_model_are_made_anew(tmp_path: Path) -> None:
    config = read(tmp_path)
    go_up(config)
    model = config.run / "01-a" / "2" / "model" / "config.yaml"
    model.write_text(model.read_text().replace("name: some", "name: other"))
    assert go_up(config) == ["val 01-a/2", "test 01-a/2"]


def test_a_threshold_chosen_anew_is_measured_anew(tmp_path: Path) -> None:
    config = read(tmp_path)
    go_up(config)
    (config.run / "02-b" / "1" / "figures-val.json").unlink()
    assert go_up(config) == ["val 02-b/1", "test 02-b/1"]
    others = [f"{step} {model}" for model in ("01-a/1", "01-a/2", "02-b/1") for step in ("val", "test")]
    assert go_up(read(tmp_path, val_sets=["three"])) == others


def test_a_training_with_other_settings_is_another_rung(tmp_path: Path) -> None:
    config = read(tmp_path)
    go_up(config)
    file = tmp_path / "01-a.yaml"
    before = file.read_text()
    file.write_text(f"# A word more.\n{before}")
    assert go_up(config) == []
    file.write_text(yaml.safe_dump(TRAINING | {"learning_rate": 0.5, "run": "elsewhere", "seed": 7}))
    with pytest.raises(ConfigError, match=r"01-a.yaml.* got other learning_rate: "):
        climb.climb(config, config.rungs, command)
    file.write_text(before)
    assert go_up(config) == []


def test_the_summary_tells_of_every_rung_at_any_time(tmp_path: Path) -> None:
    config = read(tmp_path)
    (config.data / "broken").write_text("test 01-a/2")
    with pytest.raises(climb.StepError):
        climb.climb(config, config.rungs, command)
    first, second = json.loads((config.run / summary.JSON).read_text())["rungs"]
    assert [each["seed"] for each in first["measured"]] == [1]
    assert (second["name"], second["measured"], second["gain"]["ap50"]["value"]) == ("02-b", [], None)
    (config.data / "broken").unlink()
    go_up(config)
    first, second = json.loads((config.run / summary.JSON).read_text())["rungs"]
    assert first["mean"] == {"ap50": pytest.approx(0.115), "iou": pytest.approx(0.0575)}
    assert first["spread"] == {"ap50": pytest.approx(0.01), "iou": pytest.approx(0.005)}
    assert second["gain"]["ap50"] == {"value": pytest.approx(0.095), "spread": pytest.approx(0.01), "none": False}
    assert second["measured"][0] == {
        "seed": 1,
        "ap50": pytest.approx(0.21),
        "iou": pytest.approx(0.105),
        "mistakes": pytest.approx(4.79),
        "unseen_ap50": pytest.approx(0.21),
        "best_f1": None,
        "false_per_km2": pytest.approx(0.21),
        "seconds": 180.0,
    }
    assert "02-b" in (config.run / summary.MARKDOWN).read_text()
    assert (config.run / summary.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_the_command_checks_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = settings(tmp_path)
    assert main(["--config", str(file), "--check"]) == 0
    assert capsys.readouterr().out == f"{file}: the settings are right\n"
    assert not (tmp_path / "run").exists()
    for words, named in [
        (["--only", "c"], "01-a, 02-b, got c"),
        (["--rung=3"], "unknown key rung"),
        (["--val_sets=[]"], "val_sets"),
        (["--run", str(file)], "expected a folder"),
    ]:
        assert main(["--config", str(file), *words]) == 2
        said = capsys.readouterr().err
        assert said.startswith("model.ablation: ")
        assert named in said
        assert said.count("\n") == 1


@pytest.mark.usefixtures("ctrl_c")
def test_the_command_says_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings(tmp_path)
    (tmp_path / "data" / "broken").write_text("val 02-b/1")
    monkeypatch.setattr(climb.climb, "__defaults__", (command,))
    assert main(["--config", str(file)]) == 1
    assert "model.ablation: 02-b, seed 1: threshold on val failed" in capsys.readouterr().err
    (tmp_path / "data" / "gate").write_text(f"test 02-b/1\n{os.getpid()}")
    (tmp_path / "data" / "broken").unlink()
    assert main(["--config", str(file), "--only", "02-b"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    (tmp_path / "data" / "gate").unlink()
    assert main(["--config", str(file)]) == 0
    assert capsys.readouterr().out.endswith(f"tables: {tmp_path / 'run' / 'ladder.md'}\n")
