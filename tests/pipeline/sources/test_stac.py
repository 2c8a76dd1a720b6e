import copy
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.sources import stac
from pipeline.sources.stac import stac_scenes
from tests.pipeline.stac_files import Json, asset, catalog, collection, item, items, served, write

VERSIONS = ["1.0.0", "1.1.0"]


def ids(place: object) -> list[str | None]:
    found = stac_scenes(str(place))
    assert found is not None
    return [scene.scene_id for scene in found]


def refusal(place: object, told: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        stac_scenes(str(place), told)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written_catalog(folder: Path, version: str = "1.1.0") -> Path:
    """A catalog, a collection below it, and items of both, with relative hrefs and one circle."""
    top = catalog(
        ("child", "./deep/collection.json"), ("item", "./c.json"), ("self", "./catalog.json"), version=version
    )
    below = [("root", "../catalog.json"), ("parent", "../catalog.json"), ("child", "../catalog.json")]
    deep = collection(*below, ("item", "b/b.json"), ("item", "./a.json"), ("item", "../c.json"), version=version)
    write(folder / "deep" / "collection.json", deep)
    write(folder / "deep" / "b" / "b.json", item("b", version, assets={"visual": asset("../b.tif")}))
    write(folder / "deep" / "a.json", item("a", version, assets={"visual": asset("./a.tif")}))
    write(folder / "c.json", item("c", version, assets={"visual": asset("c.tif")}))
    return write(folder / "catalog.json", top)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_item_is_one_scene(tmp_path: Path, version: str) -> None:
    found = stac_scenes(str(write(tmp_path / "i.json", item("S", version))))
    assert found is not None
    assert [(scene.uri, scene.scene_id) for scene in found] == [(f"{tmp_path}/a.tif", "S")]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_catalog_is_walked_in_the_order_of_its_links_each_file_once(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_catalog(tmp_path, version)
    monkeypatch.chdir(tmp_path)
    for place, where in (("catalog.json", ""), (f"{tmp_path}/catalog.json", f"{tmp_path}/")):
        found = stac_scenes(place)
        assert found is not None
        assert [scene.scene_id for scene in found] == ["b", "a", "c"]
        assert [scene.uri for scene in found] == [
            f"{where}deep/b/../b.tif",
            f"{where}deep/a.tif",
            f"{where}deep/../c.tif",
        ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_collection_is_walked_too(tmp_path: Path, version: str) -> None:
    written_catalog(tmp_path, version)
    assert ids(tmp_path / "deep" / "collection.json") == ["c", "b", "a"]


def test_hrefs_may_be_absolute(tmp_path: Path) -> None:
    first = write(tmp_path / "x" / "a b.json", item("a"))
    second = write(tmp_path / "y" / "b.json", item("b"))
    assert ids(write(tmp_path / "c.json", catalog(("item", str(first)), ("item", second.as_uri())))) == ["a", "b"]
    assert ids(write(tmp_path / "d.json", catalog(("item", first.as_uri())))) == ["a"]


def test_a_long_chain_of_catalogs_is_no_trouble(tmp_path: Path) -> None:
    for number in range(1500):
        write(tmp_path / f"{number}.json", catalog(("child", f"./{number + 1}.json")))
    write(tmp_path / "1500.json", item("last"))
    assert ids(tmp_path / "0.json") == ["last"]


@pytest.mark.parametrize("fields", [{}, {"stac_version": "1.0.0"}, {"stac_version": "1.1.0", "links": []}])
def test_a_collection_of_items_is_its_items(tmp_path: Path, fields: Json) -> None:
    features = [item("b", "1.0.0"), item("a", "1.1.0", assets={"data": asset("https://example.com/a.tif")})]
    found = stac_scenes(str(write(tmp_path / "items.geojson", items(*features, **fields))))
    assert found is not None
    assert [scene.uri for scene in found] == [f"{tmp_path}/a.tif", "https://example.com/a.tif"]


def test_hrefs_of_an_item_in_a_collection_start_at_the_item_if_it_says_where_it_is(tmp_path: Path) -> None:
    at = item() | {"links": [{"rel": "self", "href": "https://example.com/x/i.json"}]}
    near = item() | {"links": [{"rel": "self", "href": "./x/i.json"}]}
    found = stac_scenes(str(write(tmp_path / "items.json", items(at, near))))
    assert found is not None
    assert [scene.uri for scene in found] == ["https://example.com/x/a.tif", f"{tmp_path}/a.tif"]


def test_the_copy_of_an_item_means_the_raster_beside_it(tmp_path: Path) -> None:
    copied = item() | {"links": [{"rel": "self", "href": "https://example.com/x/i.json"}]}
    found = stac_scenes(str(write(tmp_path / "i.json", copied)))
    assert found is not None
    assert found[0].uri == f"{tmp_path}/a.tif"


def test_the_settings_choose_the_asset_of_every_item(tmp_path: Path) -> None:
    assets = {"visual": asset("v.tif"), "pan": asset("p.tif")}
    place = write(tmp_path / "items.json", items(item("a", assets=assets), item("b", assets=assets)))
    found = stac_scenes(str(place), "pan")
    assert found is not None
    assert [scene.uri for scene in found] == [f"{tmp_path}/p.tif"] * 2


def test_nothing_is_found_where_there_are_no_items(tmp_path: Path) -> None:
    assert stac_scenes(str(write(tmp_path / "c.json", catalog()))) == []
    assert stac_scenes(str(write(tmp_path / "i.json", items(stac_version="1.0.0")))) == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        5,
        None,
        "Feature",
        {"type": "FeatureCollection", "features": []},
        {"type": "FeatureCollection", "features": 5},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": None, "properties": {}}, 5]},
        {"type": "Feature", "geometry": None, "properties": {"stac_version": "1.0.0"}},
        {"version": "2.0", "assets": {}},
    ],
)
def test_json_that_does_not_say_so_is_no_stac(tmp_path: Path, content: object) -> None:
    assert stac_scenes(str(write(tmp_path / "x.json", content))) is None


def test_names_of_stac_files() -> None:
    assert all(
        map(stac.has_suffix, ("i.json", "I.GEOJSON", "https://example.com/i.json?key=a.b#c", "gs://b/i.geojson"))
    )
    assert not any(
        map(stac.has_suffix, ("a.tif", "json", "https://example.com/a.tif?i.json", "x.json/", "a#b.json.tif"))
    )


# Over http.


def test_a_catalog_is_walked_over_http(tmp_path: Path) -> None:
    written_catalog(tmp_path)
    with served(tmp_path) as address:
        found = stac_scenes(f"{address}/catalog.json")
        assert found is not None
        assert [scene.uri for scene in found] == [f"{address}/{uri}" for uri in ("deep/b.tif", "deep/a.tif", "c.tif")]
        # Relative hrefs start where the file was in the end.
        (moved,) = stac_scenes(f"{address}/moved/deep/a.json") or []
        assert moved.uri == f"{address}/deep/a.tif"


def test_a_local_catalog_may_lead_to_the_web(tmp_path: Path) -> None:
    write(tmp_path / "web" / "a.json", item("a"))
    with served(tmp_path / "web") as address:
        assert ids(
            write(tmp_path / "c.json", catalog(("item", f"{address}/a.json"), ("item", f"{address}/a.json#x")))
        ) == ["a"]


def test_what_the_network_does_not_give_is_told(tmp_path: Path) -> None:
    with served(tmp_path) as address:
        line = refusal(f"{address}/gone.json")
        assert line.startswith(
            f"{address}/gone.json: expected JSON text in UTF-8 that can be read, got 'HTTP Error 404"
        )
        write(tmp_path / "c.json", catalog(("item", "./gone.json")))
        assert refusal(f"{address}/c.json").startswith(f"{address}/c.json, link to {address}/gone.json: expected JSON")
        (tmp_path / "x.json").write_bytes(b"\xff\xfe")
        assert "x.json: expected JSON text in UTF-8" in refusal(f"{address}/x.json")
        (tmp_path / "y.json").write_text("<html>")
        assert "y.json: expected JSON, got" in refusal(f"{address}/y.json")
    assert "refused" in refusal(f"{address}/catalog.json")


@pytest.mark.parametrize(
    ("place", "got"),
    [
        ("gs://bucket/i.json", "neither https:// nor http://"),
        ("ftp://example.com/i.json", "neither https:// nor http://"),
        ("http:///i.json", "no host given"),
        ("http://[x/i.json", "Invalid IPv6"),
        ("http://127.0.0.1:port/i.json", "nonnumeric port"),
        ("http://127.0.0.1/a b.json", "can't contain control characters"),
    ],
)
def test_an_address_that_is_none_is_refused(place: str, got: str) -> None:
    line = refusal(place)
    assert line.startswith(f"{place}: expected JSON text")
    assert got in line


def test_a_server_that_breaks_off_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"http://127.0.0.1:{server.getsockname()[1]}/i.json"

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=answer)
        thread.start()
        assert refusal(place).startswith(f"{place}: expected JSON text")
        thread.join()


