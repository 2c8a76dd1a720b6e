"""Alerts: what rules find, that late scenes send nothing twice, and the webhook."""

import contextlib
import dataclasses
import datetime
import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely

from geo.errors import ConfigError
from model.common.config import from_mapping
from pipeline.monitor import alerts
from pipeline.monitor.alerts import Event, find_events, merge
from pipeline.monitor.series import Tables
from pipeline.monitor.settings import MonitorSettings, Rule, Webhook, load_settings
from pipeline.monitor.store import Store
from tests.pipeline.monitor.conftest import AIRPLANES, MonitorRunner
from tests.pipeline.monitor.world import AIRPORT, Plane, rows_of_planes, scene, tables_of

NOW = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)
PLANES = [dataclasses.replace(plane, size=38.0) for plane in rows_of_planes(15)]


def rules_of(*rules: dict[str, Any]) -> tuple[Rule, ...]:
    content = dataclasses.asdict(load_settings()) | {"alerts": list(rules)}
    return from_mapping(MonitorSettings, content, "test").alerts


def events_of(tables: Tables, rule: dict[str, Any], now: datetime.datetime = NOW) -> list[Event]:
    return find_events(rules_of(rule), tables.visits, tables.changes, AIRPORT, now)


def days(*counts: int) -> list[Any]:
    return [scene(f"2026-01-{day:02d}", PLANES[:count]) for day, count in enumerate(counts, start=1)]


def test_a_count_above_is_one_event_until_it_falls() -> None:
    tables = tables_of(days(5, 12, 13, 5, 12))
    events = events_of(tables, {"kind": "count_above", "value": 10})
    assert [(event.since, event.at) for event in events] == [
        ("2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z"),
        ("2026-01-04T10:00:00Z", "2026-01-05T10:00:00Z"),
    ]
    assert events[0].message == "11.9 airplanes (11 to 13): more than 10"


def test_a_count_must_be_certain() -> None:
    tables = tables_of(days(12))
    assert tables.visits[0].count_low == 11
    assert len(events_of(tables, {"kind": "count_above", "value": 10.5})) == 1
    assert events_of(tables, {"kind": "count_above", "value": float(tables.visits[0].count_low)}) == []


def test_a_count_below_needs_enough_seen() -> None:
    west = shapely.box(-2000, -2000, -90, 2000)
    few = tables_of([scene("2026-01-01", PLANES), scene("2026-01-02", PLANES, seen=west)])
    assert events_of(few, {"kind": "count_below", "value": 10}) == []
    assert len(events_of(tables_of(days(12, 3)), {"kind": "count_below", "value": 10})) == 1


def test_other_rules() -> None:
    planes = [*PLANES, Plane(300.0, 300.0, 70.0), Plane(400.0, 300.0, 40.0)]
    tables = tables_of([scene("2026-01-01", PLANES[3:]), scene("2026-01-02", planes[2:])])
    (new,) = events_of(tables, {"kind": "new_airplane", "min_size_m": 60})
    assert "70 m arrived" in new.message
    assert AIRPORT.plane.to_metres([(new.lon, new.lat)])[0] == pytest.approx([300, 300], abs=0.1)  # type: ignore[arg-type]
    assert new.value == 70
    (change,) = events_of(tables, {"kind": "change_above", "value": 2})
    assert change.value == 3
    assert events_of(tables, {"kind": "change_above", "value": 3}) == []
    assert events_of(tables, {"kind": "change_above", "value": 2, "airports": ["TLS"]}) == []


