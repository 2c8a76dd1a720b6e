"""STAC to scenes: Items, ItemCollections, and static Collections and Catalogs (STAC 1.0 and 1.1).

Reads local files and URLs of http://, https:// and gs://; opens no raster.

Of `raster:bands` and `bands`, nodata is used where the raster has none. A scale and an offset that all bands share are
not needed: the display stretch is computed from the pixels, so neither changes it. Others are refused.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import warnings
from collections import ChainMap, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pystac
from pystac.utils import datetime_to_str, str_to_datetime

from geo.errors import InputError
from geo.raster.uri import canonical_uri, is_remote, read_text, resolve_href, suffix
from pipeline.values import SceneSource

#: Keys and roles of the asset to use, where the settings name none.
PREFERRED_ASSETS = ("visual", "data")
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".ntf", ".nitf")
RASTER_TYPES = (
    "image/tiff",
    "image/geotiff",
    "image/vnd.stac.geotiff",
    "image/jp2",
    "image/nitf",
    "application/nitf",
    "application/vnd.nitf",
)

_CONTAINERS: dict[str, type[pystac.Catalog]] = {"Catalog": pystac.Catalog, "Collection": pystac.Collection}
_TYPES = ("Feature", "FeatureCollection", *_CONTAINERS)
_RGB = ("red", "green", "blue")
_GREY = ("pan", "gray", "grey")

#: What pystac raises on invalid STAC; it does not check types itself.
_INVALID = (
    pystac.STACError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)


def stac_scenes(uri: str, asset: str | None = None) -> list[SceneSource] | None:
    """Return the scenes that a STAC file leads to, each Item once, in the order of the file and its links.

    An Item among others without an asset that can be used, and a link that cannot be followed, become scenes with an
    `error`: they fail in the ledger, and the others are processed.

    Args:
        uri: local path or URL.
        asset: key of the asset to use of every Item; None: see `choose_asset`.

    Returns:
        One scene per Item; None if the file is JSON but not STAC.

    Raises:
        InputError: the file cannot be read, is not JSON or not STAC 1, or it is an Item without a usable asset.
    """
    items = stac_items(uri)
    if items is None:
        return None
    if len(items) == 1 and not isinstance(items[0], SceneSource):
        return [item_scene(*items[0], asset)]
    return [entry if isinstance(entry, SceneSource) else _scene_or_error(*entry, asset) for entry in items]


def stac_scenes_in_folder(uri: str, asset: str | None = None) -> list[SceneSource]:
    """Return the scenes of a JSON file that was not named itself, but lies in a folder or matches a glob.

    JSON that is not STAC and files that are not JSON in UTF-8 are skipped, e.g. labels. What is STAC, or says so, and
    is damaged becomes a scene with an `error`.
    """
    try:
        return stac_scenes(uri, asset) or []
    except InputError as error:
        is_json = not isinstance(error.__cause__, ValueError | RecursionError)
        if not is_json and not is_remote(uri) and b'"stac_version"' not in Path(uri).read_bytes():
            return []
        return [SceneSource(uri, error=str(error))]


def stac_items(uri: str) -> list[tuple[pystac.Item, str] | SceneSource] | None:
    """Return the Items that a STAC file leads to, each once, in the order of the file and its links.

    Args:
        uri: local path or URL.

    Returns:
        Each Item with the base of its relative hrefs, or a scene with an `error` for a link that cannot be followed or
        an invalid Item among others; None if the file is JSON but not STAC.

    Raises:
        InputError: the file cannot be read, is not JSON or not STAC 1, or it is an invalid Item.
    """
    document, uri = _read_json(uri)
    if not _is_stac(document):
        return None
    if _type(document, uri) == "Feature":
        return [(_item(document, uri), uri)]
    return [entry if isinstance(entry, SceneSource) else _item_or_error(*entry) for entry in _walk(document, uri)]


def item_scene(item: pystac.Item, base: str, asset: str | None) -> SceneSource:
    """Return the scene that an Item describes, as `item_source`, with errors that name the Item.

    Raises:
        InputError: as `item_source`.
    """
    with _named_errors(f"{base}, item {item.id!r}"):
        return item_source(item, base, asset)


# The walk. pystac's own recurses, does not stop at a cycle, and its errors do not name the file with the broken link.


def _walk(document: Any, uri: str) -> Iterator[tuple[dict[str, Any], str] | SceneSource]:
    """Yield each Item that a document leads to, and the base of its relative hrefs; depth first, each file once.

    A link that cannot be followed is yielded as a scene with an `error`.
    """
    visited = {canonical_uri(uri)}
    yield from _items(document, uri)
    queue = deque(_child_links(document, uri))
    while queue:
        link = queue.popleft()
        if isinstance(link, SceneSource):
            yield link
            continue
        parent, href = link
        if canonical_uri(href) in visited:
            continue
        visited.add(canonical_uri(href))
        try:
            document, uri = _read_json(href)
            yield from _items(document, uri)
            queue.extendleft(reversed(_child_links(document, uri)))
        except InputError as error:
            yield SceneSource(href, error=f"{parent}, link to {error}")


def _read_json(uri: str) -> tuple[Any, str]:
    """Return the content of a JSON file, and its URI after redirects."""
    text, uri = read_text(uri)
    try:
        return json.loads(text), uri
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{uri}: expected JSON, got {error}: the file is damaged; download or write it again"
        ) from error


def _is_stac(document: Any) -> bool:
    """Return whether JSON declares a STAC version; in an ItemCollection the Items may declare it."""
    if not isinstance(document, dict):
        return False
    features = (feature for feature in _features(document) if isinstance(feature, dict))
    return "stac_version" in document or any("stac_version" in feature for feature in features)


def _features(document: dict[str, Any]) -> list[Any]:
    features = document.get("features") if document.get("type") == "FeatureCollection" else None
    return features if isinstance(features, list) else []


def _items(document: Any, uri: str) -> Iterator[tuple[dict[str, Any], str] | SceneSource]:
    """Yield the Items inside of one document, and the base of their relative hrefs; what is no Item as an error."""
    if _type(document, uri) == "Feature":
        yield document, uri
    for number, feature in enumerate(_features(document), start=1):
        name = f"{uri}#{number}"
        try:
            if _type(feature, name) != "Feature":
                raise InputError(f"{name}: expected a STAC Item in the collection, got something else: fix it")
            yield feature, _self_url(feature) or uri
        except InputError as error:
            yield SceneSource(name, error=str(error))


def _type(document: Any, uri: str) -> str:
    """Return the STAC type of a document of STAC 1."""
    if not _is_stac(document):
        raise InputError(f"{uri}: expected STAC, got JSON without a stac_version: name another file, or fix the link")
    kind, version = document.get("type"), document.get("stac_version", "1.0.0")
    if not str(version).startswith("1."):
        raise InputError(
            f"{uri}: expected STAC of version 1, got {version}: convert it to 1.0 or 1.1, e.g. with pystac"
        )
    if kind not in _TYPES:
        raise InputError(f"{uri}: expected a STAC type ({', '.join(_TYPES)}), got {kind}: fix the file")
    return str(kind)


def _self_url(item: dict[str, Any]) -> str | None:
    """Return the URL of the self link of an Item: the base of its relative hrefs, if it is in a collection."""
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        href = link.get("href") if isinstance(link, dict) and link.get("rel") == "self" else None
        if isinstance(href, str) and is_remote(href):
            return href
    return None


def _child_links(document: Any, uri: str) -> list[tuple[str, str] | SceneSource]:
    """Return (URI of the catalog, URI of the child or Item) for each such link of a catalog, in its order.

    A link without an href is returned as a scene with an `error`.
    """
    container = _CONTAINERS.get(_type(document, uri))
    if container is None:
        return []
    links = document.get("links")
    with _named_errors(uri):
        # Of a list, each link is checked by itself below: pystac would refuse all for one.
        container.from_dict({**document, "links": []} if isinstance(links, list) else document)
    children: list[tuple[str, str] | SceneSource] = []
    for number, link in enumerate(links or [], start=1):
        if isinstance(link, dict) and link.get("rel") not in ("child", "item"):
            continue
        href = link.get("href") if isinstance(link, dict) else None
        if isinstance(href, str) and href:
            children.append((uri, resolve_href(href, uri)))
        else:
            name = f"{uri}, link {number}"
            children.append(SceneSource(name, error=f"{name}: expected an href, got none: fix the link"))
    return children


def _scene_or_error(item: pystac.Item, base: str, asset: str | None) -> SceneSource:
    """Return the scene of an Item among others; with an `error` if it has none."""
    try:
        return item_scene(item, base, asset)
    except InputError as error:
        return SceneSource(_self_url(item.to_dict(include_self_link=False)) or f"{base}#{item.id}", error=str(error))


def _item_or_error(content: dict[str, Any], base: str) -> tuple[pystac.Item, str] | SceneSource:
    try:
        return _item(content, base), base
    except InputError as error:
        return SceneSource(_self_url(content) or f"{base}#{content.get('id')}", error=str(error))


def _item(content: dict[str, Any], base: str) -> pystac.Item:
    with _named_errors(f"{base}, item {content.get('id')!r}"):
        if not isinstance(content.get("id"), str):
            raise InputError("expected an id, got none: fix the item")
        return pystac.Item.from_dict(content)


@contextlib.contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn errors about the content of a file into an InputError that names it."""
    try:
        with warnings.catch_warnings():
            # pystac warns of deprecated Items, and of versions that disagree on proj:epsg.
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except _INVALID as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{name}: expected valid STAC, got something else ({reason}): fix it") from error


