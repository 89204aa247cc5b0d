"""The database that two hubs share dies, or is cut off, under load: callers hear 503, and nothing that was acknowledged
is lost or doubled."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter

import pytest

from smon_hub.store import details
from tests.support.hubs import Pair, Sender, all_of, join, unheard
from tests.support.processes import AgentProcess, until

SENDERS = 16
CUT_SECONDS = 34             # longer than anybody waits for an answer


@pytest.fixture
def url(postgres):
    with postgres.database() as made:
        yield made


def start(pair, count=SENDERS, **options):
    """Senders of which every other one knows nginx, and the others a hub each."""
    ways = [pair.url, pair.hubs[0].url, pair.url, pair.hubs[1].url]
    senders = [Sender(ways[number % 4], account, **options) for number, account in enumerate(pair.accounts[:count])]
    for sender in senders:
        sender.start()
    return senders


def go_on(senders, more, what):
    """Until so many more samples are acknowledged."""
    before = all_of(senders)
    until(lambda: all_of(senders) >= before + more, "%d more samples %s" % (more, what), 60)


class Visitor(threading.Thread):
    """A person who looks at a hub again and again, and a proxy that asks whether it is well."""

    def __init__(self, hub, admin):
        super().__init__(name="visitor of %s" % hub.url, daemon=True)
        self.hub, self.admin = hub, admin
        self.statuses, self.over = Counter(), threading.Event()

    def run(self):
        caller = self.hub.client()
        for path in itertools.cycle(("/api/dashboard", "/api/ping", "/api/dashboard/alerts", "/api/dashboard/hub")):
            if self.over.wait(0.1):
                break
            answer = caller.get(path, self.admin)
            self.statuses[answer.status, "retry-after" in answer.headers] += 1
        caller.close()

    def end(self):
        self.over.set()
        self.join(60)
        assert not self.is_alive()
        return self.statuses


@contextlib.contextmanager
def visited(pair):
    """Somebody looks at both hubs meanwhile, and is answered."""
    visitors = [Visitor(hub, pair.admin) for hub in pair.hubs]
    for visitor in visitors:
        visitor.start()
    yield
    for visitor in visitors:
        assert set(visitor.end()) == {(200, False), (503, True)}


def check(pair, senders):
    """After their end."""
    assert unheard(senders) == []
    assert [sender.hung for sender in senders if sender.hung] == []
    assert [sender.lost for sender in senders if sender.lost] == []
    found = pair.stored()
    assert {sender.account.id: sender.acknowledged for sender in senders} == {
        sender.account.id: found[sender.account.id] for sender in senders}


def test_a_database_that_is_killed_and_comes_back_loses_and_doubles_nothing(postgres, tmp_path, url):
    with Pair(postgres, tmp_path, url, SENDERS) as pair, visited(pair):
        senders = start(pair)
        for _ in range(2):
            go_on(senders, 300, "before the kill")
            postgres.kill()
            refused = sum(len(sender.answers) for sender in senders)
            until(lambda: sum(len(sender.answers) for sender in senders) > refused + SENDERS, "Some refusals")
            assert [hub.get("/api/ping").status for hub in pair.hubs] == [503, 503]
            postgres.start()
            go_on(senders, 300, "after it")
        join(senders)
        check(pair, senders)
        assert any(answer.status == 503 for sender in senders for answer in sender.answers)


def sequences(pair, server_id):
    """The agent's own count of its samples, as they are stored."""
    blobs = pair.ask("SELECT s.details FROM samples s JOIN servers v ON v.id = s.server WHERE v.uuid = '%s'"
                     % server_id)
    return sorted(details.unpack(blob)["agent"]["sequence"] for blob, in blobs)


def test_a_database_that_is_cut_off_for_half_a_minute_loses_nothing_and_makes_nobody_offline(postgres, tmp_path, url):
    name = url.rpartition("/")[2]
    with contextlib.ExitStack() as stack:
        line = stack.enter_context(postgres.relay())
        pair = stack.enter_context(Pair(postgres, tmp_path, url, SENDERS + 1, postgres.url(name, port=line.port),
                                        stale_threshold_minutes=1, registration_mode="open"))
        stack.enter_context(visited(pair))
        quiet = Sender(pair.url, pair.accounts[-1])
        assert quiet.send()
        heard_at = time.monotonic()
        senders = start(pair, pause=0.1)
        agent = stack.enter_context(AgentProcess(tmp_path / "agent", pair.url, minute_seconds=0.2, config={
            "auto_discover_services": False, "collection_interval_minutes": 5, "retry_delay_seconds": 1}))
        server_id = agent.server_id()
        until(lambda: len(sequences(pair, server_id)) > 3, "Some samples of the agent")
        while time.monotonic() < heard_at + 20:
            time.sleep(0.2)
        line.cut()
        time.sleep(CUT_SECONDS)
        before = max(sequences(pair, server_id))
        line.mend()
        go_on(senders, 300, "after the cut")
        until(lambda: max(sequences(pair, server_id)) > before + 35, "The samples of the outage")
        while time.monotonic() < heard_at + 75:  # over the limit for long enough to be missed
            time.sleep(0.2)
        assert pair.ask("SELECT rule, object FROM alerts WHERE rule IN ('offline', 'group_outage')") == []
        assert quiet.caller.post("/api/ping", headers=quiet.account.headers).status == 200
        join(senders)
        assert agent.stop() == 0, agent.log
        check(pair, senders)
        found = sequences(pair, server_id)
        assert found == list(range(found[0], found[-1] + 1))
