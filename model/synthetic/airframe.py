"""Drawing of airplanes: liveries, shaded parts, shadows and the box of what is visible."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model.synthetic import aircraft
from model.synthetic.aircraft import (
    CARGO,
    FIGHTER,
    LIGHT,
    AircraftType,
    Engine,
    fuselage,
    half_wing,
    mirrored,
    nacelle,
    silhouette,
)
from model.synthetic.geometry import Frame, rectangle
from model.synthetic.style import Colour, pick
from model.synthetic.world import Airplane, Level, World

WHITE: Colour = (248, 248, 244)
_WING_GREY: Colour = (216, 217, 214)
_ACCENTS: tuple[Colour, ...] = (
    (28, 48, 108),
    (172, 38, 44),
    (24, 92, 150),
    (206, 110, 40),
    (36, 112, 84),
    (92, 48, 110),
    (214, 176, 60),
    (60, 66, 78),
    (30, 130, 160),
    (140, 28, 60),
)
_FADED: tuple[Colour, ...] = (
    (196, 192, 182),
    (172, 170, 164),
    (148, 146, 142),
    (206, 200, 184),
    (92, 94, 98),
    (58, 66, 84),
    (122, 108, 92),
)
_DULL_SHARE = 0.10  # of civil airplanes
_MILITARY: tuple[Colour, ...] = (
    (140, 146, 150),
    (120, 126, 130),
    (112, 116, 100),
    (150, 152, 150),
    (98, 106, 112),
    (84, 90, 92),
)
_FUSELAGE_STRIPS = (-1.0, -0.86, -0.62, -0.3, 0.05, 0.38, 0.66, 0.88, 1.0)  # edges of the strips, in half widths
_COWL_STRIPS = (-1.0, -0.56, 0.0, 0.56, 1.0)  # the same of a cowling
_GLASS: Colour = (52, 56, 62)
_INTAKE: Colour = (90, 92, 96)
_BLADES: Colour = (88, 88, 86)
_MIN_PANELLED_M = 12.0  # shorter airplanes have no wing panels
_MIN_TITLED_M = 15.0  # shorter airplanes have no lettering
Ring = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Livery:
    """Colours of one airplane, in full sun on a horizontal surface.

    Attributes:
        body: fuselage.
        belly: lower sides of the fuselage.
        rear: rear section of the fuselage.
        rear_from: station where the rear section begins, as a fraction of the length.
        fin: fin.
        wing: wings.
        tail: tailplane.
        engine: engine cowlings.
        titles: lettering behind the cockpit; the body's colour for none.
    """

    body: Colour
    belly: Colour
    rear: Colour
    rear_from: float
    fin: Colour
    wing: Colour
    tail: Colour
    engine: Colour
    titles: Colour


def sample_livery(rng: np.random.Generator, kind: str) -> Livery:
    """Sample the livery of an airplane of one class; most are white."""
    if kind == FIGHTER or (kind == CARGO and rng.random() < 0.6):
        return _military(rng)
    if rng.random() < _DULL_SHARE:
        return _dull(rng)
    accent = pick(_ACCENTS, rng)
    other = pick(_ACCENTS, rng)
    body = _shade(WHITE, rng.uniform(0.96, 1.04))
    wing = _shade(WHITE if kind == LIGHT or rng.random() < 0.4 else _WING_GREY, rng.uniform(0.95, 1.05))
    scheme = rng.choice(5, p=(0.46, 0.22, 0.12, 0.11, 0.09))
    engine = body if rng.random() < 0.65 else (accent if rng.random() < 0.5 else (168, 170, 172))
    titles = accent if rng.random() < 0.6 else body
    if scheme == 0:  # white with a painted fin
        return Livery(body, body, body, 0.85, accent, wing, wing, engine, titles)
    if scheme == 1:  # a painted rear section
        return Livery(body, body, accent, rng.uniform(0.74, 0.86), accent, wing, wing, engine, titles)
    if scheme == 2:  # painted all over
        return Livery(accent, accent, other, rng.uniform(0.75, 0.85), other, wing, wing, engine, WHITE)
    if scheme == 3:  # a painted belly
        return Livery(body, accent, accent, 0.86, accent, wing, wing, engine, titles)
    grey = _shade((186, 188, 190), rng.uniform(0.9, 1.1))
    return Livery(grey, grey, grey, 0.85, accent, _shade(wing, 0.96), _shade(wing, 0.96), (150, 152, 156), titles)


def _dull(rng: np.random.Generator) -> Livery:
    """Return a faded, bare or dark livery with little contrast to concrete or asphalt."""
    paint = _shade(pick(_FADED, rng), rng.uniform(0.9, 1.1))
    wing = _shade(paint, rng.uniform(0.86, 1.08))
    fin = paint if rng.random() < 0.6 else pick(_ACCENTS, rng)
    return Livery(paint, _shade(paint, 0.9), paint, 0.85, fin, wing, wing, _shade(paint, 0.8), paint)


def _military(rng: np.random.Generator) -> Livery:
    paint = _shade(pick(_MILITARY, rng), rng.uniform(0.95, 1.3))
    dull = _shade(paint, 0.93)
    return Livery(paint, paint, paint, 0.9, dull, dull, dull, _shade(paint, 0.85), paint)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = colour
    return (red * factor, green * factor, blue * factor)


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws parts of one airplane given in its own frame."""

    world: World
    shape: AircraftType
    pose: Frame
    livery: Livery

    def draw(self, ring: Ring, colour: Colour, light: float = 1.0, height: float = 0.0) -> None:
        self.world.draw(self.pose, ring, np.array(colour) * light, Level.AIRPLANE, height)

    def draw_pair(self, ring: Ring, colour: Colour, light: float = 1.0, height: float = 0.0) -> None:
        """Draw a right part and its left counterpart."""
        self.draw(ring, colour, light, height)
        self.draw(mirrored(ring), colour, light, height)

    def light(self, side: float) -> float:
        """Return the light on a round body where its surface faces `side`, -1 left .. 1 right."""
        to_right, up = self.pose.vector(self.world.light.sun[:2])[1], self.world.light.sun[2]
        upward = math.sqrt(max(0.0, 1 - side * side))
        direct = max(0.0, side * float(to_right) + upward * up) / up
        sky = self.world.light.sky
        return sky * (0.55 + 0.45 * upward) + 0.06 + (1 - sky) * direct


