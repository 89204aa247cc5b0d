"""The oldest psutil that is promised, on the oldest Python: a whole sample, and live ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import smon_agent
from install import environment
from tests.agent.test_collect import LIVE_FIELDS
from tests.support import ROOT, needs, pythons
from tests.support.processes import AgentProcess, until

REQUIREMENTS = Path(__file__).parent / "samples" / "requirements-psutil-5.6.txt"


@pytest.fixture(scope="module")
def old() -> environment.Environment:
    """It is built from its source, for which a compiler must be there; kept for the next run of the tests."""
    python = pythons.find("3.8")
    try:
        return environment.ready(ROOT / ".venv-tests" / "psutil-5.6-on-3.8", REQUIREMENTS, python)
    except environment.SetupError as error:
        return needs.package(str(error))


def test_it_is_the_old_one(old):
    said = subprocess.check_output([old.python, "-c", "import psutil; print(psutil.__version__)"],
                                   env=dict(old.variables), universal_newlines=True)
    assert said == "5.6.7\n"


def test_a_sample_lacks_nothing_with_an_old_psutil(old, fake_hub, tmp_path):
    with AgentProcess(tmp_path / "agent", fake_hub.url, python=old.python, minute_seconds=0.1, env=old.variables,
                      config={"live_enabled": True, "live_interval_seconds": 5}) as agent:
        until(lambda: len(fake_hub.samples) >= 3 and len(fake_hub.live) >= 1, "Samples; it said: " + agent.log)
        assert "psutil 5.6.7" in agent.log
        assert agent.stop() == 0, agent.log
    first, second = list(fake_hub.samples.values())[:2]
    assert set(first["agent"]["errors"]) | set(second["agent"]["errors"]) <= {"services"}
    machine, options = smon_agent.Machine(), smon_agent.in_force({"collect_services": False})
    assert set(second["metrics"]) == set(machine.collect(options)[0]["metrics"])
    assert (None in second["metrics"]["disk_io_rate"].values()) == (not smon_agent.disk_counters_linux())
    assert None not in second["metrics"]["network_rate"].values() and second["processes"]
    assert set(fake_hub.live[0]) == LIVE_FIELDS and "Traceback" not in agent.log
