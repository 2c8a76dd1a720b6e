from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.tables import COLUMNS, PARTS_NAMED, ledger_table
from tests.pipeline.report.made_up import entry, failed, ledger, part

RANK = {"failed": 0, "incomplete": 1, "empty": 2, "complete": 3, "duplicate": 4}


@given(st.lists(st.sampled_from(sorted(RANK)), max_size=12))
def test_every_scene_has_a_row_and_the_worst_come_first(statuses: list[str]) -> None:
    table = ledger_table(ledger(*(entry(f"/in/{index}.tif", status=status) for index, status in enumerate(statuses))))
    assert len(table.rows) == len(statuses)
    assert {row.cells[1] for row in table.rows} == {f"/in/{index}.tif" for index in range(len(statuses))}
    ranks = [RANK[row.cells[0]] for row in table.rows]
    assert ranks == sorted(ranks)
    assert all(len(row.cells) == len(COLUMNS) for row in table.rows)


def test_cells_say_what_the_entry_says() -> None:
    one = entry("/in/a.tif", parts_planned=1200, parts_empty=7, airplanes=3, resolution_m=(0.25, 0.5))
    (row,) = ledger_table(ledger(one)).rows
    cells = dict(zip((column.title for column in COLUMNS), row.cells, strict=True))
    assert cells == {
        "Status": "complete",
        "Scene": "/in/a.tif",
        "Size, px": "4000 x 3000",
        "CRS": "EPSG:32632",
        "m/px": "0.25 x 0.5",
        "Tiles": "1,200",
        "Looked at": "20",
        "Empty": "7",
        "Failed": "0",
        "Screened out": "0",
        "km²": "3.000",
        "km², coarse": "0.000",
        "Airplanes": "3",
        "Seconds": "1.5",
    }
    assert row.good
    assert row.note == ""


def test_what_is_not_known_is_a_dash() -> None:
    (row,) = ledger_table(ledger(failed("/in/a.txt", "no raster"))).rows
    assert row.cells[2:5] == ("-", "-", "-")
    assert row.note == "no raster"
    assert not row.good


def test_many_failed_parts_are_counted_not_listed() -> None:
    parts = tuple(part(0, 928 * number, f"block {number}") for number in range(PARTS_NAMED + 3))
    (row,) = ledger_table(ledger(entry("/in/a.tif", status="incomplete", failures=parts))).rows
    lines = row.note.splitlines()
    assert len(lines) == PARTS_NAMED + 1
    assert "column 0, row 928 of the 0.5 m level: block 1" in lines[1]
    assert lines[-1].startswith("and 3 more")


def test_a_duplicate_is_no_failure_and_names_the_other() -> None:
    (row,) = ledger_table(ledger(entry("/in/b.tif", status="duplicate", duplicate_of="/in/a.tif"))).rows
    assert row.good
    assert row.note == "The same as /in/a.tif, looked at once."


def test_an_empty_scene_is_no_failure_and_says_why() -> None:
    beside = entry("/in/b.tif", status="empty", parts_planned=0, parts_done=0)
    black = entry("/in/c.tif", status="empty", parts_planned=6, parts_done=0, parts_empty=6)
    rows = ledger_table(ledger(beside, black)).rows
    assert [row.good for row in rows] == [True, True]
    assert [row.note for row in rows] == [
        "Empty: nothing of it lies in the area of interest, so nothing was processed.",
        "Empty: no pixel of it is valid in any of 6 parts, so nothing was processed.",
    ]
