"""A damaged database file: the hub refuses it, answers 503 or goes on; it shows nothing wrong and replaces nothing."""

from __future__ import annotations

import contextlib
import os
import random
import shutil

import pytest

from smon_hub import clock
from smon_hub.errors import HubError
from smon_hub.hub import CanNotStart
from smon_hub.store import copies
from tests.hub import inside

NOW = inside.START
SERVERS, SAMPLES, PAGE = 4, 80, 4096
FILES = 48  # each with other pages damaged
LOCAL = dict(address=inside.HERE, host="localhost")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The file of a hub that ended well, and what its histories show: {server: {moment: cpu_percent}}."""
    data, shown = tmp_path_factory.mktemp("whole"), {}
    with inside.running(data) as hub:
        for number in range(SERVERS):
            server = hub.server()
            for step in range(SAMPLES):
                hub.send(server, {"cpu_percent": (number * SAMPLES + step) % 70 + 0.25},
                         collected_at=NOW - step * clock.MINUTE)
            shown[server.row["uuid"]] = history(hub, server.row["uuid"])
        assert [len(points) for points in shown.values()] == [SAMPLES] * SERVERS
    return data / "smon.db", shown


def history(hub, server_id):
    """What the hub shows of a server; None when it says that it can not."""
    answer = hub.ask("GET", "/api/dashboard/server/%s?hours=24" % server_id, **LOCAL)
    assert answer.status in (200, 503), answer
    return {one["timestamp"]: one["cpu_percent"] for one in answer.json["history"]} if answer.status == 200 else None


def damage(path, choice):
    """Overwrite some pages with noise; their numbers."""
    pages = os.path.getsize(str(path)) // PAGE
    chosen = choice.sample(range(pages), choice.choice((1, 1, 1, 2, 5)))
    with open(str(path), "r+b") as file:
        for page in chosen:
            file.seek(page * PAGE)
            file.write(bytes(choice.getrandbits(8) for _ in range(PAGE)))
    return chosen


@pytest.mark.parametrize("number", range(FILES))
def test_noise_in_its_pages_is_never_shown_and_never_costs_the_file(whole, tmp_path, number):
    path = tmp_path / "smon.db"
    shutil.copy(str(whole[0]), str(path))
    damage(path, random.Random(number))
    before = os.stat(str(path))
    hub = inside.HubInside(tmp_path)
    try:
        hub.open()
    except CanNotStart as said:
        assert str(path) in str(said) and "There is no good backup" in str(said)
    else:
        use(hub, whole[1])
    after = os.stat(str(path))
    assert (after.st_ino, after.st_size >= before.st_size) == (before.st_ino, True)
    assert copies.fault(str(path)) != ""  # it is not papered over


def use(hub, shown):
    """Everything that a hub is asked in a minute."""
    try:
        answer = hub.ask("GET", "/api/dashboard", **LOCAL)
        assert answer.status in (200, 503) and len(answer.json.get("servers", shown)) == len(shown)
        for server_id, points in shown.items():
            found = history(hub, server_id)
            assert found is None or found == points
        answer = hub.ask("POST", "/api/register", {"hostname": "later"}, **LOCAL)
        assert answer.status in (201, 503)
        if answer.status == 201:
            stored(hub, answer.json)
        with contextlib.suppress(HubError):  # it may have looked to the end before this returns
            hub.backups.tick()
        hub.backups._thread.join()
        assert "There is no good backup" in hub.backups.damage
    finally:
        hub.close()


def stored(hub, enrolled):
    """A sample that is acknowledged can be read."""
    said = hub.ask("POST", "/api/metrics", {"metrics": inside.METRICS},
                   headers={"Authorization": "Bearer %(server_id)s:%(api_key)s" % enrolled})
    assert said.status in (200, 503)
    if said.status == 200:
        found = history(hub, enrolled["server_id"])
        assert found is None or list(found.values()) == [12.5]
