"""What one payload does: store the sample, move the server's current state and services. One transaction each.

Late data fills history and nothing else. What a refused or repeated sample is answered is decided here, too.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from . import clock, fleet, metrics
from .errors import HubError
from .fleet import Newest, Server
from .store import details, series, servers, services
from .store.engine import Database

Hub = Any  # hub.Hub, which is passed and never imported

AHEAD_MS = 5 * clock.MINUTE  # a clock further ahead than this is wrong: the time of arrival is taken instead
LIVE_MINUTES_MIN = 60        # the longest benchmark needs its data
MOMENTS_TRIED = 1_000        # milliseconds looked at for a free one when the agent did not say when


class _Prepared(NamedTuple):
    """A sample on its way to the writer: its moment, its columns, and what the fleet will keep of it."""

    at: int
    timed: bool
    numbers: Sequence[Any]
    blob: bytes
    payload: Dict[str, Any]
    services_print: Optional[int]  # of its services, to tell whether they are the ones last written


def sample(hub: Hub, server: Server, payload: Dict[str, Any], now: int) -> "Future[Dict[str, Any]]":
    """Store one clean payload (bodies.SAMPLE). The future's value is the answer; it settles after the commit."""
    return samples(hub, server, [payload], now, lambda results: {**results[0], **greeting(hub, server)})


def samples(hub: Hub, server: Server, payloads: List[Dict[str, Any]], now: int, answer: Any) -> "Future[Any]":
    """Store clean payloads in their order, in one transaction. answer(results) becomes the future's value."""
    key_hash = server.row["key_hash"]
    prepared = [_prepare(hub, server, payload, now) for payload in payloads]

    def work(db: Database) -> List[Optional[Newest]]:
        try:
            return [_store(db, server, key_hash, one) if one else None for one in prepared]
        except LookupError:
            raise unknown_key() from None

    def after(stored: List[Optional[Newest]]) -> Any:
        hub.fleet.seen(server, now)
        for one, newest in zip(prepared, stored):
            if one is not None and newest is not None:
                _move(hub, server, newest, one)
        return answer([_result(hub, one, newest) for one, newest in zip(prepared, stored)])

    return hub.engine.submit(work, after)


def live(hub: Hub, server: Server, payload: Dict[str, Any], now: int) -> "Future[Dict[str, Any]]":
    """Store one clean near-live payload (bodies.LIVE). The future's value is the answer."""
    key_hash, timed = server.row["key_hash"], _timed(payload, now)
    at = payload["collected_at"] if timed else now
    minutes = max(payload["retention_minutes"] or 0, LIVE_MINUTES_MIN)
    columns = _live_columns(payload)

    def work(db: Database) -> bool:
        if at < now - minutes * clock.MINUTE:
            return False
        try:
            stored = _first_free(at, timed, lambda moment: series.add_live(
                db, key_hash, (server.row["id"], moment, *columns)))
        except LookupError:
            raise unknown_key() from None
        if minutes != server.row["live_minutes"]:
            servers.change(db, server.row["id"], {"live_minutes": minutes})
        return bool(stored)

    def after(stored: bool) -> Dict[str, Any]:
        hub.fleet.seen(server, now)
        if minutes != server.row["live_minutes"]:
            hub.fleet.change(server.row["uuid"], {"live_minutes": minutes})
        return {"status": "ok", "stored": stored}

    return hub.engine.submit(work, after)


def greeting(hub: Hub, server: Server) -> Dict[str, Any]:
    """What every answer tells an agent: the hub's time and the newest sample that the hub has of it."""
    return {"server_time": clock.iso_ms(hub.now()),
            "newest_at": clock.iso_ms(server.sample.at) if server.sample else None}


def unknown_key() -> HubError:
    """The one answer to every credential that does not hold, so that it tells nothing."""
    return HubError("unauthorized", "The server or its key is not known: send Authorization: Bearer server_id:api_key.")


# --- on the loop ------------------------------------------------------------------------------------------------------

def _prepare(hub: Hub, server: Server, payload: Dict[str, Any], now: int) -> Optional[_Prepared]:
    """The costly part, done before the writer is asked; None for a sample that is older than anything kept."""
    numbers, agent = payload["metrics"], payload["agent"]
    timed = _timed(payload, now)
    if payload["collected_at"] is not None and not timed:
        agent = payload["agent"] = _ahead(agent, payload["collected_at"] - now)
        if _repeats(server, agent):
            return None
    at = payload["collected_at"] if timed else now
    if at < now - hub.settings["data_retention_days"] * clock.DAY:
        return None
    if numbers["boot_time"] is not None:
        numbers["boot_time"] = clock.iso(numbers["boot_time"])
    services_print = None if payload["services"] is None else hash(tuple(payload["services"]))
    return _Prepared(at, timed, metrics.row(numbers), details.pack(numbers, payload["processes"], agent), payload,
                     services_print)


def _timed(payload: Dict[str, Any], now: int) -> bool:
    """Whether the agent's own time is taken."""
    return payload["collected_at"] is not None and payload["collected_at"] <= now + AHEAD_MS


def _ahead(agent: Optional[Dict[str, Any]], skew: int) -> Dict[str, Any]:
    return {**(agent or {}), "clock_ahead_seconds": skew // 1000}


def _repeats(server: Server, agent: Dict[str, Any]) -> bool:
    """Without a usable time only the agent's own count can tell a repetition."""
    known = server.sample
    return bool(known and agent.get("sequence") is not None
                and known.counted() == (agent.get("boot_id"), agent["sequence"]))


def _live_columns(payload: Dict[str, Any]) -> List[Any]:
    rates = {**(payload["network_rate"] or {}), **(payload["disk_io_rate"] or {})}
    values = [payload[key] if key in payload else rates.get(key) for key in series.LIVE_COLUMNS]
    cores = series.LIVE_COLUMNS.index("cpu_per_core")
    values[cores] = json.dumps(values[cores], separators=(",", ":")) if values[cores] else None
    return values


# --- in the writer ----------------------------------------------------------------------------------------------------

def _store(db: Database, server: Server, key_hash: str, one: _Prepared) -> Optional[Newest]:
    """One sample's rows; None when it was there already. Raises LookupError for a server that is gone."""
    at = one.at

    def add(moment: int) -> Optional[int]:
        nonlocal at
        at = moment
        return series.add(db, key_hash, (server.row["id"], moment, *one.numbers, one.blob))

    row_id = _first_free(one.at, one.timed, add)
    if row_id is None:
        return None
    newest = Newest(row_id, at, one.timed, one.payload["agent"], fleet.card(one.payload["metrics"]), one.blob)
    if one.services_print not in (None, server.services_print) and newest.supersedes(server.sample):
        services.move(db, server.row["id"], at, one.payload["services"])
    return newest


def _first_free(at: int, timed: bool, add: Callable[[int], Any]) -> Any:
    """Add at a moment. Only an agent that said when may find its sample there already; others get the next free one."""
    for moment in range(at, at + (1 if timed else MOMENTS_TRIED)):
        stored = add(moment)
        if stored:
            return stored
    return None


def _move(hub: Hub, server: Server, newest: Newest, one: _Prepared) -> None:
    hub.fleet.move(server, newest)
    if server.sample is newest and one.services_print is not None:
        server.services_print = one.services_print


def _result(hub: Hub, one: Optional[_Prepared], newest: Optional[Newest]) -> Dict[str, Any]:
    if one is None:
        return {"status": "ok", "stored": False, "reason": "It is older than data_retention_days (%d), or a repetition."
                % hub.settings["data_retention_days"]}
    return {"status": "ok", "stored": newest is not None}
