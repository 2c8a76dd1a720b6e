import dataclasses
import json
import pickle

from hypothesis import given
from hypothesis import strategies as st

from geo.outline import POINT_FIELDS
from pipeline import records
from pipeline.records import Airplane
from tests.pipeline.airplanes import airplane, airplanes

# The contract's table, in its order.
CONTRACT = [
    *["geometry", "detection_id", "scene_id", "scene_uri", "acquired_at", "score"],
    *["xmin_px", "ymin_px", "xmax_px", "ymax_px", "size_m"],
    *["length_m", "length_sd_m", "wingspan_m", "wingspan_sd_m", "heading_deg", "heading_sd_deg"],
    *["outline", "nose_x_px", "nose_y_px", "tail_x_px", "tail_y_px"],
    *["left_wingtip_x_px", "left_wingtip_y_px", "right_wingtip_x_px", "right_wingtip_y_px"],
    *["resolution_m", "model"],
]

SIDES = (1.0, 2.0, 3.0, 4.0)


def test_fields_are_those_of_the_contract() -> None:
    assert [field.name for field in dataclasses.fields(Airplane)] == CONTRACT
    assert list(records.SCHEMA) == CONTRACT[1:]
    assert list(records.to_feature(airplane())["properties"]) == CONTRACT[1:]


def test_only_unmeasured_fields_are_optional() -> None:
    optional = {name for name, kind in records.SCHEMA.items() if kind.endswith("| None")}
    measured = {"length_m", "length_sd_m", "wingspan_m", "wingspan_sd_m", "heading_deg", "heading_sd_deg"}
    assert optional == {"acquired_at", *measured, *POINT_FIELDS}


@given(airplanes)
def test_features_round_trip_through_json(drawn: Airplane) -> None:
    text = json.dumps(records.to_feature(drawn), allow_nan=False)
    assert records.from_feature(json.loads(text)) == drawn


@given(airplanes)
def test_airplanes_can_be_pickled(drawn: Airplane) -> None:
    assert pickle.loads(pickle.dumps(drawn)) == drawn  # noqa: S301


def test_a_feature_has_an_id_and_no_crs() -> None:
    feature = records.to_feature(airplane("ab"))
    assert set(feature) == {"type", "id", "geometry", "properties"}
    assert feature["id"] == feature["properties"]["detection_id"] == "ab"


def test_ids_are_stable_across_versions() -> None:
    # A changed id breaks every table that someone has joined on it.
    assert records.detection_id("scene", "model@1", "settings", SIDES) == "fb4d4f85849d1a9d"


@given(st.integers(0, 3), st.sampled_from([-0.01, 0.01, 5.0]))
def test_ids_of_different_boxes_differ(side: int, step: float) -> None:
    moved = list(SIDES)
    moved[side] += step
    assert records.detection_id("s", "m", "t", moved) != records.detection_id("s", "m", "t", SIDES)


def test_ids_of_different_scenes_models_and_settings_differ() -> None:
    names = [("s", "m", "t"), ("x", "m", "t"), ("s", "x", "t"), ("s", "m", "x"), ("sm", "", "t")]
    assert len({records.detection_id(*three, SIDES) for three in names}) == len(names)


@given(st.lists(airplanes, max_size=6), st.randoms())
def test_the_sort_order_is_unique(drawn: list[Airplane], random: st.DataObject) -> None:
    shuffled = list(drawn)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    keys = [records.sort_key(plane) for plane in sorted(drawn, key=records.sort_key)]
    assert [records.sort_key(plane) for plane in sorted(shuffled, key=records.sort_key)] == keys


def test_the_highest_score_comes_first() -> None:
    planes = [airplane(score=0.2), airplane(score=0.8), airplane(scene_uri="A.tif", score=0.1)]
    assert [(plane.scene_uri, plane.score) for plane in sorted(planes, key=records.sort_key)] == [
        ("A.tif", 0.1),
        ("a.tif", 0.8),
        ("a.tif", 0.2),
    ]
