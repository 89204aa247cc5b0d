"""Every option has an effect from the start, and another one as soon as the file says otherwise."""

from __future__ import annotations

import json
import logging
import os
from collections import namedtuple
from unittest import mock

import pytest

import smon_agent
from tests.agent.fake_hub import refusal

Part = namedtuple("Part", "device mountpoint fstype opts")
LOCAL = [Part("/dev/sda1", "/", "ext4", "rw"), Part("/dev/sdb1", "/mnt/usb", "vfat", "rw")]
REMOTE = [Part("nas:/x", "/mnt/one", "nfs4", "rw"), Part("nas:/y", "/mnt/two", "nfs4", "rw")]
EVERYTHING = ["cron", "nginx", "sshd"]


@pytest.fixture
def small_world(fake_psutil, monkeypatch, tmp_path):
    """Four mounts and three services, and a log level that the tests before and after this one do not share."""
    monkeypatch.setattr(smon_agent, "MOUNTS", str(tmp_path / "none"))
    monkeypatch.setattr(smon_agent, "disk_row", lambda part: {"mountpoint": part.mountpoint})
    fake_psutil(disk_partitions=lambda all: LOCAL + REMOTE if all else LOCAL)
    monkeypatch.setattr(smon_agent, "SERVICE_SOURCES", [(lambda: True, lambda machine, listed: [
        {"name": name} for name in listed or EVERYTHING])])
    level = smon_agent.log.level
    yield
    smon_agent.log.setLevel(level)
    smon_agent.mounts.cache_clear()


@pytest.fixture
def agent_with(config, small_world, tmp_path):
    """An agent in this process whose threads do not run: agent_with(proxy="http://one:1")."""
    def make(**given) -> smon_agent.Agent:
        loaded = config(dict({"dashboard_url": "https://hub", "server_id": "s", "api_key": "smk_k"}, **given))
        logs = smon_agent.LogFile()
        logs.setFormatter(smon_agent.OneLine("%(message)s"))
        return smon_agent.Agent(loaded, smon_agent.Lock(str(tmp_path)), logs)
    return make


def change(agent: smon_agent.Agent, **given) -> None:
    """What a cycle does after somebody edited the config."""
    with open(agent.config.path, encoding="utf-8") as file:
        content = dict(json.load(file), **given)
    with open(agent.config.path, "w", encoding="utf-8") as file:
        json.dump(content, file)
    agent.config.reload()
    agent.apply()


def sample_of(agent: smon_agent.Agent) -> dict:
    agent.collect()
    [(_, payload)] = agent.spool.newest()
    return json.loads(payload)


def mountpoints(agent) -> list:
    return [row["mountpoint"] for row in sample_of(agent)["metrics"]["disks"]]


def services(agent) -> list:
    return [row["name"] for row in sample_of(agent)["services"]]


def disks_shown(agent) -> set:
    return {"disks", "disk_io_rate"} & set(sample_of(agent)["metrics"])


def network_shown(agent) -> set:
    return {"network", "network_rate"} & set(sample_of(agent)["metrics"])


def waits(agent) -> list:
    """The waits after each of four failures in a row, without what is added at random."""
    agent.sender.hurry()
    agent.spool.add(agent.spool.next_sequence(), "2026-11-22T10:00:00.000Z", {})
    found = []
    for _ in range(4):
        with mock.patch.object(os, "urandom", bytes):
            agent.sender._postpone(smon_agent.HubError("away"))
        found.append(round(agent.sender.pause()))
    return found


def seconds_of_a_request(agent) -> float:
    given = []
    with pytest.raises(smon_agent.HubError):
        agent.sender.hub.reach(lambda door, seconds: given.append(seconds) or int("no answer"))
    return round(given[0])


def authorization(agent) -> str:
    return agent.sender.hub._prepared(agent.sender.hub.doors[0], None)[0]["Authorization"]


def hubs(agent) -> list:
    return [door.address for door in agent.sender.hub.doors]


def samples_kept(agent) -> int:
    """How many of eight samples of 0.3 MB stay."""
    for _ in range(8):
        agent.spool.add(agent.spool.next_sequence(), "2026-11-22T10:00:00.000Z", {"pad": os.urandom(290000).hex()})
    return len(agent.spool)