@pytest.mark.parametrize(
    ("box", "length", "wingspan", "longest"),
    [
        (55, 73.9, 64.8, 73.9),  # at 45 degrees
        (62, 58, 57, None),  # its box takes in the shadow
        (62, 58, None, 62),
        (58, None, 64.8, 64.8),
        (58, None, None, None),
    ],
)
def test_a_large_airplane_is_told_by_its_length_and_wingspan(
    box: float, length: float | None, wingspan: float | None, longest: float | None
) -> None:
    planes = [*PLANES, Plane(300.0, 300.0, box, length=length, wingspan=wingspan)]
    tables = tables_of([scene("2026-01-01", PLANES), scene("2026-01-02", planes)])
    events = events_of(tables, {"kind": "new_airplane", "min_size_m": 60})
    assert [event.value for event in events] == ([] if longest is None else [longest])
    (row,) = (row for row in tables.airplanes if row.change == "arrived")
    assert (row.size_m, row.size_class) == (box, "60 m and more" if box >= 60 else "45-60 m")


def test_gaps() -> None:
    tables = tables_of([scene("2026-01-01", PLANES), scene("2026-01-20", PLANES)])
    rule = {"kind": "not_seen", "days": 10}
    first, last = events_of(tables, rule)
    assert (first.since, first.at) == ("2026-01-01T10:00:00Z", "2026-01-11T10:00:00Z")
    assert last.since == "2026-01-20T10:00:00Z"
    assert events_of(tables, rule, NOW + datetime.timedelta(days=5))[1].id == last.id  # the same, however late it is
    assert events_of(tables_of([]), rule) == []


@pytest.mark.parametrize(
    ("rule", "late"),
    [
        ({"kind": "count_above", "value": 10}, 13),  # a visit in between, already above
        ({"kind": "new_airplane", "min_size_m": 60}, None),
    ],
)
def test_late_scenes_tell_nothing_twice(rule: dict[str, Any], late: int | None) -> None:
    large = [*PLANES[:13], Plane(300.0, 300.0, 70.0)]
    before, after = scene("2026-01-10", PLANES[:5]), scene("2026-01-20", large)
    between = scene("2026-01-15", large if late is None else PLANES[:late])
    record = merge([], events_of(tables_of([before, after]), rule), NOW, 30)
    assert [event.state for event in record] == ["new"]
    sent = [dataclasses.replace(event, state="sent") for event in record]
    again = merge(sent, events_of(tables_of([before, between, after]), rule), NOW, 30)
    assert again == sent


def test_an_event_that_was_wrong_is_withdrawn() -> None:
    rule = {"kind": "change_above", "value": 6}
    before, after = scene("2026-01-10", PLANES[:5]), scene("2026-01-20", PLANES[:13])
    record = merge([], events_of(tables_of([before, after]), rule), NOW, 30)
    sent = [dataclasses.replace(event, state="sent") for event in record]
    (event,) = merge(sent, events_of(tables_of([before, scene("2026-01-15", PLANES[:9]), after]), rule), NOW, 30)
    assert (event.state, event.withdrawn) == ("sent", True)
    (event,) = merge([event], events_of(tables_of([before, after]), rule), NOW, 30)
    assert (event.state, event.withdrawn) == ("sent", False)


def test_old_events_are_recorded_but_not_told() -> None:
    record = merge([], events_of(tables_of(days(5, 12)), {"kind": "count_above", "value": 10}), NOW, 10)
    assert [event.state for event in record] == ["old"]