# One Item: its asset, and the fields that describe the raster.


def item_source(item: pystac.Item, base: str, asset: str | None) -> SceneSource:
    """Return the scene that an Item describes.

    Args:
        item: item of STAC 1.
        base: URI that relative hrefs start from.
        asset: key of the asset to use; None: see `choose_asset`.

    Raises:
        InputError: no asset can be chosen, or a field is not valid STAC; the message names neither `base` nor the Item.
    """
    chosen = item.assets[choose_asset(item.assets, asset)]
    fields = ChainMap(chosen.extra_fields, item.properties)
    code, epsg = fields.get("proj:code"), fields.get("proj:epsg")  # projection extension 2, and before
    if code is None and epsg is not None:
        code = f"EPSG:{epsg}"
    shape = _numbers("proj:shape", fields, (2,))
    affine = _numbers("proj:transform", fields, (6, 9))
    return SceneSource(
        uri=resolve_href(_readable_href(chosen), base),
        scene_id=item.id,
        acquired_at=_acquired_at(item, chosen),
        bands=display_bands(chosen.extra_fields),
        crs=None if code is None else str(code),
        size=None if shape is None else (int(shape[1]), int(shape[0])),
        affine=None if affine is None else affine[:6],
        nodata=band_nodata(chosen.extra_fields),
    )


