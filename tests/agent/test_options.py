"""What config.json may hold, what happens when it can not be used, and what is saved where."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smon_agent
from tests.agent.fake_hub import FakeHub, refusal
from tests.support import ROOT
from tests.support.processes import until

SEED_DEFAULTS = {
    "dashboard_url": "http://localhost:3000", "server_id": "", "api_key": "", "collection_interval_minutes": 10,
    "top_processes_count": 15, "monitored_services": [], "auto_discover_services": True, "live_enabled": False,
    "live_interval_seconds": 10, "live_retention_minutes": 30, "log_file": "agent.log", "retry_attempts": 3,
    "retry_delay_seconds": 10, "verify_ssl": True, "offline_buffer_max": 100,
}
NEVER_REMOTE = {"dashboard_url", "server_id", "api_key", "export_key", "registration_token", "verify_ssl", "ca_file",
                "client_cert", "client_key", "proxy", "state_dir", "log_file", "include_mounts"}


def test_the_seeds_options_keep_their_defaults(options):
    assert {key: getattr(options, key) for key in SEED_DEFAULTS} == SEED_DEFAULTS


def test_no_address_key_path_or_certificate_can_be_set_from_the_hub():
    assert not NEVER_REMOTE & {option.key for option in smon_agent.OPTIONS if option.remote}


def test_the_documented_options_are_those_of_the_table():
    text = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in re.findall(r"^\| (`\w+` \| .*) \|$", text, re.M)]
    documented = {key.strip("`"): (default.strip("`"), sentence, hub == "yes") for key, default, sentence, hub in rows}
    assert documented == {option.key: (json.dumps(option.default), option.sentence, option.remote)
                          for option in smon_agent.OPTIONS}


@pytest.mark.parametrize("key, value, sentence", [
    ("collection_interval_minutes", 4, "collection_interval_minutes must be a number from 5 to 60."),
    ("collection_interval_minutes", 7.5, "collection_interval_minutes must be a whole number from 5 to 60."),
    ("collection_interval_minutes", True, "collection_interval_minutes must be a number from 5 to 60."),
    ("collection_interval_minutes", "often", "collection_interval_minutes must be a number from 5 to 60."),
    ("retry_delay_seconds", 0, "retry_delay_seconds must be a number from 0.1 to 3600."),
    ("retry_delay_seconds", float("nan"), "retry_delay_seconds must be a number from 0.1 to 3600."),
    ("offline_buffer_max", 100001, "offline_buffer_max must be a number from 1 to 100000."),
    ("live_enabled", 1, "live_enabled must be true or false."),
    ("dashboard_url", "ftp://hub", "dashboard_url must be an http:// or https:// address."),
    ("dashboard_url", "http://hub:99999", "dashboard_url must have a port from 1 to 65535, or none."),
    ("dashboard_url", 5, "dashboard_url must be text of at most 4096 characters."),
    ("dashboard_url", [], "dashboard_url must be a list of 1 to 8 entries."),
    ("dashboard_url", ["http://hub"] * 9, "dashboard_url must be a list of 1 to 8 entries."),
    ("dashboard_url", ["http://hub", "ftp://hub"], "dashboard_url must be an http:// or https:// address."),
    ("dashboard_url", ["http://hub", None], "dashboard_url must be text of at most 4096 characters."),
    ("dashboard_url", ["http://hub", "http://hub:99999"], "dashboard_url must have a port from 1 to 65535, or none."),
    ("dashboard_url", "http://one,http://two", "dashboard_url must be an http:// or https:// address."),
    ("proxy", "http://[", "proxy must have a port from 1 to 65535, or none."),
    ("proxy", "http://proxy:99999", "proxy must have a port from 1 to 65535, or none."),
    ("monitored_services", "nginx", "monitored_services must be a list of at most 500 entries."),
    ("monitored_services", ["nginx", "-Hroot@host"], "monitored_services must be names of services."),
    ("monitored_services", ["$(reboot)"], "monitored_services must be names of services."),
    ("skip_mounts", ["/a/*/b", "*?*?*?*"], "skip_mounts must be mount points with at most three * each."),
    ("log_level", "LOUD", "log_level must be DEBUG, INFO, WARNING or ERROR."),
    ("display_name", "x" * 256, "display_name must be text of at most 255 characters."),
    ("display_name", "a\nb", "display_name must be text without control characters."),
    ("group_name", "\ud800", "group_name must be text of at most 255 characters."),
])
def test_a_wrong_value_is_refused_by_name_and_limit(key, value, sentence):
    with pytest.raises(smon_agent.ConfigError) as refused:
        smon_agent.in_force({key: value})
    assert str(refused.value) == sentence


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
KEYS = st.sampled_from(sorted(smon_agent.BY_KEY)) | st.text(max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_any_config_is_either_taken_whole_or_refused_with_a_sentence(content):
    try:
        values = smon_agent.in_force(content)
    except smon_agent.ConfigError as error:
        assert str(error).endswith(".") and str(error).split()[0] in smon_agent.BY_KEY
        return
    for option in smon_agent.OPTIONS:
        value = getattr(values, option.key)
        assert isinstance(value, option.type) or isinstance(value, (int, float))
        size = len(value) if isinstance(value, list) else value
        assert option.low is None or isinstance(value, str) or option.low <= size <= option.high


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_file_is_an_object_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    try:
        assert isinstance(smon_agent.read_object(str(path)), dict)
    except smon_agent.ConfigError as error:
        assert str(path) in str(error)


def test_a_broken_file_changes_nothing_and_is_said_once(start, fake_hub):
    agent = start(minute_seconds=0.04, top_processes_count=3)
    until(lambda: fake_hub.samples, "A first sample")
    good = agent.config_path.read_text()
    for broken in (good[:40], "", "[]", '{"collection_interval_minutes": "often"}', "\0" * 20):
        agent.config_path.write_text(broken)
        count = len(fake_hub.samples)
        until(lambda: len(fake_hub.samples) >= count + 3, "Three samples with a broken config")
        assert agent.config_path.read_text() == broken
    assert agent.log.count("must hold one JSON object") == 1
    agent.config_path.write_text(good.replace('"top_processes_count": 3', '"top_processes_count": 1'))
    until(lambda: len(newest(fake_hub)["processes"]) == 1, "The repaired config")
    assert len(fake_hub.calls("/api/register")) == 1


def test_every_option_takes_effect_without_a_restart(start, fake_hub):
    agent = start(collect_network=False)
    until(lambda: fake_hub.samples, "A first sample")
    assert "network" not in list(fake_hub.samples.values())[0]["metrics"]
    with FakeHub() as other:
        changed = dict(agent.config, dashboard_url=other.url, log_level="DEBUG", log_file="other.log",
                       collect_network=True)
        agent.config_path.write_text(json.dumps(changed))
        until(lambda: any("network" in sample["metrics"] for sample in list(other.samples.values())),
              "A sample at the new hub, which is sent the earlier ones as well")
        known = "Bearer %s:" % changed["server_id"]
        assert all(request.headers["authorization"].startswith(known) for request in other.requests)
        until(lambda: (agent.directory / "other.log").exists(), "The other log file")


def test_a_config_that_did_not_change_is_not_looked_through_again(config, monkeypatch, tmp_path):
    loaded = config({"state_dir": "state"})
    looked = []
    real = smon_agent.in_force
    monkeypatch.setattr(smon_agent, "in_force", lambda given: looked.append(given) or real(given))
    loaded.learn({"live_enabled": True})  # this is in another file, because there is a state_dir
    loaded.reload()
    before = len(looked)
    loaded.reload()
    assert (len(looked), loaded.now.live_enabled) == (before, True)
    (tmp_path / "state" / "identity.json").write_text('{"live_enabled": [false, null]}')
    loaded.reload()
    assert loaded.now.live_enabled is False


def test_a_file_that_breaks_again_is_said_again(config, monkeypatch):
    loaded, said = config({}), []
    monkeypatch.setattr(smon_agent.log, "error", lambda text, *words: said.append(text % words))
    for content in (b"{}", b"{", b"{", b"{}", b"{"):
        smon_agent.write_atomic(loaded.path, content)
        loaded.reload()
    assert len(said) == 2


def test_an_option_of_sender_spool_and_log_takes_effect_at_the_next_cycle(config, fake_hub, tmp_path):
    given = {"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_k"}
    logs = smon_agent.LogFile()
    agent = smon_agent.Agent(config(given), smon_agent.Lock(str(tmp_path)), logs)
    hub = agent.sender.hub
    for number in range(3):
        agent.spool.add(agent.spool.next_sequence(), "2026-11-22T10:00:0%dZ" % number, {})
    rewritten(agent.config, dict(given, offline_buffer_max=2, request_timeout_seconds=7, proxy="http://proxy:3128",
                                 log_max_bytes=20480, log_backup_count=1, retry_delay_seconds=100, retry_attempts=9))
    agent.apply()
    agent.spool.add(agent.spool.next_sequence(), "2026-11-22T10:00:09Z", {})
    given = []
    with pytest.raises(smon_agent.HubError):
        hub.reach(lambda door, seconds: given.append((seconds, door.connection(seconds))) or int("no answer"))
    [(seconds, connection)] = given
    assert (len(agent.spool), connection.host, connection.port) == (2, "proxy", 3128)
    assert 6 < seconds == connection.timeout <= 7
    assert (logs.max_bytes, logs.backups) == (20480, 1)
    agent.sender._postpone(smon_agent.HubError("away"))
    assert 99 < agent.sender.pause() <= 125


def agent_of(config, tmp_path, **given) -> smon_agent.Agent:
    """An agent in this process whose threads do not run."""
    loaded = config(dict({"server_id": "s", "api_key": "smk_k"}, **given))
    return smon_agent.Agent(loaded, smon_agent.Lock(str(tmp_path)), smon_agent.LogFile())


def test_more_tries_without_a_longer_wait_count_at_once(config, tmp_path):
    agent = agent_of(config, tmp_path, retry_attempts=1, retry_delay_seconds=10)
    agent.spool.add(agent.spool.next_sequence(), "2026-11-22T10:00:00.000Z", {})

    def third_wait() -> float:
        for _ in range(3):
            agent.sender._postpone(smon_agent.HubError("away"))
        return agent.sender.pause()
    assert 79 < third_wait() <= 100
    rewritten(agent.config, dict(json.load(open(agent.config.path)), retry_attempts=9))
    agent.apply()
    assert agent.sender.pause() == 0
    assert 9 < third_wait() <= 12.5


def test_a_smaller_spool_counts_at_once(config, tmp_path):
    agent = agent_of(config, tmp_path, spool_max_mb=50)

    def add() -> None:
        pad = os.urandom(400000).hex()  # 0.4 MB packed
        agent.spool.add(agent.spool.next_sequence(), "2026-11-22T10:00:00.000Z", {"pad": pad})
    for _ in range(4):
        add()
    assert (len(agent.spool), agent.spool.dropped) == (4, 0)
    rewritten(agent.config, dict(json.load(open(agent.config.path)), spool_max_mb=1))
    agent.apply()
    add()
    assert (len(agent.spool), agent.spool.dropped) == (2, 3)


def test_the_heartbeat_can_be_switched_on_and_off_while_it_runs(start, fake_hub):
    agent = start(ping_enabled=False, minute_seconds=0.2)
    until(lambda: len(fake_hub.samples) >= 2, "Samples without heartbeats")
    assert not fake_hub.calls("/api/ping")
    agent.config_path.write_text(json.dumps(dict(agent.config, ping_enabled=True)))
    until(lambda: fake_hub.calls("/api/ping"), "A heartbeat")
    until(lambda: newest(fake_hub)["agent"]["beat_seconds"] == 0.5, "A sample that promises one")
    agent.config_path.write_text(json.dumps(dict(agent.config, ping_enabled=False)))
    until(lambda: newest(fake_hub)["agent"]["beat_seconds"] == 1.0, "A sample that promises none")
    for path in ("/api/metrics", "/api/metrics/batch"):  # a sample that is taken would do for a heartbeat
        fake_hub.always(path, refusal(500))
    pings, waiting = len(fake_hub.calls("/api/ping")), agent.directory / "spool"
    until(lambda: len(list(waiting.glob("*.gz"))) >= 3, "Samples that wait")
    assert len(fake_hub.calls("/api/ping")) == pings


def test_another_interval_and_name_for_it_count_at_the_next_cycle(start, fake_hub):
    agent = start(minute_seconds=0.1)
    until(lambda: fake_hub.samples, "A sample")
    agent.config_path.write_text(json.dumps(dict(agent.config, collection_interval_minutes=8)))
    until(lambda: newest(fake_hub)["agent"]["interval_minutes"] == 8, "A sample that says so")
    moments = [smon_agent.from_iso(moment) for moment in list(fake_hub.samples)]
    until(lambda: len(fake_hub.samples) >= len(moments) + 3, "Samples at the new pace")
    later = [smon_agent.from_iso(moment) for moment in list(fake_hub.samples)][len(moments):]
    assert all((after - before).total_seconds() > 0.65 for before, after in zip(later, later[1:]))


def newest(hub) -> dict:
    return list(hub.samples.values())[-1]


def test_live_mode_can_be_switched_on_and_off_while_it_runs(start, fake_hub):
    agent = start(live_interval_seconds=5)
    until(lambda: fake_hub.samples, "A first sample")
    assert not fake_hub.live
    agent.config_path.write_text(json.dumps(dict(agent.config, live_enabled=True)))
    until(lambda: fake_hub.live, "A live sample")
    agent.config_path.write_text(json.dumps(dict(agent.config, live_enabled=False)))
    until(lambda: newest(fake_hub)["agent"]["live"] is False, "A sample that says so")


def test_saved_files_are_private_and_whole(config, monkeypatch):
    loaded = config({"display_name": "web", "own_note": 1})
    loaded.learn({"api_key": "smk_1"})
    assert stat.S_IMODE(os.stat(loaded.path).st_mode) == 0o600
    assert json.load(open(loaded.path)) == {"display_name": "web", "own_note": 1, "api_key": "smk_1"}
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError):
        loaded.learn({"api_key": "smk_2"})
    assert json.load(open(loaded.path))["api_key"] == "smk_1"
    assert os.listdir(os.path.dirname(loaded.path)) == ["config.json"]


def test_on_windows_an_access_list_stands_for_the_mode(monkeypatch):
    ran = []
    monkeypatch.setattr(smon_agent, "run_child", ran.append)
    monkeypatch.setenv("USERNAME", "svc")
    smon_agent.restrict_to_owner("config.json")
    assert ran == []
    monkeypatch.setattr(smon_agent, "os", types.SimpleNamespace(name="nt", path=os.path, environ=os.environ))
    smon_agent.restrict_to_owner("config.json")
    [command] = ran
    assert command[0].endswith("icacls.exe") and command[1:4] == ["config.json", "/inheritance:r", "/grant:r"]
    assert command[4:] == ["svc:F", "*S-1-5-18:F", "*S-1-5-32-544:F"]


def test_nothing_wrong_is_ever_saved(config):
    loaded = config({})
    with pytest.raises(smon_agent.ConfigError):
        loaded.learn({"dashboard_url": "no address"})
    assert json.load(open(loaded.path)) == {}


def test_with_a_state_dir_the_config_stays_untouched(config, tmp_path):
    (tmp_path / "state").mkdir()
    given = {"state_dir": "state", "collection_interval_minutes": 10}
    loaded = config(given)
    loaded.learn({"api_key": "smk_1", "server_id": "one", "collection_interval_minutes": 20})
    assert json.load(open(loaded.path)) == given
    assert stat.S_IMODE(os.stat(tmp_path / "state" / "identity.json").st_mode) == 0o600
    again = smon_agent.Config(loaded.path)
    assert (again.now.api_key, again.now.collection_interval_minutes) == ("smk_1", 20)


def test_what_was_learned_holds_until_the_operator_changes_that_key(config, tmp_path):
    (tmp_path / "state").mkdir()
    config({"state_dir": "state"}).learn({"api_key": "smk_1", "server_id": "one", "top_processes_count": 20})
    changed = config({"state_dir": "state", "top_processes_count": 5, "server_id": "two"})
    assert (changed.now.top_processes_count, changed.now.server_id, changed.now.api_key) == (5, "two", "smk_1")


def test_a_key_that_can_not_be_saved_is_kept_and_saved_later(config, monkeypatch):
    loaded = config({})
    with open(loaded.path, "w") as file:
        file.write("half a conf")
    loaded.learn_identity({"api_key": "smk_1", "server_id": "one"})
    assert loaded.now.api_key == "smk_1"
    loaded.reload()
    assert (loaded.now.api_key, open(loaded.path).read()) == ("smk_1", "half a conf")
    with open(loaded.path, "w") as file:
        file.write('{"display_name": "web"}')
    loaded.reload()
    assert json.load(open(loaded.path)) == {"display_name": "web", "api_key": "smk_1", "server_id": "one"}


KNOWN = {"dashboard_url": "http://hub:3000", "server_id": "one", "api_key": "smk_1"}


def rewritten(loaded, content):
    """The config after its file was written anew and an agent that runs has read it."""
    with open(loaded.path, "w") as file:
        json.dump(content, file)
    loaded.reload()
    return json.load(open(loaded.path))


def test_a_file_written_anew_without_the_key_gets_it_back(config):
    loaded = config(KNOWN)
    saved = rewritten(loaded, {"dashboard_url": "http://hub:3000", "top_processes_count": 5})
    assert (saved["api_key"], saved["server_id"], saved["top_processes_count"]) == ("smk_1", "one", 5)
    assert (loaded.now.api_key, loaded.now.top_processes_count) == ("smk_1", 5)


def test_another_hub_does_not_get_the_key_of_the_first(config):
    loaded = config(KNOWN)
    assert "api_key" not in rewritten(loaded, {"dashboard_url": "http://other:3000"})
    assert loaded.now.api_key == ""


def test_part_of_the_identity_that_is_missing_is_put_back(config):
    loaded = config(dict(KNOWN, export_key="sme_1"))
    assert rewritten(loaded, KNOWN)["export_key"] == "sme_1"
    assert rewritten(loaded, dict(KNOWN, server_id="", dashboard_url="http://hub:3000/"))["server_id"] == "one"
    assert "export_key" not in rewritten(loaded, dict(KNOWN, api_key="smk_2"))
    assert (loaded.now.api_key, loaded.now.export_key) == ("smk_2", "")


@pytest.mark.parametrize("state_dir", [{}, {"state_dir": "state"}])
def test_a_key_that_could_not_be_saved_is_not_for_another_hub(config, state_dir):
    loaded = config(dict(state_dir, dashboard_url="http://hub:3000"))
    with open(loaded.path, "w") as file:
        file.write("half a conf")
    loaded.learn_identity({"api_key": "smk_1", "server_id": "one"})
    assert "api_key" not in rewritten(loaded, dict(state_dir, dashboard_url="http://other:3000"))
    assert (loaded.now.dashboard_url, loaded.now.api_key) == ("http://other:3000", "")
    assert smon_agent.Config(loaded.path).now.api_key == ""


@pytest.mark.parametrize("state_dir", [{}, {"state_dir": "state"}])
@pytest.mark.parametrize("url, key", [("http://hub:3000", "smk_1"), ("http://other:3000", "")])
def test_a_setting_of_the_hub_that_comes_first_treats_the_key_alike(config, state_dir, url, key):
    loaded = config(dict(state_dir, dashboard_url="http://hub:3000"))
    with open(loaded.path, "w") as file:
        file.write("half a conf")
    loaded.learn_identity({"api_key": "smk_1", "server_id": "one"})
    with open(loaded.path, "w") as file:
        json.dump(dict(state_dir, dashboard_url=url), file)
    loaded.learn({"top_processes_count": 5})
    loaded.reload()
    for known in (loaded, smon_agent.Config(loaded.path)):
        assert (known.now.dashboard_url, known.now.api_key, known.now.top_processes_count) == (url, key, 5)


def test_with_a_state_dir_a_key_that_could_not_be_saved_is_saved_later(config):
    loaded = config({"state_dir": "state"})
    with open(loaded.path, "w") as file:
        file.write("half a conf")
    loaded.learn_identity({"api_key": "smk_1", "server_id": "one"})
    loaded.reload()
    rewritten(loaded, {"state_dir": "state", "top_processes_count": 5})
    for known in (loaded, smon_agent.Config(loaded.path)):
        assert (known.now.api_key, known.now.server_id, known.now.top_processes_count) == ("smk_1", "one", 5)


def test_a_file_left_behind_does_not_make_the_key_readable_by_all(config, tmp_path):
    loaded = config({})
    (tmp_path / "config.json.tmp").write_text("")
    (tmp_path / "config.json.tmp").chmod(0o644)
    loaded.learn({"api_key": "smk_1"})
    assert stat.S_IMODE(os.stat(loaded.path).st_mode) == 0o600


def test_a_file_that_is_gone_changes_nothing(config):
    loaded = config(KNOWN)
    os.remove(loaded.path)
    loaded.reload()
    assert loaded.now.api_key == "smk_1" and not os.path.exists(loaded.path)


def test_the_state_folder_stays_what_it_was_while_it_runs(config):
    loaded = config(KNOWN)
    rewritten(loaded, dict(KNOWN, state_dir="elsewhere", top_processes_count=5))
    assert (loaded.now.state_dir, loaded.now.top_processes_count) == ("", 15)


def logged(path, **limits):
    handler = smon_agent.LogFile()
    handler.setFormatter(smon_agent.OneLine("%(message)s"))
    handler.follow(str(path), limits.get("max_bytes", 10000), limits.get("backups", 2))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger


def test_the_log_is_bounded_and_private(tmp_path):
    logger = logged(tmp_path / "a.log", max_bytes=100)
    for number in range(30):
        logger.warning("line %02d of nineteen", number)
    files = sorted(os.listdir(tmp_path))
    assert files == ["a.log", "a.log.1", "a.log.2"]
    assert all((tmp_path / name).stat().st_size <= 100 for name in files)
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in files)
    assert (tmp_path / "a.log").read_text().endswith("line 29 of nineteen\n")


def test_an_event_is_one_line_and_never_holds_a_key(tmp_path):
    logged(tmp_path / "a.log").warning("a\nb\x1b[2J with %s and %s", "smk_0123abcd", "smr_secret")
    assert (tmp_path / "a.log").read_text() == "a\ufffdb\ufffd[2J with smk_... and smr_...\n"


def test_a_full_disk_under_the_log_is_survived():
    logger = logged("/dev/full")
    logger.warning("one")
    logger.warning("two")
    assert logger.handlers[0]._file is None


def test_the_folder_of_the_log_is_made(tmp_path):
    logs = smon_agent.LogFile()
    logs.follow(str(tmp_path / "logs" / "agent.log"), 10240, 1)
    logs.emit(logging.makeLogRecord({"msg": "here"}))
    logs.shut()
    assert (tmp_path / "logs" / "agent.log").read_text() == "here\n"
