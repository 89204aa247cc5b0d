"""Works of many callers in few transactions: the half of a database that is the same on every engine.

`submit` answers a future that settles after the commit that holds its work, so an answer given then is on disk.
An engine adds how a transaction is done (`_transaction`); what is stored is other rooms' business.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Tuple, Union

from ..errors import HubError

log = logging.getLogger("smon.store")

HELD_MAX = 64                # works that a loop gathers before it hands them over, however busy it is
GROUP_MAX = 512              # works in one transaction: bounds what one failing commit takes with it
QUEUE_MAX = 20_000           # works that wait; beyond that callers are told to come back
RETRY_AFTER_SECONDS = 5


class Rows(Protocol):
    """What a statement answers: its rows as tuples, how many it changed, and the id of the row that it inserted."""

    @property
    def rowcount(self) -> int: ...

    @property
    def lastrowid(self) -> Optional[int]: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> List[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """A connection, as works and readers are given it. shared: whether other hubs write to the same database."""

    shared: bool

    def execute(self, __sql: str, __values: Sequence[Any] = ()) -> Rows: ...

    def executemany(self, __sql: str, __values: Iterable[Sequence[Any]]) -> Any: ...

    def moment(self) -> int:
        """What the database's clock shows, UTC milliseconds."""

    def bytes_in_use(self) -> int:
        """Of the whole database, without what is free within it where that can be told."""

    def give_back(self) -> int:
        """Return a slice of what is free within the database to its disk; how much is left of that."""

    def grew(self, parts: Iterable[str] = (), servers: Iterable[int] = ()) -> None:
        """The transaction changes these parts (store/versions.py), or these servers, for other hubs to see."""

    def close(self) -> None: ...


Work = Callable[[Database], Any]
Together = Callable[[Database, List[Any]], List[Any]]


class DatabaseUnusable(Exception):
    """It can not be opened, in a sentence that names it and says what to do. damaged: a backup would help."""

    def __init__(self, sentence: str, damaged: bool = False):
        super().__init__(sentence)
        self.damaged = damaged


class Pending:
    """The future of what a loop handed over, which is settled on that loop: nobody waits for it, it needs no lock."""

    __slots__ = ("_result", "_error", "_callback")

    def __init__(self) -> None:
        self._result: Any = None
        self._error: Optional[BaseException] = None
        self._callback: Optional[Callable[[Any], None]] = None

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        """To be called with this when it is settled; one, before that."""
        self._callback = function

    def set_result(self, result: Any) -> None:
        self._result = result
        if self._callback is not None:
            self._callback(self)

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self.set_result(None)

    def exception(self) -> Optional[BaseException]:
        return self._error

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result


Later = Union["Future[Any]", Pending]


class Job(NamedTuple):
    """work for one, or together for all jobs of a group that share it, each with its item. frees: it makes room."""

    work: Optional[Work]
    together: Optional[Together]
    item: Any
    after: Optional[Callable[[Any], Any]]
    future: Later
    frees: bool = False


