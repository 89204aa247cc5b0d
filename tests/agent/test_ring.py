"""What the spool holds at most, when the ring of sent samples goes out again, and what the sender learns from a hub."""

from __future__ import annotations

import json
import os
import threading
import zlib

import pytest

import smon_agent
from tests.agent.fake_hub import API_KEY, SERVER_ID, FakeHub, Reply, refusal
from tests.agent.test_spool import add, files, full, stamp, waiting
from tests.agent.test_transport import sender_for
from tests.support.processes import until


@pytest.fixture
def spool(tmp_path):
    made = smon_agent.Spool(str(tmp_path))
    made.bound(1000, 1 << 30)
    return made


@pytest.fixture
def ring(spool):
    """The names of three samples that a hub acknowledged, the oldest first."""
    names = [add(spool, stamp(hours)) for hours in (3, 2, 1)]
    for name in names:
        spool.done(name)
    return names


def ping(sender) -> None:
    sender.hub.call(sender.hub.quick, "POST", "/api/ping", b"{}")


# the bounds that docs/agent.md states

def test_a_disk_that_takes_none_leaves_twenty_samples_in_memory(spool, monkeypatch):
    monkeypatch.setattr(smon_agent, "write_atomic", full)
    for _ in range(21):
        add(spool)
    assert (len(spool), len(waiting(spool)), spool.dropped) == (20, 20, 1)


@pytest.mark.parametrize("size, together", [(1390000, 3), (1400000, 2)])
def test_a_batch_holds_four_mebibytes(spool, size, together):
    for _ in range(4):
        add(spool, pad="x" * size)
    assert len(spool.oldest(100)) == together


@pytest.mark.parametrize("count, kept", [(2, 2), (3, 2)])
def test_the_ring_holds_fifty_megabytes(tmp_path, count, kept):
    os.makedirs(tmp_path / "sent")
    names = ["%012d-%s.json.gz" % (number, smon_agent.taken_text(stamp(1))) for number in range(1, count + 1)]
    for name in names:
        with open(tmp_path / "sent" / name, "wb") as file:
            file.truncate(25000000)
    smon_agent.Spool(str(tmp_path)).prune()
    assert files(tmp_path, "sent") == names[-kept:]


@pytest.mark.parametrize("away", [False, True])
def test_each_try_lets_go_of_what_is_too_old_for_the_ring(config, fake_hub, spool, tmp_path, away):
    old, young = add(spool, stamp(49)), add(spool, stamp(47))
    spool.done(old), spool.done(young)
    sender = sender_for(config, fake_hub, spool)
    if away:
        fake_hub.always("/api/metrics", refusal(500))
    new = add(spool, stamp(0))
    assert sender.attempt() is not away
    assert files(tmp_path, "sent") == ([young] if away else [young, new])


def test_a_file_that_unpacks_to_more_than_any_sample_is_set_aside(tmp_path):
    os.makedirs(tmp_path / "spool")
    bomb = "000000000001-20261122T100000000.json.gz"
    (tmp_path / "spool" / bomb).write_bytes(smon_agent.packed(b" " * (17 << 20) + b"{}"))
    spool = smon_agent.Spool(str(tmp_path))
    spool.bound(100, 1 << 20)
    good = add(spool)
    assert [name for name, _ in spool.oldest(10)] == [good]
    assert files(tmp_path, "rejected") == [bomb]


def test_a_damaged_sample_is_named_in_the_log_with_its_fault(spool, tmp_path, caplog):
    name = add(spool)
    (tmp_path / "spool" / name).write_bytes(zlib.compress(b"{}"))
    assert spool.oldest(1) == []
    [said] = caplog.messages
    assert said.startswith("A sample was set aside as rejected/%s: the file is damaged: " % name)


def test_a_sample_tells_how_many_were_dropped_before_it(config):
    loaded = config({"server_id": "s", "api_key": "smk_k", "offline_buffer_max": 2})
    agent = smon_agent.Agent(loaded, smon_agent.Lock(loaded.state_folder).take(), smon_agent.LogFile())
    agent.machine.collect = lambda options: ({}, {})
    for _ in range(5):
        agent.collect()
    assert [json.loads(payload)["agent"]["dropped"] for _, payload in agent.spool.oldest(10)] == [1, 2]


# a rename that fails

def test_a_sample_that_can_not_be_moved_is_sent_once_all_the_same(config, fake_hub, spool, monkeypatch, caplog):
    names = [add(spool, stamp(hours)) for hours in (2, 1)]
    sender = sender_for(config, fake_hub, spool)

    def refuse(source, target):
        raise PermissionError(13, "Permission denied", source)
    monkeypatch.setattr(smon_agent.os, "replace", refuse)
    assert sender.attempt() is True and sender.attempt() is True
    assert (len(spool), len(fake_hub.samples), fake_hub.stored_twice) == (0, 2, [])
    assert [name for name in names if "%s can not be moved to sent: " % name in caplog.text] == names


