"""Beside the real hubs of tests/conftest.py: a hub inside the test's own process, for what takes thousands of tries."""

from __future__ import annotations

import pytest

from tests.hub import inside


@pytest.fixture
def hub_inside(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        yield hub