class Commits:
    """A queue of works, and the threads that do them in groups. after: see `submit`; one at a time, whatever thread."""

    def __init__(self, threads: int):
        self._jobs: "queue.SimpleQueue[Optional[Job]]" = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._write_for_ever, name="smon-writer", daemon=True)
                         for _ in range(threads)]
        self.changed: Callable[[Iterable[str], Iterable[int]], None] = lambda parts, servers: None  # see Database.grew
        self.settling = threading.Lock()  # held by whoever changes what is in memory after a commit
        self._stopped = False
        self._readers = threading.local()
        self._reader_list: List[Database] = []
        self._loop = 0                    # the thread of the loop, and what it has gathered
        self._held: List[Job] = []
        self._call_soon: Callable[..., None]  # of the loop, once there is one
        self._call_idle: Callable[[Callable[[], None]], None]

    # --- what an engine adds --------------------------------------------------------------------------------------

    def _transaction(self, work: Callable[[Database], List[Any]]) -> List[Any]:
        """work(connection) of this thread in one transaction. Raises whatever kept it from being committed."""
        raise NotImplementedError

    def _ends_group(self, error: Exception) -> bool:
        """Whether an error of one work is trouble of the database itself, that the others of its group have, too."""
        raise NotImplementedError

    def _open_reader(self) -> Database:
        """A connection that only reads."""
        raise NotImplementedError

    def _parted(self, jobs: List[Job]) -> List[List[Job]]:
        """What of a group goes into one transaction each."""
        return [jobs]

    def _settled(self, jobs: List[Job]) -> None:
        """What follows a transaction's jobs is done; nobody has changed what is in memory since: `settling` is held."""

    def _no_space(self) -> str:
        """Why nothing may be written but what makes room, or ""."""
        return ""

    def _let_go(self) -> None:
        """The writer's thread ends: close its connection."""

    # --- handing over ---------------------------------------------------------------------------------------------

    def submit(self, work: Work, after: Optional[Callable[[Any], Any]] = None, frees: bool = False) -> "Future[Any]":
        """Run work(connection) in the next transaction; the future settles with its result after the commit.

        after(result) runs in the writer thread between the commit and the settling, and its value is the future's:
        what it changes in memory is there for whoever sees the answer. A work may be run again when its transaction
        was undone, so it changes nothing but the database.
        An error of work leaves its neighbours alone. HubError("unavailable") when the queue is full, or the disk and
        the work is none that frees room.
        """
        return self._put(Job(work, None, None, after, Future(), frees))

    def gather(self, together: Together, item: Any,
               after: Optional[Callable[[Any], Any]] = None) -> Later:
        """submit, for small work of many: together(connection, items) is called once for all items of a transaction.

        It answers an outcome for each item, an exception being one. Its items come before other work of the group.
        On the loop the future is a Pending.
        """
        if threading.get_ident() != self._loop:
            return self._put(Job(None, together, item, after, Future()))
        if len(self._held) >= HELD_MAX:  # not with this one among them: nobody listens to its future yet
            self._hand_over()
        job = Job(None, together, item, after, Pending())
        self._held.append(job)
        if len(self._held) == 1:
            self._call_idle(self._hand_over)
        return job.future

    def gather_on_loop(self, call_soon: Callable[..., None], call_idle: Callable[[Callable[[], None]], None]) -> None:
        """Called on a loop: what it gathers is handed over when it has nothing else to do, or HELD_MAX at a time.

        Loop and writer then take turns with whole groups, instead of asking each other for the interpreter lock at
        every step. What the loop waits for is settled on it, by call_soon.
        """
        self._call_soon, self._call_idle, self._loop = call_soon, call_idle, threading.get_ident()

    def _hand_over(self) -> None:
        held, self._held = self._held, []
        for job in held:
            self._put(job)

    def _put(self, job: Job) -> Any:
        if self._stopped or self._jobs.qsize() >= QUEUE_MAX:
            job.future.set_exception(unavailable("The hub is too busy to store this now."))
        else:
            self._jobs.put(job)
        return job.future

    def write(self, work: Work, after: Optional[Callable[[Any], Any]] = None, frees: bool = False) -> Any:
        """submit and wait: the result, or work's exception."""
        return self.submit(work, after, frees).result()

    def read(self) -> Database:
        """This thread's reading connection; it can not write."""
        reader = getattr(self._readers, "reader", None)
        if reader is None:
            reader = self._readers.reader = self._open_reader()
            self._reader_list.append(reader)
        return reader

    def release(self) -> None:
        """This thread ends: close its reading connection, if it has one."""
        reader = getattr(self._readers, "reader", None)
        if reader is not None:
            self._readers.reader = None
            self._reader_list.remove(reader)
            reader.close()

    def waiting(self) -> int:
        """How many works wait for a writer."""
        return self._jobs.qsize()

    def _begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def _end(self) -> None:
        """Commit what was submitted. Nothing may be submitted any more."""
        self._stopped = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        for reader in self._reader_list:
            reader.close()

    # --- in a writer's thread -------------------------------------------------------------------------------------

    def _write_for_ever(self) -> None:
        while True:
            jobs = self._next_group()
            stopping = jobs[-1] is None
            self._commit([job for job in jobs if job is not None])
            if self._loop:  # what the loop made is freed where its memory is at home
                self._call_soon(jobs.clear)
            if stopping:
                break
        self._let_go()

    def _next_group(self) -> List[Optional[Job]]:
        """Everything that waits, at least one; None at the end means that nothing follows."""
        jobs = [self._jobs.get()]
        while jobs[-1] is not None and len(jobs) < GROUP_MAX:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _commit(self, jobs: List[Job]) -> None:
        """As few transactions as the engine allows; futures settle after the commit, in order."""
        full = self._no_space()
        if full:
            refused = [job for job in jobs if not job.frees]
            self._settle(refused, [unavailable(full)] * len(refused))
            jobs = [job for job in jobs if job.frees]
        for part in self._parted(jobs) if jobs else ():
            self._commit_part(part)

    def _commit_part(self, jobs: List[Job]) -> None:
        try:
            outcomes = self._transaction(lambda db: self._outcomes(db, jobs))
        except Exception as error:  # the edge of the writer thread, which must not end while others wait for it
            log.error("The database could not commit: %s.", error, exc_info=not self._ends_group(error))
            outcomes = [unavailable("The storage is not available now.")] * len(jobs)
        with self.settling:
            outcomes = [_after(job, outcome) for job, outcome in zip(jobs, outcomes)]
            self._settled(jobs)
        self._settle(jobs, outcomes)

    def _settle(self, jobs: List[Job], outcomes: List[Any]) -> None:
        """Tell who waits. What is the loop's it is told once: it would ask for the interpreter lock at each."""
        pending = []
        for job, outcome in zip(jobs, outcomes):
            if isinstance(job.future, Pending):
                pending.append((job.future, outcome))
            else:
                _resolve(job.future, outcome)
        if pending:
            self._call_soon(_resolve_all, pending)

    def _outcomes(self, db: Database, jobs: List[Job]) -> List[Any]:
        outcomes = self._gathered(db, jobs)
        for index, job in enumerate(jobs):
            if job.work is not None:
                outcomes[index] = self._guarded(db, job.work)
        return outcomes

    def _gathered(self, db: Database, jobs: List[Job]) -> List[Any]:
        """Do what is done together; the outcomes by index, None where a job is not of that kind."""
        outcomes: List[Any] = [None] * len(jobs)
        kinds: Dict[Together, List[int]] = {}
        for index, job in enumerate(jobs):
            if job.together is not None:
                kinds.setdefault(job.together, []).append(index)
        for together, places in kinds.items():
            items = [jobs[place].item for place in places]
            for place, outcome in zip(places, self._together(db, together, items)):
                outcomes[place] = outcome
        return outcomes

    def _together(self, db: Database, together: Together, items: List[Any]) -> List[Any]:
        """All items at once; when that fails, each for itself, so that one does not take its neighbours with it."""
        outcomes = self._guarded(db, lambda db: together(db, items))
        if isinstance(outcomes, BaseException):
            if len(items) == 1:
                return [outcomes]
            return [outcome for item in items for outcome in self._together(db, together, [item])]
        return outcomes

    def _guarded(self, db: Database, work: Work) -> Any:
        """The work's result or, with its savepoint undone, its exception; trouble of the database ends the group."""
        db.execute("SAVEPOINT job")
        try:
            outcome = work(db)
        except Exception as error:  # the edge of a thread that serves everybody: the future carries it on
            if self._ends_group(error):
                raise
            outcome = error
        if isinstance(outcome, BaseException):
            db.execute("ROLLBACK TO job")
        db.execute("RELEASE job")
        return outcome