@dataclasses.dataclass
class Hook:
    """A web server that answers POSTs with the given statuses, then with 200, and keeps what it got."""

    url: str = ""
    statuses: list[int] = dataclasses.field(default_factory=list)
    got: list[tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def webhook_server() -> Iterator[Hook]:
    hook = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.got.append((self.headers["Idempotency-Key"], json.loads(body)))
            self.send_response(hook.statuses.pop(0) if hook.statuses else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        hook.url = f"http://127.0.0.1:{server.server_port}/secret"
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook_server() as hook:
        yield hook


@pytest.fixture
def news() -> list[Event]:
    return merge([], events_of(tables_of(days(5, 12)), {"kind": "count_above", "value": 10}), NOW, 40)


def test_an_alert_is_posted_once(tmp_path: Path, hook: Hook, news: list[Event]) -> None:
    store, out, err = Store(str(tmp_path)), io.StringIO(), io.StringIO()
    hook.statuses = [503, 429]
    webhook = Webhook(url=hook.url, delay_s=0.001)
    record = alerts.deliver(news, store, webhook, out, err)
    assert [event.state for event in record] == ["sent"]
    assert [key for key, _ in hook.got] == [news[0].id] * 3
    posted = hook.got[-1][1]
    assert posted["text"] == out.getvalue().removeprefix("ALERT ").rstrip()
    assert (posted["airport"], posted["rule"]) == ("HAM", {"kind": "count_above", "value": 10})
    assert alerts.read_events(Store(str(tmp_path))) == record
    alerts.deliver(alerts.read_events(Store(str(tmp_path))), store, webhook, out, err)
    assert len(hook.got) == 3
    assert out.getvalue().count("ALERT") == 1


@pytest.mark.parametrize(("statuses", "posts", "answer"), [([500] * 9, 4, 500), ([404], 1, 404)])
def test_an_alert_that_was_not_taken_is_tried_by_the_next_run(
    tmp_path: Path, hook: Hook, news: list[Event], statuses: list[int], posts: int, answer: int
) -> None:
    store, out, err = Store(str(tmp_path)), io.StringIO(), io.StringIO()
    hook.statuses = statuses
    webhook = Webhook(url=hook.url, delay_s=0.001)
    (event,) = alerts.deliver(news, store, webhook, out, err)
    assert (event.state, len(hook.got)) == ("failed", posts)
    assert f"the webhook answered {answer};" in err.getvalue()
    assert "secret" not in err.getvalue()
    hook.statuses = []
    (event,) = alerts.deliver([event], store, webhook, out, err)
    assert event.state == "sent"
    assert out.getvalue().count("ALERT") == 1


def test_a_server_that_is_gone_is_one_line(tmp_path: Path, news: list[Event]) -> None:
    err = io.StringIO()
    webhook = Webhook(url="http://127.0.0.1:9/x", attempts=2, delay_s=0.001)
    (event,) = alerts.deliver(news, Store(str(tmp_path)), webhook, io.StringIO(), err)
    assert event.state == "failed"
    assert "cannot be reached" in err.getvalue()


def test_a_kill_while_an_alert_is_sent_does_not_send_it_again(tmp_path: Path, hook: Hook, news: list[Event]) -> None:
    class Killed(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    webhook, err = Webhook(url=hook.url), io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        alerts.deliver(news, Store(str(tmp_path)), webhook, Killed(), err)
    store = Store(str(tmp_path))
    (event,) = alerts.deliver(alerts.read_events(store), store, webhook, io.StringIO(), err)
    assert (event.state, hook.got) == ("unknown", [])
    assert "may not have arrived" in err.getvalue()


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = Webhook(url_env="HOOK")
    with pytest.raises(ConfigError, match=r"expected an address in \$HOOK, got none"):
        alerts.webhook_url(webhook)
    monkeypatch.setenv("HOOK", "https://example.com/x")
    assert alerts.webhook_url(webhook) == "https://example.com/x"


def test_the_command_tells_alerts(monitor: MonitorRunner, hook: Hook) -> None:
    content = dataclasses.asdict(load_settings())
    content |= {"alerts": [{"kind": "count_above", "value": 1}], "webhook": {"url": hook.url, "delay_s": 0.001}}
    (monitor.folder / "monitor.yaml").write_text(json.dumps(content))
    monitor.add_scene("2026-01-05", AIRPLANES[:1])
    monitor.add_scene("2026-01-06")
    args = ("--config", "monitor.yaml", "--until", "2026-01-07")
    hook.statuses = [404]
    status, out, err = monitor.run(*args)
    assert (status, len(err), len(hook.got)) == (1, 1, 1)
    assert out[-1].startswith("ALERT TST 2026-01-06T10:00:00Z count_above: 2.8 airplanes (2 to 3): more than 1")
    status, out, _ = monitor.run(*args)
    assert (status, len(hook.got)) == (0, 2)
    assert not [line for line in out if line.startswith("ALERT")]
    assert monitor.run(*args)[0] == 0
    assert len(hook.got) == 2