def way(agent) -> tuple:
    """Where the next connection leads, and what TLS is told."""
    with mock.patch.object(smon_agent, "tls_context") as context:
        connection = agent.sender.hub.doors[0].connection(1)
    return (connection.host, connection.port), context.call_args[0]


def proxy(agent) -> tuple:
    return way(agent)[0]


def certificates(agent) -> tuple:
    """(verified, ca_file, client_cert, client_key), by file name."""
    verified, *paths, _ = way(agent)[1]
    return (verified, *(path and os.path.basename(path) for path in paths))


def log_files(agent) -> dict:
    """{name: size} of what twelve lines of 4000 bytes leave in an empty folder."""
    folder = os.path.dirname(agent.config.path)
    agent._logs.shut()
    for name in log_names(folder):
        os.remove(os.path.join(folder, name))
    for _ in range(12):
        agent._logs.emit(logging.makeLogRecord({"msg": "x" * 3999}))
    return {name: os.path.getsize(os.path.join(folder, name)) for name in log_names(folder)}


def log_names(folder: str) -> list:
    return sorted(name for name in os.listdir(folder) if ".log" in name)


EFFECTS = [  # option, what else is set, what shows it, (value, what is shown) twice
    ("top_processes_count", {}, lambda agent: len(sample_of(agent)["processes"]), (1, 1), (0, 0)),
    ("include_mounts", {}, mountpoints, (["/mnt/one"], ["/", "/mnt/usb", "/mnt/one"]),
     (["/mnt/two"], ["/", "/mnt/usb", "/mnt/two"])),
    ("skip_mounts", {}, mountpoints, (["/mnt/*"], ["/"]), (["/"], ["/mnt/usb"])),
    ("monitored_services", {}, services, (["sshd"], ["sshd"]), (["nginx", "sshd"], ["nginx", "sshd"])),
    ("monitored_services", {"auto_discover_services": False}, services, (["sshd"], ["sshd"]), ([], [])),
    ("auto_discover_services", {}, services, (False, []), (True, EVERYTHING)),
    ("collect_services", {}, services, (False, []), (True, EVERYTHING)),
    ("collect_disks", {}, disks_shown, (False, set()), (True, {"disks", "disk_io_rate"})),
    ("collect_network", {}, network_shown, (False, set()), (True, {"network", "network_rate"})),
    ("collect_processes", {}, lambda agent: bool(sample_of(agent)["processes"]), (False, False), (True, True)),
    ("collection_interval_minutes", {}, lambda agent: sample_of(agent)["agent"]["interval_minutes"], (8, 8), (5, 5)),
    ("ping_enabled", {}, lambda agent: agent._ping_due(0) is not None, (False, False), (True, True)),
    ("live_enabled", {}, lambda agent: sample_of(agent)["agent"]["live"], (True, True), (False, False)),
    ("retry_delay_seconds", {}, waits, (20, [20, 20, 40, 80]), (400, [400, 400, 400, 400])),
    ("retry_attempts", {}, waits, (1, [20, 40, 80, 160]), (4, [10, 10, 10, 20])),
    ("request_timeout_seconds", {}, seconds_of_a_request, (7, 7), (200, 200)),
    ("offline_buffer_max", {}, samples_kept, (3, 3), (4, 4)),
    ("spool_max_mb", {}, samples_kept, (1, 3), (2, 6)),
    ("dashboard_url", {}, hubs, ("https://one", ["https://one"]), (["https://a", "https://b"],
                                                                   ["https://a", "https://b"])),
    ("server_id", {}, authorization, ("one", "Bearer one:smk_k"), ("two", "Bearer two:smk_k")),
    ("api_key", {}, authorization, ("smk_1", "Bearer s:smk_1"), ("smk_2", "Bearer s:smk_2")),
    ("proxy", {}, proxy, ("http://one:1", ("one", 1)), ("http://two:2", ("two", 2))),
    ("verify_ssl", {}, certificates, (False, (False, None, None, None)), (True, (True, None, None, None))),
    ("ca_file", {}, certificates, ("a.pem", (True, "a.pem", None, None)), ("b.pem", (True, "b.pem", None, None))),
    ("client_cert", {}, certificates, ("a.pem", (True, None, "a.pem", None)), ("b.pem", (True, None, "b.pem", None))),
    ("client_key", {}, certificates, ("a.pem", (True, None, None, "a.pem")), ("b.pem", (True, None, None, "b.pem"))),
    ("log_level", {}, lambda agent: logging.getLevelName(smon_agent.log.level), ("ERROR", "ERROR"),
     ("DEBUG", "DEBUG")),
    ("log_file", {}, log_files, ("a.log", {"a.log": 48000}), ("b.log", {"b.log": 48000})),
    ("log_file", {}, log_files, ("a.log", {"a.log": 48000}), ("", {})),
    ("log_max_bytes", {}, log_files, (24000, {"agent.log": 24000, "agent.log.1": 24000}),
     (48000, {"agent.log": 48000})),
    ("log_backup_count", {"log_max_bytes": 12000}, log_files, (1, {"agent.log": 12000, "agent.log.1": 12000}),
     (2, {"agent.log": 12000, "agent.log.1": 12000, "agent.log.2": 12000})),
]


