"""What pages and scripts read: the overview, one server, its near-live samples; and what they change."""

from __future__ import annotations

import hashlib
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .. import clock, fleet, forecast, intake, ledger, rollup, settings, silence
from ..bodies import DISK_IO_RATE, NETWORK_RATE, PROCESS, REMOTE_FIELDS
from ..shapes import Field
from ..store import agent_config, audit, details, events, series, servers, services
from ..store.details import encode
from ..store.commits import Database
from .call import Call, Text, find_server, no_such, tagged

OVERVIEW_SECONDS = 1  # how long an overview without changes is taken as it is: statuses depend on the time
ALERTS_SHOWN = 20
TROUBLES = 40  # the worst active alerts stand beside the cards, and what is told of each
TROUBLE = ("server_id", "severity", "message", "timestamp")
SERVER_ALERTS_SHOWN = 100
BENCHMARK = {"cpu": "cpu_percent", "mem": "memory_percent", "swap": "swap_percent", "proc": "process_count",
             "thread": "thread_count"}

Hub = Any  # hub.Hub, which is passed and never imported


# --- the overview -----------------------------------------------------------------------------------------------------

class _Made(NamedTuple):
    version: int
    at: int
    text: Text


class Overview:
    """The last overview that was made, for each view. Made again when asked after a change, or after a second."""

    def __init__(self) -> None:
        self._made: Dict[str, _Made] = {}
        self._lock = threading.Lock()

    def text(self, hub: Hub, view: str, now: int) -> Text:
        with self._lock:
            made, version = self._made.get(view), hub.fleet.version
            if made is None or made.version != version or not 0 <= now - made.at < OVERVIEW_SECONDS * 1000:
                made = self._made[view] = _Made(version, now, _make(hub, view, now, made))
            return made.text


def overview(hub: Hub, call: Call) -> Text:
    """Summary, servers and open alerts, as the seed's clients know it; `view=cards` is the page's shorter form."""
    return hub.overview.text(hub, call.query["view"], call.now)


def _make(hub: Hub, view: str, now: int, last: Optional[_Made]) -> Text:
    """The answer's text; the last one again, with its tag, when nothing but the time has changed."""
    body = VIEWS[view](hub, now)
    tag = '"%s"' % hashlib.blake2b(body.encode("utf-8"), digest_size=12).hexdigest()
    if last is not None and last.text.tag == tag:
        return last.text
    return Text('{"now":"%s",%s' % (clock.iso(now), body[1:]), tag)


def _summary(hub: Hub, now: int) -> str:
    return encode(hub.fleet.summary(now, hub.settings["stale_threshold_minutes"]))


def _whole(hub: Hub, now: int) -> str:
    stale = hub.settings["stale_threshold_minutes"]
    return '{"summary":%s,"servers":%s,"alerts":%s}' % (
        _summary(hub, now), hub.fleet.entries(now, stale),
        encode(events.listed(hub.engine.read(), "active", limit=ALERTS_SHOWN)))


def _cards(hub: Hub, now: int) -> str:
    stale = hub.settings["stale_threshold_minutes"]
    summary = hub.fleet.summary(now, stale)
    active = events.worst(hub.engine.read(), TROUBLES) if summary["activeAlerts"] else []
    return '{"refresh_seconds":%d,"stale_minutes":%d,"summary":%s,"columns":%s,"rows":%s,"alerts":%s}' % (
        hub.settings["dashboard_refresh_seconds"], stale, encode(summary), encode(fleet.CARD_COLUMNS),
        hub.fleet.cards(now, stale), encode([{key: alert[key] for key in TROUBLE} for alert in active]))


def _totals(hub: Hub, now: int) -> str:
    return '{"summary":%s}' % _summary(hub, now)


VIEWS = {"whole": _whole, "cards": _cards, "summary": _totals}


def health(hub: Hub, call: Call) -> Dict[str, Any]:
    """Whether the hub's store answers; for load balancers and for people in a hurry."""
    hub.engine.check()
    return {"status": "ok", "service": "Server Monitor", "timestamp": clock.iso(call.now)}


# --- one server -------------------------------------------------------------------------------------------------------

