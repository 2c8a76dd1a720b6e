"""Airplane types and their outlines.

Airplane frame: x forward from the middle of the length, y to the right, metres. A station is a distance back from the
nose. The dimensions in TYPES are those of common airplanes of each class, rounded; no type models one manufacturer's.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.synthetic.geometry import rectangle


@dataclass(frozen=True, slots=True)
class Wing:
    """A wing or a tailplane, both halves.

    Attributes:
        span: from tip to tip, metres.
        station: where its leading edge meets the axis, as a fraction of the airplane's length.
        root: chord on the axis, as a fraction of the length.
        tip: chord at the tip, as a fraction of the length.
        sweep: sweep of the leading edge, degrees.
        kink: position of the kink in the trailing edge, as a fraction of the half span; 0 for a straight edge.
    """

    span: float
    station: float
    root: float
    tip: float
    sweep: float
    kink: float = 0.0


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine on the axis, or a symmetric pair off the axis.

    Attributes:
        station: station of its front, as a fraction of the length.
        offset: distance from the axis, metres.
        length: metres.
        width: metres.
        propeller: diameter of its propeller, metres; 0 for a jet.
    """

    station: float
    offset: float
    length: float
    width: float
    propeller: float = 0.0


@dataclass(frozen=True, slots=True)
class AircraftType:
    """Shape of an airplane type.

    Attributes:
        kind: its class, as named in the truth.
        length: metres.
        width: width of the fuselage, metres.
        wing: main wing.
        tail: tailplane; None for a delta wing.
        fin: height of the fin above the fuselage, metres.
        engines: engines; each one off the axis stands for a pair.
        nose: length of the rounded nose in fuselage widths.
        taper: fraction of the length where the tail begins to taper.
        high_wing: the wing lies above the fuselage.
        t_tail: the tailplane sits on top of the fin.
        stance: height of the wing above the ground, metres.
    """

    kind: str
    length: float
    width: float
    wing: Wing
    tail: Wing | None
    fin: float
    engines: tuple[Engine, ...]
    nose: float = 1.5
    taper: float = 0.68
    high_wing: bool = False
    t_tail: bool = False
    stance: float = 3.0

    @property
    def span(self) -> float:
        """Wingspan in metres."""
        return self.wing.span


NARROW, WIDE, REGIONAL, BUSINESS = "narrow body", "wide body", "regional jet", "business jet"

TURBOPROP, LIGHT, FIGHTER, CARGO = "turboprop", "light propeller", "fighter", "cargo"


def half_wing(wing: Wing, length: float) -> NDArray[np.float64]:
    """Return the right half (N, 2) of a wing or tailplane: from the axis along the leading edge to the tip and back."""
    half, slope = wing.span / 2, math.tan(math.radians(wing.sweep))
    lead, root, tip = (part * length for part in (wing.station, wing.root, wing.tip))
    end = lead + half * slope
    rounding = min(0.35 * tip, 0.06 * half)
    ring = [(lead, 0.0), (end - rounding * slope, half - rounding), (end + 0.25 * tip, half), (end + tip, half)]
    if wing.kink:
        # Up to the kink, the trailing edge is perpendicular to the axis on swept wings.
        ring.append((lead + root + 0.25 * wing.kink * half * slope, wing.kink * half))
    ring.append((lead + root, 0.0))
    stations = np.array(ring)
    return np.stack([length / 2 - stations[:, 0], stations[:, 1]], axis=-1)


def keypoints(shape: AircraftType) -> NDArray[np.float64]:
    """Return nose, tail, and the middles of the left and the right wingtip, (4, 2)."""
    wing, half = shape.wing, shape.span / 2
    tip = shape.length * (0.5 - wing.station - wing.tip / 2) - half * math.tan(math.radians(wing.sweep))
    return np.array([(shape.length / 2, 0.0), (-shape.length / 2, 0.0), (tip, -half), (tip, half)])


