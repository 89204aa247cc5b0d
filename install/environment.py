"""A private Python beside the repository's files, with the packages of one requirements file.

It is made once and used again while the file and the Python stay the same. Where the system's Python comes without
venv (Debian without python3-venv), the packages go into a folder of their own and reach Python through PYTHONPATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple


class SetupError(Exception):
    """The environment can not be made here; the text says what to do."""


class Environment(NamedTuple):
    """How to start the Python that has the packages."""

    python: str
    variables: Dict[str, str]


def ready(folder: Path, requirements: Path, python: str = sys.executable) -> Environment:
    """The environment in this folder, made or made again when its requirements or its Python changed."""
    stamp = folder / "made-for.txt"
    wanted = "%s\n%s" % (_version(python), _text(requirements))
    environment = _describe(folder, python)
    if _read(stamp) == wanted and _works(environment):
        return environment
    print("Setting up %s for the packages of %s." % (folder.name, requirements.name), flush=True)
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.mkdir(parents=True)
    _make(folder, requirements, python)
    stamp.write_text(wanted, encoding="utf-8")
    return _describe(folder, python)


def _describe(folder: Path, python: str) -> Environment:
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if inside.exists():
        return Environment(str(inside), {})
    return Environment(python, {"PYTHONPATH": str(folder / "packages")})


def _make(folder: Path, requirements: Path, python: str) -> None:
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", str(requirements)]
    # Without ensurepip the command leaves half a folder and advice that needs root: look first.
    if _run([python, "-c", "import ensurepip, venv"], quiet=True):
        made = _run([python, "-m", "venv", str(folder)]) and _run([_describe(folder, python).python] + install)
    elif _run([python, "-m", "pip", "--version"], quiet=True):
        made = _run([python] + install + ["--target", str(folder / "packages")])
    else:
        raise SetupError("%s has neither venv nor pip: install the package python3-venv (or python3-pip) and start "
                         "again, or install the packages of %s by hand." % (python, requirements))
    if not made:
        shutil.rmtree(str(folder), ignore_errors=True)
        raise SetupError("The packages of %s could not be installed for %s; pip's words are above."
                         % (requirements, python))


def _works(environment: Environment) -> bool:
    """A virtual environment dies with the Python that it was made from."""
    return _run([environment.python, "-c", ""], quiet=True)


def _run(command: List[str], quiet: bool = False) -> bool:
    output = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.call(command, stdout=output, stderr=output) == 0
    except OSError:
        return False


def _version(python: str) -> str:
    return subprocess.check_output([python, "-c", "import sys; print(sys.executable, sys.version)"],
                                   universal_newlines=True)


def _text(requirements: Path) -> str:
    """The lines of the file and of the files that it includes."""
    lines = []
    for line in requirements.read_text(encoding="utf-8").splitlines():
        name = line[3:].strip() if line.startswith("-r ") else None
        lines.append(_text(requirements.parent / name) if name else line)
    return "\n".join(lines)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
