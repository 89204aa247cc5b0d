"""Backup and restore by their commands, with real hubs and a real agent that fills what the backup did not have."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import ROOT, needs
from tests.support.processes import METRICS, AgentProcess, HubProcess, clean_environment, free_port, until


def command(data_dir, *words, status=0):
    done = subprocess.run([sys.executable, str(ROOT / "smon_server.py"), "--data-dir", str(data_dir), *map(str, words)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, env=clean_environment(), timeout=120)
    assert done.returncode == status, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def back_up(data_dir) -> Path:
    """The backup that the command says it made."""
    path = Path(command(data_dir, "backup").splitlines()[-1].partition("  ")[2])
    assert path.is_file()
    return path


def moments(hub, server_id):
    return {point["timestamp"] for point in hub.server(server_id)["history"]}


def test_a_backup_beside_a_running_hub_brings_back_what_was_there(tmp_path):
    with HubProcess(tmp_path / "data") as hub:
        server = hub.register("kept")
        assert server.send().status == 200
        path = back_up(hub.data_dir)
        assert "The hub first" not in command(hub.data_dir, "check") and hub.running
        later = hub.register("later")
        assert "Stop the hub first." in command(hub.data_dir, "restore", path, status=2)
    assert "is good." in command(hub.data_dir, "check", path)
    said = command(hub.data_dir, "restore", path)
    kept = Path(said.partition("is kept as ")[2].partition(". ")[0])
    assert kept.is_file()
    with HubProcess(tmp_path / "data") as hub:
        names = [row["hostname"] for row in hub.get("/api/dashboard").json["servers"]]
        assert names == ["kept"]
        assert hub.post("/api/ping", headers=server.headers).status == 200
        assert hub.post("/api/ping", headers=later.headers).status == 401


def test_samples_are_taken_in_while_backups_are_made(tmp_path):
    """Three backups, one after the other; not one sample is refused meanwhile, and each backup is whole."""
    with HubProcess(tmp_path / "data") as hub:
        server, stop, answers = hub.register("busy"), threading.Event(), []

        def send():
            number = 0
            while not stop.is_set():
                answers.append(server.send(collected_at="2026-11-22T%02d:%02d:%02dZ" % (
                    number // 3600 % 24, number // 60 % 60, number % 60)).status)
                number += 1
        hub.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1_000_000, "data_retention_days": 3_650})
        sender = threading.Thread(target=send)
        sender.start()
        paths = [back_up(hub.data_dir) for _ in range(3)]
        stop.set()
        sender.join()
        assert len(answers) > 10 and set(answers) == {200}
    assert command(tmp_path / "data", "check", *paths).count("is good.") == len(paths)


class Insistent(threading.Thread):
    """Sends each moment until it is acknowledged, as an agent does; in which life of the hub each of them was."""

    def __init__(self, client, server, life, ended):
        super().__init__(name="sender of " + server.name)
        self.client, self.server, self.life, self.ended = client, server, life, ended
        self.acknowledged = {}

    def run(self):
        for number in range(24 * 3600):
            moment = "2026-11-22T%02d:%02d:%02dZ" % (number // 3600, number // 60 % 60, number % 60)
            while moment not in self.acknowledged:
                if self.ended.is_set():
                    return
                self._send(moment)

    def _send(self, moment):
        life = self.life[0]
        try:
            answer = self.client.post("/api/metrics", {"collected_at": moment, "metrics": METRICS},
                                      self.server.headers)
        except (OSError, http.client.HTTPException):
            self.client.close()
            return
        if answer.status == 200:
            self.acknowledged[moment] = life


def test_a_restore_under_load_keeps_the_backup_and_all_that_is_acknowledged_after_it(tmp_path):
    port, life, ended = free_port(), ["before"], threading.Event()
    with HubProcess(tmp_path / "data", port=port) as hub:
        hub.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1_000_000, "data_retention_days": 3_650})
        senders = [Insistent(hub.client(), hub.register("busy-%d" % number), life, ended) for number in range(8)]
        for sender in senders:
            sender.start()
        until(lambda: all(len(sender.acknowledged) > 10 for sender in senders), "Samples before the backup")
        had = [set(sender.acknowledged) for sender in senders]
        path = back_up(hub.data_dir)
        until(lambda: all(len(sender.acknowledged) > len(had[0]) + 5 for sender in senders), "Samples after it")
        assert hub.stop() == 0
    command(tmp_path / "data", "restore", path)
    life[0] = "after"
    with HubProcess(tmp_path / "data", port=port) as hub:
        def later():
            return [{moment for moment, when in sender.acknowledged.copy().items() if when == "after"}
                    for sender in senders]
        until(lambda: all(len(moments_of) > 5 for moments_of in later()), "Samples after the restore")
        ended.set()
        for sender in senders:
            sender.join()
        for sender, before, after in zip(senders, had, later()):
            points = [point["timestamp"] for point in hub.server(sender.server.id, 24 * 90)["history"]]
            assert before | after <= set(points) <= set(sender.acknowledged)
            assert len(points) == len(set(points))


def test_without_a_running_hub_the_command_makes_one_itself(tmp_path):
    with HubProcess(tmp_path / "data") as hub:
        hub.register("kept")
    path = back_up(tmp_path / "data")
    assert "is good." in command(tmp_path / "data", "check", path)


def test_what_the_backup_lacks_comes_back_from_the_agents(tmp_path):
    port = free_port()
    with HubProcess(tmp_path / "data", port=port) as hub:
        agent = AgentProcess(tmp_path / "agent", hub.url, minute_seconds=0.1)
        with agent:
            server_id = agent.server_id()
            until(lambda: len(moments(hub, server_id)) >= 2, "The samples before the backup")
            path = back_up(hub.data_dir)
            had = moments(hub, server_id)
            lost = until(lambda: len(moments(hub, server_id)) >= len(had) + 3 and moments(hub, server_id),
                         "The samples after the backup")
            assert hub.stop() == 0
            command(hub.data_dir, "restore", path)
            with HubProcess(tmp_path / "data", port=port) as restored:
                until(lambda: lost <= moments(restored, server_id), "The refill from the agent:\n" + agent.log, 60)


def test_a_damaged_database_is_one_sentence_with_the_way_back(tmp_path):
    with HubProcess(tmp_path / "data") as hub:
        hub.register("kept")
        path = back_up(hub.data_dir)
    database = tmp_path / "data" / "smon.db"
    database.write_bytes(b"\xa5" * 8192 + database.read_bytes()[8192:])
    said = command(tmp_path / "data", "--port", "0", status=2)
    assert said.count("\n") == 1 and said.strip().endswith("smon_server.py restore %s" % path)
    assert "is damaged" in command(tmp_path / "data", "check", status=1)
    command(tmp_path / "data", "restore", path)
    with HubProcess(tmp_path / "data") as hub:
        assert [row["hostname"] for row in hub.get("/api/dashboard").json["servers"]] == ["kept"]


@pytest.mark.parametrize("words", [("backup",), ("check",), ("restore", "{backup}"), ("user", "list"),
                                   ("setting", "set", "stale_threshold_minutes", "20"), ("serve", "--port", "0")],
                         ids=" ".join)
def test_root_leaves_nothing_in_the_data_of_another_user(tmp_path, words):
    """What root wrote there, the service could not read."""
    if os.name == "nt" or os.geteuid() != 0:
        needs.system("Only root can give a folder away.")
    with HubProcess(tmp_path / "data") as hub:
        path = back_up(hub.data_dir)
    for place in (tmp_path / "data", *(tmp_path / "data").rglob("*")):
        os.chown(str(place), 65534, 65534)
    said = command(tmp_path / "data", *(word.format(backup=path) for word in words), status=2)
    assert "belongs to user 65534" in said and said.count("\n") == 1
    assert {place.stat().st_uid for place in (tmp_path / "data").rglob("*")} == {65534}


@pytest.mark.parametrize("words", [("restore",), ("restore", "one.db", "two.db")])
def test_a_restore_without_one_file_says_how_it_goes(tmp_path, words):
    assert "Name one backup" in command(tmp_path, *words, status=2)