def server(hub: Hub, call: Call) -> Text:
    """One server: state, history of the last hours, processes now or at a moment, services."""
    found = find_server(hub, call.params["server_id"])
    db, row_id = hub.engine.read(), found.row["id"]
    until = call.query["until"]
    since = (call.now if until is None else until) - call.query["hours"] * clock.HOUR
    history, step = rollup.history(db, row_id, since, call.now + clock.HOUR if until is None else until)
    moment = call.query["at"]
    shown = series.nearest(db, row_id, moment) if moment is not None else _newest(hub, found)
    processes = details.unpack(shown.blob)["processes"] if shown and shown.blob else []
    return tagged({
        "server": found.answer(call.now, hub.settings["stale_threshold_minutes"]),
        "metrics": found.metrics(), "history": history, "step": step, "processes": PROCESS.dicts(processes),
        "processes_at": clock.iso(shown.at) if shown else None,
        "services": services.of(db, row_id),
        "alerts": events.for_server(db, row_id, since, SERVER_ALERTS_SHOWN)})


def full_in(hub: Hub, call: Call) -> Dict[str, Any]:
    """When the fullest disk of a server will be full, where its last days tell."""
    found = find_server(hub, call.params["server_id"])
    mount, hours = forecast.hours_left(hub.engine.read(), found, call.now) or (None, None)
    return {"mountpoint": mount, "hours_left": hours}


def change(hub: Hub, call: Call) -> Dict[str, Any]:
    """Change what people decide about a server; only the members that were sent."""
    found = find_server(hub, call.params["server_id"])
    columns = dict(call.body)
    if "interval" in columns:
        columns["collection_interval"] = columns.pop("interval")
    remote = {"collection_interval_minutes": columns["collection_interval"]} if "collection_interval" in columns else {}

    def work(record: ledger.Record) -> int:
        db, row_id = record.db, found.row["id"]
        if not servers.change(db, row_id, columns):
            raise no_such("server")
        call.note(db, "server.change", found.row["display_name"], audit.changed(found.row, columns))
        if columns.get("approved") is False:
            ledger.lose(record, found, "the server is not approved any more")
        elif "may_be_off" in columns:
            silence.regrade(record, found, columns["may_be_off"])
        return agent_config.queue(db, row_id, remote, call.now) if remote else found.config_revision

    def after(revision: int) -> fleet.Server:
        found.config_revision = revision
        return hub.fleet.change(found.row["uuid"], columns) or found
    ledger.write(hub, work, call.now, after, about=[found])
    return {"status": "ok", "server": found.answer(call.now, hub.settings["stale_threshold_minutes"])}


def remove(hub: Hub, call: Call) -> Dict[str, Any]:
    """Remove a server and all its data: from every answer at once, from the disk soon after."""
    found = find_server(hub, call.params["server_id"])

    def work(record: ledger.Record) -> None:
        if not servers.remove(record.db, found.row["id"]):
            raise no_such("server")
        ledger.lose(record, found, "the server was removed")
        call.note(record.db, "server.remove", found.row["display_name"], {"id": [found.row["uuid"], None]})
    ledger.write(hub, work, call.now, lambda _: hub.fleet.remove(found.row["uuid"]), about=[found])
    hub.jobs.wake("sweep")
    return {"status": "ok", "message": "Server removed."}


def agent_settings(hub: Hub, call: Call) -> Text:
    """What waits for a server's agent, what it last said its settings are, and the revisions before."""
    db, found = hub.engine.read(), find_server(hub, call.params["server_id"])
    revisions = agent_config.history(db, found.row["id"])
    waiting = agent_config.pending(db, found.row["id"])
    current = next((revision["current"] for revision in revisions if revision["current"]), None)
    return tagged({"pending": waiting and waiting[1], "revision": waiting and waiting[0], "history": revisions,
                   "current": current, "schema": [_row(field) for field in REMOTE_FIELDS]})


def _row(field: Field) -> Dict[str, Any]:
    """What a member may be, in the form in which GET settings tells of a setting."""
    kind = field.kind.__name__ if isinstance(field.kind, type) else "list"
    return {"key": field.name, "type": kind, "text": field.sentence, "min": field.min, "max": field.max,
            "choices": list(field.choices)}


