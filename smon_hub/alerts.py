"""When a problem opens, changes and ends: RULES, and the judge of one object over time.

Pure: numbers and now in, decisions out. What is kept of them, and who is told, is judging's business.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import clock
from .bodies import DISK, PROCESS, SERVICE
from .store.events import CRITICAL, NONE, WARNING

OPENED, CHANGED, RECOVERED = "opened", "severity", "recovered"

THRESHOLD = 90                       # percent, of every server until somebody says otherwise
CLEAR_GAP, DISK_CLEAR_GAP = 5, 3     # percent below the level at which an alert opens
CRITICAL_GAP = 5                     # a critical level is never nearer to the warning level
SWAP_MEMORY_PERCENT = 85             # full swap alone is what was swapped out last week
RESTARTS_MAX, RESTARTS_MS = 2, 15 * clock.MINUTE
RESTARTS_KEPT = 20                   # counts of one service: a sample a minute, and some more
TOP_PROCESSES = 3
ERRORS_NAMED = 3
SERVICES_WATCHED = 50                # problems of one server at a time, so that none can flood the hub

# A service in one of these states does not do its work. One that was only discovered may rest; a listed one may not.
BROKEN = {"failed", "error"}
RESTING = {"stopped", "paused", "unknown"}
AUTOMATIC = {"enabled", "enabled-runtime", "auto", "automatic", "automatic (delayed start)"}


class Rule(NamedTuple):
    """says, over: the message of the problem and of its end, filled from a Reading.

    samples: bad ones in a row before it opens, and minutes between the first and the last of them. clears: good ones
    before it ends. patient: people may ask for more (alert_for_samples, alert_for_minutes). sampled: each sample tells
    whether it holds.
    """

    key: str
    says: str
    over: str
    unit: str = ""
    samples: int = 1
    minutes: int = 0
    clears: int = 2
    patient: bool = False
    sampled: bool = True


RULES = (
    Rule("cpu", "CPU usage at %(value).1f%% (threshold: %(threshold)g%%)",
         "CPU usage is below its threshold of %(threshold)g%% again", "%", patient=True),
    Rule("memory", "Memory usage at %(value).1f%% (threshold: %(threshold)g%%)",
         "Memory usage is below its threshold of %(threshold)g%% again", "%", patient=True),
    Rule("disk", "Disk usage of %(object)s at %(value).1f%% (threshold: %(threshold)g%%)",
         "Disk usage of %(object)s is below its threshold of %(threshold)g%% again", "%", patient=True),
    Rule("inodes", "Inode usage of %(object)s at %(value).1f%% (threshold: %(threshold)g%%)",
         "Inode usage of %(object)s is below its threshold of %(threshold)g%% again", "%"),
    Rule("swap", "Swap usage at %(value).1f%% (threshold: %(threshold)g%%) while memory is short",
         "Swap usage is below its threshold of %(threshold)g%% again, or memory is not short", "%", samples=2),
    Rule("service", "Service %(object)s: %(detail)s", "Service %(object)s does its work again", samples=2),
    Rule("restarts", "Service %(object)s restarted %(value)d times within %(detail)s",
         "Service %(object)s has stopped restarting"),
    Rule("reboot", "Restarted%(detail)s", "Up since its restart"),
    Rule("clock_skew", "Its clock differs by %(value)d s from the hub's (threshold: %(threshold)g s)",
         "Its clock agrees with the hub's", "s", samples=2, minutes=1),
    Rule("agent", "Agent: %(detail)s", "The agent reports no more trouble"),
    Rule("offline", "No sign of life since %(detail)s", "Back after a silence since %(detail)s", clears=1),
    Rule("group_outage", "%(value)d servers of %(object)s went silent together, since %(detail)s",
         "The servers of %(object)s answer again", clears=1, sampled=False),
    Rule("forecast", "Disk %(object)s will be full in %(value).0f h (threshold: %(threshold)g h)",
         "Disk %(object)s does not fill up soon any more", "h", samples=2, sampled=False),
    Rule("hub_disk", "The hub's own disk has %(value).1f%% left (threshold: %(threshold)g%%)",
         "The hub's own disk has room again", "%", sampled=False),
    Rule("hub_outbox", "Messages have waited for %(value)d minutes (threshold: %(threshold)g)",
         "No message waits for long any more", "min", sampled=False),
    Rule("hub_job", "The hub's job %(object)s fails: %(detail)s", "The hub's job %(object)s works again",
         sampled=False),
)
BY_KEY: Dict[str, Rule] = {rule.key: rule for rule in RULES}
SAMPLED: FrozenSet[str] = frozenset(rule.key for rule in RULES if rule.sampled)


class Reading(NamedTuple):
    """What is seen of one object now. raises: the severity that this opens; holds: the one that this keeps open."""

    rule: str
    object: str
    raises: int
    holds: int
    value: Optional[float] = None
    threshold: Optional[float] = None
    detail: str = ""

    def message(self) -> str:
        return BY_KEY[self.rule].says % self._asdict()


class State(NamedTuple):
    """An object that is not well. severity: NONE while it waits. run: of bad samples then, of good ones later.

    falls_to: the worst of those good samples, which is what the severity falls to when there were enough of them.
    """

    severity: int
    since_at: int
    run: int = 0
    falls_to: int = NONE


class Need(NamedTuple):
    """How long a problem must last before it opens, and how many good samples end it."""

    samples: int = 1
    minutes: int = 0
    clears: int = 2


def judge(state: Optional[State], reading: Optional[Reading], need: Need, now: int) -> Tuple[Optional[State], str]:
    """An object's next state, None when it is well, and what happened: OPENED, CHANGED, RECOVERED or nothing.

    reading: None when it was looked at and nothing is wrong.
    """
    if state is None or state.severity == NONE:
        return _wait(state, reading, need, now)
    grade = max(reading.raises, min(reading.holds, state.severity)) if reading else NONE
    if grade > state.severity:
        return state._replace(severity=grade, run=0, falls_to=NONE), CHANGED
    if grade == state.severity:
        return state if state.run == 0 else state._replace(run=0, falls_to=NONE), ""
    falls_to = max(grade, state.falls_to)
    if state.run + 1 < need.clears:
        return state._replace(run=state.run + 1, falls_to=falls_to), ""
    return (state._replace(severity=falls_to, run=0, falls_to=NONE), CHANGED) if falls_to else (None, RECOVERED)


def _wait(state: Optional[State], reading: Optional[Reading], need: Need, now: int) -> Tuple[Optional[State], str]:
    if reading is None or reading.raises == NONE:
        return None, ""
    waiting = State(NONE, now, 1) if state is None else state._replace(
        run=state.run + 1, since_at=min(state.since_at, now))  # later than now: the clock was put back
    if waiting.run < need.samples or now - waiting.since_at < need.minutes * clock.MINUTE:
        return waiting, ""
    return State(reading.raises, waiting.since_at), OPENED


_NEEDS = {rule.key: Need(rule.samples, rule.minutes, rule.clears) for rule in RULES if not rule.patient}


def need(rule: str, settings: Mapping[str, Any]) -> Need:
    """What a rule asks for; of the patient ones, what people ask for."""
    return _NEEDS.get(rule) or Need(settings["alert_for_samples"], settings["alert_for_minutes"],
                                    settings["alert_clear_samples"])


# --- levels -----------------------------------------------------------------------------------------------------------

class Bar(NamedTuple):
    """The levels of one number: where an alert opens, and below what it ends."""

    warning: float
    critical: float
    warning_clear: float
    critical_clear: float


class Bars(NamedTuple):
    cpu: Bar
    memory: Bar
    disk: Bar
    inodes: Bar
    swap: Bar
    clock: Bar  # seconds


def bar(warning: float, critical: float, gap: float = CLEAR_GAP, most: float = 100) -> Bar:
    critical = min(most, max(critical, warning + CRITICAL_GAP))
    return Bar(warning, critical, warning - min(gap, warning / 2), critical - min(gap, critical / 2))


def bars(row: Mapping[str, Any], settings: Mapping[str, Any]) -> Bars:
    """The levels of a server: its own where it has some, else its group's or the hub's, as settings has them."""
    return _bars(*(row[key] if row[key] != THRESHOLD else settings.get(key, THRESHOLD) for key in _THRESHOLDS),
                 settings["alert_critical_percent"], settings["alert_inodes_threshold"],
                 settings["alert_swap_threshold"], settings["alert_clock_skew_seconds"])


_THRESHOLDS = ("alert_cpu_threshold", "alert_memory_threshold", "alert_disk_threshold")


def level(rule: str, threshold: float, settings: Mapping[str, Any]) -> Bar:
    """The levels of cpu, memory or disk that follow from a threshold."""
    return bar(threshold, settings["alert_critical_percent"], DISK_CLEAR_GAP if rule == "disk" else CLEAR_GAP)


@lru_cache(maxsize=256)  # most servers have the same
def _bars(cpu: float, memory: float, disk: float, critical: float, inodes: float, swap: float, skew: float) -> Bars:
    return Bars(bar(cpu, critical), bar(memory, critical), bar(disk, critical, DISK_CLEAR_GAP),
                bar(inodes, critical, DISK_CLEAR_GAP), bar(swap, math.inf, 2 * CLEAR_GAP, math.inf),
                bar(skew, math.inf, most=math.inf))


def share(rule: str, object: str, value: float, levels: Bar) -> Reading:
    """A number against its levels. The threshold that is told is the one that people set."""
    return Reading(rule, object, _above(value, levels.warning, levels.critical),
                   _above(value, levels.warning_clear, levels.critical_clear), value, levels.warning)


def flat(rule: str, object: str, severity: int, detail: str = "", value: Optional[float] = None,
         threshold: Optional[float] = None) -> Reading:
    """A problem that is there or is not."""
    return Reading(rule, object, severity, severity, value, threshold, detail)


def _above(value: float, warning: float, critical: float) -> int:
    return CRITICAL if value >= critical else WARNING if value >= warning else NONE


# --- what a sample tells ----------------------------------------------------------------------------------------------

class Services(NamedTuple):
    """What a list of services tells; it is kept with the list's print, as most lists are equal to the last."""

    readings: Tuple[Reading, ...] = ()
    restarts: Tuple[Tuple[str, int], ...] = ()


