"""Feeds alerts.judge with what samples tell, in the transaction that stores them.

Only a sample that could change something asks the store: most tell nothing of a server of which nothing is known.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, List, Optional

from . import alerts, clock, steady
from .alerts import WARNING, Look, Reading, Services
from .fleet import Newest, Server
from .ledger import Record, Verdict
from .store import events
from .store.events import Alert, Tally

Hub = Any  # hub.Hub, which is passed and never imported

CURRENT_MAX = 100            # alerts of one server, open or waiting: a flood of made-up names ends here,
OPENINGS_MAX = 300           # or here, in an hour
CLOCK = ("clock_skew", "")
PEAKS = ("cpu", "memory", "disk", "inodes", "swap")  # what a summary of late samples tells


class Watch:
    """What is remembered of a server between two samples, for speed only: all of it can be found out again."""

    __slots__ = ("row", "settings", "bars", "services_print", "services", "restarts", "restarts_from",
                 "counted", "openings", "held", "held_as_of", "decided")

    def __init__(self) -> None:
        self.row: Any = None             # of which the levels were made, with which settings
        self.settings: Any = None
        self.bars: Any = None
        self.services_print: Any = None  # of the list, and whether somebody named its services
        self.services = Services()
        self.restarts: Optional[Dict[str, List[Any]]] = None  # by service, [(moment, restarts)] of the last minutes
        self.restarts_from = 0           # when they were first looked at
        self.counted: Any = None         # the restarts that were last looked at, of which none was too many
        self.openings: Optional[Deque[int]] = None  # when something was found wrong that was well before

        self.held: Optional[Dict[events.Key, Alert]] = None  # its current alerts, as of which tally
        self.held_as_of: Optional[Tally] = None
        self.decided = 0                 # the serial of the last tally that a sample of it led to

    def may_open(self, now: int) -> bool:
        if self.openings is None:
            self.openings = deque(maxlen=OPENINGS_MAX)
        if len(self.openings) == OPENINGS_MAX and 0 <= now - self.openings[0] < clock.HOUR:
            return False
        self.openings.append(now)
        return True


# --- on the loop ------------------------------------------------------------------------------------------------------

def look(hub: Hub, server: Server, payload: Dict[str, Any], services_print: Optional[int],
         lag: Optional[float]) -> Look:
    """What a clean payload tells the judge; the cheap half of judging. lag: seconds, where the clocks can be compared.

    services_print: of the payload's services, which are mostly the same as last time.
    """
    watch, settings = server.watch, hub.overrides.of(server.row["group_name"], hub.settings)
    if watch is None:
        watch = server.watch = Watch()
    if watch.row is not server.row or watch.settings is not settings:
        watch.row, watch.settings, watch.bars = server.row, settings, alerts.bars(server.row, settings)
    if services_print is None:
        return alerts.look(watch.bars, payload, _NO_SERVICES, lag)
    listed = payload["agent"] is not None and payload["agent"].get("services_listed") is True
    if watch.services_print != (services_print, listed):
        watch.services = alerts.services(steady.rows_of(payload["services"]) or (), listed)
        watch.services_print = services_print, listed
    return alerts.look(watch.bars, payload, watch.services, lag)


_NO_SERVICES = Services()


# --- in the writer ----------------------------------------------------------------------------------------------------

def judge_sample(record: Record, hub: Hub, server: Server, newest: Newest, known: Optional[Newest],
                 found: Look) -> None:
    """Judge a server by its newest sample. known: the one that was the newest before."""
    watch = server.watch
    if (not found.readings and not server.tally.watched and found.restarts is watch.counted
            and (known is None or _same_run(known, newest))):
        return
    if not server.row["approved"]:
        return
    held = _held(record, server, watch)
    readings: Dict[events.Key, Reading] = {(reading.rule, reading.object): reading for reading in found.readings}
    if not _is_the_clock(held.get(CLOCK), readings.get(CLOCK)):
        del readings[CLOCK]
    if _is_late(hub, server, newest, held, record.now):
        keep_peaks(record, server, newest.at, found)
        _judge_clock(record, server, held, readings)
        return
    for reading in (*_run_readings(record, server, newest, known), *_restarts(watch, found, known, newest.at)):
        readings[reading.rule, reading.object] = reading
    for key, alert in held.items():
        if key in readings or _is_told(alert.rule, found, watch, newest.at):
            record.judge(server, key, alert, readings.get(key), alerts.need(alert.rule, watch.settings), found)
    new = [(key, reading) for key, reading in readings.items() if key not in held]
    for key, reading in new[:max(0, CURRENT_MAX - len(held))]:
        if reading.raises and watch.may_open(record.now):
            record.judge(server, key, None, reading, alerts.need(reading.rule, watch.settings), found)


def _is_told(rule: str, found: Look, watch: Watch, at: int) -> bool:
    """Whether a sample that names no problem of a rule means that there is none. Of restarts it takes their minutes."""
    return rule in alerts.SAMPLED and rule not in found.missing and (
        rule != "restarts" or at - watch.restarts_from >= alerts.RESTARTS_MS)


def close(record: Record, server: Server) -> Optional[Verdict]:
    """The end of what one delivery did to a server."""
    verdict = record.close()
    if verdict is not None:
        server.watch.decided = verdict.serial()
    return verdict


def _held(record: Record, server: Server, watch: Watch) -> Dict[events.Key, Alert]:
    """What waits or is open. It is remembered until the tally says that something changed, but not while a decision
    of this very transaction is not committed."""
    if server.tally.serial < watch.decided:
        return events.current(record.db, server.row["id"])
    if watch.held is None or watch.held_as_of is not server.tally:
        watch.held, watch.held_as_of = events.current(record.db, server.row["id"]), server.tally
    return watch.held


def late_sample(record: Record, server: Server, at: int, found: Look) -> None:
    """A sample that a newer one has overtaken: one that was waiting for longer than its turn is summed up later."""
    if found.readings and server.row["approved"] and record.now - at > server.interval_ms():
        keep_peaks(record, server, at, found)


def keep_peaks(record: Record, server: Server, at: int, found: Look) -> None:
    for reading in found.readings:
        if reading.rule in PEAKS and reading.raises and reading.value is not None and reading.threshold is not None:
            events.keep_peak(record.db, server.row["id"], (reading.rule, reading.object), reading.value,
                             reading.threshold, at, record.now)


def _is_late(hub: Hub, server: Server, newest: Newest, held: Dict[events.Key, Alert], now: int) -> bool:
    """Taken longer ago than the server may be silent, by its own clock where that is known to differ."""
    lag = now - newest.at
    skewed = held.get(CLOCK)
    corrected = lag - (skewed.value or 0) * 1000 if skewed is not None and lag > 0 else lag
    return corrected > server.silence_limit(hub.settings["stale_threshold_minutes"])


def _judge_clock(record: Record, server: Server, held: Dict[events.Key, Alert], readings: Dict[Any, Reading]) -> None:
    """It is late, or its server's clock is wrong, which is all that it may tell."""
    if CLOCK in readings or CLOCK in held and not held[CLOCK].severity:
        record.judge(server, CLOCK, held.get(CLOCK), readings.get(CLOCK), alerts.need("clock_skew", {}))


