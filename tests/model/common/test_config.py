import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest

from geo.errors import ConfigError
from model.common.config import ByKind, _report_former, from_mapping, load_yaml, parse_overrides, read_yaml


@dataclass(frozen=True, slots=True)
class Wing:
    span_m: float
    engines: int = 2


@dataclass(frozen=True, slots=True)
class Tail:
    height_m: float = 1.0
    range_m: tuple[float, float] = (1.0, 2.0)

    def __post_init__(self) -> None:
        if self.height_m <= 0:
            raise ValueError(f"height_m: expected a positive number, got {self.height_m}")


@dataclass(frozen=True, slots=True)
class Plane:
    name: str
    file: Path
    wing: Wing
    tail: Tail = field(default_factory=Tail)
    spares: tuple[Wing, ...] = ()
    seats: float | None = None
    colours: tuple[str, ...] = ()
    kind: Literal["glider", "jet"] = "glider"
    notes: dict[str, Any] = field(default_factory=dict)
    prizes: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Propeller:
    kind: Literal["propeller"] = "propeller"
    blades: int = 3


@dataclass(frozen=True, slots=True)
class Jet:
    thrust_kn: float
    kind: Literal["jet"] = "jet"


@dataclass(frozen=True, slots=True)
class Engine:
    made_as: Annotated[Propeller | Jet, ByKind()] = field(default_factory=Propeller)


GOOD = """
name: glider
file: some/where
wing: {span_m: 15}
tail: {height_m: 2.5, range_m: [1, 3]}
spares: [{span_m: 14.5, engines: 0}, {span_m: 18}]
seats: 1
colours: [white, red]
kind: jet
notes: {years: [1, 2], owner: null}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "plane.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def error_of(folder: Path, text: str, overrides: dict[str, object] | None = None) -> str:
    """Return the error of a bad file without the file's name; it is one line."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(Plane, path, overrides)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_file_becomes_a_dataclass(tmp_path: Path) -> None:
    plane = load_yaml(Plane, write(tmp_path, GOOD))
    assert plane == Plane(
        "glider",
        Path("some/where"),
        Wing(15.0),
        Tail(2.5, (1.0, 3.0)),
        (Wing(14.5, 0), Wing(18.0)),
        1.0,
        ("white", "red"),
        "jet",
        {"years": [1, 2], "owner": None},
    )
    assert isinstance(plane.wing.span_m, float)
    assert isinstance(plane.tail.range_m[1], float)
    assert isinstance(plane.seats, float)


def test_overrides_replace_values_of_the_file_unless_they_are_none(tmp_path: Path) -> None:
    overrides = {"name": "tug", "wing.engines": 1, "tail.height_m": 4, "seats": None, "colours": ["blue"]}
    plane = load_yaml(Plane, write(tmp_path, GOOD), overrides)
    assert (plane.name, plane.wing, plane.tail.height_m) == ("tug", Wing(15.0, 1), 4.0)
    assert (plane.seats, plane.colours) == (1.0, ("blue",))


def test_an_override_can_add_a_key(tmp_path: Path) -> None:
    plane = load_yaml(Plane, write(tmp_path, "name: kite\nfile: x"), {"wing.span_m": 2.0})
    assert plane.wing == Wing(2.0)


@pytest.mark.parametrize(
    ("line", "key", "known"),
    [
        ("colour: red", "colour", "name, file, wing, tail, spares, seats, colours, kind, notes, prizes"),
        ("wing: {span_m: 1, span: 3}", "wing.span", "span_m, engines"),
        ("tail: {height: 3}", "tail.height", "height_m, range_m"),
        # A key that is known, and stands, elsewhere.
        ("tail: {span_m: 3}", "tail.span_m", "height_m, range_m"),
        ("spares: [{span_m: 1}, {span_m: 1, spam: 3}]", "spares[1].spam", "span_m, engines"),
    ],
)
def test_an_unknown_key_is_named_with_the_known_keys(tmp_path: Path, line: str, key: str, known: str) -> None:
    name = line.split(":")[0]
    kept = [old for old in GOOD.splitlines() if not old.startswith(f"{name}:")]
    assert error_of(tmp_path, "\n".join([*kept, line])) == f"unknown key {key}; known here: {known}"


