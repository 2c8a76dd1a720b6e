"""Rows of airplanes parked wing to wing and turned in the picture: what suppression by upright boxes loses."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import shapely

from geo.boxes import iom_pairs, iou_matrix, iou_pairs
from geo.types import Detections, FloatArray
from model.inference.predictor import load_predictor
from model.synthetic.aircraft import BUSINESS, LIGHT, NARROW, REGIONAL, TYPES, AircraftType, silhouette
from model.synthetic.geometry import Frame
from model.synthetic.scene import finish, write
from model.synthetic.stands import park_airplane
from model.synthetic.style import sample_style, stream
from model.synthetic.world import World
from pipeline import local, planning, steps
from pipeline.config import DEFAULT_CONFIG, load_config
from pipeline.values import SceneSource

CLEARANCE_M = 1.0
STEP_M = 0.5
SIDE_PX, RESOLUTION_M = 800, 0.5
SUPPRESSION = load_config(DEFAULT_CONFIG).suppression


def outline(shape: AircraftType, heading: float) -> shapely.Geometry:
    pose = Frame(0.0, 0.0, heading)
    return shapely.union_all([shapely.Polygon(pose.points(ring)) for ring in silhouette(shape)])


def closest(first: shapely.Geometry, direction: float) -> FloatArray:
    """Move from the outline to the next one of a row in this direction, as close as the clearance allows."""
    ahead = np.array([math.cos(direction), math.sin(direction)])
    xmin, ymin, xmax, ymax = first.bounds
    distance = math.hypot(xmax - xmin, ymax - ymin)
    # From where they are apart inwards: beyond another airplane is no place in the same row.
    for steps_away in itertools.count(math.ceil(distance / STEP_M), -1):
        moved = shapely.transform(first, lambda xy, shift=ahead * steps_away * STEP_M: xy + shift)
        if shapely.distance(first, moved) < CLEARANCE_M:
            break
    return np.asarray(ahead * (steps_away + 1) * STEP_M)


@pytest.mark.parametrize("heading_deg", [0, 15, 30, 45])
def test_boxes_of_airplanes_in_a_row_never_suppress_each_other(heading_deg: int) -> None:
    overlaps = []
    for shape, direction in itertools.product(TYPES[::2], range(0, 180, 30)):
        turned = outline(shape, math.radians(heading_deg))
        first = np.array(turned.bounds)
        second = first + np.tile(closest(turned, math.radians(direction)), 2)
        overlaps.append((float(iou_pairs(first, second)), float(iom_pairs(first, second))))
    iou, containment = np.max(overlaps, axis=0)
    assert iou < 0.25 < SUPPRESSION.iou
    assert containment < 0.4 < SUPPRESSION.containment


def draw_rows(path: Path) -> FloatArray:
    """Draw a row of airplanes of each of four types at 45 degrees, as close as they can stand; return their boxes."""
    extent = SIDE_PX * RESOLUTION_M
    world = World(extent, extent, sample_style(9, 50.0))
    random = stream(9, "rows")
    y = 0.0
    for kind in (LIGHT, BUSINESS, REGIONAL, NARROW):
        shape = next(each for each in TYPES if each.kind == kind)
        y += 0.75 * max(shape.length, shape.span) + 6
        for x in np.arange(0.0, extent, STEP_M).tolist():
            park_airplane(world, shape, Frame(x, y, math.pi / 4), random, clearance=CLEARANCE_M)
        y += 0.75 * max(shape.length, shape.span)
    write(finish(world, 9, RESOLUTION_M), path)
    return np.array([airplane.box for airplane in world.airplanes]) / RESOLUTION_M


def test_suppression_loses_no_airplane_of_rows_at_45_degrees(tmp_path: Path) -> None:
    truth = draw_rows(tmp_path / "rows.tif")
    config = load_config(DEFAULT_CONFIG)
    predictor = load_predictor(config.model, config.batch_size, 0.3)
    scene = planning.open_scene(SceneSource(str(tmp_path / "rows.tif")), config)
    outcomes = list(local.detect_tiles(scene, config, predictor))
    inferred = Detections.concatenate([outcome.detections for outcome in outcomes])
    before, after = (
        (iou_matrix(truth, each.boxes) >= 0.5).any(axis=1) for each in (inferred, steps.merge(outcomes, SUPPRESSION))
    )
    print(f"{len(truth)} airplanes, {before.sum()} detected before suppression, {after.sum()} after")
    assert len(truth) > 60
    assert before.mean() > 0.9
    np.testing.assert_array_equal(after, before)
