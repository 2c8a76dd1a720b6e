"""A cache of models in the form that an engine runs, which takes seconds to make."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from geo.errors import FinderError
from model.common.atomic import write_atomically
from model.inference.engine import Precision, resolve_precision
from model.inference.model_folder import CONFIG_FILE, ModelConfig

#: The folder of the cache; by default `airplane-finder` in the user's cache folder.
CACHE_VARIABLE = "AIRPLANE_FINDER_CACHE"
# Changes with the form of the files, so that older ones are not used.
_FORMAT = "2"
_DIGEST_BYTES = hashlib.sha256().digest_size


def flatbuffer_file(folder: Path, config: ModelConfig, calibrated: bool) -> Path:
    """Return the name of a model's flatbuffer for LiteRT."""
    return _cache_file(folder, config, ".tflite", (_FORMAT, calibrated), ("ai-edge-litert",))


def graph_file(folder: Path, config: ModelConfig, calibrated: bool, precision: Precision) -> Path:
    """Return the name of a model's graph for TensorFlow."""
    return _cache_file(folder, config, ".graph", (_FORMAT, calibrated, resolve_precision(precision)), ())


def _cache_file(
    folder: Path, config: ModelConfig, suffix: str, details: Sequence[object], packages: Sequence[str]
) -> Path:
    """Return a name that tells all that the file's content depends on."""
    versions = []
    for name in ("tensorflow-cpu", "tensorflow", "keras", *packages):
        with contextlib.suppress(ModuleNotFoundError):
            versions.append(f"{name} {version(name)}")
    settings = (folder / CONFIG_FILE).read_text("utf-8")
    key = "\n".join([*map(str, details), config.sha256, settings, *versions])
    return _cache_folder() / f"{config.version}-{hashlib.sha256(key.encode()).hexdigest()[:16]}{suffix}"


def _cache_folder() -> Path:
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "airplane-finder"


def read_or_make(file: Path, make: Callable[[], bytes]) -> bytes:
    """Return the content of a file in the cache; made, and written there, where it is missing or damaged."""
    content = read_cache(file)
    if content is None:
        content = make()
        # Without a cache the next run makes it again.
        with contextlib.suppress(FinderError, OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, hashlib.sha256(content).digest() + content)
    return content


def read_cache(file: Path) -> bytes | None:
    """Return the content of a file in the cache; None where it is missing or damaged."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None
