import os
import signal
from collections.abc import Sequence

import pytest

from geo.errors import CommandError, ConfigError
from model.common.command import Parser, command, plain_interrupt

ERRORS = {"ConfigError": ConfigError("two\nlines"), "KeyboardInterrupt": KeyboardInterrupt(), "KeyError": KeyError()}


@command("some.command")
def main(arguments: Sequence[str] | None = None) -> int:
    """Raise, or return a status, as the arguments say."""
    parser = Parser("some.command")
    parser.add_argument("--status", type=int, default=0)
    parser.add_argument("--raise", dest="error", choices=["ConfigError", "KeyboardInterrupt", "KeyError"])
    options = parser.parse_args(arguments)
    if options.error:
        raise ERRORS[options.error]
    return int(options.status)


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ([], 0, ""),
        (["--status=1"], 1, ""),
        (["--raise=ConfigError"], 2, "some.command: two lines\n"),
        (["--stat=1"], 2, "some.command: unrecognized arguments: --stat=1: see --help\n"),
        (["--raise=KeyboardInterrupt"], 130, "some.command: interrupted: run the same command again to resume\n"),
    ],
)
def test_every_end_has_a_status_and_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, error: str
) -> None:
    assert main(arguments) == status
    assert capsys.readouterr().err == error


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(KeyError):
        main(["--raise=KeyError"])


def test_a_parser_raises_instead_of_exiting() -> None:
    parser = Parser()
    parser.add_argument("--number")
    with pytest.raises(CommandError, match="--number: expected one argument: see --help"):
        parser.parse_args(["--number"])


def test_ctrl_c_is_a_keyboard_interrupt_in_every_library() -> None:
    def interrupted() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt:
            raise RuntimeError("as Beam does") from None

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), plain_interrupt():
        interrupted()
    assert signal.getsignal(signal.SIGINT) == before
    with pytest.raises(RuntimeError), plain_interrupt():
        raise RuntimeError("without Ctrl-C")
