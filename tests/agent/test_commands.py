"""What the commands do beside their answer: what they save, send, try again, leave behind and say when it fails."""

from __future__ import annotations

import collections
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
import types

import pytest

import smon_agent
from tests.agent import fake_hub as hubs
from tests.agent.fake_hub import SERVER_ID, refusal
from tests.support import ROOT
from tests.support.processes import until


@pytest.fixture
def config_path(tmp_path, fake_hub):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"dashboard_url": fake_hub.url, "auto_discover_services": False,
                                "retry_delay_seconds": 0.1, "request_timeout_seconds": 1}))
    return path


def rewrite(path, **changes) -> None:
    path.write_text(json.dumps(dict(json.loads(path.read_text()), **changes)))


@pytest.fixture
def here(monkeypatch, capsys):
    """Run a command in this process: here(path, "--check") gives (status, what it printed, what it complained)."""
    level, propagate = smon_agent.log.level, smon_agent.log.propagate
    monkeypatch.setattr(smon_agent.log, "handlers", [])
    monkeypatch.setattr(smon_agent.logging, "raiseExceptions", True)
    monkeypatch.setattr(smon_agent, "cut_late", lambda hub: None)  # its thread ends with the process only

    def run(*arguments) -> tuple:
        status = smon_agent.main([str(argument) for argument in arguments])
        return (status, *capsys.readouterr())
    yield run
    for handler in smon_agent.log.handlers:
        getattr(handler, "shut", handler.close)()
    smon_agent.log.setLevel(level)
    smon_agent.log.propagate = propagate


