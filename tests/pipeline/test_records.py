import dataclasses
import json
import pickle

from hypothesis import given
from hypothesis import strategies as st

from pipeline import records
from pipeline.records import Airplane
from tests.pipeline.airplanes import airplane, airplanes

# The contract's table, in its order.
CONTRACT = [
    *["geometry", "detection_id", "scene_id", "scene_uri", "acquired_at", "score"],
    *["xmin_px", "ymin_px", "xmax_px", "ymax_px", "size_m"],
    *["length_m", "wingspan_m", "heading_deg", "resolution_m", "model"],
]

SIDES = (1.0, 2.0, 3.0, 4.0)


def test_fields_are_those_of_the_contract() -> None:
    assert [field.name for field in dataclasses.fields(Airplane)] == CONTRACT
    assert list(records.SCHEMA) == CONTRACT[1:]
    assert list(records.to_feature(airplane())["properties"]) == CONTRACT[1:]


def test_nothing_but_what_is_not_measured_may_be_missing() -> None:
    optional = {name for name, kind in records.SCHEMA.items() if kind.endswith("| None")}
    assert optional == {"acquired_at", "length_m", "wingspan_m", "heading_deg"}


@given(airplanes)
def test_a_feature_comes_back_from_json_as_it_was(drawn: Airplane) -> None:
    text = json.dumps(records.to_feature(drawn), allow_nan=False)
    assert records.from_feature(json.loads(text)) == drawn


@given(airplanes)
def test_airplanes_travel_between_workers(drawn: Airplane) -> None:
    assert pickle.loads(pickle.dumps(drawn)) == drawn  # noqa: S301


def test_a_feature_has_no_crs_and_its_id() -> None:
    feature = records.to_feature(airplane("ab"))
    assert set(feature) == {"type", "id", "geometry", "properties"}
    assert feature["id"] == feature["properties"]["detection_id"] == "ab"


def test_an_id_stays_what_it_is() -> None:
    # A changed id breaks every table that someone has joined on it.
    assert records.detection_id("scene", "model@1", "settings", SIDES) == "fb4d4f85849d1a9d"


@given(st.integers(0, 3), st.sampled_from([-0.01, 0.01, 5.0]))
def test_an_id_tells_boxes_apart(side: int, step: float) -> None:
    moved = list(SIDES)
    moved[side] += step
    assert records.detection_id("s", "m", "t", moved) != records.detection_id("s", "m", "t", SIDES)


def test_an_id_tells_scenes_models_and_settings_apart() -> None:
    names = [("s", "m", "t"), ("x", "m", "t"), ("s", "x", "t"), ("s", "m", "x"), ("sm", "", "t")]
    assert len({records.detection_id(*three, SIDES) for three in names}) == len(names)


@given(st.lists(airplanes, max_size=6), st.randoms())
def test_order_does_not_depend_on_the_order_of_arrival(drawn: list[Airplane], random: st.DataObject) -> None:
    shuffled = list(drawn)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    keys = [records.sort_key(one) for one in sorted(drawn, key=records.sort_key)]
    assert [records.sort_key(one) for one in sorted(shuffled, key=records.sort_key)] == keys


def test_the_surest_comes_first() -> None:
    found = [airplane(score=0.2), airplane(score=0.8), airplane(scene_uri="A.tif", score=0.1)]
    assert [(one.scene_uri, one.score) for one in sorted(found, key=records.sort_key)] == [
        ("A.tif", 0.1),
        ("a.tif", 0.8),
        ("a.tif", 0.2),
    ]
