"""Killed at any moment, the hub keeps alerts and messages together: neither is there without the other."""

from __future__ import annotations

import http.client
import itertools
import os
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any, List

from tests.hub import inside
from tests.support import doomed, needs
from tests.support.processes import METRICS, HubProcess, RegisteredServer, free_port, until

ROUNDS = 8
POSTERS = 8
POINTS, STATEMENTS = 100, 150  # kills of a hub that is judging, each before one of so many statements
COOL, HOT = dict(METRICS, cpu_percent=10.0), dict(METRICS, cpu_percent=99.0)


class Feverish(threading.Thread):
    """A server whose every third sample is hot, until the hub is gone: each of them is an alert that opens and ends."""

    def __init__(self, hub: HubProcess, server: RegisteredServer):
        super().__init__(name="feverish " + server.name)
        self.caller, self.server = hub.client(), server
        self.acknowledged = 0
        self.hot = False

    def run(self) -> None:
        try:
            for number in itertools.count():
                hot = number % 3 == 0
                answer = self.caller.post("/api/metrics", {"metrics": HOT if hot else COOL}, self.server.headers)
                assert answer.status == 200, answer
                self.acknowledged += 1
                self.hot = hot
        except (OSError, http.client.HTTPException):
            return  # the hub is gone
        finally:
            self.caller.close()


def prepare(hub: HubProcess) -> List[RegisteredServer]:
    """Servers, and a channel whose messages wait for ever: nobody listens where they go."""
    settings = {"rate_limit_per_minute": 1000000}
    assert hub.patch("/api/dashboard/settings", settings).status == 200
    channel = {"kind": "webhook", "name": "gone", "config": {"url": "http://127.0.0.1:%d/" % free_port()}}
    answer = hub.post("/api/dashboard/channels", channel)
    assert answer.status in (200, 201), answer
    return [hub.register("feverish-%d" % number) for number in range(POSTERS)]


def run_and_kill(hub: HubProcess, servers: List[RegisteredServer]) -> List[Feverish]:
    posters = [Feverish(hub, server) for server in servers]
    for poster in posters:
        poster.start()
    enough = random.randint(5, 150)
    until(lambda: sum(poster.acknowledged for poster in posters) >= enough, "%d answers" % enough)
    hub.kill9()
    for poster in posters:
        poster.join(60)
        assert not poster.is_alive()
    return posters


OPEN_NOW = "SELECT s.uuid FROM alerts a JOIN servers s ON s.id = a.server WHERE a.ended_at IS NULL"


def rows(data_dir: Path, sql: str) -> List[Any]:
    database = sqlite3.connect(str(data_dir / "smon.db"))
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


def test_kill_9_between_a_decision_and_its_delivery_parts_no_alert_from_its_message(tmp_path):
    servers: List[RegisteredServer] = []
    told = 0
    for _ in range(ROUNDS):
        hub = HubProcess(tmp_path / "data")
        servers = servers or prepare(hub)
        posters = run_and_kill(hub, servers)
        hot = {poster.server.id for poster in posters if poster.hot}
        open_now = {uuid for uuid, in rows(hub.data_dir, OPEN_NOW)}
        assert hot <= open_now  # a hot sample that was acknowledged has its alert
        told = consistent(hub.data_dir)
    assert told > ROUNDS


def test_kill_9_before_any_statement_parts_no_alert_from_its_message(tmp_path):
    if not hasattr(os, "fork"):
        needs.system("A process that is forked a hundred times is quick; this system has no fork.")
    data_dir = tmp_path / "data"
    with inside.running(data_dir) as hub:
        uuids = [hub.server().row["uuid"] for _ in range(doomed.SERVERS)]
        body = {"kind": "webhook", "name": "gone", "config": {"url": "http://127.0.0.1:%d/" % free_port()}}
        assert hub.ask("POST", "/api/dashboard/channels", body, inside.HERE, host="localhost").status == 201
    told = [0]
    with doomed.Doomed(data_dir) as hubs:
        for _ in range(POINTS):
            last = hubs.run(random.randint(1, STATEMENTS))
            open_now = {uuid for uuid, in rows(data_dir, OPEN_NOW)}
            assert {uuids[number] for number, hot in last.items() if hot} <= open_now
            told.append(consistent(data_dir))
    assert sorted(told) == told and len(set(told)) > POINTS / 4  # messages came, and none went


def consistent(data_dir: Path) -> int:
    """Each told opening, end and flapping is a line of history, one of the bell and a message; how many there are."""
    messages = rows(data_dir, "SELECT alert_id, event FROM outbox ORDER BY id")
    history = rows(data_dir, "SELECT e.alert, e.event FROM alert_events e WHERE e.event IN ('opened', 'recovered', "
                             "'flapping') ORDER BY e.id")
    assert set(messages) <= set(history)
    assert len(messages) == len(set(messages)), "a message was written twice"
    assert len(messages) == rows(data_dir, "SELECT COUNT(*) FROM notifications")[0][0]
    without = rows(data_dir, "SELECT id FROM alerts WHERE told = 1 AND id NOT IN (SELECT alert_id FROM outbox)")
    assert without == []
    twice = rows(data_dir, "SELECT server, rule, object FROM alerts WHERE ended_at IS NULL GROUP BY 1, 2, 3 "
                           "HAVING COUNT(*) > 1")
    assert twice == []
    return len(messages)