def draw_airplane(world: World, shape: AircraftType, pose: Frame, livery: Livery) -> None:
    """Draw an airplane and add it to the ground truth.

    Args:
        world: the scene's contents.
        shape: its type.
        pose: frame at the middle of its length, x axis towards the nose.
        livery: its livery.
    """
    pen = _Pen(world, shape, pose, livery)
    at_tail = [engine for engine in shape.engines if engine.station > 0.5 or not engine.offset]
    _shadow(pen)
    for engine in shape.engines:
        if engine not in at_tail:
            _engine(pen, engine)
    if not shape.high_wing:
        _wings(pen)
    if not shape.t_tail:
        _tailplane(pen, 0.0)
    _fuselage(pen)
    for engine in at_tail:
        _engine(pen, engine)
    if shape.high_wing:
        _wings(pen)
    _fin(pen)
    world.airplanes.append(Airplane(shape, pose, visible_box(world, shape, pose)))


def draw_colour_fringes(world: World, shape: AircraftType, pose: Frame, shift: float) -> None:
    """Draw the coloured fringes of a moving airplane, which the sensor's bands record one after the other.

    Args:
        world: the scene's contents; the airplane itself must be drawn after its fringes.
        shape: its type.
        pose: frame at the middle of its length, x axis towards the nose.
        shift: distance of the red fringe behind and of the blue fringe ahead, metres.
    """
    ground = np.array(world.palette.asphalt)
    for ahead, tint in (
        (-1.0, (1.45, 0.95, 0.9)),
        (-0.5, (1.5, 1.12, 1.0)),
        (1.0, (0.9, 1.02, 1.5)),
        (0.5, (1.0, 1.2, 1.55)),
    ):
        moved = pose.child(ahead * shift, 0.0)
        for ring in silhouette(shape):
            world.draw(moved, ring, ground * tint, Level.AIRPLANE)


