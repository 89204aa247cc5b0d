"""Many callers of a real hub in the same moment: what may happen in any order must come out right in each."""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, List, Sequence

from smon_hub import auth
from tests.support import ROOT
from tests.support.client import Answer
from tests.support.exports import export, line, pack
from tests.support.processes import METRICS, HubProcess, RegisteredServer, clean_environment, free_port, until

CALLERS = 50
START = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=1)
STRANGER = {"Host": "hub.example"}  # who calls the hub by such a name is not trusted for calling from here
BINARY = {"Content-Type": "application/octet-stream"}


def at_once(tasks: Sequence[Callable[[], Any]]) -> List[Any]:
    """The results of tasks that were all let go in the same moment, each in a thread of its own."""
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        gate.wait(30)
        return task()
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def moment(number: int) -> str:
    return (START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


def unlimited(hub: HubProcess) -> HubProcess:
    assert hub.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1_000_000}).status == 200
    return hub


def rows(hub: HubProcess, sql: str, *values: Any) -> List[Any]:
    """What the database holds, read beside the hub."""
    with closing(sqlite3.connect("file:%s?mode=ro" % (hub.data_dir / "smon.db"), uri=True)) as database:
        return database.execute(sql, values).fetchall()


class Poster(threading.Thread):
    """Posts samples of one server until it is told to stop; remembers each answer."""

    def __init__(self, server: RegisteredServer, moments: Sequence[str] = ()):
        super().__init__(name="poster")
        self.answers: List[Answer] = []
        self._server, self._caller = server, server.hub.client()
        self._moments = list(moments)
        self._enough = threading.Event()

    def run(self) -> None:
        for number in itertools.count():
            if self._enough.is_set() or self._moments and number == len(self._moments):
                break
            body = {"metrics": METRICS, "services": [{"service_name": "s%d" % (number % 3), "status": "running"}]}
            if self._moments:
                body["collected_at"] = self._moments[number]
            self.answers.append(self._caller.post("/api/metrics", body, self._server.headers))
        self._caller.close()

    def stop(self) -> List[int]:
        self._enough.set()
        self.join(30)
        return [answer.status for answer in self.answers]


# --- registering -----------------------------------------------------------------------------------------------------

def test_50_registrations_at_once_are_50_servers(fresh_hub):
    servers = at_once([lambda: fresh_hub.register("same name")] * CALLERS)
    assert len({server.id for server in servers}) == len({server.key for server in servers}) == CALLERS
    assert [answer.status for answer in at_once([server.send for server in servers])] == [200] * CALLERS
    shown = fresh_hub.get("/api/dashboard").json
    assert {server["id"] for server in shown["servers"]} == {server.id for server in servers}
    assert shown["summary"]["totalServers"] == CALLERS


def test_the_last_places_for_strangers_are_given_once(fresh_hub):
    def stranger() -> int:
        return fresh_hub.post("/api/register", {"hostname": "h"}, STRANGER).status
    answers = [status for _ in range(3) for status in at_once([stranger] * 40)]
    assert sorted(answers) == [201] * 100 + [403] * 20
    assert rows(fresh_hub, "SELECT COUNT(*) FROM servers WHERE approved = 0") == [(100,)]


def test_a_registration_token_is_never_overspent(fresh_hub):
    made = fresh_hub.post("/api/dashboard/registration", {"name": "ten", "uses": 10}).json
    body = {"hostname": "h", "registration_token": made["registration_token"]}
    answers = at_once([lambda: fresh_hub.post("/api/register", body, STRANGER).status] * CALLERS)
    assert sorted(answers) == [201] * 10 + [401] * 40
    assert rows(fresh_hub, "SELECT COUNT(*), SUM(approved) FROM servers") == [(10, 10)]


# --- accounts --------------------------------------------------------------------------------------------------------

def test_there_is_one_first_account(fresh_hub):
    code = (fresh_hub.data_dir / "setup-code").read_text().strip()
    answers = at_once([lambda number=number: fresh_hub.post("/api/setup", {
        "code": code, "username": "user%d" % number, "password": "correct horse"}).status for number in range(10)])
    assert answers.count(201) == 1 and set(answers) <= {201, 403, 409}
    assert rows(fresh_hub, "SELECT COUNT(*) FROM users") == [(1,)]


def test_admins_that_remove_each_other_leave_one(fresh_hub):
    token = json.loads((fresh_hub.data_dir / "hub.json").read_text())["token"]
    admin = {"Authorization": "Bearer " + token}
    paths = ["/api/dashboard/users/admin%d" % number for number in range(4)]
    for path in paths:
        body = {"name": path.rpartition("/")[2], "role": "admin", "password": "correct horse"}
        assert fresh_hub.post("/api/dashboard/users", body, admin).status == 201
    answers = at_once([lambda path=path: fresh_hub.delete(path, None, admin).status for path in paths[:2]]
                      + [lambda path=path: fresh_hub.patch(path, {"role": "viewer"}, admin).status
                         for path in paths[2:]])
    assert sorted(answers) == [200, 200, 200, 409]
    assert rows(fresh_hub, "SELECT COUNT(*) FROM users WHERE role = 'admin'") == [(1,)]


