from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from geo.errors import ConfigError
from model.common import config


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
    made_as: Propeller | Jet = field(default_factory=Propeller)


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


def written(folder: Path, text: str) -> Path:
    path = folder / "plane.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str, overrides: dict[str, object] | None = None) -> str:
    """What is said of a bad file, which is one line and names the file."""
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        config.load(Plane, path, overrides)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_file_becomes_a_value(tmp_path: Path) -> None:
    plane = config.load(Plane, written(tmp_path, GOOD))
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


def test_overrides_go_before_the_file_and_none_leaves_it(tmp_path: Path) -> None:
    overrides = {"name": "tug", "wing.engines": 1, "tail.height_m": 4, "seats": None, "colours": ["blue"]}
    plane = config.load(Plane, written(tmp_path, GOOD), overrides)
    assert (plane.name, plane.wing, plane.tail.height_m) == ("tug", Wing(15.0, 1), 4.0)
    assert (plane.seats, plane.colours) == (1.0, ("blue",))


def test_an_override_fills_what_the_file_leaves_out(tmp_path: Path) -> None:
    plane = config.load(Plane, written(tmp_path, "name: kite\nfile: x"), {"wing.span_m": 2.0})
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
def test_an_unknown_key_is_named_with_the_known_ones(tmp_path: Path, line: str, key: str, known: str) -> None:
    name = line.split(":")[0]
    kept = [old for old in GOOD.splitlines() if not old.startswith(f"{name}:")]
    assert refusal(tmp_path, "\n".join([*kept, line])) == f"unknown key {key}; known here: {known}"


def test_an_unknown_override_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOD, {"wing.flaps": 2}) == "unknown key wing.flaps; known here: span_m, engines"


@pytest.mark.parametrize(
    ("line", "named"),
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
def test_a_wrong_value_is_named(tmp_path: Path, line: str, named: str) -> None:
    name = line.split(":")[0]
    kept = [old for old in GOOD.splitlines() if not old.startswith(f"{name}:")]
    assert named in refusal(tmp_path, "\n".join([*kept, line]))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "wing" in refusal(tmp_path, "name: kite\nfile: x")


@pytest.mark.parametrize("text", ["[1, 2]", "just words", "3", "{", "a: b: c", "name: \x00"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "expected" in refusal(tmp_path, text)


@pytest.mark.parametrize("text", [GOOD.replace("{span_m: 15}", "3"), GOOD.replace("{span_m: 15}", "")])
def test_an_override_inside_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "wing" in refusal(tmp_path, text, {"wing.span_m": 2.0})


@pytest.mark.parametrize(
    ("line", "name", "key"),
    [
        ("seats:", "seats.first", "seats"),  # valid as it stands: only the override is wrong
        ("colours: [red]", "colours.first", "colours"),
        ("wing: {span_m: 15}", "wing.span_m.inner", "wing.span_m"),
    ],
)
def test_nothing_is_set_inside_of_what_is_no_mapping(tmp_path: Path, line: str, name: str, key: str) -> None:
    kept = [old for old in GOOD.splitlines() if not old.startswith(line.split(":")[0])]
    said = refusal(tmp_path, "\n".join([*kept, line]), {name: 2.0})
    assert said.startswith(f"{key}: expected a mapping, for {name} to be set, got ")


def test_what_may_be_anything_stays_as_it_is(tmp_path: Path) -> None:
    prizes = (3, 0.5, True, None, "cup", [1, 2], {"place": 1})
    plane = config.load(Plane, written(tmp_path, f"{GOOD}prizes: [3, 0.5, true, null, cup, [1, 2], {{place: 1}}]"))
    assert plane.prizes == prizes
    assert [type(each) for each in plane.prizes] == [type(each) for each in prizes]


def test_no_text_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    for path in (binary, tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            config.load(Plane, path)


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    assert config.read(written(tmp_path, "# nothing yet")) == {}
    assert config.load(Tail, written(tmp_path, "")) == Tail()


def test_what_was_written_comes_back() -> None:
    content: dict[str, Any] = {"span_m": 3.5, "engines": 4}
    assert config.parse(Wing, content, "here") == Wing(3.5, 4)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{}", Propeller()),
        ("made_as: {blades: 5}", Propeller(blades=5)),
        ("made_as: {kind: propeller}", Propeller()),
        ("made_as: {kind: jet, thrust_kn: 120}", Jet(120.0)),
    ],
)
def test_one_of_several_is_named_by_its_kind(tmp_path: Path, text: str, wanted: Propeller | Jet) -> None:
    assert config.load(Engine, written(tmp_path, text)).made_as == wanted


@pytest.mark.parametrize("kind", ["rocket", "[jet]", "null"])
def test_a_kind_that_is_none_of_them_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=r"made_as\.kind: expected 'propeller' or 'jet'"):
        config.load(Engine, written(tmp_path, f"made_as: {{kind: {kind}}}"))


def test_what_the_other_kind_has_is_unknown_to_this_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"made_as\.thrust_kn"):
        config.load(Engine, written(tmp_path, "made_as: {kind: propeller, thrust_kn: 120}"))


@pytest.mark.parametrize(
    ("words", "values"),
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
def test_a_command_line_holds_overrides(words: list[str], values: dict[str, object]) -> None:
    assert config.overrides(words) == values


@pytest.mark.parametrize("words", [["name"], ["-n=1"], ["--=1"], ["--name"], ["--a=1", "more"]])
def test_what_is_no_override_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"{words[-1]}: expected --key=value"):
        config.overrides(words)


@dataclass(frozen=True, slots=True)
class Airliner:
    fuel: Literal["kerosene", "hydrogen"]
    wing: Wing | None = None

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {"plane": "wing"}
    FORMER_VALUES: ClassVar[Mapping[str, Mapping[str, str]]] = {"fuel": {"oil": "kerosene"}}


def test_former_keys_and_values_work_and_are_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config._report_former.cache_clear()
    (tmp_path / "jet.yaml").write_text("fuel: oil\nplane: {span_m: 3}")
    for _ in range(2):
        jet = config.load(Airliner, tmp_path / "jet.yaml", {"plane.engines": 4})
        assert jet == Airliner("kerosene", Wing(3.0, 4))
    assert capsys.readouterr().err.splitlines() == [
        "config: 'fuel: oil' is now called 'fuel: kerosene'; the former name still works",
        "config: 'plane' is now called 'wing'; the former name still works",
    ]


def test_a_key_in_both_spellings_is_refused(tmp_path: Path) -> None:
    for text in ("{fuel: oil, wing: null, plane: null}", "{fuel: oil, plane: null, wing: null}"):
        (tmp_path / "jet.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"jet.yaml: expected wing once, got it as plane too: remove plane"):
            config.load(Airliner, tmp_path / "jet.yaml")
