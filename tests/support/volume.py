"""A small file system of a test's own, which can be full or read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from tests.support import needs

BLOCK = 64 << 10


class Volume:
    """A mounted tmpfs."""

    def __init__(self, path: Path):
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Take all room but so many bytes, at once and for good: what is freed meanwhile is taken, too."""
        with open(str(self._ballast), "ab", buffering=0) as file:
            try:
                while shutil.disk_usage(str(self.path)).free > leave:
                    file.write(b"\0" * min(BLOCK, shutil.disk_usage(str(self.path)).free - leave))
            except OSError:
                return  # full

    def empty(self) -> None:
        self._ballast.unlink()

    def read_only(self, on: bool) -> None:
        """Only while no file on it is open for writing."""
        subprocess.check_call(["mount", "-o", "remount," + ("ro" if on else "rw"), str(self.path)])


@contextmanager
def small(path: Path, megabytes: int) -> Iterator[Volume]:
    """A volume of that size, mounted at a new folder until the end of the test."""
    if os.name != "posix" or os.geteuid() != 0:
        needs.system("Only root can mount a small volume.")
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes, "tmpfs", str(path)],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if mounted.returncode != 0:
        needs.system("No volume can be mounted here: " + mounted.stdout)
    try:
        yield Volume(path)
    finally:
        subprocess.check_call(["umount", "--lazy", str(path)])  # a test that failed may still hold files
