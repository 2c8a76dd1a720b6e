"""Keeps the noise of TensorFlow and GDAL out of the commands' output. Call before anything imports them."""

from __future__ import annotations

import os


def silence() -> None:
    """Sets what TensorFlow and GDAL read when they are loaded; what is set already stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CPL_LOG_ERRORS", "OFF")
