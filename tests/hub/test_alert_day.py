"""A day of 200 servers with outages, flaps, maintenance and a restart of the hub, against a table of its messages."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, Dict, List

import pytest

from smon_hub import clock, ingest, silence
from smon_hub.store import outbox
from tests.hub import inside
from tests.hub.inside import HERE, START, sample, service

SERVERS, STEP_MINUTES, STEPS, LOOK_MINUTES = 200, 30, 48, 10
AGENT = {"boot_id": "b", "beat_seconds": 900, "errors": {}, "dropped": 0}
HOT, FULL, FULLER = {"cpu_percent": 99.0}, 92.0, 97.0
RACK = range(10, 30)

# Who was to be told of what, and how often, on that day. Nothing else may be told.
EXPECTED = Counter({
    ("hot", "opened", "cpu"): 1, ("hot", "escalated", "cpu"): 1, ("hot", "recovered", "cpu"): 1,
    ("full", "opened", "disk"): 1, ("full", "severity", "disk"): 1, ("full", "escalated", "disk"): 1,
    ("full", "recovered", "disk"): 1,
    ("flap", "opened", "cpu"): 3, ("flap", "recovered", "cpu"): 3, ("flap", "flapping", "cpu"): 1,
    ("gone", "opened", "offline"): 1, ("gone", "escalated", "offline"): 1, ("gone", "repeat", "offline"): 1,
    ("tended", "maintenance_end", "maintenance_end"): 1, ("tended", "escalated", "cpu"): 1,
    ("tended", "recovered", "cpu"): 1,
    ("cron", "opened", "service"): 1, ("cron", "recovered", "service"): 1,
    ("boot", "info", "reboot"): 1,
    ("hub", "opened", "group_outage"): 1, ("hub", "escalated", "group_outage"): 1,
    ("hub", "recovered", "group_outage"): 1,
})
NAMES = {0: "hot", 1: "full", 2: "flap", 3: "gone", 4: "tended", 5: "cron", 6: "boot"}


def sent(number: int, step: int) -> Any:
    """What a server sends at a step of the day; None while it is silent."""
    metrics: Dict[str, Any] = {"cpu_percent": 20.0, "disks": [{"mountpoint": "/", "percent": 50.0}]}
    agent, services = dict(AGENT, sequence=step), [service("cron")]
    if number in RACK and 10 <= step < 16 or number == 3 and step >= 30:
        return None
    if number == 0 and 4 <= step < 8 or number == 4 and 9 <= step < 14:
        metrics.update(HOT)
    if number == 1 and 5 <= step < 12:
        metrics["disks"][0]["percent"] = FULL if step < 9 else FULLER
    if number == 5 and 20 <= step < 24:
        services = [service("cron", "failed")]
    if number == 6 and step >= 12:
        agent["boot_id"] = "c"
    return dict(metrics=metrics, agent=agent, services=services)


class Day:
    """The day, which goes on in another hub after a restart."""

    def __init__(self, hub: inside.HubInside, told: Counter):
        self.hub, self.told = hub, told
        hub.silence = silence.Silence(hub.now())

    def step(self, uuids: List[str], step: int) -> None:
        for _ in range(STEP_MINUTES // LOOK_MINUTES):
            self.hub.jobs.listen()
            self.hub.jobs.remind()
            self.hub.pass_time(LOOK_MINUTES * clock.MINUTE)
        futures = []
        for number, uuid in enumerate(uuids):
            members = sent(number, step)
            if members is not None:
                body = sample(members.pop("metrics"), collected_at=self.hub.now(), **members)
                futures.append(ingest.sample(self.hub, self.hub.fleet.by_uuid[uuid], body, self.hub.now()))
        for future in futures:
            future.result(30)

    def flap(self, uuid: str) -> None:
        """Four times bad and good again, faster than anybody can look."""
        for turn in range(12):
            self.hub.send(self.hub.fleet.by_uuid[uuid], HOT if turn % 3 == 0 else None, agent=AGENT)


@pytest.fixture
def told(monkeypatch):
    """Every message, by the name of its server."""
    found: Counter = Counter()
    add = outbox.add

    def note(db, messages, now):
        found.update((message["server"]["hostname"] if message["server"] else "hub", message["event"],
                      message["rule"]) for message in messages)
        add(db, messages, now)
    monkeypatch.setattr(outbox, "add", note)
    return found


def test_a_day_tells_exactly_what_the_table_says(tmp_path, monkeypatch, told):
    with inside.running(tmp_path / "data") as hub:
        monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: hub.now() / 1000))
        uuids = [hub.server(hostname=NAMES.get(number, "quiet"), group_name="Rack" if number in RACK else "Hall")
                 .row["uuid"] for number in range(SERVERS)]
        body = {"name": "Patches", "kind": "once", "starts_at": clock.iso(START + 4 * clock.HOUR), "minutes": 120,
                "scope": "server", "target": uuids[4]}
        assert hub.ask("POST", "/api/dashboard/maintenance", body, address=HERE, host="localhost").status == 201
        day = Day(hub, told)
        for step in range(24):
            day.step(uuids, step)
        now = hub.now()
    with inside.running(tmp_path / "data", at=now) as hub:
        monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: hub.now() / 1000))
        day = Day(hub, told)
        for step in range(24, STEPS):
            day.step(uuids, step)
            if step == 26:
                day.flap(uuids[2])
        assert told == EXPECTED
        open_now = hub.rows("SELECT rule FROM alerts WHERE ended_at IS NULL AND opened_at IS NOT NULL")
        assert open_now == [("offline",)]
