"""Every way an answer can be wrong, and what the agent does about it."""

from __future__ import annotations

import gzip
import json
import os
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smon_agent
from tests.agent import fake_hub as hubs
from tests.agent.fake_hub import FakeHub, Reply, refusal
from tests.support.processes import until

OK = b'{"status": "ok"}'


@pytest.mark.parametrize("status, kind, wait", [
    (400, "refused", None), (413, "refused", None), (415, "refused", None), (422, "refused", None),
    (401, "stranger", 300), (403, "stranger", 300), (404, "missing", None), (405, "missing", None),
    (429, "busy", 7), (503, "away", 7), (500, "away", None), (502, "away", None), (301, "away", None),
    (308, "away", None), (100, "away", None), (418, "away", None)])
def test_each_status_has_its_consequence(status, kind, wait):
    with pytest.raises(smon_agent.HubError) as refused:
        smon_agent.judged(status, "7", b'{"error": "cpu_percent must be a number."}', "status")
    assert (refused.value.kind, refused.value.wait) == (kind, wait)
    assert str(refused.value) == "The hub answered %d: cpu_percent must be a number." % status


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"status":"o', b"[]", b"null", b'{"status": "error"}', b'{"a": 1}',
                                  b"[" * 50000])
def test_a_200_that_is_not_the_hubs_is_a_failure(body):
    with pytest.raises(smon_agent.HubError) as refused:
        smon_agent.judged(200, None, body, "status")
    assert refused.value.kind == "away"


ANSWERS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["status", "error", "results"]), inner),
    max_leaves=5).map(lambda value: json.dumps(value).encode())


@settings(max_examples=150, deadline=None)
@given(st.integers(100, 599), st.none() | st.text(max_size=20), st.binary(max_size=80) | ANSWERS)
def test_any_answer_is_judged_and_never_crashes(status, retry_after, data):
    try:
        assert smon_agent.judged(status, retry_after, data, "status")["status"] == "ok" and 200 <= status < 300
    except smon_agent.HubError as error:
        assert error.wait is None or 0 <= error.wait <= 3600


@pytest.mark.parametrize("text, seconds", [("4", 4), (" 4 ", 4), ("999999", 3600), ("9" * 30, 3600), ("-1", None),
                                           ("soon", None), ("", None), (None, None), ("\u0664", None)])
def test_a_wait_is_whole_seconds_and_an_hour_at_most(text, seconds):
    assert smon_agent.asked_wait(text) == seconds


@pytest.mark.parametrize("trouble", [hubs.reset, hubs.garbage, hubs.cut, hubs.endless, hubs.silence,
                                     Reply(200, b"<html>welcome</html>"), refusal(500)],
                         ids=["reset", "garbage", "cut", "endless", "silence", "html", "500"])
def test_a_sample_with_a_bad_answer_is_sent_again_and_stored_once(start, fake_hub, trouble):
    fake_hub.next("/api/metrics", trouble, trouble)
    agent = start(request_timeout_seconds=1, ping_enabled=False)
    until(lambda: len(fake_hub.samples) >= 3, "Samples after the trouble")
    assert agent.stop() == 0
    first = fake_hub.sent()[0]
    assert fake_hub.sent().count(first) == 3
    assert list(fake_hub.samples.values())[0] == first
    assert fake_hub.stored_twice == [], agent.log
    assert "Traceback" not in agent.log


def test_a_sample_whose_answer_was_lost_is_sent_the_same_again(start, fake_hub):
    fake_hub.next("/api/metrics", hubs.store_then_reset)
    start(ping_enabled=False)
    until(lambda: len(fake_hub.samples) >= 2, "Later samples")
    sent = fake_hub.sent()
    assert sent[0] == sent[1] and fake_hub.stored_twice == [sent[0]["collected_at"]]


@pytest.mark.parametrize("dribble", [hubs.dribble, hubs.dribble_body])
def test_an_answer_that_dribbles_is_cut_off(start, fake_hub, dribble):
    fake_hub.next("/api/metrics", dribble)
    start(request_timeout_seconds=1, ping_enabled=False)
    until(lambda: fake_hub.samples, "A sample although the first answer never ended")