# what a restored hub lacks

def test_a_hub_is_sent_what_it_lost_once_an_hour_at_most(spool, ring, monkeypatch, caplog):
    clock = {"now": 1000.0}
    monkeypatch.setattr(smon_agent.time, "monotonic", lambda: clock["now"])
    outcomes = []
    for seconds in (0, 3599, 2):
        clock["now"] += seconds
        outcomes.append((spool.refill(None), len(spool)))
        for name, _ in spool.oldest(10):
            spool.done(name)
    assert outcomes == [(True, 3), (False, 0), (True, 3)]
    said = "The hub has lost 3 samples that it had acknowledged: they are sent again."
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", said)] * 2


def test_lost_samples_that_became_too_old_meanwhile_are_passed_over(spool, tmp_path):
    names = [add(spool, stamp(hours)) for hours in (60, 50, 2, 1)]
    for name in names:
        spool.done(name)
    spool.bound(2, 1 << 20)
    assert spool.refill(None) is True and files(tmp_path) == names[:1]
    spool.prune()
    assert files(tmp_path, "sent") == names[2:]
    spool.done(names[0])
    assert files(tmp_path) == [names[2]]
    assert [name for name, _ in spool.oldest(10)] == [names[2]] and spool.rejected == 0


@pytest.mark.parametrize("known, woken", [(False, True), (True, False)])
def test_a_ping_that_finds_samples_lost_wakes_the_sender(config, fake_hub, spool, ring, known, woken):
    sender = sender_for(config, fake_hub, spool)
    if known:
        fake_hub.samples[stamp(0)] = {}
    ping(sender)
    assert (sender.wake.is_set(), len(spool)) == (woken, 3 if woken else 0)


# a hub that changes or answers oddly

@pytest.fixture
def sender_of_two(config, spool):
    """A sender in whose spool two samples wait."""
    add(spool, stamp(2)), add(spool, stamp(1))
    return lambda hub: sender_for(config, hub, spool)


def test_a_hub_that_was_older_gets_batches_once_it_is_ours(sender_of_two, spool, caplog):
    caplog.set_level("INFO", "smon.agent")
    with FakeHub(of_the_seed=True) as hub:
        sender = sender_of_two(hub)
        assert sender.attempt() is True
        add(spool, stamp(0.6)), add(spool, stamp(0.5))
        assert sender.attempt() is True
        assert len(hub.calls("/api/metrics/batch")) == 1 and len(hub.calls("/api/metrics")) == 4
        assert caplog.messages.count("The hub is older and takes no batches: samples go one by one.") == 1
        hub.of_the_seed = False
        ping(sender)
        add(spool, stamp(0.2)), add(spool, stamp(0.1))
        assert sender.attempt() is True
        assert len(hub.calls("/api/metrics/batch")) == 2 and len(hub.calls("/api/metrics")) == 4
        assert len(hub.samples) == 6


def test_an_answer_to_a_batch_without_results_settles_nothing(sender_of_two, fake_hub, spool):
    fake_hub.next("/api/metrics/batch", Reply(200, {"status": "ok"}))
    sender = sender_of_two(fake_hub)
    assert sender.attempt() is False
    assert (len(spool), fake_hub.samples) == (2, {})


@pytest.mark.parametrize("status", [400, 404, 422])
def test_settings_that_can_not_be_fetched_do_not_keep_samples_back(sender_of_two, fake_hub, spool, status):
    fake_hub.settings = {"top_processes_count": 3}
    fake_hub.next("/api/config/s", refusal(status))
    sender = sender_of_two(fake_hub)
    assert sender.attempt() is True and sender.pause() is None
    add(spool, stamp(0))
    assert sender.pause() == 0 and sender.attempt() is True
    assert len(fake_hub.samples) == 3 and [one["current"]["top_processes_count"] for one in fake_hub.confirmed] == [3]


def test_settings_that_a_ping_announces_are_in_force_before_the_next_sample(start, fake_hub):
    start(minute_seconds=0.3, collection_interval_minutes=60, server_id=SERVER_ID, api_key=API_KEY)
    until(lambda: fake_hub.samples, "A first sample")
    fake_hub.settings = {"live_enabled": True}
    until(lambda: fake_hub.live, "A live sample")
    assert len(fake_hub.sent()) == 1 and len(fake_hub.confirmed) == 1


def test_only_an_answer_that_announces_settings_wakes_the_sender(config, fake_hub, spool):
    sender = smon_agent.Sender(config({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k"}), spool,
                               threading.Event())
    sender.hub.follow(sender._config.now)
    ping(sender)
    assert (sender.wake.is_set(), sender.pause()) == (False, None)
    fake_hub.settings = {"top_processes_count": 3}
    ping(sender)
    assert (sender.wake.is_set(), sender.pause()) == (True, 0)
