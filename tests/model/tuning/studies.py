"""Studies with fake trainings; `python -m tests.model.tuning.studies FILE` runs one as `model.tune` would."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import yaml

from model.common.config import load_yaml
from model.tuning import study
from model.tuning.config import TuneConfig

FAKE_TRAINING = Path(__file__).with_name("fake_training.py")
X = {"kind": "float", "name": "x", "low": 0.0, "high": 1.0}
LOSS = {"table": "log", "column": "loss", "direction": "minimize"}


def command(config: Path) -> list[str]:
    return [sys.executable, str(FAKE_TRAINING), "--config", str(config)]


def sleep() -> None:
    time.sleep(0.01)


def write_study(folder: Path, **changes: Any) -> Path:
    """Write a study of four random trials into the folder."""
    base, file = folder / "base.yaml", folder / "tune.yaml"
    base.write_text(yaml.safe_dump({"name": "base", "inner": {"kept": 1}}))
    content = {
        "base": str(base),
        "study": str(folder / "study"),
        "parameters": [X],
        "metric": LOSS,
        "method": "random",
        "trials": 4,
        "seed": 3,
    }
    file.write_text(yaml.safe_dump(content | changes))
    return file


def load_study(folder: Path, **changes: Any) -> TuneConfig:
    return load_yaml(TuneConfig, write_study(folder, **changes))


def run_study(config: TuneConfig, wait: Callable[[], None] = sleep) -> optuna.Study:
    return study.run(config, command, wait)


if __name__ == "__main__":
    run_study(load_yaml(TuneConfig, Path(sys.argv[1])))
