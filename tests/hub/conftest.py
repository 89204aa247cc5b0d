"""Fixtures of the rooms: a hub inside the test's own process."""

from __future__ import annotations

import pytest

from smon_hub.store import outbox
from tests.hub import inside


@pytest.fixture
def hub_inside(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        yield hub


@pytest.fixture
def telling_hub(hub_inside, monkeypatch):
    """A hub whose `told` holds what it tells the channels."""
    hub_inside.told = []
    add = outbox.add

    def note(db, messages, now):
        hub_inside.told += messages
        add(db, messages, now)
    monkeypatch.setattr(outbox, "add", note)
    return hub_inside
