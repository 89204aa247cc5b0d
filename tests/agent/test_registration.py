"""How a machine becomes known to a hub, what happens when it no longer is, and what a hub may set."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smon_agent
from tests.agent.fake_hub import API_KEY, SERVER_ID, FakeHub, Reply, refusal, store_then_reset
from tests.support.processes import until


def test_it_registers_once_and_saves_its_key(start, fake_hub):
    agent = start(registration_token="smr_1", group_name="Web", display_name="Front", tags=["a", "b"])
    until(lambda: fake_hub.samples, "A sample")
    agent.kill9()
    count = len(fake_hub.samples)
    agent = start()
    until(lambda: len(fake_hub.samples) > count, "A sample after a restart")
    [registration] = [request.body for request in fake_hub.calls("/api/register")]
    assert registration == {
        "hostname": socket.gethostname(), "ip_address": "127.0.0.1", "os_info": smon_agent.os_info(),
        "agent_version": smon_agent.VERSION, "display_name": "Front", "group_name": "Web", "tags": ["a", "b"],
        "registration_token": "smr_1"}
    assert (agent.config["server_id"], agent.config["api_key"]) == (SERVER_ID, API_KEY)
    assert stat.S_IMODE(os.stat(agent.config_path).st_mode) == 0o600
    assert fake_hub.calls("/api/metrics")[0].headers["authorization"] == "Bearer %s:%s" % (SERVER_ID, API_KEY)
    assert "authorization" not in fake_hub.calls("/api/register")[0].headers


def test_samples_wait_on_disk_until_the_machine_is_registered(start, fake_hub):
    fake_hub.always("/api/register", refusal(503, Retry_After="1"))
    agent = start()
    until(lambda: len(list(agent.directory.glob("spool/*.gz"))) >= 3, "Waiting samples")
    fake_hub.normally()
    until(lambda: len(fake_hub.samples) >= 3, "The waiting samples")


@pytest.mark.parametrize("answer", [
    Reply(200, b"<html>"), Reply(201, {"message": "hello"}), Reply(201, {"server_id": 5, "api_key": "smk_1"}),
    Reply(201, {"server_id": "a/../b", "api_key": "smk_1"}), Reply(201, {"server_id": "a", "api_key": "two words"}),
    Reply(201, {"server_id": "a", "api_key": "line\r\nX-Evil: 1"}), Reply(201, {"api_key": "smk_1"}),
    Reply(201, {"server_id": "a", "api_key": ""}), Reply(201, {"server_id": "a", "api_key": None})])
def test_an_identity_that_can_not_be_one_is_not_taken(config, fake_hub, answer):
    loaded = config({"dashboard_url": fake_hub.url})
    hub = smon_agent.Hub(loaded, lambda *_: None)
    hub.follow(loaded.now)
    fake_hub.next("/api/register", answer)
    with pytest.raises(smon_agent.HubError):
        smon_agent.register(hub, loaded)
    assert loaded.now.api_key == "" and json.load(open(loaded.path)) == {"dashboard_url": fake_hub.url}


def test_it_does_not_register_when_the_key_could_not_be_kept(config, fake_hub, monkeypatch):
    loaded = config({"dashboard_url": fake_hub.url})
    hub = smon_agent.Hub(loaded, lambda *_: None)
    hub.follow(loaded.now)

    def full(path, data):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(smon_agent, "write_atomic", full)
    with pytest.raises(smon_agent.HubError, match="could not be kept: .*No space left"):
        smon_agent.register(hub, loaded)
    assert fake_hub.requests == []


@pytest.mark.parametrize("content", [None, "{}"])
def test_it_registers_without_any_config(tmp_path, fake_hub, monkeypatch, content):
    monkeypatch.setattr(smon_agent, "OPTIONS", tuple(
        option._replace(default=fake_hub.url) if option.key == "dashboard_url" else option
        for option in smon_agent.OPTIONS))
    path = tmp_path / "config.json"
    if content:
        path.write_text(content)
    assert smon_agent.main([str(path), "--register"]) == 0
    assert json.loads(path.read_text()) == {"server_id": SERVER_ID, "api_key": API_KEY}


def test_a_key_is_not_kept_for_an_address_that_was_changed_meanwhile(config, fake_hub):
    loaded = config({"dashboard_url": fake_hub.url})
    hub = smon_agent.Hub(loaded, lambda *_: None)
    hub.follow(loaded.now)

    def moved(handler, request):
        with open(loaded.path, "w") as file:
            json.dump({"dashboard_url": "http://other:3000"}, file)
        handler.send(fake_hub.natural(request))
    fake_hub.next("/api/register", moved)
    with pytest.raises(smon_agent.HubError, match="was changed meanwhile"):
        smon_agent.register(hub, loaded)
    assert loaded.now.api_key == "" and json.load(open(loaded.path)) == {"dashboard_url": "http://other:3000"}


def test_it_does_not_register_with_a_config_that_a_restart_would_refuse(config, fake_hub):
    loaded = config({"dashboard_url": fake_hub.url})
    hub = smon_agent.Hub(loaded, lambda *_: None)
    hub.follow(loaded.now)
    with open(loaded.path, "w") as file:
        json.dump({"dashboard_url": fake_hub.url, "top_processes_count": 9999}, file)
    with pytest.raises(smon_agent.HubError, match="could not be kept: top_processes_count"):
        smon_agent.register(hub, loaded)
    assert fake_hub.requests == []


def test_a_refused_registration_changes_no_file(config, fake_hub, tmp_path):
    loaded = config({"dashboard_url": fake_hub.url})
    with open(loaded.path, "w") as file:
        file.write('{"dashboard_url":   "%s"}' % fake_hub.url)
    os.chmod(loaded.path, 0o640)
    hub = smon_agent.Hub(loaded, lambda *_: None)
    hub.follow(loaded.now)
    fake_hub.next("/api/register", refusal(403, "Closed."))
    with pytest.raises(smon_agent.HubError, match="Closed"):
        smon_agent.register(hub, loaded)
    assert stat.S_IMODE(os.stat(loaded.path).st_mode) == 0o640 and os.listdir(str(tmp_path)) == ["config.json"]
    assert open(loaded.path).read() == '{"dashboard_url":   "%s"}' % fake_hub.url


def test_a_registration_whose_answer_was_lost_is_not_repeated_at_once(config, fake_hub):
    loaded = config({"dashboard_url": fake_hub.url})
    hub = smon_agent.Hub(loaded, lambda *_: None)
    hub.follow(loaded.now)
    fake_hub.next("/api/register", store_then_reset)
    hub.call(hub.bulk, "GET", "/api/ping")
    with pytest.raises(smon_agent.HubError, match="can not be reached"):
        smon_agent.register(hub, loaded)
    assert len(fake_hub.calls("/api/register")) == 1 and loaded.now.api_key == ""


@pytest.mark.parametrize("status", [401, 403])
def test_a_hub_that_no_longer_knows_it_keeps_its_key_and_loses_nothing(start, fake_hub, status):
    fake_hub.always("/api/metrics", refusal(status, "Unauthorized."))
    agent = start(server_id="s", api_key="smk_old", ping_enabled=False)
    until(lambda: len(fake_hub.calls("/api/metrics")) >= 3, "Three tries")
    refused = {sample["collected_at"] for sample in fake_hub.sent()}
    fake_hub.normally()
    until(lambda: refused <= set(fake_hub.samples), "The refused samples")
    assert agent.config["api_key"] == "smk_old" and not fake_hub.calls("/api/register")
    assert agent.log.count("Enrol again with --register") == 1


def test_enrolling_again_sends_what_waited_under_the_new_identity(start, fake_hub):
    fake_hub.always("/api/metrics", refusal(401))
    agent = start("--once", server_id="old", api_key="smk_old", retry_attempts=1)
    assert agent.process.wait(20) == 3
    fake_hub.normally()
    agent = start("--register")
    assert agent.process.wait(20) == 0 and "as " + SERVER_ID in agent.log
    agent = start("--once")
    assert agent.process.wait(20) == 0
    assert len(fake_hub.samples) == 2
    assert fake_hub.calls("/api/metrics/batch")[0].headers["authorization"].startswith("Bearer " + SERVER_ID)


# settings from the hub

def test_settings_of_the_hub_take_effect_and_are_confirmed(start, fake_hub):
    agent = start()
    until(lambda: fake_hub.samples, "A sample")
    fake_hub.settings = {"top_processes_count": 2, "log_level": "DEBUG", "dashboard_url": "http://evil.example",
                         "retry_attempts": 0, "exec": "reboot"}
    until(lambda: fake_hub.confirmed, "A confirmation")
    until(lambda: len(list(fake_hub.samples.values())[-1]["processes"]) == 2, "A sample with two processes")
    [confirmed] = fake_hub.confirmed
    assert confirmed["revision"] == 7
    assert confirmed["rejected"] == {"dashboard_url": "dashboard_url can not be set from the hub.",
                                     "retry_attempts": "retry_attempts must be a number from 1 to 100.",
                                     "exec": "exec can not be set from the hub."}
    assert confirmed["current"]["top_processes_count"] == 2 and "api_key" not in confirmed["current"]
    assert agent.config["top_processes_count"] == 2 and agent.config["dashboard_url"] == fake_hub.url
    assert "exec" not in agent.config


def test_settings_that_can_not_be_saved_are_said_back(config, fake_hub, monkeypatch):
    loaded = config({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_1"})
    hub = smon_agent.Hub(loaded, lambda *_: None)
    hub.follow(loaded.now)
    fake_hub.settings = {"top_processes_count": 2}

    def full(path, data):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(smon_agent, "write_atomic", full)
    smon_agent.exchange_settings(hub, loaded)
    assert fake_hub.confirmed[0]["rejected"] == {"top_processes_count": "It can not be saved: No space left on device"}
    assert loaded.now.top_processes_count == 15


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(smon_agent.BY_KEY)) | st.text(max_size=5), JSON, max_size=6))
def test_whatever_a_hub_offers_only_its_own_options_within_bounds_are_taken(offered):
    taken, rejected = smon_agent.sort_out(offered)
    assert all(smon_agent.BY_KEY[key].remote for key in taken)
    assert len(taken) + len(rejected) <= len(offered) and all(rejected.values())
    smon_agent.in_force(taken)


@pytest.mark.parametrize("has_update", [True, False])
def test_a_hub_that_always_has_settings_is_asked_once_a_contact(config, fake_hub, tmp_path, has_update):
    loaded = config({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_1"})
    sender = smon_agent.Sender(loaded, smon_agent.Spool(str(tmp_path)), threading.Event())
    sender.hub.follow(loaded.now)
    fake_hub.settings = {"top_processes_count": 2}
    fake_hub.always("/api/config/s", Reply(200, {"status": "ok", "has_update": has_update, "config_pending": True,
                                                 "config": fake_hub.settings if has_update else None}))
    sender.hub.call(sender.hub.quick, "POST", "/api/ping", b"{}")
    assert sender.pause() == 0 and sender.attempt() is True
    assert sender.pause() is None


def test_settings_that_could_not_be_fetched_are_fetched_later(config, fake_hub, tmp_path):
    loaded = config({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_1"})
    sender = smon_agent.Sender(loaded, smon_agent.Spool(str(tmp_path)), threading.Event())
    sender.hub.follow(loaded.now)
    fake_hub.settings = {"top_processes_count": 2}
    fake_hub.next("/api/config/s", refusal(500))
    sender.hub.call(sender.hub.quick, "POST", "/api/ping", b"{}")
    assert sender.attempt() is False and sender.pause() > 0
    assert sender.attempt() is True and loaded.now.top_processes_count == 2


def test_a_hub_without_settings_is_not_asked_twice(start):
    with FakeHub() as hub:
        hub.settings = {"top_processes_count": 2}
        hub.always("/api/config/" + SERVER_ID, refusal(404))
        agent = start(hub=hub)
        until(lambda: len(hub.samples) >= 3, "Samples although the settings can not be had")
        assert agent.stop() == 0
