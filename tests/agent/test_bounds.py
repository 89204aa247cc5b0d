"""What each option is when nobody sets it, and how far it may be set by the operator and by a hub."""

from __future__ import annotations

import json
import os
import stat

import pytest

import smon_agent

DEFAULTS = {
    "dashboard_url": "http://localhost:3000", "server_id": "", "api_key": "", "export_key": "",
    "registration_token": "", "display_name": "", "group_name": "", "tags": [], "collection_interval_minutes": 10,
    "top_processes_count": 15, "monitored_services": [], "auto_discover_services": True, "collect_processes": True,
    "collect_disks": True, "collect_network": True, "collect_services": True, "include_mounts": [], "skip_mounts": [],
    "live_enabled": False, "live_interval_seconds": 10, "live_retention_minutes": 30, "ping_enabled": True,
    "retry_attempts": 3, "retry_delay_seconds": 10, "request_timeout_seconds": 30, "offline_buffer_max": 100,
    "spool_max_mb": 50, "verify_ssl": True, "ca_file": "", "client_cert": "", "client_key": "", "proxy": "",
    "state_dir": "", "log_file": "agent.log", "log_level": "INFO", "log_max_bytes": 5242880, "log_backup_count": 3,
}
NUMBERS = {
    "collection_interval_minutes": (5, 60), "top_processes_count": (0, 200), "live_interval_seconds": (5, 60),
    "live_retention_minutes": (1, 1440), "retry_attempts": (1, 100), "retry_delay_seconds": (0.1, 3600),
    "request_timeout_seconds": (1, 300), "offline_buffer_max": (1, 100000), "spool_max_mb": (1, 10240),
    "log_max_bytes": (10240, 1073741824), "log_backup_count": (0, 100),
}
DECIMAL = {"retry_delay_seconds", "request_timeout_seconds"}
LENGTHS = {"display_name": 255, "group_name": 255, "ca_file": 4096, "client_cert": 4096, "client_key": 4096,
           "state_dir": 4096, "log_file": 4096}
ENTRIES = {"tags": 50, "monitored_services": 500, "include_mounts": 100, "skip_mounts": 100}
FORMS = {
    "server_id": (["", "a" * 128, "Web-1_a.b"], ["a" * 129, "a/b", "a b", "a\n"], "an id as registration gives it"),
    "api_key": (["", "smk_1", "x" * 512], ["x" * 513, "two words", "k\n", "k\u00e9y"],
                "a key as registration gives it"),
    "export_key": (["", "sme_1", "x" * 512], ["x" * 513, "two words", "k\n", "k\u00e9y"],
                   "a key as registration gives it"),
    "registration_token": (["", "smr_1", "x" * 512], ["x" * 513, "two words", "t\r\nX-Evil: 1", "t\u00f6k"],
                           "a token as the hub gives it"),
    "proxy": (["", "environment", "http://proxy", "http://proxy:3128", "http://me:secret@proxy:3128/"],
              ["https://proxy:3128", "ftp://proxy:21", "proxy:3128", "http://", "http://a b", "http://proxy/path",
               "environment ", "none"], "empty, environment or an http:// address"),
    "log_level": (["DEBUG", "INFO", "WARNING", "ERROR"], ["", "debug", "LOUD", "INFO|ERROR"],
                  "DEBUG, INFO, WARNING or ERROR"),
    "dashboard_url": (["http://hub", "https://hub:8443/smon", ["http://a", "https://b"]],
                      ["", "hub:3000", "ftp://hub", "http://me@hub"], "an http:// or https:// address"),
}
FLAGS = [key for key, default in DEFAULTS.items() if isinstance(default, bool)]


def refusal(key: str, value) -> str:
    with pytest.raises(smon_agent.ConfigError) as refused:
        smon_agent.in_force({key: value})
    return str(refused.value)


def taken(key: str, value):
    return getattr(smon_agent.in_force({key: value}), key)


def test_every_option_has_its_default_and_a_row_below(options):
    assert vars(options) == DEFAULTS
    assert sorted(vars(options)) == sorted([*NUMBERS, *LENGTHS, *ENTRIES, *FORMS, *FLAGS])
    assert {key: type(value) for key, value in vars(options).items() if key not in DECIMAL} == {
        key: type(value) for key, value in DEFAULTS.items() if key not in DECIMAL}


@pytest.mark.parametrize("key", NUMBERS)
def test_a_number_is_taken_up_to_its_limits_and_not_beyond(key):
    (low, high), step = NUMBERS[key], 0.01 if key in DECIMAL else 1
    assert [taken(key, low), taken(key, high)] == [low, high]
    sentence = "%s must be a number from %s to %s." % (key, low, high)
    assert [refusal(key, low - step), refusal(key, high + step)] == [sentence] * 2
    assert [refusal(key, other) for other in (True, None, str(low), [low])] == [sentence] * 4
    if key in DECIMAL:
        assert taken(key, 2.5) == 2.5
    else:
        assert refusal(key, low + 0.5) == sentence.replace("a number", "a whole number")


@pytest.mark.parametrize("key", FLAGS)
def test_a_flag_is_true_or_false_and_nothing_like_it(key):
    assert (taken(key, True), taken(key, False)) == (True, False)
    assert {refusal(key, other) for other in (1, 0, "true", None)} == {key + " must be true or false."}


