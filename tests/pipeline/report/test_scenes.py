import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, box

from geo.outline import POINT_FIELDS
from pipeline.ledger import LevelEntry, PartFailure
from pipeline.records import PROPERTIES, Airplane
from pipeline.report.scenes import FIELDS, SHARED_FIELDS, scene_views
from tests.pipeline.report.factories import MODEL, airplane, entry, failed_entry, ledger

# Points are shown as corners of the outline.
SHOWN = set(PROPERTIES) - {"outline", *POINT_FIELDS}
URIS = ["/in/a.tif", "/in/b.tif", "gs://bucket/c.tif"]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(URIS), st.floats(0, 1)), max_size=30))
def test_views_hold_every_field_of_every_airplane(drawn: list[tuple[str, float]]) -> None:
    airplanes = [airplane(uri, number, score) for number, (uri, score) in enumerate(drawn)]
    views = scene_views(airplanes, ledger(*map(entry, URIS)), max_bytes=0)
    by_id = {}
    for view in views:
        for row in view["rows"]:
            fields = dict(zip(FIELDS, row, strict=True)) | view["shared"]
            by_id[fields["detection_id"]] = {name: fields[name] for name in SHOWN}
        scores = [row[FIELDS.index("score")] for row in view["rows"]]
        assert scores == sorted(scores, reverse=True)
    assert by_id == {plane.detection_id: {name: getattr(plane, name) for name in SHOWN} for plane in airplanes}


def test_fields_are_the_properties_and_the_position() -> None:
    assert {*FIELDS, *SHARED_FIELDS} == {*SHOWN, "longitude", "latitude", "corners"}


def test_outlines_have_corners_in_scene_pixels_and_boxes_have_none() -> None:
    # Pixels of 0.5 m by 0.25 m: to the right of the scene, 40 m long, 30 m wide.
    points: dict[str, Any] = dict(zip(POINT_FIELDS, (180.0, 100, 100, 100, 140, 40, 140, 160), strict=True))
    measured = dataclasses.replace(airplane("/in/a.tif", 1), outline="oriented", **points)
    scene = entry("/in/a.tif", resolution_m=(0.5, 0.25))
    (view,) = scene_views([measured, airplane("/in/a.tif", 2, score=0.5)], ledger(scene))
    corners = [row[FIELDS.index("corners")] for row in view["rows"]]
    # The nose lies between the first and the last.
    assert corners[0][0::2] == [180.0, 100.0, 100.0, 180.0]
    assert corners[0][1::2] in ([40.0, 40.0, 160.0, 160.0], [160.0, 160.0, 40.0, 40.0])
    assert corners[1] is None


def test_scenes_without_airplanes_are_shown_but_not_unopened_ones() -> None:
    views = scene_views([], ledger(entry("/in/a.tif"), failed_entry("/in/b.txt", "no raster")))
    assert [view["name"] for view in views] == ["a.tif"]
    assert views[0]["rows"] == []
    assert views[0]["shared"]["model"] == MODEL


def test_ambiguous_names_are_replaced_by_uris() -> None:
    views = scene_views([], ledger(entry("/x/1.tif"), entry("/y/1.tif"), entry("/y/2.tif")))
    assert [view["name"] for view in views] == ["/x/1.tif", "/y/1.tif", "2.tif"]


def test_the_position_of_an_airplane_on_the_antimeridian_lies_on_it() -> None:
    halves = MultiPolygon([box(179.9999, -17.0, 180.0, -16.9998), box(-180.0, -17.0, -179.9997, -16.9998)])
    split = _with_geometry(airplane("/in/a.tif", 1), halves)
    (view,) = scene_views([split], ledger(entry("/in/a.tif")))
    fields = dict(zip(FIELDS, view["rows"][0], strict=True))
    assert halves.contains(Point(fields["longitude"], fields["latitude"]))


def _with_geometry(plane: Airplane, geometry: MultiPolygon) -> Airplane:
    return Airplane(geometry, *(getattr(plane, name) for name in PROPERTIES))


def test_failed_parts_have_the_boxes_of_their_tiles() -> None:
    levels = (LevelEntry(0.5, 1000, 800, 4), LevelEntry(1.25, 400, 320, 1))
    failures = (PartFailure(0.5, 800, 0, 384, 320, "broken"), PartFailure(1.25, 96, 64, 384, 128, "worse"))
    incomplete = entry("a", status="incomplete", width_px=2000, height_px=800, levels=levels, failures=failures)
    (view,) = scene_views([], ledger(incomplete))
    assert view["failures"] == [
        {"box": [1600.0, 0.0, 2000.0, 320.0], "error": "broken"},
        {"box": [480.0, 160.0, 2000.0, 480.0], "error": "worse"},
    ]
