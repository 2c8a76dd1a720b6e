"""Which version of a file it is: another one where it was written again, told without a look at its content."""

import hashlib
import os
from collections.abc import Iterable
from typing import Any

from geo.raster.uri import RemoteFile

# Where viewers keep statistics of what they show; they write it whenever somebody looks at a scene.
_NOTES = ".aux.xml"


def files_of(dataset: Any) -> list[str]:
    """Returns the files that an open raster is made of: itself, overviews and masks beside it, the parts of a VRT."""
    return [file for file in dataset.files if not file.endswith(_NOTES)]


def version_of(what: RemoteFile | Iterable[str]) -> str:
    """Returns a short text that differs where a file, or one of several, was moved, cut, or written again.

    Args:
        what: What a server says of a file, or local files, of which sizes and times are looked at. Of what is neither
            (a part of a VRT that lies at an address) nothing is known.
    """
    known = (what.size, what.version) if isinstance(what, RemoteFile) else [_local(file) for file in what]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def _local(file: str) -> tuple[int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 -- a quarter of the time, and a VRT may have thousands of parts
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
