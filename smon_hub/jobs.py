"""What the hub does by itself: write back what it knows in memory, and drop what is past its keep.

Long work goes in slices, so that ingest waits for one slice at the most.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from . import accounts, clock, forecast, peers, reminders, rollup, selfcheck
from .auth import is_loopback
from .errors import HubError
from .fleet import Server
from .store import audit, events, options, outbox, series, servers, services, size
from .store.engine import Trouble

log = logging.getLogger("smon.jobs")

SLICE_ROWS = 500             # deleted in one transaction: some 20 ms of the writer
SLICE_SERVERS = 50           # looked at in one transaction
JUMP_MS = clock.DAY          # a wall clock that ran so far ahead of the machine's would delete good data
FIRST_SECONDS = 60           # after the start every job runs soon: a hub may never be up for an hour
SETTLED_FACT, CLEANED_FACT = "settled_sample", "cleaned_at"

Hub = Any  # hub.Hub, which is passed and never imported


class Job(NamedTuple):
    """for_all: where several hubs share the database, one of them does it."""

    name: str
    seconds: float
    work: Callable[["Jobs"], Any]
    for_all: bool = True


class Run(NamedTuple):
    """The last time that a job ran: when, for how long, and the sentence of its failure."""

    at: int
    seconds: float
    error: str


class Jobs:
    """Runs each row of JOBS on its beat in one thread, until it is stopped."""

    def __init__(self, hub: Hub):
        self._hub = hub
        self._wake = threading.Event()
        self._stopped = False
        self._started, self.started_at = time.monotonic(), hub.now()
        self._due = {job.name: self._started + min(job.seconds, FIRST_SECONDS) for job in JOBS}
        self.runs: Dict[str, Run] = {}
        self._cleaning = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="smon-jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the slice at work, then write back what is known."""
        self._stopped = True
        self._wake.set()
        self._thread.join()
        self._attempt(JOBS[0])

    def wake(self, name: str) -> None:
        """Run a job now instead of at its next beat."""
        self._due[name] = time.monotonic()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(max(0.05, min(self._due.values()) - time.monotonic()))
            self._wake.clear()
            for job in JOBS:
                if not self._stopped and self._due[job.name] <= time.monotonic():
                    self._due[job.name] = time.monotonic() + job.seconds
                    if not job.for_all or self._hub.peers.leads(peers.JOBS):
                        self._attempt(job)

    def _attempt(self, job: Job) -> None:
        began, at, error = time.monotonic(), self._hub.now(), ""
        try:
            job.work(self)
        except (HubError, Trouble) as trouble:
            error = str(trouble)
            log.warning("Job %s: %s", job.name, error)
        except Exception as trouble:  # the edge of a job: the next beat tries again
            error = type(trouble).__name__
            log.exception("Job %s failed.", job.name)
        self.runs[job.name] = Run(at, time.monotonic() - began, error)

    def answer(self) -> List[Dict[str, Any]]:
        """Each job with how it went the last time, as the API shows it."""
        return [{"name": job.name, "every_seconds": job.seconds, **_last(self.runs.get(job.name))} for job in JOBS]

    # --- the jobs -------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Write back who was seen when; what a crash loses of it is rebuilt from the samples."""
        if self._hub.peers.shared:
            self._hub.peers.write_back()
            return
        fleet = self._hub.fleet
        moved: List[Server] = []

        def work(db: Any) -> None:
            moved.extend(fleet.take_unsettled())  # in the writer's thread, where nothing moves meanwhile
            servers.settle(db, [(server.last_seen_at, server.sample and server.sample.id, server.row["id"])
                                for server in moved])
            options.note(db, SETTLED_FACT, str(fleet.settled_sample))
        try:
            self._hub.engine.write(work)
        except Exception:
            fleet.put_back(moved)
            raise

    def back_up(self) -> None:
        """Begin the nightly backup when its hour has come; it has a thread of its own."""
        self._hub.backups.tick()

    def sweep(self) -> int:
        """Delete the rows of removed servers; how many went."""
        return self._sliced(lambda db: servers.sweep(db, SLICE_ROWS))

    def roll_up(self) -> int:
        """Bring the samples that came since the last time into the coarse history; how many that were."""
        now, keep = self._hub.now(), self._hub.settings
        return self._sliced(lambda db: rollup.roll(db, keep, now))

    def settle_accounts(self) -> None:
        """Write back which sessions and tokens were used, and end those that were not for too long."""
        accounts.settle(self._hub)

    def say_alive(self) -> None:
        """Call the dead-man's switch, if there is one: it goes off when this thread hangs, too."""
        kept, now = self._hub.settings, self._hub.now()
        if kept["dead_man_url"]:
            counts = self._hub.fleet.summary(now, kept["stale_threshold_minutes"])
            self._hub.delivery.say_alive(kept["dead_man_url"], {"at": clock.iso(now), **counts})

    def listen(self) -> int:
        """Judge who fell silent and who came back; how many did."""
        self.mark()
        return self._hub.silence.sweep(self._hub, self._hub.now())

    def mark(self) -> None:
        """Note which servers are in maintenance now."""
        reminders.mark_maintenance(self._hub, self._hub.now())

    def remind(self) -> None:
        """Everything about alerts that is due by time alone."""
        reminders.remind(self._hub, self._hub.now())

    def foresee(self) -> None:
        """Judge which disks will be full soon."""
        forecast.foresee(self._hub, self._hub.now())

    def check_self(self) -> None:
        """Judge the hub itself."""
        selfcheck.check(self._hub, self._hub.now())

    def measure(self) -> None:
        """Remember how large the database is."""
        now = self._hub.now()
        self._hub.engine.write(lambda db: size.note(db, now))

    def trim_live(self) -> int:
        """Delete near-live samples that are older than their server's agent asked for."""
        now = self._hub.now()
        return self._each_server(lambda db, server, most: series.drop_live(
            db, server.row["id"], now - server.row["live_minutes"] * clock.MINUTE, most))

    def clean_up(self) -> Dict[str, int]:
        """Remove what is past its retention: how many rows of each kind went.

        Raises HubError("conflict") while the wall clock can not be believed, and when a clean-up is under way.
        """
        now = self._hub.now()
        if not self._clock_is_right(now):
            raise HubError("conflict", "The clock moved by more than a day since the last clean-up, and no agent's "
                           "clock agrees with it yet: nothing is removed before one does.")
        if not self._cleaning.acquire(blocking=False):
            raise HubError("conflict", "A clean-up is under way already.")
        try:
            return self._clean(now)
        finally:
            self._cleaning.release()

    def _clock_is_right(self, now: int) -> bool:
        """A clock that jumped ahead, or was wrong at the start, would delete the history. Agents know the time, too,
        but for one on this machine, which reads the same clock."""
        taken = [server.sample.at for server in self._hub.fleet.servers() if server.sample and server.sample.timed
                 and not is_loopback(server.row["ip_address"])]
        if any(abs(now - at) <= JUMP_MS for at in taken):
            return True
        up = (time.monotonic() - self._started) * 1000
        last = int(options.fact(self._hub.engine.read(), CLEANED_FACT, str(now)))
        moved = max(abs(now - last), abs(now - self.started_at - up))
        return moved <= JUMP_MS or not taken and up >= JUMP_MS

    def _clean(self, now: int) -> Dict[str, int]:
        keep = self._hub.settings
        before = now - keep["data_retention_days"] * clock.DAY
        plain_before = now - keep["process_retention_days"] * clock.DAY
        self.settle()  # which samples are the newest is read from the store
        gone = {
            "samples": self._each_server(lambda db, server, most: series.drop_samples(
                db, server.row["id"], before, _newest(server), most)),
            "rollups": self._each_server(lambda db, server, most: rollup.drop(
                db, server.row["id"], keep, now, most)),
            "details": self._sliced(lambda db: series.drop_details(db, plain_before, SLICE_ROWS)),
            "audit": self._sliced(lambda db: audit.drop(
                db, now - keep["audit_retention_days"] * clock.DAY, SLICE_ROWS)),
            "alerts": self._sliced(lambda db: events.drop_old(db, before, SLICE_ROWS)),
            "notifications": self._sliced(lambda db: events.drop_old_notifications(db, before, SLICE_ROWS)),
            "messages": self._sliced(lambda db: outbox.drop(db, before, SLICE_ROWS)),
            "service_changes": self._each_server(lambda db, server, most: services.drop_changes(
                db, server.row["id"], before, most)),
        }
        if not self._stopped:
            self._hub.engine.write(lambda db: options.note(db, CLEANED_FACT, str(now)), frees=True)
            self._sliced(lambda db: db.give_back())
        if any(gone.values()):
            log.info("Removed %(samples)d samples, %(rollups)d averages, details of %(details)d samples, "
                     "%(service_changes)d service changes.", gone)
        return gone

    def _each_server(self, work: Callable[[Any, Server, int], int]) -> int:
        """Do work(db, server, most rows) for every server in slices, until none has more; how many rows it did."""
        left, total = self._hub.fleet.servers(), 0
        while left and not self._stopped:
            done, rows = self._hub.engine.write(lambda db: _slice(db, left, work), frees=True)
            left, total = left[done:], total + rows
        return total

    def _sliced(self, work: Callable[[Any], int]) -> int:
        """Repeat a slice until nothing is left of it; how much it did."""
        total = done = self._hub.engine.write(work, frees=True)
        while done and not self._stopped:
            done = self._hub.engine.write(work, frees=True)
            total += done
        return total


