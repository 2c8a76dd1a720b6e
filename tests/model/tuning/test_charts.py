import itertools
from xml.etree import ElementTree

import pytest

from model.evaluation.plot import HEIGHT, WIDTH
from model.tuning import charts
from model.tuning.config import CategoricalParameter, FloatParameter, IntParameter, Parameter
from model.tuning.rows import Row, State

RATE = FloatParameter("float", "rate", 1e-5, 0.03, "log")
DROPOUT = FloatParameter("float", "dropout", 0.0, 0.5)
LAYERS = IntParameter("int", "layers", 10, 22)
WORD = CategoricalParameter("categorical", "word", ("<a>", [1, 2], None, {"a": 1}))
PARAMETERS: list[Parameter] = [RATE, DROPOUT, LAYERS, WORD]


def row(trial: int, state: State, value: float | None) -> Row:
    share = (trial % 7) / 6
    values = {
        "rate": 1e-5 * 3000**share,
        "dropout": 0.5 * share,
        "layers": 10 + round(12 * share),
        "word": WORD.choices[trial % 4],
    }
    return Row(trial, state, value, values, 3, 1.0, "")


# As the table has them: the best first, of two that are to be minimized.
FOUND = [
    row(5, "complete", 0.21),
    row(2, "complete", 0.25),
    row(0, "complete", 0.4),
    row(3, "stopped", 0.3),
    row(1, "stopped", 900.0),
    row(4, "running", 0.1),
    row(6, "running", None),
    row(7, "failed", None),
]
FEW: list[list[Row]] = [
    [],
    [row(0, "running", None)],
    [row(0, "stopped", 3.0)],
    [row(0, "complete", 0.0)],
    [row(0, "complete", 1e25), row(3, "complete", -1e25)],
]


def drawn(markup: str) -> ElementTree.Element:
    assert "nan" not in markup
    assert "inf" not in markup
    return ElementTree.fromstring(markup)  # noqa: S314  # made by ourselves


def dots(svg: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """Where the dot of each trial is, by the begin of its title."""
    return {
        (dot[0].text or "").split(",")[0]: (float(dot.attrib["cx"]), float(dot.attrib["cy"]))
        for dot in svg.iter("circle")
    }


@pytest.mark.parametrize("found", [FOUND, *FEW])
@pytest.mark.parametrize("maximize", [True, False])
def test_charts_stay_in_their_frame(found: list[Row], maximize: bool) -> None:
    for markup in (
        charts.history(found, maximize),
        *(charts.parameter(found, of) for of in PARAMETERS),
        charts.importance({"a": 0.7, "<b>": 0.3}),
    ):
        svg = drawn(markup)
        for x, y in dots(svg).values():
            assert 0 < x < WIDTH
            assert 0 < y < HEIGHT
        for text in svg.iter("text"):
            assert 0 <= float(text.attrib["x"]) <= WIDTH
            assert 0 <= float(text.attrib["y"]) <= HEIGHT
        for bar in svg.iter("rect"):
            assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= WIDTH
            assert float(bar.attrib["height"]) > 0
        assert "<b>" not in markup
        assert "<a>" not in markup


def test_every_trial_with_a_value_that_has_ended_is_a_dot_and_the_better_ones_are_higher_or_lower() -> None:
    for svg in (drawn(charts.history(FOUND, False)), *(drawn(charts.parameter(FOUND, of)) for of in PARAMETERS)):
        at = dots(svg)
        assert sorted(at) == [f"trial {number}" for number in (0, 1, 2, 3, 5)]
        height = [at[f"trial {number}"][1] for number in (5, 2, 3, 0, 1)]  # by value
        assert height == sorted(height, reverse=True)
        assert len(set(height[:4])) == 4
        colours = {dot.attrib["class"] for dot in svg.iter("circle") if "stopped" in (dot[0].text or "")}
        assert colours == {"bar second"}


@pytest.mark.parametrize("of", [RATE, DROPOUT, LAYERS])
def test_a_dot_is_where_its_parameter_is_on_the_scale(of: Parameter) -> None:
    at = dots(drawn(charts.parameter([row(number, "complete", 1.0 + number) for number in range(7)], of)))
    across = [at[f"trial {number}"][0] for number in range(7)]
    gaps = [after - before for before, after in itertools.pairwise(across)]
    assert gaps == pytest.approx([gaps[0]] * 6, abs=0.2)
    assert gaps[0] > 0


def test_the_line_of_the_history_is_the_best_so_far() -> None:
    for maximize, values in ((False, [0.4, 0.25, 0.21]), (True, [0.4, 0.4, 0.4])):
        svg = drawn(charts.history(FOUND, maximize))
        (line,) = svg.iter("polyline")
        heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
        at = {of.value: dots(svg)[f"trial {of.trial}"][1] for of in FOUND if of.state == "complete"}
        assert heights == [at[value] for value in values]


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (RATE, ["1e-05", "0.0001", "0.001", "0.01"]),
        (FloatParameter("float", "rate", 0.02, 0.08, "log"), ["0.02", "0.08"]),
        (FloatParameter("float", "rate", 1e-9, 1e9, "log"), ["1e-09", "1e-05", "0.1", "1e+03", "1e+07"]),
        (DROPOUT, ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (IntParameter("int", "layers", 10, 20), ["10", "12", "14", "16", "18", "20"]),
        (LAYERS, ["10", "15", "20"]),
        (IntParameter("int", "layers", 1, 3), ["1", "2", "3"]),
    ],
)
def test_ticks_are_round(of: Parameter, words: list[str]) -> None:
    shown = [text.text for text in drawn(charts.parameter([], of)).iter("text")]
    assert [word for word in shown if word in words][-len(words) :] == words


def test_the_bars_of_what_matters_are_as_long_as_their_shares() -> None:
    svg = drawn(charts.importance({"first": 0.6, "second": 0.3, "third": 0.1}))
    widths = [float(bar.attrib["width"]) for bar in svg.iter("rect")]
    assert [width / widths[0] for width in widths] == pytest.approx([1, 0.5, 1 / 6], abs=0.01)
    tops = [float(bar.attrib["y"]) for bar in svg.iter("rect")]
    assert tops == sorted(tops)