# What does not fit: named, with the file.


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "expected JSON, got Expecting value"),
        ('{"type": "Feature",', "expected JSON, got"),
        ("[" * 100_000, "expected JSON, got"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, text: str, got: str) -> None:
    place = tmp_path / "x.json"
    place.write_text(text)
    assert f"{place}: {got}" in refusal(place)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "gone.json: expected JSON text in UTF-8 that can be read, got '[Errno 2]" in refusal(tmp_path / "gone.json")
    place = write(tmp_path / "c.json", catalog(("child", "./gone.json")))
    assert refusal(place).startswith(f"{place}, link to {tmp_path}/gone.json: expected JSON text")


@pytest.mark.parametrize("version", ["0.9.0", "2.0.0", 1, None, "10"])
def test_another_version_is_refused(tmp_path: Path, version: object) -> None:
    wanted = f"expected STAC of version 1, got {version}: bring it to 1.0 or 1.1"
    for content in (item(), catalog(), collection(), items(item())):
        assert wanted in refusal(write(tmp_path / "x.json", content | {"stac_version": version}))
    assert wanted in refusal(write(tmp_path / "x.json", items(item() | {"stac_version": version})))


def test_another_type_is_refused(tmp_path: Path) -> None:
    for kind in ("Feature Collection", None, 5, ["Feature"]):
        line = refusal(write(tmp_path / "x.json", item() | {"type": kind}))
        assert "x.json: expected a STAC type (Feature, FeatureCollection, Catalog, Collection), got" in line
    line = refusal(write(tmp_path / "x.json", items(item(), catalog())))
    assert "x.json: expected STAC Items in the collection, got something else: mend it" in line
    line = refusal(write(tmp_path / "x.json", items(item(), {"type": "Feature"})))
    assert "x.json: expected STAC, got JSON without a stac_version" in line


