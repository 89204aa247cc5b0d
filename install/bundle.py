"""Make the offline bundle: one zip that brings agent and hub to machines without a network and without pip.

    python3 install/bundle.py                                    every platform, to dist/smon-VERSION.zip
    python3 install/bundle.py --platform linux-x86_64 --python 3.11
    python3 install/bundle.py --wheels FOLDER                    with wheels that are here already, nothing downloaded

pip gets the wheels, with its own settings: a local mirror works. The same tree and the same wheels give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pyz
import sbom
import unpack

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
INSTALLER = ("install_service.py", "on_systemd.py", "on_windows.py", "placing.py", "programs.py", "pyz.py", "unpack.py",
             "systemd/smon-agent.service", "systemd/smon-hub.service", "windows/task.xml",
             "nginx.conf", "partitions.sql")
SHOWN = (".md", ".png")
TEXTS = ("README.md", "CHANGELOG.md", "LICENSE")
PURE = "bottle"  # goes into the hub's single file


class Platform(NamedTuple):
    """kind, libc and machine as in unpack.System; tags: what pip may take for it."""

    kind: str
    libc: Tuple[int, int]
    machine: str
    tags: Tuple[str, ...]


def _linux(machine: str) -> Platform:
    return Platform("manylinux", (2, 17), machine, tuple(
        tag + machine for tag in ("manylinux2014_", "manylinux_2_17_", "manylinux2010_", "manylinux_2_12_",
                                  "manylinux1_")))


def _musl(machine: str) -> Platform:
    return Platform("musllinux", (1, 2), machine, ("musllinux_1_2_" + machine, "musllinux_1_1_" + machine))


PLATFORMS = {
    "linux-x86_64": _linux("x86_64"),
    "linux-aarch64": _linux("aarch64"),
    "musl-x86_64": _musl("x86_64"),
    "musl-aarch64": _musl("aarch64"),
    "windows-amd64": Platform("win", (0, 0), "x86_64", ("win_amd64",)),
}


class CanNotMake(Exception):
    """Why there is no bundle, in a sentence."""


def main(arguments: List[str]) -> int:
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            wheels = Path(options.wheels or folder)
            if not options.wheels:
                download(wheels, options.platform or list(PLATFORMS), options.python or list(PYTHONS))
            target = Path(options.out or str(ROOT / "dist" / ("smon-%s.zip" % version())))
            target.parent.mkdir(parents=True, exist_ok=True)
            content = whole(wheels)
    except (CanNotMake, unpack.Misfit) as error:
        print("bundle: %s" % error, file=sys.stderr)
        return 2
    target.write_bytes(content)
    print("%s  %s" % (hashlib.sha256(content).hexdigest(), target))
    return 0


def parse(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="", help="the zip to write")
    parser.add_argument("--platform", action="append", choices=sorted(PLATFORMS), help="one of several; default: all")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="one of several; default: all")
    parser.add_argument("--wheels", default="", metavar="FOLDER", help="take the wheels from here")
    return parser.parse_args(arguments)


def version() -> str:
    """The project's version, read and not imported: the hub's packages may be missing here."""
    text = (ROOT / "smon_hub" / "__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def download(folder: Path, platforms: List[str], pythons: List[str]) -> None:
    """A wheel of each package for every platform and Python; one that fits several is fetched once."""
    if not list(folder.glob(PURE + "-*.whl")):
        _pip_download(folder, PURE)
    for name in platforms:
        platform = PLATFORMS[name]
        for python in pythons:
            system = unpack.System((3, int(python[2:])), *platform[:3])
            for package in unpack.NEEDED:
                if not any(path.name.startswith(package + "-") and unpack.fits(path.name, system)
                           for path in folder.glob("*.whl")):
                    _pip_download(folder, package, "--python-version", python, "--implementation", "cp",
                                  *(word for tag in platform.tags for word in ("--platform", tag)))


def _pip_download(folder: Path, package: str, *words: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--dest", str(folder), *words, _requirement(package)]
    if subprocess.call(command) != 0:
        raise CanNotMake("pip could not get %s %s; its words are above." % (package, " ".join(words)))


def _requirement(package: str) -> str:
    """As the hub's requirements say it."""
    lines = (ROOT / "install" / "requirements-hub.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(package))


def whole(wheels: Path) -> bytes:
    """The zip's content."""
    files = dict(_programs(wheels), **{"wheels/" + path.name: path.read_bytes() for path in _compiled(wheels)})
    files["sbom.cdx.json"] = sbom.document(version(), files, _pure(wheels).name)
    sums = "".join("%s  %s\n" % (hashlib.sha256(files[name]).hexdigest(), name) for name in sorted(files))
    files["SHA256SUMS"] = sums.encode()
    top = "smon-%s/" % version()
    return pyz.packed({top + name: content for name, content in files.items()})


def _programs(wheels: Path) -> Dict[str, bytes]:
    """Everything but the wheels."""
    with zipfile.ZipFile(str(_pure(wheels))) as archive:
        server = pyz.build(archive.read("bottle.py"))
    documents = ["docs/" + path.name for path in sorted((ROOT / "docs").iterdir()) if path.suffix in SHOWN]
    names = [*TEXTS, *documents, "smon_agent.py", *("install/" + name for name in INSTALLER)]
    return dict({name: (ROOT / name).read_bytes() for name in names}, **{"smon_server.pyz": server})


def _pure(wheels: Path) -> Path:
    found = sorted(wheels.glob(PURE + "-*.whl"))
    if not found:
        raise CanNotMake("%s holds no wheel of %s." % (wheels, PURE))
    return found[-1]


def _compiled(wheels: Path) -> Iterator[Path]:
    for path in sorted(wheels.glob("*.whl")):
        if path.name.startswith(tuple(name + "-" for name in unpack.NEEDED)):
            yield path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
