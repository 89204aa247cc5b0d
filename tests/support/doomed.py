"""Hubs that kill themselves (SIGKILL) before the n-th statement of their work: one process forks them all, as a fork
has everything imported already.

`python -m tests.support.doomed DATA_DIR` reads a number a line and runs one hub for each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Optional

from smon_hub import clock
from smon_hub.store import engine
from tests.hub import inside
from tests.support import ROOT

SERVERS = 4
SAMPLES_MAX = 400  # of one hub: far more than it lives to take
COOL, HOT = {"cpu_percent": 10.0}, {"cpu_percent": 99.0}


class Doomed:
    """The process that forks them, for a test."""

    def __init__(self, data_dir: Path):
        self._process = subprocess.Popen([sys.executable, "-m", "tests.support.doomed", str(data_dir)], cwd=str(ROOT),
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)

    def __enter__(self) -> "Doomed":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._process.communicate(timeout=60)

    def run(self, statements: int) -> Dict[int, bool]:
        """Let a hub live for so many statements: whether the last sample was hot that each server had an answer to."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("%d\n" % statements)
        self._process.stdin.flush()
        answered: Dict[int, bool] = {}
        for line in iter(self._process.stdout.readline, "killed\n"):
            assert line, "The hub ended by itself."
            number, hot = line.split()
            answered[int(number)] = hot == "hot"
        return answered


class _Fuse(engine.Connection):
    """A connection of a hub that is killed before one of its statements. left: None while nobody counts."""

    left: Optional[int] = None

    def execute(self, *arguments: Any) -> Any:
        if _Fuse.left is not None:
            _Fuse.left -= 1
            if _Fuse.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*arguments)


def live(data_dir: str, turn: int, statements: int) -> None:
    """Three samples of each server in turn, the first of them hot, until the fuse is burnt."""
    engine.Connection = _Fuse  # type: ignore[misc]
    hub = inside.HubInside(data_dir, at=inside.START + 2 * turn * clock.HOUR)
    hub.open()
    _Fuse.left = statements
    for number in range(SAMPLES_MAX):
        server = number % SERVERS
        hot = (turn + number // SERVERS) % 3 == 0
        hub.send(hub.fleet.servers()[server], HOT if hot else COOL)
        os.write(1, b"%d %s\n" % (server, b"hot" if hot else b"cool"))


def main(data_dir: str) -> None:
    for turn, line in enumerate(sys.stdin, 1):
        child = os.fork()
        if child == 0:
            live(data_dir, turn, int(line))
            os._exit(1)
        _, how = os.waitpid(child, 0)
        if os.WIFSIGNALED(how) and os.WTERMSIG(how) == signal.SIGKILL:
            os.write(1, b"killed\n")
        else:
            return


if __name__ == "__main__":
    main(sys.argv[1])
