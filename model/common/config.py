"""Plain values, as YAML and JSON hold them, into frozen dataclasses, strictly."""

import dataclasses
import functools
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import yaml

from geo.errors import ConfigError

T = TypeVar("T")

_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    dict: "a mapping",
}


def load(cls: type[T], path: Path, overrides: Mapping[str, object] | None = None) -> T:
    """Reads a config file.

    Args:
        cls: the dataclass that the file describes; a key that it lacks is an error.
        path: a YAML file: a mapping of the dataclass' fields, nested where they are dataclasses.
        overrides: values that go before the file's, by dotted name ("tiling.halo_px"); None values are left out.

    Raises:
        ConfigError: no such file, no YAML, an unknown key, a value of the wrong type or out of range.
    """
    content = read(path)
    try:
        content = current(cls, content)
        for name, value in (overrides or {}).items():
            if value is not None:
                key, dot, rest = name.partition(".")
                put(content, f"{_current_key(cls, key)}{dot}{rest}", value)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse(cls, content, str(path))


def overrides(words: Sequence[str]) -> dict[str, object]:
    """The overrides that a command line holds, by dotted name: `--crops.side_px=128`, or `--crops.side_px 128`.

    A value is read as JSON, or else is text.

    Raises:
        ConfigError: something else than keys with a value each.
    """
    found: dict[str, object] = {}
    rest = iter(words)
    for word in rest:
        name, equals, text = word.removeprefix("--").partition("=")
        value = text if equals else next(rest, None)
        if not word.startswith("--") or not name or value is None:
            raise ConfigError(f"{word}: expected --key=value, with a key of the config: check the command")
        found[name] = _json_or_text(value)
    return found


def put(content: dict[str, Any], name: str, value: object) -> None:
    """Sets a value by its dotted name; mappings that are not there on the way are made.

    Raises:
        ConfigError: something on the way is no mapping.
    """
    *way, last = name.split(".")
    for place, key in enumerate(way):
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise _unfit(".".join(way[: place + 1]), f"a mapping, for {name} to be set", content)
    content[last] = value


def read(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping; an empty file is an empty one.

    Raises:
        ConfigError: no such file, no YAML, no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{path}: expected a readable YAML config, got {reason}: check the path and the file"
        ) from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: expected a mapping of keys to values, got {type(content).__name__}: write one `key: value` a line"
        )
    return content


def parse(cls: type[T], content: Mapping[str, Any], name: str) -> T:
    """Makes a dataclass of plain values as YAML or JSON holds them; `name` is the file they came from.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    try:
        return cast(T, _dataclass(cls, content, ""))
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error


def current(cls: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """Replace former spellings of keys and values by today's; each is reported once on stderr.

    A dataclass lists them: `FORMER_KEYS` maps a former key to its name today, `FORMER_VALUES` a key to the former
    spellings of its values.

    Raises:
        ConfigError: a key comes in both spellings.
    """
    known = getattr(cls, "FORMER_VALUES", {})
    result: dict[str, Any] = {}
    for name, value in content.items():
        key = _current_key(cls, name)
        if key != name and key in content:
            raise ConfigError(f"expected {key} once, got it as {name} too: remove {name}")
        former = known.get(key, {})
        if isinstance(value, str) and value in former:
            _report_former(f"{key}: {value}", f"{key}: {former[value]}")
            value = former[value]
        result[key] = value
    return result


def _current_key(cls: Any, name: str) -> str:
    former = getattr(cls, "FORMER_KEYS", {})
    if name not in former:
        return name
    _report_former(name, former[name])
    return str(former[name])


@functools.cache
def _report_former(former: str, today: str) -> None:
    print(f"config: {former!r} is now called {today!r}; the former name still works", file=sys.stderr)


def _json_or_text(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if value is None else value  # `load` leaves None out


def _dataclass(cls: Any, content: object, key: str) -> object:
    """A dataclass of a mapping; `key` is the dotted name at which the mapping stands, empty for the whole file."""
    if not isinstance(content, Mapping):
        raise _unfit(key, "a mapping of keys to values", content)
    content = current(cls, content)
    fields = dataclasses.fields(cls)
    hints = get_type_hints(cls)
    kinds = {field.name: hints[field.name] for field in fields}  # without the hints of class variables
    prefix = f"{key}." if key else ""
    unknown = sorted(prefix + str(name) for name in content.keys() - kinds.keys())
    if unknown:
        known = ", ".join(field.name for field in fields)
        raise ConfigError(f"unknown key {', '.join(unknown)}; known here: {known}")
    missing = [prefix + field.name for field in fields if _needed(field) and field.name not in content]
    if missing:
        raise ConfigError(f"missing key {', '.join(missing)}")
    values = {name: _value(kinds[name], value, prefix + name) for name, value in content.items()}
    return cls(**values)


def _needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(kind: Any, value: object, key: str) -> object:
    """A value of the type `kind`.

    That is one of `_WORDS`, a dataclass, a choice of words, a tuple of such, each with None besides; one of several
    dataclasses, each of which has a `kind` that names it; or any plain value, where it is an `object`.
    """
    inner = get_args(kind)
    if kind is object:
        return value
    if get_origin(kind) is Literal:
        if value not in inner:
            raise _unfit(key, " or ".join(map(repr, inner)), value)
        return value
    if type(None) in inner:
        return None if value is None else _value(inner[0], value, key)
    if get_origin(kind) is UnionType:
        return _dataclass(_chosen(inner, value, key), value, key)
    if get_origin(kind) is tuple:
        return _tuple(inner, value, key)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, key)
    if get_origin(kind) is dict:
        kind = dict  # of whatever values
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    # Python takes True for the number 1; a config should not.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _unfit(key, _WORDS[kind], value)
    return value


def _chosen(kinds: tuple[Any, ...], value: object, key: str) -> Any:
    """The dataclass of several that the mapping names by its `kind`; the first where it names none."""
    by_word = {get_args(get_type_hints(cls)["kind"])[0]: cls for cls in kinds}
    if not isinstance(value, Mapping) or "kind" not in value:
        return kinds[0]
    if value["kind"] not in list(by_word):  # a word may be anything, even what is no key
        raise _unfit(f"{key}.kind", " or ".join(map(repr, by_word)), value["kind"])
    return by_word[value["kind"]]


def _tuple(kinds: tuple[Any, ...], value: object, key: str) -> tuple[object, ...]:
    any_length = kinds[-1] is Ellipsis
    if not isinstance(value, list | tuple) or not (any_length or len(value) == len(kinds)):
        raise _unfit(key, "a list" if any_length else f"a list of {len(kinds)}", value)
    each = itertools.repeat(kinds[0], len(value)) if any_length else kinds
    return tuple(_value(kind, item, f"{key}[{i}]") for i, (kind, item) in enumerate(zip(each, value, strict=True)))


def _unfit(key: str, expected: str, value: object) -> ConfigError:
    return ConfigError(f"{key}: expected {expected}, got {value!r}")
