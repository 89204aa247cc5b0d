"""What one payload does: store the sample, move the server's current state and services. One transaction each.

Late data fills history and nothing else. What a refused or repeated sample is answered is decided here, too.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from . import alerts, bodies, clock, fleet, judging, ledger, metrics, steady
from .errors import HubError
from .fleet import Newest, Server
from .store import details, series, servers, services
from .store.commits import Database, Later

Hub = Any  # hub.Hub, which is passed and never imported

AHEAD_MS = 5 * clock.MINUTE  # a clock further ahead than this is wrong: the time of arrival is taken instead
LIVE_MINUTES_MIN = 60        # the longest benchmark needs its data
NO_RATES: Dict[str, None] = dict.fromkeys(bodies.NETWORK_RATE.names + bodies.DISK_IO_RATE.names)
_NETWORK, _DISK_IO = itemgetter(*bodies.NETWORK_RATE.names), itemgetter(*bodies.DISK_IO_RATE.names)
_LIVE_MIDDLE = itemgetter("cpu_freq_mhz", "memory_percent", "memory_used", "memory_available", "swap_percent",
                          "swap_used")
_LIVE_COUNTS = itemgetter("process_count", "thread_count", "handle_count")


class _Prepared(NamedTuple):
    """A sample on its way to the writer: its row, and what the fleet will keep of it.

    Not the payload: its hundreds of objects cost least where they were made, and the loop's cache is still warm.
    """

    arrival: series.Arrival
    blob: bytes
    agent: Optional[Dict[str, Any]]
    card: Tuple[Any, ...]
    services: Optional[List[Any]]  # rows; None when there are none, or when they are the ones last written
    services_print: Optional[int]  # of its services, to tell that
    look: alerts.Look              # what it tells the judge


class _Delivery(NamedTuple):
    """What one request brings of one server. key_hash: of the key it was sent with. seen_at: the sign of life it is."""

    hub: Hub
    now: int
    seen_at: int
    server: Server
    key_hash: str
    samples: List[Optional[_Prepared]]  # None for what is not to be stored


class _LiveDelivery(NamedTuple):
    hub: Hub
    server: Server
    key_hash: str
    arrival: series.Arrival
    minutes: int


_State = Tuple[Newest, Optional[int]]  # a stored sample, and the print of the services that its server has then
_Stored = Tuple[List[Optional[_State]], Optional[ledger.Verdict], int]  # what became of a delivery's samples, of
#                                                    alerts, and the turn of the server (peers.py; 0: there is none)


def sample(hub: Hub, server: Server, payload: Dict[str, Any], now: int) -> Later:
    """Store one clean payload (bodies.SAMPLE). The future's value is the answer; it settles after the commit."""
    return samples(hub, server, [payload], now,
                   lambda results, before: {**results[0], **greeting(hub, server), **before})


def samples(hub: Hub, server: Server, payloads: List[Dict[str, Any]], now: int,
            answer: Callable[[List[Dict[str, Any]], Dict[str, Any]], Any],
            seen_at: Optional[int] = None) -> Later:
    """Store clean payloads in their order, in one transaction. answer(results, before) becomes the future's
    value; before: what the hub had of the server until then, so that an agent sees what a restored one has lost.

    seen_at: the sign of life that they are, when that is not now.
    """
    written = server.services_print if len(payloads) == 1 else None  # within a batch they may change and change back
    prepared = [_prepare(hub, server, payload, now, written, seen_at is None) for payload in payloads]
    seen_at = now if seen_at is None else seen_at

    def after(done: _Stored) -> Any:
        stored, verdict, turn = done
        before = {"previous_at": _moment(server.sample)}
        if turn:
            server.told_at = max(server.told_at, seen_at)
            if server.turn >= 0:  # else it is to be loaded anew, whatever this sample found
                server.turn = max(server.turn, turn)
        hub.fleet.seen(server, seen_at)
        ledger.take_up(hub, verdict, server)
        for state in stored:
            if state is not None:
                _move(hub, server, state)
        return answer([_result(hub, one, state) for one, state in zip(prepared, stored)], before)

    return hub.engine.gather(_store, _Delivery(hub, now, seen_at, server, server.row["key_hash"], prepared), after)