def choose_asset(assets: Mapping[str, pystac.Asset], key: str | None) -> str:
    """Return the key of the asset to use.

    `key` if it is given; else the first of: the asset with the key `visual`, the raster with the role `visual`, the
    asset with the key `data`, the raster with the role `data`, the only raster by media type or suffix.

    Raises:
        InputError: no asset fits, or more than one.
    """
    if key is not None:
        if key not in assets:
            raise InputError(f"expected the asset '{key}', as in the settings, got {_asset_list(assets)}")
        return key
    rasters = [name for name, asset in assets.items() if _is_raster(asset)]
    for preferred in PREFERRED_ASSETS:
        if preferred in assets:
            return preferred
        if candidates := [name for name in rasters if preferred in (assets[name].roles or [])]:
            break
    else:
        candidates = rasters
    if len(candidates) != 1:
        raise InputError(
            f"expected one asset called visual or data, of that role, or one GeoTIFF, JPEG 2000 or NITF, "
            f"got {_asset_list(assets)}"
        )
    return candidates[0]


def _readable_href(asset: pystac.Asset) -> str:
    """Return the href of an asset, or the alternate one that can be read here (STAC extension `alternate`)."""
    alternates = asset.extra_fields.get("alternate")
    hrefs = [alternate.get("href") for alternate in alternates.values()] if isinstance(alternates, dict) else []
    readable = ("https://", "http://", "gs://")
    if is_remote(asset.href) and not asset.href.startswith((*readable, "file://")):
        return next((str(href) for href in hrefs if str(href).startswith(readable)), asset.href)
    return asset.href


def _is_raster(asset: pystac.Asset) -> bool:
    media_type = (asset.media_type or "").partition(";")[0].strip().lower()
    return media_type in RASTER_TYPES or suffix(asset.href) in RASTER_SUFFIXES


