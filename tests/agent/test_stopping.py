"""How an agent ends, what it leaves to the next one, and what of live mode an outage may not cost."""

from __future__ import annotations

import collections
import json
import sys
import threading
import types

import pytest

import smon_agent
from tests.agent import fake_hub as hubs
from tests.agent.fake_hub import refusal
from tests.support import ROOT
from tests.support.processes import ChildProcess, until

HANGING = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import smon_agent

def hang(*_):
    print("The collector hangs.", flush=True)
    threading.Event().wait()

smon_agent.COLLECTOR_SECONDS = 60
smon_agent.COLLECTORS = tuple(
    row._replace(collect=hang) if row.name == "disks" else row for row in smon_agent.COLLECTORS)
sys.exit(smon_agent.main(sys.argv[2:]))
"""


@pytest.fixture
def agent(config, fake_hub, tmp_path, monkeypatch):
    """An agent in this process whose threads do not run; its cycle takes 0.2 seconds."""
    monkeypatch.setattr(smon_agent, "MINUTE", 0.02)
    loaded = config({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k", "live_enabled": True})
    made = smon_agent.Agent(loaded, smon_agent.Lock(str(tmp_path)), smon_agent.LogFile())
    yield made
    made._finish([])


def started(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


# ends

def test_a_subject_that_hangs_does_not_hold_up_the_end(tmp_path, fake_hub):
    (tmp_path / "config.json").write_text(json.dumps({
        "dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k"}))
    child = ChildProcess([sys.executable, "-c", HANGING, str(ROOT), str(tmp_path / "config.json")],
                         tmp_path / "out.log", cwd=tmp_path)
    try:
        until(lambda: "The collector hangs." in child.log, "The first cycle")
        child.process.terminate()
        assert child.process.wait(5) == 0
    finally:
        child.kill9()
    assert "Stopped by SIGTERM after 1 cycles" in child.log


def test_a_hub_that_never_answers_does_not_hold_up_the_end(start, fake_hub):
    fake_hub.always("/api/metrics", hubs.silence)
    child = start(request_timeout_seconds=300, server_id="s", api_key="smk_k")
    until(lambda: fake_hub.calls("/api/metrics"), "A first request")
    child.process.terminate()
    assert child.process.wait(5) == 0


@pytest.mark.parametrize("path, work", [
    ("/api/metrics", lambda agent: agent.sender.attempt()),
    ("/api/ping", lambda agent: agent._beat_loop()),
    ("/api/metrics/live", lambda agent: (agent._ticks.append({}), agent._beat_wake.set(), agent._beat_loop()))],
    ids=["sample", "ping", "live"])
def test_a_request_under_way_is_cut_and_its_thread_ends(agent, fake_hub, monkeypatch, path, work):
    monkeypatch.setattr(smon_agent, "STOP_SECONDS", 5)
    fake_hub.always(path, hubs.silence)
    agent.spool.add(1, "2026-11-22T10:00:00.000Z", {})
    thread = started(lambda: work(agent))
    until(lambda: fake_hub.calls(path), "The request")
    agent._finish([thread])
    assert not thread.is_alive()


def test_a_stop_file_of_yesterday_does_not_end_the_agent_of_today(start, fake_hub, tmp_path):
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "agent.stop").write_text("")
    child = start()
    until(lambda: len(fake_hub.samples) >= 3 or not child.running, "Samples")
    assert child.running, child.log
    assert not (tmp_path / "agent" / "agent.stop").exists()


@pytest.mark.parametrize("trouble, status", [(None, 0), (refusal(503, Retry_After="3600"), 3)], ids=["sent", "kept"])
def test_one_sample_alone_ends_cleanly_for_the_next_agent(start, fake_hub, trouble, status):
    if trouble:
        fake_hub.always("/api/metrics", trouble)
    once = start("--once")
    assert once.process.wait(15) == status, once.log
    lock = smon_agent.Lock(str(once.directory)).take()
    lock.release()
    assert lock.was_clean is True


# live mode

def test_live_samples_are_sent_with_the_times_they_were_taken_at(agent, fake_hub, monkeypatch):
    moments = ["2026-11-22T10:00:0%d.000Z" % second for second in (1, 2, 3)]
    due = list(moments)

    def now():
        if len(due) == 1:
            agent.stop.set()
        return smon_agent.from_iso(due.pop(0))
    agent._live_wake.clear()
    with monkeypatch.context() as patch:
        patch.setattr(smon_agent, "utc_now", now)
        patch.setattr(smon_agent, "Schedule", lambda *_: types.SimpleNamespace(advance=lambda seconds: 0))
        agent._live()
    agent.stop.clear()
    agent._send_live()
    assert [sample["collected_at"] for sample in fake_hub.live] == moments


def test_live_samples_and_heartbeats_share_one_connection(agent, fake_hub):
    started(agent._beat_loop)
    for count in (1, 2):
        agent._ticks.append({"cpu_percent": count})
        agent._beat_wake.set()
        until(lambda: len(fake_hub.live) == count, "A live sample")
        pings = len(fake_hub.calls("/api/ping"))
        until(lambda: len(fake_hub.calls("/api/ping")) > pings, "A heartbeat")
    assert {request.connection for request in fake_hub.requests} == {1}


def test_a_live_sample_taken_while_the_queue_is_full_costs_no_other_its_turn(agent, fake_hub):
    agent._ticks = collections.deque(({"number": number} for number in range(3)), maxlen=3)

    def another_meanwhile(handler, request):
        agent._ticks.append({"number": 3})
        handler.send(fake_hub.natural(request))
    fake_hub.next("/api/metrics/live", another_meanwhile)
    agent._send_live()
    assert [sample["number"] for sample in fake_hub.live] == [0, 1, 2, 3]
