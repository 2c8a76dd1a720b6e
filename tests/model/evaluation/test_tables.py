import math
from dataclasses import replace

import numpy as np

from model.evaluation.figures import SIZES_PX, figures
from model.evaluation.images import compare
from model.evaluation.tables import tables
from tests.model.evaluation.made_up import detections, drawn, squares, subject


def test_there_is_a_line_for_every_set_and_none_is_too_long() -> None:
    of = figures([drawn(seed) for seed in range(5)], 0.3)
    long = replace(of, pictures=12345, airplanes=123456, false=12345, false_elsewhere=4567, background_km2=12345.6)
    text = tables({"a name that is longer than there is room": long, "the other": of, "together": of})
    parts = [part.splitlines() for part in text.split("\n\n")]
    assert [part[0].split()[0] for part in parts] == ["set", "256", "background", "recall", "recall"]
    for lines in parts:
        assert len(lines) == 4
        assert len({len(line) for line in lines}) == 1
        assert max(map(len, lines)) <= 120
        assert [line.split()[0] for line in lines[2:]] == ["the", "together"]


def test_a_figure_stands_below_its_name() -> None:
    truth = squares(20, 20, 40)
    found = detections(np.concatenate([truth[:2], squares(9) + 75]), np.array([0.9, 0.8, 0.7]))
    header, line = tables({"some": figures([compare(subject("a", truth), found)], 0.5)}).splitlines()[:2]
    of = {
        name: line[: header.index(name) + len(name)].split()[-1]
        for name in ("planes", "AP50", "recall", "false", "ECE")
    }
    assert of == {"planes": "3", "AP50": "0.663", "recall": "0.667", "false": "1", "ECE": "0.333"}


def test_what_makes_no_sense_is_left_out() -> None:
    empty = figures(
        [compare(subject("a", np.zeros((0, 4)), known=False), detections(np.zeros((0, 4)), np.zeros(0)))], 0.5
    )
    assert math.isnan(empty.ap50)
    text = tables({"empty": empty})
    of, tiles = text.split("\n\n")
    assert of.splitlines()[1].split() == ["empty", "1", "0", *"-" * 8, "0", "0.00", "-"]
    assert tiles.splitlines()[1].split() == ["empty", "16", "-", "0.000"]


def test_bins_are_named_by_their_sizes() -> None:
    text = tables({"some": figures([drawn(2)], 0.5)})
    for word in ("<8 px", "8-12 px", ">=128 px", "<10 m", "45-60 m", ">=60 m"):
        assert word in text
    assert len(SIZES_PX) == 9
