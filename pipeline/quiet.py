"""Keeps the noise of TensorFlow and GDAL out of the commands' output. Call before anything imports them."""

from __future__ import annotations

import logging
import os


def silence() -> None:
    """Sets what TensorFlow and GDAL read when they are loaded; what is set already stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CPL_LOG_ERRORS", "OFF")
    # Beam cannot measure the model's memory where another of its parts is not installed, and says so on every run.
    logging.getLogger().addFilter(_worth_saying)


def _worth_saying(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Resource module is not available")
