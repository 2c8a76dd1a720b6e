"""Searches the settings of a training: `python -m model.tune --config configs/tune/detector.yaml`.

The same command goes on where a study was broken off.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from geo.errors import ConfigError
from model.common.command import Parser, command
from model.common.config import load_yaml, parse_overrides
from model.tuning.config import TuneConfig


@command("model.tune")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 1 if no trial is complete."""
    parser = Parser(
        "model.tune",
        description="Searches the settings of a training, or goes on searching them.",
        epilog="Any other key of the config is an option too: --early_stopping.percentile=25, --fixed.epochs=2.",
    )
    parser.add_argument("--config", type=Path, required=True, help="a file of configs/tune/")
    parser.add_argument("--study", help="folder of the study")
    parser.add_argument("--data", help="folder of the data sets, for every trial")
    parser.add_argument("--trials", type=int, help="how many; with more than before, a study goes on")
    parser.add_argument("--parallel", type=int, help="trials at a time")
    known, others = parser.parse_known_args(arguments)
    options = vars(known)
    path = options.pop("config")
    options["fixed.data"] = options.pop("data")
    config = load_yaml(TuneConfig, path, options | parse_overrides(others))
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("tuning needs the package optuna, which is not installed: install airplane-finder[tune]")
    return _tune(config)


def _tune(config: TuneConfig) -> int:
    from model.tuning import results, search, study
    from model.tuning.rows import rows

    found = rows(study.run(config), config)
    print(results.text(found, config))
    print(f"page: {config.study / results.PAGE}")
    if found[0].state != "complete":
        return 1
    print(f"best: {search.folder(config, found[0].trial)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
