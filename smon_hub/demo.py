"""Show a hub with a fleet that does not exist: register simulated servers and send their samples, as agents would."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import sys
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence
from urllib.parse import urlsplit

from . import bodies, clock
from .hub import Hub
from .simulation import Machine

STEP_MS = 10 * clock.MINUTE  # between samples of the past
NEAR, NEAR_MS = 4, 10 * clock.SECOND  # the last ones lie closer: what is older is history and raises no alert
TICK_MS = 10 * clock.SECOND
ANSWER_SECONDS = 30
WAIT_SECONDS_MAX = 120       # longer than a full minute of the rate limit
TRIES = 10


class Refused(Exception):
    """What the hub said, or why it said nothing."""


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with the hub's own sentence."""
    options = _parser().parse_args(arguments)
    caller = Caller(options.url)
    now = Hub.now()
    try:
        fleet = [enrol(caller, Machine(number, now), options.token) for number in range(options.count)]
        samples = sum(send(caller, one, moments(now, options.rounds, options.days)) for one in fleet)
        ticks = sum(send_live(caller, one, now, options.live_ticks) for one in fleet) if options.live else 0
    except Refused as error:
        print("demo: %s" % error, file=sys.stderr)
        return 1
    finally:
        caller.close()
    print("%d servers in %d groups sent %d samples%s." % (
        len(fleet), len({one.machine.role.group for one in fleet}), samples,
        " and %d near-live ones" % ticks if options.live else ""))
    waiting = sum(one.waits for one in fleet)
    if waiting:
        print("%d of them wait for approval; with a registration token (--token) they would not." % waiting)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smon_server.py demo", description="Fill a hub with a fleet to look at.")
    parser.add_argument("--url", default="http://localhost:3000", help="address of the hub (default: %(default)s)")
    parser.add_argument("--token", default="", help="registration token, where the hub asks for one")
    for name, default, most, sentence in (
            ("count", 8, 1_000, "servers"), ("rounds", 12, 10_000, "samples of each server, ten minutes apart"),
            ("live-ticks", 30, 100, "near-live samples of each server"), ("days", 0, 365, "days of history")):
        parser.add_argument("--" + name, type=_whole(most), default=default, metavar="N",
                            help=sentence + " (default: %(default)s)")
    parser.add_argument("--live", action="store_true", help="send near-live samples, too")
    return parser


def _whole(most: int) -> Any:
    def number(text: str) -> int:
        if not text.isdigit() or int(text) > most:
            raise argparse.ArgumentTypeError("must be a number from 0 to %d, not %r." % (most, text))
        return int(text)
    return number


class Enrolled(NamedTuple):
    """A machine that the hub knows."""

    machine: Machine
    credential: str
    waits: bool


def enrol(caller: "Caller", machine: Machine, token: str) -> Enrolled:
    """Register it, as its agent would."""
    body = {"hostname": machine.hostname, "ip_address": machine.address, "os_info": machine.role.os_info,
            "group_name": machine.role.group}
    if token:
        body["registration_token"] = token
    answer = caller.post("/api/register", body)
    return Enrolled(machine, "Bearer %s:%s" % (answer["server_id"], answer["api_key"]),
                    "waits" in answer["message"])


def moments(now: int, rounds: int, days: int) -> List[int]:
    """When samples were taken, the oldest first: as many as asked, and enough for the days."""
    near = [now - place * NEAR_MS for place in range(min(NEAR, rounds))]
    wanted = max(rounds, days * clock.DAY // STEP_MS)
    past = [near[-1] - place * STEP_MS for place in range(1, wanted - len(near) + 1)] if near else []
    return (near + past)[::-1]


def send(caller: "Caller", one: Enrolled, taken: List[int]) -> int:
    """Samples of these moments; how many the hub took. First how it is now, as an agent after a long outage does."""
    payloads = [one.machine.sample(at, len(taken) - place - 1) for place, at in enumerate(taken)]
    past, near = payloads[:-NEAR], payloads[-NEAR:]
    for payload in near:
        caller.post("/api/metrics", payload, one.credential)
    for batch in _batches(past):
        caller.post("/api/metrics/batch", {"payloads": batch}, one.credential)
    return len(payloads)


def send_live(caller: "Caller", one: Enrolled, now: int, ticks: int) -> int:
    for place in range(ticks - 1, -1, -1):
        caller.post("/api/metrics/live", one.machine.live(now - place * TICK_MS), one.credential)
    return ticks


def _batches(payloads: List[Dict[str, Any]]) -> Iterator[List[Dict[str, Any]]]:
    for start in range(0, len(payloads), bodies.BATCH_MAX):
        yield payloads[start:start + bodies.BATCH_MAX]


class Caller:
    """One connection to the hub, which waits as long as the hub asks."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self._connection: Optional[http.client.HTTPConnection] = None

    def post(self, path: str, body: Dict[str, Any], credential: str = "") -> Dict[str, Any]:
        """The answer. Raises Refused."""
        headers = {"Content-Type": "application/json", **({"Authorization": credential} if credential else {})}
        content = json.dumps(body).encode("utf-8")
        for _ in range(TRIES):
            answer, said = self._exchange(path, content, headers)
            if answer.status not in (429, 503):
                break
            seconds = min(WAIT_SECONDS_MAX, int(answer.getheader("Retry-After") or 1))
            print("The hub asks to wait %d seconds." % seconds, file=sys.stderr)
            time.sleep(seconds)
        if answer.status >= 300 or not isinstance(said, dict):
            raise Refused("%s answers %d to %s: %s" % (self.url, answer.status, path, _sentence(said)))
        return said

    def _exchange(self, path: str, content: bytes, headers: Dict[str, str]) -> Any:
        try:
            connection = self._connected()
            connection.request("POST", path, content, headers)
            answer = connection.getresponse()
            return answer, json.loads(answer.read().decode("utf-8"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Refused("%s does not answer as a hub: %s." % (self.url, ascii(str(error))[1:-1])) from None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            place = urlsplit(self.url)
            if place.scheme not in ("http", "https") or not place.hostname:
                raise ValueError("--url must be http:// or https:// and a host")
            if place.scheme == "https":
                self._connection = http.client.HTTPSConnection(place.hostname, place.port, timeout=ANSWER_SECONDS,
                                                               context=ssl.create_default_context())
            else:
                self._connection = http.client.HTTPConnection(place.hostname, place.port, timeout=ANSWER_SECONDS)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _sentence(said: Any) -> str:
    return str(said.get("error", "")) if isinstance(said, dict) else "no JSON object"
