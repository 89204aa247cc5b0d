"""Copies of the database file: taken at one moment while the hub writes on, and looked through before they are trusted.

A snapshot that stays open is what is copied: a stepped copy without one begins anew with each commit and never ends.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Callable

from .engine import Connection, Trouble

STEP_PAGES = 2_048           # 8 MiB between two looks at whether to go on
LOOK_STEPS = 1_000_000       # of SQLite's machine between two such looks of a check
FAULTS_SHOWN = 5

Progress = Callable[[int, int], None]  # what is left, and the whole; an exception of it ends the copy


class Stopped(Exception):
    """Nobody waits for the result any more."""


def copy(database: str, target: str, progress: Progress) -> None:
    """The database as it is now, into a new file that is on the disk afterwards. Raises Trouble, OSError."""
    new = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        with closing(_opened(database, "mode=ro")) as source, closing(_opened(target, "mode=rw")) as made:
            made.execute("PRAGMA journal_mode = OFF")  # the copy is thrown away when it is not whole
            made.execute("PRAGMA synchronous = OFF")
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM meta LIMIT 1").fetchone()  # from here on the snapshot stands

            def step(status: int, left: int, whole: int) -> None:
                os.fsync(new)  # as it goes: one at the end would hold up the commits of the hub
                progress(left, whole)
            source.backup(made, pages=STEP_PAGES, progress=step)
        os.fsync(new)
    finally:
        os.close(new)


def fault(path: str, whole: bool = False, live: bool = False, stopped: Callable[[], bool] = lambda: False) -> str:
    """What is wrong with a database file, or "". whole: indexes against their tables, too. live: others write to it.

    Raises Stopped once stopped() says so.
    """
    try:
        with closing(_opened(path, "mode=rw" if live else "mode=ro&immutable=1")) as db:
            db.execute("PRAGMA query_only = ON")
            db.set_progress_handler(lambda: int(stopped()), LOOK_STEPS)
            check = "PRAGMA integrity_check(%d)" if whole else "PRAGMA quick_check(%d)"
            found = [" ".join(row[0].split()) for row in db.execute(check % FAULTS_SHOWN)]
    except Trouble as error:
        if stopped():
            raise Stopped from None
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


def version(path: str, live: bool = False) -> int:
    """The schema version of a database file; 0 for one that is none of ours. Raises Trouble."""
    with closing(_opened(path, "mode=rw" if live else "mode=ro&immutable=1")) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def _opened(path: str, mode: str) -> Connection:
    return Connection(Path(path).absolute().as_uri() + "?" + mode, uri=True, isolation_level=None,
                      check_same_thread=False)
