"""Outputs on this machine and in buckets (`gs://`): written elsewhere first, and moved into place when complete."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from geo.errors import FinderError, InputError, OutputError, one_line
from geo.raster.uri import is_remote, redacted
from model.common import atomic

_OBJECT = re.compile(r"gs://[^/]+/(.*/)?[^/]+")


def check_uri(uri: str, option: str) -> None:
    """Check that a URI names a local file or an object in a bucket; nothing is opened.

    Raises:
        OutputError: it has another scheme, or is incomplete.
    """
    if not is_remote(uri):
        return
    scheme = uri.partition("://")[0]
    if scheme != "gs":
        raise OutputError(
            f"{option} {redacted(uri)}: expected a local path or gs://bucket/name, got {scheme}://: "
            "write to one of these, and copy it from there"
        )
    if not _OBJECT.fullmatch(uri):
        raise OutputError(f"{option} {uri}: expected gs://bucket/name, got no name: add one")


def check_writable(uri: str) -> None:
    """Check that a file can be written, by writing another beside it and removing it.

    Raises:
        OutputError: it cannot.
    """
    if not is_remote(uri):
        atomic.check_writable(Path(uri))
        return
    with bucket_errors(uri):
        from model.datagen import files  # imports Beam, which takes seconds

        files.check_writable(uri.rpartition("/")[0])


@contextlib.contextmanager
def staged(uri: str) -> Iterator[Path]:
    """Yield a local path for the block to write to; the end of the block moves that file to the URI.

    The path ends in the name of the output, since GDAL picks formats and layouts by suffix. What is written beside it
    (a journal, a temporary index) is removed.

    Raises:
        OutputError: the file cannot be written.
    """
    if not is_remote(uri):
        with _staged_locally(Path(uri)) as path:
            yield path
        return
    with tempfile.TemporaryDirectory(prefix="airplanes-") as folder:
        complete = Path(folder) / uri.rpartition("/")[2]
        with _staged_locally(complete) as path:
            yield path
        with bucket_errors(uri):
            from model.datagen import files

            files.write_atomically(uri, complete)


def write_text(uri: str, text: str) -> None:
    """Write a file of UTF-8 text; it appears complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    if not is_remote(uri):
        atomic.write_atomically(Path(uri), text)
        return
    with bucket_errors(uri):
        from model.datagen import files

        files.write_bytes(uri, text.encode())


def read_text(uri: str) -> str | None:
    """Return the text of a small file, damaged bytes replaced; None if there is none.

    Raises:
        OutputError: the bucket does not answer, or denies access.
    """
    if not is_remote(uri):
        try:
            return Path(uri).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
    from google.api_core.exceptions import NotFound

    with bucket_errors(uri):
        from model.datagen import files

        try:
            return files.read_bytes(uri).decode(errors="replace")
        except NotFound:
            return None


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Yield a local path of a file: itself, or a copy for the duration of the block."""
    if not is_remote(uri):
        yield Path(uri)
        return
    from model.datagen import files

    with files.local_file(uri) as path:
        yield path


@contextlib.contextmanager
def readable(uri: str, option: str) -> Iterator[Path]:
    """Yield a local path of a file that a user named, as `local_copy` does; errors in the block name the URI.

    Raises:
        InputError: it cannot be read, or has another scheme than gs://.
    """
    if not is_remote(uri):
        yield Path(uri)
        return
    if not uri.startswith("gs://"):
        raise InputError(
            f"{option} {redacted(uri)}: expected a local path or gs://bucket/name, got another URL: download it first"
        )
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(local_copy(uri))
        except Exception as error:
            reason = one_line(error)
            raise InputError(
                f"{option} {uri}: expected an object that can be read, got '{reason}': check its name, your "
                "access and the network"
            ) from error
        with naming(uri, path):
            yield path


@contextlib.contextmanager
def naming(uri: str, copy: Path) -> Iterator[None]:
    """Let errors about a local copy name the URI that it was made from."""
    try:
        yield
    except FinderError as error:
        raise type(error)(str(error).replace(str(copy), uri)) from error


def list_files(folder: str) -> list[str]:
    """Return the URIs of all files in a folder and its sub-folders, sorted; none if there is no such folder.

    Hidden files are left out: what `staged` has not finished has such a name.

    Raises:
        InputError: the bucket cannot be listed.
    """
    if not is_remote(folder):
        files = [str(path) for path in Path(folder).rglob("*") if path.is_file()]
    else:
        from model.datagen import files as bucket_files

        try:
            files = bucket_files.list_files(f"{folder.rstrip('/')}/**")
        except FinderError as error:
            raise InputError(str(error)) from error
    return sorted(file for file in files if not file.rpartition("/")[2].startswith("."))


def remove(uris: Sequence[str]) -> None:
    """Remove files; those that are gone already are no error.

    Raises:
        OutputError: a file cannot be removed.
    """
    for uri in uris:
        if not is_remote(uri):
            try:
                Path(uri).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{uri}: expected a file that can be removed, got '{error.strerror}': check its folder"
                ) from error
    remote = [uri for uri in uris if is_remote(uri)]
    if remote:
        with bucket_errors(remote[0]):
            from model.datagen import files

            files.remove(remote)


def with_name(uri: str, rename: Callable[[str], str]) -> str:
    """Return the URI of a file beside another: `rename` gets the name of that one."""
    if is_remote(uri):
        folder, _, name = uri.rpartition("/")
        return f"{folder}/{rename(name)}"
    path = Path(uri)
    return str(path.with_name(rename(path.name)))


@contextlib.contextmanager
def _staged_locally(path: Path) -> Iterator[Path]:
    with (
        atomic.atomic_file(path) as partial,
        tempfile.TemporaryDirectory(prefix=f"{partial.name}.", dir=partial.parent) as folder,
    ):
        yield Path(folder) / path.name
        (Path(folder) / path.name).replace(partial)


@contextlib.contextmanager
def bucket_errors(uri: str) -> Iterator[None]:
    """Turn the errors of a bucket's client into OutputErrors of one line."""
    try:
        yield
    # Several libraries raise here: no credentials, no network, no such bucket.
    except Exception as error:
        cause = error.__cause__ if isinstance(error, FinderError) and error.__cause__ else error
        reason = one_line(cause)
        raise OutputError(
            f"{uri}: expected a bucket that can be written, got '{reason}': check its name, your "
            "credentials and the network"
        ) from error
