"""How often a rule would have alerted: the judge over stored samples, for people who choose levels and patience.

It knows one disk, the fullest; and neither maintenance nor what comes and goes: those are about who is told.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import alerts, clock
from .alerts import CRITICAL, OPENED, RECOVERED, Bar, Need, State
from .fleet import Server
from .store import trends

Hub = Any  # hub.Hub, which is passed and never imported

COLUMNS = {"cpu": "cpu_percent", "memory": "memory_percent", "disk": "disk_percent"}
SAMPLES_MAX = 300_000  # looked at for one answer: a second of one thread
SERVERS_SHOWN = 100


class Told(NamedTuple):
    """What would have been told of one server: openings, how many became critical, minutes open in all."""

    openings: int
    critical: int
    minutes: int


def look_back(hub: Hub, servers: Sequence[Server], rule: str, threshold: Optional[float], patience: Mapping[str, Any],
              since: int) -> Dict[str, Any]:
    """What a rule (a key of COLUMNS) would have done since a moment, in all and for the servers that it would have
    alerted for. threshold and patience (settings by key): instead of those in force."""
    found: List[Tuple[Told, Server]] = []
    looked_at = samples = 0
    for server in servers:
        if samples >= SAMPLES_MAX:
            break
        rules = {**hub.overrides.of(server.row["group_name"], hub.settings), **patience}
        numbers = trends.numbers(hub.engine.read(), server.row["id"], COLUMNS[rule], since)
        levels = alerts.level(rule, threshold, rules) if threshold else getattr(alerts.bars(server.row, rules), rule)
        told = _judged(numbers, levels, alerts.need(rule, rules))
        looked_at, samples = looked_at + 1, samples + len(numbers)
        if told.openings:
            found.append((told, server))
    found.sort(key=lambda pair: -pair[0].openings)
    return {"rule": rule, "since": clock.iso(since), "openings": sum(told.openings for told, _ in found),
            "samples": samples, "servers_in_all": len(servers), "servers_looked_at": looked_at,
            "servers_alerting": len(found), "servers": [_shown(*pair) for pair in found[:SERVERS_SHOWN]]}


def _judged(numbers: Sequence[Tuple[int, float]], levels: Bar, need: Need) -> Told:
    state: Optional[State] = None
    openings = critical = opened_at = open_ms = at = 0
    for at, value in numbers:
        if state is None and value < levels.warning:
            continue  # most are
        was = state.severity if state else alerts.NONE
        state, what = alerts.judge(state, alerts.share("", "", value, levels), need, at)
        critical += state is not None and state.severity == CRITICAL != was
        if what == OPENED:
            openings, opened_at = openings + 1, at
        elif what == RECOVERED:
            open_ms += at - opened_at
    if state is not None and state.severity:
        open_ms += at - opened_at
    return Told(openings, critical, open_ms // clock.MINUTE)


def _shown(told: Told, server: Server) -> Dict[str, Any]:
    return {"server_id": server.row["uuid"], "display_name": server.row["display_name"],
            "group_name": server.row["group_name"], "openings": told.openings, "critical": told.critical,
            "minutes_open": told.minutes}
