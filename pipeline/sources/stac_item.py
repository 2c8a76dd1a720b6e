"""One STAC Item to a scene: which of its assets, and what it tells of it. Opens nothing.

Scale, offset and nodata of `raster:bands` and of `bands` are not read. Values are stretched by what is in the scene
itself, and a positive scale or an offset changes nothing about that; what is missing is marked in the file, and where
the two contradict each other the file is what was written with the pixels.
"""

from __future__ import annotations

import datetime
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import pystac
from pystac.utils import datetime_to_str, str_to_datetime

from geo.raster.uri import resolve_href, suffix
from pipeline.errors import InputError
from pipeline.values import SceneSource

#: Keys and roles of the asset to look at, where nobody says which one.
PREFERRED = ("visual", "data")

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

_RGB = ("red", "green", "blue")
_GREY = ("pan", "gray", "grey")


def scene_source(item: pystac.Item, base: str, asset: str | None) -> SceneSource:
    """Returns the scene that an item describes.

    Args:
        item: the item, of any version of STAC 1.
        base: where it lies; relative hrefs start there.
        asset: key of the asset to look at; None: see `choose_asset`.

    Raises:
        InputError: no asset can be chosen, or a field holds something else than STAC says; it names neither `base`
            nor the item.
    """
    chosen = item.assets[choose_asset(item.assets, asset)]
    fields = ChainMap(chosen.extra_fields, item.properties)
    return SceneSource(
        uri=resolve_href(chosen.href, base),
        scene_id=item.id,
        acquired_at=_acquired_at(item, chosen),
        bands=band_numbers(chosen.extra_fields),
        crs=_crs(fields),
        size=_size(fields),
        affine=_affine(fields),
    )


def choose_asset(assets: Mapping[str, pystac.Asset], told: str | None) -> str:
    """Returns the key of the asset to look at.

    As told; else the one with the key `visual`, the raster with the role `visual`, the one with the key `data`, the
    raster with the role `data`; else the only raster, by media type or suffix.

    Raises:
        InputError: there is none, or more than one.
    """
    if told is not None:
        if told not in assets:
            raise InputError(f"expected the asset '{told}', as the settings say, got {_listed(assets)}")
        return told
    rasters = [key for key, asset in assets.items() if _is_raster(asset)]
    for name in PREFERRED:
        if name in assets:
            return name
        if having := [key for key in rasters if name in (assets[key].roles or [])]:
            return _only(having, assets)
    return _only(rasters, assets)


def band_numbers(asset: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Returns which bands of an asset are red, green and blue, or which one is grey, counted from 1.

    Args:
        asset: its fields: `bands` of STAC 1.1, or `eo:bands` and `raster:bands` before; those of the item do not say
            in what order an asset has them.

    Returns:
        None where the names do not tell, or tell it of two bands.
    """
    bands = asset.get("bands") or asset.get("eo:bands") or asset.get("raster:bands") or []
    if not (isinstance(bands, list) and all(isinstance(band, dict) for band in bands)):
        raise InputError("expected bands as a list of objects, got something else: mend the item")
    called = [_band_name(band) for band in bands]
    if all(called.count(colour) == 1 for colour in _RGB):
        return tuple(called.index(colour) + 1 for colour in _RGB)
    grey = [number for number, name in enumerate(called, start=1) if name in _GREY]
    return (grey[0],) if len(grey) == 1 and not set(_RGB) & set(called) else None


def _band_name(band: Mapping[str, Any]) -> str:
    common = band.get("eo:common_name") or band.get("common_name")  # of 1.1, and before
    return str(common or band.get("name") or "").lower()


def _is_raster(asset: pystac.Asset) -> bool:
    essence = (asset.media_type or "").partition(";")[0].strip().lower()
    return essence in RASTER_TYPES or suffix(asset.href) in RASTER_SUFFIXES


def _only(keys: list[str], assets: Mapping[str, pystac.Asset]) -> str:
    if len(keys) == 1:
        return keys[0]
    raise InputError(
        f"expected one asset called visual or data, of that role, or one GeoTIFF, JPEG 2000 or NITF, "
        f"got {_listed(assets)}"
    )


def _listed(assets: Mapping[str, pystac.Asset]) -> str:
    """The assets for people, and what can be done."""
    if not assets:
        return "no assets: mend the item, or name the raster itself"
    known = (
        f"{key} ({', '.join([asset.media_type or 'no type', *(asset.roles or [])])})" for key, asset in assets.items()
    )
    return f"the assets {'; '.join(known)}: say which one by `asset:` in the settings, or name the raster itself"


def _acquired_at(item: pystac.Item, asset: pystac.Asset) -> str | None:
    """RFC 3339 in UTC. Of a span of time its start, since in the middle of it nothing need have been taken."""
    taken = item.get_datetime(asset)
    if taken is None and (start := item.properties.get("start_datetime")):
        taken = str_to_datetime(start)
    if taken is None:
        return None
    # STAC wants a time zone; what has none is taken for what STAC says times are in.
    zoned = taken if taken.tzinfo else taken.replace(tzinfo=datetime.UTC)
    return datetime_to_str(zoned.astimezone(datetime.UTC))


def _crs(fields: Mapping[str, Any]) -> str | None:
    code, epsg = fields.get("proj:code"), fields.get("proj:epsg")  # of projection 2, and before
    if code is None and epsg is not None:
        return f"EPSG:{epsg}"
    return None if code is None else str(code)


def _size(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    shape = _numbers("proj:shape", fields, (2,))
    return None if shape is None else (int(shape[1]), int(shape[0]))


def _affine(fields: Mapping[str, Any]) -> tuple[float, ...] | None:
    numbers = _numbers("proj:transform", fields, (6, 9))
    return None if numbers is None else numbers[:6]


def _numbers(name: str, fields: Mapping[str, Any], lengths: tuple[int, ...]) -> tuple[float, ...] | None:
    numbers = fields.get(name)
    if numbers is None:
        return None
    if not (
        isinstance(numbers, list) and len(numbers) in lengths and all(type(one) in (int, float) for one in numbers)
    ):
        many = " or ".join(map(str, lengths))
        raise InputError(f"expected {many} numbers in {name}, got {numbers}: mend the item")
    return tuple(float(one) for one in numbers)
