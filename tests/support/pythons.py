"""Other Pythons of this machine, from the path or from pyenv, and environments for them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Iterator

from install import environment
from tests.support import ROOT, needs

REQUIREMENTS = ROOT / "install" / "requirements-hub.txt"


def find(version: str) -> str:
    """A Python of this version ("3.8"); the test is skipped where there is none."""
    for path in _candidates(version):
        if _version_of(path) == version:
            return path
    return needs.system("There is no Python %s on this machine." % version)


def with_packages(version: str) -> environment.Environment:
    """That Python with the packages of hub and agent, kept for the next run of the tests."""
    try:
        return environment.ready(ROOT / ".venv-tests" / ("hub-on-%s" % version), REQUIREMENTS, find(version))
    except environment.SetupError as error:
        return needs.package(str(error))


def _candidates(version: str) -> Iterator[str]:
    on_path = shutil.which("python" + version)
    if on_path:
        yield on_path
    yield from map(str, sorted(Path.home().glob(".pyenv/versions/%s*/bin/python" % version)))


def _version_of(path: str) -> str:
    """Its major and minor version; empty for a command that is no working Python."""
    asked = subprocess.run([path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, universal_newlines=True)
    return asked.stdout.strip()
