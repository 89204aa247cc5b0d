"""What a message says: its title, its sentences and its facts, made from events; how it looks is each channel's."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import clock
from .shapes import tidy
from .store.outbox import Row

TITLE_MAX = 200
LISTED_MAX = 50              # entries of a digest that are spelt out
OVER = ("recovered", "test")  # a test opens nothing that somebody would have to close
SEVERITIES = ("critical", "warning", "info")

# How the title of each event begins; %s is the severity.
WORDS = {"opened": "%s", "severity": "NOW %s", "recovered": "RECOVERED", "repeat": "STILL %s",
         "escalated": "ESCALATED, %s", "flapping": "FLAPPING", "group_outage": "%s",
         "late_summary": "WHILE DISCONNECTED", "maintenance_end": "AFTER MAINTENANCE", "info": "INFO", "test": "TEST"}

Event = Dict[str, Any]
Entry = Sequence[Row]  # of one thread: a message, or an opening and all that followed until the recovery


class Message(NamedTuple):
    """title: one line. lines: sentences. facts: (name, value). url: the page that shows it, or empty.

    events: what it was made from, as a program may read it. resolved: it is over. root: the delivery id of the first
    message of its thread. A digest is a thread of its own.
    """

    delivery_id: str
    root: str
    event: str
    severity: str
    resolved: bool
    title: str
    lines: List[str]
    facts: List[Tuple[str, str]]
    url: str
    at: int
    sent_at: int
    rows: List[Row]
    events: List[Event]


def of(entries: Sequence[Entry], public_url: str, now: int) -> Message:
    """One message about one entry, or a digest of several."""
    return _single(entries[0], public_url, now) if len(entries) == 1 else _digest(entries, public_url, now)


def title(entry: Entry) -> str:
    """An entry in one line; one that is over says when it was."""
    first, last = entry[0].event, entry[-1].event
    words = WORDS.get(last["event"], last["event"].upper())
    words = words % last["severity"].upper() if "%s" in words else words
    text = "%s: %s%s" % (words, _where(last), last["message"])
    if len(entry) > 1:
        worst = min((row.event["severity"] for row in entry), key=_rank)
        text = "%s: %swas %s %s: %s" % (words, _where(last), worst, _span(first["since_at"], last["at"]),
                                        first["message"])
    return tidy(text, TITLE_MAX)


def test_event(now: int) -> Event:
    """What the test button sends."""
    return {"event": "test", "alert_id": None, "rule": "test", "object": "", "severity": "info", "server": None,
            "message": "This channel works.", "since_at": now, "at": now}


def public(row: Row) -> Event:
    """An event as receivers read it: times as text, the server without our own row number."""
    event = dict(row.event, delivery_id=row.delivery_id, since_at=clock.iso(row.event["since_at"]),
                 at=clock.iso(row.event["at"]))
    if event.get("server"):
        event["server"] = {key: value for key, value in event["server"].items() if key != "id"}
    return event


def _single(entry: Entry, public_url: str, now: int) -> Message:
    last = entry[-1].event
    lines = [tidy(last["message"], 1_000)] if len(entry) == 1 else [tidy(row.event["message"], 1_000) for row in entry]
    return Message(
        delivery_id=_name(entry), root=entry[0].thread, event=last["event"], severity=last["severity"],
        resolved=last["event"] in OVER, title=title(entry), lines=lines, facts=_facts(entry),
        url=_url(last, public_url), at=last["at"], sent_at=now, rows=list(entry), events=[public(row) for row in entry])


def _digest(entries: Sequence[Entry], public_url: str, now: int) -> Message:
    rows = [row for entry in entries for row in entry]
    delivery_id, last = _name(rows), [entry[-1].event for entry in entries]
    lines = [title(entry) for entry in entries[:LISTED_MAX]]
    if len(entries) > LISTED_MAX:
        lines.append("and %d more." % (len(entries) - LISTED_MAX))
    return Message(
        delivery_id=delivery_id, root=delivery_id, event="digest",
        severity=min((event["severity"] for event in last), key=_rank),
        resolved=all(event["event"] == "recovered" for event in last),
        title="%d messages: %s" % (len(entries), _counted(last)), lines=lines, facts=[], url=public_url,
        at=max(event["at"] for event in last), sent_at=now, rows=rows, events=[public(row) for row in rows])


def _counted(events: Sequence[Event]) -> str:
    words = ["recovered" if event["event"] == "recovered" else event["severity"] for event in events]
    return ", ".join("%d %s" % (words.count(word), word) for word in (*SEVERITIES, "recovered") if word in words)


def _facts(entry: Entry) -> List[Tuple[str, str]]:
    event = entry[-1].event
    server = event.get("server") or {}
    unit = event.get("unit") or ""
    found = [
        ("Server", server.get("display_name")), ("Hostname", server.get("hostname")),
        ("Address", server.get("ip_address")), ("Group", server.get("group_name")),
        ("Object", event["object"]), ("Severity", event["severity"]), ("Rule", event["rule"]),
        ("Value", _number(event.get("value"), unit)), ("Threshold", _number(event.get("threshold"), unit)),
        ("Since", clock.iso(event["since_at"])), ("At", clock.iso(event["at"])),
        ("Processes", "; ".join(_process(row) for row in event.get("processes") or ())),
        ("Affected", ", ".join(event.get("children") or ())),
    ]
    return [(name, tidy(str(value), 1_000)) for name, value in found if value]


def _process(row: Dict[str, Any]) -> str:
    return "%s (CPU %s%%, memory %s%%)" % (row.get("name"), row.get("cpu_percent"), row.get("memory_percent"))


def _number(value: Any, unit: str) -> Optional[str]:
    if value is None:
        return None
    return ("%g%s" if unit == "%" else "%g %s") % (value, unit)


def _where(event: Event) -> str:
    server = event.get("server")
    return tidy(server["display_name"]) + ": " if server else ""


def _url(event: Event, public_url: str) -> str:
    server = event.get("server")
    return "%s/servers/%s" % (public_url, server["uuid"]) if public_url and server else public_url


def _span(since: int, until: int) -> str:
    """Two moments; the date once when it is one day."""
    first, last = clock.iso(since), clock.iso(until)
    return "%s %s to %s%s UTC" % (first[:10], first[11:16], "" if first[:10] == last[:10] else last[:10] + " ",
                                  last[11:16])


def _name(rows: Sequence[Row]) -> str:
    """The delivery id: the same whenever the same messages are sent together."""
    if len(rows) == 1:
        return rows[0].delivery_id
    return hashlib.sha256("".join(row.delivery_id for row in rows).encode("ascii")).hexdigest()[:32]


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