def test_a_key_ends_with_the_answer_that_brings_the_next(fresh_hub):
    server = unlimited(fresh_hub).register("rotated")
    posters = [Poster(server) for _ in range(4)]
    for poster in posters:
        poster.start()
    until(lambda: all(len(poster.answers) > 5 for poster in posters), "Samples with the old key")
    answer = fresh_hub.post("/api/dashboard/server/%s/rotate-key" % server.id)
    assert answer.status == 200
    assert server.send().status == 401                           # the very next one
    new = RegisteredServer(fresh_hub, server.name, server.id, answer.json["api_key"])
    assert new.send().status == 200
    until(lambda: all(poster.answers[-1].status == 401 for poster in posters), "A refusal of each")
    statuses = [poster.stop() for poster in posters]
    assert all(each == sorted(each) and set(each) == {200, 401} for each in statuses)
    stored = sum(answer.status == 200 and answer.json["stored"] for poster in posters for answer in poster.answers)
    assert rows(fresh_hub, "SELECT COUNT(*) FROM samples") == [(stored + 1,)]  # nothing that was answered 401


def test_rotations_at_once_leave_one_key(fresh_hub):
    server = fresh_hub.register("rotated")
    path = "/api/dashboard/server/%s/rotate-key" % server.id
    keys = [answer.json["api_key"] for answer in at_once([lambda: fresh_hub.post(path)] * 8)]
    sent = [RegisteredServer(fresh_hub, server.name, server.id, key).send().status for key in keys + [server.key]]
    assert sorted(sent) == [200] + [401] * 8


# --- removing --------------------------------------------------------------------------------------------------------

def test_a_server_removed_while_it_sends_leaves_nothing_behind(fresh_hub):
    """Samples that came in time were stored and are gone; later ones are refused; none is a failure of the hub."""
    stays = unlimited(fresh_hub).register("stays")
    servers = [fresh_hub.register("goes") for _ in range(8)]
    posters = [Poster(server) for server in servers + [stays]]
    for poster in posters:
        poster.start()
    until(lambda: all(len(poster.answers) > 5 for poster in posters), "Samples of every server")
    removed = at_once([lambda server=server: fresh_hub.delete("/api/dashboard/server/" + server.id).status
                       for server in servers for _ in range(2)])
    assert [sorted(removed[at:at + 2]) for at in range(0, len(removed), 2)] == [[200, 404]] * len(servers)
    until(lambda: all(poster.answers[-1].status == 401 for poster in posters[:-1]), "A refusal of each")
    answers = [poster.stop() for poster in posters]
    assert set(itertools.chain(*answers[:-1])) == {200, 401}
    assert all(statuses == sorted(statuses) for statuses in answers)  # once refused, never taken again
    assert set(answers[-1]) == {200}
    assert [server["id"] for server in fresh_hub.get("/api/dashboard").json["servers"]] == [stays.id]
    own, = rows(fresh_hub, "SELECT id FROM servers")
    tables = [table for table, in rows(fresh_hub, "SELECT name FROM sqlite_master WHERE type = 'table'")
              if "server" in [column[1] for column in rows(fresh_hub, "PRAGMA table_info(%s)" % table)]]
    assert {"samples", "services"} <= set(tables)
    until(lambda: all(rows(fresh_hub, "SELECT COUNT(*) FROM %s WHERE server <> ?" % table, *own) == [(0,)]
                      for table in tables), "The sweep")


def test_a_server_removed_while_it_is_changed_is_changed_or_gone(fresh_hub):
    for _ in range(10):
        server = unlimited(fresh_hub).register("contested")
        path = "/api/dashboard/server/" + server.id
        changes = [lambda: fresh_hub.patch(path, {"notes": "x", "collection_interval": 15}).status,
                   lambda: fresh_hub.post(path + "/config", {"ping_enabled": False}).status,
                   lambda: server.send().status, lambda: server.live().status, lambda: server.ping().status,
                   lambda: fresh_hub.get(path).status]
        *answers, removed = at_once(changes + [lambda: fresh_hub.delete(path).status])
        assert removed == 200 and set(answers) <= {200, 401, 404}
        assert fresh_hub.get(path).status == 404
    until(lambda: rows(fresh_hub, "SELECT COUNT(*) FROM removals") == [(0,)], "The sweep")
    assert rows(fresh_hub, "SELECT COUNT(*) FROM agent_config") == [(0,)]


# --- changing --------------------------------------------------------------------------------------------------------

PAIR = ("stale_threshold_minutes", "data_retention_days")


def test_settings_changed_together_are_never_seen_apart(tmp_path):
    def change(number: int) -> int:
        return hub.patch("/api/dashboard/settings", dict.fromkeys(PAIR, number)).status

    def look() -> tuple:
        shown = hub.get("/api/dashboard/settings").json["settings"]
        return tuple(shown[key] for key in PAIR)

    with HubProcess(tmp_path / "data") as hub:
        change(1)
        results = at_once([lambda number=number: change(number) for number in range(1, 26)] + [look] * 25)
        assert results[:25] == [200] * 25
        assert [seen for seen in results[25:] if seen[0] != seen[1]] == []
        last = look()
        assert last[0] == last[1]
    with HubProcess(tmp_path / "data") as hub:
        assert look() == last  # what was shown at the end is what was stored


