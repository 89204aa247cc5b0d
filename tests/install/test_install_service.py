"""What the installer writes, checked where it can be without a booted system: the units, the tasks, the arguments."""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path, PureWindowsPath

import on_windows
import pytest
from programs import PROGRAMS

from tests.support import ROOT, bundles, needs

TOOL = ROOT / "install" / "install_service.py"
EXPOSURE_MAX = {"hub": 1.5, "agent": 2.2}  # of systemd-analyze security, from 0 (closed) to 10
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def run(*words, status=0, python=sys.executable):
    done = subprocess.run([str(python), str(TOOL), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert done.returncode == status, done.stdout
    return done.stdout


def unit_of(program, folder, *words):
    """The unit as it would be installed, in a file of its own name."""
    printed = run(program, "print", *words)
    path = folder / ("smon-%s.service" % program)
    path.write_text("[Unit]" + printed.partition("[Unit]")[2], encoding="utf-8")
    return path


@pytest.mark.parametrize("words", [(), ("--user",)])
@pytest.mark.parametrize("program", sorted(EXPOSURE_MAX))
def test_systemd_has_nothing_to_say_against_the_units(program, words, tmp_path):
    analyze = bundles.machine_rights("systemd-analyze")
    checked = subprocess.run([analyze, "verify", str(unit_of(program, tmp_path, *words))], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, universal_newlines=True)
    if "/run/systemd" in checked.stdout or "Failed to initialize" in checked.stdout:
        needs.system("systemd-analyze can not verify here: " + checked.stdout)
    assert checked.stdout == ""  # a misspelt key is words, not a status


@pytest.mark.parametrize("program", sorted(EXPOSURE_MAX))
def test_the_units_leave_little_open(program, tmp_path):
    analyze = bundles.machine_rights("systemd-analyze")
    judged = subprocess.run([analyze, "security", "--offline=true", "--no-pager", str(unit_of(program, tmp_path))],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True).stdout
    level = re.search(r"exposure level for \S+: ([0-9.]+)", judged)
    if not level:
        needs.system("This systemd-analyze does not judge files: " + judged[-200:])
    assert float(level[1]) <= EXPOSURE_MAX[program]


@pytest.mark.parametrize("program", sorted(EXPOSURE_MAX))
def test_the_units_write_nowhere_but_in_their_own_folder(program, tmp_path):
    lines = unit_of(program, tmp_path).read_text().splitlines()
    assert {"ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "StateDirectoryMode=0700",
            "StateDirectory=smon/%s" % program} <= set(lines)
    assert not [line for line in lines if line.startswith("ReadWritePaths")]


def test_the_agents_unit_leaves_open_what_it_reports(tmp_path):
    """Each of these would empty a part of the page: the processes of others, their users, the disk of /home."""
    text = unit_of("agent", tmp_path).read_text()
    assert not re.search(r"^(ProtectProc|ProcSubset|PrivateUsers|DynamicUser)=", text, re.MULTILINE)
    assert "\nProtectHome=read-only\n" in text and "\nUser=smon-agent\n" in text


def test_a_service_of_ones_own_asks_nothing_that_only_root_can_have(tmp_path):
    text = unit_of("agent", tmp_path, "--user").read_text()
    assert not re.search(r"^(User|Group|StateDirectory|ProtectSystem|MemoryMax|CapabilityBoundingSet)=", text,
                         re.MULTILINE)
    assert "NoNewPrivileges=yes" in text and "WantedBy=default.target" in text


def test_print_touches_nothing_and_shows_the_config():
    printed = run("print", "--url", "https://hub.example", "--group", "Web")
    config = json.loads(printed[printed.index("{"):printed.index("}") + 1])
    assert config == {"dashboard_url": "https://hub.example", "group_name": "Web", "state_dir": "/var/lib/smon/agent"}


def test_several_hubs_become_a_list():
    printed = run("print", "--url", "https://a.example, https://b.example")
    config = json.loads(printed[printed.index("{"):printed.index("}") + 1])
    assert config["dashboard_url"] == ["https://a.example", "https://b.example"]


def image(folder, *words):
    return run(*words, "--root", folder)


def test_the_agent_is_what_is_installed_and_uninstalled_without_a_word(tmp_path):
    image(tmp_path)
    assert (tmp_path / "opt/smon/agent/smon_agent.py").read_bytes() == (ROOT / "smon_agent.py").read_bytes()
    assert (tmp_path / "etc/systemd/system/smon-agent.service").exists()
    image(tmp_path, "uninstall")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["agent.json"]
    image(tmp_path)
    image(tmp_path, "uninstall", "--purge")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def started_as_the_service(folder, tmp_path):
    """(what it says, where Python says it had the program from), by the unit's own words in its own folder."""
    line = re.search(r"^ExecStart=(.*)", unit_of("agent", tmp_path).read_text(), re.MULTILINE)[1]
    python, *words = line.split()
    words[words.index("/etc/smon/agent.json")] = "--version"
    done = subprocess.run([python, "-v", *words], cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, check=True)
    found = re.search(r"code object from (.*smon_agent.*)", done.stderr)
    return done.stdout.strip(), "compiled" if ".pyc" in found[1] else "source"


def test_the_service_starts_what_was_compiled_at_the_installation(tmp_path):
    image(tmp_path)
    folder = tmp_path / "opt/smon/agent"
    assert "\nWorkingDirectory=/opt/smon/agent\n" in unit_of("agent", tmp_path).read_text()
    compiled = {path: path.stat().st_mtime_ns for path in folder.glob("__pycache__/smon_agent.*.pyc")}
    said, source = started_as_the_service(folder, tmp_path)
    assert (said, source, len(compiled)) == ("smon_agent 1.0.0", "compiled", 1)
    image(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in compiled} == compiled
    image(tmp_path, "uninstall")
    assert not folder.exists()


def test_a_newer_file_copied_over_the_installed_one_is_what_starts(tmp_path):
    image(tmp_path)
    folder = tmp_path / "opt/smon/agent"
    program = folder / "smon_agent.py"
    program.write_text(program.read_text().replace('VERSION = "1.0.0"', 'VERSION = "1.0.1"'))
    os.utime(str(program), (2e9, 2e9))
    assert started_as_the_service(folder, tmp_path)[0] == "smon_agent 1.0.1"


def test_a_second_installation_brings_programs_up_to_date_and_keeps_the_config(tmp_path):
    image(tmp_path, "--url", "http://one.example")
    before = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)
    program = tmp_path / "opt/smon/agent/smon_agent.py"
    record = tmp_path / "opt/smon/agent/installed.json"
    older = program.read_text().replace("VERSION", "OLDER")
    sums = json.loads(record.read_text())
    program.write_text(older)
    sums["/opt/smon/agent/smon_agent.py"] = hashlib.sha256(older.encode()).hexdigest()
    record.write_text(json.dumps(sums))
    said = image(tmp_path, "--url", "http://two.example")
    assert "agent.json was there and stays as it is" in said
    assert json.loads((tmp_path / "etc/smon/agent.json").read_text())["dashboard_url"] == "http://one.example"
    assert program.read_bytes() == (ROOT / "smon_agent.py").read_bytes()
    assert sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts) == before


