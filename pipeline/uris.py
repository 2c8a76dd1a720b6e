"""Local paths and addresses: telling one from the other, what is relative to them, and the text that lies there."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from pystac.utils import make_absolute_href

from geo.raster.uri import shown
from pipeline.errors import InputError

#: A server that says nothing for so long is taken to be down.
TIMEOUT_S = 60


def is_address(place: str) -> bool:
    """Whether a place is an address, such as https://..., and no local path."""
    return "://" in place


def suffix(place: str) -> str:
    """Returns the suffix in small letters, with its dot; an address's without its query, which may carry a key."""
    path = re.split("[?#]", place, maxsplit=1)[0] if is_address(place) else place
    return os.path.splitext(path)[1].lower()  # noqa: PTH122


def resolved(href: str, base: str) -> str:
    """Returns the place that a file at `base` means by `href`: an address as it is, a local path under the base's."""
    if href.startswith("file://"):
        return urllib.request.url2pathname(urllib.parse.urlsplit(href).path)
    if is_address(href) or not is_address(base):
        return href if is_address(href) else str(Path(base).parent / href)
    return make_absolute_href(href, base)


def identity(place: str) -> str:
    """Returns what tells whether two spellings mean one place."""
    return urllib.parse.urldefrag(place).url if is_address(place) else os.path.realpath(place)


def check_open(place: str) -> None:
    """Refuses an address that holds a password: it would stand in every output.

    Raises:
        InputError: it does.
    """
    if shown(place) != place:
        raise InputError(
            f"{shown(place)}: expected an address without user and password, got one with them: "
            "take them out, and set GDAL_HTTP_USERPWD=user:password in the environment"
        )


def read_text(place: str) -> tuple[str, str]:
    """Reads a small file of UTF-8 text.

    Args:
        place: a local path, or an address of http:// or https://.

    Returns:
        The text, and the place where it was in the end: an address may lead to another one.

    Raises:
        InputError: it cannot be read, is no such text, or its address holds a password.
    """
    check_open(place)
    try:
        return _fetched(place) if is_address(place) else (Path(place).read_text(encoding="utf-8-sig"), place)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{place}: expected JSON text in UTF-8 that can be read, got '{reason}': check that it is there and whole"
        ) from error


def _fetched(address: str) -> tuple[str, str]:
    if not address.startswith(("https://", "http://")):
        raise ValueError("an address that is neither https:// nor http://")
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:  # noqa: S310 -- http and https alone
        return response.read().decode("utf-8-sig"), response.url
