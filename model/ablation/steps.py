"""What is done for one rung and one seed: the training, the threshold on val, the figures on test; each a command."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo.errors import FinderError
from model.ablation.config import LadderConfig, RungConfig
from model.evaluation.measure import ALL_SETS
from model.inference import weights_io
from model.training import checkpointing as resuming
from model.training.config import TrainConfig

# From a module and its options to a command; tests put another program in its place.
Command = Callable[[str, Sequence[str]], list[str]]

# Other names than those of former runs, whose `val-figures.json` is what is called test now.
_VAL, _TEST = "figures-val.json", "figures-test.json"


@dataclass(frozen=True, slots=True)
class Step:
    """One of the steps.

    Attributes:
        name: what it does, in a word or two.
        command: that does it.
        log: what the command says.
        is_done: says whether there is nothing left to do.
        outdated: files that were made of what this step makes anew.
    """

    name: str
    command: list[str]
    log: Path
    is_done: Callable[[], bool]
    outdated: tuple[Path, ...] = ()


def module(name: str, options: Sequence[str]) -> list[str]:
    """The command that a step is."""
    return [sys.executable, "-u", "-m", name, *options]


def folder(config: LadderConfig, rung: RungConfig, seed: int) -> Path:
    """Where a training, its log and its figures are kept."""
    return config.run / rung.name / str(seed)


def steps(
    config: LadderConfig, rung: RungConfig, seed: int, training: TrainConfig, command: Command = module
) -> list[Step]:
    """The steps in their order.

    Args:
        config: the ladder.
        rung: one of its.
        seed: one of the rung's.
        training: what the rung's file says.
        command: what a step is.
    """
    own = folder(config, rung, seed)
    model, val, test = own / "model", own / _VAL, own / _TEST
    data = ["--data", str(config.data)]
    train = ["--config", str(rung.config), *data, "--run", str(own), "--seed", str(seed)]
    look = [*data, "--model", str(model)]
    on_val = ["--split", "val", "--sets", *config.val_sets, "--record"]
    return [
        Step("training", command("model.train", train), own / "train.log", lambda: _is_trained(own, training)),
        Step(
            "threshold on val",
            command("model.evaluate", [*look, *on_val, *_written(val)]),
            own / "val.log",
            lambda: set((figures(val, model) or {}).get("sets", {})) == {*config.val_sets, ALL_SETS},
            outdated=(val, test),
        ),
        Step(
            "figures on test",
            command("model.evaluate", [*look, *_written(test)]),
            own / "test.log",
            lambda: figures(test, model) is not None,
        ),
    ]


def figures_on_test(own: Path) -> dict[str, Any] | None:
    """What `model.evaluate` says on test of the model in a folder of `folder`; None where it has not been asked yet."""
    return figures(own / _TEST, own / "model")


def figures(file: Path, model: Path) -> dict[str, Any] | None:
    """What `model.evaluate` has written; None if it has not, or of a model that has been trained further since.

    Args:
        file: it writes it whole or not at all.
        model: the model's folder.
    """
    try:
        version = weights_io.read_config(model).version
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, FinderError):
        return None
    return content if content["model"] == version else None


def _written(file: Path) -> list[str]:
    return ["--output", str(file), "--page", str(file.with_suffix(".html"))]


def _is_trained(own: Path, training: TrainConfig) -> bool:
    return (own / "model").is_dir() and resuming.epochs_kept(own) >= training.epochs
