"""Keeps the noise of TensorFlow, GDAL and Beam out of the commands' output. Call before anything imports them."""

from __future__ import annotations

import logging

from geo.errors import FinderError
from model import quiet


def silence() -> None:
    """Sets what TensorFlow and GDAL read when they are loaded, and leaves out what Beam need not say."""
    quiet.silence()
    # Beam cannot measure the model's memory where another of its parts is not installed, and says so on every run.
    logging.getLogger().addFilter(_worth_saying)
    logging.getLogger("apache_beam.runners.common").addFilter(_not_told_elsewhere)


def import_tensorflow() -> None:
    """Imports what runs the model."""
    quiet.load("model.frozen")


def _worth_saying(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Resource module is not available")


def _not_told_elsewhere(record: logging.LogRecord) -> bool:
    # Beam logs an error with its traceback and passes it on; a user's error is then told by the command, in one line.
    return not (record.exc_info and isinstance(record.exc_info[1], FinderError))
