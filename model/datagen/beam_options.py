"""The options of Beam on a command line, and the runner that they name: shared by all commands that run Beam."""

from collections.abc import Sequence

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner, create_runner

from geo.errors import CommandError
from model.common.command import Parser

_DIRECT = {"directrunner", "direct", "fnapirunner"}
_DATAFLOW = {"dataflowrunner", "dataflow"}


def parse(args: Sequence[str]) -> PipelineOptions:
    """Parse the arguments that a command does not know itself as options of Beam.

    Beam ignores unknown options; a misspelled one must be an error.

    Raises:
        CommandError: an option that is unknown, or has a value that does not fit.
    """
    parser = Parser(add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    known, unknown = parser.parse_known_args(args)
    # Other runners have options of their own, which only they can check.
    if unknown and _in_process(known.runner):
        raise CommandError(f"expected options of this command or of Beam, got {' '.join(unknown)}: see --help")
    return PipelineOptions(list(args))


def runner(options: PipelineOptions) -> PipelineRunner:
    """Return the runner that the options name; without one, and for DirectRunner, Beam's in-process Python runner.

    Raises:
        CommandError: no such runner.
    """
    name = options.view_as(StandardOptions).runner
    if _in_process(name):
        return FnApiRunner()
    try:
        return create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        known = ", ".join(StandardOptions.KNOWN_RUNNER_NAMES)
        raise CommandError(f"--runner {name}: expected one of {known}, got '{error}': choose or install one") from error


def check_waits(options: PipelineOptions) -> None:
    """Check that Beam will wait for the end of the job, for commands that go on with its results.

    Raises:
        CommandError: it will not.
    """
    if options.view_as(StandardOptions).no_wait_until_finish or options.view_as(GoogleCloudOptions).template_location:
        raise CommandError(
            "expected options with which Beam waits for the end of a job, got --no_wait_until_finish or "
            "--template_location: leave it out"
        )


def is_dataflow(options: PipelineOptions) -> bool:
    """Return whether the job runs on Google Cloud Dataflow."""
    return (options.view_as(StandardOptions).runner or "").lower() in _DATAFLOW


def _in_process(name: str | None) -> bool:
    # Beam's own DirectRunner first tries Prism, a download.
    return name is None or name.lower() in _DIRECT
