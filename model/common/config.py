"""YAML configs into frozen dataclasses: types are strict, unknown keys fail, every error is one line."""

import dataclasses
import functools
import json
import math
import os
import reprlib
import sys
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

import yaml
from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from geo.errors import ConfigError, one_line

T = TypeVar("T")

#: Values of a config, aliases expanded: a few of them can stand for billions.
MAX_VALUES = 100_000

# Values in messages: a file may hold millions of them, or nest them without end.
_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 100


class ByKind:
    """Mark a union of dataclasses as told apart by their field `kind`; a config without one means the first.

    Use as `Annotated[Propeller | Jet, ByKind()]`.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the tagged union."""
        members = {kind: handler.generate_schema(cls) for kind, cls in _by_kind(get_args(source)).items()}
        first = next(iter(members))

        def kind_of(value: Any) -> str:
            return str(value.get("kind", first)) if isinstance(value, dict) else first

        return core_schema.tagged_union_schema(members, kind_of)


def load_yaml(cls: type[T], path: Path, overrides: Mapping[str, object] | None = None) -> T:
    """Read a config file.

    Args:
        cls: the dataclass that the file describes.
        path: a YAML file: a mapping of the dataclass' fields, nested where they are dataclasses.
        overrides: values that replace the file's, by dotted key ("tiling.halo_px"); None values are left out.

    Raises:
        ConfigError: no such file, no YAML, an unknown key, a value of the wrong type or out of range.
    """
    content = read_yaml(path)
    try:
        content = _replace_former(cls, content)
        for key, value in (overrides or {}).items():
            if value is not None:
                first, dot, rest = key.partition(".")
                set_key(content, f"{_current_key(cls, first)}{dot}{rest}", value)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return from_mapping(cls, content, str(path))


class _ConfigLoader(yaml.SafeLoader):
    """YAML's safe loader, but a key that stands twice in a mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of a node."""
        keys = set[Hashable]()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} twice in a mapping", node.start_mark
                )
            keys.add(key if isinstance(key, Hashable) else None)  # the base class refuses others
        return super().construct_mapping(node, deep)


