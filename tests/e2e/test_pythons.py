"""Hub and agent on the oldest and on a new Python: each runs, and a sample passes from one to the other."""

from __future__ import annotations

import pytest

from tests.support import pythons
from tests.support.processes import AgentProcess, HubProcess, until


@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_both_programs_run_on_python(version, tmp_path):
    made = pythons.with_packages(version)
    with HubProcess(tmp_path / "data", env=made.variables, python=made.python) as hub:
        assert hub.get("/").status == 200
        with AgentProcess(tmp_path / "agent", hub.url, env=made.variables, python=made.python) as agent:
            server_id = agent.server_id()
            until(lambda: hub.server(server_id)["metrics"], "A sample; the agent said: " + agent.log)
            assert agent.stop() == 0, agent.log
        assert hub.stop() == 0, hub.log
        assert "Traceback" not in hub.log + agent.log
