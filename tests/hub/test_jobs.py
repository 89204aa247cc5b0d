"""What the hub does by itself: nothing past its keep stays, nothing else goes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import namedtuple
from types import SimpleNamespace

import pytest

from smon_hub import clock, jobs
from smon_hub.errors import HubError
from smon_hub.store import engine, series
from tests.hub import inside
from tests.hub.inside import START, service

Usage = namedtuple("Usage", "total used free")
ALMOST = 29 * clock.DAY + 23 * clock.HOUR  # two hours later this is past 30 days


def moments(hub):
    return [at for at, in hub.rows("SELECT at FROM samples ORDER BY at")]


def with_details(hub):
    return [at for at, in hub.rows("SELECT at FROM samples WHERE details IS NOT NULL ORDER BY at")]


def fill(hub, server, *ages):
    for age in ages:
        hub.send(server, collected_at=START - age)


def fill_disk(monkeypatch):
    """From now on there is no room, and the engine looks again at once."""
    monkeypatch.setattr(engine.shutil, "disk_usage", lambda path: Usage(1 << 40, 1 << 40, 0))
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 60, sleep=time.sleep))


# --- retention --------------------------------------------------------------------------------------------------------

def test_samples_past_their_keep_go_and_the_others_stay(hub_inside):
    server = hub_inside.server()
    fill(hub_inside, server, ALMOST, ALMOST - clock.DAY, 0)
    hub_inside.pass_time(2 * clock.HOUR)
    assert hub_inside.jobs.clean_up()["samples"] == 1
    assert moments(hub_inside) == [START - ALMOST + clock.DAY, START]
    assert hub_inside.jobs.clean_up()["samples"] == 0


def test_a_servers_newest_sample_stays_whatever_its_age(hub_inside):
    server = hub_inside.server()
    fill(hub_inside, server, ALMOST, ALMOST - 1)
    hub_inside.pass_time(2 * clock.HOUR)
    assert {kind: count for kind, count in hub_inside.jobs.clean_up().items() if count} == {"samples": 1}
    assert moments(hub_inside) == with_details(hub_inside) == [START - ALMOST + 1]
    assert server.metrics()["cpu_percent"] == 12.5


def test_a_clean_up_in_slices_removes_the_same_as_one_in_one_go(hub_inside, monkeypatch):
    monkeypatch.setattr(jobs, "SLICE_ROWS", 2)
    monkeypatch.setattr(jobs, "SLICE_SERVERS", 2)
    servers = [hub_inside.server() for _ in range(5)]
    for number, server in enumerate(servers):
        fill(hub_inside, server, 0, *(ALMOST - step for step in range(number * 2)))
    hub_inside.pass_time(2 * clock.HOUR)
    assert hub_inside.jobs.clean_up()["samples"] == 2 * (1 + 2 + 3 + 4)
    assert moments(hub_inside) == [START] * 5


def test_details_go_before_their_samples_do(hub_inside):
    server = hub_inside.server()
    fill(hub_inside, server, 8 * clock.DAY, 6 * clock.DAY, 0)
    assert hub_inside.jobs.clean_up()["details"] == 1
    assert with_details(hub_inside) == [START - 6 * clock.DAY, START]
    assert len(moments(hub_inside)) == 3


def test_details_of_samples_that_came_late_go_too(hub_inside):
    """An outage may bring samples that are past the keep of details when they come."""
    server = hub_inside.server()
    fill(hub_inside, server, 0)
    hub_inside.jobs.clean_up()
    fill(hub_inside, server, 8 * clock.DAY)
    hub_inside.jobs.clean_up()
    assert with_details(hub_inside) == [START]


def test_details_go_when_a_server_comes_back_after_a_long_silence(hub_inside):
    """What was its newest sample, and what its agent kept meanwhile, oldest first."""
    server = hub_inside.server()
    fill(hub_inside, server, 10 * clock.DAY)
    hub_inside.jobs.clean_up()
    fill(hub_inside, server, 9 * clock.DAY, 8 * clock.DAY, 0)
    hub_inside.jobs.clean_up()
    assert with_details(hub_inside) == [START]


def test_a_shorter_keep_of_details_holds_for_what_is_there(hub_inside):
    server = hub_inside.server()
    fill(hub_inside, server, 6 * clock.DAY, 0)
    hub_inside.jobs.clean_up()
    hub_inside.change_settings({"process_retention_days": 1})
    assert hub_inside.jobs.clean_up()["details"] == 1


def test_changes_of_services_go_with_the_samples_of_their_time(hub_inside):
    server = hub_inside.server()
    for age, status in ((ALMOST + 1, "running"), (ALMOST, "failed"), (0, "running")):
        hub_inside.send(server, collected_at=START - age, services=[service("nginx", status)])
    hub_inside.pass_time(2 * clock.HOUR)
    assert hub_inside.jobs.clean_up()["service_changes"] == 1
    assert hub_inside.rows("SELECT at FROM service_changes") == [(START,)]


@pytest.mark.parametrize("jump", [clock.DAY + clock.MINUTE, -clock.DAY - clock.MINUTE, 400 * clock.DAY])
def test_a_clock_that_jumped_deletes_nothing(hub_inside, jump):
    server = hub_inside.server()
    fill(hub_inside, server, ALMOST, 0)
    hub_inside.pass_time(jump)
    with pytest.raises(HubError) as refusal:
        hub_inside.jobs.clean_up()
    assert refusal.value.code == "conflict"
    assert len(moments(hub_inside)) == 2


def refused_clean_up(hub):
    with pytest.raises(HubError, match="The clock moved by more than a day") as refusal:
        hub.jobs.clean_up()
    return refusal.value.code == "conflict"


def test_a_clock_that_was_wrong_at_the_start_deletes_nothing(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        fill(hub, hub.server(), ALMOST, 0)
        hub.jobs.clean_up()
    with inside.running(tmp_path / "data", at=START + 400 * clock.DAY) as hub:
        assert refused_clean_up(hub)
        assert len(moments(hub)) == 2


def test_a_hub_that_was_off_for_long_cleans_up_once_an_agent_agrees_with_its_clock(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        fill(hub, hub.server(ip_address="10.0.0.9"), ALMOST, 0)
        hub.jobs.clean_up()
    with inside.running(tmp_path / "data", at=START + 2 * clock.DAY) as hub:
        assert refused_clean_up(hub)
        server = hub.fleet.servers()[0]
        hub.send(server)  # without a time of its own it proves nothing
        assert refused_clean_up(hub)
        hub.send(server, collected_at=hub.pass_time(clock.MINUTE))
        assert hub.jobs.clean_up()["samples"] == 1


def test_an_agent_on_the_hubs_own_machine_reads_the_same_clock_and_vouches_for_nothing(hub_inside):
    fill(hub_inside, hub_inside.server(ip_address="127.0.0.1"), ALMOST, clock.HOUR)
    hub_inside.pass_time(400 * clock.DAY)
    fill(hub_inside, hub_inside.fleet.servers()[0], -400 * clock.DAY)
    assert refused_clean_up(hub_inside)


def test_a_hub_that_was_off_for_less_than_a_day_cleans_up_at_once(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        fill(hub, hub.server(ip_address="10.0.0.9"), ALMOST, 2 * clock.DAY)
        hub.jobs.clean_up()
    with inside.running(tmp_path / "data", at=START + 23 * clock.HOUR) as hub:
        assert hub.jobs.clean_up()["samples"] == 1


def test_an_agents_sample_vouches_only_for_a_clock_within_a_day_of_it(hub_inside):
    fill(hub_inside, hub_inside.server(ip_address="10.0.0.9"), ALMOST, clock.HOUR)
    hub_inside.pass_time(2 * clock.DAY)
    assert refused_clean_up(hub_inside)
    fill(hub_inside, hub_inside.server(ip_address="10.0.0.9"), -2 * clock.DAY)
    assert hub_inside.jobs.clean_up()["samples"] == 1


def test_deletions_go_on_while_the_disk_is_full(hub_inside, monkeypatch):
    server = hub_inside.server()
    fill(hub_inside, server, 30 * clock.DAY, 8 * clock.DAY, 0)
    hub_inside.send_live(server)
    hub_inside.pass_time(2 * clock.HOUR)
    hub_inside.jobs.settle()
    monkeypatch.setattr(jobs.Jobs, "settle", lambda self: None)  # it stores, and is done already
    fill_disk(monkeypatch)
    with pytest.raises(HubError, match="disk is full"):
        hub_inside.send(server)
    assert {kind: count for kind, count in hub_inside.jobs.clean_up().items() if count} == {"samples": 1, "details": 1}
    assert hub_inside.jobs.trim_live() == 1
    assert moments(hub_inside) == [START - 8 * clock.DAY, START]


def test_one_clean_up_runs_at_a_time(hub_inside, monkeypatch):
    hub_inside.server()
    inside_a_slice, go_on = threading.Event(), threading.Event()

    def slow(*arguments):
        inside_a_slice.set()
        go_on.wait(10)
        return 0
    monkeypatch.setattr(series, "drop_samples", slow)
    first = threading.Thread(target=hub_inside.jobs.clean_up)
    first.start()
    inside_a_slice.wait(10)
    try:
        with pytest.raises(HubError, match="under way"):
            hub_inside.jobs.clean_up()
    finally:
        go_on.set()
        first.join()
    assert hub_inside.jobs.clean_up()["samples"] == 0


def test_live_samples_go_when_their_minutes_are_over(hub_inside):
    short, long = hub_inside.server(), hub_inside.server()
    hub_inside.send_live(short)
    hub_inside.send_live(long, retention_minutes=120)
    hub_inside.pass_time(61 * clock.MINUTE)
    assert hub_inside.jobs.trim_live() == 1
    assert hub_inside.rows("SELECT server FROM live") == [(long.row["id"],)]


# --- removed servers --------------------------------------------------------------------------------------------------

def test_a_removed_server_leaves_no_row_behind_and_its_neighbours_keep_theirs(hub_inside, monkeypatch):
    monkeypatch.setattr(jobs, "SLICE_ROWS", 2)
    gone, stays = hub_inside.server(), hub_inside.server()
    for server in (gone, stays):
        for status in ("running", "failed", "running", "failed"):
            hub_inside.send(server, services=[service("nginx", status), service("cron", status)])
            hub_inside.send_live(server)
    hub_inside.ask("DELETE", "/api/dashboard/server/" + gone.row["uuid"], address=inside.HERE, host="localhost")
    hub_inside.jobs.sweep()
    for table, left in (("samples", 4), ("live", 4), ("services", 2), ("service_changes", 6)):
        assert hub_inside.rows("SELECT server, COUNT(*) FROM %s GROUP BY 1" % table) == [(stays.row["id"], left)], table
    assert hub_inside.rows("SELECT * FROM removals") == []


# --- writing back -----------------------------------------------------------------------------------------------------

def newest_sample(hub, server):
    return hub.rows("SELECT newest_sample FROM servers WHERE id = ?", server.row["id"])[0][0]


def test_the_newest_sample_and_the_last_sign_of_life_are_written_back(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server)
    hub_inside.fleet.seen(server, START + 5)
    hub_inside.jobs.settle()
    assert hub_inside.rows("SELECT newest_sample, last_seen_at FROM servers") == [(server.sample.id, START + 5)]


def test_a_new_server_inherits_nothing_from_a_removed_one_whose_id_it_got(hub_inside):
    gone = hub_inside.server()
    hub_inside.send(gone)
    hub_inside.fleet.seen(gone, START + clock.HOUR)
    hub_inside.ask("DELETE", "/api/dashboard/server/" + gone.row["uuid"], address=inside.HERE, host="localhost")
    hub_inside.jobs.sweep()
    server = hub_inside.server()
    hub_inside.jobs.settle()
    assert hub_inside.rows("SELECT id, newest_sample, last_seen_at FROM servers") == [(server.row["id"], None, START)]


def test_what_could_not_be_written_back_is_written_with_the_next_beat(hub_inside, monkeypatch):
    """Otherwise `settled_sample` would pass a newest sample that no row names."""
    server = hub_inside.server()
    hub_inside.send(server)

    def fail(db, key, value):
        raise sqlite3.OperationalError("disk I/O error")
    with monkeypatch.context() as broken:
        broken.setattr(jobs.options, "note", fail)
        with pytest.raises(HubError):
            hub_inside.jobs.settle()
    hub_inside.jobs.settle()
    assert newest_sample(hub_inside, server) == server.sample.id


def test_a_hub_ends_cleanly_while_its_disk_is_full(tmp_path, monkeypatch):
    before = set(threading.enumerate())
    hub = inside.HubInside(tmp_path / "data")
    hub.open()
    hub.send(hub.server())
    fill_disk(monkeypatch)
    hub.close()
    assert set(threading.enumerate()) <= before


def test_a_start_keeps_what_was_settled_so_that_the_next_one_reads_no_sample_twice(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        fill(hub, hub.server(), 0, clock.HOUR)  # the last to arrive is nobody's newest
        last = hub.fleet.settled_sample
    for _ in range(2):
        with inside.running(tmp_path / "data") as hub:
            assert hub.fleet.settled_sample == last == 2


# --- the beat ---------------------------------------------------------------------------------------------------------

def test_every_job_runs_within_a_minute_of_the_start(hub_inside, monkeypatch):
    done, start = [], time.monotonic()
    rows = tuple(job._replace(work=lambda self, name=job.name: done.append(name)) for job in jobs.JOBS)
    all_done = threading.Event()
    rows += (jobs.Job("last", 60, lambda self: all_done.set()),)
    monkeypatch.setattr(jobs, "JOBS", rows)
    young = jobs.Jobs(hub_inside)
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: start + 61))
    young.start()
    assert all_done.wait(10)
    young.stop()
    assert set(done) == {job.name for job in rows[:-1]}


def test_a_failing_job_does_not_end_the_others(hub_inside, monkeypatch, caplog):
    done = threading.Event()

    def fail(self):
        raise RuntimeError("a job broke")
    monkeypatch.setattr(jobs, "JOBS", (jobs.Job("settle", 60, fail), jobs.Job("sweep", 60, lambda self: done.set())))
    hub_inside.jobs.wake("settle")
    hub_inside.jobs.wake("sweep")
    assert done.wait(10)
    assert "Job settle failed." in caplog.text
