"""Files and folders on any file system that Beam reaches, made available locally."""

import functools
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from geo.errors import ConfigError, one_line
from geo.raster.uri import check_bucket_answers


def join(folder: str, *names: str) -> str:
    """Return the URI of a file or folder in a folder.

    Raises:
        ConfigError: Beam does not know the scheme.
    """
    try:
        return str(FileSystems.join(folder, *names))
    except ValueError as error:
        raise ConfigError(f"{folder}: expected a local path or one of a scheme that Beam knows: {error}") from error


def list_files(pattern: str) -> list[str]:
    """List the URIs of the files that match a pattern; `**` stands for folders, too.

    Raises:
        ConfigError: the files cannot be listed.
    """
    try:
        _check_answers(pattern)
        return [metadata.path for metadata in FileSystems.match([pattern])[0].metadata_list]
    # Each file system has errors of its own: no credentials, no network, no such bucket.
    except Exception as error:
        raise ConfigError(
            f"{pattern}: expected files that can be listed, got '{one_line(error)}': check the path and the network"
        ) from error


@contextmanager
def local_folder(uri: str) -> Iterator[Path]:
    """Provide a folder with all its content locally: itself, or a copy for the duration of the block.

    Raises:
        ConfigError: the folder is missing or empty.
    """
    if _is_local(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory() as copy:
        copy_folder(uri, Path(copy))
        yield Path(copy)


def copy_folder(uri: str, folder: Path) -> None:
    """Copy a folder with all its content to a folder of this machine.

    Raises:
        ConfigError: It is missing or empty, or a name in it leads out of it.
    """
    content = list_files(join(uri, "**"))
    if not content:
        raise ConfigError(f"{uri}: expected a folder with files, found none: check the path")
    for file in content:
        name = file.removeprefix(uri).lstrip("/")
        # Names of objects may hold any character: copied as they are, such names would be files elsewhere.
        if ".." in name.split("/"):
            raise ConfigError(f"{file}: expected a name inside of {uri}, got one that leads out of it: rename it")
        if not name.endswith("/"):  # the placeholder of an empty folder
            _fetch(file, folder / name)


@contextmanager
def local_file(uri: str) -> Iterator[Path]:
    """Provide a file locally: itself, or a copy for the duration of the block."""
    if _is_local(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / uri.rpartition("/")[2]
        _fetch(uri, copy)
        yield copy


def check_writable(folder: str) -> None:
    """Try to write a file in a folder, which is created where it is missing.

    Raises:
        ConfigError: no file can be written there.
    """
    part = join(folder, f"{uuid.uuid4().hex[:8]}.part")
    try:
        _check_answers(part)
        FileSystems.create(part).close()
        FileSystems.delete([part])
    except Exception as error:
        raise ConfigError(
            f"{folder}: expected a folder that can be written, got '{one_line(error)}': name another, or check the "
            "network"
        ) from error


def read_bytes(uri: str) -> bytes:
    """Return the content of a small file."""
    _check_answers(uri)
    with FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED) as source:
        return bytes(source.read())


def write_bytes(uri: str, content: bytes) -> None:
    """Write an object of a bucket at once: it appears complete or not at all."""
    with FileSystems.create(uri, compression_type=CompressionTypes.UNCOMPRESSED) as target:
        target.write(content)


def write_atomically(uri: str, file: Path) -> None:
    """Copy a local file to a URI, atomically."""
    part = f"{uri}.{uuid.uuid4().hex[:8]}.part"
    with FileSystems.create(part, compression_type=CompressionTypes.UNCOMPRESSED) as target, file.open("rb") as source:
        shutil.copyfileobj(source, target)
    FileSystems.rename([part], [uri])


def remove(uris: Sequence[str]) -> None:
    """Remove files; those that are gone already are no error."""
    FileSystems.delete(list(uris))


def _check_answers(uri: str) -> None:
    """Check, once in a process for each bucket, that it answers; see `check_bucket_answers`."""
    if uri.startswith("gs://"):
        _check_bucket(f"gs://{uri[5:].partition('/')[0]}")


_check_bucket = functools.cache(check_bucket_answers)


def _is_local(uri: str) -> bool:
    return FileSystems.get_scheme(uri) is None


def _fetch(uri: str, file: Path) -> None:
    _check_answers(uri)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED) as source, file.open("wb") as target:
        shutil.copyfileobj(source, target)
