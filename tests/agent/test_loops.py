"""The threads: when they send, what they survive, and how they end."""

from __future__ import annotations

import json
import os
import signal
import sys

import psutil
import pytest

import smon_agent
from tests.agent import fake_hub as hubs
from tests.agent.fake_hub import refusal
from tests.support import ROOT
from tests.support.processes import ChildProcess, until


@pytest.fixture
def clock(monkeypatch):
    """A monotonic clock that the test moves."""
    now = {"now": 1000.0}
    monkeypatch.setattr(smon_agent.time, "monotonic", lambda: now["now"])
    return now


def test_slots_do_not_drift_and_a_missed_one_is_skipped(clock):
    slots = smon_agent.Schedule(600, 400)
    assert slots.advance(600) == 400
    clock["now"] += 403
    assert slots.advance(600) == 597
    clock["now"] += 5 * 600
    assert slots.advance(600) == 597
    assert slots.advance(300) == 300


def test_machines_that_start_together_do_not_call_together():
    shares = [smon_agent.start_share(str(number)) for number in range(500)]
    assert 0.5 <= min(shares) and max(shares) < 1
    assert all(any(low <= share < low + 0.05 for share in shares) for low in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95))


def test_a_sample_says_who_sent_it(start, fake_hub):
    start(live_enabled=True, minute_seconds=0.1, monitored_services=["sshd"])
    until(lambda: len(fake_hub.samples) >= 3, "Samples")
    first, second = [sample["agent"] for sample in list(fake_hub.samples.values())[:2]]
    assert dict(first, sequence=0, errors={}) == {
        "version": smon_agent.VERSION, "boot_id": smon_agent.boot_id(), "sequence": 0, "buffered": 0, "dropped": 0,
        "errors": {}, "clean_shutdown": True, "interval_minutes": 5, "beat_seconds": 0.25, "live": True,
        "services_listed": True, "source": first["source"]}
    assert second["sequence"] == first["sequence"] + 1


def test_a_hub_that_lost_samples_is_sent_them_again_though_a_newer_one_came_first(start, fake_hub):
    start(minute_seconds=0.1, ping_enabled=False)
    until(lambda: len(fake_hub.samples) >= 3, "Samples")
    lost = set(fake_hub.samples)
    for moment in sorted(lost)[1:]:  # as a backup of earlier has them
        fake_hub.samples.pop(moment, None)
    until(lambda: lost <= set(fake_hub.samples), "The lost samples")


def test_a_heartbeat_comes_between_samples(start, fake_hub):
    start(minute_seconds=0.3)
    until(lambda: len(fake_hub.calls("/api/ping")) >= 2, "Heartbeats")
    assert len(fake_hub.calls("/api/ping")) <= len(fake_hub.samples) + 1


def test_no_heartbeat_when_it_is_switched_off(start, fake_hub):
    start(ping_enabled=False)
    until(lambda: len(fake_hub.samples) >= 4, "Samples")
    assert not fake_hub.calls("/api/ping")
    assert list(fake_hub.samples.values())[0]["agent"]["beat_seconds"] == 0.5


