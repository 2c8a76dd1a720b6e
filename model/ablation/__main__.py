"""Runs the talk's ladder: `python -m model.ablation --config configs/ladder/default.yaml`.

The same command goes on where it was broken off. Exit status: 0 everything is trained and measured; 1 a training or an
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
    """Run the command, and return its exit status."""
    known, others = _parser().parse_known_args(arguments)
    options = vars(known)
    path, only, check = (options.pop(name) for name in ("config", "only", "check"))
    logs.silence()
    backend.choose("tensorflow")
    climb = logs.import_quietly("model.ablation.runs")
    from model.ablation.config import LadderConfig, chosen, trainings

    config = load_yaml(LadderConfig, path, options | parse_overrides(others))
    rungs = chosen(config, only)
    trainings(config)
    try:
        if not check:
            climb.climb(config, rungs)
    except climb.StepError as error:
        return print_error("model.ablation", error, 1)
    print(f"{path}: the settings are right" if check else f"tables: {config.run / climb.summary.MARKDOWN}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        "model.ablation",
        description="Trains and measures every rung of a ladder, or goes on with it.",
        epilog="Any other key of the config is an option too.",
    )
    parser.add_argument("--config", type=Path, default=Path("configs/ladder/default.yaml"))
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--run", help="folder of the ladder")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this rung; repeatable")
    parser.add_argument("--check", action="store_true", help="only say whether the settings are right")
    return parser


if __name__ == "__main__":
    sys.exit(main())
