"""Run an ablation study: `python -m model.ablation --config configs/ablation/talk.yaml`.

The same command resumes an interrupted study. Exit status: 0 everything is trained and measured; 1 a training or an
evaluation failed; 2 the command or a config is wrong; 130 after Ctrl-C.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from model.common import logs
from model.common.command import Parser, command, print_error
from model.common.config import load_yaml, parse_overrides
from model.training import backend


@command("model.ablation")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = Parser(
        "model.ablation",
        description="Train and measure every experiment of an ablation study, or resume it.",
        epilog="Any other key of the config is an option too.",
    )
    parser.add_argument("--config", type=Path, default=Path("configs/ablation/talk.yaml"))
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--run", help="folder of the study")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this experiment; repeatable")
    parser.add_argument("--check", action="store_true", help="only check the settings")
    known, others = parser.parse_known_args(arguments)
    options = vars(known)
    path, only, check = (options.pop(name) for name in ("config", "only", "check"))
    logs.silence()
    backend.choose("tensorflow")
    runs = logs.import_quietly("model.ablation.runs")
    from model.ablation.config import AblationConfig, select_experiments, training_configs

    config = load_yaml(AblationConfig, path, options | parse_overrides(others))
    experiments = select_experiments(config, only)
    training_configs(config)
    if check:
        print(f"{path}: the settings are right")
        return 0
    try:
        runs.run(config, experiments)
    except runs.StepError as error:
        return print_error("model.ablation", error, 1)
    print(f"tables: {config.run / runs.results.MARKDOWN}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
