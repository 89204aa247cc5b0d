"""The SQLite file: one writer thread that commits in groups, a reading connection for each thread that asks.

One writer means that no caller ever meets a locked database.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional

from . import schema
from .commits import Commits, Database, DatabaseUnusable, refusal, unavailable
from .options import check_whole

log = logging.getLogger("smon.store")

BUSY_TIMEOUT_SECONDS = 5     # another process (a backup, a curious admin) may hold the file for a moment
JOURNAL_LIMIT = 64 << 20     # a WAL that grew in a burst is cut back to this
FLOOR_BYTES = 16 << 20       # no writes below this much free space, or 5 percent of a small volume
FLOOR_SHARE = 0.05
PAGES_GIVEN_BACK = 500       # 2 MB at a time: some 20 ms of the writer

Trouble = sqlite3.DatabaseError  # of the database: full, damaged, locked, away; not of what was asked
Conflict = sqlite3.IntegrityError  # with what is there, such as a second row of one key
Mistake = sqlite3.ProgrammingError  # in what was asked


class Connection(sqlite3.Connection):
    """A connection to the file, as commits.Database has it."""

    shared = False

    def moment(self) -> int:
        return self.execute("SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)").fetchone()[0]

    def bytes_in_use(self) -> int:
        pages, free, size = (self.execute("PRAGMA " + name).fetchone()[0]
                             for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def give_back(self) -> int:
        free = self.execute("PRAGMA freelist_count").fetchone()[0]
        for _ in range(min(free, PAGES_GIVEN_BACK)):
            self.execute("PRAGMA incremental_vacuum(1)")  # Python takes one step of it, a page, whatever is asked
        return max(0, free - PAGES_GIVEN_BACK)

    def grew(self, parts: Iterable[str] = (), servers: Iterable[int] = ()) -> None:
        """There is no other hub."""


class Engine(Commits):
    """Owns the file at `path`; created with its schema when it is missing, migrated when it is older."""

    shared = False

    def __init__(self, path: str):
        super().__init__(threads=1)
        self.path = path
        self._writer: Optional[Connection] = None
        self._space_checked = 0.0
        self._full = ""
        self._half = False

    def start(self, half: bool = False) -> None:
        """Open or create the file and start the writer. half: even where a move has not ended. Raises
        DatabaseUnusable."""
        self._create()
        self._half = half
        self._writer = self._open()
        self._begin()

    def stop(self) -> None:
        """Commit what was submitted, then close. Nothing may be submitted any more."""
        self._end()

    def _open_reader(self) -> Connection:
        connection = _connect(self.path)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def unusable(self, error: Exception) -> DatabaseUnusable:
        """Trouble with the file at start, in words that say what to do."""
        if isinstance(error, sqlite3.OperationalError):  # a full, locked or read-only disk; the file itself is well
            return DatabaseUnusable("The database %s can not be used: %s. What it holds is as it was; start again when "
                                    "that is mended." % (self.path, error))
        return DatabaseUnusable("The database %s can not be used: %s. Restore a backup of it, or move it away to start "
                                "with an empty one." % (self.path, error), damaged=True)

    def check(self) -> None:
        """Raises HubError("unavailable") when the file does not answer."""
        try:
            self.read().execute("SELECT 1 FROM meta LIMIT 1").fetchone()
        except Trouble as error:
            raise refusal(error) from None

    def files(self) -> Dict[str, int]:
        """The bytes of the database file and of its write-ahead log."""
        return {"file_bytes": _file_bytes(self.path), "wal_bytes": _file_bytes(self.path + "-wal")}

    def free_bytes(self) -> int:
        """What is free on the disk of the database. Raises HubError("unavailable") when that can not be told."""
        try:
            return shutil.disk_usage(self.volume()).free
        except OSError as error:
            log.error("The volume of %s does not answer: %s.", self.path, error.strerror)
            raise unavailable("The hub's disk does not answer.") from None

    def volume(self) -> str:
        return os.path.dirname(os.path.abspath(self.path))

    # --- opening --------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        """An empty file that only its owner may read; only at start, so that a lost file is never papered over."""
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            return
        except OSError as error:
            raise DatabaseUnusable("The database %s can not be created: %s." % (self.path, error.strerror)) from error

    def _open(self) -> Connection:
        try:
            connection = _connect(self.path)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > schema.VERSION:  # looked at before the first pragma that writes
                raise DatabaseUnusable("%s has schema version %d, made by a newer hub; this one knows version %d. "
                                       "Start the newer hub, or restore a backup made before the upgrade."
                                       % (self.path, version, schema.VERSION))
            if version == 0:
                if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                    raise DatabaseUnusable("%s is a database of another program; name another with --database."
                                           % self.path)
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has to be said before the first table
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON",
                           "journal_size_limit = %d" % JOURNAL_LIMIT):
                connection.execute("PRAGMA " + pragma)
            _migrate(connection, version)
            # What a savepoint would put back: 64 KB are not enough for a group's pages, and a file costs as much again.
            # Not before: of a step of the schema it might be more than memory holds.
            connection.execute("PRAGMA temp_store = MEMORY")
            if not self._half:
                check_whole(connection, self.path)
        except sqlite3.Error as error:
            raise self.unusable(error) from error
        return connection

    def _reopen(self) -> None:
        """After a failed commit the old connection's view of the file is not to be trusted."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        try:
            self._writer = self._open()
        except DatabaseUnusable as error:
            log.error("%s", error)

    # --- writing --------------------------------------------------------------------------------------------------

    def _transaction(self, work: Callable[[Database], List[Any]]) -> List[Any]:
        if self._writer is None:
            self._reopen()
        if self._writer is None:
            raise sqlite3.OperationalError("it can not be opened")
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            outcomes = work(self._writer)
            self._writer.execute("COMMIT")
        except Exception:
            self._roll_back()
            raise
        return outcomes

    def _ends_group(self, error: Exception) -> bool:
        return isinstance(error, Trouble) and not isinstance(error, (Conflict, sqlite3.ProgrammingError))

    def _roll_back(self) -> None:
        if self._writer is None:
            return
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.error("The database could not roll back: %s.", error)
        self._reopen()

    def _let_go(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _no_space(self) -> str:
        """Why nothing may be written, or "". Looked at once a second: the disk must still take a checkpoint."""
        if time.monotonic() - self._space_checked >= 1:
            self._space_checked = time.monotonic()
            try:
                usage = shutil.disk_usage(self.volume())
            except OSError as error:
                log.error("The volume of %s does not answer: %s.", self.path, error.strerror)
                self._full = "The hub's disk does not answer."
            else:
                self._full = ("The hub's disk is full; nothing can be stored until there is space."
                              if usage.free < min(FLOOR_BYTES, usage.total * FLOOR_SHARE) else "")
        return self._full


def _file_bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # no log is there until something was written
        return 0


def _connect(path: str) -> Connection:
    """A connection without Python's own transactions; rows are tuples. Any thread may close it, one uses it."""
    return sqlite3.connect(Path(path).absolute().as_uri() + "?mode=rw", uri=True, timeout=BUSY_TIMEOUT_SECONDS,
                           isolation_level=None, check_same_thread=False, cached_statements=256, factory=Connection)


def _migrate(connection: Connection, version: int) -> None:
    """From an empty file, or from any released version, to the newest; each step in its own transaction."""
    if version == schema.VERSION:
        return
    steps = [(schema.VERSION, schema.SCHEMA)] if version == 0 else [
        (number + 2, text) for number, text in enumerate(schema.MIGRATIONS) if number + 1 >= version]
    for reached, text in steps:
        connection.executescript("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;" % (text, reached))
        log.info("The database has schema version %d.", reached)
