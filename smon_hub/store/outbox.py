"""Messages on their way out: put here in the transaction that changes an alert, and kept until they are settled.

Which channel is told what is decided here, when the message is written: a later change of a channel does not bring
old news. How a message is sent, and when again, is notify's business.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import channels
from .commits import Database, marks

WAITING_MAX = 10_000         # for one channel: beyond that the newest matter more than the oldest
IDS_AT_ONCE = 400            # below the 999 values of an old SQLite
CLAIM_MS = 300_000           # longer than any delivery takes: its claimer could not say what became of it
FURTHEST_MS = 2 * 3_600_000  # no wait is longer: a clock that was set back
ERROR_MAX = 500
FOLLOW = ("recovered", "severity", "flapping")   # told to whoever was told of the alert before
KEEP_STATE = ("pagerduty", "alertmanager")       # kinds for which only an alert is news: what they open, they close
NOTES = ("info", "late_summary")                 # alerts that have ended when they begin: nothing would close them

Event = Dict[str, Any]


class Taken(Exception):
    """Somebody else sends one of these messages, or has sent it."""


class Row(NamedTuple):
    """A message as it waits. event: the dict that `add` was given; only_to: recipients, or None for all."""

    id: int
    delivery_id: str
    thread: str
    event: Event
    only_to: Optional[List[str]]
    created_at: int
    due_at: int
    claimed_at: Optional[int]
    attempts: int


def add(db: Database, events: Sequence[Event], now: int) -> None:
    """One row for each event and each channel that is to be told of it, in the caller's transaction.

    An event about several alerts has them as its `each`: events for the channels that know single alerts only.
    """
    if not events:
        return
    listening = [channel for channel in channels.rows(db) if channel["enabled"]]
    for event in events:
        whole, each = {key: event[key] for key in event if key != "each"}, event.get("each", ())
        for channel in listening:
            keeps = channel["kind"] in KEEP_STATE
            for news in each if keeps and each else (whole,):
                thread, last = _told(db, channel["id"], news["alert_id"])
                if wants(channel, news) or thread and news["event"] in FOLLOW:
                    put(db, channel["id"], dict(news, was=last) if keeps else news, now, thread)
    for channel in listening:
        _push_out(db, channel["id"], now)


def wants(channel: channels.Row, event: Event) -> bool:
    """Whether an event is news for a channel. What belongs to no group concerns all of them."""
    server = event.get("server")
    if channel["group_names"] and server and server["group_name"] not in channel["group_names"]:
        return False
    if channel["kind"] in KEEP_STATE and (event["alert_id"] is None or event["event"] in NOTES):
        return False
    if event["event"] == "escalated":
        return channel["escalation"]
    return event["severity"] in channel["severities"] or event.get("was_severity") in channel["severities"]


def put(db: Database, channel: int, event: Event, now: int, thread: str = "") -> str:
    """One message for one channel; its delivery id, which is the thread's name when it is the first of it."""
    delivery_id = uuid.uuid4().hex
    db.execute("INSERT INTO outbox (channel, delivery_id, thread, alert_id, event, content, created_at, due_at, "
               "attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
               [channel, delivery_id, thread or delivery_id, event["alert_id"], event["event"], json.dumps(event),
                now, now])
    return delivery_id


def busy(db: Database) -> List[int]:
    """The channels that something waits for."""
    return [channel for channel, in db.execute("SELECT DISTINCT channel FROM outbox WHERE settled_at IS NULL")]


def waiting(db: Database, channel: int) -> List[Row]:
    """Everything that waits for a channel, oldest first."""
    found = db.execute("SELECT id, delivery_id, thread, content, only_to, created_at, due_at, claimed_at, attempts "
                       "FROM outbox WHERE channel = ? AND settled_at IS NULL ORDER BY id LIMIT ?",
                       [channel, WAITING_MAX])
    return [Row(row_id, delivery_id, thread, json.loads(content), only_to and json.loads(only_to), *rest)
            for row_id, delivery_id, thread, content, only_to, *rest in found]


def is_free(row: Row, now: int) -> bool:
    """Whether nobody is sending it: a claim that is too old, or younger than now, is one that nobody holds."""
    return row.claimed_at is None or not 0 <= now - row.claimed_at < CLAIM_MS


def is_due(row: Row, now: int) -> bool:
    return not now < row.due_at < now + FURTHEST_MS


def claim(db: Database, rows: Sequence[Row], now: int, holder: str = "") -> None:
    """Take all of these for one attempt of a hub. Raises Taken, which undoes the caller's work, when one is
    another's."""
    taken = 0
    for ids in _slices(rows):
        taken += db.execute("UPDATE outbox SET claimed_at = ?, claimed_by = ?, attempts = attempts + 1 "
                            "WHERE id IN (%s) "
                            "AND settled_at IS NULL AND (claimed_at IS NULL OR claimed_at <= ? OR claimed_at > ?)"
                            % marks(ids), [now, holder, *ids, now - CLAIM_MS, now]).rowcount
    if taken != len(rows):
        raise Taken


def release(db: Database, living: Sequence[str]) -> int:
    """When a hub begins to be the one that delivers: whoever is none of the living holds no claim. How many were
    held."""
    return db.execute("UPDATE outbox SET claimed_at = NULL WHERE settled_at IS NULL AND claimed_at IS NOT NULL "
                      "AND (claimed_by IS NULL OR claimed_by NOT IN (%s))" % marks(living), living).rowcount


