"""An answer of 2xx means that the sample is on disk: killed at any moment, the hub loses none and counts none twice."""

from __future__ import annotations

import http.client
import os
import random
import sqlite3
import subprocess
import threading
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Dict, List, Set

import pytest

from tests.support import needs
from tests.support.processes import HubProcess, RegisteredServer, METRICS, until

POSTERS = 32
ROUNDS = 5
# Each round of each poster gets moments of its own, a second apart: at most 1,500 are read back one by one.
SAMPLES_A_ROUND = 250
START = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=1)


class Poster(threading.Thread):
    """Posts samples of one server until the hub is gone; remembers what it asked and what was acknowledged."""

    def __init__(self, hub: HubProcess, server: RegisteredServer, first: int):
        super().__init__(name="poster of %s" % server.name)
        self.caller = hub.client()
        self.server = server
        self.first = first
        self.asked: List[str] = []
        self.acknowledged: List[str] = []
        self.refused: List[int] = []

    def run(self) -> None:
        try:
            for number in range(self.first, self.first + SAMPLES_A_ROUND):
                self._post((START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ"))
        except (OSError, http.client.HTTPException):
            return  # the hub is gone
        finally:
            self.caller.close()

    def _post(self, moment: str) -> None:
        self.asked.append(moment)
        answer = self.caller.post("/api/metrics", {"collected_at": moment, "metrics": METRICS}, self.server.headers)
        (self.acknowledged if answer.status == 200 else self.refused).append(moment)


def prepare(hub: HubProcess) -> List[RegisteredServer]:
    answer = hub.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1000000})
    assert answer.status == 200, answer
    return [hub.register("poster-%02d" % number) for number in range(POSTERS)]


def start_posters(hub: HubProcess, servers: List[RegisteredServer], first: int, enough: int) -> List[Poster]:
    """Every server posting at once, given back as soon as `enough` samples are acknowledged."""
    posters = [Poster(hub, server, first) for server in servers]
    for poster in posters:
        poster.start()
    until(lambda: sum(len(poster.acknowledged) for poster in posters) >= enough, "%d acknowledged samples" % enough)
    return posters


def join(posters: List[Poster]) -> None:
    for poster in posters:
        poster.join(60)
        assert not poster.is_alive(), poster.name
        assert poster.refused == []


def stored(hub: HubProcess, servers: List[RegisteredServer]) -> Dict[str, Counter]:
    return {server.id: Counter(point["timestamp"] for point in hub.server(server.id, 24)["history"])
            for server in servers}


def more_than_once(found: Dict[str, Counter]) -> Set[str]:
    return {moment for counted in found.values() for moment, count in counted.items() if count > 1}


def test_kill_9_under_32_posters_loses_nothing_acknowledged_and_stores_nothing_twice(tmp_path):
    acknowledged: Dict[str, Set[str]] = {}
    servers: List[RegisteredServer] = []
    for round_number in range(ROUNDS):
        hub = HubProcess(tmp_path / "data")
        servers = servers or prepare(hub)
        posters = start_posters(hub, servers, round_number * SAMPLES_A_ROUND, random.randint(100, 600))
        hub.kill9()
        join(posters)
        for poster in posters:
            acknowledged.setdefault(poster.server.id, set()).update(poster.acknowledged)

    with HubProcess(tmp_path / "data") as hub:
        found = stored(hub, servers)
        lost = {server_id: moments - set(found[server_id]) for server_id, moments in acknowledged.items()}
        assert {server_id: moments for server_id, moments in lost.items() if moments} == {}
        assert more_than_once(found) == set()
    database = sqlite3.connect(str(tmp_path / "data" / "smon.db"))
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_what_was_in_doubt_at_the_crash_can_be_sent_again_and_is_there_once(tmp_path):
    hub = HubProcess(tmp_path / "data")
    servers = prepare(hub)
    posters = start_posters(hub, servers, 0, 200)
    hub.kill9()
    join(posters)
    with HubProcess(tmp_path / "data") as hub:
        for poster in posters:
            for moment in poster.asked:  # as an agent does that got no answer
                body = {"collected_at": moment, "metrics": METRICS}
                assert hub.post("/api/metrics", body, poster.server.headers).status == 200
        found = stored(hub, servers)
        assert {poster.server.id: Counter(poster.asked) for poster in posters} == found


def test_no_answer_leaves_before_its_sample_is_synced_to_the_disk(tmp_path):
    strace = needs.program("strace", why="it shows when the hub asks the system to keep what it wrote")
    if subprocess.call([strace, "-o", os.devnull, "true"], stderr=subprocess.DEVNULL) != 0:
        needs.system("This system does not let strace look at a process.")
    trace = tmp_path / "trace.txt"
    watched = (strace, "-D", "-f", "-s", "24", "-e", "trace=recvfrom,sendto,fsync,fdatasync", "-o", str(trace))
    with HubProcess(tmp_path / "data", wrapper=watched) as hub:
        poster = Poster(hub, prepare(hub)[0], 0)
        poster.run()
        assert len(poster.acknowledged) == SAMPLES_A_ROUND
    calls = [call for call in map(kind_of_call, trace.read_text().splitlines()) if call]
    begin = calls.index("request")
    assert calls[begin:].count("answer") >= SAMPLES_A_ROUND
    assert too_early(calls[begin:]) == 0


def kind_of_call(line: str) -> str:
    """A sample that came in, a finished sync, an answer that went out, or nothing of interest."""
    if '"POST /api/metrics' in line:
        return "request"
    if "sync" in line and line.endswith("= 0"):
        return "sync"
    return "answer" if 'sendto(' in line and '"HTTP/1.1 200' in line else ""


def too_early(calls: List[str]) -> int:
    """Answers without a sync since the request before them."""
    count, synced = 0, True
    for call in calls:
        count += call == "answer" and not synced
        synced = call == "sync" or (synced and call != "request")
    return count


def test_sigterm_answers_what_is_in_flight_and_ends_within_five_seconds(tmp_path):
    hub = HubProcess(tmp_path / "data")
    servers = prepare(hub)
    posters = start_posters(hub, servers, 0, 200)
    hub.process.terminate()
    assert hub.process.wait(5) == 0
    join(posters)
    with HubProcess(tmp_path / "data") as hub:
        # Every stored sample was acknowledged: no caller was left without the answer to something that was done.
        assert {poster.server.id: Counter(poster.acknowledged) for poster in posters} == stored(hub, servers)


@pytest.mark.parametrize("idle", ["a kept-alive connection", "half a head", "half a body"])
def test_sigterm_does_not_wait_for_a_silent_caller(tmp_path, idle):
    hub = HubProcess(tmp_path / "data")
    caller = hub.client()
    assert caller.get("/api/ping").status == 200
    if idle != "a kept-alive connection":
        head = b"POST /api/register HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        body = b"" if idle == "half a head" else b"Content-Length: 100\r\n\r\n{"
        caller.send_raw(head + body)
        assert hub.get("/api/ping").status == 200  # came later, so the half was read before
    hub.process.terminate()
    assert hub.process.wait(5) == 0
    caller.close()
