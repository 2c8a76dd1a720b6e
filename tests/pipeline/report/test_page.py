import base64
import hashlib
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.page import COLUMNS, MAX_LISTED_PARTS, ledger_table, render, write_report
from tests.pipeline.report.factories import Page, airplane, entry, failed_entry, ledger, part_failure

HOSTILE = [
    "/in/<script>alert(1)</script>.tif",
    "/in/</script><img src=x onerror=alert(1)>.tif",
    "/in/\"><b onmouseover='alert(1)'>&amp;.tif",
    "/in/<!--<script>.tif",
    "/in/{{ 7 * 7 }}.tif",
]


def sample_page() -> Page:
    airplanes = [airplane("/in/b.tif", number, score=0.5 + number / 100) for number in range(30)]
    text = render(
        airplanes, ledger(entry("/in/a.tif"), entry("/in/b.tif", airplanes=30), failed_entry("/in/c.txt", "no raster"))
    )
    return Page(text)


def test_write_report_creates_the_directory(tmp_path: Path) -> None:
    written = Path(write_report(tmp_path / "new" / "deep", [], ledger(entry("/in/a.tif"))))
    assert written == tmp_path / "new" / "deep" / "report.html"
    assert [path.name for path in written.parent.iterdir()] == ["report.html"]
    assert written.read_text(encoding="utf-8") == render([], ledger(entry("/in/a.tif")))


def test_a_failed_write_keeps_the_previous_report(tmp_path: Path) -> None:
    previous = Path(write_report(tmp_path, [], ledger(entry("/in/a.tif"))))
    text = previous.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"/in/lost\.tif"):
        write_report(tmp_path, [airplane("/in/lost.tif", 0)], ledger(entry("/in/a.tif")))
    assert previous.read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_page_does_not_depend_on_the_order_of_airplanes() -> None:
    airplanes = [airplane("/in/a.tif", number, score=0.5 + number % 3 / 10) for number in range(20)]
    shuffled = random.Random(3).sample(airplanes, len(airplanes))  # noqa: S311
    assert render(airplanes, ledger(entry("/in/a.tif"))) == render(shuffled, ledger(entry("/in/a.tif")))


def test_the_page_contains_every_airplane() -> None:
    data = sample_page().data
    column = data["fields"].index("detection_id")
    assert {row[column] for scene in data["scenes"] for row in scene["rows"]} == {f"{n:016x}" for n in range(30)}


def test_the_page_loads_no_external_resources() -> None:
    page = sample_page()
    for tag, attributes in page.elements:
        assert tag not in {"iframe", "object", "embed", "base", "form"}
        if tag == "link":
            assert (attributes["href"] or "").startswith("data:"), attributes
            continue
        for name in ("src", "href", "srcset", "action", "poster", "data", "background"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    for style in page.text_of("style"):
        assert "url(" not in style
        assert "@import" not in style
    assert not any("sourceMappingURL" in script for script in page.text_of("script"))


def test_the_content_security_policy_allows_only_the_scripts_of_the_page() -> None:
    page = sample_page()
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
    assert rules["script-src"] == " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert len(hashes) == 4


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_escaped(name: str) -> None:
    plain = Page(render([airplane("/in/a.tif", 1)], ledger(entry("/in/a.tif"), failed_entry("/in/b.tif", "no raster"))))
    text = render(
        [airplane(name, 1)],
        ledger(entry(name), failed_entry("/in/b.tif", f"no raster: {name}"), command=f"run --input {name}"),
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
            entry(
                "/in/b.tif", status="incomplete", parts_failed=1, failures=(part_failure(0, 1024, "block 7 is short"),)
            ),
            entry("/in/c.tif"),
            failed_entry("/in/d.tif", "no georeference"),
        ),
    )
    page = Page(text)
    assert [
        text
        for (tag, attributes), text in zip(page.elements, page.texts, strict=True)
        if "badge" in (attributes.get("class") or "")
    ] == ["failed", "incomplete", "complete", "complete"]
    assert text.index("no georeference") < text.index("block 7 is short") < text.index("/in/a.tif</td>")
    assert any("1 scene failed, 1 scene incomplete" in paragraph for paragraph in re.findall(r"<p.*?</p>", text, re.S))


def test_a_run_without_failures_has_no_warning() -> None:
    text = render([], ledger(entry("/in/a.tif")))
    assert "scene failed" not in text
    assert "scene incomplete" not in text
    assert 'class="failed"' not in text


def test_a_duplicate_has_no_warning_and_no_second_view() -> None:
    text = render([], ledger(entry("/in/a.tif"), entry("/in/b.tif", status="duplicate", duplicate_of="/in/a.tif")))
    page = Page(text)
    assert [scene["uri"] for scene in page.data["scenes"]] == ["/in/a.tif"]
    assert "Same content as /in/a.tif, processed once." in page.text_of("div")
    assert 'class="failed"' not in text
    assert "not processed" not in text


