"""Fixtures of the store: a database of the test's own, on each engine."""

from __future__ import annotations

import pytest

from smon_hub.store.engine import Engine
from smon_hub.store.postgres import Postgres


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "smon.db")


@pytest.fixture
def sqlite(path):
    """An engine with an empty file."""
    yield from _running(Engine(path))


@pytest.fixture
def file(sqlite):
    """The reading connection to an empty file."""
    return sqlite.read()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request):
    """An engine with an empty database, of each kind in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
    else:
        with request.getfixturevalue("postgres").database() as url:
            yield from _running(Postgres(url))


@pytest.fixture
def db(engine):
    """The reading connection of the test's thread."""
    return engine.read()


def _running(engine):
    engine.start()
    yield engine
    engine.stop()
