"""The environment that quickstart and the tests make for themselves, on machines that lack one thing or another."""

from __future__ import annotations

import sys

import pytest

from install import environment


@pytest.fixture
def machine(monkeypatch):
    """What was run, and words by which a run fails: `machine.lacks.append("ensurepip")`."""
    return Machine(monkeypatch)


class Machine:
    def __init__(self, monkeypatch):
        self.commands, self.lacks = [], []
        monkeypatch.setattr(environment, "_run", self.run)

    def run(self, command, quiet=False) -> bool:
        line = " ".join(command)
        self.commands.append(line)
        return not any(word in line for word in self.lacks)

    def installs(self) -> list:
        return [line for line in self.commands if "pip install" in line]


@pytest.fixture
def requirements(tmp_path):
    (tmp_path / "more.txt").write_text("psutil\n", encoding="utf-8")
    path = tmp_path / "requirements.txt"
    path.write_text("-r more.txt\nbottle\n", encoding="utf-8")
    return path


def test_it_is_made_once_for_the_same_packages(machine, requirements, tmp_path):
    for _ in range(3):
        environment.ready(tmp_path / "made", requirements)
    assert len(machine.installs()) == 1


def test_it_is_made_again_when_an_included_file_changes(machine, requirements, tmp_path):
    environment.ready(tmp_path / "made", requirements)
    (tmp_path / "more.txt").write_text("psutil>=6\n", encoding="utf-8")
    environment.ready(tmp_path / "made", requirements)
    assert len(machine.installs()) == 2


def test_without_venv_the_packages_go_into_a_folder_on_the_path(machine, requirements, tmp_path):
    machine.lacks.append("import ensurepip, venv")
    made = environment.ready(tmp_path / "made", requirements)
    packages = str(tmp_path / "made" / "packages")
    assert machine.installs()[0].endswith("--target " + packages)
    assert made == environment.Environment(sys.executable, {"PYTHONPATH": packages})


def test_without_venv_and_pip_it_says_what_to_install(machine, requirements, tmp_path):
    machine.lacks += ["import ensurepip, venv", "pip --version"]
    with pytest.raises(environment.SetupError, match="install the package python3-venv"):
        environment.ready(tmp_path / "made", requirements)


def test_an_installation_that_fails_leaves_nothing_that_looks_made(machine, requirements, tmp_path):
    machine.lacks.append("pip install")
    with pytest.raises(environment.SetupError, match="could not be installed"):
        environment.ready(tmp_path / "made", requirements)
    machine.lacks.clear()
    environment.ready(tmp_path / "made", requirements)
    assert len(machine.installs()) == 2
