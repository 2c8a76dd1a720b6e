"""Telling alerts: a line on stdout, the record `alerts.json` of the store, and a webhook. Each event once.

What is about to be sent is written to the record first. If a run is killed in between, nobody knows whether the event
arrived: the next run says so, and does not send it again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any, TextIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from geo.errors import ConfigError
from model.common.config import from_mapping
from pipeline.monitor.alerts import Event
from pipeline.monitor.settings import Webhook
from pipeline.monitor.store import Store

RECORD = "alerts.json"
#: Statuses of a server that may take the alert later.
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


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
        events: the record, see `alerts.merge`.
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
            err.write(f"alert {event.id} may not have arrived: a run was killed while it was sent\n")
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
