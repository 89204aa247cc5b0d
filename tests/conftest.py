"""Fixtures for every room: a hub of the test module, a hub of one test, a caller with an address of its own."""

from __future__ import annotations

import os

import pytest

from tests.support.postgres import PostgresServer
from tests.support.processes import HubProcess


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A command that a test runs in this process may make its files private; those of the next tests shall not be."""
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    os.umask(mask)


def _end(hub: HubProcess) -> None:
    """End the hub; one that a test ended itself has nothing more to show."""
    if hub.running:
        assert hub.stop() == 0, hub.log
    assert "Traceback" not in hub.log, hub.log


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """One hub for a whole test module. Its tests register servers of their own and leave the settings as they were."""
    running = HubProcess(tmp_path_factory.mktemp("hub") / "data")
    yield running
    _end(running)


@pytest.fixture
def fresh_hub(tmp_path):
    """A hub for one test that changes settings, counts what is there, or ends the hub."""
    running = HubProcess(tmp_path / "data")
    yield running
    _end(running)


@pytest.fixture
def client(hub):
    """A caller of the module's hub that keeps its own address for the whole test."""
    caller = hub.client()
    yield caller
    caller.close()


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL for the whole run; each test takes a database of its own: `with postgres.database() as url`."""
    with PostgresServer() as running:
        yield running
