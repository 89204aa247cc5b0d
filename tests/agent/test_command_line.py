"""What a person sees who calls the program."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys

import pytest

import smon_agent
from tests.agent import fake_hub as hubs
from tests.agent.fake_hub import SERVER_ID, FakeHub, refusal
from tests.support import ROOT
from tests.support.processes import until

AGENT = str(ROOT / "smon_agent.py")


def called(*arguments, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, AGENT, *map(str, arguments)], cwd=cwd, universal_newlines=True, timeout=30,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def config_path(tmp_path, fake_hub):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"dashboard_url": fake_hub.url, "auto_discover_services": False, "retry_attempts": 2,
                                "retry_delay_seconds": 0.1}))
    return path


def test_version_is_said():
    assert called("--version").stdout == "smon_agent %s\n" % smon_agent.VERSION


def test_print_shows_a_sample_and_sends_nothing(config_path, fake_hub, tmp_path):
    shown = called(config_path, "--print")
    sample = json.loads(shown.stdout)
    assert shown.returncode == 0 and set(sample) == {"collected_at", "metrics", "processes", "services", "agent"}
    assert fake_hub.requests == [] and not (tmp_path / "spool").exists()


def test_once_sends_one_sample_and_ends(config_path, fake_hub):
    assert called(config_path, "--once").returncode == 0
    assert len(fake_hub.samples) == 1 and len(fake_hub.calls("/api/register")) == 1


def test_once_keeps_the_sample_when_the_hub_is_away(config_path, fake_hub, tmp_path):
    fake_hub.stop()
    assert called(config_path, "--once").returncode == 3
    assert len(list((tmp_path / "spool").iterdir())) == 1
    fake_hub.start()
    assert called(config_path, "--once").returncode == 0
    assert len(fake_hub.samples) == 2 and not list((tmp_path / "spool").iterdir())


def test_once_does_not_wait_for_a_hub_that_asks_for_an_hour(config_path, fake_hub):
    fake_hub.always("/api/metrics", refusal(503, Retry_After="3600"))
    assert called(config_path, "--once").returncode == 3
    assert len(fake_hub.calls("/api/metrics")) == 1


def test_once_does_not_wait_for_an_answer_that_never_ends(config_path, fake_hub):
    config_path.write_text(json.dumps(dict(json.loads(config_path.read_text()), request_timeout_seconds=1)))
    fake_hub.always("/api/metrics", hubs.dribble_body)
    assert called(config_path, "--once").returncode == 3


def test_once_says_by_its_status_that_the_sample_was_refused(config_path, fake_hub):
    fake_hub.next("/api/metrics", refusal(400, "cpu_percent must be a number."))
    refused = called(config_path, "--once")
    assert (refused.returncode, "cpu_percent must be a number." in refused.stderr) == (1, True)


def test_the_first_start_needs_only_an_address(tmp_path, fake_hub):
    path = tmp_path / "new.json"
    done = called(path, "--url", fake_hub.url, "--token", "smr_1", "--group", "Web", "--name", "Front", "--once")
    assert done.returncode == 0, done.stderr
    saved = json.loads(path.read_text())
    assert (saved["dashboard_url"], saved["server_id"], saved["group_name"]) == (fake_hub.url, SERVER_ID, "Web")
    assert fake_hub.calls("/api/register")[0].body["registration_token"] == "smr_1"


def test_register_gives_a_new_identity_or_says_why_not(config_path, fake_hub):
    fake_hub.next("/api/register", refusal(403, "Registration is closed."))
    refused = called(config_path, "--register")
    assert (refused.returncode, "Registration is closed." in refused.stderr) == (1, True)
    assert called(config_path, "--register").returncode == 0
    assert json.loads(config_path.read_text())["server_id"] == SERVER_ID


def test_check_says_each_thing_in_a_line(config_path, fake_hub):
    first = called(config_path, "--check")
    assert first.returncode == 0 and "Key: none yet" in first.stdout
    called(config_path, "--register")
    lines = called(config_path, "--check").stdout.splitlines()
    assert lines[:3] == ["Config: %s is in order." % config_path, "Hub: %s answers." % fake_hub.url,
                         "Key: the hub knows this machine as %s." % SERVER_ID]
    assert lines[3].startswith("Clock: 0.")


def test_check_names_a_wrong_key_and_a_wrong_clock(config_path, fake_hub):
    called(config_path, "--register")
    fake_hub.clock_ahead_seconds = 3600
    skewed = called(config_path, "--check")
    assert skewed.returncode == 1 and "behind the hub's" in skewed.stdout
    fake_hub.next("/api/ping", fake_hub.natural(fake_hub.requests[-1]), refusal(401, "Unauthorized."))
    refused = called(config_path, "--check")
    assert (refused.returncode, "Failed: The hub answered 401" in refused.stdout) == (1, True)
    fake_hub.stop()
    away = called(config_path, "--check")
    assert (away.returncode, "can not be reached" in away.stdout) == (1, True)


def test_check_names_a_wrong_clock_before_there_is_a_key(config_path, fake_hub):
    fake_hub.clock_ahead_seconds = 3600
    skewed = called(config_path, "--check")
    assert skewed.returncode == 1
    assert [line.split(":")[0] for line in skewed.stdout.splitlines()] == ["Config", "Hub", "Key", "Clock"]
    fake_hub.next("/api/ping", fake_hub.natural(fake_hub.requests[-1]), refusal(401, "Unauthorized."))
    config_path.write_text(json.dumps(dict(json.loads(config_path.read_text()), server_id="s", api_key="smk_k")))
    refused = called(config_path, "--check").stdout.splitlines()
    assert [line.split(":")[0] for line in refused] == ["Config", "Hub", "Failed", "Clock"]


def test_a_key_that_could_not_be_saved_is_no_success(config_path, fake_hub, monkeypatch):
    write, written = smon_agent.write_atomic, []

    def full(path, data):
        written.append(path)
        if len(written) > 1:
            raise OSError(28, "No space left on device")
        write(path, data)
    monkeypatch.setattr(smon_agent, "write_atomic", full)
    assert smon_agent.main([str(config_path), "--register"]) == 1
    assert len(fake_hub.calls("/api/register")) == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal for one process.")
def test_a_command_that_is_interrupted_ends_without_a_trace(config_path, fake_hub, tmp_path):
    fake_hub.always("/api/register", hubs.silence)
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
    command = subprocess.Popen([sys.executable, AGENT, str(config_path), "--once"], stderr=subprocess.PIPE,
                               universal_newlines=True, preexec_fn=heeded)
    try:
        until(lambda: fake_hub.calls("/api/register"), "The registration")
        command.send_signal(signal.SIGINT)
        said = command.communicate(timeout=20)[1]
    finally:
        command.kill()
    assert command.returncode == 130 and "Traceback" not in said
    assert (tmp_path / "agent.lock").read_text() == "stopped\n"


def test_check_names_keys_that_mean_nothing(config_path):
    config_path.write_text(json.dumps(dict(json.loads(config_path.read_text()), colection_interval_minutes=5)))
    assert "these keys mean nothing: colection_interval_minutes." in called(config_path, "--check").stdout


def test_check_knows_a_hub_that_tells_no_time(config_path):
    with FakeHub(of_the_seed=True) as old:
        assert called(config_path, "--url", old.url, "--register").returncode == 0
        assert "does not tell its time" in called(config_path, "--check").stdout


@pytest.mark.parametrize("content, sentence", [
    ("{", "can not be read"), ("[]", "must hold one JSON object"),
    ('{"collection_interval_minutes": 3}', "collection_interval_minutes must be a number from 5 to 60.")])
def test_a_config_that_can_not_be_used_is_a_sentence_and_status_2(tmp_path, content, sentence):
    path = tmp_path / "config.json"
    path.write_text(content)
    for arguments in ([], ["--once"], ["--check"], ["--print"], ["--register"]):
        ended = called(path, *arguments)
        assert (ended.returncode, ended.stdout) == (2, "") and sentence in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
    assert path.read_text() == content


def test_a_wrong_argument_is_status_2_and_saves_nothing(config_path):
    before = config_path.read_text()
    assert called(config_path, "--url", "nonsense").returncode == 2
    assert called(config_path, "--once", "--print").returncode == 2
    assert config_path.read_text() == before


def test_without_psutil_it_says_how_to_get_it():
    code = "import sys; sys.modules['psutil'] = None; import smon_agent; sys.exit(smon_agent.main([]))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=str(ROOT), stderr=subprocess.PIPE, universal_newlines=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("smon_agent.py needs psutil. Get it with: ") and "pip install" in ended.stderr


def test_an_export_without_its_key_is_refused_with_a_sentence(config_path, tmp_path):
    ended = called(config_path, "--export-spool", tmp_path / "out")
    assert ended.returncode == 2 and "There is no export_key" in ended.stderr and not (tmp_path / "out").exists()


def test_a_key_for_exports_is_kept_at_registration_and_used(config_path, fake_hub, tmp_path):
    fake_hub.registration["export_key"] = "sme_" + "e" * 40
    assert called(config_path, "--register").returncode == 0
    fake_hub.stop()
    assert called(config_path, "--once").returncode == 3
    ended = called(config_path, "--export-spool", tmp_path / "out")
    assert (ended.returncode, ended.stdout) == (0, "1 samples are in %s.\n" % (tmp_path / "out"))
    head = json.loads((tmp_path / "out").read_bytes().split(b"\n")[0])
    assert (head["format"], head["server_id"], head["payloads"]) == ("smon-spool-1", SERVER_ID, 1)


@pytest.mark.parametrize("arguments", [["--register"], ["--token", "smr_1", "--once"]])
def test_a_state_folder_is_made_when_it_is_needed(config_path, tmp_path, arguments):
    config_path.write_text(json.dumps(dict(json.loads(config_path.read_text()), state_dir="var/state")))
    ended = called(config_path, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "var" / "state" / "identity.json").exists() and "api_key" not in config_path.read_text()


def test_a_relative_state_folder_is_relative_to_the_config(config_path, fake_hub, tmp_path):
    config_path.write_text(json.dumps(dict(json.loads(config_path.read_text()), state_dir="var/state")))
    (tmp_path / "elsewhere").mkdir()
    ended = called(config_path, "--once", cwd=tmp_path / "elsewhere")
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in (tmp_path / "var" / "state").iterdir()} >= {"identity.json", "agent.lock", "sent"}
    assert "api_key" not in config_path.read_text()