def _is_the_clock(held: Optional[Alert], reading: Optional[Reading]) -> bool:
    """Samples that had to wait are late by chance; only those in a row that are equally late tell of the clock."""
    if held is None or held.severity or reading is None or held.value is None:
        return True
    return abs((reading.value or 0) - held.value) < (reading.threshold or 0)


def _same_run(known: Newest, newest: Newest) -> bool:
    """Whether machine and agent simply went on."""
    return not _rebooted(known, newest) and _dropped(newest) <= _dropped(known)


def _rebooted(known: Newest, newest: Newest) -> bool:
    """By the boot's name where both samples have one, else by an uptime that fell."""
    before, after = (each.agent and each.agent.get("boot_id") for each in (known, newest))
    if before and after:
        return before != after
    return None not in (known.card[3], newest.card[3]) and newest.card[3] < known.card[3]


def _dropped(newest: Newest) -> int:
    return newest.agent and newest.agent.get("dropped") or 0


def _run_readings(record: Record, server: Server, newest: Newest, known: Optional[Newest]) -> List[Reading]:
    """A restart of the machine, and samples that its agent could not keep."""
    found: List[Reading] = []
    if known is None or _same_run(known, newest):
        return found
    dropped = _dropped(newest) - _dropped(known)
    if dropped > 0:
        found.append(alerts.flat("agent", "dropped", WARNING, "%d samples did not fit its disk buffer" % dropped))
    if _rebooted(known, newest):
        if newest.agent and newest.agent.get("clean_shutdown") is False:
            found.append(alerts.flat("reboot", "", WARNING, " without a clean shutdown"))
        else:
            record.inform(server, "reboot", "Restarted")
    return found


def _restarts(watch: Watch, found: Look, known: Optional[Newest], at: int) -> List[Reading]:
    """Services that restart again and again. What they did before the hub's own start is not known."""
    if "restarts" in found.missing:
        return []
    span = max(alerts.RESTARTS_MS, at - known.at) if known else alerts.RESTARTS_MS
    before = watch.restarts
    if before is None:
        watch.restarts_from = at
    watch.restarts = {}
    readings = []
    for name, count in found.restarts:
        counts = before.get(name, [(known.at, 0)] if known else []) if before is not None else []
        while len(counts) > 1 and counts[1][0] <= at - span:
            counts.pop(0)
        if not counts or count < counts[-1][1]:
            counts = [(at, count)]
        elif count > counts[-1][1]:
            counts = counts[-alerts.RESTARTS_KEPT:] + [(at, count)]
        watch.restarts[name] = counts
        readings.append(alerts.restarted(name, count - counts[0][1], span))
    too_many = [reading for reading in readings if reading]
    watch.counted = None if too_many else found.restarts  # what comes of too many may be undone: they are asked again
    return too_many
