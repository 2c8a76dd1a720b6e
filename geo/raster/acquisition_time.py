"""Acquisition time of a scene, RFC 3339 UTC, from its tags or from its file name."""

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from geo.errors import ConfigError
from geo.raster.uri import is_remote

# Named groups of a file name rule, coarsest first; a name without a time of day means midnight.
_GROUPS = ("year", "month", "day", "hour", "minute", "second")
_DATE_GROUPS = 3
_GROUPS_FORMAT = "%Y %m %d %H %M %S"

# Namespace, tag and format, the most reliable first: the sensor's acquisition time as GDAL reads it from the metadata;
# the time at which a TIFF was created; the acquisition time of NITF 2.1.
_TAGS = (
    ("IMAGERY", "ACQUISITIONDATETIME", "%Y-%m-%d %H:%M:%S"),
    (None, "TIFFTAG_DATETIME", "%Y:%m:%d %H:%M:%S"),
    (None, "NITF_IDATIM", "%Y%m%d%H%M%S"),
)


def time_in_tags(dataset: Any) -> str | None:
    """Return the acquisition time in an open raster's tags, or None; tags name no time zone and are taken as UTC."""
    times = (_parse_time(_read_tag(dataset, namespace, name), form) for namespace, name, form in _TAGS)
    return next((time for time in times if time), None)


def check_rule(rule: str) -> None:
    """Reject a file name rule that does not determine a date.

    Raises:
        ConfigError: it is not a regular expression, or its named groups are not year, month and day, optionally
            followed by hour, by minute, by second.
    """
    try:
        groups = set(re.compile(rule).groupindex)
    except re.error as error:
        raise ConfigError(f"expected a regular expression, got {rule!r} ({error}): correct it") from error
    if groups not in [set(_GROUPS[:count]) for count in range(_DATE_GROUPS, len(_GROUPS) + 1)]:
        raise ConfigError(
            f"expected the named groups year, month, day, and optionally hour, minute, second in this order, "
            f"got {', '.join(sorted(groups)) or 'none'}: write such as (?P<year>\\d{{4}})"
        )


def time_in_name(uri: str, rule: str) -> str | None:
    """Return the acquisition time in a scene's file name.

    Args:
        uri: a local path or an address; its folders and query are ignored.
        rule: a regular expression that `check_rule` accepts; its first match counts.

    Returns:
        RFC 3339 UTC; None if there is no match, or the match is no valid date and time with a year of four digits.
    """
    match = re.search(rule, PurePosixPath(unquote(urlsplit(uri).path) if is_remote(uri) else uri).name)
    if match is None:
        return None
    return _parse_time(" ".join(match.groupdict().get(group) or "0" for group in _GROUPS), _GROUPS_FORMAT)


def _read_tag(dataset: Any, namespace: str | None, name: str) -> str:
    try:
        return str(dataset.tags(ns=namespace).get(name, ""))
    except UnicodeDecodeError:  # damaged tags are no reason to reject the scene
        return ""


def _parse_time(text: str, form: str) -> str | None:
    """Return a UTC time of this format as RFC 3339, or None if the text is none."""
    try:
        return datetime.strptime(text.strip(), form).replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    except ValueError:
        return None