def _check_size(value: Any, sizes: dict[int, float]) -> float:
    """Return how many values a YAML value holds, aliases expanded.

    Args:
        value: the value.
        sizes: sizes of lists and mappings by identity, filled on the way.

    Raises:
        yaml.YAMLError: More than `MAX_VALUES`, or a value that contains itself.
    """
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if id(value) not in sizes or not children:
        sizes[id(value)] = math.inf  # until its end is known
        sizes[id(value)] = 1 + sum(_check_size(child, sizes) for child in children)
    if sizes[id(value)] > MAX_VALUES:
        raise yaml.YAMLError(f"more than {MAX_VALUES} values, aliases expanded")
    return sizes[id(value)]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: no such file, no YAML, no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_ConfigLoader)  # noqa: S506 -- a SafeLoader
        _check_size(content, {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = one_line(error)
        raise ConfigError(
            f"{path}: expected a readable YAML config, got {reason}: check the path and the file"
        ) from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: expected a mapping of keys to values, got {type(content).__name__}: write one `key: value` a line"
        )
    return content


def from_mapping(cls: type[T], content: Mapping[str, Any], source: str) -> T:
    """Build a dataclass from plain values as YAML or JSON holds them.

    Args:
        cls: the dataclass.
        content: its fields; nested dataclasses as mappings.
        source: the file they came from, for messages.

    Raises:
        ConfigError: an unknown or missing key, a value of the wrong type or out of range.
    """
    try:
        # As JSON: there strict means no conversion of types, yet lists become tuples and text becomes paths.
        text = json.dumps([_replace_former(cls, dict(content))], default=os.fspath)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: expected text, numbers, lists and mappings, got another type: {error}") from error
    try:
        return cast(T, _adapter(cast(Hashable, cls)).validate_json(text)[0])
    except ValidationError as error:
        errors = sorted(error.errors(), key=lambda each: each["type"] != "unexpected_keyword_argument")
        raise ConfigError(f"{source}: {_message(cls, errors[0])}") from error


def parse_overrides(words: Sequence[str]) -> dict[str, object]:
    """Parse the overrides of a command line by dotted key: `--crops.side_px=128`, or `--crops.side_px 128`.

    A value is read as JSON, or else is text.

    Raises:
        ConfigError: something else than keys with a value each.
    """
    overrides: dict[str, object] = {}
    rest = iter(words)
    for word in rest:
        key, equals, text = word.removeprefix("--").partition("=")
        value = text if equals else next(rest, None)
        if not word.startswith("--") or not key or value is None:
            raise ConfigError(f"{word}: expected --key=value, with a key of the config: check the command")
        overrides[key] = _json_or_text(value)
    return overrides


def set_key(content: dict[str, Any], key: str, value: object) -> None:
    """Set a value by its dotted key, and make the mappings that are missing on the way.

    Raises:
        ConfigError: something on the way is no mapping.
    """
    *parents, last = key.split(".")
    for depth, name in enumerate(parents, start=1):
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise ConfigError(f"{'.'.join(parents[:depth])}: expected a mapping, for {key} to be set, got {content!r}")
    content[last] = value


def _replace_former(kind: Any, value: Any) -> Any:
    """Replace former spellings of keys and values in plain values of this type; each is reported once on stderr.

    A dataclass lists them: `FORMER_KEYS` maps a former key to its name today, `FORMER_VALUES` a key to the former
    spellings of its values.

    Raises:
        ConfigError: a key comes in both spellings.
    """
    classes = _dataclasses(kind)
    if classes and isinstance(value, list):
        return [_replace_former(kind, item) for item in value]
    if not classes or not isinstance(value, dict):
        return value
    cls = _by_kind(classes).get(str(value.get("kind")), classes[0]) if len(classes) > 1 else classes[0]
    hints, result = get_type_hints(cls), {}
    for name, item in value.items():
        key = _current_key(cls, name)
        if key != name and key in value:
            raise ConfigError(f"expected {key} once, got it as {name} too: remove {name}")
        today = getattr(cls, "FORMER_VALUES", {}).get(key, {}).get(item) if isinstance(item, str) else None
        if today is not None:
            _report_former(f"{key}: {item}", f"{key}: {today}")
        result[key] = _replace_former(hints.get(key), item) if today is None else today
    return result


def _current_key(cls: Any, name: str) -> str:
    today = getattr(cls, "FORMER_KEYS", {}).get(name)
    if today is None:
        return name
    _report_former(name, today)
    return str(today)


@functools.cache
def _report_former(former: str, today: str) -> None:
    print(f"config: {former!r} is now called {today!r}; the former name still works", file=sys.stderr)


def _json_or_text(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if value is None else value  # `load_yaml` leaves None out


@functools.cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    # In a tuple, because a dataclass itself takes no settings from outside.
    return TypeAdapter(tuple[cls], config=ConfigDict(extra="forbid", strict=True))


def _by_kind(classes: Sequence[Any]) -> dict[str, Any]:
    return {get_args(get_type_hints(cls)["kind"])[0]: cls for cls in classes}


def _message(cls: Any, error: ErrorDetails) -> str:
    key, parent = _locate(cls, error["loc"][1:])
    value, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "unexpected_keyword_argument":
            return f"unknown key {key}; known here: {', '.join(field.name for field in dataclasses.fields(parent))}"
        case "missing":
            return f"missing key {key}"
        case "value_error":
            return str(context["error"])
        case "union_tag_invalid":
            return f"{key}.kind: expected {context['expected_tags'].replace(', ', ' or ')}, got {value['kind']!r}"
    return f"{key}: {error['msg'].replace('Input should be', 'expected')}, got {_shortened.repr(value)}"


def _locate(cls: Any, location: Sequence[int | str]) -> tuple[str, Any]:
    """Return the dotted key of an error, and the dataclass to which the key belongs."""
    key, parent, classes = "", cls, [cls]
    for step in location:
        if isinstance(step, int):
            key += f"[{step}]"
        elif len(classes) > 1:  # the kind of a `ByKind`
            classes = [_by_kind(classes)[step]]
        else:
            key += f".{step}" if key else step
            parent = classes[0] if classes else parent
            classes = _dataclasses(get_type_hints(parent).get(step))
    return key, parent


def _dataclasses(kind: Any) -> list[Any]:
    """Return the dataclasses in a field's type: of an optional one, of a tuple, of a union."""
    return [kind] if dataclasses.is_dataclass(kind) else [cls for each in get_args(kind) for cls in _dataclasses(each)]