def test_a_redirect_is_not_followed(start, fake_hub):
    with FakeHub() as other:
        fake_hub.next("/api/metrics", *[Reply(code, {}, {"Location": other.url + "/api/metrics"})
                                        for code in (301, 302, 307, 308)])
        start(ping_enabled=False)
        until(lambda: fake_hub.samples, "A sample after the redirects")
        assert other.requests == []
    assert list(fake_hub.samples.values())[0] == fake_hub.sent()[0]


def spooled(agent) -> list:
    return list(agent.directory.glob("spool/*.gz"))


def test_a_busy_hub_is_left_alone_as_long_as_it_asks(start, fake_hub):
    fake_hub.always("/api/metrics", refusal(429, "Slow down.", Retry_After="2"))
    agent = start()
    until(lambda: fake_hub.calls("/api/metrics"), "A first try")
    count = len(fake_hub.requests)
    until(lambda: len(spooled(agent)) >= 3, "Samples that wait")
    assert len(fake_hub.requests) == count
    fake_hub.normally()
    until(lambda: len(fake_hub.samples) >= 3, "The waiting samples")


def test_waiting_samples_come_in_one_batch_oldest_first(start, fake_hub):
    fake_hub.always("/api/metrics", refusal(503, Retry_After="1"))
    agent = start(ping_enabled=False)
    until(lambda: len(spooled(agent)) >= 3, "Samples that wait")
    fake_hub.normally()
    until(lambda: fake_hub.calls("/api/metrics/batch"), "A batch")
    until(lambda: not spooled(agent), "An empty spool")
    assert list(fake_hub.samples) == sorted(fake_hub.samples)


def test_with_more_than_a_batch_waiting_the_newest_goes_first(start, fake_hub, monkeypatch, config, tmp_path):
    spool = smon_agent.Spool(str(tmp_path))
    spool.bound(1000, 1 << 30)
    for number in range(250):
        moment = "2026-11-22T10:%02d:%02d.000Z" % divmod(number, 60)
        spool.add(spool.next_sequence(), moment, {"collected_at": moment})
    sender = sender_for(config, fake_hub, spool)
    assert sender.attempt() is True
    taken = [sample["collected_at"] for sample in fake_hub.sent()]
    assert taken == [taken[0]] + sorted(taken[1:]) and taken[0] == max(taken)
    assert [len(call.body["payloads"]) for call in fake_hub.calls("/api/metrics/batch")] == [100, 100, 49]
    assert len(fake_hub.samples) == 250


def sender_for(config, hub, spool) -> smon_agent.Sender:
    loaded = config({"dashboard_url": hub.url, "server_id": "s", "api_key": "smk_k", "retry_delay_seconds": 0.1})
    sender = smon_agent.Sender(loaded, spool, smon_agent.threading.Event())
    sender.hub.follow(loaded.now)
    return sender


@pytest.fixture
def ten(tmp_path):
    """A spool in which ten samples wait."""
    spool = smon_agent.Spool(str(tmp_path))
    spool.bound(1000, 1 << 30)
    for number in range(10):
        moment = "2026-11-22T10:00:%02d.000Z" % number
        spool.add(spool.next_sequence(), moment, {"collected_at": moment, "pad": "x" * 2000})
    return spool


def poisonous(handler, request):
    """A hub that refuses whole whatever holds the fourth sample."""
    poisoned = b"10:00:03" in request.raw
    handler.send(refusal(400, "cpu_percent must be a number.") if poisoned else handler.server.hub.natural(request))


def test_one_refused_sample_costs_no_other(config, fake_hub, ten, tmp_path):
    fake_hub.always("/api/metrics", poisonous)
    fake_hub.always("/api/metrics/batch", poisonous)
    assert sender_for(config, fake_hub, ten).attempt() is True
    assert len(fake_hub.samples) == 9 and len(ten) == 0
    assert ["20261122T100003000" in path.name for path in (tmp_path / "rejected").iterdir()] == [True]


