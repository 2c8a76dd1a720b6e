"""What airplanes are painted in: mostly white, as in life."""

from dataclasses import dataclass

import numpy as np

from model.synthetic.aircraft import CARGO, FIGHTER, LIGHT
from model.synthetic.style import Colour

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
_DULL = 0.10  # of the civil airplanes
_MILITARY: tuple[Colour, ...] = (
    (140, 146, 150),
    (120, 126, 130),
    (112, 116, 100),
    (150, 152, 150),
    (98, 106, 112),
    (84, 90, 92),
)


@dataclass(frozen=True, slots=True)
class Livery:
    """Colours of one airplane in full sun on a level surface.

    Attributes:
        body: The fuselage.
        belly: Its lower sides.
        rear: Its last part.
        rear_from: Station, as a part of the length, where that part begins.
        fin: The fin.
        wing: Wings.
        tail: Tailplane.
        engine: Engine cowls.
        titles: The lettering behind the cockpit; the body's colour for none.
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


def draw_livery(rng: np.random.Generator, kind: str) -> Livery:
    """Draw the paint of an airplane of one class."""
    if kind == FIGHTER or (kind == CARGO and rng.random() < 0.6):
        return _military(rng)
    if rng.random() < _DULL:
        return _dull(rng)
    accent = _ACCENTS[int(rng.integers(len(_ACCENTS)))]
    other = _ACCENTS[int(rng.integers(len(_ACCENTS)))]
    body = _shade(WHITE, rng.uniform(0.96, 1.04))
    wing = _shade(WHITE if kind == LIGHT or rng.random() < 0.4 else _WING_GREY, rng.uniform(0.95, 1.05))
    scheme = rng.choice(5, p=(0.46, 0.22, 0.12, 0.11, 0.09))
    engine = body if rng.random() < 0.65 else (accent if rng.random() < 0.5 else (168, 170, 172))
    titles = accent if rng.random() < 0.6 else body
    if scheme == 0:  # white with a painted fin
        return Livery(body, body, body, 0.85, accent, wing, wing, engine, titles)
    if scheme == 1:  # the rear painted too
        return Livery(body, body, accent, rng.uniform(0.74, 0.86), accent, wing, wing, engine, titles)
    if scheme == 2:  # painted all over
        return Livery(accent, accent, other, rng.uniform(0.75, 0.85), other, wing, wing, engine, WHITE)
    if scheme == 3:  # a painted belly
        return Livery(body, accent, accent, 0.86, accent, wing, wing, engine, titles)
    grey = _shade((186, 188, 190), rng.uniform(0.9, 1.1))
    return Livery(grey, grey, grey, 0.85, accent, _shade(wing, 0.96), _shade(wing, 0.96), (150, 152, 156), titles)


def _dull(rng: np.random.Generator) -> Livery:
    """Faded, bare or dark paint all over, which hardly stands out from concrete or from asphalt."""
    paint = _shade(_FADED[int(rng.integers(len(_FADED)))], rng.uniform(0.9, 1.1))
    wing = _shade(paint, rng.uniform(0.86, 1.08))
    fin = paint if rng.random() < 0.6 else _ACCENTS[int(rng.integers(len(_ACCENTS)))]
    return Livery(paint, _shade(paint, 0.9), paint, 0.85, fin, wing, wing, _shade(paint, 0.8), paint)


def _military(rng: np.random.Generator) -> Livery:
    paint = _shade(_MILITARY[int(rng.integers(len(_MILITARY)))], rng.uniform(0.95, 1.3))
    dull = _shade(paint, 0.93)
    return Livery(paint, paint, paint, 0.9, dull, dull, dull, _shade(paint, 0.85), paint)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = colour
    return (red * factor, green * factor, blue * factor)
