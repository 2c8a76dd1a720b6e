"""Errors that a user's input can cause.

Each message is one line: what was expected, what came, and the remedy. Each class also inherits the builtin that fits,
so that callers can catch it without knowing this project.
"""


class FinderError(Exception):
    """Root of all errors that a user's input can cause; any other exception is a bug."""


class InputError(FinderError, ValueError):
    """An input that names nothing that can be read."""


class RasterError(FinderError, OSError):
    """A file that cannot be read or written as a raster, or whose bands do not fit."""


class GeoreferenceError(FinderError, ValueError):
    """A raster without a valid georeference."""


class ResolutionError(FinderError, ValueError):
    """A scene whose pixels are too coarse to show an airplane."""


class ConfigError(FinderError, ValueError):
    """A setting that is unknown, of the wrong type, or out of range."""


class OutputError(FinderError, OSError):
    """An output that cannot be written, or whose format is not known."""


class WorkerError(FinderError, RuntimeError):
    """A worker process that ended before its work was done."""


class CommandError(FinderError, ValueError):
    """A command-line option that is missing, unknown, or has an invalid value."""


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line; the name of its class where it has no message."""
    return " ".join(str(error).split()) or type(error).__name__
