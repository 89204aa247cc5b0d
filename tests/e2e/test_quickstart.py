"""The first command of the README, from a clean copy of the tree: this machine is in the dashboard, Ctrl-C ends all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import needs, tree
from tests.support.client import Client
from tests.support.processes import ChildProcess, free_port, until

SEEN = "first sample is on the hub"


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    return tree.copy(tmp_path_factory.mktemp("clone"))


class Quickstart(ChildProcess):
    def __init__(self, clone: Path, tmp_path: Path, port: int = 0, python: str = sys.executable):
        self.port = port or free_port()
        self.data_dir = tmp_path / "data"
        command = [python, str(clone / "install" / "quickstart.py"), "--port", str(self.port),
                   "--data-dir", str(self.data_dir)]
        super().__init__(command, tmp_path / "quickstart.log", cwd=clone)

    def wait_for_first_sample(self, seconds: float = 60) -> None:
        seen = self.log.count(SEEN)
        until(lambda: self.log.count(SEEN) > seen or not self.running, "The first sample:\n" + self.log, seconds)
        assert self.running, self.log

    def programs(self) -> dict:
        """Its children by the program that they run."""
        return {Path(child.cmdline()[1]).name: child for child in psutil.Process(self.pid).children()}

    def servers(self) -> list:
        return Client("http://127.0.0.1:%d" % self.port).get("/api/dashboard").json["servers"]


def test_it_shows_this_machine_and_ctrl_c_ends_both_and_a_second_start_goes_on(clone, tmp_path):
    with Quickstart(clone, tmp_path) as first:
        first.wait_for_first_sample()
        children, servers = first.programs(), first.servers()
        assert sorted(children) == ["smon_agent.py", "smon_server.py"]
        assert [server["hostname"] for server in servers if server["metrics"]] == [servers[0]["hostname"]]
        assert first.stop(signal.SIGINT) == 0, first.log
        assert not any(child.is_running() for child in children.values())
        assert "Traceback" not in first.log

    with Quickstart(clone, tmp_path) as second:  # another port, the same data
        second.wait_for_first_sample()
        assert [server["id"] for server in second.servers()] == [servers[0]["id"]]
        assert second.stop(signal.SIGTERM) == 0, second.log


def test_a_taken_port_is_the_hubs_own_sentence_and_status_2(clone, tmp_path, hub):
    with Quickstart(clone, tmp_path, port=hub.port) as quickstart:
        assert quickstart.process.wait(15) == 2
        said = [line for line in quickstart.log.splitlines() if " INFO " not in line]
        assert len(said) == 1 and str(hub.port) in said[0]


@pytest.mark.parametrize("victim, survivor", [("smon_agent.py", "smon_server.py"), ("smon_server.py", "smon_agent.py")])
def test_when_one_program_ends_the_other_is_ended_too(clone, tmp_path, victim, survivor):
    with Quickstart(clone, tmp_path) as quickstart:
        quickstart.wait_for_first_sample()
        children = quickstart.programs()
        children[victim].kill()
        assert quickstart.process.wait(30) not in (0, None)
        assert not children[survivor].is_running()
        assert "ended by itself" in quickstart.log


def test_it_sets_up_what_is_missing(clone, tmp_path):
    bare = getattr(sys, "_base_executable", sys.executable)
    if subprocess.call([bare, "-c", "import bcrypt, bottle, psutil"], stderr=subprocess.DEVNULL) == 0:
        needs.system("The Python below this environment has all packages of the hub.")
    with Quickstart(clone, tmp_path, python=bare) as quickstart:
        quickstart.wait_for_first_sample(180)
        assert (clone / ".venv").is_dir()
        assert quickstart.stop() == 0, quickstart.log