def change_agent_settings(hub: Hub, call: Call) -> Dict[str, Any]:
    """Queue settings for a server's agent; it learns of them with the next answer it gets."""
    found = find_server(hub, call.params["server_id"])

    def work(db: Database) -> int:
        if not servers.exists(db, found.row["id"]):
            raise no_such("server")
        call.note(db, "agent.settings", found.row["display_name"], {key: [None, call.body[key]] for key in call.body})
        return agent_config.queue(db, found.row["id"], call.body, call.now)

    def after(revision: int) -> int:
        found.config_revision = revision
        return revision
    return {"status": "ok", "revision": hub.engine.write(work, after)}


def _newest(hub: Hub, found: fleet.Server) -> Optional[series.Sample]:
    return series.sample(hub.engine.read(), found.sample.id) if found.sample else None


# --- near-live --------------------------------------------------------------------------------------------------------

def live(hub: Hub, call: Call) -> Dict[str, Any]:
    """Near-live samples of the last minutes, or since a moment, and statistics over the benchmark's minutes."""
    found = find_server(hub, call.params["server_id"])
    query, now = call.query, call.now
    since = now - query["minutes"] * clock.MINUTE
    oldest = min(since, now - query["benchmark"] * clock.MINUTE)
    rows = list(series.live(hub.engine.read(), found.row["id"], oldest))
    shown_from = max(since, query["since"]) if query["since"] is not None else since
    benchmark = _benchmark([row for row in rows if row["at"] > now - query["benchmark"] * clock.MINUTE])
    return {"server_id": found.row["uuid"], "minutes": query["minutes"], "benchmark_minutes": query["benchmark"],
            "metrics": [_live_answer(row) for row in rows if row["at"] > shown_from],
            "benchmark": benchmark}


def _live_answer(row: Dict[str, Any]) -> Dict[str, Any]:
    """A stored near-live row in the form in which it was sent, with its time."""
    row = dict(row, timestamp=clock.iso_ms(row.pop("at")))
    row["network_rate"] = {key: row.pop(key) for key in NETWORK_RATE.names}
    row["disk_io_rate"] = {key: row.pop(key) for key in DISK_IO_RATE.names}
    return row


def _benchmark(rows: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """sample_count, the span that they cover, and min, max, avg and p95 of each subject; None where nothing was."""
    first, last = (clock.iso_ms(row["at"]) for row in (rows[0], rows[-1])) if rows else (None, None)
    answer: Dict[str, Any] = {"sample_count": len(rows), "first_at": first, "last_at": last}
    for subject, key in BENCHMARK.items():
        values = sorted(row[key] for row in rows if row[key] is not None)
        answer.update(_statistics(subject, values))
    return answer


def _statistics(subject: str, values: List[float]) -> Dict[str, Any]:
    """p95 is the nearest rank: the smallest value that 95 percent of the values do not exceed."""
    if not values:
        return {"%s_%s" % (subject, word): None for word in ("min", "max", "avg", "p95")}
    nearest = -(-len(values) * 95 // 100)
    return {subject + "_min": values[0], subject + "_max": values[-1],
            subject + "_avg": round(sum(values) / len(values), 2), subject + "_p95": values[nearest - 1]}


# --- settings ---------------------------------------------------------------------------------------------------------

def read_settings(hub: Hub, call: Call) -> Text:
    """Every setting, and the table that says what each may be."""
    return tagged({"settings": settings.answer(hub.settings), "schema": settings.schema()})


def change_settings(hub: Hub, call: Call) -> Dict[str, Any]:
    """Change the settings that were sent: all of them, or none when one is wrong."""
    hub.change_settings(settings.clean(call.body), call.caller)
    return {"status": "ok", "settings": settings.answer(hub.settings)}


def take_export(hub: Hub, call: Call) -> Dict[str, Any]:
    """Store what an agent that can not reach the hub sent by other means."""
    report = intake.take(hub, call.body, call.now)
    hub.engine.write(lambda db: call.note(db, "import", report["hostname"], {
        "stored": [None, report["stored"]], "refused": [None, report["refused"]]}))
    return {"status": "ok", **report}


def clean_up(hub: Hub, call: Call) -> Dict[str, Any]:
    """Remove what is past its retention now instead of within the hour."""
    removed = hub.jobs.clean_up()
    hub.engine.write(lambda db: call.note(db, "clean_up", "", {key: [removed[key], 0] for key in removed}))
    return {"status": "ok", "removed": removed}
