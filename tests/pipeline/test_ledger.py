from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ledger
from pipeline.ledger import LevelEntry, PartFailure, RunInfo, SceneEntry

RUN = RunInfo("r1", "python -m pipeline.run", "2026-11-23T06:00:00.000+00:00", "m@1", {"numpy": "2"}, {"batch_size": 2})

counts = st.integers(0, 10**9)
entries = st.builds(
    SceneEntry,
    scene_uri=st.text(),
    scene_id=st.none() | st.text(),
    status=st.sampled_from(["complete", "incomplete", "failed", "empty", "duplicate"]),
    error=st.none() | st.text(),
    duplicate_of=st.none() | st.text(),
    width_px=st.none() | counts,
    height_px=st.none() | counts,
    crs=st.none() | st.text(),
    resolution_m=st.none() | st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)),
    bands=st.none() | st.lists(st.integers(1, 12)).map(tuple),
    stretch=st.none() | st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
    parts_planned=counts,
    parts_done=counts,
    parts_empty=counts,
    parts_failed=counts,
    parts_screened=counts,
    parts_taken_over=counts,
    km2=st.floats(0, 1e6),
    km2_coarse=st.floats(0, 1e6),
    airplanes=counts,
    seconds=st.floats(0, 1e6),
    mpx=st.floats(0, 1e6),
    failures=st.lists(st.builds(PartFailure, st.floats(0.1, 9), counts, counts, counts, counts, st.text())).map(tuple),
    levels=st.lists(st.builds(LevelEntry, st.floats(0.1, 9), counts, counts, counts)).map(tuple),
)


@given(st.lists(entries))
def test_ledger_json_roundtrip(tmp_path_factory: pytest.TempPathFactory, scenes: list[SceneEntry]) -> None:
    written = ledger.make_ledger(RUN, 3.5, scenes)
    file = tmp_path_factory.getbasetemp() / "ledger.json"
    file.write_text(ledger.to_json(written), encoding="utf-8")
    assert ledger.read_ledger(file) == written


@given(st.lists(entries))
def test_totals_are_the_sums_and_nothing_is_dropped(scenes: list[SceneEntry]) -> None:
    totals = ledger.make_ledger(RUN, 3.5, scenes).totals
    by_status = totals.complete, totals.incomplete, totals.failed, totals.empty, totals.duplicate
    assert totals.scenes == len(scenes) == sum(by_status)
    for name in ("planned", "done", "empty", "failed", "screened", "taken_over"):
        assert getattr(totals, f"parts_{name}") == sum(getattr(scene, f"parts_{name}") for scene in scenes)
    assert totals.airplanes == sum(scene.airplanes for scene in scenes)
    for name in ("km2", "km2_coarse", "mpx"):
        assert getattr(totals, name) == pytest.approx(sum(getattr(scene, name) for scene in scenes), abs=1e-6)


@given(st.lists(entries))
def test_complete_means_every_scene(scenes: list[SceneEntry]) -> None:
    written = ledger.make_ledger(RUN, 3.5, scenes)
    assert written.complete == all(scene.status in ("complete", "empty", "duplicate") for scene in scenes)


@given(st.lists(entries, unique_by=lambda entry: entry.scene_uri))
def test_scenes_are_sorted_by_uri(scenes: list[SceneEntry]) -> None:
    assert ledger.make_ledger(RUN, 0, scenes) == ledger.make_ledger(RUN, 0, scenes[::-1])


def test_a_written_ledger_is_read_back(tmp_path: Path) -> None:
    written = ledger.make_ledger(RUN, 1, [])
    (tmp_path / "ledger.json").write_text(ledger.to_json(written), encoding="utf-8")
    assert ledger.read_ledger(tmp_path / "ledger.json") == written