def _after(job: Job, outcome: Any) -> Any:
    """What the caller of a job is told, when what follows its commit was done."""
    if isinstance(outcome, BaseException) or job.after is None:
        return outcome
    try:
        return job.after(outcome)
    except Exception as error:  # the edge of the writer thread: the work is committed, its caller must know
        log.exception("What follows a commit failed.")
        return error


def _resolve(future: Later, outcome: Any) -> None:
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _resolve_all(pending: Iterable[Tuple[Pending, Any]]) -> None:
    for future, outcome in pending:
        _resolve(future, outcome)


def unavailable(sentence: str) -> HubError:
    """What a caller is told who shall come back."""
    return HubError("unavailable", sentence, retry_after=RETRY_AFTER_SECONDS)


def refusal(error: Exception) -> HubError:
    """Trouble with the database while it is read, as callers may know it; the log knows more."""
    log.error("The database can not be read: %s.", error)
    return unavailable("The storage does not answer.")


# --- statements that many tables need ---------------------------------------------------------------------------------

def insert(db: Database, table: str, columns: Sequence[str], values: Iterable[Any]) -> int:
    """Insert a row into a table that numbers its rows; its new id."""
    return put(db, table, columns, values).lastrowid or 0


def put(db: Database, table: str, columns: Sequence[str], values: Iterable[Any]) -> Rows:
    """Insert a row."""
    return db.execute("INSERT INTO %s (%s) VALUES (%s)" % (table, ", ".join(columns), marks(columns)), list(values))


def marks(values: Sequence[Any]) -> str:
    """A mark for each value, as they stand between brackets; for none of them what nothing is equal to."""
    return ", ".join("?" * len(values)) or "NULL"
