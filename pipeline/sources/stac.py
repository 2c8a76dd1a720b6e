"""STAC to scenes: Items, ItemCollections, and static Collections and Catalogs, whose links are followed.

Local files and addresses of http:// and https://, in STAC 1.0 and 1.1. Opens no raster.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any

import pystac

from geo.raster.uri import canonical_uri, is_remote, read_text, resolve_href, suffix
from pipeline.errors import InputError
from pipeline.sources.stac_item import scene_source
from pipeline.values import SceneSource

SUFFIXES = (".json", ".geojson")

#: What the file says of itself; the types are those that STAC gives them.
_CONTAINERS: dict[str, type[pystac.Catalog]] = {"Catalog": pystac.Catalog, "Collection": pystac.Collection}
_COLLECTION, _ITEM = "FeatureCollection", "Feature"
#: Links that are followed.
_DOWN = ("child", "item")

#: What pystac raises where a file is not what STAC says; it does not check types itself.
_UNFIT = (pystac.STACError, KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)


def has_suffix(place: str) -> bool:
    """Whether a path or an address is called as STAC files are."""
    return suffix(place) in SUFFIXES


def stac_scenes(place: str, asset: str | None = None) -> list[SceneSource] | None:
    """Returns the scenes that a STAC file leads to, each once, in the order of the file and its links.

    Args:
        place: a local path or an address.
        asset: key of the asset to look at in every item; None: as `stac_item.choose_asset` does.

    Returns:
        A scene an item; None where the file is JSON, but no STAC.

    Raises:
        InputError: a file cannot be read, is no JSON or no STAC of version 1, or an item has no asset to look at.
    """
    document, place = _read(place)
    if not _is_stac(document):
        return None
    return [_scene(item, base, asset) for item, base in _items(document, place)]


def _read(place: str) -> tuple[Any, str]:
    """Returns the JSON, and where it was in the end."""
    text, place = read_text(place)
    try:
        return json.loads(text), place
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{place}: expected JSON, got {error}: the file is damaged; fetch or write it again"
        ) from error


def _is_stac(document: Any) -> bool:
    """Whether JSON says that it is STAC; collections of items may leave that to the items."""
    if not isinstance(document, dict):
        return False
    features = (feature for feature in _features(document) if isinstance(feature, dict))
    return "stac_version" in document or any("stac_version" in feature for feature in features)


def _features(document: dict[str, Any]) -> list[Any]:
    features = document.get("features") if document.get("type") == _COLLECTION else None
    return features if isinstance(features, list) else []


def _items(document: Any, place: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields the items that a document leads to, and where their relative hrefs start; each file is read once."""
    seen = {canonical_uri(place)}
    yield from _own_items(document, place)
    waiting = deque(_links(document, place))
    while waiting:
        parent, href = waiting.popleft()
        if canonical_uri(href) in seen:
            continue
        seen.add(canonical_uri(href))
        with _linked(parent):
            document, place = _read(href)
            yield from _own_items(document, place)
            waiting.extendleft(reversed(_links(document, place)))


@contextlib.contextmanager
def _linked(parent: str) -> Iterator[None]:
    """Names the file with the link in what is said of the file behind it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{parent}, link to {error}") from error


def _own_items(document: Any, place: str) -> Iterator[tuple[dict[str, Any], str]]:
    kind = _kind(document, place)
    if kind == _ITEM:
        yield document, place
    if kind == _COLLECTION:
        for feature in _features(document):
            if _kind(feature, place) != _ITEM:
                raise InputError(f"{place}: expected STAC Items in the collection, got something else: mend it")
            yield feature, _self(feature) or place


def _kind(document: Any, place: str) -> str:
    if not _is_stac(document):
        raise InputError(
            f"{place}: expected STAC, got JSON without a stac_version: name another file, or mend the link"
        )
    kind, version = document.get("type"), document.get("stac_version", "1.0.0")
    if not str(version).startswith("1."):
        raise InputError(
            f"{place}: expected STAC of version 1, got {version}: bring it to 1.0 or 1.1, e.g. with pystac"
        )
    if kind not in (_ITEM, _COLLECTION, *_CONTAINERS):
        known = ", ".join((_ITEM, _COLLECTION, *_CONTAINERS))
        raise InputError(f"{place}: expected a STAC type ({known}), got {kind}: mend it")
    return str(kind)


def _self(item: dict[str, Any]) -> str | None:
    """Where an item of a collection lies by itself: that is where its relative hrefs start."""
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        href = link.get("href") if isinstance(link, dict) and link.get("rel") == "self" else None
        if isinstance(href, str) and is_remote(href):
            return href
    return None


def _links(document: Any, place: str) -> list[tuple[str, str]]:
    """Returns where the catalog lies, and where a child or an item of it does, for each, in its order."""
    container = _CONTAINERS.get(_kind(document, place))
    if container is None:
        return []
    with _fitting(place):
        links = container.from_dict(document).links
        return [(place, resolve_href(link.get_target_str() or "", place)) for link in links if link.rel in _DOWN]


def _scene(item: dict[str, Any], base: str, asset: str | None) -> SceneSource:
    name = f"{base}, item {item.get('id')!r}"
    with _fitting(name):
        if not isinstance(item.get("id"), str):
            raise InputError("expected an id, got none: mend the item")
        return scene_source(pystac.Item.from_dict(item), base, asset)


@contextlib.contextmanager
def _fitting(name: str) -> Iterator[None]:
    """Names the file in what is said of its content."""
    try:
        with warnings.catch_warnings():
            # That an item is deprecated, or that its versions contradict each other in proj:epsg: not on the terminal.
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except _UNFIT as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{name}: expected what STAC says, got something else ({reason}): mend it") from error