ELSEWHERE = {"live_interval_seconds", "live_retention_minutes", "registration_token", "display_name", "group_name",
             "tags", "export_key", "state_dir"}


def test_no_option_is_without_a_test_of_its_effect():
    assert {row[0] for row in EFFECTS} | ELSEWHERE == {option.key for option in smon_agent.OPTIONS}


@pytest.mark.parametrize("key, others, shown, first, second", EFFECTS,
                         ids=["%s-%d" % (row[0], number) for number, row in enumerate(EFFECTS)])
def test_an_option_counts_from_the_start_and_again_when_it_is_changed(agent_with, tmp_path, key, others, shown, first,
                                                                      second):
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_text("")
    agent = agent_with(**dict(others, **{key: first[0]}))
    assert shown(agent) == first[1]
    change(agent, **{key: second[0]})
    assert shown(agent) == second[1]


@pytest.fixture
def live_course(monkeypatch):
    """The waits of live mode and the minutes its samples ask for, when the config changes during some waits."""
    def run(agent: smon_agent.Agent, changes: dict) -> tuple:
        now, slept = {"now": 1000.0}, []

        def wait(seconds: float) -> bool:
            slept.append(seconds)
            woken = len(slept) in changes
            if woken:
                change(agent, **changes[len(slept)])
            now["now"] += 0 if woken else seconds
            return woken
        monkeypatch.setattr(smon_agent.time, "monotonic", lambda: now["now"])
        monkeypatch.setattr(smon_agent, "Live", lambda: mock.Mock(sample=lambda minutes: minutes))
        monkeypatch.setattr(agent, "_live_wake", mock.Mock(wait=wait))
        agent._live()
        return slept, list(agent._ticks)
    return run


def test_live_samples_follow_their_options_while_they_run(agent_with, live_course):
    agent = agent_with(live_enabled=True, live_interval_seconds=7, live_retention_minutes=77)
    slept, kept = live_course(agent, {4: {"live_interval_seconds": 20, "live_retention_minutes": 99},
                                      7: {"live_enabled": False}})
    assert slept == [1, 7, 7, 7, 20, 20, 20]
    assert kept == [77, 77, 77, 99, 99]


def test_what_is_told_at_registration_is_what_the_config_says_by_then(agent_with, fake_hub):
    first = {"display_name": "Front", "group_name": "Web", "tags": ["a"], "registration_token": "smr_1"}
    second = {"display_name": "Back", "group_name": "", "tags": ["b", "c"], "registration_token": "smr_2"}
    agent = agent_with(dashboard_url=fake_hub.url, server_id="", api_key="", **first)
    fake_hub.next("/api/register", refusal(500))
    assert not agent.sender.attempt()
    change(agent, **second)
    assert agent.sender.attempt()
    told = [{key: request.body.get(key) for key in first} for request in fake_hub.calls("/api/register")]
    assert told == [first, dict(second, group_name=None)]
