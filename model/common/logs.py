"""Keep the noise of TensorFlow, GDAL and Beam, and their optional parts, out of the commands; log lines with fields."""

import contextlib
import importlib
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import ModuleType

from geo.errors import FinderError

# File descriptor 2 is one for all threads: two that redirect it at a time could leave it redirected.
_stderr_lock = threading.RLock()


def silence() -> None:
    """Silence TensorFlow, GDAL and Beam; to be called before any of them is imported.

    Variables of the environment that are set already keep their values.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CPL_LOG_ERRORS", "OFF")
    logging.getLogger().addFilter(_is_no_memory_warning)
    # It warns where the client of MongoDB is missing, or hidden.
    logging.getLogger("apache_beam.io.mongodbio").setLevel(logging.ERROR)
    logging.getLogger("apache_beam.runners.common").addFilter(_is_no_finder_error)
    # They show tracebacks of what is tried again; the error that remains in the end is reported.
    for name in ("apache_beam.utils.retry", "apache_beam.internal.gcp.auth"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It passes on the warnings of worker processes: those above, unfiltered, and what the ledger says, too.
    logging.getLogger("apache_beam.runners.portability.local_job_service").setLevel(logging.ERROR)


def log_event(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log a message with fields that programs can read: the message, a space, and a JSON object on one line."""
    logger.log(level, "%s %s", message, json.dumps(fields, ensure_ascii=False))


def import_quietly(module: str) -> ModuleType:
    """Import a module that imports TensorFlow, which writes to stderr whatever its settings are."""
    with hold_stderr():
        return importlib.import_module(module)


@contextlib.contextmanager
def hold_stderr() -> Iterator[None]:
    """Hold back what native code writes to stderr in the block; it is written after all if the block raises.

    This goes for all threads; in blocks of different threads, one waits for the other.
    """
    with _stderr_lock, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _is_no_memory_warning(record: logging.LogRecord) -> bool:
    # Beam cannot measure the model's memory where an optional package of its own is missing, and warns on every run.
    return not record.getMessage().startswith("Resource module is not available")


def _is_no_finder_error(record: logging.LogRecord) -> bool:
    # Beam logs an error with its traceback before it raises it; the command then prints a user's error in one line.
    return not (record.exc_info and isinstance(record.exc_info[1], FinderError))


@contextlib.contextmanager
def hidden_packages(*names: str) -> Iterator[None]:
    """Let packages appear not to be installed, to others that are imported in the block and use them where they are.

    This goes for all threads, and what the block imports remains without them: for processes of our own, not for those
    of users.

    Args:
        names: names of packages or modules, such as `google.cloud`.
    """
    loaded = {name: sys.modules[name] for name in names if name in sys.modules}
    # As Python documents it: None makes `import` raise ModuleNotFoundError.
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            reveal_package(name)
        sys.modules.update(loaded)


def reveal_package(name: str) -> None:
    """Let a package that `hidden_packages` hides be imported, where its block turns out to need it."""
    if sys.modules.get(name, ...) is None:
        del sys.modules[name]
