"""Train a detector: `python -m model.train --config configs/train/default.yaml`; or the `task` of the config.

The same command resumes an interrupted training.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from geo.errors import ConfigError
from model.common import logs
from model.common.command import Parser, command
from model.common.config import load_yaml, parse_overrides, read_yaml
from model.training import backend

# By the `task` of a config: the module with `train`, and the class of its settings. The detector is the default.
_TASKS = {
    None: ("model.training.detector", "TrainConfig"),
    "classifier": ("model.training.classifier", "ClassifierTrainConfig"),
    "keypoints": ("model.training.keypoints", "KeypointTrainConfig"),
}


@command("model.train")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 2 if the command is wrong."""
    parser = Parser(
        "model.train",
        description="Train a model, or resume its training.",
        epilog="All other keys of the config are options, too: --learning_rate=0.001, --distribution.devices=2.",
    )
    parser.add_argument("--config", type=Path, required=True, help="a file of configs/train/")
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--run", help="folder of the run")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--steps-per-epoch", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--backend", help="what Keras runs on: tensorflow (the default), jax or torch")
    parser.add_argument("--check", action="store_true", help="only check the settings")
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
    """Return the names of the module that trains the task of a config, and of its settings' class.

    Raises:
        ConfigError: the task is unknown.
    """
    name = content.get("task")
    if name not in list(_TASKS):  # YAML allows values that are not hashable
        raise ConfigError(f"task: expected classifier, keypoints, or no task for the detector, got {name!r}")
    return _TASKS[name]


if __name__ == "__main__":
    sys.exit(main())
