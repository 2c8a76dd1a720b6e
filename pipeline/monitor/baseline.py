"""What is usual at an airport on a day, and whether a count is not. Pure functions over arrays.

A count is compared with the counts of earlier visits that saw enough of the airport: their mean, plus additive effects
of the weekday and of the season, which is the quarter of a year around the visit's date: no count becomes unusual just
because a month begins. An effect is used only where there are enough visits of that weekday, or season; and where the
season is new, only with the most recent visits, since the others are of another season. The fit is robust (Huber), so
that unusual counts of the past do not become usual. The interval is Student's prediction interval: the fewer visits,
the stronger the evidence must be.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from geo.types import FloatArray
from pipeline.monitor.settings import BaselineSettings

#: Huber's constant: residuals beyond this many standard deviations weigh less.
_HUBER = 1.345
_MAD_TO_SD = 1.4826
_ITERATIONS, _CONVERGED = 20, 1e-6
_YEAR = datetime.timedelta(days=365.2425)
#: Visits of the last season that are compared with where the season is new, in multiples of `min_visits`.
_RECENT = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """The count of a visit that saw enough.

    Attributes:
        time: of the visit.
        weekday: 0 (Monday) to 6, of the local day.
        count: expected number of airplanes.
        spread: its standard deviation by the detector's errors.
    """

    time: datetime.datetime
    weekday: int
    count: float
    spread: float

    def season_from(self, time: datetime.datetime) -> int:
        """Return the quarter of the year, 0 to 3, of which 0 is centred on the date of another time."""
        years = (self.time - time) / _YEAR
        return round(4 * (years % 1)) % 4


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """A count against what is usual.

    Attributes:
        unusual: `high`, `low` or `no`; None if there is too little to say it.
        usual: the usual count, or None.
        low: lower end of the usual counts, or None.
        high: upper end, or None.
        visits: earlier visits that it was compared with.
        weekday_visits: those of the same weekday; at `min_visits` or more, its effect is in `usual`.
        season_visits: those of the same season; likewise.
    """

    unusual: str | None
    usual: float | None
    low: float | None
    high: float | None
    visits: int
    weekday_visits: int
    season_visits: int


def local_weekday(time: datetime.datetime, lon: float) -> int:
    """Return the weekday, 0 (Monday) to 6, by mean solar time at a longitude."""
    return (time + datetime.timedelta(hours=((lon + 180) % 360 - 180) / 15)).weekday()


def judge(current: Observation, earlier: Sequence[Observation], settings: BaselineSettings) -> Judgement:
    """Return the count of a visit against those of earlier visits, in any order."""
    since = current.time - datetime.timedelta(days=settings.history_days)
    history = sorted((past for past in earlier if since <= past.time < current.time), key=lambda past: past.time)
    same_season = sum(past.season_from(current.time) == 0 for past in history)
    season_known = same_season >= settings.min_visits
    if not season_known:
        history = history[-_RECENT * settings.min_visits :]
        same_season = sum(past.season_from(current.time) == 0 for past in history)
    same_weekday = sum(past.weekday == current.weekday for past in history)
    support = (len(history), same_weekday, same_season)
    if len(history) < settings.min_visits:
        return Judgement(None, None, None, None, *support)
    design = _design([*history, current], season_known, settings.min_visits)
    usual, spread, parameters = _predict(design[:-1], np.array([past.count for past in history]), design[-1], settings)
    freedom = max(1, len(history) - parameters)
    reach = float(stats.t.ppf(1 - settings.false_alarm / 2, freedom)) * math.hypot(spread, current.spread)
    low, high = usual - reach, usual + reach
    unusual = "high" if current.count > high else "low" if current.count < low else "no"
    return Judgement(unusual, round(usual, 2), round(max(0.0, low), 2), round(high, 2), *support)


def _design(rows: Sequence[Observation], season_known: bool, min_visits: int) -> FloatArray:
    """Return the columns of the linear model, (N, P): the mean, and an indicator for each season and weekday in use.

    The last row is the visit to judge. Seasons with too few visits have a column too, so that they do not shift the
    mean of the others; it says nothing of them.
    """
    columns = [np.ones(len(rows))]
    past = rows[:-1]
    if season_known:
        of_rows = np.array([row.season_from(rows[-1].time) for row in rows])
        columns += [np.asarray(of_rows == season, np.float64) for season in sorted(set(of_rows[:-1].tolist()) - {0})]
    days = [day for day in range(7) if sum(row.weekday == day for row in past) >= min_visits]
    # One weekday is the reference, unless rarer weekdays are.
    if sum(row.weekday in days for row in past) == len(past):
        days = days[1:]
    columns += [np.array([row.weekday == day for row in rows], np.float64) for day in days]
    return np.column_stack(columns)


def _predict(
    design: FloatArray, counts: FloatArray, row: FloatArray, settings: BaselineSettings
) -> tuple[float, float, int]:
    """Return the predicted count of a row, its standard deviation, and the number of parameters."""
    weights = np.ones(len(counts))
    effects: FloatArray = np.zeros(design.shape[1])
    spread = settings.min_spread
    for _ in range(_ITERATIONS):
        root = np.sqrt(weights)[:, None]
        before = effects
        effects = np.asarray(np.linalg.lstsq(design * root, counts * root[:, 0], rcond=None)[0], dtype=np.float64)
        residuals = np.abs(counts - design @ effects)
        # Of few residuals the median is often small by chance; the mean knows the number of effects.
        freedom = max(1, len(counts) - design.shape[1])
        mean = math.sqrt(float(np.sum(weights * residuals**2)) / freedom)
        spread = max(settings.min_spread, _MAD_TO_SD * float(np.median(residuals)), mean)
        weights = np.minimum(1.0, _HUBER * spread / np.maximum(residuals, 1e-9))
        if np.abs(effects - before).max() < _CONVERGED:
            break
    covariance = np.linalg.pinv((design * weights[:, None]).T @ design)
    leverage = float(row @ covariance @ row)
    return float(row @ effects), spread * math.sqrt(1 + leverage), int(np.linalg.matrix_rank(design))
