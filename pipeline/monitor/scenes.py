"""The scenes of a source: a STAC API, static STAC, a raster, a folder, a glob, or a prefix of a bucket."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.aoi import AreaOfInterest
from geo.errors import InputError, one_line
from geo.raster.uri import (
    authorization_headers,
    canonical_uri,
    check_no_credentials,
    file_version,
    is_remote,
    read_text,
    resolve_href,
)
from pipeline.config import PipelineConfig
from pipeline.sinks import storage
from pipeline.sources.resolve import RASTER_SUFFIXES, SCHEMES, has_stac_suffix, resolve_inputs, with_acquisition_time
from pipeline.values import SceneSource

if TYPE_CHECKING:
    import pystac

#: Keys of Planet's usable data mask, whose sixth band is cloud.
_UDM2_KEYS = ("udm2", "ortho_udm2")
_UDM2_CLOUD_BAND = 6
_CLOUD_ROLE = "cloud"
_CLOUD_WORDS, _OTHER_WORDS = {"cloud", "clouds", "cloudy"}, {"no", "non", "not", "free", "low", "shadow", "shadows"}
#: Properties of an Item that change when it is processed anew.
_VERSION_PROPERTIES = ("updated", "version", "published", "created")
_PUBLISHED_PROPERTIES = ("updated", "published", "created")


@dataclasses.dataclass(frozen=True, slots=True)
class CloudMask:
    """A mask file of one scene.

    Attributes:
        uri: where it is read.
        band: the band with the codes, counted from 1.
        values: the codes of cloud; None: every code but 0.
    """

    uri: str
    band: int = 1
    values: tuple[int, ...] | None = None

    def flags(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which pixels are cloud, (height, width), of the file's values, (bands, height, width)."""
        if len(values) < self.band:
            raise InputError(f"{self.uri}: expected a mask of {self.band} bands or more, got {len(values)}")
        codes = values[self.band - 1]
        return np.asarray(codes != 0 if self.values is None else np.isin(codes, self.values), dtype=np.bool_)


@dataclasses.dataclass(frozen=True, slots=True)
class MonitorScene:
    """A scene of a source, before it is opened.

    Attributes:
        source: what the main pipeline needs to know.
        key: identifies the scene in its source: the same for a later version of it.
        version: changes if the scene is processed anew.
        published_at: RFC 3339 UTC, or None.
        cloud: its cloud mask, or None.
        off_nadir_deg: degrees, or None.
        footprint: longitude and latitude, or None if only the raster knows.
    """

    source: SceneSource
    key: str
    version: str
    published_at: str | None = None
    cloud: CloudMask | None = None
    off_nadir_deg: float | None = None
    footprint: shapely.Geometry | None = None

    def may_show(self, area: AreaOfInterest) -> bool:
        """Return whether the scene may show a part of an area."""
        if self.footprint is None:
            return True
        # Longitudes of the two may differ by a full turn.
        copies = [
            shapely.transform(self.footprint, lambda xy, dx=dx: xy + np.array([dx, 0.0])) for dx in (-360, 0, 360)
        ]
        return any(shapely.intersects(copy, area.polygons) for copy in copies)


#: Lists the scenes of a source that may show an area.
ListScenes = Callable[[AreaOfInterest], list[MonitorScene]]


@dataclasses.dataclass(frozen=True, slots=True)
class TimeLimits:
    """Times between which scenes are taken, both included; None: no limit."""

    since: datetime.datetime | None = None
    until: datetime.datetime | None = None

    def include(self, acquired_at: str | None) -> bool:
        """Return whether a time lies within the limits; one that is not known before the scene is opened may."""
        if acquired_at is None:
            return True
        time = parse_time(acquired_at)
        return (self.since is None or time >= self.since) and (self.until is None or time <= self.until)


def parse_limits(since: str | None, until: str | None) -> TimeLimits:
    """Return the limits that a user wrote: times, or dates, of which `until` includes the whole day.

    Raises:
        InputError: a text is no time.
    """
    end = None if until is None else parse_time(until)
    if end is not None and until is not None and len(until) == len("2026-11-23"):
        end += datetime.timedelta(days=1, microseconds=-1)
    return TimeLimits(None if since is None else parse_time(since), end)


