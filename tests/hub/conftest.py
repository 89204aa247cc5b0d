"""Fixtures of the rooms: a hub inside the test's own process."""

from __future__ import annotations

import pytest

from tests.hub import inside


@pytest.fixture
def hub_inside(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        yield hub