def mirrored(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the left counterpart (N, 2) of a right part."""
    return np.multiply(ring, (1.0, -1.0))


def wing_band(wing: Wing, length: float, chord: tuple[float, float], half: tuple[float, float]) -> NDArray[np.float64]:
    """Return a section (8, 2) of the right half wing.

    Args:
        wing: the wing.
        length: length of the airplane, metres.
        chord: from and to, as fractions of the chord behind the leading edge.
        half: from and to, as fractions of the half span.
    """
    out, edge = np.linspace(*half, 4), half_wing(wing, length)
    lead = np.interp(out, [0, 1], [edge[0, 0], edge[0, 0] - _sweep_back(wing)])
    trail = np.interp(out, [wing.kink, 1], [edge[-2 if wing.kink else -1, 0], _tip_rear(wing, length)])
    front, back = (lead + (trail - lead) * part for part in chord)
    y = out * wing.span / 2
    return np.concatenate([np.stack([front, y], -1), np.stack([back, y], -1)[::-1]])


def _sweep_back(wing: Wing) -> float:
    return wing.span / 2 * math.tan(math.radians(wing.sweep))


def _tip_rear(wing: Wing, length: float) -> float:
    return length / 2 - (wing.station + wing.tip) * length - _sweep_back(wing)


def half_width(shape: AircraftType, stations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the fuselage width, metres, at stations (N,) in metres."""
    nose, tail = shape.nose * shape.width, shape.taper * shape.length
    front = np.clip(1 - stations / nose, 0, 1)
    rear = np.clip((stations - tail) / (shape.length - tail), 0, 1)
    min_width = 0.35 if shape.kind == FIGHTER else 0.06
    width: NDArray[np.float64] = shape.width / 2 * np.sqrt(1 - front**2.2) * (1 - (1 - min_width) * rear**1.6)
    return width


def fuselage(shape: AircraftType, begin: float, end: float, left: float, right: float) -> NDArray[np.float64]:
    """Return a lengthwise strip (N, 2) of the fuselage, seen from above.

    Args:
        shape: the type.
        begin: first station, as a fraction of the length.
        end: last station, as a fraction of the length.
        left: left side of the strip as a fraction of the local half width, -1..1.
        right: right side of the strip, greater than `left`.
    """
    stations = np.linspace(begin, end, max(3, round(26 * (end - begin)))) * shape.length
    if begin == 0:  # more corners on the round nose
        round_part = shape.nose * shape.width * np.array([0, 0.02, 0.07, 0.16, 0.3, 0.5, 0.75])
        stations = np.sort(np.concatenate([round_part, stations[1:]]))
    return _between(shape.length / 2 - stations, half_width(shape, stations), left, right)


def _between(x: NDArray[np.float64], half: NDArray[np.float64], left: float, right: float) -> NDArray[np.float64]:
    """Return the ring (2N, 2) between two fractions of the half widths (N,) at x (N,)."""
    return np.concatenate([np.stack([x, left * half], axis=-1), np.stack([x, right * half], axis=-1)[::-1]])


def fairing(shape: AircraftType) -> NDArray[np.float64]:
    """Return the fairing (8, 2) between wing and fuselage."""
    begin, end = shape.wing.station + 0.02, shape.wing.station + shape.wing.root + 0.03
    stations = np.array([begin, begin + 0.03, end - 0.04, end]) * shape.length
    return _between(shape.length / 2 - stations, np.array([0.7, 1.0, 1.0, 0.6]) * 0.56 * shape.width, -1, 1)


def nacelle(shape: AircraftType, engine: Engine, left: float = -1, right: float = 1) -> NDArray[np.float64]:
    """Return an engine cowling (10, 2), the right one of a pair, or a lengthwise strip of it as in `fuselage`."""
    along = np.array([0.0, 0.12, 0.45, 0.8, 1.0]) * engine.length
    half = np.array([0.40, 0.5, 0.48, 0.34, 0.18]) * engine.width
    ring = _between(shape.length * (0.5 - engine.station) - along, half, left, right)
    return np.add(ring, (0.0, engine.offset))


def blades(shape: AircraftType, engine: Engine) -> NDArray[np.float64]:
    """Return a stationary propeller (4, 2), the right one of a pair."""
    front, half = shape.length * (0.5 - engine.station), engine.propeller / 2
    return rectangle(front - 0.04, engine.offset - half, front + 0.16, engine.offset + half)


def fin(shape: AircraftType) -> NDArray[np.float64]:
    """Return the fin in side view, laid on the axis: root front, root rear, top rear, top front; (4, 2)."""
    chord = 0.115 if shape.kind == FIGHTER else max(0.10, 0.775 * shape.fin / shape.length)
    end = 0.97 if shape.t_tail else 0.985
    stations = np.array([end - 1.5 * chord, end, end + 0.012, end + 0.012 - 0.55 * chord]) * shape.length
    return np.stack([shape.length / 2 - stations, np.zeros(4)], axis=-1)


def silhouette(shape: AircraftType) -> tuple[NDArray[np.float64], ...]:
    """Return parts whose union is the outline seen from above: fuselage, wing halves, tailplane halves."""
    halves = [half_wing(wing, shape.length) for wing in (shape.wing, shape.tail) if wing is not None]
    return (fuselage(shape, 0, 1, -1, 1), *(ring for half in halves for ring in (half, mirrored(half))))


# A table: two or three lines per type.
# fmt: off
TYPES: tuple[AircraftType, ...] = (
    AircraftType(NARROW, 37.6, 3.95, Wing(35.8, 0.300, 0.190, 0.041, 27, 0.37),
                 Wing(12.5, 0.853, 0.115, 0.036, 32), 6.0, (Engine(0.255, 5.75, 4.5, 2.5),)),
    AircraftType(NARROW, 44.5, 3.95, Wing(35.8, 0.325, 0.165, 0.035, 27, 0.37),
                 Wing(12.5, 0.876, 0.097, 0.031, 32), 6.0, (Engine(0.290, 5.75, 4.5, 2.5),)),
    AircraftType(NARROW, 39.5, 3.80, Wing(35.8, 0.305, 0.195, 0.040, 28, 0.34),
                 Wing(14.3, 0.838, 0.125, 0.034, 35), 7.0, (Engine(0.270, 4.85, 4.6, 2.3),)),
    AircraftType(NARROW, 33.6, 3.80, Wing(34.3, 0.290, 0.225, 0.047, 28, 0.34),
                 Wing(14.3, 0.810, 0.145, 0.040, 35), 7.0, (Engine(0.245, 4.85, 4.6, 2.3),)),
    AircraftType(NARROW, 47.3, 3.80, Wing(38.0, 0.330, 0.175, 0.036, 28, 0.36),
                 Wing(15.2, 0.853, 0.105, 0.038, 34), 7.4, (Engine(0.295, 6.50, 5.4, 2.6),), stance=4.0),
    AircraftType(NARROW, 45.1, 3.40, Wing(32.9, 0.430, 0.155, 0.025, 27, 0.33),
                 Wing(12.2, 0.872, 0.090, 0.036, 34), 6.2,
                 (Engine(0.735, 2.85, 6.2, 2.0),), taper=0.80, t_tail=True, stance=2.6),
    AircraftType(WIDE, 63.7, 5.64, Wing(60.3, 0.290, 0.180, 0.030, 33, 0.34),
                 Wing(19.4, 0.850, 0.110, 0.034, 35), 8.8, (Engine(0.285, 9.40, 7.0, 3.4),), stance=4.6),
    AircraftType(WIDE, 73.9, 6.20, Wing(64.8, 0.320, 0.180, 0.026, 34, 0.33),
                 Wing(21.5, 0.850, 0.105, 0.034, 38), 9.6, (Engine(0.300, 9.70, 7.4, 4.0),), stance=5.0),
    AircraftType(WIDE, 63.7, 6.20, Wing(60.9, 0.300, 0.205, 0.030, 34, 0.33),
                 Wing(21.5, 0.829, 0.120, 0.039, 38), 9.6, (Engine(0.275, 9.60, 7.2, 3.9),), stance=5.0),
    AircraftType(WIDE, 57.0, 5.77, Wing(60.1, 0.290, 0.195, 0.020, 35, 0.35),
                 Wing(19.8, 0.834, 0.110, 0.035, 37), 9.0, (Engine(0.270, 9.80, 6.4, 3.5),), stance=4.6),
    AircraftType(WIDE, 54.9, 5.03, Wing(47.6, 0.295, 0.185, 0.036, 33, 0.34),
                 Wing(18.6, 0.840, 0.115, 0.036, 36), 8.4, (Engine(0.275, 7.90, 6.4, 3.0),), stance=4.4),
    AircraftType(WIDE, 70.7, 6.50, Wing(64.4, 0.255, 0.210, 0.038, 40, 0.38),
                 Wing(22.2, 0.829, 0.120, 0.034, 41), 9.8,
                 (Engine(0.285, 11.7, 6.2, 3.0), Engine(0.435, 20.8, 6.2, 3.0)), stance=5.0),
    AircraftType(WIDE, 72.7, 7.14, Wing(79.8, 0.245, 0.245, 0.034, 37, 0.38),
                 Wing(30.4, 0.785, 0.150, 0.045, 39), 13.0,
                 (Engine(0.290, 14.9, 7.0, 3.6), Engine(0.425, 25.7, 7.0, 3.6)), stance=5.6),
    AircraftType(REGIONAL, 26.8, 2.70, Wing(21.2, 0.425, 0.175, 0.045, 26, 0.35),
                 Wing(6.2, 0.883, 0.085, 0.050, 30), 3.6,
                 (Engine(0.690, 2.15, 3.6, 1.4),), nose=1.8, taper=0.78, t_tail=True, stance=2.0),
    AircraftType(REGIONAL, 36.2, 2.70, Wing(24.9, 0.425, 0.155, 0.035, 27, 0.35),
                 Wing(8.5, 0.887, 0.078, 0.042, 31), 3.8,
                 (Engine(0.740, 2.20, 4.0, 1.5),), nose=1.8, taper=0.82, t_tail=True, stance=2.2),
    AircraftType(REGIONAL, 29.9, 2.28, Wing(20.0, 0.440, 0.135, 0.040, 23, 0.30),
                 Wing(7.6, 0.896, 0.080, 0.042, 26), 3.6,
                 (Engine(0.720, 1.95, 3.8, 1.4),), nose=2.2, taper=0.80, t_tail=True, stance=2.0),
    AircraftType(REGIONAL, 31.7, 3.01, Wing(26.0, 0.320, 0.185, 0.045, 25, 0.36),
                 Wing(10.0, 0.845, 0.110, 0.044, 31), 5.0, (Engine(0.275, 4.10, 3.6, 1.9),), stance=2.4),
    AircraftType(REGIONAL, 36.2, 3.01, Wing(28.7, 0.330, 0.175, 0.043, 25, 0.36),
                 Wing(12.1, 0.855, 0.100, 0.040, 31), 5.4, (Engine(0.290, 4.40, 4.0, 2.0),), stance=2.6),
    AircraftType(BUSINESS, 29.4, 2.40, Wing(28.5, 0.370, 0.205, 0.045, 31, 0.30),
                 Wing(10.7, 0.841, 0.090, 0.045, 32), 3.6,
                 (Engine(0.660, 2.30, 4.6, 1.6),), nose=2.2, taper=0.74, t_tail=True, stance=1.9),
    AircraftType(BUSINESS, 20.9, 2.70, Wing(19.6, 0.400, 0.215, 0.060, 26, 0.32),
                 Wing(6.2, 0.854, 0.110, 0.060, 30), 3.0,
                 (Engine(0.630, 2.25, 3.6, 1.4),), nose=1.7, taper=0.72, t_tail=True, stance=1.7),
    AircraftType(BUSINESS, 15.9, 1.60, Wing(16.3, 0.440, 0.125, 0.055, 3, 0),
                 Wing(5.8, 0.885, 0.085, 0.050, 8), 2.4,
                 (Engine(0.600, 1.45, 2.6, 1.0),), nose=2.4, taper=0.70, t_tail=True, stance=1.3),
    AircraftType(BUSINESS, 17.7, 1.60, Wing(14.6, 0.470, 0.150, 0.060, 14, 0),
                 Wing(4.5, 0.885, 0.090, 0.055, 25), 2.4,
                 (Engine(0.610, 1.50, 2.7, 1.1),), nose=2.6, taper=0.70, t_tail=True, stance=1.3),
    AircraftType(TURBOPROP, 27.2, 2.87, Wing(27.1, 0.410, 0.096, 0.055, 3, 0.38),
                 Wing(7.3, 0.925, 0.068, 0.045, 8), 4.4,
                 (Engine(0.335, 4.05, 5.6, 1.2, 3.9),), nose=1.6, taper=0.62, high_wing=True, t_tail=True, stance=4.0),
    AircraftType(TURBOPROP, 32.8, 2.69, Wing(28.4, 0.425, 0.092, 0.048, 3, 0.35),
                 Wing(9.3, 0.925, 0.060, 0.045, 8), 4.6,
                 (Engine(0.330, 4.40, 7.4, 1.3, 4.1),), nose=1.7, taper=0.66, high_wing=True, t_tail=True, stance=4.2),
    AircraftType(TURBOPROP, 14.2, 1.50, Wing(17.6, 0.360, 0.150, 0.072, 4, 0.25),
                 Wing(5.6, 0.887, 0.095, 0.060, 15), 2.6,
                 (Engine(0.240, 2.60, 4.2, 0.9, 2.6),), nose=2.2, taper=0.60, t_tail=True, stance=1.3),
    AircraftType(TURBOPROP, 14.4, 1.60, Wing(16.3, 0.360, 0.140, 0.070, 3, 0),
                 Wing(5.2, 0.905, 0.095, 0.060, 6), 2.4,
                 (Engine(0.020, 0.0, 2.0, 1.0, 2.6),), nose=1.4, taper=0.58, t_tail=True, stance=1.3),
    AircraftType(LIGHT, 8.3, 1.15, Wing(11.0, 0.255, 0.195, 0.140, 1, 0.45),
                 Wing(3.4, 0.855, 0.130, 0.090, 8), 1.3,
                 (Engine(0.020, 0.0, 1.2, 0.9, 1.9),), nose=0.8, taper=0.42, high_wing=True, stance=1.9),
    AircraftType(LIGHT, 7.6, 1.15, Wing(10.0, 0.300, 0.215, 0.150, 2, 0.40),
                 Wing(3.5, 0.860, 0.125, 0.095, 5), 1.2,
                 (Engine(0.020, 0.0, 1.2, 0.9, 1.8),), nose=0.8, taper=0.50, stance=0.8),
    AircraftType(LIGHT, 7.9, 1.25, Wing(11.7, 0.305, 0.185, 0.090, 2, 0),
                 Wing(3.9, 0.865, 0.120, 0.080, 6), 1.4,
                 (Engine(0.020, 0.0, 1.2, 0.9, 1.9),), nose=0.9, taper=0.50, stance=0.8),
    AircraftType(LIGHT, 10.8, 1.35, Wing(12.6, 0.310, 0.190, 0.100, 4, 0.30),
                 Wing(4.6, 0.870, 0.115, 0.080, 8), 1.7,
                 (Engine(0.200, 1.95, 2.6, 0.8, 2.0),), nose=1.8, taper=0.55, stance=0.9),
    AircraftType(LIGHT, 7.3, 1.05, Wing(10.2, 0.260, 0.200, 0.150, 1, 0.45),
                 Wing(3.0, 0.850, 0.135, 0.095, 6), 1.2,
                 (Engine(0.020, 0.0, 1.1, 0.9, 1.75),), nose=0.8, taper=0.40, high_wing=True, stance=1.8),
    AircraftType(LIGHT, 9.7, 1.40, Wing(12.2, 0.270, 0.180, 0.120, 1, 0.50),
                 Wing(4.2, 0.870, 0.125, 0.090, 6), 1.6,
                 (Engine(0.020, 0.0, 1.5, 1.0, 2.1),), nose=1.0, taper=0.45, high_wing=True, stance=2.1),
    AircraftType(LIGHT, 11.5, 1.60, Wing(15.9, 0.290, 0.170, 0.150, 0, 0.50),
                 Wing(5.2, 0.875, 0.120, 0.090, 4), 1.8,
                 (Engine(0.020, 0.0, 2.2, 1.0, 2.6),), nose=1.5, taper=0.55, high_wing=True, stance=2.4),
    AircraftType(LIGHT, 6.9, 1.05, Wing(8.5, 0.300, 0.210, 0.150, 2, 0.35),
                 Wing(3.0, 0.850, 0.135, 0.095, 6), 1.1,
                 (Engine(0.020, 0.0, 1.1, 0.9, 1.7),), nose=0.8, taper=0.48, stance=0.8),
    AircraftType(LIGHT, 9.0, 1.30, Wing(11.9, 0.280, 0.185, 0.120, 3, 0.30),
                 Wing(4.3, 0.865, 0.120, 0.080, 7), 1.6,
                 (Engine(0.170, 1.80, 2.2, 0.8, 1.9),), nose=1.6, taper=0.52, stance=0.9),
    AircraftType(LIGHT, 10.5, 1.25, Wing(13.6, 0.270, 0.215, 0.200, 0, 0),
                 Wing(4.6, 0.850, 0.125, 0.100, 3), 1.5,
                 (Engine(0.020, 0.0, 1.8, 1.0, 2.7),), nose=1.4, taper=0.50, stance=1.0),
    AircraftType(FIGHTER, 12.1, 1.70, Wing(9.9, 0.400, 0.230, 0.110, 15, 0),
                 Wing(4.6, 0.820, 0.130, 0.080, 20), 2.3, (), nose=2.6, taper=0.88, stance=1.4),
    AircraftType(FIGHTER, 15.3, 2.10, Wing(10.9, 0.360, 0.520, 0.060, 48, 0),
                 None, 2.9, (), nose=2.8, taper=0.92, stance=1.7),
    AircraftType(FIGHTER, 15.1, 1.70, Wing(9.8, 0.400, 0.330, 0.070, 40, 0),
                 Wing(5.6, 0.784, 0.150, 0.060, 40), 2.6, (), nose=3.2, taper=0.90, stance=1.6),
    AircraftType(FIGHTER, 19.4, 2.90, Wing(13.1, 0.400, 0.300, 0.090, 43, 0),
                 Wing(8.8, 0.705, 0.160, 0.060, 46), 3.0, (), nose=2.6, taper=0.93, stance=1.8),
    AircraftType(FIGHTER, 21.9, 3.00, Wing(14.7, 0.380, 0.290, 0.110, 42, 0),
                 Wing(9.8, 0.706, 0.150, 0.070, 45), 3.4, (), nose=2.6, taper=0.94, stance=2.0),
    AircraftType(FIGHTER, 14.4, 1.80, Wing(9.1, 0.330, 0.560, 0.050, 58, 0),
                 None, 2.8, (), nose=3.0, taper=0.92, stance=1.6),
    AircraftType(CARGO, 29.8, 4.30, Wing(40.4, 0.345, 0.165, 0.085, 2, 0.45),
                 Wing(16.1, 0.855, 0.125, 0.070, 8), 7.0,
                 (Engine(0.255, 5.10, 5.2, 1.3, 4.1), Engine(0.265, 10.2, 5.2, 1.3, 4.1)),
                 nose=1.0, taper=0.62, high_wing=True, stance=4.4),
    AircraftType(CARGO, 53.0, 6.80, Wing(51.8, 0.310, 0.205, 0.055, 28, 0.36),
                 Wing(19.8, 0.837, 0.110, 0.055, 30), 10.0,
                 (Engine(0.255, 8.00, 6.2, 2.8), Engine(0.345, 14.6, 6.2, 2.8)),
                 nose=1.2, taper=0.64, high_wing=True, t_tail=True, stance=5.6),
    AircraftType(CARGO, 61.6, 6.00, Wing(51.7, 0.310, 0.190, 0.035, 35, 0.36),
                 Wing(18.0, 0.850, 0.125, 0.035, 37), 8.8, (Engine(0.295, 8.10, 6.8, 3.1),), stance=4.8),
)
# fmt: on
