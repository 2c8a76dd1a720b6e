"""The picture of the ladder: AP50 and IOU, a line of the picture for every rung."""

import itertools
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from model.ablation.results import Standing

# Drawn so many times as large, and reduced: so lines are smooth.
_FINE = 4
# Of the picture that comes out, in pixels.
_WIDTH, _ROW, _TOP, _BOTTOM = 960, 40, 56, 44
_LABELS, _PANEL, _GAP = 270, 310, 40
_TEXT, _TITLE = 15, 18
_GROUND, _INK, _QUIET, _LINE = "#ffffff", "#1b2127", "#68737d", "#d9dee3"
# Figure, title, colour.
_PANELS = (("ap50", "AP50", "#0b63b5"), ("iou", "IOU", "#c2571a"))
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)

Point = tuple[float, float]


class _Canvas:
    """Draws in pixels of the picture that comes out."""

    def __init__(self, height: int) -> None:
        self.image = Image.new("RGB", (_WIDTH * _FINE, height * _FINE), _GROUND)
        self._draw = ImageDraw.Draw(self.image)

    def line(self, points: Sequence[Point], colour: str, width: float) -> None:
        fine = [(x * _FINE, y * _FINE) for x, y in points]
        self._draw.line(fine, fill=colour, width=round(width * _FINE), joint="curve")

    def dot(self, at: Point, radius: float, colour: str, inside: str) -> None:
        centre = (at[0] * _FINE, at[1] * _FINE)
        self._draw.circle(centre, radius * _FINE, fill=inside, outline=colour, width=round(1.5 * _FINE))

    def text(self, at: Point, words: str, colour: str, anchor: str, size: int = _TEXT) -> None:
        font = ImageFont.load_default(size * _FINE)
        self._draw.text((at[0] * _FINE, at[1] * _FINE), words, fill=colour, font=font, anchor=anchor)


def draw(found: Sequence[Standing]) -> Image.Image:
    """Draws the rungs from the first, above, to the last: a small ring for each seed, means as joined dots."""
    height = _TOP + _ROW * len(found) + _BOTTOM
    canvas = _Canvas(height)
    for place, of in enumerate(found):
        canvas.text((12, _y(place)), of.rung.name, _INK if of.measured else _QUIET, "lm")
        if not of.measured:
            canvas.text((_LABELS - 12, _y(place)), "not measured yet", _QUIET, "rm", 12)
    for panel, (name, title, colour) in enumerate(_PANELS):
        left = _LABELS + panel * (_PANEL + _GAP)
        _axis(canvas, left, title, colour, len(found))
        _figures(canvas, left, found, name, colour)
    words = "dots: means over seeds; rings: seeds; a higher figure is better"
    canvas.text((_LABELS, height - 6), words, _QUIET, "ls", 12)
    return canvas.image.resize((_WIDTH, height), Image.Resampling.LANCZOS)


def _axis(canvas: _Canvas, left: float, title: str, colour: str, rungs: int) -> None:
    bottom = _TOP + _ROW * rungs
    canvas.text((left, 8), title, colour, "lt", _TITLE)
    for tick in _TICKS:
        canvas.line([(left + tick * _PANEL, _TOP - 12), (left + tick * _PANEL, bottom)], _LINE, 1)
        canvas.text((left + tick * _PANEL, bottom + 4), f"{tick:g}", _QUIET, "mt", 12)


def _figures(canvas: _Canvas, left: float, found: Sequence[Standing], name: str, colour: str) -> None:
    """The means, joined where rungs follow one another, with their numbers, and the seeds on top."""
    means = [(left + of.mean(name) * _PANEL, _y(place)) for place, of in enumerate(found)]
    for start, end in itertools.pairwise(means):
        if not math.isnan(start[0] + end[0]):
            canvas.line([start, end], colour, 2)
    for of, (x, y) in zip(found, means, strict=True):
        if not math.isnan(x):
            canvas.dot((x, y), 4.5, colour, colour)
            _label(canvas, left, (x, y), f"{of.mean(name):.3f}")
            for each in of.measured if len(of.measured) > 1 else ():
                canvas.dot((left + getattr(each, name) * _PANEL, y), 3, colour, _GROUND)


def _label(canvas: _Canvas, left: float, at: Point, words: str) -> None:
    """A number beside its dot, on the side that has room."""
    room = at[0] < left + 0.75 * _PANEL
    canvas.text((at[0] + (14 if room else -14), at[1] - 10), words, _INK, "lm" if room else "rm", 12)


def _y(place: int) -> float:
    return _TOP + (place + 0.5) * _ROW
