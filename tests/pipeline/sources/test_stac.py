import copy
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.errors import InputError
from pipeline.sources.resolve import has_stac_suffix, resolve_inputs
from pipeline.sources.stac import stac_scenes
from pipeline.values import SceneSource
from tests.pipeline.stac_files import Json, asset, catalog, collection, item, items, served, write

VERSIONS = ["1.0.0", "1.1.0"]


def scenes(uri: object, asset: str | None = None) -> list[SceneSource]:
    sources = stac_scenes(str(uri), asset)
    assert sources is not None
    return sources


def ids(uri: object) -> list[str | None]:
    return [scene.scene_id for scene in scenes(uri)]


def failure_of(uri: str | Path) -> str:
    """The error of the one scene of a file that cannot be used."""
    (error,) = [source.error for source in stac_scenes(str(uri)) or [] if source.error is not None]
    return error


def error_of(uri: object) -> str:
    with pytest.raises(InputError) as caught:
        stac_scenes(str(uri))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_catalog(folder: Path, version: str = "1.1.0") -> Path:
    """A catalog with a child collection, items of both, relative hrefs and a cycle."""
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
    sources = scenes(write(tmp_path / "i.json", item("S", version)))
    assert [(scene.uri, scene.scene_id) for scene in sources] == [(f"{tmp_path}/a.tif", "S")]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_catalog_is_walked_in_link_order_and_each_file_once(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_catalog(tmp_path, version)
    monkeypatch.chdir(tmp_path)
    for uri, base in (("catalog.json", ""), (f"{tmp_path}/catalog.json", f"{tmp_path}/")):
        sources = scenes(uri)
        assert [scene.scene_id for scene in sources] == ["b", "a", "c"]
        assert [scene.uri for scene in sources] == [
            f"{base}deep/b/../b.tif",
            f"{base}deep/a.tif",
            f"{base}deep/../c.tif",
        ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_collection_is_walked_too(tmp_path: Path, version: str) -> None:
    write_catalog(tmp_path, version)
    assert ids(tmp_path / "deep" / "collection.json") == ["c", "b", "a"]


def test_links_may_be_absolute(tmp_path: Path) -> None:
    first = write(tmp_path / "x" / "a b.json", item("a"))
    second = write(tmp_path / "y" / "b.json", item("b"))
    assert ids(write(tmp_path / "c.json", catalog(("item", str(first)), ("item", second.as_uri())))) == ["a", "b"]
    assert ids(write(tmp_path / "d.json", catalog(("item", first.as_uri())))) == ["a"]


def test_a_long_chain_of_catalogs_is_followed(tmp_path: Path) -> None:
    for number in range(1500):
        write(tmp_path / f"{number}.json", catalog(("child", f"./{number + 1}.json")))
    write(tmp_path / "1500.json", item("last"))
    assert ids(tmp_path / "0.json") == ["last"]


@pytest.mark.parametrize("fields", [{}, {"stac_version": "1.0.0"}, {"stac_version": "1.1.0", "links": []}])
def test_an_item_collection_gives_its_items(tmp_path: Path, fields: Json) -> None:
    features = [item("b", "1.0.0"), item("a", "1.1.0", assets={"data": asset("https://example.com/a.tif")})]
    sources = scenes(write(tmp_path / "items.geojson", items(*features, **fields)))
    assert [scene.uri for scene in sources] == [f"{tmp_path}/a.tif", "https://example.com/a.tif"]


def test_hrefs_in_an_item_collection_are_relative_to_the_self_link_of_the_item(tmp_path: Path) -> None:
    remote = item() | {"links": [{"rel": "self", "href": "https://example.com/x/i.json"}]}
    local = item() | {"links": [{"rel": "self", "href": "./x/i.json"}]}
    sources = scenes(write(tmp_path / "items.json", items(remote, local)))
    assert [scene.uri for scene in sources] == ["https://example.com/x/a.tif", f"{tmp_path}/a.tif"]


def test_hrefs_of_a_downloaded_item_are_relative_to_its_file(tmp_path: Path) -> None:
    downloaded = item() | {"links": [{"rel": "self", "href": "https://example.com/x/i.json"}]}
    assert scenes(write(tmp_path / "i.json", downloaded))[0].uri == f"{tmp_path}/a.tif"


def test_the_asset_is_used_of_every_item(tmp_path: Path) -> None:
    assets = {"visual": asset("v.tif"), "pan": asset("p.tif")}
    uri = write(tmp_path / "items.json", items(item("a", assets=assets), item("b", assets=assets)))
    assert [scene.uri for scene in scenes(uri, "pan")] == [f"{tmp_path}/p.tif"] * 2


def test_stac_without_items_gives_no_scenes(tmp_path: Path) -> None:
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
def test_json_without_a_stac_version_is_not_stac(tmp_path: Path, content: object) -> None:
    assert stac_scenes(str(write(tmp_path / "x.json", content))) is None


def test_suffixes_of_stac_files() -> None:
    assert all(
        map(has_stac_suffix, ("i.json", "I.GEOJSON", "https://example.com/i.json?key=a.b#c", "gs://b/i.geojson"))
    )
    assert not any(
        map(has_stac_suffix, ("a.tif", "json", "https://example.com/a.tif?i.json", "x.json/", "a#b.json.tif"))
    )


# Over http.


def test_a_catalog_is_walked_over_http(tmp_path: Path) -> None:
    write_catalog(tmp_path)
    with served(tmp_path) as address:
        assert [scene.uri for scene in scenes(f"{address}/catalog.json")] == [
            f"{address}/{uri}" for uri in ("deep/b.tif", "deep/a.tif", "c.tif")
        ]
        # Relative hrefs start from the URL after redirects.
        (moved,) = scenes(f"{address}/moved/deep/a.json")
        assert moved.uri == f"{address}/deep/a.tif"


def test_a_local_catalog_may_link_to_the_web(tmp_path: Path) -> None:
    write(tmp_path / "web" / "a.json", item("a"))
    with served(tmp_path / "web") as address:
        assert ids(
            write(tmp_path / "c.json", catalog(("item", f"{address}/a.json"), ("item", f"{address}/a.json#x")))
        ) == ["a"]


def test_network_errors_name_the_url(tmp_path: Path) -> None:
    with served(tmp_path) as address:
        line = error_of(f"{address}/gone.json")
        assert line.startswith(f"{address}/gone.json: expected text in UTF-8 that can be read, got 'HTTP Error 404")
        write(tmp_path / "c.json", catalog(("item", "./gone.json")))
        assert failure_of(f"{address}/c.json").startswith(f"{address}/c.json, link to {address}/gone.json: expected")
        (tmp_path / "x.json").write_bytes(b"\xff\xfe")
        assert "x.json: expected text in UTF-8" in error_of(f"{address}/x.json")
        (tmp_path / "y.json").write_text("<html>")
        assert "y.json: expected JSON, got" in error_of(f"{address}/y.json")
    assert "refused" in error_of(f"{address}/catalog.json")


@pytest.mark.parametrize(
    ("uri", "got"),
    [
        ("s3://bucket/i.json", "neither https://, http:// nor gs://"),
        ("ftp://example.com/i.json", "neither https://, http:// nor gs://"),
        ("http:///i.json", "no host given"),
        ("http://[x/i.json", "Invalid IPv6"),
        ("http://127.0.0.1:port/i.json", "nonnumeric port"),
    ],
)
def test_an_invalid_url_is_an_error(uri: str, got: str) -> None:
    line = error_of(uri)
    assert line.startswith(f"{uri}: expected text")
    assert got in line


def test_an_incomplete_response_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}/i.json"

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=answer)
        thread.start()
        assert error_of(uri).startswith(f"{uri}: expected text")
        thread.join()


