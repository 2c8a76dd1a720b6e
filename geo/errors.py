"""The errors a user can cause.

Each message is one line: what was expected, what came, and how to mend it.
Each class also inherits the builtin that fits, so that callers who know nothing of this project can catch it.
"""


class FinderError(Exception):
    """Root of every error that a user's input can cause; anything else is a fault of the program."""


class RasterError(FinderError, OSError):
    """A file that cannot be read or written as a raster, or whose bands do not fit."""


class GeoreferenceError(FinderError, ValueError):
    """A raster that does not say, or not soundly, where on the Earth it lies."""


class ResolutionError(FinderError, ValueError):
    """A scene whose pixels are too coarse to show an airplane."""


class ConfigError(FinderError, ValueError):
    """A setting that is unknown, of the wrong type, or out of its range."""


class CommandError(FinderError, ValueError):
    """An option that is missing, unknown, or has a value that does not fit."""
