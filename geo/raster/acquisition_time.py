"""When a scene was taken, as its own tags or the name of its file tell: RFC 3339 in UTC, or nothing; pure."""

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from geo.errors import ConfigError
from geo.raster.uri import is_address

# What a name may tell, the coarsest first; midnight where it tells the day alone.
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_DAY = 3
_FORM = "%Y %m %d %H %M %S"

# Namespace, tag and form, the surest first: when a sensor's metadata say that the picture was taken, as GDAL reads
# them; when the file says that the picture was made; the same in NITF 2.1.
_TAGS = (
    ("IMAGERY", "ACQUISITIONDATETIME", "%Y-%m-%d %H:%M:%S"),
    (None, "TIFFTAG_DATETIME", "%Y:%m:%d %H:%M:%S"),
    (None, "NITF_IDATIM", "%Y%m%d%H%M%S"),
)


def time_in_tags(dataset: Any) -> str | None:
    """Returns when an open raster says that it was taken; a time, which names no zone in tags, is taken for UTC."""
    times = (_time(_tag(dataset, namespace, name), form) for namespace, name, form in _TAGS)
    return next((time for time in times if time), None)


def check_rule(rule: str) -> None:
    """Refuses a rule that cannot tell a day.

    Raises:
        ConfigError: It is no regular expression, or its named groups are not year, month, day, and then hour, minute,
            second as far as names tell them.
    """
    try:
        groups = set(re.compile(rule).groupindex)
    except re.error as error:
        raise ConfigError(f"expected a regular expression, got {rule!r} ({error}): mend it") from error
    if groups not in [set(_PARTS[:count]) for count in range(_DAY, len(_PARTS) + 1)]:
        raise ConfigError(
            f"expected the named groups year, month, day, and then hour, minute, second as far as names tell them, "
            f"got {', '.join(sorted(groups)) or 'none'}: write such as (?P<year>\\d{{4}})"
        )


def time_in_name(uri: str, rule: str) -> str | None:
    """Returns when a scene was taken by the name of its file, RFC 3339.

    Args:
        uri: A path or an address; folders and queries have no say.
        rule: A regular expression that `check_rule` accepts; the first place where it fits counts.

    Returns:
        None where it does not fit, or what it finds is no day of a year of four digits, or no time.
    """
    found = re.search(rule, PurePosixPath(unquote(urlsplit(uri).path) if is_address(uri) else uri).name)
    return None if found is None else _time(" ".join(found.groupdict().get(part) or "0" for part in _PARTS), _FORM)


def _tag(dataset: Any, namespace: str | None, name: str) -> str:
    try:
        return str(dataset.tags(ns=namespace).get(name, ""))
    except UnicodeDecodeError:  # a scene whose tags are damaged can be looked at all the same
        return ""


def _time(text: str, form: str) -> str | None:
    """Returns what a text of this form says, in UTC; None where it is none, or no such day or time."""
    try:
        return datetime.strptime(text.strip(), form).replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    except ValueError:
        return None
