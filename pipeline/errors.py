"""What a user of the job can get wrong, beside rasters and configs. One line each: expected, got, remedy."""

from __future__ import annotations

from geo.errors import FinderError


class InputError(FinderError, ValueError):
    """An `--input` names nothing that can be read."""


class OutputError(FinderError, OSError):
    """An output cannot be written, or its format is not known."""


class CommandError(FinderError, ValueError):
    """An option that is missing, unknown, or has a value that does not fit."""