def test_without_a_name_the_config_is_the_one_beside_the_program(here, monkeypatch, tmp_path, fake_hub):
    (tmp_path / "program").mkdir()
    beside = tmp_path / "program" / "config.json"
    beside.write_text(json.dumps({"dashboard_url": fake_hub.url}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(smon_agent, "__file__", str(tmp_path / "program" / "smon_agent.py"))
    status, printed, _ = here("--check")
    assert (status, printed.splitlines()[0]) == (0, "Config: %s is in order." % beside)


# what is saved

@pytest.mark.parametrize("flag, key, value", [
    ("--name", "display_name", "Front"), ("--token", "registration_token", "smr_new"), ("--group", "group_name", "Web"),
    ("--name", "display_name", ""), ("--token", "registration_token", ""), ("--group", "group_name", "")])
def test_an_argument_replaces_what_was_saved(here, config_path, flag, key, value):
    old = {"display_name": "Old", "registration_token": "smr_old", "group_name": "Old group"}
    rewrite(config_path, **old)
    here(config_path, flag, value, "--check")
    saved = json.loads(config_path.read_text())
    assert {name: saved[name] for name in old} == dict(old, **{key: value})


def test_to_register_again_needs_no_old_key(here, config_path, fake_hub):
    rewrite(config_path, server_id="old", api_key="smk_old")
    status, printed, _ = here(config_path, "--register")
    assert (status, printed) == (0, "Registered with %s as %s.\n" % (fake_hub.url, SERVER_ID))
    [request] = fake_hub.requests
    assert request.path == "/api/register" and "authorization" not in request.headers
    assert json.loads(config_path.read_text())["server_id"] == SERVER_ID


# --once

@pytest.fixture
def pauses(monkeypatch):
    """The seconds that the main thread wanted to sleep, in order; it does not."""
    asked, really = [], time.sleep

    def sleep(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            asked.append(seconds)
        else:
            really(seconds)
    monkeypatch.setattr(smon_agent.time, "sleep", sleep)
    return asked


@pytest.mark.parametrize("refused, status, tries", [(0, 0, 1), (1, 0, 2), (4, 3, 4)])
def test_once_tries_as_often_as_configured_with_a_pause_between(here, pauses, config_path, fake_hub, refused, status,
                                                                tries):
    rewrite(config_path, retry_attempts=4, retry_delay_seconds=20, server_id="s", api_key="smk_1")
    fake_hub.next("/api/metrics", *[refusal(500)] * refused)
    assert here(config_path, "--once")[0] == status
    assert len(fake_hub.calls("/api/metrics")) == tries
    waits = [seconds for seconds in pauses if seconds > 1]
    assert len(waits) == tries - 1 and all(15 < seconds <= 25 for seconds in waits)


@pytest.mark.parametrize("before, clean", [("stopped\n", True), ("running as process 1\n", False)])
def test_once_leaves_word_that_it_ended_cleanly(here, config_path, fake_hub, tmp_path, before, clean):
    (tmp_path / "agent.lock").write_text(before)
    for _ in range(2):
        assert here(config_path, "--once")[0] == 0
    assert (tmp_path / "agent.lock").read_text() == "stopped\n"
    assert [sample["agent"]["clean_shutdown"] for sample in fake_hub.samples.values()] == [clean, True]


@pytest.fixture
def busy_until_now(fake_psutil, monkeypatch, tmp_path):
    """A machine without a quota that was busy from its boot to the second reading of its times, and rests since."""
    times = collections.namedtuple("times", "user idle")
    readings = collections.deque([times(0, 0), times(1000, 0)])
    fake_psutil(cpu_times=lambda: readings.popleft() if readings else times(1000, 1000))
    monkeypatch.setattr(smon_agent, "CGROUP", str(tmp_path / "no-cgroup"))


def test_the_sample_of_once_is_not_of_the_time_since_boot(here, busy_until_now, pauses, config_path, fake_hub):
    assert here(config_path, "--once")[0] == 0
    [sample] = fake_hub.samples.values()
    assert sample["metrics"]["cpu_percent"] == 0.0 and max(pauses) > 0.1


def test_the_printed_sample_is_not_of_the_time_since_boot(here, busy_until_now, pauses, config_path):
    assert json.loads(here(config_path, "--print")[1])["metrics"]["cpu_percent"] == 0.0 and max(pauses) > 0.1


def test_the_printed_sample_says_what_it_comes_from_and_what_failed(here, pauses, fake_psutil, monkeypatch, config_path,
                                                                    tmp_path):
    def fails(**_) -> None:
        raise OSError(5, "Input/output error")
    fake_psutil(net_io_counters=fails)
    monkeypatch.setattr(smon_agent, "CGROUP", str(tmp_path / "no-cgroup"))
    rewrite(config_path, collect_services=False, collect_disks=False)
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    assert json.loads(here(config_path, "--print")[1])["agent"] == {
        "version": smon_agent.VERSION, "boot_id": boot_id, "errors": {"network": "Input/output error"},
        "source": {"cpu": "host", "memory": "host"}}


# --check, and hubs that do not end

@pytest.mark.parametrize("ahead, status, side", [
    (3600, 1, "behind"), (-3600, 1, "ahead of"), (250, 1, "behind"), (-250, 1, "ahead of"), (230, 0, "behind"),
    (-230, 0, "ahead of")])
def test_check_says_how_far_and_on_which_side_the_clock_is(here, config_path, fake_hub, ahead, status, side):
    rewrite(config_path, server_id="s", api_key="smk_1")
    fake_hub.clock_ahead_seconds = ahead
    ended, printed, _ = here(config_path, "--check")
    said = re.fullmatch(r"Clock: (\d+\.\d) seconds (.+) the hub's\.", printed.splitlines()[-1])
    assert (ended, said[2]) == (status, side) and abs(float(said[1]) - abs(ahead)) < 5


@pytest.mark.parametrize("action, path", [("--check", "/api/ping"), ("--register", "/api/register")])
def test_a_hub_that_never_comes_to_an_end_is_left(config_path, fake_hub, action, path):
    fake_hub.always(path, hubs.dribble)
    code = "import sys, smon_agent as agent; agent.WATCH_SECONDS = 0.1; sys.exit(agent.main(sys.argv[1:]))"
    ended = subprocess.run([sys.executable, "-c", code, str(config_path), action], cwd=str(ROOT), timeout=15,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert (ended.returncode, "can not be reached" in ended.stdout) == (1, True), ended.stdout


# what it needs

OS_RELEASES = [
    ('NAME="Debian GNU/Linux"\nID=debian\n', "apt install python3-psutil"),
    ("NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n", "apt install python3-psutil"),
    ('NAME="Red Hat Enterprise Linux"\nID="rhel"\n', "dnf install python3-psutil"),
    ('NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install python3-psutil"),
    ('NAME="Fedora Linux"\nID=fedora\n', "dnf install python3-psutil"),
    ('NAME="SLES"\nID="sles"\nID_LIKE="suse"\n', "zypper install python3-psutil"),
    ('NAME="Alpine Linux"\nID=alpine\n', "apk add py3-psutil"),
    ('NAME="Arch Linux"\nID=arch\n', "pacman -S python-psutil"), ("NAME=Own\nID=own\n", ""), (None, "")]


@pytest.mark.parametrize("os_release, command", OS_RELEASES)
def test_without_psutil_it_names_the_package_of_this_system(here, monkeypatch, os_release, command):
    files = {"/etc/os-release": os_release} if os_release else {}
    monkeypatch.setattr(smon_agent, "read_text", lambda path, default=None: files.get(path, default))
    monkeypatch.setattr(smon_agent, "psutil", None)
    ways = command + " or " if command else ""
    assert here() == (2, "", "smon_agent.py needs psutil. Get it with: %s%s -m pip install psutil, "
                             "or from the offline bundle.\n" % (ways, sys.executable))


def test_a_python_that_is_too_old_is_a_sentence(here, monkeypatch):
    monkeypatch.setattr(smon_agent, "sys", types.SimpleNamespace(version_info=(3, 7, 17), stderr=sys.stderr))
    assert here() == (2, "", "smon_agent.py needs Python 3.8 or newer; this is 3.7.\n")


@pytest.mark.parametrize("actions", [["--once", "--export-spool", "out"], ["--check", "--register"],
                                     ["--export-spool", "out", "--print"]])
def test_two_actions_at_once_are_a_usage_error(here, config_path, capsys, actions):
    with pytest.raises(SystemExit) as ended:
        here(config_path, *actions)
    assert (ended.value.code, "not allowed with" in capsys.readouterr().err) == (2, True)


# what it leaves behind

def test_log_lock_and_spool_are_in_the_state_folder(start, fake_hub):
    agent = start(state_dir="var/state", colection_interval_minutes=5)
    until(lambda: fake_hub.samples, "A sample; it said: " + agent.log)
    assert agent.stop() == 0
    assert sorted(path.name for path in agent.directory.iterdir()) == ["config.json", "output.log", "var"]
    state = agent.directory / "var" / "state"
    assert {path.name for path in state.iterdir()} >= {"agent.log", "agent.lock", "identity.json", "spool", "sent"}
    assert "The config holds keys that mean nothing here: colection_interval_minutes." in (
        state / "agent.log").read_text()


def test_without_a_state_folder_the_log_is_beside_the_config(here, config_path, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert here(config_path, "--once")[0] == 0
    assert not os.listdir(".") and "Registered with" in (tmp_path / "agent.log").read_text()


def test_nobody_else_can_look_into_what_a_command_makes(here, config_path, tmp_path):
    rewrite(config_path, state_dir="var/lib/state", log_file="agent.log")
    os.umask(0o022)
    assert here(config_path, "--once")[0] == 0
    made = [os.path.join(folder, name) for folder, folders, files in os.walk(str(tmp_path / "var"))
            for name in ["", *files]]
    assert len(made) > 5
    assert {path: stat.S_IMODE(os.stat(path).st_mode) & 0o077 for path in made} == dict.fromkeys(made, 0)
