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
from pipeline.report.scenes import FIELDS, PICTURES_MPX, SHARED_FIELDS, picture_px, scene_views
from tests.pipeline.report.conftest import overview
from tests.pipeline.report.made_up import HEIGHT, MODEL, TILING, WIDTH, airplane, entry, failed, ledger

URIS = ["/in/a.tif", "/in/b.tif", "gs://bucket/c.tif"]


@given(st.lists(st.tuples(st.sampled_from(URIS), st.floats(0, 1)), max_size=30))
def test_every_airplane_is_there_with_every_field(drawn: list[tuple[str, float]]) -> None:
    airplanes = [airplane(uri, number, score) for number, (uri, score) in enumerate(drawn)]
    views = scene_views(airplanes, ledger(*map(entry, URIS)))
    found = {}
    for view in views:
        for row in view["rows"]:
            fields = dict(zip(FIELDS, row, strict=True)) | view["shared"]
            found[fields["detection_id"]] = {name: fields[name] for name in PROPERTIES}
        scores = [row[FIELDS.index("score")] for row in view["rows"]]
        assert scores == sorted(scores, reverse=True)
    assert found == {one.detection_id: {name: getattr(one, name) for name in PROPERTIES} for one in airplanes}


def test_fields_are_those_of_the_contract_and_the_place() -> None:
    assert {*FIELDS, *SHARED_FIELDS} == {*PROPERTIES, "longitude", "latitude"}


def test_scenes_without_airplanes_are_there_and_unopened_ones_are_not() -> None:
    views = scene_views([], ledger(entry("/in/a.tif"), failed("/in/b.txt", "no raster")))
    assert [view["name"] for view in views] == ["a.tif"]
    assert views[0]["rows"] == []
    assert views[0]["shared"]["model"] == MODEL


def test_scenes_of_one_name_are_told_apart() -> None:
    views = scene_views([], ledger(entry("/x/1.tif"), entry("/y/1.tif"), entry("/y/2.tif")))
    assert [view["name"] for view in views] == ["/x/1.tif", "/y/1.tif", "2.tif"]


def test_the_picture_is_the_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geo.raster.reader.read_thumbnail", lambda uri, max_px, bands: overview(uri, max_px))
    (view,) = scene_views([], ledger(entry("/in/a.tif")))
    kind, text = view["picture"].split(",")
    assert kind == "data:image/webp;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))).astype(int)
    wanted = overview("/in/a.tif", picture_px(1)).astype(int)
    assert pixels.shape == wanted.shape
    assert np.abs(pixels - wanted).mean() < 4
    assert (view["width"], view["height"], view["note"]) == (WIDTH, HEIGHT, "")


def test_a_scene_that_is_gone_keeps_its_airplanes(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(uri: str, max_px: int, bands: None) -> None:
        raise RasterError(f"expected a raster, got nothing at {uri}")

    monkeypatch.setattr("geo.raster.reader.read_thumbnail", gone)
    (view,) = scene_views([airplane("/in/a.tif", 1)], ledger(entry("/in/a.tif")))
    assert view["picture"] is None
    assert view["note"] == "No picture: expected a raster, got nothing at /in/a.tif"
    assert len(view["rows"]) == 1


@given(st.integers(0, 100_000))
def test_many_scenes_share_the_pictures_budget(scenes: int) -> None:
    longest = picture_px(scenes)
    assert 128 <= longest <= 1600
    assert longest == 128 or scenes * longest**2 <= PICTURES_MPX * 1e6
    assert longest >= picture_px(scenes + 1)


def test_an_airplane_on_the_antimeridian_has_its_place_on_itself() -> None:
    halves = MultiPolygon([box(179.9999, -17.0, 180.0, -16.9998), box(-180.0, -17.0, -179.9997, -16.9998)])
    split = _replaced(airplane("/in/a.tif", 1), halves)
    (view,) = scene_views([split], ledger(entry("/in/a.tif")))
    fields = dict(zip(FIELDS, view["rows"][0], strict=True))
    assert halves.contains(Point(fields["longitude"], fields["latitude"]))


def _replaced(one: Airplane, geometry: MultiPolygon) -> Airplane:
    return Airplane(geometry, *(getattr(one, name) for name in PROPERTIES))


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    across=st.floats(0.2, 1.0),
    ratio=st.floats(0.7, 1.4),
    data=st.data(),
)
def test_parts_not_looked_at_lie_where_the_plan_says(
    width: int, height: int, across: float, ratio: float, data: st.DataObject
) -> None:
    resolution_m = (across, across * ratio)
    level = data.draw(st.sampled_from(plan_levels(width, height, resolution_m, TILING)))
    tile = data.draw(st.sampled_from(list(plan_tiles(level, TILING))))
    window = tile.window
    missed = PartFailure(round(level.resolution_m, 4), window.col, window.row, window.width, window.height, "broken")
    one = entry(
        "a", status="incomplete", width_px=width, height_px=height, resolution_m=resolution_m, failures=(missed,)
    )
    (view,) = scene_views([], ledger(one))
    (shown,) = view["missed"]
    wanted = [
        window.col * level.scale_x,
        window.row * level.scale_y,
        min(window.right * level.scale_x, width),
        min(window.bottom * level.scale_y, height),
    ]
    assert np.allclose(shown["box"], wanted)
    assert shown["error"] == "broken"
