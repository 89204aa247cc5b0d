"""Programs that refuse to run as root, or should not: root starts them as nobody, everyone else as oneself."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import List

from tests.support import needs

USER = GROUP = 65534  # nobody and its group, by whatever name, wherever there is a Linux


def _root() -> bool:
    return os.geteuid() == 0


def words() -> List[str]:
    """What stands before such a command; the process keeps its id through it."""
    if not _root():
        return []
    setpriv = needs.program("setpriv", why="root starts the servers of the tests as nobody")
    return [setpriv, "--reuid", str(USER), "--regid", str(GROUP), "--clear-groups"]


def folder(name: str) -> Path:
    """A new folder that such a program may write. Those of pytest are closed to everyone but their owner."""
    made = Path(tempfile.mkdtemp(prefix="smon-%s-" % name))
    give(made)
    return made


def give(path: Path) -> None:
    """Let such a program read and write a file or folder of one's own."""
    if _root():
        os.chown(str(path), USER, GROUP)
