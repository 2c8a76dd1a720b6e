"""The frame of every command line: errors of one line, exit statuses, Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from geo.errors import CommandError, FinderError

#: The exit status that shells give a program that SIGINT has ended.
INTERRUPTED = 130

Main = Callable[[Sequence[str] | None], int]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others of the project; options cannot be abbreviated."""

    def __init__(self, prog: str | None = None, **settings: Any) -> None:
        super().__init__(prog, **{"allow_abbrev": False} | settings)

    def error(self, message: str) -> NoReturn:
        """Raise the error of a wrong command line.

        Raises:
            CommandError: always.
        """
        raise CommandError(f"{message}: see --help")


def command(name: str) -> Callable[[Main], Callable[..., int]]:
    """Decorate the main function of a command, which takes its arguments and returns its exit status.

    Args:
        name: prefix of error lines: `name: what was expected, what came, the remedy`.

    Returns:
        A decorator. A `FinderError` becomes a line on stderr and exit status 2, Ctrl-C a line and exit status 130.
    """

    def decorate(main: Main) -> Callable[..., int]:
        @functools.wraps(main)
        def run(arguments: Sequence[str] | None = None) -> int:
            try:
                check_environment()
                return main(arguments)
            except FinderError as error:
                return print_error(name, error, 2)
            except KeyboardInterrupt:
                print(f"{name}: interrupted: run the same command again to resume", file=sys.stderr)
                return INTERRUPTED

        return run

    return decorate


def check_environment() -> None:
    """Give a process without stderr, such as some daemons, one that goes nowhere; check for a temporary folder.

    Raises:
        CommandError: No folder for temporary files can be written, such as in a container with a read-only root.
    """
    if sys.stderr is None:
        # The file takes the free descriptor 2, to which native code writes.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 -- for the whole process
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise CommandError(
            "expected a folder for temporary files, got none that can be written: set TMPDIR to one"
        ) from error


def print_error(name: str, error: FinderError, status: int) -> int:
    """Print an error in one line on stderr, and return the exit status."""
    print(f"{name}: {' '.join(str(error).splitlines())}", file=sys.stderr)
    return status


@contextlib.contextmanager
def plain_interrupt() -> Iterator[None]:
    """Make Ctrl-C end the block with KeyboardInterrupt and nothing else; does nothing outside of the main thread.

    Beam turns the interrupt into an error of its own, and logs it at every step with hundreds of lines.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return
    interrupted = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        interrupted.set()
        logging.disable()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except BaseException:
        if interrupted.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        logging.disable(logging.NOTSET)
