"""The SQLite file: one writer thread that commits in groups, a reading connection for each thread that asks.

`submit` answers a future that settles after the commit that holds its work, so an answer given then is on disk.
One writer means that no caller ever meets a locked database. What is stored is other rooms' business.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import sqlite3
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ..errors import HubError
from . import schema

log = logging.getLogger("smon.store")

GROUP_MAX = 512              # works in one transaction: bounds what one failing commit takes with it
QUEUE_MAX = 20_000           # works that wait; beyond that callers are told to come back
BUSY_TIMEOUT_SECONDS = 5     # another process (a backup, a curious admin) may hold the file for a moment
JOURNAL_LIMIT = 64 << 20     # a WAL that grew in a burst is cut back to this
FLOOR_BYTES = 16 << 20       # no writes below this much free space, or 5 percent of a small volume
FLOOR_SHARE = 0.05
RETRY_AFTER_SECONDS = 5

Database = sqlite3.Connection  # what a work is given: execute and executemany, rows as tuples
Work = Callable[[Database], Any]
Trouble = sqlite3.DatabaseError  # of the file: full, damaged, locked; not of what was asked
Together = Callable[[Database, List[Any]], List[Any]]


class DatabaseUnusable(Exception):
    """The file can not be opened, in a sentence that names it and says what to do. damaged: a backup would help."""

    def __init__(self, sentence: str, damaged: bool = False):
        super().__init__(sentence)
        self.damaged = damaged


class _Job(NamedTuple):
    """work for one, or together for all jobs of a group that share it, each with its item. frees: it makes room."""

    work: Optional[Work]
    together: Optional[Together]
    item: Any
    after: Optional[Callable[[Any], Any]]
    future: "Future[Any]"
    frees: bool = False


class Engine:
    """Owns the file at `path`; created with its schema when it is missing, migrated when it is older."""

    def __init__(self, path: str):
        self.path = path
        self._jobs: "queue.SimpleQueue[Optional[_Job]]" = queue.SimpleQueue()
        self._readers = threading.local()
        self._reader_list: List[Database] = []
        self._writer: Optional[Database] = None
        self._thread = threading.Thread(target=self._write_for_ever, name="smon-writer", daemon=True)
        self._space_checked = 0.0
        self._full = ""
        self._stopped = False
        self._loop = 0                    # the thread that hands over by turn, and what it gathered in this one
        self._held: List[_Job] = []
        self._call_soon: Callable[[Callable[[], None]], None] = lambda function: function()

    def start(self) -> None:
        """Open or create the file and start the writer. Raises DatabaseUnusable."""
        self._create()
        self._writer = self._open()
        self._thread.start()

    def stop(self) -> None:
        """Commit what was submitted, then close. Nothing may be submitted any more."""
        self._stopped = True
        self._jobs.put(None)
        self._thread.join()
        for connection in self._reader_list:
            connection.close()

    def submit(self, work: Work, after: Optional[Callable[[Any], Any]] = None, frees: bool = False) -> "Future[Any]":
        """Run work(connection) in the next transaction; the future settles with its result after the commit.

        after(result) runs in the writer thread between the commit and the settling, and its value is the future's:
        what it changes in memory is there for whoever sees the answer, in the order of the commits.
        An error of work leaves its neighbours alone. HubError("unavailable") when the queue is full, or the disk and
        the work is none that frees room.
        """
        return self._put(_Job(work, None, None, after, Future(), frees))

    def gather(self, together: Together, item: Any, after: Optional[Callable[[Any], Any]] = None) -> "Future[Any]":
        """submit, for small work of many: together(connection, items) is called once for all items of a transaction.

        It answers an outcome for each item, an exception being one. Its items come before other work of the group.
        """
        job = _Job(None, together, item, after, Future())
        if threading.get_ident() != self._loop:
            return self._put(job)
        self._held.append(job)
        if len(self._held) == 1:
            self._call_soon(self._hand_over)
        return job.future

    def gather_by_turn(self, call_soon: Callable[[Callable[[], None]], None]) -> None:
        """Called on a loop: what it gathers is handed over once a turn, by call_soon, instead of one by one.

        The writer then finds whole groups, and does not ask for the interpreter lock while the loop is at work.
        """
        self._call_soon, self._loop = call_soon, threading.get_ident()

    def _hand_over(self) -> None:
        held, self._held = self._held, []
        for job in held:
            self._put(job)

    def _put(self, job: _Job) -> "Future[Any]":
        if self._stopped or self._jobs.qsize() >= QUEUE_MAX:
            job.future.set_exception(_unavailable("The hub is too busy to store this now."))
        else:
            self._jobs.put(job)
        return job.future

    def write(self, work: Work, after: Optional[Callable[[Any], Any]] = None, frees: bool = False) -> Any:
        """submit and wait: the result, or work's exception."""
        return self.submit(work, after, frees).result()

    def read(self) -> Database:
        """This thread's reading connection; it can not write."""
        connection = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._readers.connection = _connect(self.path)
            connection.execute("PRAGMA query_only = ON")
            self._reader_list.append(connection)
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

    def waiting(self) -> int:
        """How many works wait for the writer."""
        return self._jobs.qsize()

    def files(self) -> Dict[str, int]:
        """The bytes of the database file and of its write-ahead log."""
        return {"file_bytes": _file_bytes(self.path), "wal_bytes": _file_bytes(self.path + "-wal")}

    def free_bytes(self) -> int:
        """What is free on the disk of the database. Raises HubError("unavailable") when that can not be told."""
        try:
            return shutil.disk_usage(self._volume()).free
        except OSError as error:
            log.error("The volume of %s does not answer: %s.", self.path, error.strerror)
            raise _unavailable("The hub's disk does not answer.") from None

    def _volume(self) -> str:
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

    def _open(self) -> Database:
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

    def _write_for_ever(self) -> None:
        while True:
            jobs = self._next_group()
            stopping = jobs[-1] is None
            self._commit([job for job in jobs if job is not None])
            if self._loop:  # what the loop made is freed where its memory is at home
                self._call_soon(jobs.clear)
            if stopping:
                break
        if self._writer is not None:
            self._writer.close()

    def _next_group(self) -> List[Optional[_Job]]:
        """Everything that waits, at least one; None at the end means that nothing follows."""
        jobs = [self._jobs.get()]
        while jobs[-1] is not None and len(jobs) < GROUP_MAX:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _commit(self, jobs: List[_Job]) -> None:
        """One transaction for all jobs; futures settle after the commit, in order."""
        full = self._no_space()
        for job in jobs:
            if full and not job.frees:
                _settle(job, _unavailable(full))
        jobs = [job for job in jobs if job.frees or not full]
        if not jobs:
            return
        try:
            outcomes = self._transaction(jobs)
        except Exception as error:  # the edge of the writer thread, which must not end while others wait for it
            log.error("The database could not commit: %s.", error, exc_info=not isinstance(error, sqlite3.Error))
            self._roll_back()
            outcomes = [_unavailable("The storage is not available now.")] * len(jobs)
        for job, outcome in zip(jobs, outcomes):
            _settle(job, outcome)

    def _transaction(self, jobs: List[_Job]) -> List[Any]:
        if self._writer is None:
            self._reopen()
        if self._writer is None:
            raise sqlite3.OperationalError("it can not be opened")
        self._writer.execute("BEGIN IMMEDIATE")
        outcomes = self._gathered(jobs)
        for index, job in enumerate(jobs):
            if job.work is not None:
                outcomes[index] = self._guarded(job.work)
        self._writer.execute("COMMIT")
        return outcomes

    def _gathered(self, jobs: List[_Job]) -> List[Any]:
        """Do what is done together; the outcomes by index, None where a job is not of that kind."""
        outcomes: List[Any] = [None] * len(jobs)
        kinds: Dict[Together, List[int]] = {}
        for index, job in enumerate(jobs):
            if job.together is not None:
                kinds.setdefault(job.together, []).append(index)
        for together, places in kinds.items():
            for place, outcome in zip(places, self._together(together, [jobs[place].item for place in places])):
                outcomes[place] = outcome
        return outcomes

    def _together(self, together: Together, items: List[Any]) -> List[Any]:
        """All items at once; when that fails, each for itself, so that one does not take its neighbours with it."""
        outcomes = self._guarded(lambda db: together(db, items))
        if isinstance(outcomes, BaseException):
            if len(items) == 1:
                return [outcomes]
            return [outcome for item in items for outcome in self._together(together, [item])]
        return outcomes

    def _guarded(self, work: Work) -> Any:
        """The work's result or, with its savepoint undone, its exception; trouble of the file itself ends the group."""
        assert self._writer is not None
        self._writer.execute("SAVEPOINT job")
        try:
            outcome = work(self._writer)
        except sqlite3.DatabaseError as error:
            if not isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
                raise
            outcome = error
        except Exception as error:  # the edge of a thread that serves everybody: the future carries it on
            outcome = error
        if isinstance(outcome, BaseException):
            self._writer.execute("ROLLBACK TO job")
        self._writer.execute("RELEASE job")
        return outcome

    def _roll_back(self) -> None:
        if self._writer is None:
            return
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.error("The database could not roll back: %s.", error)
        self._reopen()

    def _no_space(self) -> str:
        """Why nothing may be written, or "". Looked at once a second: the disk must still take a checkpoint."""
        if time.monotonic() - self._space_checked >= 1:
            self._space_checked = time.monotonic()
            try:
                usage = shutil.disk_usage(self._volume())
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


