"""A fake hub, and real agent processes against it with minutes of a fraction of a second."""

from __future__ import annotations

import types

import pytest

import smon_agent
from tests.agent.fake_hub import FakeHub
from tests.support.processes import AgentProcess

QUICK = {"retry_delay_seconds": 0.1, "request_timeout_seconds": 2, "auto_discover_services": False}


@pytest.fixture
def fake_hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def start(tmp_path, fake_hub):
    """Start an agent: start("--once", hub=other, live_enabled=True). Started again it is the same agent."""
    started = []

    def start(*arguments, hub=None, minute_seconds=0.1, env=None, folder="agent", **config):
        process = AgentProcess(tmp_path / folder, (hub or fake_hub).url, *arguments, config=dict(QUICK, **config),
                               minute_seconds=minute_seconds, env=env)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.running:
            process.kill9()


@pytest.fixture
def options():
    """Every option with its default."""
    return smon_agent.in_force({})


@pytest.fixture
def config(tmp_path):
    """A config of an agent in this process: config({"api_key": "k"})."""
    def make(given: dict) -> smon_agent.Config:
        smon_agent.write_atomic(str(tmp_path / "config.json"), smon_agent.json.dumps(given).encode())
        return smon_agent.Config(str(tmp_path / "config.json"))
    return make


@pytest.fixture
def machine():
    return smon_agent.Machine()


@pytest.fixture
def fake_psutil(monkeypatch):
    """Replace functions of psutil by what an odd machine answers: fake_psutil(swap_memory=lambda: ...)."""
    def fake(**functions) -> types.SimpleNamespace:
        for name, function in functions.items():
            monkeypatch.setattr(smon_agent.psutil, name, function, raising=False)
    return fake
