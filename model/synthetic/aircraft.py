"""What describes the shape of an airplane, and the outlines that follow from it.

An airplane's own frame: x forward from the middle of its length, y to its right, metres. A station is a distance back
from the nose.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.synthetic.place import rectangle


@dataclass(frozen=True, slots=True)
class Wing:
    """A wing or a tailplane, both halves.

    Attributes:
        span: From tip to tip, metres.
        at: Where its leading edge meets the axis, as a part of the airplane's length.
        root: Chord on the axis, as a part of the length.
        tip: Chord at the tip, as a part of the length.
        sweep: Of the leading edge, degrees.
        kink: Where the trailing edge turns, as a part of the half span; 0 for a straight one.
    """

    span: float
    at: float
    root: float
    tip: float
    sweep: float
    kink: float = 0.0


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine; one off the axis stands for a pair.

    Attributes:
        at: Station of its front, as a part of the length.
        out: Distance from the axis, metres.
        length: Metres.
        width: Metres.
        propeller: Diameter of its propeller, metres; 0 for a jet.
    """

    at: float
    out: float
    length: float
    width: float
    propeller: float = 0.0


@dataclass(frozen=True, slots=True)
class AircraftType:
    """The shape of one type.

    Attributes:
        kind: Its class, as the truth names it.
        length: Metres.
        width: Of the fuselage, metres.
        wing: Main wing.
        tail: Tailplane; None for a delta.
        fin: Height of the fin above the fuselage, metres.
        engines: Engines, each off the axis standing for two.
        nose: Length of the rounded nose in fuselage widths.
        taper: Part of the length where the tail begins to taper.
        high_wing: The wing lies over the fuselage.
        t_tail: The tailplane sits on top of the fin.
        stance: Height of the wing above the ground, metres.
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
    lead, root, tip = (part * length for part in (wing.at, wing.root, wing.tip))
    end = lead + half * slope
    rounding = min(0.35 * tip, 0.06 * half)
    ring = [(lead, 0.0), (end - rounding * slope, half - rounding), (end + 0.25 * tip, half), (end + tip, half)]
    if wing.kink:
        # Straight across as far as the kink on a swept wing, parallel to the leading edge on a straight one.
        ring.append((lead + root + 0.25 * wing.kink * half * slope, wing.kink * half))
    ring.append((lead + root, 0.0))
    stations = np.array(ring)
    return np.stack([length / 2 - stations[:, 0], stations[:, 1]], axis=-1)


def mirrored(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the left counterpart (N, 2) of a right part."""
    return np.multiply(ring, (1.0, -1.0))


def wing_band(wing: Wing, length: float, chord: tuple[float, float], half: tuple[float, float]) -> NDArray[np.float64]:
    """Return a piece (8, 2) of the right half wing.

    Args:
        wing: The wing.
        length: Of the airplane, metres.
        chord: From and to, as parts of the chord behind the leading edge.
        half: From and to, as parts of the half span.
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
    return length / 2 - (wing.at + wing.tip) * length - _sweep_back(wing)


def half_width(shape: AircraftType, stations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the fuselage's width, metres, at stations (N,) in metres."""
    nose, tail = shape.nose * shape.width, shape.taper * shape.length
    front = np.clip(1 - stations / nose, 0, 1)
    rear = np.clip((stations - tail) / (shape.length - tail), 0, 1)
    least = 0.35 if shape.kind == FIGHTER else 0.06
    width: NDArray[np.float64] = shape.width / 2 * np.sqrt(1 - front**2.2) * (1 - (1 - least) * rear**1.6)
    return width


def fuselage(shape: AircraftType, begin: float, end: float, left: float, right: float) -> NDArray[np.float64]:
    """Return a lengthwise piece (N, 2) of the fuselage, seen from above.

    Args:
        shape: The type.
        begin: First station, as a part of the length.
        end: Last station, likewise.
        left: Left side of the piece as a part of the half width there, -1..1.
        right: Right side, likewise, greater than `left`.
    """
    stations = np.linspace(begin, end, max(3, round(26 * (end - begin)))) * shape.length
    if begin == 0:  # the nose is round: more corners there
        round_part = shape.nose * shape.width * np.array([0, 0.02, 0.07, 0.16, 0.3, 0.5, 0.75])
        stations = np.sort(np.concatenate([round_part, stations[1:]]))
    return _between(shape.length / 2 - stations, half_width(shape, stations), left, right)


def _between(x: NDArray[np.float64], half: NDArray[np.float64], left: float, right: float) -> NDArray[np.float64]:
    """The ring (2N, 2) between two parts of the half widths (N,) at x (N,)."""
    return np.concatenate([np.stack([x, left * half], axis=-1), np.stack([x, right * half], axis=-1)[::-1]])


def fairing(shape: AircraftType) -> NDArray[np.float64]:
    """Return the swelling (8, 2) where wing and fuselage meet."""
    begin, end = shape.wing.at + 0.02, shape.wing.at + shape.wing.root + 0.03
    stations = np.array([begin, begin + 0.03, end - 0.04, end]) * shape.length
    return _between(shape.length / 2 - stations, np.array([0.7, 1.0, 1.0, 0.6]) * 0.56 * shape.width, -1, 1)


def nacelle(shape: AircraftType, engine: Engine, left: float = -1, right: float = 1) -> NDArray[np.float64]:
    """Return an engine's cowl (10, 2), the right one of a pair, or a lengthwise piece of it as `fuselage` does."""
    along = np.array([0.0, 0.12, 0.45, 0.8, 1.0]) * engine.length
    half = np.array([0.40, 0.5, 0.48, 0.34, 0.18]) * engine.width
    ring = _between(shape.length * (0.5 - engine.at) - along, half, left, right)
    return np.add(ring, (0.0, engine.out))


def blades(shape: AircraftType, engine: Engine) -> NDArray[np.float64]:
    """Return a propeller at rest (4, 2), the right one of a pair."""
    front, half = shape.length * (0.5 - engine.at), engine.propeller / 2
    return rectangle(front - 0.04, engine.out - half, front + 0.16, engine.out + half)


def fin(shape: AircraftType) -> NDArray[np.float64]:
    """Return the fin seen from the side, laid on the axis: foot front, foot rear, top rear, top front; (4, 2)."""
    chord = 0.115 if shape.kind == FIGHTER else max(0.10, 0.775 * shape.fin / shape.length)
    end = 0.97 if shape.t_tail else 0.985
    stations = np.array([end - 1.5 * chord, end, end + 0.012, end + 0.012 - 0.55 * chord]) * shape.length
    return np.stack([shape.length / 2 - stations, np.zeros(4)], axis=-1)


def silhouette(shape: AircraftType) -> tuple[NDArray[np.float64], ...]:
    """Return parts whose union is the outline seen from above: fuselage, wing halves, tailplane halves."""
    halves = [half_wing(wing, shape.length) for wing in (shape.wing, shape.tail) if wing is not None]
    return (fuselage(shape, 0, 1, -1, 1), *(ring for half in halves for ring in (half, mirrored(half))))
