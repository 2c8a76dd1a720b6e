"""Trains the detector: `python -m model.train --config configs/train/default.yaml`; or what the config's `task` names.

The same command goes on where a training was broken off.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from geo.errors import ConfigError
from model.common import logs
from model.common.command import Parser, command
from model.common.config import load_yaml, parse_overrides, read_yaml
from model.training import backend

# A config's `task`, and what does it: a module with `train`, and its settings. The detector needs no name.
_TASKS = {
    None: ("model.training.detector", "TrainConfig"),
    "classifier": ("model.training.classifier", "ClassifierTrainConfig"),
}


@command("model.train")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 2 if the command is wrong."""
    parser = Parser(
        "model.train",
        description="Trains a model, or goes on training it.",
        epilog="Any other key of the config is an option too: --learning_rate=0.001, --distribution.devices=2.",
    )
    parser.add_argument("--config", type=Path, required=True, help="a file of configs/train/")
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--run", help="folder of the run")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--steps-per-epoch", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--backend", help="what Keras runs on: tensorflow (the default), jax or torch")
    parser.add_argument("--check", action="store_true", help="only say whether the settings are right")
    known, others = parser.parse_known_args(arguments)
    options = vars(known)
    path, check = options.pop("config"), options.pop("check")
    logs.silence()
    options |= parse_overrides(others)
    content = read_yaml(path)
    backend.choose(options["backend"] or content.get("backend", "tensorflow"))
    module, settings = task(content)
    training = logs.import_quietly(module)
    config = load_yaml(getattr(training, settings), path, options)
    folder = None if check else training.train(config)
    print(f"model: {folder}" if folder else f"{path}: the settings are right")
    return 0


def task(content: Mapping[str, object]) -> tuple[str, str]:
    """What a config is to train: the name of the module that does it, and of the settings' class in it.

    Raises:
        ConfigError: it names something else.
    """
    name = content.get("task")
    if name not in list(_TASKS):  # a name may be anything, even what is no key
        raise ConfigError(f"task: expected classifier, or no task for the detector, got {name!r}")
    return _TASKS[name]


if __name__ == "__main__":
    sys.exit(main())
