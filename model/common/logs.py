"""Keeps the noise of TensorFlow, GDAL and Beam out of the commands' output. Call before anything imports them."""

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

from geo.errors import FinderError


def silence() -> None:
    """Sets what TensorFlow and GDAL read when they are loaded; what is set already stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CPL_LOG_ERRORS", "OFF")


def silence_beam() -> None:
    """Leaves out what Beam need not say."""
    # Beam cannot measure the model's memory where another of its parts is not installed, and says so on every run.
    logging.getLogger().addFilter(_worth_saying)
    logging.getLogger("apache_beam.runners.common").addFilter(_not_told_elsewhere)


def load(module: str) -> ModuleType:
    """Imports a module that brings TensorFlow; some of what that says on the way heeds no setting."""
    with stderr_aside():
        return importlib.import_module(module)


@contextlib.contextmanager
def stderr_aside() -> Iterator[None]:
    """Keeps back what native code writes to stderr in the block; an error brings it out."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(before, kept.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)


def _worth_saying(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Resource module is not available")


def _not_told_elsewhere(record: logging.LogRecord) -> bool:
    # Beam logs an error with its traceback and passes it on; a user's error is then told by the command, in one line.
    return not (record.exc_info and isinstance(record.exc_info[1], FinderError))