def test_a_sample_refused_within_a_batch_is_set_aside(config, fake_hub, ten, tmp_path):
    results = [{"status": "ok", "stored": True}] * 9 + [{"status": "error", "error": "Too old."}]
    fake_hub.next("/api/metrics/batch", Reply(200, {"status": "ok", "results": results}))
    assert sender_for(config, fake_hub, ten).attempt() is True
    assert len(list((tmp_path / "rejected").iterdir())) == 1 and len(list((tmp_path / "sent").iterdir())) == 9


@pytest.mark.parametrize("results", [None, {}, [], [{"status": "ok"}] * 9, ["ok"] * 10])
def test_an_answer_that_does_not_fit_its_batch_settles_nothing(config, fake_hub, ten, results):
    fake_hub.next("/api/metrics/batch", Reply(200, {"status": "ok", "results": results}))
    assert sender_for(config, fake_hub, ten).attempt() is False
    assert len(ten) == 10


def test_an_older_hub_gets_its_samples_one_by_one_and_unpacked(config, ten):
    with FakeHub(of_the_seed=True) as old:
        sender = sender_for(config, old, ten)
        assert sender.attempt() is True
        assert len(old.samples) == 10 and len(old.calls("/api/metrics/batch")) == 1
        assert not any("content-encoding" in request.headers for request in old.requests)
        assert len({request.connection for request in old.requests}) == 1


def test_a_hub_that_told_its_time_gets_gzip(config, fake_hub, ten):
    sender = sender_for(config, fake_hub, ten)
    sender.hub.call(sender.hub.quick, "POST", "/api/ping", b"{}")
    sender.attempt()
    assert fake_hub.calls("/api/metrics/batch")[0].headers["content-encoding"] == "gzip"
    assert gzip.decompress(smon_agent.packed(b"x")) == b"x" and len(fake_hub.samples) == 10


def test_a_sample_is_packed_once_for_the_disk_and_for_the_hub():
    sample = b'{"collected_at": "2026-11-22T10:00:00.000Z"}'
    assert smon_agent.packed(bytes(bytearray(sample))) is smon_agent.packed(sample)
    assert gzip.decompress(smon_agent.packed(sample + b" ")) == sample + b" "


def test_a_connection_that_the_hub_closed_is_opened_again(config, fake_hub, ten):
    sender = sender_for(config, fake_hub, ten)
    hub = sender.hub
    fake_hub.next("/api/ping", Reply(200, {"status": "ok"}), hubs.reset)
    hub.call(hub.quick, "POST", "/api/ping", b"{}")
    hub.call(hub.quick, "POST", "/api/ping", b"{}")
    assert [request.connection for request in fake_hub.calls("/api/ping")] == [1, 1, 2]


def test_an_answer_that_another_overtook_does_not_tell_what_the_hub_lacks(config, fake_hub, ten):
    """A beat that the hub answered before it took the last sample, and that arrived after its acknowledgement."""
    sender = sender_for(config, fake_hub, ten)

    def send_all_meanwhile(handler, request):
        stale = fake_hub.natural(request)
        sender.attempt()
        handler.send(stale)
    fake_hub.next("/api/ping", send_all_meanwhile)
    sender.hub.call(sender.hub.quick, "POST", "/api/ping", b"{}")
    assert (len(fake_hub.samples), len(ten)) == (10, 0)
    fake_hub.forget("2026-11-22T10:00:06.000Z")
    sender.hub.call(sender.hub.quick, "POST", "/api/ping", b"{}")
    assert len(ten) == 3


def test_the_wait_between_tries_grows_and_is_bounded(config, fake_hub, ten):
    fake_hub.always("/api/metrics/batch", refusal(500))
    fake_hub.always("/api/metrics", refusal(500))
    sender = sender_for(config, fake_hub, ten)
    waits = []
    for _ in range(20):
        assert sender.attempt() is False
        waits.append(sender.pause())
    assert max(waits[:2]) <= 0.13 and 0.7 < waits[4] < 1.01 and max(waits) <= 300 * 1.25 and min(waits[-3:]) > 299