def open_source(
    source: str, config: PipelineConfig, collections: tuple[str, ...] = (), limits: TimeLimits | None = None
) -> ListScenes:
    """Return the function that lists the scenes of a source.

    Args:
        source: URL of a STAC API or of a static STAC file; a raster, STAC file, folder, glob or `.txt` list of this
            machine; `gs://bucket/prefix`, of which all rasters and STAC files are taken.
        config: the settings of the main job: `asset` and `acquired_in_name`.
        collections: collections of a STAC API to search; none: all.
        limits: times between which scenes are taken; None: all.

    Raises:
        InputError: the source does not exist or cannot be read.
    """
    check_no_credentials(source)
    limits = limits or TimeLimits()
    api = _api_of(source)
    if api is not None:
        return lambda area: _unique(_search(api, area, config, collections, limits))
    if collections:
        raise InputError(f"{source}: expected a STAC API for --collection, got another source: leave it out")
    scenes = [scene for scene in _unique(_static_scenes(source, config)) if limits.include(scene.source.acquired_at)]
    return lambda area: [scene for scene in scenes if scene.may_show(area)]


def parse_time(text: str) -> datetime.datetime:
    """Return an RFC 3339 time; UTC is assumed where no zone is given.

    Raises:
        InputError: it is none.
    """
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"expected a time such as 2026-11-23T06:00:00Z, got {text!r}: correct it") from error
    return time.astimezone(datetime.UTC) if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def format_time(time: datetime.datetime) -> str:
    """Return a time as RFC 3339 UTC, to the second or finer where the time is."""
    return time.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def _unique(scenes: Iterable[MonitorScene]) -> list[MonitorScene]:
    """Return each scene once, in order of its time."""
    by_key: dict[str, MonitorScene] = {}
    for scene in scenes:
        by_key.setdefault(scene.key, scene)
    return sorted(by_key.values(), key=lambda scene: (scene.source.acquired_at or "", scene.key))


# Files and static STAC.


def _static_scenes(source: str, config: PipelineConfig) -> Iterator[MonitorScene]:
    """Yield the scenes of files: those of STAC Items first, then the rasters that no Item refers to."""
    files = _files(source)
    described: set[str] = set()
    for uri in filter(has_stac_suffix, files):
        for entry in _items(uri) or ():
            if isinstance(entry, SceneSource):
                raise InputError(entry.error or uri)
            item, base = entry
            described |= {canonical_uri(resolve_href(asset.href, base)) for asset in item.assets.values()}
            yield _item_scene(item, base, config)
    for uri in files:
        if not has_stac_suffix(uri) and canonical_uri(uri) not in described:
            yield _file_scene(uri, config)


def _files(source: str) -> list[str]:
    """Return the rasters and STAC files of a source."""
    if source.startswith("gs://") and not _is_file_name(source):
        files = [uri for uri in storage.list_files(source) if _is_file_name(uri)]
        if not files:
            raise InputError(f"{source}: expected a prefix with rasters or STAC files, got none: check its name")
        return files
    if has_stac_suffix(source):
        return [source]
    path = Path(source)
    if path.is_dir():
        return sorted(str(file) for file in path.rglob("*") if _is_file_name(file.name) and file.is_file())
    return [scene.uri for scene in resolve_inputs([source])]


def _is_file_name(uri: str) -> bool:
    return uri.lower().endswith(RASTER_SUFFIXES) or has_stac_suffix(uri)


def _items(uri: str) -> list[tuple[pystac.Item, str] | SceneSource] | None:
    from pipeline.sources.stac import stac_items  # loads pystac, which not every source needs

    return stac_items(uri)


def _file_scene(uri: str, config: PipelineConfig) -> MonitorScene:
    source = with_acquisition_time(SceneSource(uri), config.acquired_in_name)
    if is_remote(uri):
        from geo.raster.uri import stat_remote

        return MonitorScene(source, _digest(canonical_uri(uri)), file_version(stat_remote(uri)))
    changed = datetime.datetime.fromtimestamp(Path(uri).stat().st_mtime, datetime.UTC)
    return MonitorScene(
        source, _digest(canonical_uri(uri)), file_version([uri]), format_time(changed.replace(microsecond=0))
    )


# STAC Items.