def test_changes_of_different_members_all_hold(fresh_hub):
    """A change writes what was sent, not what its sender last saw."""
    server = fresh_hub.register("shared")
    path = "/api/dashboard/server/" + server.id
    changes = {"display_name": "a", "group_name": "b", "notes": "c", "alert_cpu_threshold": 11,
               "alert_memory_threshold": 12, "alert_disk_threshold": 13, "tags": ["d"], "may_be_off": True}
    answers = at_once([lambda member=member: fresh_hub.patch(path, dict([member])).status
                       for member in changes.items()])
    assert answers == [200] * len(changes)
    shown = fresh_hub.server(server.id)["server"]
    assert {key: shown[key] for key in changes} == changes


def test_every_change_of_an_agents_settings_is_in_the_revision_that_it_fetches(fresh_hub):
    server = fresh_hub.register("configured")
    path = "/api/dashboard/server/%s/config" % server.id
    changes = [{"ping_enabled": False}, {"collect_disks": False}, {"top_processes_count": 3}, {"retry_attempts": 7},
               {"live_enabled": True}, {"log_level": "DEBUG"}, {"skip_mounts": ["/mnt"]}, {"offline_buffer_max": 9}]
    answers = at_once([lambda change=change: fresh_hub.post(path, change) for change in changes])
    assert sorted(answer.json["revision"] for answer in answers) == list(range(1, len(changes) + 1))
    waiting = fresh_hub.get("/api/config/" + server.id, server.headers).json
    assert waiting["config"] == {key: value for change in changes for key, value in change.items()}
    assert waiting["revision"] == len(changes)


# --- one sample, many ways -------------------------------------------------------------------------------------------

def test_one_sample_sent_50_times_at_once_is_stored_once(fresh_hub):
    server = fresh_hub.register("replayed")
    answers = at_once([lambda: server.send(collected_at=moment(0)).json["stored"]] * CALLERS)
    assert sorted(answers) == [False] * (CALLERS - 1) + [True]
    assert len(fresh_hub.server(server.id)["history"]) == 1


def test_an_export_taken_in_while_its_samples_still_arrive_stores_each_once(fresh_hub):
    """The backlog came on a stick and over the network at the same time."""
    server = unlimited(fresh_hub).register("both ways")
    moments = [moment(number) for number in range(600)]
    content = export(server.id, auth.export_key(server.key), pack([line(each) for each in moments]))
    posters = [Poster(server, moments), Poster(server, moments[::-1])]
    for poster in posters:
        poster.start()
    reports = at_once([lambda: fresh_hub.post("/api/dashboard/import", content, BINARY).json] * 3)
    for poster in posters:
        poster.join(60)
    assert {answer.status for poster in posters for answer in poster.answers} == {200}
    taken = sum(answer.json["stored"] for poster in posters for answer in poster.answers)
    assert taken + sum(report["stored"] for report in reports) == len(moments)
    assert [report["stored"] + report["known"] for report in reports] == [len(moments)] * 3
    assert rows(fresh_hub, "SELECT COUNT(*), COUNT(DISTINCT at) FROM samples") == [(600, 600)]
    assert fresh_hub.server(server.id)["metrics"]["timestamp"] == moments[-1]


# --- two hubs --------------------------------------------------------------------------------------------------------

def start(data_dir: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "smon_server.py"), "--host", "127.0.0.1", "--port", str(free_port()),
               "--data-dir", str(data_dir)]
    return subprocess.Popen(command, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, universal_newlines=True)


def test_of_hubs_started_at_once_on_one_folder_one_serves(tmp_path):
    hubs = at_once([lambda: start(tmp_path / "data")] * 4)
    try:
        until(lambda: sum(hub.poll() is None for hub in hubs) == 1, "The end of all but one")
        until(lambda: (tmp_path / "data" / "hub.json").exists(), "A hub that listens")
    finally:
        for hub in hubs:
            if hub.poll() is None:
                hub.terminate()
        said = {hub: hub.communicate(timeout=15)[0] for hub in hubs}
    assert sorted(hub.returncode for hub in hubs) == [0, 2, 2, 2]
    for hub in hubs:
        assert "Traceback" not in said[hub]
        assert ("is in use by another hub" in said[hub]) == (hub.returncode == 2)


def test_a_second_hub_does_not_disturb_the_first(fresh_hub):
    server = unlimited(fresh_hub).register("served")
    poster = Poster(server)
    poster.start()
    for other in at_once([lambda: start(fresh_hub.data_dir)] * 3):
        assert "is in use by another hub" in other.communicate(timeout=30)[0]
        assert other.returncode == 2
    assert set(poster.stop()) == {200}
    stored = sum(answer.json["stored"] for answer in poster.answers)
    assert rows(fresh_hub, "SELECT COUNT(*) FROM samples") == [(stored,)]
    assert rows(fresh_hub, "PRAGMA integrity_check") == [("ok",)]
