"""Search the settings of a training: `python -m model.tune --config configs/tune/detector.yaml`.

The same command resumes an interrupted study.
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
    """Run the command and return its exit status: 1 if no trial is complete, 2 if the command is wrong."""
    parser = Parser(
        "model.tune",
        description="Search the settings of a training, or resume a search.",
        epilog="Any other key of the config is an option too: --early_stopping.percentile=25, --fixed.epochs=2.",
    )
    parser.add_argument("--config", type=Path, required=True, help="a file of configs/tune/")
    parser.add_argument("--study", help="folder of the study")
    parser.add_argument("--data", help="folder of the data sets, for every trial")
    parser.add_argument("--trials", type=int, help="number of trials; more than before extend a study")
    parser.add_argument("--parallel", type=int, help="trials at a time")
    known, others = parser.parse_known_args(arguments)
    options = vars(known)
    path = options.pop("config")
    options["fixed.data"] = options.pop("data")
    config = load_yaml(TuneConfig, path, options | parse_overrides(others))
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("tuning needs the package optuna, which is not installed: install airplane-finder[tune]")
    from model.tuning import results, search, study

    trials = results.trial_results(study.run(config), config)
    print(results.format_results(trials, config))
    print(f"page: {config.study / results.PAGE}")
    if trials[0].state != "complete":
        return 1
    print(f"best: {search.trial_folder(config, trials[0].trial)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
