import re
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes

from model.common.charts import FIRST, HEIGHT_PX, INK, SECOND, WIDTH_PX, set_tooltip, svg_chart

NAMESPACE = "{http://www.w3.org/2000/svg}"


def plot(axes: Axes, label: str = "share") -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=label)
    (bar,) = axes.bar(0.25, 0.5, 0.1, color=FIRST)
    set_tooltip(bar, "half & <more>")
    axes.plot([0, 1], [0, 1], color=INK)
    (dot,) = axes.plot([0.5], [0.75], "o", color=SECOND)
    set_tooltip(dot, "dot")


def test_a_chart_is_the_same_on_every_run() -> None:
    assert svg_chart("Share", plot) == svg_chart("Share", plot)


def test_colours_are_those_of_the_page_in_light_and_dark() -> None:
    markup = svg_chart("Share", plot)
    for name in ("first", "second", "ink", "quiet", "line"):
        assert f"var(--{name})" in markup
    assert not re.search(r"#[0-9a-f]{6}\b", markup)
    assert "font-family" not in markup


def test_nothing_leaks_into_the_page_around_the_chart() -> None:
    svg = ElementTree.fromstring(svg_chart("Share", plot))  # noqa: S314  # made by ourselves
    assert svg.attrib["aria-label"] == "Share"
    assert svg.attrib["viewBox"] == f"0 0 {WIDTH_PX} {HEIGHT_PX}"
    assert "width" not in svg.attrib
    for name in ("style", "metadata", "script"):
        assert list(svg.iter(NAMESPACE + name)) == []
    markers = {path.attrib["id"] for path in svg.iter(f"{NAMESPACE}path") if "id" in path.attrib}
    assert {element.attrib["id"] for element in svg.iter() if "id" in element.attrib} == markers
    used = {use.attrib["{http://www.w3.org/1999/xlink}href"] for use in svg.iter(f"{NAMESPACE}use")}
    assert used == {f"#{name}" for name in markers}
    assert "url(" not in svg_chart("Share", plot)


def test_artists_have_tooltips() -> None:
    svg = ElementTree.fromstring(svg_chart("Share", plot))  # noqa: S314
    assert [title.text for title in svg.iter(f"{NAMESPACE}title")] == ["half & <more>", "dot"]


@pytest.mark.parametrize("label", ["<script>", "$x$ & $y_1$", "a_b"])
def test_text_is_not_interpreted(label: str) -> None:
    markup = svg_chart(label, plot, label)
    assert "<script>" not in markup
    svg = ElementTree.fromstring(markup)  # noqa: S314
    assert label in [text.text for text in svg.iter(f"{NAMESPACE}text")]
