"""Airplanes for tests: a Hypothesis strategy, and one by hand."""

import dataclasses

import numpy as np
import shapely
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon

from geo.outline import POINT_FIELDS
from pipeline.records import Airplane

# No paths, names or times hold NUL, which GDAL takes for the end of a text.
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)
METRES = st.floats(0, 1e3)
PIXELS = st.floats(0, 1e6)


def ring(lon: float = 9.98, lat: float = 53.63) -> Polygon:
    return Polygon([(lon, lat), (lon + 0.0005, lat), (lon + 0.0005, lat + 0.0003), (lon, lat + 0.0003)])


@st.composite
def geometries(draw: st.DrawFn) -> Polygon | MultiPolygon:
    polygon = ring(draw(st.floats(-180, 179)), draw(st.floats(-89, 89)))
    return draw(st.sampled_from([polygon, MultiPolygon([polygon, ring(-180.0, 0.0)])]))


airplanes = st.builds(
    Airplane,
    geometry=geometries(),
    detection_id=TEXTS,
    scene_id=TEXTS,
    scene_uri=TEXTS.filter(bool),
    acquired_at=st.none() | TEXTS,
    score=st.floats(0, 1),
    xmin_px=PIXELS,
    ymin_px=PIXELS,
    xmax_px=PIXELS,
    ymax_px=PIXELS,
    size_m=METRES,
    length_m=st.none() | METRES,
    length_sd_m=st.none() | METRES,
    wingspan_m=st.none() | METRES,
    wingspan_sd_m=st.none() | METRES,
    heading_deg=st.none() | st.floats(0, 360),
    heading_sd_deg=st.none() | st.floats(0, 180),
    outline=st.sampled_from(["oriented", "upright"]),
    **{name: st.none() | PIXELS for name in POINT_FIELDS},
    resolution_m=METRES,
    model=TEXTS,
)


def airplane(detection_id: str = "1f", scene_uri: str = "a.tif", score: float = 0.9, xmin_px: float = 10.0) -> Airplane:
    return Airplane(
        geometry=ring(),
        detection_id=detection_id,
        scene_id="5c",
        scene_uri=scene_uri,
        acquired_at=None,
        score=score,
        xmin_px=xmin_px,
        ymin_px=20.0,
        xmax_px=xmin_px + 60.0,
        ymax_px=70.0,
        size_m=30.0,
        length_m=None,
        length_sd_m=None,
        wingspan_m=None,
        wingspan_sd_m=None,
        heading_deg=None,
        heading_sd_deg=None,
        outline="upright",
        **dict.fromkeys(POINT_FIELDS),
        resolution_m=0.5,
        model="fake@000000000000",
    )


def sample(count: int, antimeridian: bool = False) -> list[Airplane]:
    """Airplanes over the whole Earth with different values in every field; every third has unknown values."""
    random = np.random.default_rng(7)
    planes = []
    for number in range(count):
        lon, lat = np.round(random.uniform((-179, -80), (179, 80)), 7).tolist()
        unknown = number % 3 == 0
        planes.append(
            Airplane(
                geometry=shapely.transform(ring(lon, lat), lambda lonlat: np.round(lonlat, 7)),
                detection_id=f"{number:016x}",
                scene_id=f"scène {number % 4}",
                scene_uri="a.tif",
                acquired_at=None if unknown else "2026-11-23T06:00:00Z",
                score=round(float(random.random()), 6),
                xmin_px=number + 0.25,
                ymin_px=7.5,
                xmax_px=number + 60.5,
                ymax_px=60.25,
                size_m=30.0 + number / 8,
                length_m=None if unknown else 31.5,
                length_sd_m=None if unknown else 0.75,
                wingspan_m=None if unknown else 28.25,
                wingspan_sd_m=None if unknown else 0.5,
                heading_deg=None if unknown else 359.5,
                heading_sd_deg=None if unknown else 1.5,
                outline="upright" if unknown else "oriented",
                **{name: None if unknown else number + step + 0.5 for step, name in enumerate(POINT_FIELDS)},
                resolution_m=0.5,
                model="fake@000000000000",
            )
        )
    if antimeridian:
        split = MultiPolygon([shapely.box(179.9998, 10, 180, 10.0003), shapely.box(-180, 10, -179.9998, 10.0003)])
        planes[0] = dataclasses.replace(planes[0], geometry=shapely.orient_polygons(split))
    return planes