class Look(NamedTuple):
    """All that a sample tells the judge. missing: rules of which it tells nothing. top: processes, by rule."""

    readings: Tuple[Reading, ...]
    missing: FrozenSet[str]
    restarts: Tuple[Tuple[str, int], ...] = ()
    top: Mapping[str, Sequence[Any]] = {}


_MOUNT, _PERCENT, _INODES = (DISK.names.index(name) for name in ("mountpoint", "percent", "inodes_percent"))
_NAME, _STATUS, _START, _RESTARTS = (SERVICE.names.index(name)
                                     for name in ("service_name", "status", "start_type", "restarts"))
_ABSENT = (("disk", "inodes"), ("swap",), ("service", "restarts"), ("agent",), ("clock_skew",))
_MISSING = [frozenset(rule for bit, rules in enumerate(_ABSENT) if bits >> bit & 1 for rule in rules)
            for bits in range(1 << len(_ABSENT))]
_CALM = [Look((), missing) for missing in _MISSING]


def look(levels: Bars, payload: Mapping[str, Any], services: Services, lag: Optional[float]) -> Look:
    """What a clean payload (bodies.SAMPLE) tells. lag: seconds between its time and its arrival, where known."""
    numbers, agent = payload["metrics"], payload["agent"]
    disks, swap = numbers["disks"], numbers["swap_percent"]
    found: List[Reading] = []
    if numbers["cpu_percent"] >= levels.cpu.warning_clear:
        found.append(share("cpu", "", numbers["cpu_percent"], levels.cpu))
    if numbers["memory_percent"] >= levels.memory.warning_clear:
        found.append(share("memory", "", numbers["memory_percent"], levels.memory))
    if swap is not None and swap >= levels.swap.warning_clear and numbers["memory_percent"] >= SWAP_MEMORY_PERCENT:
        found.append(share("swap", "", swap, levels.swap))
    for disk in disks or ():
        if (disk[_PERCENT] or 0) >= levels.disk.warning_clear:
            found.append(share("disk", disk[_MOUNT], disk[_PERCENT], levels.disk))
        if (disk[_INODES] or 0) >= levels.inodes.warning_clear:
            found.append(share("inodes", disk[_MOUNT], disk[_INODES], levels.inodes))
    if services.readings:
        found += services.readings
    if agent is not None and agent.get("errors"):
        found.append(flat("agent", "", WARNING, _named(agent["errors"])))
    if lag is not None and abs(lag) >= levels.clock.warning_clear:
        found.append(share("clock_skew", "", abs(lag), levels.clock))
    bits = ((disks is None) | (swap is None) << 1 | (payload["services"] is None) << 2
            | (agent is None or agent.get("errors") is None) << 3 | (lag is None) << 4)
    if not found and not services.restarts:
        return _CALM[bits]
    return Look(tuple(found), _MISSING[bits], services.restarts, _top(found, payload["processes"]))