# Invalid content: errors name the file.


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "expected JSON, got Expecting value"),
        ('{"type": "Feature",', "expected JSON, got"),
        ("[" * 100_000, "expected JSON, got"),
    ],
)
def test_invalid_json_is_an_error(tmp_path: Path, text: str, got: str) -> None:
    uri = tmp_path / "x.json"
    uri.write_text(text)
    assert f"{uri}: {got}" in error_of(uri)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    assert "gone.json: expected text in UTF-8 that can be read, got '[Errno 2]" in error_of(tmp_path / "gone.json")
    uri = write(tmp_path / "c.json", catalog(("child", "./gone.json")))
    assert failure_of(uri).startswith(f"{uri}, link to {tmp_path}/gone.json: expected text")


@pytest.mark.parametrize("version", ["0.9.0", "2.0.0", 1, None, "10"])
def test_another_stac_version_is_an_error(tmp_path: Path, version: object) -> None:
    expected = f"expected STAC of version 1, got {version}: convert it to 1.0 or 1.1"
    for content in (item(), catalog(), collection(), items(item())):
        assert expected in error_of(write(tmp_path / "x.json", content | {"stac_version": version}))
    assert expected in failure_of(write(tmp_path / "x.json", items(item() | {"stac_version": version})))


def test_another_stac_type_is_an_error(tmp_path: Path) -> None:
    for kind in ("Feature Collection", None, 5, ["Feature"]):
        line = error_of(write(tmp_path / "x.json", item() | {"type": kind}))
        assert "x.json: expected a STAC type (Feature, FeatureCollection, Catalog, Collection), got" in line


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (catalog(), "expected a STAC Item in the collection, got something else"),
        ({"type": "Feature"}, "expected STAC, got JSON without a stac_version"),
        (None, "expected STAC, got JSON without a stac_version"),
        ([], "expected STAC, got JSON without a stac_version"),
    ],
)
def test_what_is_no_item_in_a_collection_fails_alone(tmp_path: Path, content: Any, got: str) -> None:
    uri = write(tmp_path / "x.json", items(item("first"), item("last")))
    document = json.loads(uri.read_text())
    document["features"].insert(1, content)
    uri.write_text(json.dumps(document))
    assert failure_of(uri).startswith(f"{uri}#2: {got}")
    assert [source.scene_id for source in stac_scenes(str(uri)) or [] if not source.error] == ["first", "last"]