def live(hub: Hub, server: Server, payload: Dict[str, Any], now: int) -> Later:
    """Store one clean near-live payload (bodies.LIVE). The future's value is the answer."""
    timed = _timed(payload, now)
    minutes = max(payload["retention_minutes"] or 0, LIVE_MINUTES_MIN)
    row = (server.row["id"], payload["collected_at"] if timed else now, *_live_numbers(payload))

    def after(stored: bool) -> Dict[str, Any]:
        hub.fleet.seen(server, now)
        if minutes != server.row["live_minutes"]:
            hub.fleet.change(server.row["uuid"], {"live_minutes": minutes})
        return {"status": "ok", "stored": stored}

    delivery = _LiveDelivery(hub, server, server.row["key_hash"], series.Arrival(row, timed), minutes)
    return hub.engine.gather(_store_live, delivery, after)


def greeting(hub: Hub, server: Server) -> Dict[str, Any]:
    """What every answer tells an agent: whether settings wait, the hub's time, the newest sample that the hub has."""
    return {"config_pending": server.config_revision > 0, "server_time": clock.iso_ms(hub.now()),
            "newest_at": _moment(server.sample)}


def _moment(sample: Optional[Newest]) -> Optional[str]:
    return clock.iso_ms(sample.at) if sample else None


def unknown_key() -> HubError:
    """The one answer to every credential that does not hold, so that it tells nothing."""
    return HubError("unauthorized", "The server or its key is not known: send Authorization: Bearer server_id:api_key.")


# --- on the loop ------------------------------------------------------------------------------------------------------

