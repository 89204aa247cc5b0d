"""Put the packages of a bundle beside its programs, without pip: `python3 install/unpack.py`.

A wheel is a zip whose name says which Python and system it is for. Those that fit this Python are unpacked next to
`smon_agent.py` and `smon_server.pyz`, where Python looks first.
"""

from __future__ import annotations

import platform
import re
import shutil
import struct
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Iterable, List, NamedTuple, Tuple

HERE = Path(__file__).resolve().parent
NEEDED = ("bcrypt", "psutil")
WHEEL = re.compile(r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[^-]+)(-[0-9][^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)"
                   r"-(?P<platform>[^-]+)\.whl")
GLIBC_NAMES = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}  # older names of 2.N
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class Misfit(Exception):
    """No wheel fits; the sentence says what was looked for."""


class System(NamedTuple):
    """What a wheel has to fit: the Python's version, and the system as wheels call it."""

    python: Tuple[int, int]
    kind: str                  # manylinux, musllinux, win
    libc: Tuple[int, int]      # of the kind; (0, 0) on Windows
    machine: str


def main(arguments: List[str]) -> int:
    if arguments:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    try:
        for wheel in fitting(HERE.parent / "wheels", NEEDED, this_system()):
            print("%s is %s." % (wheel.name, "unpacked" if unpack(wheel, HERE.parent) else "there already"))
    except (Misfit, OSError) as error:
        print("unpack: %s" % error, file=sys.stderr)
        return 2
    return 0


def this_system() -> System:
    """The Python that runs this. Raises Misfit on a system that no bundle is made for."""
    python = sys.version_info[0], sys.version_info[1]
    machine = platform.machine().lower()
    machine = MACHINES.get(machine, machine)
    if struct.calcsize("P") != 8:
        raise Misfit("This Python is a 32-bit one; the bundle holds packages for 64 bits.")
    if sys.platform == "win32":
        return System(python, "win", (0, 0), machine)
    if not sys.platform.startswith("linux"):
        raise Misfit("The bundle holds packages for Linux and Windows, not for %s." % sys.platform)
    libc, version = platform.libc_ver()
    if libc == "glibc":
        major, minor = _version(version)[:2]
        return System(python, "manylinux", (major, minor), machine)
    return System(python, "musllinux", (1, 2), machine)  # every musl since 2019, whose version Python can not tell


def fitting(folder: Path, names: Iterable[str], system: System) -> List[Path]:
    """For each package the wheel of the highest version that fits. Raises Misfit that names the package."""
    found = []
    for name in names:
        wheels = [path for path in folder.glob("*.whl") if path.name.lower().startswith(name + "-")
                  and fits(path.name, system)]
        if not wheels:
            raise Misfit("%s holds no %s for Python %d.%d on %s %s." % (folder, name, *system.python, system.kind,
                                                                        system.machine))
        found.append(max(wheels, key=lambda path: _version(path.name.split("-")[1])))
    return found


def fits(name: str, system: System) -> bool:
    """Whether a wheel of this file name works there."""
    parts = WHEEL.fullmatch(name)
    return bool(parts and any(_fits_python(tag, parts["abi"], system.python) for tag in parts["python"].split("."))
                and any(_fits_platform(tag, system) for tag in parts["platform"].split(".")))


def _fits_python(tag: str, abi: str, python: Tuple[int, int]) -> bool:
    """py3-none, cp311-cp311, and cp36-abi3 for every later Python."""
    if tag in ("py3", "py2"):
        return tag == "py3" and abi == "none"
    number = re.fullmatch(r"cp3([0-9]+)", tag)
    if not number:
        return False
    minor = int(number[1])
    return minor <= python[1] if abi == "abi3" else abi in (tag, tag + "m") and minor == python[1]


def _fits_platform(tag: str, system: System) -> bool:
    if tag == "any":
        return True
    if system.kind == "win":
        return tag == {"x86_64": "win_amd64", "aarch64": "win_arm64"}.get(system.machine)
    named = re.fullmatch(r"(manylinux1|manylinux2010|manylinux2014)_(\w+)", tag)
    if named:
        kind, libc, machine = "manylinux", GLIBC_NAMES[named[1]], named[2]
    else:
        exact = re.fullmatch(r"(manylinux|musllinux)_([0-9]+)_([0-9]+)_(\w+)", tag)
        if not exact:
            return False
        kind, libc, machine = exact[1], (int(exact[2]), int(exact[3])), exact[4]
    return kind == system.kind and machine == system.machine and libc <= system.libc


def unpack(wheel: Path, target: Path) -> bool:
    """Replace the wheel's packages in the folder as a whole, so that nothing of older ones stays; False if it is there.
    """
    name, version = wheel.name.split("-")[:2]
    if (target / ("%s-%s.dist-info" % (name, version))).is_dir():
        return False
    for old in target.glob(name + "-*.dist-info"):
        _remove(old)
    with tempfile.TemporaryDirectory(dir=str(target), prefix=".unpack-") as folder:
        with zipfile.ZipFile(str(wheel)) as archive:
            archive.extractall(folder)  # it drops leading slashes and dots of the names
        for path in sorted(Path(folder).iterdir(), key=_is_mark):
            _remove(target / path.name)
            shutil.move(str(path), str(target / path.name))
    return True


def _is_mark(path: Path) -> bool:
    """What says that the whole of it is there comes last."""
    return path.name.endswith(".dist-info")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    elif path.exists() or path.is_symlink():
        path.unlink()


def _version(text: str) -> Tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", text))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