def test_certificates_are_read_once_and_again_when_they_are_renewed(config, monkeypatch, tmp_path):
    read = []
    context = ssl.create_default_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: read.append(cafile) or context)
    two = ["https://one.example", "https://two.example"]
    loaded = config({"dashboard_url": two})
    hub = smon_agent.Hub(loaded, lambda *_: None)
    smon_agent.tls_context.cache_clear()
    hub.follow(loaded.now)
    assert [door.connection(1).host for door in hub.doors + hub.doors] == ["one.example", "two.example"] * 2
    assert read == [None]
    other = tmp_path / "other.pem"
    other.write_text("")
    hub.follow(smon_agent.in_force({"dashboard_url": two, "ca_file": "other.pem"}))
    hub.doors[0].connection(1), hub.doors[1].connection(1)
    assert read == [None, str(other)]
    os.utime(str(other), (1, 1))
    hub.doors[0].connection(1), hub.doors[1].connection(1)
    assert read == [None, str(other), str(other)]


def test_a_proxy_of_the_environment_that_is_none_is_said_and_costs_no_sample(config, ten, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://[")
    monkeypatch.setenv("no_proxy", "")
    loaded = config({"dashboard_url": "http://hub.example", "server_id": "s", "api_key": "smk_k",
                     "proxy": "environment"})
    sender = smon_agent.Sender(loaded, ten, smon_agent.threading.Event())
    sender.hub.follow(loaded.now)
    with pytest.raises(smon_agent.HubError, match="http://hub.example can not be reached: .*URL"):
        sender.hub.call(sender.hub.bulk, "GET", "/api/ping")
    assert sender.attempt() is False and len(ten) == 10


def test_a_proxy_is_used_only_when_the_config_says_so(config, fake_hub, ten, monkeypatch):
    monkeypatch.setenv("http_proxy", fake_hub.url)
    monkeypatch.setenv("no_proxy", "")
    proxied = {"dashboard_url": "http://hub.example:3000/smon", "server_id": "s", "api_key": "smk_k"}
    url = urlsplit(proxied["dashboard_url"])
    assert smon_agent.proxy_address("", url) is None
    assert smon_agent.proxy_address("environment", url).geturl() == fake_hub.url
    loaded = config(dict(proxied, proxy=fake_hub.url.replace("http://", "http://user:p%40ss@")))
    sender = smon_agent.Sender(loaded, ten, smon_agent.threading.Event())
    sender.hub.follow(loaded.now)
    sender.attempt()
    assert fake_hub.requests[0].target == "http://hub.example:3000/smon/api/metrics/batch"
    assert fake_hub.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    assert fake_hub.requests[0].headers["host"] == "hub.example:3000"


def test_plain_http_to_another_machine_is_warned_about(config, caplog):
    loaded = config({"dashboard_url": "http://hub.example:3000"})
    said = []
    handler = _Listener(said)
    smon_agent.log.addHandler(handler)
    try:
        smon_agent.Hub(loaded, lambda *_: None).follow(loaded.now)
        smon_agent.Hub(loaded, lambda *_: None).follow(smon_agent.in_force({}))
    finally:
        smon_agent.log.removeHandler(handler)
    assert said == ["http://hub.example:3000 is plain http: the key and the figures can be read on the way."]


class _Listener(smon_agent.logging.Handler):
    def __init__(self, said: list) -> None:
        super().__init__()
        self.said = said

    def emit(self, record) -> None:
        self.said.append(record.getMessage())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_plain_http_costs_no_tls_library(start, fake_hub):
    agent = start()
    until(lambda: fake_hub.samples, "A sample")
    assert "_ssl" not in Path("/proc/%d/maps" % agent.pid).read_text()


def test_the_key_never_reaches_the_log(start, fake_hub):
    key = "smk_" + "9f" * 20
    fake_hub.next("/api/metrics", refusal(401, "No such key: " + key), refusal(500), hubs.reset, Reply(200, b"<html>"))
    agent = start(server_id="s", api_key=key, log_level="DEBUG")
    until(lambda: len(fake_hub.samples) >= 2, "Samples")
    assert agent.stop() == 0
    assert key not in agent.log + (agent.directory / "agent.log").read_text()
