import json
import math

import pytest

from model.ablation import summary
from model.ablation.results import Gain
from tests.model.ablation.ladders import standing

LADDER = [
    standing("01-a", 0.5, 0.25),
    standing("02-b", 0.75, seeds=2, against="01-a"),
    standing("03-c", seeds=1, against="02-b"),
]


def test_a_row_has_means_and_spreads_and_what_is_missing_is_said() -> None:
    head, *lines = summary.rows(LADDER)
    first, second, third = (dict(zip(head, line, strict=True)) for line in lines)
    assert first == {
        "rung": "01-a",
        "idea": "an idea",
        "IOU (spread)": "0.188 (0.125)",
        "mistakes a tile": "2.00",
        "AP50 (spread)": "0.375 (0.250)",
        "AP50 on airbus": "0.500",
        "best F1": "0.250",
        "false a km2 on airbus": "1.50",
        "weights": "1,234,567",
        "GFLOP a Mpx": "3.2",
        "training": "10 min",
        "seeds": "2",
    }
    assert (second["AP50 (spread)"], second["seeds"]) == ("0.750", "1 of 2")
    assert (third["AP50 (spread)"], third["training"], third["seeds"]) == ("-", "-", "not measured yet")
    assert third["weights"] == "1,234,567"


def test_ideas_are_held_against_the_rung_that_they_name() -> None:
    assert summary.gain_rows(LADDER) == [
        ["rung", "against", "gain in AP50", "gain in IOU"],
        ["02-b", "01-a", "+0.375 (spread 0.250)", "+0.188 (spread 0.125)"],
        ["03-c", "02-b", "not measured yet", "not measured yet"],
    ]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (Gain(0.25, 0.125), "+0.250 (spread 0.125)"),
        (Gain(-0.25, 0.125), "-0.250 (spread 0.125)"),
        (Gain(0.125, 0.25), "none: +0.125 (spread 0.250)"),
        (Gain(0.125, math.nan), "+0.125 (one seed)"),
        (Gain(math.nan, 0.125), "not measured yet"),
    ],
)
def test_a_gain_in_words(of: Gain, said: str) -> None:
    assert summary.gain_words(of) == said


@pytest.mark.parametrize(("seconds", "said"), [(600.0, "10 min"), (5399.0, "90 min"), (21600.0, "6.0 h")])
def test_long_times_are_hours(seconds: float, said: str) -> None:
    of = standing("01-a", 0.5)
    of = type(of)(of.rung, of.cost, (type(of.measured[0])(1, 0.5, 2.0, 0.5, 0.5, 0.5, 1.0, seconds),))
    head, line = summary.rows([of])
    assert line[head.index("training")] == said


def test_markdown_has_a_cell_for_every_column() -> None:
    lines = summary.markdown([["a", "b"], ["1|2", "3"]]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1\\|2 | 3 |"]


def test_json_knows_no_nan() -> None:
    text = json.dumps(summary.plain(LADDER), allow_nan=False)
    assert [rung["name"] for rung in json.loads(text)["rungs"]] == ["01-a", "02-b", "03-c"]
