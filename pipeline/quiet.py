"""Keeps the noise of TensorFlow, GDAL and Beam out of the commands' output. Call before anything imports them."""

from __future__ import annotations

from model.common import logs as quiet


def silence() -> None:
    """Sets what TensorFlow and GDAL read when they are loaded, and leaves out what Beam need not say."""
    logs.silence()
    quiet.silence_beam()


def import_tensorflow() -> None:
    """Imports what runs the model."""
    logs.import_quietly("model.inference.frozen_graph")