def _slice(db: Any, some: List[Server], work: Callable[[Any, Server, int], int]) -> Tuple[int, int]:
    """As much for these servers as one transaction may do; how many of them have no more, and how many rows it did."""
    rows = 0
    for done, server in enumerate(some[:SLICE_SERVERS]):
        rows += work(db, server, SLICE_ROWS - rows)
        if rows >= SLICE_ROWS:
            return done, rows
    return len(some[:SLICE_SERVERS]), rows


def _last(run: Optional[Run]) -> Dict[str, Any]:
    if run is None:
        return {"last_at": None, "last_seconds": None, "error": None}
    return {"last_at": clock.iso(run.at), "last_seconds": round(run.seconds, 3), "error": run.error or None}


def _newest(server: Server) -> int:
    """The row that is kept whatever its age: the server's current state."""
    return server.sample.id if server.sample else 0


JOBS = (
    Job("settle", 20, Jobs.settle, for_all=False),  # first: also the last thing that is done
    Job("settle_accounts", 60, Jobs.settle_accounts, for_all=False),
    Job("mark", 10, Jobs.mark, for_all=False),
    Job("sweep", 300, Jobs.sweep),
    Job("trim_live", 60, Jobs.trim_live),
    Job("roll_up", 3_600, Jobs.roll_up),  # before the clean-up, which takes what it is made of
    Job("clean_up", 3_600, Jobs.clean_up),
    Job("measure", 3_600, Jobs.measure),
    Job("say_alive", 60, Jobs.say_alive),
    Job("listen", 10, Jobs.listen),
    Job("remind", 30, Jobs.remind),
    Job("check_self", 60, Jobs.check_self),
    Job("foresee", 3_600, Jobs.foresee),
    Job("backup", 300, Jobs.back_up),
)
