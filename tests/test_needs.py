"""What is missing on a machine: a skip with its reason, or a failure where CI=true and a package could bring it."""

from __future__ import annotations

import pytest

from tests.support import needs


def test_a_missing_program_is_a_skip_on_a_developers_machine(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed: it is asked for here"):
        needs.program("no-such-program", why="it is asked for here")


def test_a_missing_program_is_a_failure_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        needs.program("no-such-program", why="it is asked for here")


def test_what_the_system_forbids_is_a_skip_even_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception, match="Nobody can bring it"):
        needs.system("Nobody can bring it.")


def test_a_module_for_a_newer_python_is_a_skip_even_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception, match="json needs Python 99.0: it is asked for here"):
        needs.module("json", why="it is asked for here", python=(99, 0))


def test_a_missing_module_is_a_failure_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no_such_module is not installed"):
        needs.module("no_such_module", why="it is asked for here")
