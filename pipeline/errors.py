"""Errors that a user of the job can cause, other than those of `geo.errors`. One line: expected, got, remedy."""

from __future__ import annotations

from geo.errors import FinderError


class WorkerError(FinderError, RuntimeError):
    """A worker process that was killed or crashed."""


class OutputError(FinderError, OSError):
    """An output that cannot be written, or whose format is not known."""
