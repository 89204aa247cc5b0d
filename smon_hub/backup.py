"""Backups: one file each, made while the hub runs, looked through, and named only when it is whole.

A backup is `smon-<moment>.db` with its SHA-256 beside it. What lies in the folder under other names is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from . import clock
from .config import Config
from .errors import HubError
from .store import copies, schema
from .store.engine import Trouble

log = logging.getLogger("smon.backup")

NAME = re.compile(r"smon-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\.db")
SUM, PART, RESTORING, KEPT = ".sha256", "smon.db.part", ".restoring", ".before-"
FLOOR_BYTES, FLOOR_SHARE = 64 << 20, 0.10  # what a backup leaves free: at less the hub refuses live samples
READ_BYTES = 1 << 20
CHECK_BYTES_MAX = 2 << 30    # a larger file is not looked through at each start
AGAIN_MS = clock.HOUR        # after a backup that failed

Hub = Any  # hub.Hub, which is passed and never imported
Progress = copies.Progress


class Backup(NamedTuple):
    """A backup as its name and its sum tell."""

    path: str
    at: int
    bytes: int
    sha256: str

    def answer(self) -> Dict[str, Any]:
        return {"name": os.path.basename(self.path), "at": clock.iso(self.at), "bytes": self.bytes,
                "sha256": self.sha256}


# --- making -----------------------------------------------------------------------------------------------------------

def folder_of(config: Config) -> str:
    return config.backup_dir or os.path.join(config.data_dir, "backups")


def make(database: str, folder: str, now: int, progress: Progress) -> Backup:
    """A new backup, whole and looked through. Raises HubError("unavailable") with what went wrong."""
    part, path = os.path.join(folder, PART), os.path.join(folder, _name(now))
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        _forget(part)  # of a hub that was killed
        _check_space(database, folder)
        try:
            copies.copy(database, part, progress)
            wrong = copies.fault(part)
            if wrong:
                raise _failed("The copy of the database is damaged, so the database may be: %s." % wrong)
            return _named(part, path, now)
        finally:
            _forget(part)
    except OSError as error:
        raise _failed("The backup in %s failed: %s." % (folder, error.strerror or error)) from None
    except Trouble as error:
        raise _failed("The backup in %s failed: %s." % (folder, error)) from None


def _named(part: str, path: str, now: int) -> Backup:
    """The sum first: a backup that can be seen can be checked."""
    made = Backup(path, now, os.path.getsize(part), sum_of(part))
    _forget(path + SUM)
    with open(path + SUM, "x", encoding="utf-8", opener=_closed) as file:
        file.write("%s  %s\n" % (made.sha256, os.path.basename(path)))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    _sync_folder(os.path.dirname(path))
    return made


def _check_space(database: str, folder: str) -> None:
    usage = shutil.disk_usage(folder)
    need = os.path.getsize(database) + _size(database + "-wal")
    if usage.free - need < min(FLOOR_BYTES, usage.total * FLOOR_SHARE):
        raise _failed("A backup needs %d MB in %s, where %d MB are free and some must stay so." % (
            (need >> 20) + 1, folder, usage.free >> 20))


def rotate(folder: str, keep: int, made: str) -> List[str]:
    """Remove all but the newest, and never the one just made: a clock set back gives it an older name. Their names."""
    gone = [backup.path for backup in listed(folder)[keep:] if backup.path != made]
    for path in gone:
        os.unlink(path)
        _forget(path + SUM)
    return [os.path.basename(path) for path in gone]


def before_upgrade(config: Config, now: int) -> None:
    """Back up a database of an older schema, before anything changes it. Raises HubError("unavailable")."""
    try:
        found = copies.version(config.database, live=True)
    except Trouble:
        return  # there is none yet, or who opens it next says what is wrong
    if 0 < found < schema.VERSION:
        made = make(config.database, folder_of(config), now, lambda left, whole: None)
        log.info("The database of schema version %d is kept as %s.", found, made.path)


# --- finding and judging ----------------------------------------------------------------------------------------------

def listed(folder: str) -> List[Backup]:
    """Every backup, the newest first."""
    try:
        names = sorted(filter(NAME.fullmatch, os.listdir(folder)), reverse=True)
    except OSError:
        return []
    return [Backup(path, _moment(name), _size(path), _told_sum(path) or "")
            for name in names for path in [os.path.join(folder, name)]]


def judge(path: str, whole: bool = True) -> str:
    """What speaks against restoring this file, in a sentence, or ""."""
    try:
        os.stat(path)
        told = _told_sum(path)
        if told and told != sum_of(path):
            return "%s is not what its %s file says: it was changed or damaged." % (path, SUM)
        if _size(path + "-wal"):
            return "%s is not whole: what lies in %s-wal belongs to it." % (path, path)
        wrong = copies.fault(path, whole)
        if wrong:
            return "%s is damaged: %s." % (path, wrong)
        found = copies.version(path)
    except (OSError, Trouble) as error:
        return "%s can not be read: %s." % (path, getattr(error, "strerror", "") or error)
    if found == 0:
        return "%s is no database of a hub." % path
    if found > schema.VERSION:
        return "%s has schema version %d, made by a newer hub; this one knows version %d." % (
            path, found, schema.VERSION)
    return ""


def newest_good(folder: str) -> Optional[Backup]:
    return next((backup for backup in listed(folder) if not judge(backup.path, whole=False)), None)


def advice(config: Config) -> str:
    """What to do about a damaged database, in a sentence."""
    good = newest_good(folder_of(config))
    if good is None:
        return "There is no good backup in %s." % folder_of(config)
    return "The newest good backup is of %s: smon_server.py restore %s" % (clock.iso(good.at), good.path)


# --- restoring --------------------------------------------------------------------------------------------------------

def restore(path: str, database: str, now: int) -> str:
    """Put a backup in the place of the database, which no hub may have open; where the former one is kept, or "".

    Raises HubError("conflict") when the backup is not good, and ("unavailable") when it can not be copied.
    """
    try:
        judged = sum_of(path) if os.path.isfile(path) else ""
        wrong = judge(path)
        if wrong:
            raise HubError("conflict", wrong)
        finish_restore(database)
        _bring(path, judged, database + RESTORING)
        kept = _set_aside(database, database + KEPT + _compact(now))
        os.replace(database + RESTORING, database)
        _sync_folder(os.path.dirname(os.path.abspath(database)))
    except OSError as error:
        raise _failed("%s can not be restored to %s: %s." % (path, database, error.strerror)) from None
    return kept


def _bring(path: str, judged: str, target: str) -> None:
    """Copy what was judged: under its name the copy is whole."""
    part = target + ".part"
    _forget(part)
    try:
        if _copied(path, part) != judged:
            raise _failed("%s was not copied as it was judged; look at the disks of it and of %s." % (path, target))
        os.replace(part, target)
    finally:
        _forget(part)


def finish_restore(database: str) -> None:
    """Take the last steps of a restore that was killed before them: its copy is whole when it has its name.

    Without this, a hub would begin an empty database in the place of the one that was set aside. Raises
    HubError("unavailable").
    """
    if os.path.exists(database) or not os.path.exists(database + RESTORING):
        return
    try:
        if os.path.exists(database + "-wal"):
            os.replace(database + "-wal", _newest_kept(database) + "-wal")
        _forget(database + "-shm")
        os.replace(database + RESTORING, database)
        _sync_folder(os.path.dirname(os.path.abspath(database)))
    except OSError as error:
        raise _failed("The interrupted restore of %s can not be finished: %s." % (database, error.strerror)) from None
    log.warning("The restore of %s had been interrupted; it is finished now.", database)


def _newest_kept(database: str) -> str:
    """The former database that was set aside last, by when that was: a name may come from a clock that was wrong."""
    folder, name = os.path.split(os.path.abspath(database))
    kept = [os.path.join(folder, one) for one in os.listdir(folder)
            if one.startswith(name + KEPT) and not one.endswith("-wal")]
    return max(kept, key=lambda path: os.stat(path).st_ctime_ns, default=database + KEPT + "lost")


def _copied(path: str, target: str) -> str:
    """Copy a file to the disk; the sum of what can be read back."""
    with open(path, "rb") as source, open(target, "xb", opener=_closed) as made:
        shutil.copyfileobj(source, made, READ_BYTES)
        made.flush()
        os.fsync(made.fileno())
    return sum_of(target)


def _set_aside(database: str, name: str) -> str:
    """Move a database, and the log that belongs to it: SQLite would take that for the log of what lies there next."""
    there = [end for end in ("", "-wal") if os.path.exists(database + end)]
    for end in there:
        os.replace(database + end, name + end)
    _forget(database + "-shm")
    return name if "" in there else ""


# --- while the hub runs -----------------------------------------------------------------------------------------------

class Backups:
    """Looks the database through at the start, backs it up each night, one at a time, in a thread of its own."""

    def __init__(self, hub: Hub):
        self._hub = hub
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()
        self._stopped = False
        self._checked = False
        self._tried_at = 0
        self.error = ""           # of the last try
        self.damage = ""          # what the look at the start found
        self.percent: Optional[int] = None

    @property
    def folder(self) -> str:
        return folder_of(self._hub.config)

    def tick(self) -> None:
        """What a beat of the jobs does. Raises HubError while the last try failed or the database is damaged."""
        if self._hub.config.shares:
            return
        if not self._checked:
            self._checked = True
            self._start(self._look)
        elif self._is_due(self._hub.now()):
            self.start()
        if self.damage or self.error:
            raise _failed(self.damage or self.error)

    def start(self) -> bool:
        """Begin a backup; False when one is under way. Raises HubError("conflict") where others do it."""
        if self._hub.config.shares:
            raise HubError("conflict", "This database is backed up by its own server's tools, such as pg_dump.")
        return self._start(self._back_up)

    def stop(self) -> None:
        """End what is under way and wait for it."""
        self._stopped = True
        if self._thread is not None:
            self._thread.join()

    def answer(self) -> Dict[str, Any]:
        """The backups as the API shows them, and what is under way."""
        return {"backups": [backup.answer() for backup in listed(self.folder)], "folder": self.folder,
                "running": self.percent is not None, "percent": self.percent, "error": self.damage or self.error}

    def _start(self, work: Callable[[], None]) -> bool:
        with self._lock:
            if self._stopped or self._thread is not None and self._thread.is_alive():
                return False
            if work == self._back_up:
                self.percent, self._tried_at = 0, self._hub.now()
            self._thread = threading.Thread(target=work, name="smon-backup", daemon=True)
            self._thread.start()
        return True

    def _is_due(self, now: int) -> bool:
        """Whether the last backup is from before the last time that the hour came."""
        settings = self._hub.settings
        since_hour = (now - settings["backup_hour"] * clock.HOUR) % clock.DAY
        if not settings["backup_nightly"] or self.error and now - self._tried_at < AGAIN_MS:
            return False
        return not any(now - since_hour <= backup.at <= now for backup in listed(self.folder))

    def _back_up(self) -> None:
        try:
            made = make(self._hub.config.database, self.folder, self._hub.now(), self._progress)
            gone = rotate(self.folder, self._hub.settings["backup_keep"], made.path)
            self.error = ""
            log.info("The backup %s has %d bytes%s.", made.path, made.bytes,
                     "; removed " + ", ".join(gone) if gone else "")
        except copies.Stopped:
            self.error = "The hub was stopped during the backup."
        except (HubError, OSError) as error:
            self.error = str(error)
        except Exception:  # the edge of a thread: the next try may do better
            self.error = "The backup failed; the log says more."
            log.exception("The backup failed.")
        finally:
            self.percent = None

    def _progress(self, left: int, whole: int) -> None:
        if self._stopped:
            raise copies.Stopped
        self.percent = 100 * (whole - left) // max(whole, 1)

    def _look(self) -> None:
        """Whether the database is whole, beside everything that the hub does meanwhile."""
        database = self._hub.config.database
        if _size(database) > CHECK_BYTES_MAX:
            return
        try:
            wrong = copies.fault(database, live=True, stopped=lambda: self._stopped)
        except copies.Stopped:
            return
        if wrong:
            self.damage = "The database is damaged: %s. Stop the hub and restore a backup. %s" % (
                wrong, advice(self._hub.config))
            log.error("%s", self.damage)


# --- files and names --------------------------------------------------------------------------------------------------

def sum_of(path: str) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(READ_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def _told_sum(path: str) -> Optional[str]:
    """What the file beside it says, None when there is none."""
    try:
        with open(path + SUM, encoding="ascii", errors="replace") as file:
            return file.read(64)
    except OSError:
        return None


def _name(at: int) -> str:
    return "smon-%s.db" % _compact(at)


def _compact(at: int) -> str:
    return clock.iso(at).replace("-", "").replace(":", "")


def _moment(name: str) -> int:
    found = NAME.fullmatch(name)
    assert found is not None
    return clock.parse("%s-%s-%sT%s:%s:%sZ" % found.groups())


def _closed(name: str, flags: int) -> int:
    """An opener: for its owner alone."""
    return os.open(name, flags, 0o600)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _forget(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_folder(path: str) -> None:
    """A name is on the disk when its folder is; Windows has no such thing."""
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _failed(sentence: str) -> HubError:
    return HubError("unavailable", sentence)