@pytest.mark.parametrize("key", LENGTHS)
def test_a_text_is_taken_up_to_its_length_and_not_beyond(key):
    longest = "\u00e4" * LENGTHS[key]
    assert (taken(key, longest), taken(key, "")) == (longest, "")
    assert refusal(key, longest + "x") == "%s must be text of at most %d characters." % (key, LENGTHS[key])
    assert refusal(key, "a\tb") == key + " must be text without control characters."


@pytest.mark.parametrize("key", ENTRIES)
def test_a_list_is_taken_up_to_its_length_and_not_beyond(key):
    longest = ["data"] * ENTRIES[key]
    assert (taken(key, longest), taken(key, [])) == (longest, [])
    sentence = "%s must be a list of at most %d entries." % (key, ENTRIES[key])
    assert [refusal(key, other) for other in ([*longest, "data"], "data", None, {})] == [sentence] * 4
    assert refusal(key, [5]) == key + " must be text of at most 4096 characters."


@pytest.mark.parametrize("key", FORMS)
def test_a_text_of_a_form_is_taken_in_that_form_alone(key):
    good, bad, meant = FORMS[key]
    assert [taken(key, value) for value in good] == good
    assert [refusal(key, value) for value in bad] == ["%s must be %s." % (key, meant)] * len(bad)
    assert refusal(key, "x" * 4097) == key + " must be text of at most 4096 characters."


# the file

def test_a_value_beyond_its_limits_leaves_the_last_good_config_in_force(config, monkeypatch):
    loaded, said = config({"top_processes_count": 3, "live_enabled": True}), []
    monkeypatch.setattr(smon_agent.log, "error", lambda text, *words: said.append(text % words))
    smon_agent.write_atomic(loaded.path, b'{"top_processes_count": 201}')
    loaded.reload()
    assert (loaded.now.top_processes_count, loaded.now.live_enabled) == (3, True)
    assert said == ["The config is not usable, the last good one stays in force: "
                    "top_processes_count must be a number from 0 to 200."]


def test_a_config_may_begin_with_the_mark_of_windows_editors(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"display_name": "B\xc3\xbcro"}')
    loaded = smon_agent.Config(str(path))
    loaded.learn({"api_key": "smk_1"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"display_name": "B\u00fcro", "api_key": "smk_1"}


def test_behind_a_link_the_real_config_learns_and_the_link_stays(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "real.json").write_text('{"display_name": "web"}')
    link = tmp_path / "config.json"
    link.symlink_to(tmp_path / "etc" / "real.json")
    smon_agent.Config(str(link)).learn({"api_key": "smk_1"})
    assert link.is_symlink() and sorted(os.listdir(str(tmp_path))) == ["config.json", "etc"]
    assert json.loads((tmp_path / "etc" / "real.json").read_text()) == {"display_name": "web", "api_key": "smk_1"}


@pytest.mark.parametrize("state_dir, written", [("", "config.json"), ("state", "state/identity.json")])
def test_what_it_learned_is_for_its_owner_alone_on_windows_too(config, monkeypatch, tmp_path, state_dir, written):
    restricted = []
    loaded = config({"state_dir": state_dir})
    monkeypatch.setattr(smon_agent, "restrict_to_owner",
                        lambda path: restricted.append((path, "smk_1" in open(path).read())))
    loaded.learn({"api_key": "smk_1"})
    assert restricted == [(str(tmp_path / written), True)]


@pytest.mark.parametrize("use", [
    lambda loaded: loaded.learn({"api_key": "smk_1"}), lambda loaded: smon_agent.Lock(loaded.state_folder)],
    ids=["learn", "lock"])
def test_the_state_folder_is_made_for_its_owner_alone(config, tmp_path, use):
    loaded = config({"state_dir": "state"})
    os.umask(0o022)
    use(loaded)
    assert stat.S_IMODE(os.stat(str(tmp_path / "state")).st_mode) == 0o700


# the hub

@pytest.mark.parametrize("before, looked_at", [(99, True), (100, False)])
def test_of_what_a_hub_offers_the_first_hundred_are_looked_at(before, looked_at):
    offered = dict({"unknown_%d" % number: 1 for number in range(before)}, top_processes_count=5, live_enabled=0)
    values, reasons = smon_agent.sort_out(offered)
    assert values == ({"top_processes_count": 5} if looked_at else {})
    assert list(reasons) == ["unknown_%d" % number for number in range(before)]


def test_the_log_says_what_a_hub_set_and_what_it_could_not(config, fake_hub, monkeypatch):
    loaded = config({"dashboard_url": fake_hub.url, "server_id": "s", "api_key": "smk_1", "retry_attempts": 5})
    hub, said = smon_agent.Hub(loaded, lambda *_: None), []
    hub.follow(loaded.now)
    for level in ("info", "warning"):
        monkeypatch.setattr(smon_agent.log, level,
                            lambda text, *words, level=level: said.append((level, text % words)))
    fake_hub.settings = {"top_processes_count": 2, "retry_attempts": 5, "live_interval_seconds": 61, "proxy": "",
                         "monitored_services": ["nginx"]}
    smon_agent.exchange_settings(hub, loaded)
    assert said == [
        ("info", "The hub set top_processes_count to 2."), ("info", "The hub set monitored_services to ['nginx']."),
        ("warning", "A setting of the hub was rejected: live_interval_seconds must be a number from 5 to 60."),
        ("warning", "A setting of the hub was rejected: proxy can not be set from the hub.")]
