"""The samples on disk: their order, their bounds, and that neither a kill nor a full disk makes a hole."""

from __future__ import annotations

import datetime
import errno
import hashlib
import hmac
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
import zlib

import pytest

import smon_agent
from tests.support import ROOT
from tests.support.processes import ChildProcess, until


@pytest.fixture
def spool(tmp_path):
    made = smon_agent.Spool(str(tmp_path))
    made.bound(100, 1 << 20)
    return made


def add(spool, moment="2026-11-22T10:00:00.000Z", **payload) -> str:
    sequence = spool.next_sequence()
    spool.add(sequence, moment, dict(payload, collected_at=moment, n=sequence))
    return "%012d-%s.json.gz" % (sequence, smon_agent.taken_text(moment))


def waiting(spool) -> list:
    return [json.loads(payload)["n"] for _, payload in spool.oldest(1000)]


def files(tmp_path, kind="spool") -> list:
    return sorted(os.listdir(tmp_path / kind))


def test_a_sample_is_a_private_file_named_by_its_number_and_time(spool, tmp_path):
    name = add(spool)
    assert files(tmp_path) == [name]
    assert stat.S_IMODE(os.stat(tmp_path / "spool" / name).st_mode) == 0o600
    assert name.endswith("-20261122T100000000.json.gz")


def test_samples_keep_the_order_they_were_taken_in_whatever_the_clock_does(spool, tmp_path):
    for moment in ("2026-11-22T10:00:00.000Z", "2031-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"):
        add(spool, moment)
    first = waiting(spool)
    assert first == sorted(first)
    again = smon_agent.Spool(str(tmp_path))
    assert waiting(again) == first
    assert again.next_sequence() > first[-1]


def test_a_lost_state_folder_does_not_set_the_count_back(tmp_path, monkeypatch):
    monkeypatch.setattr(smon_agent, "uptime_seconds", lambda booted: 86400)
    assert smon_agent.Spool(str(tmp_path)).next_sequence() == 86401


def test_a_full_spool_drops_the_oldest_and_counts_it(spool, tmp_path, caplog):
    spool.bound(3, 1 << 20)
    names = [add(spool) for _ in range(5)]
    assert (files(tmp_path), spool.dropped) == (names[2:], 2)
    spool.bound(3, 1)
    assert (files(tmp_path)[:1], spool.dropped) == (names[2:3], 2)
    last = add(spool)
    assert (files(tmp_path), spool.dropped) == ([last], 5)


def test_a_damaged_file_is_set_aside_and_the_others_are_sent(spool, tmp_path):
    cut, flipped, good = add(spool), add(spool), add(spool)
    data = (tmp_path / "spool" / cut).read_bytes()
    (tmp_path / "spool" / cut).write_bytes(data[:-4])
    (tmp_path / "spool" / flipped).write_bytes(bytes(len(data)))
    assert [name for name, _ in spool.oldest(10)] == [good]
    assert files(tmp_path, "rejected") == [cut, flipped]


@pytest.fixture
def stumbling(monkeypatch):
    """Names of files that the disk does not give for now."""
    names, read = set(), smon_agent.read_bytes

    def stumble(path):
        if os.path.basename(path) in names:
            raise OSError(errno.EMFILE, "Too many open files", path)
        return read(path)
    monkeypatch.setattr(smon_agent, "read_bytes", stumble)
    return names


def test_a_sample_that_can_not_be_read_now_is_kept_for_later_and_said_once(spool, tmp_path, stumbling, caplog):
    names = [add(spool) for _ in range(3)]
    stumbling.update(names[:2])
    assert [name for name, _ in spool.oldest(10)] == names[2:] and spool.has_ready()
    spool.done(names[2])
    assert not spool.has_ready() and spool.oldest(10) == [] and len(spool) == 2
    names.append(add(spool))
    assert [name for name, _ in spool.oldest(10)] == names[3:]
    assert (spool.rejected, caplog.text.count("can not be read"), files(tmp_path, "rejected")) == (0, 1, [])
    stumbling.clear()
    names.append(add(spool))
    assert [name for name, _ in spool.oldest(10)] == names[:2] + names[3:]