def test_an_unknown_override_is_named(tmp_path: Path) -> None:
    assert error_of(tmp_path, GOOD, {"wing.flaps": 2}) == "unknown key wing.flaps; known here: span_m, engines"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("name: 3", "name"),
        ("name:", "name"),
        ("wing: 3", "wing"),
        ("wing: {span_m: wide}", "wing.span_m"),
        ("wing: {span_m: true}", "wing.span_m"),
        ("wing: {engines: 1}", "wing.span_m"),
        ("wing: {span_m: 1, engines: 1.5}", "wing.engines"),
        ("wing: {span_m: 1, engines: true}", "wing.engines"),
        ("tail: {height_m: -1}", "height_m"),
        ("tail: {range_m: [1, two]}", "tail.range_m[1]"),
        ("tail: {range_m: [1, 2, 3]}", "tail.range_m"),
        ("tail: {range_m: 1}", "tail.range_m"),
        ("seats: many", "seats"),
        ("colours: white", "colours"),
        ("colours: [1]", "colours[0]"),
        ("colours: 1", "colours"),
        ("file: 3", "file"),
        ("spares: [{span_m: x}]", "spares[0].span_m"),
        ("spares: 3", "spares"),
        ("kind: ship", "kind"),
        ("notes: 3", "notes"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, line: str, expected: str) -> None:
    name = line.split(":")[0]
    kept = [old for old in GOOD.splitlines() if not old.startswith(f"{name}:")]
    assert expected in error_of(tmp_path, "\n".join([*kept, line]))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "wing" in error_of(tmp_path, "name: kite\nfile: x")


@pytest.mark.parametrize("text", ["[1, 2]", "just words", "3", "{", "a: b: c", "name: \x00"])
def test_a_file_without_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "expected" in error_of(tmp_path, text)


@pytest.mark.parametrize("text", [GOOD.replace("{span_m: 15}", "3"), GOOD.replace("{span_m: 15}", "")])
def test_an_override_below_a_value_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "wing" in error_of(tmp_path, text, {"wing.span_m": 2.0})


@pytest.mark.parametrize(
    ("line", "name", "key"),
    [
        ("seats:", "seats.first", "seats"),  # valid as it stands: only the override is wrong
        ("colours: [red]", "colours.first", "colours"),
        ("wing: {span_m: 15}", "wing.span_m.inner", "wing.span_m"),
    ],
)
def test_no_key_is_set_below_a_value_that_is_no_mapping(tmp_path: Path, line: str, name: str, key: str) -> None:
    kept = [old for old in GOOD.splitlines() if not old.startswith(line.split(":")[0])]
    error = error_of(tmp_path, "\n".join([*kept, line]), {name: 2.0})
    assert error.startswith(f"{key}: expected a mapping, for {name} to be set, got ")


def test_plain_values_of_any_type_stay_as_they_are(tmp_path: Path) -> None:
    prizes = (3, 0.5, True, None, "cup", [1, 2], {"place": 1})
    plane = load_yaml(Plane, write(tmp_path, f"{GOOD}prizes: [3, 0.5, true, null, cup, [1, 2], {{place: 1}}]"))
    assert plane.prizes == prizes
    assert [type(each) for each in plane.prizes] == [type(each) for each in prizes]


def test_binary_files_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    for path in (binary, tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            load_yaml(Plane, path)


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    assert read_yaml(write(tmp_path, "# nothing yet")) == {}
    assert load_yaml(Tail, write(tmp_path, "")) == Tail()


def test_a_mapping_becomes_a_dataclass() -> None:
    content: dict[str, Any] = {"span_m": 3.5, "engines": 4}
    assert from_mapping(Wing, content, "here") == Wing(3.5, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Propeller()),
        ("made_as: {blades: 5}", Propeller(blades=5)),
        ("made_as: {kind: propeller}", Propeller()),
        ("made_as: {kind: jet, thrust_kn: 120}", Jet(120.0)),
    ],
)
def test_a_union_is_distinguished_by_kind(tmp_path: Path, text: str, expected: Propeller | Jet) -> None:
    assert load_yaml(Engine, write(tmp_path, text)).made_as == expected


@pytest.mark.parametrize("kind", ["rocket", "[jet]", "null"])
def test_an_unknown_kind_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=r"made_as\.kind: expected 'propeller' or 'jet'"):
        load_yaml(Engine, write(tmp_path, f"made_as: {{kind: {kind}}}"))


def test_a_key_of_another_kind_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key made_as\.thrust_kn; known here: kind, blades"):
        load_yaml(Engine, write(tmp_path, "made_as: {kind: propeller, thrust_kn: 120}"))


