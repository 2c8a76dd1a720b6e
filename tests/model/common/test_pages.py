import base64
import hashlib
import itertools
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from model.common.pages import render_template
from tests.browser import OpenPage

HOSTILE = "</script><img src=x onerror=\"document.title = 'run'\"> & {{ 7 * 7 }} <!--<script>"
TEMPLATE = """{% extends "layout.html" %}
{% block title %}{{ name }}{% endblock %}
{% block body %}<h1>{{ name }}</h1><ul id="list"></ul>{% include "leaflet_licence.html" %}{% endblock %}
"""
SCRIPT = """
Page.byId("list").append(Page.element("li", { title: Page.data.name }, Page.data.name));
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "names.html").write_text(TEMPLATE)
    (tmp_path / "names.js").write_text(SCRIPT)
    return tmp_path / "names.html"


def write(template: Path, **options: object) -> Path:
    path = template.with_name("out.html")
    scripts = [template.with_suffix(".js")]
    path.write_text(render_template(template, name=HOSTILE, scripts=scripts, data={"name": HOSTILE}, **options))  # type: ignore[arg-type]
    return path


def policy(text: str) -> dict[str, str]:
    (content,) = re.findall(r'Content-Security-Policy" content="(.*?)">', text)
    return dict(rule.split(maxsplit=1) for rule in content.replace("&#39;", "'").split("; "))


def test_hostile_values_stay_text_in_markup_and_in_scripts(template: Path, open_page: OpenPage) -> None:
    page = open_page(write(template, leaflet=True))
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("#list li").inner_text() == page.locator("#list li").get_attribute("title") == HOSTILE
    assert page.locator("img").count() == 0
    assert page.evaluate("typeof L.map") == "function"


def test_the_policy_stops_requests_and_foreign_scripts(template: Path, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto(write(template).as_uri())
    assert page.evaluate("fetch('http://127.0.0.1:9/').catch((error) => String(error))") == "TypeError: Failed to fetch"
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = 1' }))")
    assert page.evaluate("window.ran") is None
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
    page.close()


def test_scripts_are_allowed_by_their_hashes(template: Path) -> None:
    text = write(template, leaflet=True).read_text()
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    rules = policy(text)
    assert rules["script-src"] == " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert len(hashes) == 3
    assert (rules["default-src"], rules["img-src"], rules["connect-src"]) == ("'none'", "data:", "'none'")


def test_a_served_page_may_load_from_its_server_only(template: Path) -> None:
    rules = policy(write(template, served=True).read_text())
    assert (rules["default-src"], rules["img-src"], rules["connect-src"]) == ("'none'", "data: 'self'", "'self'")


def test_a_page_without_scripts_runs_none(tmp_path: Path, template: Path) -> None:
    text = render_template(template, name="x")
    assert policy(text)["script-src"] == "'none'"
    assert "<script" not in text


def test_leaflet_refers_to_no_other_file(template: Path) -> None:
    text = write(template, leaflet=True).read_text()
    assert "sourceMappingURL" not in text
    (style,) = re.findall(r"<style>(.*?leaflet.*?)</style>", text, re.S)
    assert "url(" not in style


def test_brightness_rises_with_the_score(template: Path, open_page: OpenPage) -> None:
    page = open_page(write(template))
    colours = page.evaluate("Array.from({ length: 21 }, (_, index) => Page.colour(index / 20))")
    linear = [[(int(part) / 255) ** 2.2 for part in re.findall(r"\d+", colour)] for colour in colours]
    lightness = [116 * (0.2126 * red + 0.7152 * green + 0.0722 * blue) ** (1 / 3) - 16 for red, green, blue in linear]
    assert min(after - before for before, after in itertools.pairwise(lightness)) > 1.5
    assert lightness[-1] - lightness[0] > 50


def test_the_data_is_json(template: Path) -> None:
    (island,) = re.findall(r'id="page-data">(.*?)</script>', write(template).read_text(), re.S)
    assert json.loads(island) == {"name": HOSTILE}
