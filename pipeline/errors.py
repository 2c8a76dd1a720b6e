"""What a user of the job can get wrong beside `geo.errors`. One line each: expected, got, remedy."""

from __future__ import annotations

from geo.errors import FinderError
from geo.errors import InputError as InputError


class WorkerError(FinderError, RuntimeError):
    """A process that did a part of the work is gone."""
