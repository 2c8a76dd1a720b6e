"""The main pipeline on the scenes of one airport: detections, and what was seen of the airport."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import shapely

from geo.aoi import Polygons, polygons_of
from geo.errors import FinderError, InputError
from pipeline import local, planning, records
from pipeline.ledger import Ledger, SceneEntry
from pipeline.model_loading import ModelSpec, load_model
from pipeline.monitor.airports import Airport
from pipeline.monitor.scenes import MonitorScene, format_time, parse_time
from pipeline.monitor.tables import SceneRow
from pipeline.records import Airplane
from pipeline.sinks import storage

if TYPE_CHECKING:
    from pipeline.values import Scene

_AREA_DECIMALS = 7  # of a degree: a centimetre


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessedScene:
    """A scene of an airport with its detections, weak ones included."""

    row: SceneRow
    airplanes: tuple[Airplane, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class OutsideScene:
    """A scene that shows nothing of the airport."""

    scene: MonitorScene


@dataclasses.dataclass(frozen=True, slots=True)
class FailedScene:
    """A scene that could not be processed, and why, in one line."""

    scene: MonitorScene
    error: str


Outcome = ProcessedScene | OutsideScene | FailedScene
#: Runs the main pipeline on scenes of one airport, and yields the outcome of each as soon as it is known.
DetectScenes = Callable[[Sequence[MonitorScene], Airport], Iterator[Outcome]]


@dataclasses.dataclass(frozen=True, slots=True)
class Detector:
    """The model, with the score from which on a detection counts.

    Attributes:
        spec: the model and the settings of the main job; their threshold is that of weak detections.
        threshold: score from which on a detection counts, 0..1.
    """

    spec: ModelSpec
    threshold: float


def with_weak_score(spec: ModelSpec, weak_score: float) -> Detector:
    """Return the detector that also returns weak detections, from `weak_score` on."""
    threshold = spec.config.min_score or 0.0
    config = dataclasses.replace(spec.config, min_score=min(weak_score, threshold))
    return Detector(dataclasses.replace(spec, config=config), threshold)


def scene_version(scene: MonitorScene, airport: Airport) -> str:
    """Return the version under which the scene is stored: it is processed anew if it or the airport's area changes."""
    area = shapely.to_wkb(shapely.set_precision(airport.area.polygons, 10.0**-_AREA_DECIMALS))
    return hashlib.sha256(scene.version.encode() + area).hexdigest()[:16]


def detect_locally(detector: Detector) -> DetectScenes:
    """Return the function that processes scenes in this process, one after the other."""

    def detect(scenes: Sequence[MonitorScene], airport: Airport) -> Iterator[Outcome]:
        config, identity = detector.spec.config, detector.spec.identity
        for scene in scenes:
            try:
                opened = planning.open_scene(scene.source, config, airport.area)
                if opened.area is None or opened.area.is_empty:
                    yield OutsideScene(scene)
                    continue
                # Where it belongs must be known before the model runs on it.
                acquired_at(scene, opened)
                result = local.detect_scene(opened, config, load_model(detector.spec), identity)
                yield assemble(scene, opened, result.entry, result.airplanes, airport, detector)
            except FinderError as error:
                yield FailedScene(scene, planning.error_with_uri(scene.source.uri, error))

    return detect


def detect_with_beam(detector: Detector, beam_args: Sequence[str], folder: str | None = None) -> DetectScenes:
    """Return the function that processes scenes as one Beam job for each airport.

    Args:
        detector: the model.
        beam_args: Beam's options.
        folder: where the job writes, such as `gs://bucket/folder`, for workers on other machines; None: a temporary
            folder of this machine.
    """

    def detect(scenes: Sequence[MonitorScene], airport: Airport) -> Iterator[Outcome]:
        from model.datagen import beam_options
        from pipeline.job import Job, run_job
        from pipeline.run import run_info
        from pipeline.sinks.files import read_file

        config = detector.spec.config
        options = beam_options.parse(beam_args)
        ledger: Ledger | None
        if not scenes:
            return
        with tempfile.TemporaryDirectory(prefix="airplanes-") as temporary:
            output = f"{folder or temporary}/{airport.id}.parquet"
            job = Job(
                sources=tuple(scene.source for scene in scenes),
                model=detector.spec,
                outputs=(output,),
                ledger=f"{output}.ledger.json",
                info=run_info(detector.spec, beam_args, uuid.uuid4().hex[:12]),
                area=airport.area,
            )
            if beam_options.is_dataflow(options):
                from pipeline import dataflow

                dataflow.check_reachable(job.sources, ())
                ledger = dataflow.run_job(job, beam_args, None)
            else:
                ledger = run_job(job, beam_options.runner(options), options)
            if ledger is None:
                raise ValueError("expected a job that was waited for")
            airplanes: dict[str, list[Airplane]] = {}
            for airplane in read_file(output):
                airplanes.setdefault(airplane.scene_uri, []).append(airplane)
            storage.remove([output, job.ledger])
        entries = {entry.scene_uri: entry for entry in ledger.scenes}
        for scene in scenes:
            uri = scene.source.uri
            try:
                if entries[uri].status == "failed":
                    yield FailedScene(scene, entries[uri].error or "")
                    continue
                opened = planning.open_scene(scene.source, config, airport.area)
                if opened.area is None or opened.area.is_empty:
                    yield OutsideScene(scene)
                else:
                    yield assemble(scene, opened, entries[uri], airplanes.get(uri, ()), airport, detector)
            except FinderError as error:
                yield FailedScene(scene, planning.error_with_uri(uri, error))

    return detect


