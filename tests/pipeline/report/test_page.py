import base64
import hashlib
import random
import re
from pathlib import Path

import pytest

from pipeline.report.page import render, write_report
from tests.pipeline.report.made_up import Page, airplane, entry, failed, ledger, part

HOSTILE = [
    "/in/<script>alert(1)</script>.tif",
    "/in/</script><img src=x onerror=alert(1)>.tif",
    "/in/\"><b onmouseover='alert(1)'>&amp;.tif",
    "/in/<!--<script>.tif",
    "/in/{{ 7 * 7 }}.tif",
]


def made() -> Page:
    airplanes = [airplane("/in/b.tif", number, score=0.5 + number / 100) for number in range(30)]
    text = render(
        airplanes, ledger(entry("/in/a.tif"), entry("/in/b.tif", airplanes=30), failed("/in/c.txt", "no raster"))
    )
    return Page(text)


def test_the_report_is_written_into_a_directory_it_makes(tmp_path: Path) -> None:
    written = write_report(tmp_path / "new" / "deep", [], ledger(entry("/in/a.tif")))
    assert written == tmp_path / "new" / "deep" / "report.html"
    assert [path.name for path in written.parent.iterdir()] == ["report.html"]
    assert written.read_text(encoding="utf-8") == render([], ledger(entry("/in/a.tif")))


def test_a_report_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    before = write_report(tmp_path, [], ledger(entry("/in/a.tif")))
    text = before.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"/in/lost\.tif"):
        write_report(tmp_path, [airplane("/in/lost.tif", 0)], ledger(entry("/in/a.tif")))
    assert before.read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_order_of_the_airplanes_does_not_matter() -> None:
    airplanes = [airplane("/in/a.tif", number, score=0.5 + number % 3 / 10) for number in range(20)]
    shuffled = random.Random(3).sample(airplanes, len(airplanes))  # noqa: S311
    assert render(airplanes, ledger(entry("/in/a.tif"))) == render(shuffled, ledger(entry("/in/a.tif")))


def test_the_page_holds_every_airplane() -> None:
    data = made().data
    place = data["fields"].index("detection_id")
    assert {row[place] for scene in data["scenes"] for row in scene["rows"]} == {f"{n:016x}" for n in range(30)}


def test_nothing_on_the_page_is_fetched() -> None:
    page = made()
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "srcset", "action", "poster", "data", "background"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    for style in page.text_of("style"):
        assert "url(" not in style
        assert "@import" not in style
    assert not any("sourceMappingURL" in script for script in page.text_of("script"))


def test_the_policy_forbids_every_request_and_every_script_but_the_pages_own() -> None:
    page = made()
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    scripts = [
        text
        for (tag, attributes), text in zip(page.elements, page.texts, strict=True)
        if tag == "script" and "type" not in attributes
    ]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert rules["script-src"] == " ".join(f"'sha256-{one}'" for one in hashes)
    assert len(hashes) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text(name: str) -> None:
    plain = Page(render([airplane("/in/a.tif", 1)], ledger(entry("/in/a.tif"), failed("/in/b.tif", "no raster"))))
    text = render(
        [airplane(name, 1)],
        ledger(entry(name), failed("/in/b.tif", f"no raster: {name}"), command=f"run --input {name}"),
    )
    page = Page(text)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert page.data["scenes"][0]["uri"] == name
    assert name in page.text_of("td")
    assert f"no raster: {name}" in page.text_of("div")


def test_failures_come_first_with_their_causes() -> None:
    text = render(
        [],
        ledger(
            entry("/in/a.tif"),
            entry("/in/b.tif", status="incomplete", parts_failed=1, failures=(part(0, 1024, "block 7 is short"),)),
            entry("/in/c.tif"),
            failed("/in/d.tif", "no georeference"),
        ),
    )
    page = Page(text)
    assert page.text_of("span", **{"class": "badge"}) == ["failed", "incomplete", "complete", "complete"]
    assert text.index("no georeference") < text.index("block 7 is short") < text.index("/in/a.tif</td>")
    assert any("1 scene failed, 1 scene incomplete" in paragraph for paragraph in re.findall(r"<p.*?</p>", text, re.S))


def test_a_run_without_a_failure_gives_no_warning() -> None:
    text = render([], ledger(entry("/in/a.tif")))
    assert "scene failed" not in text
    assert "scene incomplete" not in text
    assert 'class="failed"' not in text


def test_a_duplicate_gives_no_warning_and_no_second_picture() -> None:
    text = render([], ledger(entry("/in/a.tif"), entry("/in/b.tif", status="duplicate", duplicate_of="/in/a.tif")))
    page = Page(text)
    assert [scene["uri"] for scene in page.data["scenes"]] == ["/in/a.tif"]
    assert "The same as /in/a.tif, looked at once." in page.text_of("div")
    assert 'class="failed"' not in text
    assert "not looked at" not in text


def test_an_empty_scene_gives_no_warning_and_is_not_taken_for_one_without_airplanes() -> None:
    plain = render([], ledger(entry("/in/a.tif")))
    text = render([], ledger(entry("/in/a.tif"), entry("/in/b.tif", status="empty", parts_planned=0, parts_done=0)))
    assert "1 scene empty" not in plain
    assert "1 scene empty" in text
    assert 'class="failed"' not in text
    (first, second) = Page(text).data["scenes"]
    assert "Empty" not in first["note"]
    assert (second["status"], "Empty: nothing of it lies in the area" in second["note"]) == ("empty", True)


def test_a_run_of_which_no_scene_opened_still_has_its_ledger() -> None:
    page = Page(render([], ledger(failed("/in/a.tif", "no raster"))))
    assert page.data["scenes"] == []
    assert ("section", {"id": "viewer", "aria-label": "Scene", "hidden": None}) in page.elements
    assert "no raster" in page.text_of("div")


def test_every_control_has_a_name() -> None:
    page = made()
    labels = {attributes.get("for") for tag, attributes in page.elements if tag == "label"}
    named = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for (tag, attributes), text in zip(page.elements, page.texts, strict=True):
        if tag in {"select", "input"}:
            assert attributes["id"] in labels
        if tag == "button":
            assert text.strip()
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in named
    assert page.elements[0] == ("html", {"lang": "en"})


def test_leaflets_licence_is_carried() -> None:
    (licence,) = [text for text in made().text_of("pre") if "BSD 2-Clause" in text]
    assert "Copyright (c) 2010-2022, Volodymyr Agafonkin" in licence
    assert "this list of conditions and the following disclaimer" in " ".join(licence.split())
    assert 'PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"' in licence