def _named(errors: Mapping[str, str]) -> str:
    named = ["%s: %s" % pair for pair in sorted(errors.items())]
    more = len(named) - ERRORS_NAMED
    return "; ".join(named[:ERRORS_NAMED]) + (" (and %d more)" % more if more > 0 else "")


_CPU, _MEMORY = PROCESS.names.index("cpu_percent"), PROCESS.names.index("memory_percent")
_TOP_BY = {"cpu": _CPU, "memory": _MEMORY, "swap": _MEMORY}


def _top(found: Sequence[Reading], processes: Optional[Sequence[Any]]) -> Dict[str, Sequence[Any]]:
    """The processes that explain a number, for the message."""
    return {each.rule: sorted(processes, key=lambda row: -(row[_TOP_BY[each.rule]] or 0))[:TOP_PROCESSES]
            for each in found if each.rule in _TOP_BY} if processes else {}


def services(rows: Sequence[Any], listed: bool) -> Services:
    """What rows of bodies.SERVICE tell. listed: whether somebody named them in the agent's settings."""
    found = [reading for reading in (_service(row, listed) for row in rows) if reading]
    found.sort(key=lambda reading: -reading.raises)
    return Services(tuple(found[:SERVICES_WATCHED]),
                    tuple((row[_NAME], row[_RESTARTS]) for row in rows if row[_RESTARTS])[:SERVICES_WATCHED])


def _service(row: Sequence[Any], listed: bool) -> Optional[Reading]:
    status = (row[_STATUS] or "").lower()
    if listed and (status in BROKEN or status in RESTING):
        return flat("service", row[_NAME], CRITICAL, status)
    if status in BROKEN and (row[_START] or "").lower() in AUTOMATIC:
        return flat("service", row[_NAME], WARNING, status)
    return None


def restarted(name: str, count: int, span_ms: int) -> Optional[Reading]:
    """A service that restarted so many times within a span; a longer span than the rule's may hold more of them."""
    if count <= RESTARTS_MAX * max(1.0, span_ms / RESTARTS_MS):
        return None
    minutes = max(1, math.ceil(span_ms / clock.MINUTE))
    return flat("restarts", name, WARNING, "%d minute%s" % (minutes, "s" if minutes > 1 else ""), count, RESTARTS_MAX)