def _item_scene(item: pystac.Item, base: str, config: PipelineConfig) -> MonitorScene:
    from pipeline.sources.stac import item_scene

    source = with_acquisition_time(item_scene(item, base, config.asset), config.acquired_in_name)
    footprint = None
    if item.geometry is not None:
        try:
            footprint = shapely.make_valid(shapely.geometry.shape(item.geometry))
        except (ValueError, TypeError, KeyError, AttributeError, shapely.errors.ShapelyError) as error:
            raise InputError(f"{base}, item {item.id!r}: expected a GeoJSON geometry, got another: fix it") from error
    off_nadir = item.properties.get("view:off_nadir")
    return MonitorScene(
        source=source,
        key=_digest(item.collection_id, item.id),
        version=_item_version(item, source),
        published_at=_published_at(item),
        cloud=cloud_mask(item, base),
        off_nadir_deg=float(off_nadir) if isinstance(off_nadir, int | float) else None,
        footprint=footprint,
    )


def _item_version(item: pystac.Item, source: SceneSource) -> str:
    """Return what changes if an Item is processed anew; not its links and URL queries, which may be signed anew."""
    stated = [item.properties.get(name) for name in _VERSION_PROPERTIES]
    checksums = {key: asset.extra_fields.get("file:checksum") for key, asset in sorted(item.assets.items())}
    hrefs = {key: asset.href.partition("?")[0] for key, asset in sorted(item.assets.items())}
    local = None if is_remote(source.uri) else file_version([source.uri])
    return _digest(stated, checksums, hrefs, source.acquired_at, local)


def _published_at(item: pystac.Item) -> str | None:
    for name in _PUBLISHED_PROPERTIES:
        if isinstance(text := item.properties.get(name), str):
            return format_time(parse_time(text))
    return None


def cloud_mask(item: pystac.Item, base: str) -> CloudMask | None:
    """Return the cloud mask among the assets of an Item.

    It is an asset of the role `cloud`, whose `classification:classes` say which codes are cloud (without them every
    code but 0), or Planet's `udm2`. None if there is no such asset.
    """
    for key, asset in item.assets.items():
        if _CLOUD_ROLE in (asset.roles or []):
            fields = asset.extra_fields
            bands = fields.get("bands") or fields.get("raster:bands") or [{}]
            classes = fields.get("classification:classes") or bands[0].get("classification:classes") or []
            values = tuple(
                int(entry["value"])
                for entry in classes
                if _is_cloud(str(entry.get("name") or entry.get("description") or ""))
            )
            return CloudMask(resolve_href(asset.href, base), 1, values or None)
        if key in _UDM2_KEYS:
            return CloudMask(resolve_href(asset.href, base), _UDM2_CLOUD_BAND, (1,))
    return None


def _is_cloud(name: str) -> bool:
    words = set(re.findall("[a-z]+", name.lower()))
    return bool(words & _CLOUD_WORDS) and not words & _OTHER_WORDS


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


# STAC APIs.


def _api_of(source: str) -> str | None:
    """Return the URL of a STAC API, or None if the source is none: an API's landing page says to what it conforms."""
    if not source.startswith(SCHEMES[:2]) or source.lower().endswith(RASTER_SUFFIXES):
        return None
    text, url = read_text(source)
    try:
        page = json.loads(text)
    except ValueError:
        page = None
    if not isinstance(page, dict):
        raise InputError(
            f"{source}: expected a STAC API or a STAC file, got a page that is not JSON: check the address"
        )
    return url if "conformsTo" in page else None


def _search(
    api: str, area: AreaOfInterest, config: PipelineConfig, collections: tuple[str, ...], limits: TimeLimits
) -> Iterator[MonitorScene]:
    """Yield the scenes of a STAC API that may show an area; all pages of the answer."""
    from pystac_client import Client
    from pystac_client.exceptions import APIError, ParametersError
    from requests import RequestException

    xmin, ymin, xmax, ymax = area.polygons.bounds
    west, east = ((lon + 180) % 360 - 180 for lon in (xmin, xmax))  # west > east across the antimeridian
    try:
        search = Client.open(api, headers=authorization_headers()).search(
            bbox=[west, ymin, east, ymax],
            datetime=(limits.since, limits.until) if limits.since or limits.until else None,
            collections=list(collections) or None,
        )
        for item in search.items():
            scene = _item_scene(item, item.get_self_href() or api, config)
            if scene.may_show(area) and limits.include(scene.source.acquired_at):
                yield scene
    except (APIError, ParametersError, RequestException, NotImplementedError) as error:
        reason = one_line(error)[:300]
        raise InputError(
            f"{api}: expected a STAC API that can be searched, got '{reason}': check its address and your access"
        ) from error
