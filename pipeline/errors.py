"""What a user of the job can get wrong, beside rasters, configs and options. One line each: expected, got, remedy."""

from __future__ import annotations

from geo.errors import FinderError
from geo.errors import InputError as InputError


class WorkerError(FinderError, RuntimeError):
    """A process that did a part of the work is gone."""


class OutputError(FinderError, OSError):
    """An output cannot be written, or its format is not known."""