def test_samples_that_can_not_be_read_now_keep_the_sender_at_rest(config, fake_hub, tmp_path, stumbling):
    loaded = config({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_1"})
    sender = smon_agent.Sender(loaded, smon_agent.Spool(str(tmp_path)), threading.Event())
    sender.hub.follow(loaded.now)
    spool = sender._spool
    spool.bound(100, 1 << 20)
    stumbling.add(add(spool))
    assert sender.attempt() is True and sender.pause() is None
    assert (len(spool), fake_hub.requests) == (1, [])
    stumbling.clear()
    add(spool, "2026-11-22T10:05:00.000Z")
    assert sender.pause() == 0 and sender.attempt() is True
    assert (len(spool), len(fake_hub.samples)) == (0, 2)


def test_a_spool_that_becomes_far_smaller_is_cut_in_one_go(spool, tmp_path, caplog):
    names = [add(spool) for _ in range(40)]
    spool.bound(5, 1 << 20)
    names.append(add(spool))
    assert files(tmp_path) == names[-5:]
    [said] = [record.getMessage() for record in caplog.records]
    assert said == "The spool is full: 36 of the oldest samples dropped, 36 since the start."


def test_a_sample_is_on_the_disk_before_it_has_its_name(spool, tmp_path, monkeypatch):
    """Content, name, folder: a power cut after any of these steps finds the whole sample or none."""
    steps, sync, rename = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: steps.append(
        "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content") or sync(handle))
    monkeypatch.setattr(os, "replace", lambda *paths: steps.append("name") or rename(*paths))
    name = add(spool)
    assert steps == ["content", "name", "folder"]
    assert stat.S_IMODE((tmp_path / "spool" / name).stat().st_mode) == 0o600


def test_half_written_files_of_a_power_cut_are_removed(tmp_path):
    os.makedirs(tmp_path / "spool")
    (tmp_path / "spool" / "000000000001-20261122T100000000.json.gz.tmp").write_bytes(b"half")
    smon_agent.Spool(str(tmp_path))
    assert files(tmp_path) == []


def test_a_batch_is_bounded_by_bytes(spool, monkeypatch):
    for _ in range(5):
        add(spool, pad="x" * 1000)
    monkeypatch.setattr(smon_agent, "BATCH_BYTES", 2500)
    assert len(spool.oldest(100)) == 2
    monkeypatch.setattr(smon_agent, "BATCH_BYTES", 10)
    assert len(spool.oldest(100)) == 1


def test_only_the_last_twenty_refused_samples_are_kept(spool, tmp_path):
    names = [add(spool) for _ in range(25)]
    for name in names:
        spool.reject(name, "cpu_percent must be a number")
    assert files(tmp_path, "rejected") == names[5:] and len(spool) == 0


def stamp(hours_ago: float) -> str:
    return smon_agent.iso(smon_agent.utc_now() - datetime.timedelta(hours=hours_ago))


def test_the_ring_of_sent_samples_holds_two_days(spool, tmp_path):
    names = [add(spool, stamp(hours)) for hours in (60, 49, 47, 1)]
    for name in names:
        spool.done(name)
    spool.prune()
    assert (files(tmp_path, "sent"), files(tmp_path)) == (names[2:], [])


def test_a_sample_of_a_clock_that_was_ahead_does_not_keep_older_ones(spool, tmp_path):
    names = [add(spool, stamp(hours)) for hours in (-100000, 60, 1, 49)]
    for name in names:
        spool.done(name)
    spool.prune()
    assert files(tmp_path, "sent") == [names[0], names[2]]


def test_the_ring_of_sent_samples_is_bounded_by_bytes(spool, tmp_path, monkeypatch):
    names = [add(spool, stamp(1)) for _ in range(4)]
    monkeypatch.setattr(smon_agent, "SENT_BYTES", 2 * os.path.getsize(tmp_path / "spool" / names[0]) + 5)
    for name in names:
        spool.done(name)
    spool.prune()
    assert files(tmp_path, "sent") == names[2:]


def sent_ring(spool) -> list:
    moments = [stamp(hours) for hours in (3, 2, 1)]
    for name in [add(spool, moment) for moment in moments]:
        spool.done(name)
    return moments


def test_a_hub_that_lost_samples_is_sent_them_again_once(spool):
    moments = sent_ring(spool)
    assert spool.refill(moments[0]) is True
    assert [json.loads(payload)["collected_at"] for _, payload in spool.oldest(10)] == moments[1:]
    assert spool.refill(moments[0]) is False


@pytest.mark.parametrize("newest", [2, "now", "seconds"])
def test_a_hub_that_lost_nothing_is_sent_nothing(spool, newest):
    moments = sent_ring(spool)
    said = {2: moments[2], "now": stamp(0), "seconds": moments[2][:19] + "Z"}[newest]
    assert spool.refill(said) is False and len(spool) == 0


@pytest.mark.parametrize("newest, again", [(None, 3), ("2020-01-01T00:00:00Z", 3), ("soon", 0), ("", 0), (5, 0),
                                           ("2020", 0), ({}, 0)])
def test_only_a_time_says_what_a_hub_has(config, spool, newest, again):
    sent_ring(spool)
    smon_agent.Sender(config({}), spool, threading.Event())._heed({"newest_at": newest}, True)
    assert len(spool) == again


def test_a_hub_without_any_sample_is_sent_the_whole_ring(spool):
    sent_ring(spool)
    assert spool.refill(None) is True and len(spool) == 3


def test_lost_samples_leave_bytes_for_the_next_one(spool, tmp_path):
    lost = [add(spool, stamp(1)) for _ in range(6)]
    for name in lost:
        spool.done(name)
    spool.bound(100, 3 * max(os.path.getsize(tmp_path / "sent" / name) for name in lost) + 2)
    assert spool.refill(None) is True and files(tmp_path) == lost[:2]
    last = add(spool, "2026-11-22T10:00:00.000Z")
    assert (files(tmp_path), spool.dropped) == ([*lost[:2], last], 0)


def test_a_small_spool_takes_lost_samples_back_as_it_has_room_and_drops_none(spool, tmp_path):
    lost = [add(spool, stamp(1)) for _ in range(12)]
    for name in lost:
        spool.done(name)
    spool.bound(5, 1 << 20)
    waited = add(spool, stamp(0))
    assert spool.refill(None) is True
    assert files(tmp_path) == [*lost[:3], waited]
    last, sent = add(spool, stamp(0)), []
    while spool.has_ready():
        assert len(spool) <= 5
        sent += [name for name, _ in spool.oldest(1)]
        spool.done(sent[-1])
    assert (sorted(sent), spool.dropped) == ([*lost, waited, last], 0) and len(sent) == len(set(sent))


def full(path, data):
    raise OSError(28, "No space left on device")


def test_a_number_is_not_used_again_after_a_full_disk(spool, tmp_path, monkeypatch):
    os.utime(tmp_path / "spool" / add(spool), times=(1000, 1000))
    with monkeypatch.context() as patched:
        patched.setattr(smon_agent, "write_atomic", full)
        for _ in range(5):
            add(spool)
        given = spool.next_sequence()
    monkeypatch.setattr(smon_agent.time, "time", lambda: 1000 + 6 * 300)
    assert smon_agent.Spool(str(tmp_path)).next_sequence() > given


def test_a_sample_dropped_while_it_was_on_its_way_is_not_remembered_as_sent(spool, tmp_path):
    gone, kept = add(spool), add(spool)
    spool.bound(1, 1 << 20)
    last = add(spool)
    spool.done(gone)
    spool.done(last)
    assert spool.refill(None) is True
    assert [name for name, _ in spool.oldest(10)] == [last] and spool.rejected == 0 and kept != last


def test_a_folder_that_can_not_be_synced_costs_nothing(spool, tmp_path, monkeypatch):
    sync = os.fsync

    def files_only(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")
        sync(handle)
    monkeypatch.setattr(os, "fsync", files_only)
    name = add(spool)
    assert files(tmp_path) == [name]
    spool.done(name)
    assert (files(tmp_path), files(tmp_path, "sent")) == ([], [name])


def test_samples_stay_in_memory_while_the_disk_takes_none(spool, tmp_path, monkeypatch):
    monkeypatch.setattr(smon_agent, "write_atomic", full)
    for _ in range(smon_agent.HELD_MAX + 3):
        add(spool)
    numbers = waiting(spool)
    assert (files(tmp_path), len(numbers), spool.dropped) == ([], smon_agent.HELD_MAX, 3)
    spool.done(spool.oldest(1)[0][0])
    assert waiting(spool) == numbers[1:]


SMALL_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
os.execv(sys.executable, [sys.executable] + sys.argv[1:])
"""


def test_an_agent_on_a_full_disk_still_sends(tmp_path, fake_hub):
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k",
                                                    "collection_interval_minutes": 5}))
    command = [sys.executable, "-c", SMALL_FILES, str(ROOT / "smon_agent.py"), str(folder / "config.json")]
    agent = ChildProcess(command, tmp_path / "out.log", {"SMON_MINUTE_SECONDS": "0.1"}, folder)
    try:
        until(lambda: len(fake_hub.samples) >= 3, "Three samples from a machine with a full disk")
        assert agent.stop() == 0
    finally:
        agent.process.kill()
    assert files(folder) == [] and "kept in memory" in agent.log


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
import smon_agent
spool = smon_agent.Spool(sys.argv[2])
spool.bound(100000, 1 << 30)
while True:
    sequence = spool.next_sequence()
    spool.add(sequence, "2026-11-22T10:00:00.000Z", {"n": sequence, "pad": "x" * 20000})
    print("written", sequence, flush=True)
    if sequence % 2:
        [(name, payload)] = spool.oldest(1)
        print("sent", int(name[:12]), flush=True)
        spool.done(name)
"""


def test_a_kill_at_any_moment_loses_at_most_the_sample_being_written(tmp_path):
    """What was said to be sent is sent again at most as the same file, and no number is given to two samples."""
    said, chance = {"written": [], "sent": []}, random.Random(7)
    for _ in range(20):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(ROOT), str(tmp_path)], stdout=subprocess.PIPE)
        lines = [writer.stdout.readline() for _ in range(chance.randint(1, 25))]
        time.sleep(chance.random() / 200)
        writer.send_signal(signal.SIGKILL)
        lines += writer.communicate()[0].splitlines(keepends=True)
        for what, number in (line.split() for line in lines if line.endswith(b"\n")):
            said[what.decode()].append(int(number))
    found = waiting(smon_agent.Spool(str(tmp_path)))
    sent = [int(name[:12]) for name in files(tmp_path, "sent")]
    assert len(said["written"]) >= 100 and len(set(said["written"])) == len(said["written"])
    assert set(said["written"]) <= set(found) | set(sent) and not set(found) & set(sent)
    assert set(sent) <= set(said["sent"]) and len(found) == len(set(found))
    assert not os.listdir(tmp_path / "rejected") and not [name for name in files(tmp_path) if name.endswith(".tmp")]