def acquired_at(scene: MonitorScene, opened: Scene) -> str:
    """Return when a scene was acquired, RFC 3339 UTC.

    Raises:
        InputError: nothing says when.
    """
    if opened.acquired_at is None:
        raise InputError(
            f"{scene.source.uri}: expected a scene that says when it was acquired, got none: describe it with a STAC "
            "Item, or set acquired_in_name in the settings of the main job"
        )
    return format_time(parse_time(opened.acquired_at))


def assemble(
    scene: MonitorScene,
    opened: Scene,
    entry: SceneEntry,
    airplanes: Sequence[Airplane],
    airport: Airport,
    detector: Detector,
) -> Outcome:
    """Return the outcome of a scene that the main pipeline has processed.

    Args:
        scene: the scene.
        opened: the same, opened, with the airport as its area of interest.
        entry: its entry in the ledger.
        airplanes: its detections.
        airport: the airport.
        detector: what detected them.

    Raises:
        RasterError: the scene or its cloud mask cannot be read.
    """
    if entry.status == "failed":
        return FailedScene(scene, entry.error or "")
    time = acquired_at(scene, opened)
    inside, seen, cloud = _areas(scene, opened, entry, airport)
    area_m2 = airport.area_m.area

    def share(area: shapely.Geometry) -> float:
        return round(float(min(1.0, area.area / area_m2)), 4)

    row = SceneRow(
        geometry=None if seen.is_empty else _rounded(airport.plane.shape_to_lonlat(seen)),
        airport=airport.id,
        day=time[:10],
        scene_key=scene.key,
        version=scene_version(scene, airport),
        scene_id=opened.scene_id,
        scene_uri=scene.source.uri,
        acquired_at=time,
        published_at=scene.published_at,
        status=entry.status,
        error=entry.error,
        share_inside=share(inside),
        share_seen=share(seen),
        cloud_known=cloud is not None,
        share_cloud=None if cloud is None else share(shapely.intersection(cloud, inside)),
        off_nadir_deg=scene.off_nadir_deg,
        resolution_m=round(opened.levels[0].resolution_m, 4),
        airplanes=sum(airplane.score >= detector.threshold for airplane in airplanes),
        threshold=detector.threshold,
        model=detector.spec.identity.model,
        settings_id=detector.spec.identity.settings_id,
    )
    return ProcessedScene(row, tuple(sorted(airplanes, key=records.sort_key)))


def _areas(
    scene: MonitorScene, opened: Scene, entry: SceneEntry, airport: Airport
) -> tuple[Polygons, Polygons, Polygons | None]:
    """Return what of the airport lies inside of the scene, what was seen, and the cloud of its mask, in metres."""
    from geo.raster.valid_area import area_to_lonlat, flagged_area, valid_area  # loads rasterio

    if opened.area is None:
        raise ValueError("expected a scene with an area of interest, got none")

    def metres(area: Polygons) -> Polygons:
        return polygons_of(shapely.make_valid(airport.plane.shape_to_metres(area)))

    inside = metres(area_to_lonlat(opened.area, opened.georef))
    if entry.status in ("empty", "duplicate"):
        return inside, shapely.MultiPolygon(), None
    valid = shapely.difference(valid_area(opened.header, opened.area), _failed_parts(opened, entry))
    seen = metres(area_to_lonlat(polygons_of(valid), opened.georef))
    if scene.cloud is None:
        return inside, seen, None
    cloud, covered = (metres(area) for area in flagged_area(scene.cloud.uri, scene.cloud.flags, airport.area))
    # Where the mask says nothing, what the scene shows is not known to be ground.
    return inside, polygons_of(shapely.difference(shapely.intersection(seen, covered), cloud)), cloud


def _failed_parts(opened: Scene, entry: SceneEntry) -> shapely.Geometry:
    """Return the windows that could not be read, scene pixels."""
    levels = {round(level.resolution_m, 4): level for level in opened.levels}
    boxes = []
    for part in entry.failures:
        level = levels[part.resolution_m]
        right, bottom = part.col + part.width, part.row + part.height
        boxes.append(
            shapely.box(
                part.col * level.scale_x, part.row * level.scale_y, right * level.scale_x, bottom * level.scale_y
            )
        )
    return shapely.union_all(boxes)


def _rounded(area: shapely.Geometry) -> shapely.Geometry:
    return polygons_of(shapely.set_precision(area, 10.0**-_AREA_DECIMALS))
