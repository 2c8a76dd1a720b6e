"""Beam's options on a command line, and the runner that they name; for every command that runs a Beam job."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner, create_runner

from geo.errors import CommandError

_DIRECT = {"directrunner", "direct", "fnapirunner"}


class Parser(argparse.ArgumentParser):
    """A parser that raises one-line errors, like every other error of the project."""

    def error(self, message: str) -> NoReturn:
        """Raise the error.

        Raises:
            CommandError: Always.
        """
        raise CommandError(f"{message}: see --help")


def parse(words: Sequence[str]) -> PipelineOptions:
    """Parse the words that a command does not know itself as Beam's options.

    Beam drops unknown options; here a mistyped option is an error.

    Raises:
        CommandError: An option is unknown, or its value does not fit.
    """
    parser = Parser(allow_abbrev=False, add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    known, unknown = parser.parse_known_args(words)
    # Other runners have options of their own, which only they can check.
    if unknown and _in_process(known.runner):
        raise CommandError(f"expected options of this command or of Beam, got {' '.join(unknown)}: see --help")
    return PipelineOptions(list(words))


def runner(options: PipelineOptions) -> PipelineRunner:
    """Create the runner that the options name; DirectRunner, and none, mean Beam's in-process Python runner.

    Raises:
        CommandError: The runner is unknown.
    """
    name = options.view_as(StandardOptions).runner
    if _in_process(name):
        return FnApiRunner()
    try:
        return create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        known = ", ".join(StandardOptions.KNOWN_RUNNER_NAMES)
        raise CommandError(f"--runner {name}: expected one of {known}, got '{error}': choose or install one") from error


def _in_process(name: str | None) -> bool:
    # Beam's own DirectRunner first tries Prism, a download.
    return name is None or name.lower() in _DIRECT