def _asset_list(assets: Mapping[str, pystac.Asset]) -> str:
    """Return the end of an error message: the assets of an Item, and the remedy."""
    if not assets:
        return "no assets: fix the item, or name the raster itself"
    names = (
        f"{key} ({', '.join([asset.media_type or 'no type', *(asset.roles or [])])})" for key, asset in assets.items()
    )
    return f"the assets {'; '.join(names)}: choose one with `asset:` in the settings, or name the raster itself"


def display_bands(asset: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the numbers, from 1, of the red, green and blue bands of an asset, or of its grey band.

    Args:
        asset: fields of the asset: `bands` of STAC 1.1, or `eo:bands` or `raster:bands` of STAC 1.0. Bands of the Item
            are not used: they do not say in what order an asset has them.

    Returns:
        None if the names of the bands are missing or ambiguous.
    """
    bands = asset.get("bands") or asset.get("eo:bands") or asset.get("raster:bands") or []
    if not (isinstance(bands, list) and all(isinstance(band, dict) for band in bands)):
        raise InputError("expected bands as a list of objects, got something else: fix the item")
    names = [
        str(band.get("eo:common_name") or band.get("common_name") or band.get("name") or "").lower()  # 1.1, 1.0, both
        for band in bands
    ]
    if all(names.count(colour) == 1 for colour in _RGB):
        return tuple(names.index(colour) + 1 for colour in _RGB)
    grey = [number for number, name in enumerate(names, start=1) if name in _GREY]
    return (grey[0],) if len(grey) == 1 and not set(_RGB) & set(names) else None


def band_nodata(asset: Mapping[str, Any]) -> float | None:
    """Return the nodata value of an asset's bands, None if they state none; check their scales.

    Args:
        asset: fields of the asset: `bands` of STAC 1.1, or the asset's own `nodata`; or `raster:bands` of STAC 1.0. Of
            bands that are named, those that are displayed count.

    Raises:
        InputError: the bands have different nodata values, or scales and offsets that would change the display.
    """
    bands = [band for band in asset.get("bands") or asset.get("raster:bands") or [] if isinstance(band, dict)]
    shown = display_bands(asset)
    if shown is not None and max(shown) <= len(bands):
        bands = [bands[number - 1] for number in shown]

    def values(name: str, default: object) -> set[Any]:
        own = asset.get(f"raster:{name}", asset.get(name, default))
        stated = [band.get(f"raster:{name}", band.get(name, own)) for band in bands or [{}]]
        return {value if isinstance(value, int | float | None) else str(value) for value in stated}

    scales, offsets, nodata = values("scale", 1), values("offset", 0), values("nodata", None)
    if len(scales) > 1 or len(offsets) > 1 or any(not isinstance(scale, int | float) or scale <= 0 for scale in scales):
        raise InputError(
            f"expected bands with one positive scale and one offset, got the scales {sorted(map(str, scales))} and "
            f"offsets {sorted(map(str, offsets))}: apply them to the raster, e.g. with gdal_translate -unscale"
        )
    nodata = nodata - {None} or {None}
    if len(nodata) > 1:
        raise InputError(f"expected bands with one nodata value, got {sorted(map(str, nodata))}: fix the item")
    (value,) = nodata
    try:
        return None if value is None else float(value)  # JSON has "nan" and "-inf" as text
    except (TypeError, ValueError) as error:
        raise InputError(f"expected a number as nodata, got {value!r}: fix the item") from error


def _acquired_at(item: pystac.Item, asset: pystac.Asset) -> str | None:
    """Return the acquisition time, RFC 3339 UTC; of an interval its start, at which something was taken."""
    time = item.get_datetime(asset)
    if time is None and (start := item.properties.get("start_datetime")):
        time = str_to_datetime(start)
    if time is None:
        return None
    # STAC requires a time zone; UTC is assumed where it is missing.
    time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    return datetime_to_str(time.astimezone(datetime.UTC))


def _numbers(name: str, fields: Mapping[str, Any], lengths: tuple[int, ...]) -> tuple[float, ...] | None:
    values = fields.get(name)
    if values is None:
        return None
    if not (
        isinstance(values, list) and len(values) in lengths and all(type(value) in (int, float) for value in values)
    ):
        expected = " or ".join(map(str, lengths))
        raise InputError(f"expected {expected} numbers in {name}, got {values}: fix the item")
    return tuple(float(value) for value in values)