def test_an_export_is_signed_and_leaves_the_spool_alone(config, tmp_path):
    loaded = config({"server_id": "one", "api_key": "smk_secret", "export_key": "sme_key"})
    spool = smon_agent.Spool(str(tmp_path))
    spool.bound(100, 1 << 20)
    add(spool), add(spool)
    target = tmp_path / "out.smon"
    assert smon_agent.export_spool(loaded, str(target)) == 2
    head, body = target.read_bytes().split(b"\n", 1)
    said = json.loads(head)
    assert [json.loads(line)["n"] for line in zlib.decompress(body, 31).splitlines()] == waiting(spool)
    assert said["sha256"] == hashlib.sha256(body).hexdigest()
    signed = "\n".join(["smon-spool-1", "one", said["exported_at"], said["sha256"]]).encode()
    assert said["hmac"] == hmac.new(b"sme_key", signed, hashlib.sha256).hexdigest()
    assert b"smk_secret" not in target.read_bytes() and b"sme_key" not in target.read_bytes()
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o600


def test_an_outage_leaves_no_hole_over_restarts(start, fake_hub):
    agent = start()
    until(lambda: len(fake_hub.samples) >= 2, "First samples")
    fake_hub.stop()
    until(lambda: len(files(agent.directory)) >= 3, "Waiting samples")
    agent.kill9()
    start_again = start()
    until(lambda: len(files(agent.directory)) >= 6, "More waiting samples")
    held = files(agent.directory)
    fake_hub.start()
    until(lambda: files(agent.directory) == [], "An empty spool")
    assert start_again.stop() == 0
    arrived = list(fake_hub.samples.values())
    numbers = [sample["agent"]["sequence"] for sample in arrived]
    assert numbers == sorted(set(numbers))
    assert {smon_agent.taken_text(sample["collected_at"]) for sample in arrived} >= {name[13:31] for name in held}
    assert fake_hub.stored_twice == []
    assert max(sample["agent"]["buffered"] for sample in arrived) >= 5


def test_a_hub_restored_from_a_backup_gets_back_what_it_lost(start, fake_hub):
    start(minute_seconds=0.06)
    until(lambda: len(fake_hub.samples) >= 5, "Five samples")
    everything = sorted(fake_hub.samples)
    fake_hub.forget(after=everything[1])
    until(lambda: set(everything) <= set(fake_hub.samples), "The lost samples")


def test_a_clock_far_ahead_does_not_send_everything_again(start, fake_hub):
    fake_hub.clock_ahead_seconds = -3600
    agent = start(minute_seconds=0.06)
    until(lambda: len(fake_hub.samples) >= 5, "Five samples")
    assert fake_hub.stored_twice == [] and "sent again" not in agent.log
