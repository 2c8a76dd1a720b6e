import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import MultiPolygon, Point, box

from geo.errors import RasterError
from geo.grid import plan_levels, plan_tiles
from pipeline.ledger import PartFailure
from pipeline.records import PROPERTIES, Airplane
from pipeline.report.scenes import FIELDS, SHARED_FIELDS, THUMBNAILS_MPX, scene_views, thumbnail_px
from tests.pipeline.report.conftest import overview
from tests.pipeline.report.factories import HEIGHT, MODEL, TILING, WIDTH, airplane, entry, failed_entry, ledger

URIS = ["/in/a.tif", "/in/b.tif", "gs://bucket/c.tif"]


@given(st.lists(st.tuples(st.sampled_from(URIS), st.floats(0, 1)), max_size=30))
def test_views_hold_every_field_of_every_airplane(drawn: list[tuple[str, float]]) -> None:
    airplanes = [airplane(uri, number, score) for number, (uri, score) in enumerate(drawn)]
    views = scene_views(airplanes, ledger(*map(entry, URIS)))
    by_id = {}
    for view in views:
        for row in view["rows"]:
            fields = dict(zip(FIELDS, row, strict=True)) | view["shared"]
            by_id[fields["detection_id"]] = {name: fields[name] for name in PROPERTIES}
        scores = [row[FIELDS.index("score")] for row in view["rows"]]
        assert scores == sorted(scores, reverse=True)
    assert by_id == {plane.detection_id: {name: getattr(plane, name) for name in PROPERTIES} for plane in airplanes}


def test_fields_are_the_properties_and_the_position() -> None:
    assert {*FIELDS, *SHARED_FIELDS} == {*PROPERTIES, "longitude", "latitude"}


def test_scenes_without_airplanes_are_shown_but_not_unopened_ones() -> None:
    views = scene_views([], ledger(entry("/in/a.tif"), failed_entry("/in/b.txt", "no raster")))
    assert [view["name"] for view in views] == ["a.tif"]
    assert views[0]["rows"] == []
    assert views[0]["shared"]["model"] == MODEL


def test_ambiguous_names_are_replaced_by_uris() -> None:
    views = scene_views([], ledger(entry("/x/1.tif"), entry("/y/1.tif"), entry("/y/2.tif")))
    assert [view["name"] for view in views] == ["/x/1.tif", "/y/1.tif", "2.tif"]


def test_the_thumbnail_shows_the_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geo.raster.reader.read_thumbnail", lambda uri, max_px, bands: overview(uri, max_px))
    (view,) = scene_views([], ledger(entry("/in/a.tif")))
    kind, text = view["thumbnail"].split(",")
    assert kind == "data:image/webp;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))).astype(int)
    expected = overview("/in/a.tif", thumbnail_px(1)).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < 4
    assert (view["width"], view["height"], view["note"]) == (WIDTH, HEIGHT, "")


def test_a_scene_that_cannot_be_read_keeps_its_airplanes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(uri: str, max_px: int, bands: None) -> None:
        raise RasterError(f"expected a raster, got nothing at {uri}")

    monkeypatch.setattr("geo.raster.reader.read_thumbnail", fail)
    (view,) = scene_views([airplane("/in/a.tif", 1)], ledger(entry("/in/a.tif")))
    assert view["thumbnail"] is None
    assert view["note"] == "No thumbnail: expected a raster, got nothing at /in/a.tif"
    assert len(view["rows"]) == 1


@given(st.integers(0, 100_000))
def test_many_scenes_share_the_thumbnail_budget(scenes: int) -> None:
    max_px = thumbnail_px(scenes)
    assert 128 <= max_px <= 1600
    assert max_px == 128 or scenes * max_px**2 <= THUMBNAILS_MPX * 1e6
    assert max_px >= thumbnail_px(scenes + 1)


def test_the_position_of_an_airplane_on_the_antimeridian_lies_on_it() -> None:
    halves = MultiPolygon([box(179.9999, -17.0, 180.0, -16.9998), box(-180.0, -17.0, -179.9997, -16.9998)])
    split = _with_geometry(airplane("/in/a.tif", 1), halves)
    (view,) = scene_views([split], ledger(entry("/in/a.tif")))
    fields = dict(zip(FIELDS, view["rows"][0], strict=True))
    assert halves.contains(Point(fields["longitude"], fields["latitude"]))


def _with_geometry(plane: Airplane, geometry: MultiPolygon) -> Airplane:
    return Airplane(geometry, *(getattr(plane, name) for name in PROPERTIES))


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    across=st.floats(0.2, 1.0),
    ratio=st.floats(0.7, 1.4),
    data=st.data(),
)
def test_failed_parts_have_the_boxes_of_their_tiles(
    width: int, height: int, across: float, ratio: float, data: st.DataObject
) -> None:
    resolution_m = (across, across * ratio)
    level = data.draw(st.sampled_from(plan_levels(width, height, resolution_m, TILING)))
    tile = data.draw(st.sampled_from(list(plan_tiles(level, TILING))))
    window = tile.window
    failure = PartFailure(round(level.resolution_m, 4), window.col, window.row, window.width, window.height, "broken")
    incomplete = entry(
        "a", status="incomplete", width_px=width, height_px=height, resolution_m=resolution_m, failures=(failure,)
    )
    (view,) = scene_views([], ledger(incomplete))
    (shown,) = view["failures"]
    expected = [
        window.col * level.scale_x,
        window.row * level.scale_y,
        min(window.right * level.scale_x, width),
        min(window.bottom * level.scale_y, height),
    ]
    assert np.allclose(shown["box"], expected)
    assert shown["error"] == "broken"