@pytest.fixture
def agent(config, fake_hub, tmp_path):
    """An agent in this process whose threads do not run."""
    loaded = config({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k", "live_enabled": True})
    return smon_agent.Agent(loaded, smon_agent.Lock(str(tmp_path)), smon_agent.LogFile())


def test_live_samples_of_an_outage_arrive_with_their_own_times(agent, fake_hub):
    fake_hub.next("/api/metrics/live", refusal(500))
    live = smon_agent.Live()
    agent._ticks.extend(live.sample(30) for _ in range(3))
    with pytest.raises(smon_agent.HubError):
        agent._send_live()
    assert len(agent._ticks) == 3
    expected = list(agent._ticks)
    agent._send_live()
    assert (fake_hub.live, len(agent._ticks)) == (expected, 0)


def test_a_refused_live_sample_does_not_hold_up_the_next(agent, fake_hub):
    fake_hub.next("/api/metrics/live", refusal(400), refusal(404))
    agent._ticks.extend({"cpu_percent": number} for number in range(3))
    agent._send_live()
    assert fake_hub.live == [{"cpu_percent": 2}]


def test_a_hub_that_takes_no_live_samples_is_said_once(agent, fake_hub, monkeypatch):
    said = []
    monkeypatch.setattr(smon_agent.log, "warning", lambda *words: said.append(words))
    fake_hub.always("/api/metrics/live", refusal(404))
    for number in range(3):
        agent._ticks.append({"cpu_percent": number})
        agent._send_live()
    assert len(said) == 1 and not agent._ticks


@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_that_takes_no_live_samples_gets_its_heartbeat_all_the_same(start, fake_hub, status):
    fake_hub.always("/api/metrics/live", refusal(status))
    start(live_enabled=True, live_interval_seconds=5, minute_seconds=1)
    until(lambda: fake_hub.calls("/api/metrics/live") and len(fake_hub.calls("/api/ping")) >= 2, "Heartbeats")


def test_live_samples_wait_in_memory_and_the_oldest_go(agent):
    agent._ticks.extend(range(100))
    assert list(agent._ticks) == list(range(40, 100))


# ends

@pytest.mark.parametrize("trouble", [None, refusal(500), refusal(503, Retry_After="60"), hubs.silence, hubs.dribble],
                         ids=["well", "500", "busy", "silence", "dribble"])
def test_it_ends_cleanly_whatever_it_is_doing(start, fake_hub, trouble):
    if trouble:
        fake_hub.always("/api/metrics", trouble)
    agent = start(request_timeout_seconds=300, retry_delay_seconds=300, live_enabled=True)
    until(lambda: fake_hub.calls("/api/metrics"), "A first request")
    assert agent.stop(signal.SIGINT if trouble is None else signal.SIGTERM) == 0
    assert "after 1 cycles" in agent.log or "after 2 cycles" in agent.log
    assert "Traceback" not in agent.log


def test_a_stop_file_ends_it_where_there_are_no_signals(start, fake_hub):
    agent = start()
    until(lambda: fake_hub.samples, "A sample")
    (agent.directory / "agent.stop").write_text("")
    assert agent.process.wait(10) == 0
    assert not (agent.directory / "agent.stop").exists() and "Stopped by its stop file" in agent.log


NOHUP = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable] + sys.argv[1:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_under_nohup_it_outlives_its_terminal(tmp_path, fake_hub):
    (tmp_path / "config.json").write_text(json.dumps({
        "dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k", "collection_interval_minutes": 5}))
    command = [sys.executable, "-c", NOHUP, str(ROOT / "smon_agent.py"), str(tmp_path / "config.json")]
    agent = ChildProcess(command, tmp_path / "out.log", {"SMON_MINUTE_SECONDS": "0.1"}, tmp_path)
    until(lambda: fake_hub.samples, "A sample")
    agent.process.send_signal(signal.SIGHUP)
    count = len(fake_hub.samples)
    until(lambda: len(fake_hub.samples) >= count + 2, "Samples after the hang-up")
    assert agent.stop() == 0


def test_a_hang_up_of_its_terminal_ends_it_cleanly(start, fake_hub):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the agent goes on, as it should
    try:
        agent = start()
    finally:
        signal.signal(signal.SIGHUP, before)
    until(lambda: fake_hub.samples, "A sample")
    assert agent.stop(signal.SIGHUP) == 0 and "Stopped by SIGHUP" in agent.log


def test_a_second_agent_in_the_same_folder_says_so_and_ends(start, fake_hub):
    agent = start()
    until(lambda: fake_hub.samples, "A sample")
    for arguments in ((), ("--once",)):
        second = start(*arguments)
        assert second.process.wait(10) == 4
    assert agent.running and agent.log.count("another agent runs with") == 2


def test_a_folder_that_can_not_be_locked_is_not_called_taken(tmp_path, monkeypatch):
    def unable(file):
        raise OSError(37, "No locks available")
    monkeypatch.setattr(smon_agent, "lock_file", unable)
    with pytest.raises(OSError, match="No locks available"):
        smon_agent.Lock(str(tmp_path)).take()


@pytest.mark.parametrize("ended, clean", [("stop", True), ("kill9", False)])
def test_the_next_agent_knows_whether_the_last_ended_cleanly(start, fake_hub, ended, clean):
    agent = start()
    until(lambda: fake_hub.samples, "A sample of the first agent")
    getattr(agent, ended)()
    number = max(int(path.name[:12]) for path in agent.directory.glob("s*/*.gz"))
    start()
    until(lambda: [about for about in abouts(fake_hub) if about["sequence"] > number], "A sample of the second")
    assert [about["clean_shutdown"] for about in abouts(fake_hub) if about["sequence"] <= number][0] is True
    assert [about["clean_shutdown"] for about in abouts(fake_hub) if about["sequence"] > number][0] is clean


def abouts(hub) -> list:
    return [sample["agent"] for sample in list(hub.samples.values())]


HUNG = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import smon_agent
smon_agent.COLLECTOR_SECONDS = 0.3
smon_agent.COLLECTORS = tuple(
    row._replace(collect=lambda *_: threading.Event().wait()) if row.name == "disks" else row
    for row in smon_agent.COLLECTORS)
sys.exit(smon_agent.main(sys.argv[2:]))
"""


def test_a_subject_that_hangs_for_ever_costs_neither_samples_nor_the_end(tmp_path, fake_hub):
    (tmp_path / "config.json").write_text(json.dumps({
        "dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k", "collection_interval_minutes": 5}))
    agent = ChildProcess([sys.executable, "-c", HUNG, str(ROOT), str(tmp_path / "config.json")], tmp_path / "out.log",
                         {"SMON_MINUTE_SECONDS": "0.1"}, tmp_path)
    try:
        until(lambda: len(fake_hub.samples) >= 3, "Samples without disks")
        threads = len(os.listdir("/proc/%d/task" % agent.pid)) if os.path.exists("/proc/self/task") else 0
        until(lambda: len(fake_hub.samples) >= 6, "More samples without disks")
        if threads:
            assert len(os.listdir("/proc/%d/task" % agent.pid)) <= threads + 1
        assert agent.stop() == 0
    finally:
        agent.process.kill()
    errors = [sample["agent"]["errors"]["disks"] for sample in fake_hub.samples.values()]
    assert errors[0] == "no answer within 0.3 seconds" and errors[1].startswith("stuck since ")
    assert "memory_total" in list(fake_hub.samples.values())[0]["metrics"]


BLOCKED = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import smon_agent
smon_agent.COLLECTORS = (smon_agent.Collector("disks", "metrics", None, lambda *_: threading.Event().wait()),)
smon_agent.BY_KEY["live_interval_seconds"] = smon_agent.BY_KEY["live_interval_seconds"]._replace(low=1)
smon_agent.OPTIONS = tuple(smon_agent.BY_KEY.values())
sys.exit(smon_agent.main(sys.argv[2:]))
"""


def test_live_samples_do_not_wait_for_a_cycle_that_hangs(tmp_path, fake_hub):
    (tmp_path / "config.json").write_text(json.dumps({
        "dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k", "live_enabled": True,
        "live_interval_seconds": 1, "live_retention_minutes": 77}))
    with ChildProcess([sys.executable, "-c", BLOCKED, str(ROOT), str(tmp_path / "config.json")], tmp_path / "out.log",
                      cwd=tmp_path) as agent:
        until(lambda: len(fake_hub.live) >= 3, "Live samples; it said: " + agent.log)
        assert not fake_hub.samples and fake_hub.live[-1]["retention_minutes"] == 77
        assert len({request.connection for request in fake_hub.calls("/api/metrics/live")}) == 1


@pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="there are no descriptors here")
def test_no_trouble_leaves_a_file_open(start, fake_hub):
    agent = start(minute_seconds=0.04, request_timeout_seconds=1)
    until(lambda: len(fake_hub.samples) >= 5, "Samples")
    process = psutil.Process(agent.pid)
    before = max(process.num_fds() for _ in range(20))
    for trouble in [hubs.reset, hubs.garbage, hubs.cut, hubs.endless, refusal(500), refusal(400), hubs.silence] * 2:
        fake_hub.next("/api/metrics", trouble)
    fake_hub.next("/api/ping", hubs.reset, hubs.cut, hubs.garbage)
    until(lambda: not fake_hub._scripts["/api/metrics"], "The end of the trouble")
    count = len(fake_hub.samples)
    until(lambda: len(fake_hub.samples) >= count + 5, "Samples after it")
    until(lambda: process.num_fds() <= before, "As many open files as before")


def test_a_fault_in_a_loop_is_logged_and_the_loop_goes_on(agent, monkeypatch):
    runs = []

    def _faulty_loop():
        runs.append(1)
        if len(runs) == 3:
            agent.stop.set()
        raise ValueError("a fault")
    monkeypatch.setattr(agent.stop, "wait", lambda seconds: None)
    agent._guarded(_faulty_loop)
    assert len(runs) == 3


@pytest.fixture
def wall_clock(monkeypatch):
    """Set the clock on the wall, and that alone: wall_clock("2020-01-01T00:00:00.000Z")."""
    def set_to(moment: str) -> None:
        monkeypatch.setattr(smon_agent, "utc_now", lambda: smon_agent.from_iso(moment))
        monkeypatch.setattr(smon_agent.time, "time", lambda: smon_agent.from_iso(moment).timestamp())
    return set_to


JUMPS = ["2026-11-22T10:00:00.000Z", "2020-01-01T00:00:00.000Z", "2038-06-01T00:00:00.000Z", "2026-11-22T10:30:00.000Z"]


def test_samples_keep_their_order_whatever_the_clock_does(agent, wall_clock):
    for moment in JUMPS:
        wall_clock(moment)
        agent.collect()
    assert [json.loads(payload)["collected_at"] for _, payload in agent.spool.oldest(10)] == JUMPS
    agent.spool.bound(2, 1 << 30)
    agent.collect()
    assert [json.loads(payload)["collected_at"] for _, payload in agent.spool.oldest(10)] == [JUMPS[3], JUMPS[3]]


def test_a_clock_that_jumps_moves_no_figure_no_wait_and_no_cycle(agent, wall_clock, clock):
    options = smon_agent.in_force({"collect_services": False})
    agent.machine.collect(options)
    agent.spool.add(agent.spool.next_sequence(), JUMPS[0], {})
    agent.sender._postpone(smon_agent.HubError("busy", smon_agent.BUSY, 60))
    waits = []
    for moment in JUMPS:
        wall_clock(moment)
        clock["now"] += 10
        metrics = agent.machine.collect(options)[0]["metrics"]
        assert all(rate is not None and rate >= 0 for rate in metrics["network_rate"].values())
        assert 0 <= metrics["cpu_percent"] <= 100
        waits.append((agent._schedule.advance(agent._schedule.seconds), agent.sender.pause()))
    steps = [[before - after for before, after in zip(*pair)] for pair in zip(waits, waits[1:])]
    assert steps == [pytest.approx([10, 10])] * 3


def test_the_beat_is_half_a_cycle_and_five_minutes_at_most(agent):
    beats = []
    for minutes in (5, 8, 60):
        vars(agent.config.now)["collection_interval_minutes"] = minutes
        beats.append(agent._beat_seconds() / smon_agent.MINUTE)
    assert beats == [2.5, 4, 5]