def test_a_link_to_something_else_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "y.json", {"type": "FeatureCollection", "features": []})
    line = refusal(write(tmp_path / "x.json", catalog(("item", "./y.json"))))
    assert line.startswith(
        f"{tmp_path}/x.json, link to {tmp_path}/y.json: expected STAC, got JSON without a stac_version"
    )


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"id": None}, "expected an id, got none"),
        ({"id": 5}, "expected an id, got none"),
        ({"assets": {}}, "got no assets"),
        ({"assets": {"visual": {}}}, "expected what STAC says, got something else (KeyError: 'href'): mend it"),
        ({"assets": 5}, "expected what STAC says, got something else ("),
        ({"properties": None}, "expected what STAC says, got something else ("),
        ({"properties": {}}, "Invalid Item: If datetime is None, a start_datetime and end_datetime must be supplied."),
        ({"properties": {"datetime": "yesterday"}}, "expected what STAC says, got something else (ValueError: "),
        ({"properties": {"datetime": 5}}, "expected what STAC says, got something else ("),
        ({"properties": {"datetime": "0001-01-01T00:00:00+10:00"}}, "expected what STAC says, got something else ("),
    ],
)
def test_an_item_that_is_not_what_stac_says_is_named(tmp_path: Path, change: Json, got: str) -> None:
    place = write(tmp_path / "x.json", items(item("good"), item("bad") | change))
    name = {"id": None, **item("bad"), **change}["id"]
    line = refusal(place)
    assert line.startswith(f"{place}, item {name!r}: ")
    assert got in line


def test_a_catalog_that_is_not_what_stac_says_is_named(tmp_path: Path) -> None:
    for change in ({"links": 5}, {"links": [{"rel": "item"}]}, {"links": [{"rel": "item", "href": 5}]}):
        place = write(tmp_path / "x.json", catalog() | change)
        assert refusal(place).startswith(f"{place}: expected what STAC says, got something else (")
    place = write(tmp_path / "x.json", {key: value for key, value in collection().items() if key != "links"})
    assert "KeyError: 'links'" in refusal(place)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WHOLE = [
    items(item("a", "1.0.0", assets={"data": asset(**{"eo:bands": [{"common_name": "red"}], "roles": ["data"]})})),
    items(item("a", bands=[{"name": "x"}], **{"proj:code": "EPSG:1", "proj:shape": [1, 2], "proj:transform": [0] * 6})),
    item("a") | {"links": [{"rel": "self", "href": "https://example.com/x/i.json"}]},
    catalog(("item", "./whole.json")),
    collection(("item", "./whole.json"), version="1.0.0"),
]


def places(content: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything inside of some JSON."""
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [way, *(place for key in keys for place in places(content[key], (*way, key)))]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_of_any_kind_is_a_clear_error_or_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    write(folder / "whole.json", item())
    damaged: Any = [copy.deepcopy(data.draw(st.sampled_from(WHOLE)))]
    *way, last = data.draw(st.sampled_from(places(damaged)[1:]))
    inner = damaged
    for key in way:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[last] = data.draw(ANYTHING)
    else:
        del inner[last]
    (folder / "x.json").write_text(json.dumps(damaged[0] if damaged else None))
    for text in told(folder / "x.json"):
        assert isinstance(text, str)


def told(place: Path) -> list[str | None]:
    """What is told of the scenes that a file leads to, or the error in its place, which must name the file."""
    try:
        found = stac_scenes(str(place)) or []
    except InputError as error:
        line = str(error)
        return [line if line.startswith(str(place)) and "\n" not in line else None]
    return [text for scene in found for text in (scene.uri, scene.scene_id)]
