"""Files and folders wherever Beam can reach them, as local ones."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from geo.errors import ConfigError


def join(folder: str, *names: str) -> str:
    """The URI of what lies in a folder.

    Raises:
        ConfigError: a scheme that Beam does not know.
    """
    try:
        return str(FileSystems.join(folder, *names))
    except ValueError as error:
        raise ConfigError(f"{folder}: expected a local path or one of a scheme that Beam knows: {error}") from error


def matches(pattern: str) -> list[str]:
    """The URIs of the files that a pattern names; `**` stands for folders, too.

    Raises:
        ConfigError: they cannot be listed.
    """
    try:
        return [metadata.path for metadata in FileSystems.match([pattern])[0].metadata_list]
    # Each file system has errors of its own: no credentials, no network, no such bucket.
    except Exception as error:
        raise ConfigError(
            f"{pattern}: expected files that can be listed, got '{_reason(error)}': check the path"
        ) from error


@contextmanager
def local_folder(uri: str) -> Iterator[Path]:
    """A folder with all that is in it, as a local one: itself, or a copy for as long as the block lasts.

    Raises:
        ConfigError: nothing is there.
    """
    if _is_local(uri):
        yield Path(uri)
        return
    found = matches(join(uri, "**"))
    if not found:
        raise ConfigError(f"{uri}: expected a folder with files, found none: check the path")
    with tempfile.TemporaryDirectory() as copy:
        for file in found:
            _fetch(file, Path(copy) / file.removeprefix(uri).lstrip("/"))
        yield Path(copy)


@contextmanager
def local_file(uri: str) -> Iterator[Path]:
    """A file as a local one: itself, or a copy for as long as the block lasts."""
    if _is_local(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / uri.rpartition("/")[2]
        _fetch(uri, copy)
        yield copy


def check_writable(folder: str) -> None:
    """Tries to write a file in a folder, which is made where it is missing.

    Raises:
        ConfigError: nothing can be written there.
    """
    part = join(folder, f"{uuid.uuid4().hex[:8]}.part")
    try:
        FileSystems.create(part).close()
        FileSystems.delete([part])
    except Exception as error:
        raise ConfigError(
            f"{folder}: expected a folder that can be written, got '{_reason(error)}': name another"
        ) from error


def write_atomically(uri: str, file: Path) -> None:
    """Copies a local file to where it is to be; it appears whole or not at all."""
    part = f"{uri}.{uuid.uuid4().hex[:8]}.part"
    with FileSystems.create(part, compression_type=CompressionTypes.UNCOMPRESSED) as target, file.open("rb") as source:
        shutil.copyfileobj(source, target)
    FileSystems.rename([part], [uri])


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())


def _is_local(uri: str) -> bool:
    return FileSystems.get_scheme(uri) is None


def _fetch(uri: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED) as source, file.open("wb") as target:
        shutil.copyfileobj(source, target)