def settle(db: Database, rows: Sequence[Row], outcome: str, now: int, error: str = "") -> None:
    """sent or given_up: these wait no more."""
    for ids in _slices(rows):
        db.execute("UPDATE outbox SET outcome = ?, settled_at = ?, claimed_at = NULL, error = ? WHERE id IN (%s) "
                   "AND settled_at IS NULL" % marks(ids), [outcome, now, error[:ERROR_MAX] or None, *ids])


def put_off(db: Database, rows: Sequence[Row], due_at: int, error: str, only_to: Optional[List[str]] = None,
            holder: str = "") -> None:
    """These are to be tried again then, unless another hub has claimed them since; to these recipients alone, when the
    others were reached."""
    for ids in _slices(rows):
        db.execute("UPDATE outbox SET due_at = ?, claimed_at = NULL, error = ?, only_to = COALESCE(?, only_to) "
                   "WHERE id IN (%s) AND settled_at IS NULL AND (claimed_by IS NULL OR claimed_by = ?)" % marks(ids),
                   [due_at, error[:ERROR_MAX], json.dumps(only_to) if only_to else None, *ids, holder])


def give_up_older(db: Database, channel: int, before: int, now: int, error: str) -> int:
    """Give up what has waited since before a moment; how many."""
    return db.execute("UPDATE outbox SET outcome = 'given_up', settled_at = ?, claimed_at = NULL, error = ? "
                      "WHERE channel = ? AND settled_at IS NULL AND created_at <= ?",
                      [now, error[:ERROR_MAX], channel, before]).rowcount


def make_due(db: Database, channel: int, now: int) -> None:
    """Try everything that waits for a channel now: something about it has changed."""
    db.execute("UPDATE outbox SET due_at = ? WHERE channel = ? AND settled_at IS NULL AND due_at > ?",
               [now, channel, now])


def counts(db: Database, since: int) -> Dict[int, Dict[str, int]]:
    """For each channel, how many messages wait, and how many were given up since a moment."""
    answer: Dict[int, Dict[str, int]] = {}
    found = db.execute("SELECT channel, SUM(CASE WHEN settled_at IS NULL THEN 1 ELSE 0 END), "
                       "SUM(CASE WHEN outcome = 'given_up' THEN 1 ELSE 0 END) FROM outbox "
                       "WHERE settled_at IS NULL OR settled_at > ? GROUP BY 1", [since])
    for channel, waits, given_up in found:
        answer[channel] = {"waiting": waits, "given_up": given_up}
    return answer


def oldest_waiting(db: Database) -> Optional[int]:
    """Since when the oldest message waits, of all channels; None when nothing does."""
    return db.execute("SELECT MIN(created_at) FROM outbox WHERE settled_at IS NULL").fetchone()[0]


def log(db: Database, channel: int, limit: int) -> List[Dict[str, Any]]:
    """The newest messages of a channel and what became of them."""
    found = db.execute("SELECT id, delivery_id, alert_id, event, content, created_at, due_at, attempts, outcome, "
                       "settled_at, error FROM outbox WHERE channel = ? ORDER BY id DESC LIMIT ?", [channel, limit])
    names = ("id", "delivery_id", "alert_id", "event", "content", "created_at", "due_at", "attempts", "outcome",
             "settled_at", "error")
    return [dict(zip(names, values)) for values in found]


def drop(db: Database, before: int, limit: int) -> int:
    """Delete what was settled before a moment, at most so many; how many went. The newest message about an alert that
    is open stays: its end is told to whoever knows of it."""
    return db.execute("DELETE FROM outbox WHERE id IN (SELECT old.id FROM outbox AS old WHERE old.settled_at < ? "
                      "AND NOT EXISTS (SELECT 1 FROM alerts WHERE alerts.id = old.alert_id "
                      "AND alerts.ended_at IS NULL AND alerts.unknown_since IS NULL "
                      "AND old.id = (SELECT MAX(newest.id) FROM outbox AS newest WHERE newest.channel = old.channel "
                      "AND newest.alert_id = old.alert_id)) LIMIT ?)", [before, limit]).rowcount


def _told(db: Database, channel: int, alert_id: Optional[int]) -> Tuple[str, Event]:
    """The thread of an alert's messages, and what the newest of them said it was about."""
    if alert_id is None:
        return "", {}
    found = db.execute("SELECT thread, content FROM outbox WHERE channel = ? AND alert_id = ? ORDER BY id DESC LIMIT 1",
                       [channel, alert_id]).fetchone()
    if found is None:
        return "", {}
    last = json.loads(found[1])
    return found[0], {key: last[key] for key in ("severity", "server")}


def _push_out(db: Database, channel: int, now: int) -> None:
    """Bound what waits."""
    db.execute("UPDATE outbox SET outcome = 'given_up', settled_at = ?, claimed_at = NULL, error = ? WHERE channel = ? "
               "AND settled_at IS NULL AND id <= (SELECT id FROM outbox WHERE channel = ? AND settled_at IS NULL "
               "ORDER BY id DESC LIMIT 1 OFFSET ?)",
               [now, "More than %d messages waited; the oldest were given up." % WAITING_MAX, channel, channel,
                WAITING_MAX])


def _slices(rows: Sequence[Row]) -> List[List[int]]:
    ids = [row.id for row in rows]
    return [ids[start:start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE)]
