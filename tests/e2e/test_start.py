"""How the programs start, and how they say that they can not: one sentence and exit status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

from tests.support import ROOT, needs
from tests.support.processes import HubProcess, clean_environment
from tests.support.pythons import find


def refused(command: List[str], cwd: Path) -> Tuple[int, List[str]]:
    """(exit status, lines said beside the log) of a program that is expected to end at once."""
    environment = clean_environment()
    environment.pop("PYTHONPATH", None)
    run = subprocess.run(command, cwd=str(cwd), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, universal_newlines=True, timeout=30)
    return run.returncode, [line for line in run.stdout.splitlines() if " INFO " not in line]


def hub(*options: str) -> List[str]:
    return [sys.executable, str(ROOT / "smon_server.py"), "--host", "127.0.0.1"] + list(options)


def test_a_taken_port_is_one_sentence_and_status_2(fresh_hub, tmp_path):
    status, said = refused(hub("--port", str(fresh_hub.port), "--data-dir", str(tmp_path / "other")), tmp_path)
    assert (status, len(said)) == (2, 1), said
    assert str(fresh_hub.port) in said[0]


def test_a_second_hub_on_the_same_data_is_one_sentence_and_status_2(fresh_hub, tmp_path):
    status, said = refused(hub("--port", "0", "--data-dir", str(fresh_hub.data_dir)), tmp_path)
    assert (status, len(said)) == (2, 1), said
    assert str(fresh_hub.data_dir) in said[0]


def test_commands_given_while_a_hub_starts_are_done_and_do_not_keep_it_out(tmp_path):
    data = tmp_path / "data"
    with HubProcess(data):
        pass
    commands = [subprocess.Popen([*hub("--data-dir", str(data)), "setting", "list"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                                 env=clean_environment()) for _ in range(4)]
    with HubProcess(data) as running:
        for one in commands:
            said = one.communicate(timeout=60)[0]
            assert one.returncode == 0 and "stale_threshold_minutes = 15" in said, said
        assert running.running


def test_a_data_folder_that_can_not_be_made_is_one_sentence_and_status_2(tmp_path):
    (tmp_path / "file").write_text("no folder")
    status, said = refused(hub("--port", "0", "--data-dir", str(tmp_path / "file" / "data")), tmp_path)
    assert (status, len(said)) == (2, 1), said
    assert str(tmp_path / "file") in said[0]


def test_a_data_folder_that_can_not_be_written_is_one_sentence_and_status_2(tmp_path):
    if os.name == "nt" or os.geteuid() == 0:
        needs.system("Rights on files do not bind this user.")
    (tmp_path / "data").mkdir(mode=0o500)
    status, said = refused(hub("--port", "0", "--data-dir", str(tmp_path / "data")), tmp_path)
    assert (status, len(said)) == (2, 1), said
    assert str(tmp_path / "data") in said[0]


@pytest.mark.parametrize("option, value", [("--port", "99999"), ("--port", "web"), ("--log-level", "LOUD")])
def test_a_wrong_option_is_one_sentence_that_names_it(tmp_path, option, value):
    status, said = refused(hub("--data-dir", str(tmp_path / "data"), option, value), tmp_path)
    assert (status, len(said)) == (2, 1), said
    assert option in said[0] and value in said[0]


@pytest.mark.parametrize("program, packages", [("smon_server.py", "bcrypt bottle"), ("smon_agent.py", "psutil")])
def test_a_missing_package_is_one_sentence_that_names_it(tmp_path, program, packages):
    # Without its site module a Python sees the standard library alone.
    status, said = refused([sys.executable, "-S", str(ROOT / program)], tmp_path)
    assert (status, len(said)) == (2, 1), said
    assert any(package in said[0] for package in packages.split()), said


@pytest.mark.parametrize("program", ["smon_server.py", "smon_agent.py"])
def test_an_old_python_is_told_which_one_is_needed(tmp_path, program):
    status, said = refused([find("3.7"), str(ROOT / program)], tmp_path)
    assert (status, len(said)) == (2, 1), said
    assert "3.8" in said[0]


def test_the_hub_starts_from_any_folder_with_no_option_but_a_free_port(tmp_path):
    from_elsewhere = subprocess.Popen([sys.executable, str(ROOT / "smon_server.py"), "--port", "0"], cwd=str(tmp_path),
                                      env=clean_environment({"SMON_HOST": "127.0.0.1"}), stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    try:
        assert any("http://127.0.0.1:" in line for line in iter(from_elsewhere.stdout.readline, ""))
        assert (tmp_path / "smon_data" / "smon.db").exists()
    finally:
        from_elsewhere.terminate()
        rest = from_elsewhere.communicate(timeout=15)[0]
    assert from_elsewhere.returncode == 0, rest
