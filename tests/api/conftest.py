"""Beside the real hubs of tests/conftest.py: a hub inside the test's own process."""

from __future__ import annotations

import pytest

from smon_hub import auth
from tests.hub import inside


@pytest.fixture
def hub_inside(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        yield hub


@pytest.fixture
def quick_passwords(monkeypatch):
    """Hashes that cost next to nothing, for tests in which time is no matter."""
    monkeypatch.setattr(auth, "PASSWORD_ROUNDS", 4)