@pytest.mark.parametrize("href", ["n" * 3000 + ".tif", "a\0b.tif", "\ud800.tif", "https://me:word@host/a.tif"])
def test_an_item_with_an_impossible_href_fails_alone(tmp_path: Path, href: str) -> None:
    (tmp_path / "good.tif").touch()
    uri = write(
        tmp_path / "x.json",
        items(item("bad", assets={"data": asset(href)}), item("good", assets={"data": asset("./good.tif")})),
    )
    bad, good = resolve_inputs([str(uri)])
    assert good.uri == f"{tmp_path}/good.tif"
    assert bad.error is not None or len(href) > 3000
    assert "word" not in bad.uri
    bad.uri.encode()


@pytest.mark.parametrize("link", [None, 5, {"rel": "item"}, {"rel": "child", "href": 5}, {"rel": "item", "href": ""}])
def test_a_link_without_an_href_fails_alone(tmp_path: Path, link: Any) -> None:
    write(tmp_path / "a.json", item("a"))
    document = catalog(("item", "./a.json"))
    document["links"].insert(0, link)
    uri = write(tmp_path / "x.json", document)
    assert failure_of(uri) == f"{uri}, link 1: expected an href, got none: fix the link"
    assert [source.scene_id for source in stac_scenes(str(uri)) or [] if not source.error] == ["a"]


def test_a_link_to_something_else_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "y.json", {"type": "FeatureCollection", "features": []})
    line = failure_of(write(tmp_path / "x.json", catalog(("item", "./y.json"))))
    assert line.startswith(
        f"{tmp_path}/x.json, link to {tmp_path}/y.json: expected STAC, got JSON without a stac_version"
    )


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"id": None}, "expected an id, got none"),
        ({"id": 5}, "expected an id, got none"),
        ({"assets": {}}, "got no assets"),
        ({"assets": {"visual": {}}}, "expected valid STAC, got something else (KeyError: 'href'): fix it"),
        ({"assets": 5}, "expected valid STAC, got something else ("),
        ({"properties": None}, "expected valid STAC, got something else ("),
        ({"properties": {}}, "Invalid Item: If datetime is None, a start_datetime and end_datetime must be supplied."),
        ({"properties": {"datetime": "yesterday"}}, "expected valid STAC, got something else (ValueError: "),
        ({"properties": {"datetime": 5}}, "expected valid STAC, got something else ("),
        ({"properties": {"datetime": "0001-01-01T00:00:00+10:00"}}, "expected valid STAC, got something else ("),
    ],
)
def test_an_invalid_item_is_named(tmp_path: Path, change: Json, got: str) -> None:
    uri = write(tmp_path / "x.json", items(item("good"), item("bad") | change))
    name = {"id": None, **item("bad"), **change}["id"]
    line = failure_of(uri)
    assert line.startswith(f"{uri}, item {name!r}: ")
    assert got in line
    assert [source.scene_id for source in stac_scenes(str(uri)) or [] if source.error is None] == ["good"]
    single = write(tmp_path / "y.json", item("bad") | change)
    assert error_of(single).startswith(f"{single}, item {name!r}: ")