@pytest.mark.parametrize(
    ("args", "values"),
    [
        ([], {}),
        (["--wing.span_m=12.5"], {"wing.span_m": 12.5}),
        (["--wing.span_m", "12.5", "--name=a b"], {"wing.span_m": 12.5, "name": "a b"}),
        (["--seats=1e-05"], {"seats": 1e-05}),
        (["--tail.range_m=[1.5, 2]", "--colours", '["red"]'], {"tail.range_m": [1.5, 2], "colours": ["red"]}),
        (["--name=x=y", "--file="], {"name": "x=y", "file": ""}),
        (["--a=true", "--b=-3", "--c=null"], {"a": True, "b": -3, "c": "null"}),
    ],
)
def test_overrides_of_a_command_line(args: list[str], values: dict[str, object]) -> None:
    assert parse_overrides(args) == values


@pytest.mark.parametrize("args", [["name"], ["-n=1"], ["--=1"], ["--name"], ["--a=1", "more"]])
def test_arguments_other_than_overrides_are_rejected(args: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"{args[-1]}: expected --key=value"):
        parse_overrides(args)


@pytest.mark.parametrize("value", ["2024-01-01", "!!binary aGk=", "!!set {a, b}"])
def test_values_outside_json_are_rejected(tmp_path: Path, value: str) -> None:
    assert "expected text, numbers, lists and mappings" in error_of(tmp_path, f"{GOOD}prizes: [{value}]")


# Each list holds the one before it eight times.
_BOMB = "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]" for before, name in itertools.pairwise("abcdefghij")
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("prizes: &a [*a]", "more than 100000 values, aliases expanded"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + _BOMB, "more than 100000 values, aliases expanded"),
        ("prizes: " + "[" * 3000 + "]" * 3000, "recursion"),
        ("wing: {span_m: 1, span_m: 2}", "the key 'span_m' twice"),
    ],
)
def test_yaml_without_end_or_of_two_meanings_is_refused_in_a_short_line(tmp_path: Path, text: str, error: str) -> None:
    line = error_of(tmp_path, f"name: glider\n{text}\n")
    assert error in line
    assert len(line) < 1000


def test_a_long_value_is_shortened_in_the_error(tmp_path: Path) -> None:
    assert len(error_of(tmp_path, f"{GOOD}prizes: [{'[[1, 2, 3], ' * 1000}{']' * 1000}]")) < 1000


def test_aliases_are_read(tmp_path: Path) -> None:
    file = write(tmp_path, "a: &a [1, 2]\nb: *a")
    assert read_yaml(file) == {"a": [1, 2], "b": [1, 2]}


def test_numbers_without_a_limit_are_read(tmp_path: Path) -> None:
    assert load_yaml(Wing, write(tmp_path, "span_m: .inf")) == Wing(float("inf"))


@dataclass(frozen=True, slots=True)
class Airliner:
    fuel: Literal["kerosene", "hydrogen"]
    wing: Wing | None = None

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {"plane": "wing"}
    FORMER_VALUES: ClassVar[Mapping[str, Mapping[str, str]]] = {"fuel": {"oil": "kerosene"}}


@dataclass(frozen=True, slots=True)
class Fleet:
    airliners: tuple[Airliner, ...]


FORMER = [
    "config: 'fuel: oil' is now called 'fuel: kerosene'; the former name still works",
    "config: 'plane' is now called 'wing'; the former name still works",
]


def test_former_keys_and_values_work_and_are_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _report_former.cache_clear()
    file = write(tmp_path, "fuel: oil\nplane: {span_m: 3}")
    for _ in range(2):
        assert load_yaml(Airliner, file, {"plane.engines": 4}) == Airliner("kerosene", Wing(3.0, 4))
    assert capsys.readouterr().err.splitlines() == FORMER


def test_former_names_work_in_nested_dataclasses(capsys: pytest.CaptureFixture[str]) -> None:
    _report_former.cache_clear()
    content = {"airliners": [{"fuel": "hydrogen"}, {"fuel": "oil", "plane": {"span_m": 3}}]}
    fleet = from_mapping(Fleet, content, "here")
    assert fleet == Fleet((Airliner("hydrogen"), Airliner("kerosene", Wing(3.0))))
    assert capsys.readouterr().err.splitlines() == FORMER


def test_a_key_in_both_spellings_is_refused(tmp_path: Path) -> None:
    for text in ("{fuel: oil, wing: null, plane: null}", "{fuel: oil, plane: null, wing: null}"):
        with pytest.raises(ConfigError, match=r"plane.yaml: expected wing once, got it as plane too: remove plane"):
            load_yaml(Airliner, write(tmp_path, text))