def visible_box(world: World, shape: AircraftType, pose: Frame) -> tuple[float, float, float, float]:
    """Return the bounds xmin, ymin, xmax, ymax, scene metres, of all visible parts of an airplane at a pose."""
    parts = [pose.points(ring) for ring in silhouette(shape)]
    high = [aircraft.fin(shape)[2:]]
    if shape.t_tail and shape.tail is not None:
        half = half_wing(shape.tail, shape.length)
        high += [half, mirrored(half)]
        parts = parts[:-2]  # a T-tail is visible only at its height
    parts += [world.light.displace_top(pose.points(ring), shape.fin) for ring in high]
    for propeller in (aircraft.blades(shape, engine) for engine in shape.engines if engine.propeller):
        parts += [pose.points(propeller), pose.points(mirrored(propeller))]
    points = np.concatenate(parts)
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _shadow(pen: _Pen) -> None:
    shape, light = pen.shape, pen.world.light
    body = shape.stance + (0.0 if shape.high_wing else 0.2 * shape.width)
    tail_height = body + (shape.fin if shape.t_tail else 0.3 * shape.width)
    pen.world.cast_shadow(pen.pose, fuselage(shape, 0, 1, -1, 1), body)
    parts = [(half_wing(shape.wing, shape.length), shape.stance)]
    if shape.tail is not None:
        parts.append((half_wing(shape.tail, shape.length), tail_height))
    for engine in shape.engines:
        parts.append((nacelle(shape, engine), max(0.5 * engine.width, shape.stance - 0.8 * engine.width)))
    for ring, height in parts:
        pen.world.cast_shadow(pen.pose, ring, height)
        pen.world.cast_shadow(pen.pose, mirrored(ring), height)
    fin = pen.pose.points(aircraft.fin(shape))
    pen.world.shadows.add(
        [*light.project_shadow(fin[:2], body), *light.project_shadow(fin[2:], body + shape.fin)], (255,)
    )


def _wings(pen: _Pen) -> None:
    shape, paint = pen.shape, pen.livery.wing
    pen.draw_pair(half_wing(shape.wing, shape.length), paint, 0.97)
    panelled = shape.length > _MIN_PANELLED_M and shape.kind != FIGHTER
    if panelled:  # a bright leading edge, the flap line behind the spar, the flaps
        for chord, half, light in (
            ((0.0, 0.10), (0.14, 0.92), 1.10),
            ((0.70, 0.735), (0.12, 0.72), 0.80),
            ((0.76, 1.0), (0.12, 0.34), 0.90),
            ((0.76, 1.0), (0.38, 0.72), 0.92),
        ):
            pen.draw_pair(aircraft.wing_band(shape.wing, shape.length, chord, half), paint, light)
    if not shape.high_wing:
        _wing_root_shadow(pen)
        if panelled:
            pen.draw(aircraft.fairing(shape), paint, 0.86)


def _wing_root_shadow(pen: _Pen) -> None:
    """Draw the shadow of the fuselage on the wing facing away from the sun."""
    shape, wing = pen.shape, pen.shape.wing
    to_right = float(pen.pose.vector(pen.world.light.sun[:2])[1])
    inner = 0.44 * shape.width
    outer = 0.5 * shape.width + 0.45 * shape.width * min(2.2, abs(to_right) / pen.world.light.sun[2])
    slope, half = math.tan(math.radians(wing.sweep)), half_wing(wing, shape.length)
    front, rear = half[0, 0], half[-1, 0]
    ring = np.array([(front - inner * slope, inner), (front - outer * slope, outer), (rear, outer), (rear, inner)])
    pen.draw(mirrored(ring) if to_right > 0 else ring, pen.livery.wing, 0.55)


