import math
from dataclasses import replace

import numpy as np

from model.evaluation.images import compare_image
from model.evaluation.set_metrics import SIZES_PX, compute_metrics
from model.evaluation.tables import format_tables
from tests.model.evaluation.synthetic_images import detections, evaluation_image, random_image, squares


def test_every_set_has_a_row_and_rows_fit_a_terminal() -> None:
    row = compute_metrics([random_image(seed) for seed in range(5)], 0.3)
    long = replace(row, pictures=12345, airplanes=123456, false=12345, false_elsewhere=4567, background_km2=12345.6)
    text = format_tables({"a name that is longer than there is room": long, "the other": row, "together": row})
    parts = [part.splitlines() for part in text.split("\n\n")]
    assert [part[0].split()[0] for part in parts] == ["set", "256", "background", "recall", "recall"]
    for lines in parts:
        assert len(lines) == 4
        assert len({len(line) for line in lines}) == 1
        assert max(map(len, lines)) <= 120
        assert [line.split()[0] for line in lines[2:]] == ["the", "together"]


def test_values_are_below_the_titles_of_their_columns() -> None:
    airplanes = squares(20, 20, 40)
    detected = detections(np.concatenate([airplanes[:2], squares(9) + 75]), np.array([0.9, 0.8, 0.7]))
    metrics = compute_metrics([compare_image(evaluation_image("a", airplanes), detected)], 0.5)
    header, line = format_tables({"some": metrics}).splitlines()[:2]
    row = {
        name: line[: header.index(name) + len(name)].split()[-1]
        for name in ("planes", "AP50", "recall", "false", "ECE")
    }
    assert row == {"planes": "3", "AP50": "0.663", "recall": "0.667", "false": "1", "ECE": "0.333"}


def test_undefined_values_are_dashes_and_empty_tables_are_left_out() -> None:
    none = np.zeros((0, 4))
    image = compare_image(evaluation_image("a", none, known=False), detections(none, np.zeros(0)))
    empty = compute_metrics([image], 0.5)
    assert math.isnan(empty.ap50)
    text = format_tables({"empty": empty})
    main, tiles = text.split("\n\n")
    assert main.splitlines()[1].split() == ["empty", "1", "0", *"-" * 8, "0", "0.00", "-"]
    assert tiles.splitlines()[1].split() == ["empty", "16", "-", "0.000"]


def test_size_bins_are_named_by_their_sizes() -> None:
    text = format_tables({"some": compute_metrics([random_image(2)], 0.5)})
    for word in ("<8 px", "8-12 px", ">=128 px", "<10 m", "45-60 m", ">=60 m"):
        assert word in text
    assert len(SIZES_PX) == 9
