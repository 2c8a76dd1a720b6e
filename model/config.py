"""Config files: YAML into frozen dataclasses, strictly."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import dacite
import yaml

from geo.errors import ConfigError

T = TypeVar("T")


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
    for name, value in (overrides or {}).items():
        if value is not None:
            _set(content, name.split("."), value)
    return parse(cls, content, str(path))


def read(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping; an empty file is an empty one.

    Raises:
        ConfigError: no such file, no YAML, no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: expected a readable YAML config: {reason}") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, got {type(content).__name__}")
    return content


def parse(cls: type[T], content: Mapping[str, Any], name: str) -> T:
    """Makes a dataclass of plain values as YAML or JSON holds them; `name` is the file they came from.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    try:
        return dacite.from_dict(
            cls, content, dacite.Config(strict=True, cast=[tuple, Path], type_hooks={float: _float})
        )
    except dacite.UnexpectedDataError as error:
        keys = ", ".join(sorted(map(str, error.keys)))
        raise ConfigError(f"{name}: unknown key {keys}; known here: {_known(cls, error.keys, content)}") from error
    except (dacite.DaciteError, TypeError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error


def _float(value: object) -> object:
    """YAML's 1 is a float where one is asked for (and its true is not)."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _set(content: dict[str, Any], names: list[str], value: object) -> None:
    for name in names[:-1]:
        content = content.setdefault(name, {})
    content[names[-1]] = value


def _known(cls: Any, unknown: set[str], content: Mapping[str, Any]) -> str:
    """The fields of the (nested) dataclass at which an unknown key stands."""
    fields = dataclasses.fields(cls)
    if unknown & (content.keys() - {field.name for field in fields}):
        return ", ".join(field.name for field in fields)
    for field in fields:
        inner = content.get(field.name)
        if dataclasses.is_dataclass(field.type) and isinstance(inner, Mapping) and unknown & inner.keys():
            return _known(field.type, unknown, inner)
    return ", ".join(field.name for field in fields)
