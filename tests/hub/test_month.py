"""A month of a fleet at its real pace: as large as the documents say, kept as long as asked, and cleaned up in slices.

Four servers stand for any number of them: each has the whole month, and the size grows by the server. With
SMON_TEST_MONTH_SERVERS=200 it is as many as that, in ten minutes.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from smon_hub import bodies, clock, ingest, jobs, shapes
from smon_hub.simulation import Machine
from tests.hub import inside
from tests.support import ROOT

SERVERS, DAYS, A_DAY = int(os.environ.get("SMON_TEST_MONTH_SERVERS", "4")), 30, 144
MIB = 1 << 20
END = inside.START
STORED = SERVERS * DAYS * A_DAY


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """A hub that ran for 30 days with its nightly jobs."""
    hub = inside.HubInside(tmp_path_factory.mktemp("month"), at=END - DAYS * clock.DAY)
    hub.jobs._due = dict.fromkeys(hub.jobs._due, 1e9)  # its days pass in seconds: the test says when they are over
    hub.open()
    machines = [Machine(number + 8, END) for number in range(SERVERS)]  # those before have troubles to show
    servers = [hub.server(ip_address="192.0.2.%d" % number) for number in range(1, SERVERS + 1)]
    for step in range(1, DAYS * A_DAY + 1):
        at = hub.pass_time(clock.DAY // A_DAY)
        sent = [ingest.sample(hub, server, shapes.clean(bodies.SAMPLE, machine.sample(at, STORED)), at)
                for server, machine in zip(servers, machines)]
        if step % A_DAY == 0:
            assert all(one.result(30)["stored"] for one in sent)
            hub.jobs.roll_up()
            hub.jobs.clean_up()
    yield hub
    hub.close()


def used(hub):
    """Bytes of the file without its log, whose pages have gone into it."""
    hub.engine.write(lambda db: None)
    return hub.rows("PRAGMA page_count")[0][0] * hub.rows("PRAGMA page_size")[0][0]


def promised():
    """MB a server, as the page for operators says."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(r"^\| a server for 30 days, .* \| ([0-9.]+) MB;", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_it_is_as_large_as_the_documents_say(month):
    assert month.rows("SELECT COUNT(*) FROM samples") == [(STORED,)]
    assert used(month) / SERVERS == pytest.approx(promised() * 1e6, rel=0.1)
    assert 600 <= used(month) / STORED <= 1_400


def test_the_lists_of_processes_are_there_for_a_week(month):
    kept, = month.rows("SELECT COUNT(*), MIN(at) FROM samples WHERE details IS NOT NULL")
    assert kept == (SERVERS * (7 * A_DAY + 1), END - 7 * clock.DAY)


class Slices:
    """What each transaction of a job changed, while samples go on coming in beside it."""

    def __init__(self, hub):
        self.changes, self.waits = [], []
        self._hub, self._write = hub, hub.engine.write
        self._server = hub.server(ip_address="192.0.2.99")

    def write(self, work, *rest, **named):
        def counted(db):
            before = db.total_changes
            try:
                return work(db)
            finally:
                self.changes.append(db.total_changes - before)
        return self._write(counted, *rest, **named)

    def send(self, ended):
        """Samples, one after the other; how many transactions of the job each of them waited for."""
        number = 0
        while not ended.is_set():
            number, began = number + 1, len(self.changes)
            sent = ingest.sample(self._hub, self._server, inside.sample(collected_at=END - number), END)
            sent.add_done_callback(lambda _, began=began: self.waits.append(len(self.changes) - began))
            assert sent.result(30)["stored"]


def test_what_is_past_its_keep_goes_in_slices_and_the_file_shrinks(month, monkeypatch):
    """Nothing waits for more than the slice at work and the one that shares its transaction."""
    month.settings.update(data_retention_days=1, process_retention_days=1, rollup_retention_days=1)
    before, slices, ended = used(month), Slices(month), threading.Event()
    sender = threading.Thread(target=slices.send, args=(ended,))
    monkeypatch.setattr(month.engine, "write", slices.write)
    sender.start()
    try:
        gone = month.jobs.clean_up()
    finally:
        ended.set()
        sender.join()
    assert gone["samples"] == STORED - SERVERS * (A_DAY + 1)
    assert max(slices.changes) <= jobs.SLICE_ROWS
    assert len(slices.changes) >= (gone["samples"] + gone["rollups"]) / jobs.SLICE_ROWS
    assert len(slices.waits) > 20 and max(slices.waits) <= 2
    assert used(month) < before / 8
    with closing(sqlite3.connect(month.engine.path)) as db:
        db.execute("PRAGMA wal_checkpoint")  # as the hub does by itself with each 1,000 pages
    assert Path(month.engine.path).stat().st_size < before / 8
