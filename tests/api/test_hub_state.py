"""GET /api/dashboard/hub: what the hub says about itself."""

from __future__ import annotations

from smon_hub import __version__, clock
from smon_hub.errors import HubError
from smon_hub.jobs import JOBS
from tests.hub.inside import HERE, START


def state(hub):
    answer = hub.ask("GET", "/api/dashboard/hub", address=HERE, host="localhost")
    assert answer.status == 200
    return answer.json


def test_it_says_how_large_the_store_is_and_since_when_it_holds_samples(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, collected_at=START - clock.HOUR)
    hub_inside.send(server)
    found = state(hub_inside)
    assert found["version"] == __version__ and found["servers"] == 1 and found["waiting_writes"] == 0
    database = found["database"]
    assert database["oldest_sample_at"] == clock.iso(START - clock.HOUR)
    assert 0 < database["used_bytes"] <= database["file_bytes"] + database["wal_bytes"]
    assert database["free_bytes"] > 0 and database["grows_bytes_per_day"] is None


def test_it_says_when_the_disk_would_be_full(hub_inside):
    hub_inside.jobs.measure()
    server = hub_inside.server()
    for _ in range(40):
        hub_inside.pass_time(clock.HOUR)
        hub_inside.send(server, processes=[{"pid": number, "name": "p%d" % number} for number in range(200)])
    database = state(hub_inside)["database"]
    assert database["grows_bytes_per_day"] > 0
    assert abs(database["full_in_days"] * database["grows_bytes_per_day"] / database["free_bytes"] - 1) < 0.01


def test_it_says_how_each_job_went(hub_inside, monkeypatch):
    def fail():
        raise HubError("conflict", "The clock moved.")
    monkeypatch.setattr(hub_inside.jobs, "_clean", lambda now: fail())
    for job in JOBS:
        if job.name in ("settle", "clean_up"):
            hub_inside.jobs._attempt(job)
    jobs = {job["name"]: job for job in state(hub_inside)["jobs"]}
    assert list(jobs) == [job.name for job in JOBS]
    assert jobs["clean_up"]["error"] == "The clock moved." and jobs["clean_up"]["last_at"] == clock.iso(START)
    assert jobs["settle"]["error"] is None and jobs["settle"]["last_seconds"] >= 0
    assert jobs["roll_up"] == {"name": "roll_up", "every_seconds": 3600, "last_at": None, "last_seconds": None,
                               "error": None}


def test_a_stranger_is_refused(hub_inside):
    assert hub_inside.ask("GET", "/api/dashboard/hub").status == 401