def test_an_empty_scene_has_no_warning_and_differs_from_one_without_airplanes() -> None:
    plain = render([], ledger(entry("/in/a.tif")))
    text = render([], ledger(entry("/in/a.tif"), entry("/in/b.tif", status="empty", parts_planned=0, parts_done=0)))
    assert "1 scene empty" not in plain
    assert "1 scene empty" in text
    assert 'class="failed"' not in text
    (first, second) = Page(text).data["scenes"]
    assert "Empty" not in first["note"]
    assert (second["status"], "Empty: nothing of it lies in the area" in second["note"]) == ("empty", True)


def test_the_ledger_is_shown_if_no_scene_could_be_opened() -> None:
    page = Page(render([], ledger(failed_entry("/in/a.tif", "no raster"))))
    assert page.data["scenes"] == []
    assert ("section", {"id": "viewer", "aria-label": "Map and list", "hidden": None}) in page.elements
    assert "no raster" in page.text_of("div")


def test_every_control_has_an_accessible_name() -> None:
    page = sample_page()
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


def test_the_licence_of_leaflet_is_included() -> None:
    (licence,) = [text for text in sample_page().text_of("pre") if "BSD 2-Clause" in text]
    assert "Copyright (c) 2010-2022, Volodymyr Agafonkin" in licence
    assert "this list of conditions and the following disclaimer" in " ".join(licence.split())
    assert 'PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"' in licence


# The ledger as a table.

RANK = {"failed": 0, "incomplete": 1, "empty": 2, "complete": 3, "duplicate": 4}


@given(st.lists(st.sampled_from(sorted(RANK)), max_size=12))
def test_every_scene_has_a_row_and_failures_come_first(statuses: list[str]) -> None:
    table = ledger_table(ledger(*(entry(f"/in/{index}.tif", status=status) for index, status in enumerate(statuses))))
    assert len(table.rows) == len(statuses)
    assert {row.cells[1] for row in table.rows} == {f"/in/{index}.tif" for index in range(len(statuses))}
    ranks = [RANK[row.cells[0]] for row in table.rows]
    assert ranks == sorted(ranks)
    assert all(len(row.cells) == len(COLUMNS) for row in table.rows)


def test_cells_are_the_fields_of_the_entry() -> None:
    scene = entry("/in/a.tif", parts_planned=1200, parts_empty=7, airplanes=3, resolution_m=(0.25, 0.5))
    (row,) = ledger_table(ledger(scene)).rows
    cells = dict(zip((column.title for column in COLUMNS), row.cells, strict=True))
    assert cells == {
        "Status": "complete",
        "Scene": "/in/a.tif",
        "Size, px": "4000 x 3000",
        "CRS": "EPSG:32632",
        "m/px": "0.25 x 0.5",
        "Tiles": "1,200",
        "Processed": "20",
        "Empty": "7",
        "Failed": "0",
        "Screened out": "0",
        "km²": "3.000",
        "km², coarse": "0.000",
        "Airplanes": "3",
        "Seconds": "1.5",
    }
    assert row.ok
    assert row.note == ""


def test_unknown_values_are_a_dash() -> None:
    (row,) = ledger_table(ledger(failed_entry("/in/a.txt", "no raster"))).rows
    assert row.cells[2:5] == ("-", "-", "-")
    assert row.note == "no raster"
    assert not row.ok


def test_a_long_list_of_failed_parts_is_shortened() -> None:
    parts = tuple(part_failure(0, 928 * number, f"block {number}") for number in range(MAX_LISTED_PARTS + 3))
    (row,) = ledger_table(ledger(entry("/in/a.tif", status="incomplete", failures=parts))).rows
    lines = row.note.splitlines()
    assert len(lines) == MAX_LISTED_PARTS + 1
    assert "column 0, row 928 of the 0.5 m level: block 1" in lines[1]
    assert lines[-1].startswith("and 3 more")


def test_a_duplicate_is_ok_and_names_the_other_scene() -> None:
    (row,) = ledger_table(ledger(entry("/in/b.tif", status="duplicate", duplicate_of="/in/a.tif"))).rows
    assert row.ok
    assert row.note == "Same content as /in/a.tif, processed once."


def test_an_empty_scene_is_ok_with_a_reason() -> None:
    outside = entry("/in/b.tif", status="empty", parts_planned=0, parts_done=0)
    nodata = entry("/in/c.tif", status="empty", parts_planned=6, parts_done=0, parts_empty=6)
    rows = ledger_table(ledger(outside, nodata)).rows
    assert [row.ok for row in rows] == [True, True]
    assert [row.note for row in rows] == [
        "Empty: nothing of it lies in the area of interest, so nothing was processed.",
        "Empty: no pixel of it is valid in any of 6 parts, so nothing was processed.",
    ]
