"""Airplanes for tests: a Hypothesis strategy, and one by hand."""

from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon

from pipeline.records import Airplane

TEXTS = st.text(max_size=8)
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
    scene_uri=TEXTS,
    acquired_at=st.none() | TEXTS,
    score=st.floats(0, 1),
    xmin_px=PIXELS,
    ymin_px=PIXELS,
    xmax_px=PIXELS,
    ymax_px=PIXELS,
    size_m=METRES,
    length_m=st.none() | METRES,
    wingspan_m=st.none() | METRES,
    heading_deg=st.none() | st.floats(0, 360),
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
        wingspan_m=None,
        heading_deg=None,
        resolution_m=0.5,
        model="fake@000000000000",
    )