def _prepare(hub: Hub, server: Server, payload: Dict[str, Any], now: int,
             written: Optional[int], at_once: bool) -> Optional[_Prepared]:
    """The costly part, done before the writer is asked; None for a sample that is not to be stored.

    written: the print of services that need not be written again. at_once: it came by itself, so that the time of its
    arrival tells something of its server's clock.
    """
    numbers, agent, taken_at = payload["metrics"], payload["agent"], payload["collected_at"]
    timed = _timed(payload, now)
    if taken_at is not None and not timed:
        agent = payload["agent"] = {**(agent or {}), fleet.AHEAD: (taken_at - now) // 1000}
        if fleet.counted(agent) in server.ahead:
            return None
    at = taken_at if timed else now
    if at < now - hub.settings["data_retention_days"] * clock.DAY:
        return None
    if numbers["boot_time"] is not None:
        numbers["boot_time"] = clock.iso(numbers["boot_time"])
    blob = details.pack(numbers, payload["processes"], agent, timed)
    row = (server.row["id"], at, *metrics.row(numbers), blob)
    services_print = steady.print_of(payload["services"])
    lag = (now - taken_at) / 1000 if at_once and taken_at is not None else None
    return _Prepared(series.Arrival(row, timed), blob, agent, fleet.card(numbers),
                     None if services_print == written else steady.rows_of(payload["services"]), services_print,
                     judging.look(hub, server, payload, services_print, lag))


def _timed(payload: Dict[str, Any], now: int) -> bool:
    """Whether the agent's own time is taken."""
    return payload["collected_at"] is not None and payload["collected_at"] <= now + AHEAD_MS


def _live_numbers(payload: Dict[str, Any]) -> List[Any]:
    """The values of one near-live sample in the order of series.LIVE_NUMBERS."""
    cores = payload["cpu_per_core"]
    network, disks = payload["network_rate"] or NO_RATES, payload["disk_io_rate"] or NO_RATES
    return [payload["cpu_percent"], details.encode(cores) if cores else None, *_LIVE_MIDDLE(payload),
            *_NETWORK(network), *_DISK_IO(disks), *_LIVE_COUNTS(payload)]


# --- in the writer ----------------------------------------------------------------------------------------------------

def _store(db: Database, deliveries: List[_Delivery]) -> List[Any]:
    """The rows of all samples that came together: for each delivery what became of its samples, or its refusal."""
    known, turns = deliveries[0].hub.peers.hold(db, [(delivery.server, delivery.key_hash) for delivery in deliveries])
    brought = [one for delivery, is_known in zip(deliveries, known) if is_known for one in delivery.samples if one]
    places = iter(series.add(db, [one.arrival for one in brought]))
    states: Dict[Server, _State] = {}
    done = [_judged(db, states, delivery, [next(places) if one else None for one in delivery.samples], turns)
            if is_known else unknown_key() for delivery, is_known in zip(deliveries, known)]
    if turns:
        held = [one for one, is_known in zip(deliveries, known) if is_known]
        servers.moved(db, _moves(held, states, turns))
        servers.seen(db, {one.server.row["id"]: one.seen_at for one in held}.items())
    return done


def _moves(deliveries: List[_Delivery], states: Dict[Server, _State],
           turns: Dict[Server, int]) -> List[Tuple[int, Optional[int], int]]:
    """What servers.moved takes."""
    newest = {delivery.server: delivery.server.sample for delivery in deliveries}
    newest.update((server, state[0]) for server, state in states.items())
    return [(turns[server], sample.id if sample else None, server.row["id"]) for server, sample in newest.items()]


def _judged(db: Database, states: Dict[Server, _State], delivery: _Delivery,
            places: List[Optional[series.Place]], turns: Dict[Server, int]) -> _Stored:
    """What became of one delivery: its server is judged by the newest of its samples, the others are late."""
    server, record = delivery.server, ledger.Record(db, delivery.now)
    known = states[server][0] if server in states else server.sample
    stored = [_stored(db, states, server, one, place) if one else None
              for one, place in zip(delivery.samples, places)]
    newest = states[server][0] if server in states else known
    for one, state in zip(delivery.samples, stored):
        if one is not None and state is not None:
            if state[0] is newest:
                judging.judge_sample(record, delivery.hub, server, newest, known, one.look)
            else:
                judging.late_sample(record, server, state[0].at, one.look)
    return stored, judging.close(record, server), turns.get(server, 0)


def _stored(db: Database, states: Dict[Server, _State], server: Server, one: _Prepared,
            place: Optional[series.Place]) -> Optional[_State]:
    """What the fleet will keep of a stored sample, its services written; None for one that was there already."""
    if place is None:
        return None
    newest = Newest(place[0], place[1], one.arrival.timed, one.agent, one.card, one.blob)
    known, written = states.get(server, (server.sample, server.services_print))
    if newest.supersedes(known):
        if one.services_print not in (None, written):
            if one.services is not None:
                services.move(db, server.row["id"], newest.at, one.services)
            # Else they were the ones last written until another sample overtook this one: the next one tells.
            written = one.services_print if one.services is not None else None
        states[server] = newest, written
    return newest, written


def _store_live(db: Database, deliveries: List[_LiveDelivery]) -> List[Any]:
    """The rows of all near-live samples that came together: whether each is new, or its refusal."""
    known = deliveries[0].hub.peers.known(db, [(delivery.server, delivery.key_hash) for delivery in deliveries])
    brought = [delivery for delivery, is_known in zip(deliveries, known) if is_known]
    stored = iter(series.add_live(db, [delivery.arrival for delivery in brought]))
    for delivery in brought:
        if delivery.minutes != delivery.server.row["live_minutes"]:
            servers.change(db, delivery.server.row["id"], {"live_minutes": delivery.minutes})
    return [next(stored) if is_known else unknown_key() for is_known in known]


def _move(hub: Hub, server: Server, state: _State) -> None:
    hub.fleet.stored_samples += 1
    hub.fleet.move(server, state[0])
    if server.sample is state[0]:
        server.services_print = state[1]


def _result(hub: Hub, one: Optional[_Prepared], state: Optional[_State]) -> Dict[str, Any]:
    if one is None:
        return {"status": "ok", "stored": False, "reason": "It is older than data_retention_days (%d), or a repetition."
                % hub.settings["data_retention_days"]}
    return {"status": "ok", "stored": state is not None}
