"""Fixtures of the store: a database file of the test's own."""

from __future__ import annotations

import pytest

from smon_hub.store.engine import Engine


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "smon.db")


@pytest.fixture
def engine(path):
    """An engine with an empty database."""
    running = Engine(path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def db(engine):
    """The reading connection of the test's thread."""
    return engine.read()
