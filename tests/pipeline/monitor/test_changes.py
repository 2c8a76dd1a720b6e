"""Registration, matching and changes, against worlds whose truth is known."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.outline import rectangle
from model.synthetic.aircraft import CARGO, LIGHT, NARROW, REGIONAL, TYPES, WIDE, keypoints, silhouette
from model.synthetic.geometry import Frame
from pipeline.monitor import matching
from pipeline.monitor.airports import Spot
from pipeline.monitor.tables import ChangeRow
from tests.pipeline.monitor.world import AIRPORT, SETTINGS, Plane, make_airport, rows_of_planes, scene, tables_of

MATCHING = SETTINGS.matching


def changes_of(rows: tuple[ChangeRow, ...], day: str) -> set[tuple[str, float, float]]:
    return {(row.change, round(row.east_m), round(row.north_m)) for row in rows if row.day == day}


@given(st.integers(0, 2**32 - 1), st.floats(-7, 7), st.floats(-7, 7), st.integers(4, 30), st.floats(0.0, 0.6))
@settings(max_examples=60)
def test_the_shift_is_that_of_those_that_stayed(
    seed: int, east: float, north: float, count: int, turnover: float
) -> None:
    random = np.random.default_rng(seed)
    known = random.uniform(-500, 500, (count, 2)) + np.arange(count)[:, None] * 60
    sizes = random.uniform(20, 70, count)
    stays = np.arange(count) >= int(turnover * count)
    arrivals = known[~stays] + random.uniform(-300, 300, ((~stays).sum(), 2))
    xy = np.concatenate([known[stays] + np.array([east, north]) + random.normal(0, 0.5, (stays.sum(), 2)), arrivals])
    order = random.permutation(count)
    shift = matching.estimate_shift(
        known, sizes, xy[order], np.concatenate([sizes[stays], sizes[~stays]])[order], MATCHING
    )
    if stays.sum() >= matching.MIN_VOTES:
        assert shift is not None
        assert shift.vector == pytest.approx([east, north], abs=1.2)
    else:
        assert shift is None or shift.votes >= matching.MIN_VOTES


def test_no_shift_is_claimed_without_evidence() -> None:
    known = np.array([[0.0, 0], [60, 0], [120, 0], [180, 0]])
    sizes = np.full(4, 40.0)
    assert matching.estimate_shift(known, sizes, known[:2] + 3, sizes[:2], MATCHING) is None
    assert matching.estimate_shift(known, sizes, known + np.array([20.0, 0.0]), sizes, MATCHING) is None
    assert matching.estimate_shift(known[:0], sizes[:0], known, sizes, MATCHING) is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=50)
def test_matching_is_the_best_of_all_matchings(seed: int, first: int, second: int) -> None:
    random = np.random.default_rng(seed)
    known, xy = random.uniform(0, 10, (first, 2)), random.uniform(0, 10, (second, 2))
    pairs = matching.match_positions(known, np.full(first, 30.0), xy, np.full(second, 30.0), 4.0, 0.25)
    distance = (
        np.hypot(*(xy[None] - known[:, None]).transpose(2, 0, 1)) if first and second else np.zeros((first, second))
    )
    best = (0, 0.0)
    for count in range(min(first, second) + 1):
        for rows in itertools.combinations(range(first), count):
            for columns in itertools.permutations(range(second), count):
                chosen = distance[list(rows), list(columns)]
                if (chosen <= 4).all():
                    best = max(best, (count, -float(((chosen / 4) ** 2).sum())))
    ours = distance[pairs[:, 0], pairs[:, 1]]
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs) == best[0]
    assert -float(((ours / 4) ** 2).sum()) == pytest.approx(best[1])


def test_what_arrived_left_stayed() -> None:
    planes = rows_of_planes(15)
    tables = tables_of([scene("2026-01-05", planes[:12]), scene("2026-01-06", planes[4:], shift=(6.0, -4.0))])
    first, second = tables.visits
    assert (first.first_seen, first.arrived, first.left) == (12, 0, 0)
    assert (second.arrived, second.left, second.stayed, second.moved, second.first_seen) == (3, 4, 8, 0, 0)
    assert second.shift_east_m == pytest.approx(6, abs=0.1)
    assert second.shift_north_m == pytest.approx(-4, abs=0.1)
    assert (first.shift_east_m, first.shift_north_m) == (None, None)
    expected = {("left", plane.x, plane.y) for plane in planes[:4]} | {("arrived", p.x, p.y) for p in planes[12:]}
    assert changes_of(tables.changes, "2026-01-06") == expected
    assert {row.since for row in tables.changes} == {"2026-01-05T10:00:00Z"}


def test_tracks_go_through_visits() -> None:
    planes = rows_of_planes(6)
    tables = tables_of([scene(f"2026-01-0{day}", planes, shift=(day, -day)) for day in range(1, 6)])
    last = [row for row in tables.airplanes if row.day == "2026-01-05"]
    assert {row.visits for row in last} == {5}
    assert {row.first_seen_at for row in last} == {"2026-01-01T10:00:00Z"}
    assert {row.track_id for row in last} == {row.track_id for row in tables.airplanes if row.day == "2026-01-01"}
    assert {(round(row.east_m), round(row.north_m)) for row in last} == {(p.x + 1, p.y - 1) for p in planes}
    assert {row.apron for row in last if row.east_m > 10} == {"East"}


def test_ground_that_is_not_seen_keeps_its_airplanes() -> None:
    planes = rows_of_planes(15)
    west = shapely.box(-2000, -2000, 0, 2000)
    without = [plane for plane in planes if plane.x < 100]
    days = [scene("2026-01-05", planes), scene("2026-01-06", planes, seen=west), scene("2026-01-07", without)]
    tables = tables_of(days)
    _, partly, third = tables.visits
    # Those on the border of what is seen are neither seen whole nor gone.
    assert (partly.left, partly.arrived, partly.first_seen) == (0, 0, 0)
    assert partly.stayed + partly.out_of_view == 15
    assert not partly.enough_seen
    gone = [row for row in tables.changes if row.change == "left"]
    assert {row.day for row in gone} == {"2026-01-07"}
    assert {row.since for row in gone} == {"2026-01-05T10:00:00Z"}  # when they were last seen, not the visit before
    assert third.left == sum(plane.x >= 100 for plane in planes)


def test_an_airplane_on_new_ground_did_not_arrive() -> None:
    planes = rows_of_planes(15)
    west = shapely.box(-2000, -2000, -30, 2000)
    tables = tables_of([scene("2026-01-05", planes, seen=west), scene("2026-01-06", planes)])
    assert tables.visits[1].arrived == 0
    assert tables.visits[1].first_seen == sum(plane.x > -31 for plane in planes)


def test_an_arrival_dates_from_when_its_ground_was_seen() -> None:
    planes = rows_of_planes(15)
    west = shapely.box(-2000, -2000, -30, 2000)
    new = Plane(300, 100)
    days = [scene("2026-01-05", planes), scene("2026-01-06", planes, seen=west), scene("2026-01-07", [*planes, new])]
    (row,) = tables_of(days).changes
    assert (row.change, row.since) == ("arrived", "2026-01-05T10:00:00Z")


def test_moves_are_told_where_they_are_unambiguous() -> None:
    planes = rows_of_planes(10)
    moved = [dataclasses.replace(planes[0], x=planes[0].x - 35), *planes[1:]]
    tables = tables_of([scene("2026-01-05", planes), scene("2026-01-06", moved)])
    (row,) = tables.changes
    assert (row.change, row.moved_m) == ("moved", 35.0)
    assert row.track_id == row.previous_detection_id
    other = [dataclasses.replace(moved[0], size=moved[0].size * 1.2), *planes[1:]]
    tables = tables_of([scene("2026-01-05", planes), scene("2026-01-06", other)])
    assert {row.change for row in tables.changes} == {"left", "arrived"}


def test_another_airplane_on_the_spot_is_told_by_its_size() -> None:
    planes = rows_of_planes(10)
    other = [dataclasses.replace(planes[0], size=planes[0].size * 1.5), *planes[1:]]
    tables = tables_of([scene("2026-01-05", planes), scene("2026-01-06", other)])
    assert {row.change for row in tables.changes} == {"left", "arrived"}


def test_a_weak_detection_shows_that_an_airplane_stayed() -> None:
    planes = rows_of_planes(10)
    weak = [dataclasses.replace(planes[0], score=0.3), *planes[1:]]
    tables = tables_of([scene("2026-01-05", planes), scene("2026-01-06", weak), scene("2026-01-07", planes)])
    assert tables.changes == ()
    assert [visit.detected for visit in tables.visits] == [10, 9, 10]
    assert [row.counted for row in tables.airplanes if row.score < 0.467] == [False]
    # But not that one arrived.
    tables = tables_of([scene("2026-01-05", planes[1:]), scene("2026-01-06", weak)])
    assert tables.changes == ()


def test_few_airplanes_and_a_shift_are_no_change() -> None:
    planes = rows_of_planes(2)
    tables = tables_of([scene("2026-01-05", planes), scene("2026-01-06", planes, shift=(8, 3))])
    assert tables.visits[1].shift_east_m is None
    assert tables.changes == ()


def test_a_view_from_the_side_has_more_tolerance() -> None:
    planes = rows_of_planes(12)
    leaning = [dataclasses.replace(planes[0], x=planes[0].x + 7.5), *planes[1:]]
    for angle, changed in ((0.0, True), (45.0, False)):
        days = [scene(f"2026-01-0{day}", on, off_nadir_deg=angle) for day, on in ((5, planes), (6, leaning))]
        assert bool(tables_of(days).changes) == changed


@pytest.mark.parametrize("kind", [NARROW, WIDE, REGIONAL, CARGO, LIGHT])
def test_an_airplane_has_not_moved_where_one_visit_measured_it_and_another_did_not(kind: str) -> None:
    shape = next(shape for shape in TYPES if shape.kind == kind)
    planes = [dataclasses.replace(plane, size=shape.length) for plane in rows_of_planes(12)]
    row, boxes = scene("2026-01-05", planes)
    oriented = []
    for number, (plane, airplane) in enumerate(zip(planes, boxes, strict=True)):
        # The box around the silhouette has its middle at the plane; the outline through its points has another one.
        pose = Frame(0.0, 0.0, math.radians(30 * number))
        low, high = np.array_split(
            shapely.total_bounds([shapely.Polygon(pose.points(r)) for r in silhouette(shape)]), 2
        )
        corners = rectangle(pose.points(keypoints(shape))) - (low + high) / 2 + (plane.x, plane.y)
        geometry = AIRPORT.plane.shape_to_lonlat(shapely.Polygon(corners))
        oriented.append(dataclasses.replace(airplane, geometry=geometry, outline="oriented"))
    tables = tables_of([(row, oriented), scene("2026-01-06", planes), scene("2026-01-07", planes)])
    assert tables.changes == ()
    assert {row.visits for row in tables.airplanes if row.day == "2026-01-07"} == {3}


def test_airplanes_at_the_border_are_no_changes() -> None:
    planes = [*rows_of_planes(10), Plane(998.0, 0.0)]
    # Shifted by a few metres, its centre lies outside of the airport.
    second, airplanes = scene("2026-01-06", planes[:-1], shift=(6, 0))
    tables = tables_of([scene("2026-01-05", planes), (second, airplanes), scene("2026-01-07", planes)])
    assert tables.changes == ()


def test_overlapping_scenes_of_a_visit_count_an_airplane_once() -> None:
    planes = rows_of_planes(15)
    west, east = shapely.box(-2000, -2000, 40, 2000), shapely.box(-20, -2000, 2000, 2000)
    both = [scene("2026-01-05T10:00:00Z", planes, seen=west), scene("2026-01-05T10:05:00Z", planes, seen=east)]
    (visit,) = tables_of(both).visits
    assert (visit.scenes, visit.detected, visit.share_seen) == (2, 15, 1.0)


def test_the_scene_published_last_decides() -> None:
    planes = rows_of_planes(15)
    old = scene("2026-01-05T10:00:00Z", planes, published_at="2026-01-06T00:00:00Z")
    new = scene("2026-01-05T10:00:01Z", planes[:9], published_at="2026-02-01T00:00:00Z")
    (visit,) = tables_of([old, new]).visits
    assert visit.detected == 9


def test_stands() -> None:
    airport = make_airport({"A1": (0.0, 0.0), "A2": (35.0, 0.0), "A3": (300.0, 0.0), "A4": (-60.0, 0.0)})
    seen = shapely.box(-2000, -2000, 290, 2000)
    planes = [Plane(2.0, 1.0), Plane(30.0, 1.0), Plane(-60.0, 200.0)]
    tables = tables_of([scene("2026-01-05", planes, seen=seen), scene("2026-01-06", planes[:1])], airport)
    states = {(row.day[-2:], row.stand): row.state for row in tables.stands}
    assert [states["05", name] for name in ("A1", "A2", "A3", "A4")] == ["occupied", "occupied", "not_seen", "empty"]
    assert [states["06", name] for name in ("A1", "A2", "A3", "A4")] == ["occupied", "empty", "empty", "empty"]
    assert AIRPORT.stands == ()


def test_the_order_of_scenes_does_not_matter() -> None:
    planes = rows_of_planes(15)
    days = [scene(f"2026-01-{day:02d}", planes[day % 3 :], shift=(day % 5, 0)) for day in range(1, 13)]
    assert tables_of(days) == tables_of(days[::-1])


def changes_with(newcomer: Plane, score: float, visits: int) -> list[tuple[int, int]]:
    """Arrivals and departures of four visits; a newcomer is there in some of them, from the second on."""
    doubtful = dataclasses.replace(newcomer, score=score)
    days = ("2026-03-01", "2026-03-05", "2026-03-09", "2026-03-13", "2026-03-17")
    there = [[doubtful] if 1 <= number <= visits else [] for number in range(len(days))]
    tables = tables_of([scene(day, [*rows_of_planes(10), *extra]) for day, extra in zip(days, there, strict=True)])
    return [(visit.arrived, visit.left) for visit in tables.visits]


def test_a_doubtful_detection_neither_arrives_nor_leaves() -> None:
    newcomer = Plane(400.0, 300.0, 50.0)
    nothing = [(0, 0)] * 5
    assert changes_with(newcomer, 0.9, 1) == nothing
    assert changes_with(newcomer, 0.9, 2) == nothing
    # Certain, or often enough: also the first visit is told, after the fact.
    assert changes_with(newcomer, 0.96, 1) == [(0, 0), (1, 0), (0, 1), (0, 0), (0, 0)]
    assert changes_with(newcomer, 0.9, 3) == [(0, 0), (1, 0), (0, 0), (0, 0), (0, 1)]


def test_a_doubtful_airplane_is_in_the_table_as_unconfirmed() -> None:
    newcomer = Plane(400.0, 300.0, 50.0, score=0.6)
    tables = tables_of([scene("2026-03-01", rows_of_planes(5)), scene("2026-03-05", [*rows_of_planes(5), newcomer])])
    assert [row.change for row in tables.airplanes if row.score == 0.6] == ["unconfirmed"]
    assert tables.changes == ()
    assert tables.visits[1].detected == 6  # it counts, with its score


def test_detections_in_an_area_to_ignore_are_left_out() -> None:
    planes = [*rows_of_planes(6), Plane(300.0, 300.0)]
    scenes = [scene("2026-01-01", planes), scene("2026-01-02", planes, shift=(5.0, -3.0))]
    ignoring = dataclasses.replace(AIRPORT, ignored=(Spot("cross", shapely.Point(300, 300).buffer(20)),))
    tables = tables_of(scenes, ignoring)
    assert [visit.detected for visit in tables.visits] == [6, 6]
    assert [visit.detected for visit in tables_of(scenes).visits] == [7, 7]
    assert tables.visits[1].share_seen == tables_of(scenes).visits[1].share_seen


def test_one_on_the_next_stand_has_not_moved() -> None:
    others = rows_of_planes(10)
    here, pushed, beside = (Plane(400.0, 300.0 + north, 36.0) for north in (0.0, 30.0, 42.0))
    first = scene("2026-03-01", [*others, here])
    moved = tables_of([first, scene("2026-03-05", [*others, pushed])]).visits[1]
    assert (moved.moved, moved.arrived, moved.left) == (1, 0, 0)
    replaced = tables_of([first, scene("2026-03-05", [*others, beside])]).visits[1]
    assert (replaced.moved, replaced.arrived, replaced.left) == (0, 1, 1)


def test_airplanes_out_of_view_make_no_count_unusually_low() -> None:
    planes = rows_of_planes(30)
    days = [f"2026-03-{day:02d}" for day in range(1, 11)]
    hidden = shapely.union_all([shapely.Point(plane.x, plane.y).buffer(40) for plane in planes[:20]])
    usual = [scene(day, planes) for day in days]
    few = tables_of([*usual, scene("2026-03-11", planes[20:])]).visits[-1]
    covered = tables_of([*usual, scene("2026-03-11", planes[20:], seen=shapely.difference(AIRPORT.area_m, hidden))])
    assert (few.unusual, few.out_of_view) == ("low", 0)
    assert covered.visits[-1].enough_seen
    assert (covered.visits[-1].unusual, covered.visits[-1].out_of_view) == ("no", 20)