def refusal(error: Exception) -> HubError:
    """Trouble with the file while it is read, as callers may know it; the log knows more."""
    log.error("The database can not be read: %s.", error)
    return _unavailable("The storage does not answer.")


def _settle(job: _Job, outcome: Any) -> None:
    if not isinstance(outcome, BaseException) and job.after is not None:
        try:
            outcome = job.after(outcome)
        except Exception as error:  # the edge of the writer thread: the work is committed, its caller must know
            log.exception("What follows a commit failed.")
            outcome = error
    if isinstance(outcome, BaseException):
        job.future.set_exception(outcome)
    else:
        job.future.set_result(outcome)


def _connect(path: str) -> Database:
    """A connection without Python's own transactions; rows are tuples. Any thread may close it, one uses it."""
    return sqlite3.connect(Path(path).absolute().as_uri() + "?mode=rw", uri=True, timeout=BUSY_TIMEOUT_SECONDS,
                           isolation_level=None, check_same_thread=False, cached_statements=256)


def _migrate(connection: Database, version: int) -> None:
    """From an empty file, or from any released version, to the newest; each step in its own transaction."""
    if version == schema.VERSION:
        return
    steps = [(schema.VERSION, schema.SCHEMA)] if version == 0 else [
        (number + 2, text) for number, text in enumerate(schema.MIGRATIONS) if number + 1 >= version]
    for reached, text in steps:
        connection.executescript("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;" % (text, reached))
        log.info("The database has schema version %d.", reached)


def _unavailable(sentence: str) -> HubError:
    return HubError("unavailable", sentence, retry_after=RETRY_AFTER_SECONDS)