def test_an_invalid_catalog_is_named(tmp_path: Path) -> None:
    uri = write(tmp_path / "x.json", catalog() | {"links": 5})
    assert error_of(uri).startswith(f"{uri}: expected valid STAC, got something else (")
    uri = write(tmp_path / "x.json", {key: value for key, value in collection().items() if key != "links"})
    assert "KeyError: 'links'" in error_of(uri)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
VALID = [
    items(item("a", "1.0.0", assets={"data": asset(**{"eo:bands": [{"common_name": "red"}], "roles": ["data"]})})),
    items(item("a", bands=[{"name": "x"}], **{"proj:code": "EPSG:1", "proj:shape": [1, 2], "proj:transform": [0] * 6})),
    item("a") | {"links": [{"rel": "self", "href": "https://example.com/x/i.json"}]},
    catalog(("item", "./valid.json")),
    collection(("item", "./valid.json"), version="1.0.0"),
]


def paths(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of keys and indexes to every value inside of JSON."""
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [path, *(inner for key in keys for inner in paths(content[key], (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_stac_gives_scenes_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    write(folder / "valid.json", item())
    damaged: Any = [copy.deepcopy(data.draw(st.sampled_from(VALID)))]
    *path, last = data.draw(st.sampled_from(paths(damaged)[1:]))
    inner = damaged
    for key in path:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[last] = data.draw(ANYTHING)
    else:
        del inner[last]
    (folder / "x.json").write_text(json.dumps(damaged[0] if damaged else None))
    for text in texts_of(folder / "x.json"):
        assert isinstance(text, str)


def texts_of(path: Path) -> list[str | None]:
    """The URIs and ids of a file's scenes, or its error in one line, which must name the file."""
    try:
        sources = stac_scenes(str(path)) or []
    except InputError as error:
        line = str(error)
        return [line if line.startswith(str(path)) and "\n" not in line else None]
    return [text for scene in sources for text in (scene.uri, scene.scene_id if scene.error is None else scene.error)]


def test_hrefs_are_uris(tmp_path: Path) -> None:
    """A percent sign may be part of a name as well: the file that exists decides."""
    (tmp_path / "a scene.tif").touch()
    (tmp_path / "50%25.tif").touch()
    for href, name in (("./a%20scene.tif", "a scene.tif"), ("a scene.tif", "a scene.tif"), ("50%25.tif", "50%25.tif")):
        uri = write(tmp_path / "i.json", item(assets={"data": asset(href)}))
        assert [source.uri for source in stac_scenes(str(uri)) or []] == [str(tmp_path / name)]


def test_the_alternate_that_can_be_read_is_used(tmp_path: Path) -> None:
    alternates = {"s3": {"href": "s3://b/a.tif"}, "https": {"href": "https://h/a.tif"}}
    uri = write(tmp_path / "i.json", item(assets={"data": asset("s3://b/a.tif") | {"alternate": alternates}}))
    assert [source.uri for source in stac_scenes(str(uri)) or []] == ["https://h/a.tif"]


def test_a_link_in_another_script_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "malé.json", item("a"))
    write(tmp_path / "catalog.json", catalog(("item", "./malé.json")))
    with served(tmp_path) as address:
        sources = stac_scenes(f"{address}/catalog.json") or []
    assert [(source.scene_id, source.error) for source in sources] == [("a", None)]
