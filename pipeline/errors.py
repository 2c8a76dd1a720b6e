"""What a user of the job can get wrong, beside rasters, configs and options. One line each: expected, got, remedy."""

from __future__ import annotations

from geo.errors import FinderError


class InputError(FinderError, ValueError):
    """An `--input` names nothing that can be read."""


class WorkerError(FinderError, RuntimeError):
    """A process that did a part of the work is gone."""


class OutputError(FinderError, OSError):
    """An output cannot be written, or its format is not known."""
