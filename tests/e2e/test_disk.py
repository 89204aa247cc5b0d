"""A disk that is full or can not be written, under a real hub: it says so, serves on, loses nothing, and recovers."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest

from smon_hub import backup, clock
from smon_hub.errors import HubError
from smon_hub.hub import CanNotStart
from smon_hub.store import copies, schema
from tests.e2e.test_backup import back_up, command
from tests.hub import inside
from tests.support import volume
from tests.support.processes import HubProcess, until

MEGABYTES = 24
ROOM = 2 << 20  # more than the floor of so small a volume
START = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=2)


@pytest.fixture
def disk(tmp_path):
    with volume.small(tmp_path / "volume", MEGABYTES) as mounted:
        yield mounted


class Sender(threading.Thread):
    """Sends samples of one server until it is told to end; what was answered to each moment."""

    def __init__(self, server):
        super().__init__(name="sender of " + server.name)
        self.server, self.answers, self.ended = server, {}, threading.Event()

    def run(self):
        number = 0
        while not self.ended.is_set():
            moment = (START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
            self.answers[moment] = self.server.send(collected_at=moment)
            number += 1

    def count(self, status):
        return sum(answer.status == status for answer in list(self.answers.values()))

    def end(self):
        self.ended.set()
        self.join()
        return {moment for moment, answer in self.answers.items() if answer.status == 200}


def busy(hub):
    """Three servers that send all the time."""
    assert hub.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1_000_000}).status == 200
    senders = [Sender(hub.register("sender-%d" % number)) for number in range(3)]
    for sender in senders:
        sender.start()
    return senders


def shown(hub, server):
    return {point["timestamp"] for point in hub.server(server.id, 24)["history"]}


def test_a_disk_that_fills_up_under_load_costs_no_acknowledged_sample(disk):
    with HubProcess(disk.path / "data") as hub:
        senders = busy(hub)
        for _ in range(2):
            done = [sender.count(200) for sender in senders]
            until(lambda: all(one.count(200) > before + 5 for one, before in zip(senders, done)), "Samples are stored")
            disk.fill()
            refused = [sender.count(503) for sender in senders]
            until(lambda: all(one.count(503) > before + 5 for one, before in zip(senders, refused)), "A full disk")
            assert hub.get("/api/dashboard").status == 200 and shown(hub, senders[0].server)
            disk.empty()
        done = [sender.count(200) for sender in senders]
        until(lambda: all(one.count(200) > before for one, before in zip(senders, done)), "It goes on by itself")
        for sender in senders:
            acknowledged = sender.end()
            assert {answer.status for answer in sender.answers.values()} == {200, 503}
            assert all(answer.headers["retry-after"] for answer in sender.answers.values() if answer.status == 503)
            assert acknowledged == shown(hub, sender.server)
    assert copies.fault(str(disk.path / "data" / "smon.db"), whole=True, live=True) == ""


def test_a_backup_that_finds_no_room_leaves_nothing_and_the_hub_goes_on(disk):
    with HubProcess(disk.path / "data") as hub:
        server = hub.register("kept")
        assert server.send().status == 200
        disk.fill(leave=ROOM)
        said = command(hub.data_dir, "backup", status=2)
        assert "A backup needs" in said and "MB are free" in said
        assert list((hub.data_dir / "backups").iterdir()) == []
        assert server.send().status == 200
        disk.empty()
        back_up(hub.data_dir)


def test_a_disk_that_fills_up_during_a_backup_leaves_the_older_ones(disk):
    """The space is looked at before: somebody else takes it meanwhile."""
    data = disk.path / "data"
    with inside.running(data) as hub:
        hub.send(hub.server())
        first = backup.make(hub.config.database, hub.backups.folder, inside.START, lambda left, whole: None)

        def fill(left, whole):
            disk.fill()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(copies, "STEP_PAGES", 8)
            with pytest.raises(HubError, match="The backup in .* failed: .*full"):
                backup.make(hub.config.database, hub.backups.folder, inside.START + clock.DAY, fill)
        disk.empty()
        assert [one.path for one in backup.listed(hub.backups.folder)] == [first.path]
        assert backup.judge(first.path) == "" and not (data / "backups" / backup.PART).exists()


def older(data, monkeypatch, step):
    """A database of an older hub with one sample, and a hub with one more step of migration."""
    with inside.running(data) as hub:
        hub.send(hub.server())
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    return str(data / "smon.db")


GROWS = """CREATE TABLE added (x);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
INSERT INTO added SELECT randomblob(100000) FROM n;"""


@pytest.mark.parametrize("leave", [ROOM // 8, 6 << 20], ids=["no room for the backup before it", "no room for itself"])
def test_an_upgrade_that_finds_no_room_changes_nothing_and_is_made_later(disk, monkeypatch, leave):
    database = older(disk.path / "data", monkeypatch, GROWS % 80)
    version = schema.VERSION - 1
    disk.fill(leave=leave)
    with pytest.raises(CanNotStart) as said:
        inside.HubInside(disk.path / "data").open()
    assert "\n" not in str(said.value) and ("needs" in str(said.value) or "full" in str(said.value))
    assert copies.version(database, live=True) == version
    assert copies.fault(database, whole=True, live=True) == ""
    disk.empty()
    with inside.running(disk.path / "data", at=inside.START + clock.HOUR) as hub:
        assert hub.rows("SELECT (SELECT COUNT(*) FROM samples), (SELECT COUNT(*) FROM added)") == [(1, 80)]


def test_a_restore_that_finds_no_room_changes_nothing(disk):
    data = disk.path / "data"
    with inside.running(data) as hub:
        hub.send(hub.server())
        one = backup.make(hub.config.database, hub.backups.folder, inside.START, lambda left, whole: None)
    disk.fill(leave=one.bytes // 2)
    before = (data / "smon.db").read_bytes()
    assert "can not be restored" in command(data, "restore", one.path, status=2)
    assert (data / "smon.db").read_bytes() == before
    assert not [path.name for path in data.iterdir() if ".restoring" in path.name or ".before-" in path.name]


def test_a_read_only_disk_is_one_sentence_and_the_data_stays_as_it_is(disk, tmp_path):
    data = disk.path / "data"
    with HubProcess(data) as hub:
        server = hub.register("kept")
        assert server.send().status == 200
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    disk.read_only(True)
    for words in (("serve", "--port", "0"), ("backup",), ("user", "list"), ("restore", data / "smon.db")):
        said = command(data, *words, status=2)
        assert said.count("\n") == 1 and "can not be written" in said, said
    disk.read_only(False)
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()} == before
    with HubProcess(data) as hub:
        assert hub.post("/api/ping", headers=server.headers).status == 200


def test_a_read_only_folder_of_backups_is_told_and_samples_go_on(disk, tmp_path):
    disk.read_only(True)
    with HubProcess(tmp_path / "data", "--backup-dir", str(disk.path / "backups")) as hub:
        assert "Read-only file system" in command(tmp_path / "data", "backup", "--backup-dir",
                                                  str(disk.path / "backups"), status=2)
        assert hub.register("kept").send().status == 200
