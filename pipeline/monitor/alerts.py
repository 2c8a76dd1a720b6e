"""Alerts: the events that the rules yield, which of them are new, and how they are sent, each event once.

An event is a line on stdout, an entry of the record `alerts.json` of the store, and a POST to a webhook. What is about
to be sent is written to the record first. If a run is killed in between, nobody knows whether the event arrived: the
next run says so, and does not send it again.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException
from typing import Any, TextIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from geo.errors import ConfigError
from model.common.config import from_mapping
from pipeline.monitor.airports import Airport
from pipeline.monitor.scenes import format_time, parse_time
from pipeline.monitor.settings import (
    ChangeAbove,
    CountAbove,
    CountBelow,
    NewAirplane,
    NotSeen,
    Rule,
    Unusual,
    Webhook,
)
from pipeline.monitor.store import Store
from pipeline.monitor.tables import ChangeRow, VisitRow

#: Two events at one place are the same if they are not farther apart than this, metres.
SAME_PLACE_M = 40.0
RECORD = "alerts.json"
#: Statuses of a server that may take the alert later.
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """An event: what a rule was written to report.

    Attributes:
        id: identifies it.
        airport: id of the airport.
        rule: the rule, as JSON.
        kind: of the rule.
        since: it began after this time, None: nothing is known from before.
        at: it was there at this time.
        message: one line for people.
        visit_id: the visit that shows it; None if none does.
        value: what was compared with the rule's limit.
        lon: where it is, degrees; None if it is about the whole airport.
        lat: degrees.
        detection_id: the airplane, or None.
        state: `new`, `sending`, `sent`, `failed` (the webhook did not take it; it is tried again), `unknown` (a run was
            killed while it was sent), or `old` (too old to be sent).
        withdrawn: whether the tables no longer show it, since a scene came late or was published anew.
    """

    id: str
    airport: str
    rule: str
    kind: str
    since: str | None
    at: str
    message: str
    visit_id: str | None
    value: float
    lon: float | None = None
    lat: float | None = None
    detection_id: str | None = None
    state: str = "new"
    withdrawn: bool = False


def find_events(
    rules: Sequence[Rule],
    visits: Sequence[VisitRow],
    changes: Sequence[ChangeRow],
    airport: Airport,
    now: datetime.datetime,
) -> list[Event]:
    """Return the events that the rules yield at an airport, by time.

    Args:
        rules: of all airports.
        visits: of this airport, by time.
        changes: of this airport, by time.
        airport: the airport.
        now: until when nothing was seen since the last visit.
    """
    events: list[Event] = []
    for rule in rules:
        if rule.airports and airport.id not in rule.airports:
            continue
        match rule:
            case CountAbove() | CountBelow() | Unusual():
                events += _count_events(rule, visits)
            case ChangeAbove():
                events += _change_events(rule, visits)
            case NewAirplane():
                events += _new_airplanes(rule, changes, airport)
            case NotSeen():
                events += _gaps(rule, visits, airport, now)
    return sorted(events, key=lambda event: (event.at, event.kind, event.id))


def _event(rule: Rule, airport: str, since: str | None, at: str, message: str, **fields: object) -> Event:
    # The rule without the airports it names: naming one more must not send all others again.
    content = {name: value for name, value in dataclasses.asdict(rule).items() if name != "airports"}
    text = json.dumps(content, sort_keys=True)
    identity = json.dumps([airport, text, since, at, fields.get("detection_id")])
    return Event(
        id=hashlib.sha256(identity.encode()).hexdigest()[:16],
        airport=airport,
        rule=text,
        kind=rule.kind,
        since=since,
        at=at,
        message=message,
        **fields,  # type: ignore[arg-type]
    )


def _count_events(rule: CountAbove | CountBelow | Unusual, visits: Sequence[VisitRow]) -> Iterator[Event]:
    """Yield an event where a count begins to be beyond a limit: as long as it stays there, it is one event."""
    before: VisitRow | None = None
    was = None
    for visit in visits:
        verdict = _verdict(rule, visit)
        if verdict is None:  # the visit says nothing about it
            continue
        if verdict and verdict != was:
            since = None if before is None else before.acquired_at
            fields = {"visit_id": visit.visit_id, "value": visit.count}
            yield _event(rule, visit.airport, since, visit.acquired_at, _count_message(rule, visit), **fields)
        before, was = visit, verdict


def _verdict(rule: CountAbove | CountBelow | Unusual, visit: VisitRow) -> str | None:
    """Return `high` or `low` if a count is beyond a limit, "" if it is not, None if the visit does not say."""
    match rule:
        case CountAbove(value=value):
            if visit.count_low > value:  # also of a part of the airport: the rest cannot make it fewer
                return "high"
        case CountBelow(value=value):
            if visit.enough_seen and visit.count_high < value:
                return "low"
        case Unusual():
            return None if visit.unusual is None else visit.unusual.replace("no", "")
    return "" if visit.enough_seen else None


def _count_message(rule: CountAbove | CountBelow | Unusual, visit: VisitRow) -> str:
    counted = f"{visit.count:.1f} airplanes ({visit.count_low} to {visit.count_high})"
    match rule:
        case CountAbove(value=value):
            return f"{counted}: more than {value:g}"
        case CountBelow(value=value):
            return f"{counted}: fewer than {value:g}"
        case Unusual():
            more = "more" if visit.unusual == "high" else "fewer"
            return (
                f"{counted}: {more} than usual, which is {visit.usual:.1f} ({visit.usual_low:.0f} to "
                f"{visit.usual_high:.0f}) in {visit.baseline_visits} earlier visits, {visit.season_visits} of them in "
                f"this season and {visit.weekday_visits} on this weekday"
            )


def _change_events(rule: ChangeAbove, visits: Sequence[VisitRow]) -> Iterator[Event]:
    for before, visit in itertools.pairwise(visits):
        changed = visit.arrived + visit.left
        if changed > rule.value:
            message = f"{visit.arrived} airplanes arrived and {visit.left} left: more than {rule.value:g} changes"
            fields = {"visit_id": visit.visit_id, "value": float(changed)}
            yield _event(rule, visit.airport, before.acquired_at, visit.acquired_at, message, **fields)


def _new_airplanes(rule: NewAirplane, changes: Sequence[ChangeRow], airport: Airport) -> Iterator[Event]:
    for row in changes:
        size_m = _longest_m(row)
        if row.change == "arrived" and size_m > rule.min_size_m:
            lon, lat = airport.plane.to_lonlat([(row.east_m, row.north_m)])[0].round(7).tolist()  # type: ignore[arg-type]
            message = f"an airplane of {size_m:.0f} m arrived at {lat:.5f}, {lon:.5f} (latitude, longitude)"
            yield _event(
                rule, row.airport, row.since, row.acquired_at, message,
                visit_id=row.visit_id, value=size_m, lon=lon, lat=lat, detection_id=row.detection_id,
            )  # fmt: skip


def _longest_m(row: ChangeRow) -> float:
    """Return the longer one of length and wingspan, metres; of its box, where not both were measured.

    The box of an airplane of 73 m that stands at 45 degrees has sides of about 55 m.
    """
    if row.length_m is not None and row.wingspan_m is not None:
        return max(row.length_m, row.wingspan_m)
    return max(row.size_m, row.length_m or 0.0, row.wingspan_m or 0.0)


def _gaps(rule: NotSeen, visits: Sequence[VisitRow], airport: Airport, now: datetime.datetime) -> Iterator[Event]:
    """Yield an event for each time that too little was seen for too long; the airport was seen at least once."""
    times = [parse_time(visit.acquired_at) for visit in visits if visit.enough_seen]
    limit = datetime.timedelta(days=rule.days)
    for start, end in itertools.pairwise([*times, now] if times else []):
        if end - start > limit:
            message = f"too little was seen for {rule.days:g} days, since {format_time(start)}"
            yield _event(
                rule,
                airport.id,
                format_time(start),
                format_time(start + limit),
                message,
                visit_id=None,
                value=rule.days,
            )


def merge(known: Sequence[Event], current: Sequence[Event], now: datetime.datetime, max_age_days: float) -> list[Event]:
    """Return the record of events: those of earlier runs, and new ones.

    An event that was sent stays as it was sent. If the rules still yield it, even if a late scene has moved its visit,
    it is the same event and not sent again; if they no longer do, it is withdrawn.

    Args:
        known: the record of earlier runs.
        current: all events that the rules yield now.
        now: the time of the run.
        max_age_days: events this long before the run, or longer, are not sent.

    Returns:
        The record, by time; new events have the state `new`.
    """
    remaining = list(current)
    record = []
    for event in known:
        same = next((each for each in remaining if each.id == event.id), None)
        same = same or next((each for each in remaining if is_same(event, each)), None)
        if same is not None:
            remaining.remove(same)
        record.append(dataclasses.replace(event, withdrawn=same is None))
    oldest = now - datetime.timedelta(days=max_age_days)
    for event in remaining:
        record.append(dataclasses.replace(event, state="old") if parse_time(event.at) < oldest else event)
    return sorted(record, key=lambda event: (event.at, event.airport, event.kind, event.id))


def is_same(first: Event, second: Event) -> bool:
    """Return whether two events of one rule are one: their times overlap, and their places.

    An event happened after `since` and not after `at`. A visit that comes late can make this interval shorter, or
    split it, but not move it elsewhere.
    """
    if (first.airport, first.rule) != (second.airport, second.rule) or not _overlap(first, second):
        return False
    return _distance_m(first, second) <= SAME_PLACE_M


def _overlap(first: Event, second: Event) -> bool:
    """Return whether the intervals (since, at] of two events have a time in common."""
    starts = [parse_time(event.since) for event in (first, second) if event.since is not None]
    end = min(parse_time(first.at), parse_time(second.at))
    return not starts or max(starts) < end


def _distance_m(first: Event, second: Event) -> float:
    if first.lon is None or first.lat is None or second.lon is None or second.lat is None:
        return 0.0
    metres = 111_320.0
    east = ((first.lon - second.lon + 180) % 360 - 180) * metres * math.cos(math.radians(first.lat))
    return math.hypot(east, (first.lat - second.lat) * metres)


@dataclasses.dataclass(frozen=True, slots=True)
class _Record:
    events: tuple[Event, ...]


def read_events(store: Store) -> list[Event]:
    """Return the record of a store: every event of its runs.

    Raises:
        ConfigError: it is damaged.
    """
    content = store.read_json(RECORD)
    return [] if content is None else list(from_mapping(_Record, content, f"{store.uri}/{RECORD}").events)


def write_events(store: Store, events: Sequence[Event]) -> None:
    """Write the record of a store, if it has changed."""
    content = {"events": [dataclasses.asdict(event) for event in events]}
    if store.read_json(RECORD) != content:
        store.write_json(RECORD, content)


def webhook_url(webhook: Webhook) -> str:
    """Return the address of a webhook.

    Raises:
        ConfigError: the environment variable that holds it is not set, or holds something else.
    """
    if webhook.url is not None:
        return webhook.url
    url = os.environ.get(webhook.url_env or "", "")
    if not url.startswith(("https://", "http://")):
        got = "another value" if url else "none"
        raise ConfigError(f"webhook.url_env: expected an address in ${webhook.url_env}, got {got}: set it")
    return url


def deliver(events: Sequence[Event], store: Store, webhook: Webhook | None, out: TextIO, err: TextIO) -> list[Event]:
    """Send the new events, and keep the record.

    Args:
        events: the record, see `merge`.
        store: the store, locked.
        webhook: where alerts are posted; None: nowhere.
        out: gets a line for each new event.
        err: gets a line for each event that the webhook did not take.

    Returns:
        The record as it was written.

    Raises:
        ConfigError: the webhook has no address.
    """
    record = list(events)
    url = None if webhook is None else webhook_url(webhook)
    for index, event in enumerate(record):
        if event.state == "sending":
            err.write(f"alert {event.id} may not have arrived: a run was killed while it was being sent\n")
            record[index] = dataclasses.replace(event, state="unknown")
    unsent = [index for index, event in enumerate(record) if event.state in ("new", "failed") and not event.withdrawn]
    for index in unsent:
        event = record[index]
        record[index] = dataclasses.replace(event, state="sending")
        write_events(store, record)
        if event.state == "new":
            out.write(f"ALERT {line(event)}\n")
            out.flush()
        problem = None if webhook is None or url is None else post(event, url, webhook)
        if problem:
            err.write(f"alert {event.id}: {problem}; the next run tries again\n")
        record[index] = dataclasses.replace(event, state="failed" if problem else "sent")
    write_events(store, record)
    return record


def line(event: Event) -> str:
    """Return an event as a line for people."""
    return f"{event.airport} {event.at} {event.kind}: {event.message}"


def payload(event: Event) -> dict[str, Any]:
    """Return what the webhook gets: the event, and `text`, which chat services show."""
    fields = {name: value for name, value in dataclasses.asdict(event).items() if name not in ("state", "withdrawn")}
    return {"text": line(event), **fields, "rule": json.loads(event.rule)}


def post(event: Event, url: str, webhook: Webhook, pause: Callable[[float], None] = time.sleep) -> str | None:
    """Post an event; retry while the server is busy or gone.

    The header `Idempotency-Key` is the event's id: where an answer was lost, the server can tell a retry.

    Returns:
        None if the server took it, else what went wrong.
    """
    body = json.dumps(payload(event), ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": event.id}
    problem = ""
    for attempt in range(webhook.attempts):
        if attempt:
            pause(webhook.delay_s * 2 ** (attempt - 1))
        try:
            request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310 -- only http(s), see settings
            with urlopen(request, timeout=webhook.timeout_s):  # noqa: S310
                return None
        except HTTPError as error:
            problem = f"the webhook answered {error.code}"
            if error.code not in _TRANSIENT:
                return problem
        except (OSError, HTTPException) as error:
            # Without the address, which is a secret.
            problem = f"the webhook cannot be reached ({getattr(error, 'reason', None) or type(error).__name__})"
    return problem