def test_a_unit_that_a_person_edited_stays(tmp_path):
    image(tmp_path)
    unit = tmp_path / "etc/systemd/system/smon-agent.service"
    unit.write_text(unit.read_text() + "# mine\n")
    assert "was edited and stays" in image(tmp_path)
    assert unit.read_text().endswith("# mine\n")
    image(tmp_path, "uninstall")
    assert Path(str(unit) + ".saved").read_text().endswith("# mine\n")


def test_the_hub_is_one_file_with_a_config_that_it_understands(tmp_path):
    image(tmp_path, "hub", "--port", "3131", "--host", "127.0.0.1")
    config = configparser.ConfigParser()
    config.read(str(tmp_path / "etc/smon/hub.ini"))
    assert dict(config["hub"]) == {"host": "127.0.0.1", "port": "3131", "data_dir": "/var/lib/smon/hub",
                                   "local_trust": "off"}
    told = subprocess.run([sys.executable, str(tmp_path / "opt/smon/hub/smon_server.pyz"), "--config",
                           str(tmp_path / "etc/smon/hub.ini"), "--version"], stdout=subprocess.PIPE)
    assert told.stdout.startswith(b"smon ")


def test_a_config_with_a_token_is_not_for_everybody(tmp_path):
    image(tmp_path, "--token", "smr_" + "x" * 40)
    config = tmp_path / "etc/smon/agent.json"
    assert config.stat().st_mode & 0o007 == 0
    assert json.loads(config.read_text())["registration_token"].startswith("smr_")


@pytest.mark.parametrize("words", [("cinema",), ("hub", "dance"), ("agent", "install", "twice")])
def test_a_word_that_means_nothing_is_named(words):
    assert words[-1] in run(*words, status=2)


