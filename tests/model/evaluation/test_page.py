from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from model.data.sources import read_photos
from model.evaluation.page import render
from model.evaluation.predictions import TOGETHER, Measured, look
from model.inference.predictor import FakePredictor
from tests.model.evaluation.test_predictions import CONFIG
from tests.model.photos import picture, write_set

HOSTILE = "<script>alert(1)</script>&amp;"
VOID = {"meta", "br", "image", "rect", "line", "polyline"}


class Page(HTMLParser):
    """Counts elements, keeps what they point to, and fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.targets: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sets")
    wrong = picture()
    wrong[30:60, 20:45] = 100  # missed
    wrong[70:82, 60:75] = 140  # false
    write_set(folder / "good", {"a": picture()})
    write_set(folder / "bad", {"a": wrong, "<b>&amp;": picture()})
    looked = {
        name: look(read_photos(folder / name, "test"), name, FakePredictor(), CONFIG, 2) for name in ("good", "bad")
    }
    sets = {name: each.compared() for name, each in looked.items()}
    sets[TOGETHER] = [each for some in sets.values() for each in some]
    return render(Measured(HOSTILE, 0.5, sets), "test")


def test_the_page_is_whole_and_fetches_nothing(text: str) -> None:
    page = Page(text)
    assert "script" not in page.counts
    assert "link" not in page.counts
    assert page.targets
    assert all(target.startswith("data:image/webp;base64,") for target in page.targets)
    assert "url(" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;" in text


def test_it_shows_what_went_wrong_in_each_set_once(text: str) -> None:
    page = Page(text)
    assert page.counts["image"] == 2
    assert "30 px, not found" in text
    assert "score 0.55" in text
    assert text.count("No airplane is missed.") == 1
    assert text.count("There are none.") == 1


def test_every_set_has_its_charts_and_its_lines(text: str) -> None:
    for name in ("good", "bad", TOGETHER):
        assert f"<h2>{name}</h2>" in text
        assert text.count(f'<th scope="row">{name}</th>') == 5
    for chart in (
        "Precision against recall",
        "Reliability",
        "Detections by score",
        "Recall by size, px",
        "Recall by size, m",
    ):
        assert text.count(f'aria-label="{chart}"') == 3


def test_a_set_without_airplanes_has_the_charts_that_make_sense(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {"a": picture()})
    (photo,) = read_photos(tmp_path / "set", "test")
    from dataclasses import replace

    looked = look([replace(photo, boxes=np.zeros((0, 4)))], "set", FakePredictor(), CONFIG, 2)
    text = render(Measured("m", 0.5, {"set": looked.compared()}), "test")
    assert "Precision against recall" not in text
    assert text.count("<image ") == 3
