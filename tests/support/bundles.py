"""The offline bundle of this tree, made once for all tests that carry it somewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import List

from tests.support import ROOT, needs

WHEELS = ROOT / ".venv-tests" / "wheels"  # kept for the next run
TOOL = ROOT / "install" / "bundle.py"
PLATFORM = "linux-x86_64"


def wheels() -> Path:
    """Wheels for this kind of machine, from pip the first time."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    program = ("import sys; sys.path.insert(0, %r); import bundle; from pathlib import Path; "
               "bundle.download(Path(%r), [%r], ['3.8', '3.11', '3.13'])" % (str(TOOL.parent), str(WHEELS), PLATFORM))
    made = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    if made.returncode != 0:
        needs.package("The wheels of a bundle can not be had: %s" % made.stdout[-500:])
    return WHEELS


def make(target: Path, *words: str) -> Path:
    """The bundle as a zip."""
    made = subprocess.run([sys.executable, str(TOOL), "--wheels", str(wheels()), "--out", str(target), *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert made.returncode == 0, made.stdout
    return target


def carry(zipped: Path, target: Path) -> Path:
    """Unpack it as its documents say; the folder with the programs."""
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(str(zipped)) as archive:
        archive.extractall(str(target))
    return next(target.iterdir())


def bare_python(folder: Path) -> Path:
    """A Python without pip and without any package."""
    base = getattr(sys, "_base_executable", sys.executable)
    if subprocess.call([base, "-m", "venv", "--without-pip", "--clear", str(folder)]) != 0:
        needs.package("The Python below this environment can not make environments; install python3-venv.")
    return folder / "bin" / "python"


def without_network() -> List[str]:
    """The words that start a command in a network namespace of its own, which leads nowhere."""
    if shutil.which("ip") is None:
        needs.package("iproute2 is not installed: the bundle is tried without a network.")
    unshare = machine_rights("unshare")
    if subprocess.call([unshare, "-rn", "true"], stderr=subprocess.DEVNULL) != 0:
        needs.system("This machine allows no network namespaces.")
    return [unshare, "-rn"]


def machine_rights(tool: str) -> str:
    """The path of a system tool that only root may use in earnest."""
    path = shutil.which(tool)
    return path or needs.system("There is no %s on this machine." % tool)