def test_uninstalling_what_is_not_there_says_so(tmp_path):
    assert "There is no smon-hub installed here." in run("hub", "uninstall", "--root", tmp_path, status=2)


def test_a_python_without_the_packages_is_named(tmp_path):
    python = bundles.bare_python(tmp_path / "bare")
    said = run("--root", tmp_path / "image", python=python, status=2)
    assert "lacks psutil" in said and "Traceback" not in said


def test_without_rights_it_says_what_to_do(tmp_path):
    nobody = shutil.which("setpriv") or needs.system("There is no setpriv on this machine.")
    visible = subprocess.call([nobody, "--reuid", "65534", "--clear-groups", sys.executable, "-c",
                               "open(%r)" % str(TOOL)], stderr=subprocess.DEVNULL)
    if visible != 0:
        needs.system("Another user can not be, or can not read this tree.")
    done = subprocess.run([nobody, "--reuid", "65534", "--clear-groups", sys.executable, "-B", str(TOOL)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 2
    assert "needs root" in done.stdout and "--user" in done.stdout and "Traceback" not in done.stdout


@pytest.mark.parametrize("folder", ["opt/smon", "opt/smon/agent", "etc/smon"])
def test_root_places_nothing_where_another_user_could_replace_it(tmp_path, folder):
    if os.name == "nt" or os.geteuid() != 0:
        needs.system("Only root can give a folder away.")
    (tmp_path / folder).mkdir(parents=True)
    os.chown(str(tmp_path / folder), 65534, 65534)
    assert "/%s belongs to user 65534" % folder in run("--root", tmp_path, status=2)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


WINDOWS = {"ProgramFiles": r"C:\Program Files", "ProgramData": r"C:\ProgramData",
           "LOCALAPPDATA": r"C:\Users\Åsa & Co\AppData\Local"}


def task(program, user):
    where = on_windows.places(PROGRAMS[program], user, WINDOWS, PureWindowsPath)
    text = on_windows.task(PROGRAMS[program], where, user, r"C:\Python\python.exe", r"SHOP\Åsa & Co")
    assert "$" not in text
    return xml.fromstring(text.encode("utf-16"))


def text_of(tree, path):
    return tree.find("/".join(TASK + part for part in path.split("/"))).text


def test_the_windows_task_runs_with_the_fewest_rights_and_starts_again():
    tree = task("agent", user=False)
    assert text_of(tree, "Principals/Principal/UserId") == "S-1-5-19"
    assert text_of(tree, "Principals/Principal/RunLevel") == "LeastPrivilege"
    assert text_of(tree, "Settings/ExecutionTimeLimit") == "PT0S"  # for ever, where three days are the default
    assert text_of(tree, "Settings/MultipleInstancesPolicy") == "IgnoreNew"
    assert text_of(tree, "Triggers/BootTrigger/Repetition/Interval") == "PT5M"
    assert text_of(tree, "Actions/Exec/Command") == r"C:\Python\python.exe"
    assert text_of(tree, "Actions/Exec/Arguments") == r'-m smon_agent "C:\ProgramData\smon\agent.json"'
    assert text_of(tree, "Actions/Exec/WorkingDirectory") == r"C:\Program Files\smon\agent"


def test_the_windows_task_of_one_person_starts_at_their_logon():
    tree = task("hub", user=True)
    assert text_of(tree, "Principals/Principal/UserId") == r"SHOP\Åsa & Co"
    assert text_of(tree, "Principals/Principal/LogonType") == "InteractiveToken"
    assert tree.find("%sTriggers/%sLogonTrigger" % (TASK, TASK)) is not None
    assert text_of(tree, "Actions/Exec/Arguments") == (
        r'smon_server.pyz --config "C:\Users\Åsa & Co\AppData\Local\smon\hub.ini"')


def test_on_windows_config_and_data_are_closed_to_others():
    where = on_windows.places(PROGRAMS["hub"], False, WINDOWS, PureWindowsPath)
    everything, state = on_windows.closing(where)
    assert everything[:3] == ["icacls", r"C:\ProgramData\smon", "/inheritance:r"]
    assert not any("S-1-5-32-545" in word or "S-1-1-0" in word for word in everything + state)  # users, everyone
    assert "*S-1-5-19:(OI)(CI)RX" in everything
    assert state[1:] == [r"C:\ProgramData\smon\hub", "/grant:r", "*S-1-5-19:(OI)(CI)M"]