def _tailplane(pen: _Pen, height: float) -> None:
    if pen.shape.tail is not None:
        pen.draw_pair(half_wing(pen.shape.tail, pen.shape.length), pen.livery.tail, 0.98, height)


def _fuselage(pen: _Pen) -> None:
    shape, livery = pen.shape, pen.livery
    for left, right in pairwise(_FUSELAGE_STRIPS):
        middle = (left + right) / 2
        body = livery.belly if abs(middle) > 0.8 else livery.body
        pen.draw(fuselage(shape, 0, livery.rear_from, left, right), body, pen.light(middle))
        pen.draw(fuselage(shape, livery.rear_from, 1, left, right), livery.rear, pen.light(middle))
    _cockpit(pen)
    if livery.titles != livery.body and shape.length > _MIN_TITLED_M:
        for begin, end in ((0.16, 0.205), (0.215, 0.24), (0.25, 0.285)):
            for left, right in ((-0.8, -0.42), (0.42, 0.8)):
                light = 0.8 * pen.light((left + right) / 2) + 0.2
                pen.draw(fuselage(shape, begin, end, left, right), livery.titles, light)


def _cockpit(pen: _Pen) -> None:
    shape = pen.shape
    if shape.kind == FIGHTER:
        pen.draw(fuselage(shape, 0.17, 0.34, -0.42, 0.42), _GLASS)
    elif shape.length < _MIN_PANELLED_M:  # small cabins consist mostly of the windscreen
        pen.draw(fuselage(shape, 0.23, 0.29, -0.8, 0.8), _GLASS, 1.2)
    else:
        front, depth = 0.36 * shape.nose * shape.width / shape.length, 0.3 * shape.width / shape.length
        pen.draw(fuselage(shape, front, front + depth, -0.72, 0.72), _GLASS)


def _engine(pen: _Pen, engine: Engine) -> None:
    """Draw an engine, or both of a pair."""
    front = pen.shape.length * (0.5 - engine.station)
    half = 0.4 * engine.width
    for side in (1, -1) if engine.offset else (1,):
        for left, right in pairwise(_COWL_STRIPS):
            strip = nacelle(pen.shape, engine, left, right) * np.array((1, side))
            pen.draw(strip, pen.livery.engine, pen.light(side * (left + right) / 2))
        y = side * engine.offset
        pen.draw(rectangle(front - 0.3, y - half, front, y + half), _INTAKE)
        if engine.propeller:
            pen.draw(aircraft.blades(pen.shape, engine) * np.array((1, side)), _BLADES)


def _fin(pen: _Pen) -> None:
    """Draw the fin: its root, its side as seen off nadir, its top edge, and the tailplane of a T-tail."""
    shape, paint = pen.shape, np.array(pen.livery.fin)
    fin, thick = aircraft.fin(shape), max(0.25, 0.09 * shape.width)
    lean = pen.pose.vector(pen.world.light.lean)
    pen.draw(_wedge(fin[0], fin[1], thick), pen.livery.fin, 0.9)
    visible = [*pen.pose.points(fin[:2]), *pen.world.light.displace_top(pen.pose.points(fin[2:]), shape.fin)]
    lit = paint * pen.light(-math.copysign(0.97, lean[1]))
    pen.world.objects.add(visible, [*lit, 255.0], int(Level.AIRPLANE))
    pen.draw(_wedge(fin[3], fin[2], thick), pen.livery.fin, 1.05, shape.fin)
    if shape.t_tail:
        _tailplane(pen, shape.fin)


def _wedge(tip: Ring, base: Ring, thick: float) -> Ring:
    """Return a thin triangle (3, 2) from its tip to the middle of its base."""
    across = np.array((0.0, thick / 2))
    return np.array([tip, base - across, base + across])
