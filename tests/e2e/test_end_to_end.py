"""A real hub and a real agent on this machine: true figures arrive, and an outage leaves no hole."""

from __future__ import annotations

import gzip
import json
import platform
import socket
from collections import Counter
from pathlib import Path
from typing import Set

import psutil
import pytest

from tests.support.processes import AgentProcess, HubProcess, until


def first_sample(hub: HubProcess, agent: AgentProcess) -> dict:
    """The page of the agent's server, as soon as it has figures."""
    server_id = agent.server_id()
    return until(lambda: with_metrics(hub.server(server_id)), "The first sample; the agent said: " + agent.log)


def with_metrics(server: dict) -> dict:
    return server if server["metrics"] else {}


@pytest.fixture(scope="module")
def watched(hub, tmp_path_factory):
    """What the hub shows of this machine after an agent ran on it, and what psutil saw before and after that."""
    before, known = psutil.net_io_counters(), processes()
    with AgentProcess(tmp_path_factory.mktemp("agent"), hub.url, minute_seconds=60) as agent:
        shown = first_sample(hub, agent)
    unchanged = dict(known.items() & processes().items())
    return dict(shown, network_before=before, unchanged=unchanged)


def processes() -> dict:
    """{pid: (start, name, user)}. A process may take another name while it lives, and its number another process."""
    found = psutil.process_iter(["create_time", "name", "username"])
    return {one.pid: (one.info["create_time"], one.info["name"], one.info["username"]) for one in found}


def test_the_hub_knows_who_this_machine_is(watched):
    server = watched["server"]
    assert server["hostname"] == socket.gethostname()
    assert platform.system() in server["os_info"]
    assert server["status"] in ("online", "warning", "critical")
    assert server["ip_address"] == "127.0.0.1"


def test_the_figures_are_those_of_psutil(watched):
    metrics = watched["metrics"]
    memory = psutil.virtual_memory()
    assert 0 <= metrics["cpu_percent"] <= 100
    if watched["server"]["agent"].get("source", {}).get("memory") != "cgroup":
        assert metrics["memory_total"] == memory.total
        assert metrics["memory_percent"] == pytest.approx(memory.percent, abs=20)
    assert metrics["memory_used"] <= metrics["memory_total"]
    sent = metrics["network"]["bytes_sent"]
    assert watched["network_before"].bytes_sent <= sent <= psutil.net_io_counters().bytes_sent
    assert metrics["swap_total"] == psutil.swap_memory().total
    assert len(metrics["load_average"]) == 3


def test_the_disks_are_those_of_this_machine(watched):
    disks = watched["metrics"]["disks"]
    for disk in disks:
        assert disk["total"] == psutil.disk_usage(disk["mountpoint"]).total
        assert 0 <= disk["percent"] <= 100
    assert len({disk["device"] for disk in disks}) == len(disks)


def test_the_processes_are_those_of_this_machine(watched):
    shown = {one["pid"]: (one["name"], one["username"]) for one in watched["processes"]}
    real = {pid: known[1:] for pid, known in watched["unchanged"].items()}
    both = shown.keys() & real.keys()
    assert both and {pid: shown[pid] for pid in both} == {pid: real[pid] for pid in both}


def test_live_figures_arrive_between_the_samples(hub, tmp_path):
    live = {"live_enabled": True, "live_interval_seconds": 5}
    with AgentProcess(tmp_path / "agent", hub.url, config=live, minute_seconds=60) as agent:
        path = "/api/dashboard/server/%s/live?minutes=5&benchmark=30" % agent.server_id()
        newest = until(lambda: hub.get(path).json["metrics"], "A live sample; the agent said: " + agent.log)[-1]
    assert len(newest["cpu_per_core"]) == psutil.cpu_count()
    assert newest["process_count"] > 1


def spooled(agent: AgentProcess) -> Set[str]:
    """The moments of the payloads that wait on the agent's disk, to the second, as the hub writes them."""
    moments = set()
    for path in Path(agent.directory).glob("spool/*"):
        try:
            payload = json.loads(gzip.decompress(path.read_bytes()).decode("utf-8"))
        except (OSError, EOFError, ValueError):
            continue  # being written or just sent
        moments.add(payload["collected_at"][:19] + "Z")
    return moments


def moments(hub: HubProcess, server_id: str) -> Set[str]:
    return {point["timestamp"] for point in hub.server(server_id)["history"]}


def test_an_outage_leaves_no_hole_even_when_the_agent_restarts_in_it(tmp_path):
    data, home = tmp_path / "data", tmp_path / "agent"
    # Five minutes last two seconds.
    options = {"config": {"retry_attempts": 1, "retry_delay_seconds": 0.1}, "minute_seconds": 0.4}
    with HubProcess(data) as hub:
        agent = AgentProcess(home, hub.url, **options)
        first_sample(hub, agent)
        server_id, sent = agent.server_id(), moments(hub, agent.server_id())
    missed = until(lambda: len(spooled(agent)) >= 3 and spooled(agent), "Three cycles without a hub")
    assert agent.stop() == 0
    with AgentProcess(home, hub.url, **options) as agent:
        missed |= until(lambda: len(spooled(agent) - missed) >= 2 and spooled(agent), "Two more after the restart")
        with HubProcess(data, port=hub.port) as hub:
            until(lambda: missed <= moments(hub, server_id), "Replay of %s" % sorted(missed), 60)
            assert agent.stop() == 0
            history = hub.server(server_id)["history"]
            assert sent <= {point["timestamp"] for point in history}
            # Two samples may share a second, but never all of their figures.
            counted = Counter(json.dumps(point, sort_keys=True) for point in history)
            assert [point for point, count in counted.items() if count > 1] == []
            assert len(hub.get("/api/dashboard").json["servers"]) == 1
