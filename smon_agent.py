#!/usr/bin/env python3
"""Watch this machine and tell a hub: the smon agent. One file, Python 3.8 or newer, psutil, nothing else.

Four threads, none of which waits for another:

    cycle   reload config -> collect -> spool/ -> wake `send`               every collection_interval_minutes
    send    spool/ -> POST /api/metrics -> sent/    hub away: wait longer each time, nothing is lost
    live    one light sample -> memory -> wake `beat`                        every live_interval_seconds, if enabled
    beat    live samples -> POST /api/metrics/live; in the middle of a cycle POST /api/ping

It keeps what it needs beside config.json or in `state_dir`, readable by its owner only; docs/agent.md lists the files.
A hub can change the options marked `remote` within their bounds and nothing else; nothing it sends is ever executed.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import functools
import io
import json
import logging
import math
import os
import queue
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import types
import zlib
from collections import deque, namedtuple
from operator import attrgetter
from urllib.parse import unquote, urlsplit

try:
    import psutil
except ImportError:
    psutil = None  # type: ignore  # main() says how to get it

if "ssl" in sys.modules:
    import http.client
else:  # http.client takes ssl along when it can: 4 MiB that a plain http address never needs
    sys.modules["ssl"] = None  # type: ignore
    import http.client
    del sys.modules["ssl"]

VERSION = "1.0.0"
DONE, FAILED, UNUSABLE, BUFFERED, TAKEN, INTERRUPTED = 0, 1, 2, 3, 4, 130  # exit codes; docs/agent.md explains them

log = logging.getLogger("smon.agent")
MINUTE = float(os.environ.get("SMON_MINUTE_SECONDS") or 60)  # other than 60 under the project's own tests alone


def utc_now() -> datetime.datetime:
    """The wall clock; used for names and stamps only, every wait uses the monotonic clock."""
    return datetime.datetime.now(datetime.timezone.utc)


def iso(moment: datetime.datetime) -> str:
    """A moment as the hub writes and reads it, `2026-11-22T10:00:00.123Z`."""
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"


def from_iso(text: str) -> datetime.datetime:
    """The moment that `text` names; ValueError when it names none."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


_UNPRINTABLE = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd")


def clean(text: object, limit: int = 256) -> str:
    """Text that came from the machine or a hub, fit for JSON and for a log line."""
    return str(text).encode("utf-8", "replace").decode("utf-8").translate(_UNPRINTABLE)[:limit]


# ---------------------------------------------------------------------------------------------------------- options

Form = namedtuple("Form", "pattern meant")
PRINTABLE = Form(re.compile(r"[^\x00-\x1f\x7f]*"), "text without control characters")
WEB_ADDRESS = Form(re.compile(r"https?://[^\s/@?#,]+(/[^\s?#]*)?"), "an http:// or https:// address")
PROXY_ADDRESS = Form(re.compile(r"|environment|http://[^\s/?#]+/?"), "empty, environment or an http:// address")
SERVER_ID = Form(re.compile(r"[A-Za-z0-9._-]{0,128}"), "an id as registration gives it")
KEY = Form(re.compile(r"[\x21-\x7e]{0,512}"), "a key as registration gives it")
TOKEN = Form(KEY.pattern, "a token as the hub gives it")
SERVICE_NAME = Form(re.compile(r"(?!-)[A-Za-z0-9@._:\\-]{1,256}"), "names of services")
LOG_LEVEL = Form(re.compile(r"DEBUG|INFO|WARNING|ERROR"), "DEBUG, INFO, WARNING or ERROR")
MOUNT_PATTERN = Form(re.compile(r"[^\x00-\x1f\x7f*]*(\*[^\x00-\x1f\x7f*]*){0,3}"),  # six * cost Python 3.8 ten seconds
                     "mount points with at most three * each")

Option = namedtuple("Option", "key type default sentence low high form remote", defaults=(None, None, PRINTABLE, False))
Remote = functools.partial(Option, remote=True)  # what the hub may change as well

OPTIONS = (
    Option("dashboard_url", (str, list), "http://localhost:3000",
           "Address of the hub, or a list of up to 8 addresses of hubs with one database.", 1, 8, WEB_ADDRESS),
    Option("server_id", str, "", "Id of this machine at the hub; registration fills it in.", form=SERVER_ID),
    Option("api_key", str, "", "Key of this machine; registration fills it in.", form=KEY),
    Option("export_key", str, "", "Key that signs spool exports; registration fills it in.", form=KEY),
    Option("registration_token", str, "", "Token that lets this machine register without approval.", form=TOKEN),
    Option("display_name", str, "", "Name to show instead of the host name; sent at registration.", high=255),
    Option("group_name", str, "", "Group to show this machine in; sent at registration.", high=255),
    Option("tags", list, [], "Words to find this machine by; sent at registration.", high=50),
    Remote("collection_interval_minutes", int, 10, "Minutes between two samples.", 5, 60),
    Remote("top_processes_count", int, 15, "Processes in a sample: the top by CPU and by memory, in turn.", 0, 200),
    Remote("monitored_services", list, [], "Services to report; empty: see auto_discover_services.",
           high=500, form=SERVICE_NAME),
    Remote("auto_discover_services", bool, True, "Report every service when monitored_services is empty."),
    Remote("collect_processes", bool, True, "Report processes."),
    Remote("collect_disks", bool, True, "Report file systems."),
    Remote("collect_network", bool, True, "Report network counters and rates."),
    Remote("collect_services", bool, True, "Report services."),
    Option("include_mounts", list, [], "Mount points to report beside the local ones, as network mounts.", high=100),
    Remote("skip_mounts", list, [], "Mount points to leave out; * and ? are wildcards.", high=100, form=MOUNT_PATTERN),
    Remote("live_enabled", bool, False, "Send a light sample every few seconds."),
    Remote("live_interval_seconds", int, 10, "Seconds between two live samples.", 5, 60),
    Remote("live_retention_minutes", int, 30, "Minutes that the hub keeps live samples.", 1, 1440),
    Remote("ping_enabled", bool, True, "Send a heartbeat in the middle of a cycle, at least every 5 minutes."),
    Remote("retry_attempts", int, 3, "Tries before the wait between tries begins to double.", 1, 100),
    Remote("retry_delay_seconds", float, 10, "Seconds between tries.", 0.1, 3600),
    Option("request_timeout_seconds", float, 30, "Seconds that one request may take, all addresses together.", 1, 300),
    Remote("offline_buffer_max", int, 100, "Samples kept while the hub is away; then the oldest goes.", 1, 100000),
    Option("spool_max_mb", int, 50, "Megabytes of samples kept while the hub is away.", 1, 10240),
    Option("verify_ssl", bool, True, "Check the hub's certificate."),
    Option("ca_file", str, "", "File with the certificates to trust instead of the system's."),
    Option("client_cert", str, "", "File with this machine's own certificate, for hubs that ask for one."),
    Option("client_key", str, "", "File with the private key of client_cert."),
    Option("proxy", str, "", "Proxy to use, http://host:port, or `environment`; empty: none.", form=PROXY_ADDRESS),
    Option("state_dir", str, "", "Folder for spool, lock, log and what was learned; empty: the folder of the config."),
    Option("log_file", str, "agent.log", "Log file; empty: no file."),
    Remote("log_level", str, "INFO", "DEBUG, INFO, WARNING or ERROR.", form=LOG_LEVEL),
    Option("log_max_bytes", int, 5 * 1024 * 1024, "Size at which the log file is rotated.", 10240, 1024 ** 3),
    Option("log_backup_count", int, 3, "Rotated log files to keep.", 0, 100),
)
BY_KEY = {option.key: option for option in OPTIONS}
IDENTITY = ("server_id", "api_key", "export_key")  # what registration gives
_private = functools.partial(os.open, mode=0o600)  # opens a file as open() does, for its owner alone
TEXT_MAX = 4096  # longest text of an option that names no limit of its own


class ConfigError(Exception):
    """The config can not be used; the text says why."""

    status = UNUSABLE


class TakenError(ConfigError):
    """Another agent works in this state folder."""

    status = TAKEN


def checked(option: Option, value: object):
    """`value` as the option's type; ConfigError with a sentence that names the option and its limit."""
    return CHECKS[option.type](option, value)


def _checked_flag(option: Option, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{option.key} must be true or false.")
    return value


def _checked_number(option: Option, value: object):
    limits = f"{option.key} must be a number from {option.low} to {option.high}."
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not option.low <= value <= option.high:
        raise ConfigError(limits)
    if option.type is int and value != int(value):
        raise ConfigError(limits.replace("a number", "a whole number"))
    return option.type(value)


def _checked_text(option: Option, value: object) -> str:
    limit = option.high or TEXT_MAX
    if not isinstance(value, str) or len(value) > limit or value != value.encode("utf-8", "replace").decode():
        raise ConfigError(f"{option.key} must be text of at most {limit} characters.")
    if not option.form.pattern.fullmatch(value):
        raise ConfigError(f"{option.key} must be {option.form.meant}.")
    return value


def _checked_list(option: Option, value: object) -> list:
    if not isinstance(value, list) or not (option.low or 0) <= len(value) <= option.high:
        count = f"{option.low} to {option.high}" if option.low else f"at most {option.high}"
        raise ConfigError(f"{option.key} must be a list of {count} entries.")
    return [_checked_text(option._replace(high=None), item) for item in value]


def _checked_text_or_list(option: Option, value: object):
    return _checked_list(option, value) if isinstance(value, list) else _checked_list(option, [value])[0]


CHECKS = {bool: _checked_flag, int: _checked_number, float: _checked_number, str: _checked_text, list: _checked_list,
          (str, list): _checked_text_or_list}


def in_force(given: dict) -> types.SimpleNamespace:
    """Every option with its value from `given` or its default; ConfigError names the first wrong one."""
    values = {option.key: checked(option, given.get(option.key, option.default)) for option in OPTIONS}
    options = types.SimpleNamespace(**values)
    for key, address in [("dashboard_url", each) for each in addresses(options)] + [("proxy", options.proxy)]:
        try:
            port = urlsplit(address).port
        except ValueError:
            port = -1
        if port is not None and not 0 < port < 65536:
            raise ConfigError(f"{key} must have a port from 1 to 65535, or none.")
    return options


def addresses(options: types.SimpleNamespace) -> list:
    """Where hubs may be found, the preferred one first."""
    return options.dashboard_url if isinstance(options.dashboard_url, list) else [options.dashboard_url]


def read_object(path: str) -> dict:
    """The JSON object in a file, {} when there is no such file; ConfigError says what is wrong with it."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} can not be read: {clean(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold one JSON object.")
    return content


def write_atomic(path: str, data: bytes) -> None:
    """Replace a file as a whole, 0600: after a power cut it holds the old or the new content, never half of it."""
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "wb", opener=_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise
    if os.name == "posix":  # the rename itself survives the power cut; Windows sees to that by itself
        sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Bring a rename to the disk. Some file systems refuse that for folders: the file is there all the same."""
    try:
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        log.debug("%s can not be synced: %s", path, error)


def remove(path: str) -> None:
    """Delete a file that may be gone already."""
    try:
        os.remove(path)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("%s can not be removed: %s", path, error)


def restrict_to_owner(path: str) -> None:
    """Windows ignores modes: there an access list lets in the owner, SYSTEM and administrators, by their fixed ids."""
    if os.name == "nt":
        grants = [f"{os.environ.get('USERNAME', '*S-1-3-4')}:F", "*S-1-5-18:F", "*S-1-5-32-544:F"]
        run_child([os.path.join(os.environ.get("SystemRoot", r"C:\Windows"), "System32", "icacls.exe"), path,
                   "/inheritance:r", "/grant:r", *grants])


class Config:
    """config.json and what was learned on top of it; `now` always holds the last good state of both. Learned (id, key,
    settings from the hub) goes into config.json, or with `state_dir` into identity.json, where each value stands beside
    the one that config.json had at the time: it holds until the operator changes that key."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._lock = threading.RLock()
        self.unsaved: dict = {}
        self._complaint, self._taken_up = "", ""
        self.now = in_force({})
        given = read_object(self.path)
        self._existed, self._state_dir = bool(given), given.get("state_dir", "")
        self._identity_path = self.file(os.path.join(str(self._state_dir), "identity.json"))
        self._load(given)
        self.unknown_keys = sorted(set(given) - set(BY_KEY))

    def _load(self, given: dict) -> None:
        self.now = in_force({**given, **self._learned(given), **self.unsaved})

    def _given(self) -> dict:
        given = read_object(self.path)
        if self._existed and not given:
            raise ConfigError(f"{self.path} is gone or empty.")
        if given.get("state_dir", "") != self._state_dir:
            raise ConfigError("state_dir can be changed only while no agent runs.")
        return given

    def reload(self) -> None:
        """Take up what changed on disk; a broken file is one log line and changes nothing."""
        with self._lock:
            found = read_text(self.path, "") + (read_text(self._identity_path, "") if self._state_dir else "")
            if found == self._taken_up and not (self.unsaved or self._complaint):
                return
            try:
                given = self._given()
                if self._lost_identity(given):  # or it could not be saved yet
                    self.learn({})
                else:
                    self.unsaved = {}
                    self._load(given)
                self._complaint, self._taken_up = "", found
            except (ConfigError, OSError) as error:
                if str(error) != self._complaint:
                    log.error("The config is not usable, the last good one stays in force: %s", error)
                self._complaint = str(error)

    def _lost_identity(self, given: dict) -> dict:
        """What the file lost of id and keys when it was written anew for the same hub: they are put back."""
        before, after = self.now, in_force({**given, **self._learned(given)})
        moved = {url.rstrip("/") for url in addresses(before)}.isdisjoint(url.rstrip("/") for url in addresses(after))
        if moved or any(getattr(after, key) not in ("", getattr(before, key)) for key in IDENTITY):
            return {}
        return {key: getattr(before, key) for key in IDENTITY if getattr(before, key) != getattr(after, key)}

    def learn(self, changes: dict) -> None:
        """Keep option values over restarts; ConfigError or OSError when that is not possible, then nothing changed."""
        with self._lock:
            given = self._given()
            changes = changes if "server_id" in changes else {**self._lost_identity(given), **changes}
            in_force(dict(given, **changes))
            if given.get("state_dir"):
                target, content = self._identity_path, self._identity()
                content.update({key: [value, given.get(key)] for key, value in changes.items()})
            else:
                target, content = self.path, dict(given, **changes)
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            remove(f"{target}.tmp")  # of whoever left it, with a mode of its own
            write_atomic(target, json.dumps(content, indent=2).encode() + b"\n")
            restrict_to_owner(target)
            self._existed, self.unsaved = bool(given or changes), {}
            self._load(self._given())

    def learn_identity(self, changes: dict) -> None:
        """Like learn(), but in force even when it can not be saved now; each reload tries again."""
        with self._lock:
            try:
                self.learn(changes)
            except (ConfigError, OSError) as error:
                log.error("The key can not be saved yet, a restart would register again: %s", error)
                self.unsaved = dict(changes)
                vars(self.now).update(changes)

    def try_saving(self) -> None:
        """ConfigError or OSError when what a hub gives could not be kept; nothing changes."""
        in_force(self._given())
        os.makedirs(self.state_folder, mode=0o700, exist_ok=True)
        path = os.path.join(self.state_folder, "identity.try")
        write_atomic(path, b" " * TEXT_MAX)
        remove(path)

    @property
    def state_folder(self) -> str:
        """The folder of spool, lock and log."""
        return self.file(self.now.state_dir)

    def file(self, name: str) -> str:
        """The path of a file that the options name: relative to the config."""
        return os.path.join(os.path.dirname(self.path), name)

    def _identity(self) -> dict:
        content = read_object(self._identity_path)
        return {key: pair for key, pair in content.items() if isinstance(pair, list) and len(pair) == 2}

    def _learned(self, given: dict) -> dict:
        pairs = self._identity().items() if given.get("state_dir") else ()
        return {key: value for key, (value, over) in pairs if given.get(key) == over}


class LogFile(logging.Handler):
    """A log file of bounded size, with numbered older ones; a full disk costs lines, never the agent."""

    def __init__(self) -> None:
        super().__init__()
        self.path, self.max_bytes, self.backups = "", 0, 0
        self._file: io.FileIO | None = None

    def follow(self, path: str, max_bytes: int, backups: int) -> None:
        """Write to `path` from now on; an empty one ends the file."""
        self.acquire()
        if path != self.path:
            self.shut()
        self.path, self.max_bytes, self.backups = path, max_bytes, backups
        self.release()

    def emit(self, record: logging.LogRecord) -> None:
        if not self.path:
            return
        line = self.format(record).encode("utf-8", "replace") + b"\n"
        try:
            if not self._file:
                os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            file = self._file or open(self.path, "ab", buffering=0, opener=_private)
            if file.tell() + len(line) > self.max_bytes:
                file.close()
                file = self._rotated()
            self._file = file
            file.write(line)
        except OSError:
            self.shut()  # the line is lost; it went to the console as well, and the next one tries the file again

    def shut(self) -> None:
        """Close the file; the next line opens it again."""
        file, self._file = self._file, None
        if file:
            file.close()

    def _rotated(self) -> io.FileIO:
        names = [self.path] + [f"{self.path}.{number}" for number in range(1, self.backups + 1)]
        for older, newer in reversed(list(zip(names[1:], names))):
            if os.path.exists(newer):
                os.replace(newer, older)
        return open(self.path, "wb", buffering=0, opener=_private)


class OneLine(logging.Formatter):
    """One event, one line, and never a key: whatever a hub or a library put into a message."""

    def format(self, record: logging.LogRecord) -> str:
        return re.sub(r"sm[a-z]_\w+", lambda key: key.group()[:4] + "...", clean(super().format(record), 4000))


# ---------------------------------------------------------------------------------------------------------- collect

CGROUP = "/sys/fs/cgroup"
BLOCK, DISKSTATS, MEMINFO, MOUNTS = "/sys/block", "/proc/diskstats", "/proc/meminfo", "/proc/self/mounts"
COLLECTOR_SECONDS = 10  # a subject that takes longer is reported as late and the sample goes without it
MOUNT_SECONDS = 3       # a dead network mount never answers,
MOUNTS_SECONDS = 6      # and there may be many: the last one tried still ends within COLLECTOR_SECONDS
PRIME_SECONDS = 0.5     # the first sample needs two readings of the CPU; later ones use the last cycle's
SKIPPED_FILE_SYSTEMS = {"squashfs", "iso9660", "udf", "erofs", "cramfs", "autofs", ""}  # always full, or no medium
STAT_FILES_MAX = 512    # kept open; the kernel holds 4 KiB for each
SECTOR_BYTES = 512      # what /proc/diskstats counts in, whatever the disk's own sectors are
SUBJECTS_MAX = {"disks": 256, "services": 2000}  # what a hub takes in one sample,
ERRORS_MAX = 50                                  # and of complaints about it

STATES = {b"R": "running", b"S": "sleeping", b"D": "disk-sleep", b"T": "stopped", b"t": "tracing-stop", b"Z": "zombie",
          b"X": "dead", b"x": "dead", b"K": "wake-kill", b"W": "waking", b"I": "idle", b"P": "parked"}  # psutil's words

Seen = namedtuple("Seen", "pid started cpu_seconds rss name state", defaults=(b"", b""))
Collector = namedtuple("Collector", "name place option collect")


class Worker:
    """A thread that makes calls one after the other for Deadlines, and ends with the first one that is late."""

    def __init__(self) -> None:
        self._lists: queue.SimpleQueue = queue.SimpleQueue()
        self._ended: queue.SimpleQueue = queue.SimpleQueue()
        self._turning = threading.Lock()
        self.late, self._at, self._began = "", "", 0.0  # names of calls; "" for none
        self.thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while self._go_through(*self._lists.get()):
            self._ended.put(None)

    def _go_through(self, calls: list, outcomes: dict, until: float) -> bool:
        for name, function, *arguments in calls:
            if time.monotonic() >= until or not self._turn_to(name):
                break
            try:
                outcomes[name] = function(*arguments), None
            except Exception as error:  # handed over to the caller, who reports it
                outcomes[name] = None, error
            self._turn_to("")
        return self._turn_to("")

    def _turn_to(self, name: str) -> bool:
        """Leave one call for the next; False when it was given up: then another thread goes on."""
        with self._turning:
            self._at, self._began = name, time.monotonic()
            return not self.late

    def make(self, calls: list, seconds: float, until: float) -> dict:
        """{name: (result, error)} of the calls before `until`, and before one, `late`, that took too many seconds."""
        outcomes: dict = {}
        self._turn_to(calls[0][0])
        self._lists.put((calls, outcomes, until))
        while not self.late and (self._at or self.thread.is_alive()):
            try:
                self._ended.get(timeout=max(0.01, self._began + seconds - time.monotonic()))
                break
            except queue.Empty:
                with self._turning:
                    self.late = self._at if time.monotonic() - self._began >= seconds else ""
        return outcomes


class Deadlines:
    """Calls that may hang in the kernel, made by a worker; what hangs is not called again until it came back."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._stuck: dict = {}

    def each(self, calls: list, seconds: float, until: float = math.inf) -> list:
        """[(result, error)] of calls (name, function, arguments...), each within so many seconds, none begun after
        `until`. They are handed over together, because a change of threads costs more than most of them."""
        self._stuck = {name: stuck for name, stuck in self._stuck.items() if stuck[0].thread.is_alive()}
        done = {name: (None, TimeoutError(f"stuck since {since}")) for name, (_, since) in self._stuck.items()}
        for rest in iter(lambda: [call for call in calls if call[0] not in done and time.monotonic() < until], []):
            try:
                worker, self._worker = self._worker or Worker(), None
            except RuntimeError as error:  # there are too many threads
                return [done.get(call[0], (None, error)) for call in calls]
            done.update(worker.make(rest, seconds, until))
            if worker.late:
                done[worker.late] = None, TimeoutError(f"no answer within {seconds:g} seconds")
                self._stuck[worker.late] = worker, iso(utc_now() - datetime.timedelta(seconds=seconds))
            self._worker = worker if worker.thread.is_alive() and not worker.late else None
        return [done.get(call[0], (None, TimeoutError("not looked at, the others took too long"))) for call in calls]


class Machine:
    """This machine between two samples: what the last one saw, because most figures are differences."""

    def __init__(self) -> None:
        self.cpu_times = psutil.cpu_times()
        self.quota_use: tuple | None = None
        self.processes: dict = {}
        self.stat_files, self.systemd = StatFiles(), Systemd()
        self.processes_at, self.memory_total = 0.0, 0
        self.network, self.disk_io = Rates(), Rates()
        self.deadlines, self.mount_deadlines = Deadlines(), Deadlines()
        self.source = {"cpu": "host", "memory": "host"}
        self.required = {"cpu_percent": 0.0, "memory_percent": 0.0}  # a hub refuses a sample without these two

    def prime(self, options: types.SimpleNamespace) -> None:
        """Take the readings that the first sample is compared with, and let some time pass."""
        self.collect(options, [row for row in COLLECTORS if row.name in ("cpu", "processes")])
        time.sleep(PRIME_SECONDS)

    def collect(self, options: types.SimpleNamespace, collectors=None) -> tuple:
        """({"metrics", "processes", "services"}, errors by collector): a failing or late one spares the rest."""
        sample: dict = {"metrics": {}, "processes": [], "services": []}
        errors: dict = {}
        rows = [row for row in collectors or COLLECTORS if not row.option or getattr(options, row.option)]
        calls = [(row.name, row.collect, self, options, errors) for row in rows]
        for row, (found, error) in zip(rows, self.deadlines.each(calls, COLLECTOR_SECONDS)):
            if error:  # one subject must not cost the sample
                errors = {row.name: reason(error), **errors}  # before those of single disks, should they be too many
                log.debug("Collecting %s failed: %s", row.name, reason(error))
            elif isinstance(found, dict):
                sample[row.place].update(found)
            else:
                sample[row.place].extend(found[:SUBJECTS_MAX.get(row.place)])
        errors = dict(list(errors.items())[:ERRORS_MAX])
        self.required.update((key, sample["metrics"][key]) for key in self.required if key in sample["metrics"])
        sample["metrics"].update(self.required)
        return sample, errors


def reason(error: BaseException) -> str:
    """An exception as part of a sentence."""
    if isinstance(error, OSError) and error.strerror and not error.filename:
        return clean(error.strerror)
    return clean(error) or type(error).__name__


def read_text(path: str, default: str | None = None) -> str:
    """A small file of the kernel's, without the buffers and questions of a text file; the default if it is missing."""
    try:
        return read_bytes(path).decode("utf-8", "replace")
    except OSError:
        if default is None:
            raise
        return default


def read_bytes(path: str) -> bytes:
    """A whole file. For small files of the kernel open() costs more than the reading."""
    handle, parts = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), [b" "]
    try:
        while parts[-1]:
            parts.append(os.read(handle, 65536))
    finally:
        os.close(handle)
    return b"".join(parts[1:])


def collect_cpu(machine: Machine, options, errors: dict) -> dict:
    """Busy share of all cores since the last cycle; under a CPU quota, of the quota."""
    before, machine.cpu_times = machine.cpu_times, psutil.cpu_times()
    percent, cores = used_percent(machine, before, machine.cpu_times)
    machine.source["cpu"] = "cgroup" if cores else "host"
    count = psutil.cpu_count() or 1
    return {"cpu_percent": percent, "cpu_count": min(count, math.ceil(cores)) if cores else count}


def used_percent(machine: Machine, before, after) -> tuple:
    """(percent, cores) of the quota where there is one, else (percent, None) of all cores between two readings."""
    cores, use = cgroup_cpu()
    last, machine.quota_use = machine.quota_use, (use, time.monotonic())
    return (quota_percent(last, machine.quota_use, cores) if cores else busy_percent(before, after)), cores


def busy_percent(before, after) -> float:
    """Share of the time between two readings of psutil's cpu_times that was neither idle nor waiting for disks."""
    steps = type(after)(*(max(0.0, new - old) for new, old in zip(after, before)))
    total = sum(steps) - getattr(steps, "guest", 0) - getattr(steps, "guest_nice", 0)  # guest time is in user time, too
    idle = steps.idle + getattr(steps, "iowait", 0)
    return round(min(100.0, max(0.0, 100 * (total - idle) / total)), 1) if total > 0 else 0.0


def quota_percent(before, after, cores: float) -> float:
    """Share of a quota of so many cores that was used between two (CPU seconds, monotonic time) readings."""
    if not before or before[0] is None or after[1] <= before[1]:
        return 0.0
    share = (after[0] - before[0]) / (after[1] - before[1]) / cores
    return round(min(100.0, max(0.0, 100 * share)), 1)


def cgroup_cpu() -> tuple:
    """(cores that the container may use, CPU seconds it has used), or (None, None) without a quota."""
    try:
        if os.path.exists(f"{CGROUP}/cpu.max"):
            quota, period = read_text(f"{CGROUP}/cpu.max").split()
            used = re.search(r"usage_usec (\d+)", read_text(f"{CGROUP}/cpu.stat"))
            return (None, None) if quota == "max" or not used else (int(quota) / int(period), int(used[1]) / 1e6)
        quota, period = read_text(f"{CGROUP}/cpu/cpu.cfs_quota_us"), read_text(f"{CGROUP}/cpu/cpu.cfs_period_us")
        if int(quota) > 0:
            return int(quota) / int(period), int(read_text(f"{CGROUP}/cpuacct/cpuacct.usage")) / 1e9
    except (OSError, ValueError, ZeroDivisionError):
        return None, None  # the host itself, or a system without control groups
    return None, None


def collect_memory(machine: Machine, options, errors: dict) -> dict:
    """Memory of the machine, or of the container where that has a limit of its own."""
    memory = psutil.virtual_memory()
    total, used, available, percent = memory.total, memory.used, memory.available, memory.percent
    machine.memory_total = total
    limit, taken = cgroup_memory(total)
    machine.source["memory"] = "cgroup" if limit else "host"
    if limit:
        total, used = limit, min(taken, limit)
        available = total - used
        percent = round(100 * used / total, 1)
    return {"memory_total": total, "memory_used": used, "memory_free": available, "memory_available": available,
            "memory_percent": percent}


def cgroup_memory(total: int) -> tuple:
    """(limit, bytes in use without the cache that can be dropped) of a container limited to less, or (None, None)."""
    for limit, used, inactive in ((f"{CGROUP}/memory.max", f"{CGROUP}/memory.current", "inactive_file"),
                                  (f"{CGROUP}/memory/memory.limit_in_bytes", f"{CGROUP}/memory/memory.usage_in_bytes",
                                   "total_inactive_file")):
        try:
            ceiling = int(read_text(limit))
            if ceiling >= total:
                break
            cache = re.search(rf"^{inactive} (\d+)", read_text(f"{os.path.dirname(used)}/memory.stat"), re.M)
            return ceiling, max(0, int(read_text(used)) - int(cache[1] if cache else 0))
        except (OSError, ValueError):
            continue  # "max" is no number, and the other version's files are not there
    return None, None


def collect_swap(machine: Machine, options, errors: dict) -> dict:
    """Swap space; all zero where there is none."""
    known = psutil.swap_memory() if not os.path.exists(MEMINFO) else None
    total, used, percent = (known.total, known.used, known.percent) if known else swap_linux(read_text(MEMINFO))
    return {"swap_total": total, "swap_used": used, "swap_percent": percent}


def swap_linux(text: str) -> tuple:
    """(total, used, percent) of /proc/meminfo alone: psutil reads the counters of paging as well."""
    found = dict(re.findall(r"^(SwapTotal|SwapFree): +(\d+) kB$", text, re.M))
    total = 1024 * int(found.get("SwapTotal", 0))
    used = total - 1024 * int(found.get("SwapFree", 0))
    return total, used, round(100 * used / total, 1) if total else 0.0


def collect_system(machine: Machine, options, errors: dict) -> dict:
    """How long the machine has been up and how many tasks want to run."""
    booted = psutil.boot_time()
    return {"boot_time": iso(datetime.datetime.fromtimestamp(booted, datetime.timezone.utc)),
            "uptime_seconds": uptime_seconds(booted),
            "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None}


def uptime_seconds(booted: float) -> int:
    """Seconds since boot, untouched by changes of the clock where the kernel counts them."""
    counted = read_text("/proc/uptime", "").split()
    return int(float(counted[0])) if counted else max(0, int(time.time() - booted))


def boot_id() -> str:
    """A name for this run of the machine."""
    named = read_text("/proc/sys/kernel/random/boot_id", "").strip()
    return named or f"boot-{round(psutil.boot_time() / 60)}"  # minutes: Windows' boot time wanders by a second


def collect_disks(machine: Machine, options, errors: dict) -> dict:
    """Every local file system once, and the listed others; one that does not answer is said and left out."""
    rows, until = [], time.monotonic() + MOUNTS_SECONDS
    table = read_text(MOUNTS, str(until))  # where there is none, nothing is known to be still the same
    parts, missing = mounts(table, tuple(options.include_mounts), tuple(options.skip_mounts))
    calls = [(f"{part.device} on {part.mountpoint}", disk_row, part) for part in parts]
    errors.update((f"disk {clean(path)}", "It is not mounted.") for path in missing)
    for part, (row, error) in zip(parts, machine.mount_deadlines.each(calls, MOUNT_SECONDS, until)):
        if error:
            errors[f"disk {clean(part.mountpoint)}"] = reason(error)
        elif row:
            rows.append(row)
    return {"disks": rows[:SUBJECTS_MAX["disks"]]}


@functools.lru_cache(maxsize=1)
def mounts(table: str, included: tuple, skipped: tuple) -> tuple:
    """(partitions, each device at its shortest mount point as bind mounts repeat it; listed mounts that are missing)"""
    listed = {os.path.normpath(re.sub("^/+", "/", path)) for path in included}
    found = [part for part in psutil.disk_partitions(all=False)
             if part.fstype.lower() not in SKIPPED_FILE_SYSTEMS and "cdrom" not in part.opts
             and not (part.mountpoint.startswith("/etc/") and os.path.isfile(part.mountpoint))]  # as containers have
    wanted = {os.path.abspath(os.sep), *listed} - {part.mountpoint for part in found}
    if wanted:  # the root of a container is no device; network mounts are taken when listed
        found += [part for part in psutil.disk_partitions(all=True) if part.mountpoint in wanted]
    once: dict = {}
    for part in sorted(found, key=lambda part: len(part.mountpoint)):
        own = part.mountpoint in listed or not part.device.startswith("/dev/")
        once.setdefault(part.mountpoint if own else part.device, part)
    missing = listed - {os.sep, *(part.mountpoint for part in found)} if os.name == "posix" else set()
    return [part for part in once.values()
            if not any(fnmatch.fnmatchcase(part.mountpoint, pattern) for pattern in skipped)], sorted(missing)


def disk_row(part) -> dict | None:
    """Space and inodes of one file system, percentages as df counts them; None for a single mounted file."""
    if not os.path.isdir(part.mountpoint):
        return None
    space = psutil.disk_usage(part.mountpoint)
    row = {"device": clean(part.device), "mountpoint": clean(part.mountpoint), "fstype": clean(part.fstype),
           "total": space.total, "used": max(0, space.used), "free": max(0, space.free),
           "percent": min(100.0, max(0.0, space.percent))}  # some FUSE file systems count oddly
    inodes = os.statvfs(part.mountpoint) if hasattr(os, "statvfs") else None
    if inodes and inodes.f_files:  # btrfs and others make them as they go and count none
        row["inodes_percent"] = round(100 * (inodes.f_files - inodes.f_ffree) / inodes.f_files, 1)
    return row


def collect_network(machine: Machine, options, errors: dict) -> dict:
    """Bytes and packets of all interfaces since boot, and a second since the last cycle."""
    counters = {name: tuple(each[:4]) for name, each in psutil.net_io_counters(pernic=True, nowrap=False).items()}
    names = "bytes_sent", "bytes_recv", "packets_sent", "packets_recv"
    return {"network": dict(zip(names, map(sum, zip(*counters.values())))),
            "network_rate": machine.network.take(counters, NETWORK_RATES)}


def collect_disk_io(machine: Machine, options, errors: dict) -> dict:
    """Disk traffic a second since the last cycle."""
    if os.path.exists(DISKSTATS):
        return {"disk_io_rate": machine.disk_io.take(disk_counters_linux(), DISK_RATES)}
    total = psutil.disk_io_counters(perdisk=False, nowrap=False)
    counters = {"all": (total.read_bytes, total.write_bytes, total.read_count, total.write_count)} if total else {}
    return {"disk_io_rate": machine.disk_io.take(counters, DISK_RATES)}


def disk_counters_linux() -> dict:
    """The four counters by disk, {} where there is none: of the disks themselves, as /proc/diskstats has them."""
    rows = {row[2]: row for row in map(str.split, read_text(DISKSTATS).splitlines())}
    return {name: (int(rows[name][5]) * SECTOR_BYTES, int(rows[name][9]) * SECTOR_BYTES,
                   int(rows[name][3]), int(rows[name][7])) for name in disks_among(tuple(rows))}


@functools.lru_cache(maxsize=1)
def disks_among(names: tuple) -> list:
    """Which are devices: partitions and the volumes built upon disks would count the same bytes again."""
    whole = [name for name in names if os.path.isdir(f"{BLOCK}/{name.replace('/', '!')}")]
    return [name for name in whole if os.path.exists(f"{BLOCK}/{name.replace('/', '!')}/device")] or whole


def collect_processes(machine: Machine, options, errors: dict) -> list:
    """The top processes by CPU since the last cycle and by memory: a cheap look at all, a full one at the chosen."""
    now = time.monotonic()
    user_name.cache_clear()
    scan, facts = process_source(machine)
    before, elapsed = machine.processes, now - machine.processes_at
    machine.processes, machine.processes_at = {row.pid: row for row in scan()}, now
    cpu = {pid: cpu_share(row, before, elapsed) for pid, row in machine.processes.items()}
    chosen = pick(machine.processes.values(), cpu, options.top_processes_count)
    chosen.sort(key=lambda row: (-cpu[row.pid], -row.rss))
    memory = machine.memory_total or psutil.virtual_memory().total
    described = ((seen, facts(seen)) for seen in chosen)
    return [process_row(seen, cpu[seen.pid], memory, *known) for seen, known in described if known]


def cpu_share(row: Seen, before: dict, elapsed: float) -> float:
    """Percent of one core since the last cycle. A process that was not there then has used all its time since."""
    then = before.get(row.pid)
    if then is row or not before or elapsed <= 0:
        return 0.0
    seconds = then.cpu_seconds if then and then.started == row.started else 0.0
    return max(0.0, 100 * (row.cpu_seconds - seconds) / elapsed)


def pick(rows, cpu: dict, count: int) -> list:
    """`count` rows in total, in turn from the list by CPU and the list by memory, none twice."""
    by_cpu = sorted(sorted(rows, key=attrgetter("rss"), reverse=True), key=lambda row: cpu[row.pid], reverse=True)
    by_memory = sorted(by_cpu, key=attrgetter("rss"), reverse=True)  # of equals the one with more CPU stays first
    chosen = dict.fromkeys(row for pair in zip(by_cpu[:count], by_memory) for row in pair)
    return list(chosen)[:count]


class StatFiles:
    """/proc/PID/stat of all, a tenth of psutil's cost: a line that changed is parsed, a file kept open is one call."""

    def __init__(self) -> None:
        self._known: dict = {}  # number of the process as text -> [its file, open, or -1; its line; what that says]
        self._open = 0

    def scan(self) -> list:
        """Every process that this user may see."""
        tick, page = 1 / os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        known, pread, entries = self._known, os.pread, list(filter(str.isdigit, os.listdir("/proc")))
        for entry in entries:
            try:
                each = known[entry]
                line = pread(each[0], 2048, 0)
            except (KeyError, OSError):  # not open, or it ended, and another process may have its number now
                each, line = self._opened(entry)
            if line != each[1]:
                each[1:] = line, parse_stat(line, tick, page) if line else None
        for entry in known.keys() - set(entries):
            self._close(known.pop(entry))
        return [seen for _, _, seen in known.values() if seen]

    def _opened(self, entry: str) -> tuple:
        """(what is known, its line), the file opened anew and kept while there is room; b"" if this user may not."""
        each = self._known.setdefault(entry, [-1, b"", None])
        try:
            self._close(each)
            if self._open >= min(STAT_FILES_MAX, os.sysconf("SC_OPEN_MAX") // 2):
                return each, read_bytes(f"/proc/{entry}/stat")
            each[0], self._open = os.open(f"/proc/{entry}/stat", os.O_RDONLY), self._open + 1
            return each, os.pread(each[0], 2048, 0)
        except OSError:  # ended since the listing, or hidden
            return each, b""

    def _close(self, each: list) -> None:
        if each[0] >= 0:
            handle, each[0], self._open = each[0], -1, self._open - 1
            os.close(handle)


def parse_stat(line: bytes, tick: float, page: int) -> Seen:
    """One line of /proc/PID/stat (proc(5)); the name stands in brackets and may hold brackets and blanks itself."""
    start, end = line.index(b"("), line.rindex(b")")
    rest = line[end + 2:].split(None, 22)
    return Seen(int(line[:start]), int(rest[19]), (int(rest[11]) + int(rest[12])) * tick, int(rest[21]) * page,
                line[start + 1:end], rest[0])


def facts_linux(seen: Seen) -> tuple | None:
    """(name, state, effective user as ps shows it) of a process that was seen; None when it ended meanwhile."""
    folder = f"/proc/{seen.pid}"
    try:
        return full_name(seen.name, folder), STATES.get(seen.state, "unknown"), user_name(os.stat(folder).st_uid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:  # hidden from this user
        return os.fsdecode(seen.name), STATES.get(seen.state, "unknown"), None


def full_name(name: bytes, folder: str) -> str:
    """The kernel keeps 15 bytes of a name; where its command line goes on from there, all of it."""
    if len(name) >= 15:
        line = read_bytes(f"{folder}/cmdline").rstrip(b"\0")
        program = os.path.basename(line.split(b"\0" if b"\0" in line else b" ")[0])
        name = program if program.startswith(name) else name
    return os.fsdecode(name)


@functools.lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """The name of a user, or the number of one that this system does not know; a directory may be slow to ask."""
    import pwd  # there is none on Windows
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def scan_psutil():
    """The same figures through psutil, for every other system."""
    for process in psutil.process_iter(["create_time", "cpu_times", "memory_info"]):
        info = process.info
        times, memory = info["cpu_times"], info["memory_info"]  # None where access is denied
        yield Seen(process.pid, info["create_time"], times.user + times.system if times else 0.0,
                   memory.rss if memory else 0)


def facts_psutil(seen: Seen) -> tuple | None:
    """(name, state, user) through psutil, None for what the process hides; None when it ended meanwhile."""
    try:
        info = psutil.Process(seen.pid).as_dict(["name", "status", "username"], ad_value=None)
    except psutil.NoSuchProcess:
        return None
    return info["name"], info["status"], info["username"]


def process_source(machine: Machine) -> tuple:
    """(scan, facts): how to look at all processes cheaply, and closer at a few."""
    return (machine.stat_files.scan, facts_linux) if os.path.exists("/proc/self/stat") else (scan_psutil, facts_psutil)


def process_row(seen: Seen, cpu_percent: float, memory_total: int, name, state, user) -> dict:
    """The full row of one process, with null for an owner it hides."""
    return {"pid": seen.pid, "name": clean(name or ""), "cpu_percent": round(cpu_percent, 1),
            "memory_percent": round(100 * seen.rss / memory_total, 2), "memory_mb": round(seen.rss / 1048576, 1),
            "status": clean(state or "unknown"), "username": None if user is None else clean(user)}


def collect_services(machine: Machine, options, errors: dict) -> list:
    """The listed services, or all of them; an empty list with the reason where no service manager is known."""
    if not options.monitored_services and not options.auto_discover_services:
        return []
    for present, rows in SERVICE_SOURCES:
        if present():
            return rows(machine, options.monitored_services)
    errors["services"] = "No service manager that the agent knows runs here."
    return []


COLLECTORS = (
    Collector("cpu", "metrics", None, collect_cpu),
    Collector("memory", "metrics", None, collect_memory),
    Collector("swap", "metrics", None, collect_swap),
    Collector("system", "metrics", None, collect_system),
    Collector("disks", "metrics", "collect_disks", collect_disks),
    Collector("network", "metrics", "collect_network", collect_network),
    Collector("disk_io", "metrics", "collect_disks", collect_disk_io),
    Collector("processes", "processes", "collect_processes", collect_processes),
    Collector("services", "services", "collect_services", collect_services),
)


class Live:
    """The light samples of live mode: a few reads of /proc, no fork, no walk over processes."""

    def __init__(self) -> None:
        self._machine, self._cores = Machine(), psutil.cpu_times(percpu=True)
        used_percent(self._machine, *[self._machine.cpu_times] * 2)  # the first reading under a quota
        self._frequency: tuple = (None, -math.inf)
        self._failed: set = set()
        self._counts_cost = 0.0
        self._links: tuple = (0, -math.inf)
        self._subjects = (  # what it is called, who finds it, and what of that a live sample shows
            ("cpu", self._cpu, ("cpu_percent", "cpu_per_core", "cpu_freq_mhz")),
            ("memory", collect_memory, ("memory_percent", "memory_used", "memory_available")),
            ("swap", collect_swap, ("swap_percent", "swap_used")),
            ("network", collect_network, ("network_rate",)),
            ("disks", collect_disk_io, ("disk_io_rate",)),
            ("counts", self._counts, ("process_count", "thread_count", "handle_count")))

    def sample(self, retention_minutes: int) -> dict:
        """One live sample in the hub's fields; what this system does not tell is null."""
        sample: dict = {"collected_at": iso(utc_now()), "retention_minutes": retention_minutes}
        for name, collect, shown in self._subjects:
            try:
                found = collect(self._machine, None, {})
                sample.update((key, found[key]) for key in shown)
            except Exception as error:  # one figure must not cost the sample
                if name not in self._failed:
                    self._failed.add(name)
                    log.warning("Live samples go without %s: %s", name, reason(error))
        return sample

    def _cpu(self, *_) -> dict:
        cores, self._cores = self._cores, psutil.cpu_times(percpu=True)
        whole = [type(each[0])(*map(sum, zip(*each))) for each in (cores, self._cores)]
        return {"cpu_percent": used_percent(self._machine, *whole)[0], "cpu_freq_mhz": self._frequency_mhz(),
                "cpu_per_core": [busy_percent(*pair) for pair in zip(cores, self._cores)]}

    def _frequency_mhz(self) -> float | None:
        kilohertz = read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "").strip()
        if kilohertz.isdigit():
            return round(int(kilohertz) / 1000)
        if time.monotonic() - self._frequency[1] > MINUTE:  # psutil reads a file per core, or all of /proc/cpuinfo
            try:
                frequency = psutil.cpu_freq()
            except (OSError, AttributeError, NotImplementedError, RuntimeError):
                frequency = None  # the system does not tell
            self._frequency = (round(frequency.current) if frequency else None, time.monotonic())
        return self._frequency[0]

    def _counts(self, *_) -> dict:
        if os.path.exists("/proc/loadavg"):
            return {"process_count": self._process_count(),
                    "thread_count": int(read_text("/proc/loadavg").split()[3].split("/")[1]),
                    "handle_count": int(read_text("/proc/sys/fs/file-nr").split()[0])}
        started = time.monotonic()
        counts = counts_psutil(each=self._counts_cost < 0.1)  # a walk over all processes, when it is quick here
        self._counts_cost = max(self._counts_cost, time.monotonic() - started)
        return counts

    def _process_count(self) -> int:
        """/proc has a link for each process and for each of its other folders; once a minute it is seen if it does."""
        links, until = self._links
        if links and time.monotonic() < until:
            return os.stat("/proc").st_nlink - links
        names = os.listdir("/proc")
        others = [name for name in names if not name.isdigit()]
        if time.monotonic() >= until:  # in a container they do not add up: those outside have links, too
            links = 2 + sum(stat.S_ISDIR(os.lstat(f"/proc/{name}").st_mode) for name in others)
            fits = os.stat("/proc").st_nlink == links + len(names) - len(others)
            self._links = links if fits else 0, time.monotonic() + MINUTE
        return len(names) - len(others)


def counts_psutil(each: bool) -> dict:
    """The same for other systems: threads and handles are sums over processes, null unless `each` may be asked."""
    if not each:
        return {"process_count": len(psutil.pids()), "thread_count": None, "handle_count": None}
    handles = "num_handles" if hasattr(psutil.Process, "num_handles") else "num_fds"
    found = [process.info for process in psutil.process_iter(["num_threads", handles])]
    return {"process_count": len(found), "thread_count": sum(info["num_threads"] or 0 for info in found),
            "handle_count": sum(info[handles] or 0 for info in found)}


# ------------------------------------------------------------------------------------------------------------ rates

NETWORK_RATES = "bytes_sent_per_sec", "bytes_recv_per_sec", "packets_sent_per_sec", "packets_recv_per_sec"
DISK_RATES = "read_bytes_per_sec", "write_bytes_per_sec", "read_count_per_sec", "write_count_per_sec"


class Rates:
    """Counters that only grow, turned into amounts a second. One that fell was restarted: null, never negative."""

    def __init__(self) -> None:
        self._before: dict = {}
        self._at = 0.0

    def take(self, counters: dict, names: tuple) -> dict:
        """The sum over what was there last time as well, so that an interface that comes or goes makes no spike."""
        now = time.monotonic()
        before, self._before = self._before, counters
        seconds, self._at = now - self._at, now
        steps = [[new - old for new, old in zip(counters[name], before[name])] for name in counters.keys() & before]
        if not steps or seconds <= 0 or min(map(min, steps)) < 0:
            return dict.fromkeys(names)
        return {name: round(sum(each) / seconds, 1) for name, each in zip(names, zip(*steps))}


# --------------------------------------------------------------------------------------------------------- services

SYSTEMCTL = ("/usr/bin/systemctl", "/bin/systemctl")
RC_STATUS = ("/sbin/rc-status", "/bin/rc-status", "/usr/bin/rc-status")
SERVICE = ("/usr/sbin/service", "/sbin/service")
CHILD_SECONDS = 8
CHILD_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
SHOWN = "Id,Description,LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts,Result"
NAMES_PER_CALL = 200
UNITS = ".service", ".socket", ".timer", ".mount", ".target"
REFRESH_SECONDS = 3600
LIVELY = {"activating", "deactivating", "reloading", "failed"}  # these states hide restarts: look again each cycle

SYSTEMD_STATES = {"active": "running", "reloading": "running", "refreshing": "running", "activating": "starting",
                  "deactivating": "stopped", "inactive": "stopped", "failed": "failed"}
WINDOWS_STATES = {"running": "running", "stopped": "stopped", "start_pending": "starting", "stop_pending": "stopped",
                  "continue_pending": "starting", "pause_pending": "paused", "paused": "paused"}
OPENRC_STATES = {"started": "running", "stopped": "stopped", "crashed": "failed", "starting": "starting",
                 "stopping": "stopped", "inactive": "starting", "unsupervised": "failed"}
RC_LINE = r"^\s*(?P<name>\S+)\s+\[\s*(?P<state>\w+)"
SERVICE_LINE = r"^\s*\[\s*(?P<state>[+?-])\s*\]\s+(?P<name>\S+)"
SYSV_STATES = {"+": "running", "-": "stopped", "?": "unknown"}


def run_child(arguments: list) -> str:
    """What a program of the system prints; no shell, a clean environment, a deadline. OSError says what failed."""
    environment = CHILD_ENVIRONMENT if os.name == "posix" else None
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment, timeout=CHILD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{os.path.basename(arguments[0])} gave no answer within {CHILD_SECONDS} seconds") from None
    if done.returncode and not done.stdout:
        said = clean(done.stderr.decode("utf-8", "replace").strip())
        raise OSError(f"{os.path.basename(arguments[0])} failed ({done.returncode}): {said}")
    return done.stdout.decode("utf-8", "replace")


def first_present(paths: tuple) -> str | None:
    """The first of the paths that exists: programs are never looked for in PATH."""
    return next((path for path in paths if os.path.exists(path)), None)


def service_row(name: str, status: str, **known) -> dict:
    """One service as the hub takes it."""
    return {"service_name": clean(name), "display_name": clean(known.get("display_name") or name), "status": status,
            "start_type": known.get("start_type"), "pid": known.get("pid"), "restarts": known.get("restarts")}


class Systemd:
    """Services of systemd: one cheap listing each cycle, and details only of what changed since they were shown."""

    def __init__(self) -> None:
        self._shown: dict = {}  # unit -> (its line in the listing, its row)
        self._refreshed_at = -math.inf

    @staticmethod
    def present() -> bool:
        """Whether systemd runs this machine; its programs may be installed without it."""
        return os.path.isdir("/run/systemd/system") and first_present(SYSTEMCTL) is not None

    def rows(self, listed: list) -> list:
        """The listed services in their order, or every loaded one by name."""
        if listed:
            units = [name if name.endswith(UNITS) else f"{name}.service" for name in listed]
            return [row for _, row in self._show(units, listed)]
        states = parse_units(run_child([first_present(SYSTEMCTL), "list-units", "--type=service", "--all", "--full",
                                        "--plain", "--no-legend", "--no-pager"]))
        if time.monotonic() - self._refreshed_at > REFRESH_SECONDS:
            self._refreshed_at, self._shown = time.monotonic(), {}
        changed = [unit for unit, state in states.items() if self._is_stale(unit, state)]
        shown = self._show(changed, [re.sub(r"\.service$", "", unit) for unit in changed])
        self._shown.update((unit, (states[unit], row)) for unit, row in shown)
        self._shown = {unit: self._shown[unit] for unit in sorted(states) if unit in self._shown}
        return [row for _, row in self._shown.values()]

    def _is_stale(self, unit: str, state: tuple) -> bool:
        """New, changed, restless, or its main process ended: systemd may have started it anew in between."""
        line, row = self._shown.get(unit, (None, None))
        return line != state or state[1] in LIVELY or bool(row["pid"] and not os.path.exists(f"/proc/{row['pid']}"))

    @staticmethod
    def _show(units: list, names: list) -> list:
        found: list = []
        pairs = list(zip(units, names))
        for start in range(0, len(pairs), NAMES_PER_CALL):
            part = pairs[start:start + NAMES_PER_CALL]
            blocks = show_units([unit for unit, _ in part])
            if len(blocks) == len(part):
                found += [(unit, systemd_row(name, facts)) for (unit, name), facts in zip(part, blocks)]
            else:
                found += [(unit, shown_alone(unit, name)) for unit, name in part]
        return found


def show_units(units: list) -> list:
    """What `systemctl show` says of each unit."""
    return parse_show(run_child([first_present(SYSTEMCTL), "show", "--no-pager", f"--property={SHOWN}", "--", *units]))


def shown_alone(unit: str, name: str) -> dict:
    """The row of one unit: a name that systemctl refuses, as a template without its instance, spoils only itself."""
    try:
        [facts] = show_units([unit])
    except (OSError, ValueError):
        return service_row(name, "unknown")
    return systemd_row(name, facts)


def parse_units(text: str) -> dict:
    """{unit: (load, active, sub)} of `systemctl list-units --plain`, without ghosts that others only refer to.

    The column JOB is there only while jobs wait; it and the description are left to `systemctl show`.
    """
    lines = (line.lstrip("\u25cf* ").split(None, 4) for line in text.splitlines())
    return {line[0]: tuple(line[1:4]) for line in lines
            if len(line) >= 4 and line[1] != "not-found" and SERVICE_NAME.pattern.fullmatch(line[0])}


def parse_show(text: str) -> list:
    """The properties of each unit of `systemctl show`, in the order of the names given."""
    blocks = [block for block in text.strip("\n").split("\n\n") if block]
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def systemd_row(name: str, facts: dict) -> dict:
    """A unit as a service row; NRestarts is missing before systemd 235."""
    restarts, pid = facts.get("NRestarts", ""), facts.get("MainPID", "0")
    loaded = facts.get("LoadState", "")
    return service_row(name, systemd_status(facts), display_name=facts.get("Description"),
                       start_type=facts.get("UnitFileState") or (None if loaded == "loaded" else clean(loaded)),
                       pid=int(pid) if pid.isdigit() and pid != "0" else None,
                       restarts=int(restarts) if restarts.isdigit() else None)


def systemd_status(facts: dict) -> str:
    """The hub's word for a unit's state. A crash loop reads `activating (auto-restart)`; its result shows it."""
    active, sub = facts.get("ActiveState"), facts.get("SubState", "")
    if facts.get("LoadState") in ("error", "bad-setting"):
        return "error"
    if facts.get("LoadState") == "not-found":
        return "unknown"
    if active == "active" and sub == "exited":
        return "exited"
    if sub.startswith("auto-restart") and facts.get("Result", "success") != "success":
        return "failed"
    return SYSTEMD_STATES.get(str(active), "unknown")


def services_windows(machine: Machine, listed: list) -> list:
    """Rows through psutil's service API: names and states are the same in every language of Windows."""
    if listed:
        return [windows_row(name, lambda name=name: psutil.win_service_get(name)) for name in listed]
    return [windows_row(service.name(), lambda service=service: service) for service in psutil.win_service_iter()]


def windows_row(name: str, find) -> dict:
    """One Windows service; some hide from an agent without administrator rights, and say so by `error`."""
    try:
        facts = find().as_dict()
    except psutil.NoSuchProcess:
        return service_row(name, "unknown", start_type="not-found")
    except (psutil.Error, OSError):
        return service_row(name, "error")
    return service_row(name, WINDOWS_STATES.get(facts.get("status"), "unknown"), pid=facts.get("pid"),
                       display_name=facts.get("display_name"), start_type=facts.get("start_type"))


def services_listed(programs: tuple, arguments: str, line: str, words: dict, machine: Machine, listed: list) -> list:
    """Rows of a program that prints a name and a state in each line; scripts that can not tell theirs are unknown."""
    text = run_child([first_present(programs), *arguments.split()])
    states = {found["name"]: words.get(found["state"], "unknown") for found in re.finditer(line, text, re.M)}
    return [service_row(name, states.get(name, "unknown")) for name in listed or sorted(states)]


SERVICE_SOURCES = (  # the first one present is asked
    (lambda: hasattr(psutil, "win_service_iter"), services_windows),
    (Systemd.present, lambda machine, listed: machine.systemd.rows(listed)),
    (lambda: first_present(("/run/openrc", "/lib/rc/init.d")) and first_present(RC_STATUS),
     functools.partial(services_listed, RC_STATUS, "--servicelist --nocolor", RC_LINE, OPENRC_STATES)),
    # a classic init as process 1: a container's first program is something else, and scripts alone say nothing
    (lambda: read_text("/proc/1/comm", "").strip() == "init" and first_present(SERVICE),
     functools.partial(services_listed, SERVICE, "--status-all", SERVICE_LINE, SYSV_STATES)),
)


# ------------------------------------------------------------------------------------------------------------ spool

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")  # how a time begins
SPOOLED = re.compile(r"(?P<sequence>\d{12})-(?P<taken>\d{8}T\d{9})\.json\.gz")
HELD_MAX = 20                      # samples kept in memory while the disk takes none
REJECTED_MAX = 20
SENT_HOURS, SENT_BYTES = 48, 50 * 1024 * 1024
PAYLOAD_MAX = 16 * 1024 * 1024     # nothing the agent wrote unpacks to more
BATCH_MAX, BATCH_BYTES = 100, 4 * 1024 * 1024  # what a hub takes in one batch, unpacked


@functools.lru_cache(maxsize=1)  # a sample is packed for the disk, and a moment later the same for the hub
def packed(data: bytes) -> bytes:
    """`data` as gzip."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def unpacked(data: bytes) -> bytes:
    """The whole content of a gzip file; zlib.error when it is damaged, cut or absurdly large."""
    unpacker = zlib.decompressobj(31)
    content = unpacker.decompress(data, PAYLOAD_MAX)
    if not unpacker.eof:
        raise zlib.error("the end is missing")
    return content


def taken_text(moment: str) -> str:
    """`2026-11-22T10:00:00.123Z` as it stands in file names and compares: `20261122T100000123`."""
    return re.sub(r"[^0-9T]", "", moment)


class Spool:
    """The samples on disk: those that wait, those sent, those refused. Names sort in the order they were taken,
    whatever the clock did, because they begin with a number that never goes back."""

    def __init__(self, folder: str) -> None:
        self._lock = threading.RLock()
        self._folders = {kind: os.path.join(folder, kind) for kind in ("spool", "sent", "rejected")}
        found = {kind: self._found(kind) for kind in self._folders}
        self._waiting, self._sent = found["spool"], found["sent"]
        self._held: dict = {}
        self._unread: set = set()  # names that the disk does not give now; the next sample lets them be tried again
        self._complaint: int | None = None
        self._lost: deque = deque()  # names of sent samples that a hub has lost, as long as there is no room for them
        self._refilled_at, self._max_count, self._max_bytes = -math.inf, 1, 0
        self.dropped = self.rejected = 0
        self._sequence = self._last_number(found)

    def _found(self, kind: str) -> dict:
        os.makedirs(self._folders[kind], mode=0o700, exist_ok=True)
        sizes = {}
        with os.scandir(self._folders[kind]) as entries:
            for entry in entries:
                if entry.name.endswith(".tmp"):
                    remove(entry.path)  # a power cut while it was written
                elif SPOOLED.fullmatch(entry.name):
                    sizes[entry.name] = entry.stat().st_size
        return sizes

    def _last_number(self, found: dict) -> int:
        # Not below any given out before. Samples that a full disk took no file of were seconds apart at least; where
        # no file is left at all, the uptime is higher than what was counted since the machine started.
        kinds = {name: kind for kind, names in found.items() for name in names}
        if not kinds:
            return uptime_seconds(psutil.boot_time())
        last = max(kinds)
        return int(last[:12]) + max(0, int(time.time() - os.path.getmtime(self._path(kinds[last], last))))

    def bound(self, count: int, size: int) -> None:
        """Keep at most so many samples and bytes waiting."""
        with self._lock:
            self._max_count, self._max_bytes = count, size

    def next_sequence(self) -> int:
        """The number of the next sample."""
        with self._lock:
            self._sequence += 1
            return self._sequence

    def add(self, sequence: int, collected_at: str, payload: dict) -> None:
        """Keep a sample until it is acknowledged: on disk, in memory while the disk refuses."""
        name = f"{sequence:012d}-{taken_text(collected_at)}.json.gz"
        data = packed(json.dumps(payload, separators=(",", ":"), allow_nan=False).encode())
        with self._lock:
            try:
                write_atomic(self._path("spool", name), data)
            except OSError as error:
                self._hold(name, data, error)
            self._waiting[name] = len(data)
            self._complaint = self._complaint if self._unread else None
            self._unread.clear()
            self._trim()

    def _hold(self, name: str, data: bytes, error: OSError) -> None:
        if not self._held:
            log.error("The spool can not be written (%s): samples are kept in memory, at most %d.",
                      reason(error), HELD_MAX)
        self._held[name] = data
        self._drop(sorted(self._held)[:-HELD_MAX], "The memory")

    def _trim(self) -> None:
        count, size = len(self._waiting) - self._max_count, sum(self._waiting.values()) - self._max_bytes
        surplus: list = []
        if count > 0 or size > 0:
            for name in sorted(self._waiting)[:-1]:  # the newest stays, however large
                if count <= len(surplus) and size <= 0:
                    break
                surplus.append(name)
                size -= self._waiting[name]
        self._drop(surplus, "The spool")

    def _drop(self, names: list, place: str) -> None:
        for name in names:
            self._waiting.pop(name, None)
            self._unread.discard(name)
            if self._held.pop(name, None) is None:
                remove(self._path("spool", name))
        self.dropped += len(names)
        if names:
            log.warning("%s is full: %d of the oldest samples dropped, %d since the start.",
                        place, len(names), self.dropped)

    def __len__(self) -> int:
        return len(self._waiting)

    def has_ready(self) -> bool:
        """Whether a sample waits that the disk does not keep back."""
        return len(self._waiting) > len(self._unread)

    def newest(self) -> list:
        """The newest sample that waits, as [(name, JSON)]."""
        with self._lock:
            return self._read(self._ready()[-1:])

    def oldest(self, count: int) -> list:
        """Up to `count` of the oldest samples, as many as fit into one batch; a damaged file is set aside."""
        with self._lock:
            return self._read(self._ready()[:count])

    def _ready(self) -> list:
        return [name for name in sorted(self._waiting) if name not in self._unread]

    def _read(self, names: list) -> list:
        found: list = []
        size = 0
        for name in names:
            payload = self._content(name)
            size += len(payload or b"")
            if found and size > BATCH_BYTES:
                break
            if payload is not None:
                found.append((name, payload))
        return found

    def _content(self, name: str) -> bytes | None:
        try:
            return unpacked(self._held.get(name) or read_bytes(self._path("spool", name)))
        except (FileNotFoundError, zlib.error) as error:
            self.reject(name, f"the file is damaged: {reason(error)}")
        except OSError as error:  # too many open files, a disk that stumbles: the sample itself may be well
            self._unread.add(name)
            if error.errno != self._complaint:
                self._complaint = error.errno
                log.warning("A sample can not be read and is tried again with the next one: %s", reason(error))
        return None

    def done(self, name: str) -> None:
        """The hub acknowledged: into the ring of sent ones, for a hub that is restored from an older backup."""
        with self._lock:
            size = self._waiting.pop(name, None)  # None: dropped from a full spool while it was on its way
            if self._held.pop(name, None) is None and size is not None:
                self._move(name, "spool", "sent")
                self._sent[name] = size
            self._top_up()

    def prune(self) -> None:
        """Let go of sent samples that are too old or too many."""
        oldest = taken_text(iso(utc_now() - datetime.timedelta(hours=SENT_HOURS)))
        with self._lock:
            size = sum(self._sent.values())
            for name in sorted(self._sent):
                if name[13:31] > oldest and size <= SENT_BYTES:
                    continue  # one of a clock that was ahead may stand before older ones
                size -= self._sent.pop(name)
                remove(self._path("sent", name))

    def reject(self, name: str, why: str) -> None:
        """Set aside what no hub will take; the last ones are kept to be looked at."""
        with self._lock:
            log.error("A sample was set aside as rejected/%s: %s", name, why)
            self.rejected += 1
            self._waiting.pop(name, None)
            if self._held.pop(name, None) is None:
                self._move(name, "spool", "rejected")
            for old in sorted(self._found("rejected"))[:-REJECTED_MAX]:
                remove(self._path("rejected", old))
            self._top_up()

    def refill(self, newest_at: str | None) -> bool:
        """Queue again what a hub that was restored has lost; once an hour, as one that counts oddly would never end."""
        newest = taken_text(newest_at or "")
        with self._lock:
            if not self._sent or time.monotonic() - self._refilled_at < 60 * MINUTE:
                return False
            if newest and max(self._sent)[13:13 + len(newest)] <= newest:
                return False
            lost = [name for name in sorted(self._sent) if not newest or name[13:13 + len(newest)] > newest]
            self._refilled_at = time.monotonic()
            self._lost = deque(lost)
            self._top_up()
        log.warning("The hub has lost %d samples that it had acknowledged: they are sent again.", len(lost))
        return True

    def _top_up(self) -> None:
        if not self._lost:
            return
        count = max(1, self._max_count - 1) - len(self._waiting)  # one place is for the next sample,
        size = self._max_bytes - sum(self._waiting.values())
        while self._lost and count > 0 and 2 * self._sent.get(self._lost[0], 0) <= size:  # in bytes as well
            name = self._lost.popleft()
            if name in self._sent:  # else pruned meanwhile
                self._move(name, "sent", "spool")
                self._waiting[name] = self._sent.pop(name)
                count, size = count - 1, size - self._waiting[name]

    def _move(self, name: str, source: str, target: str) -> None:
        try:
            os.replace(self._path(source, name), self._path(target, name))
        except OSError as error:
            log.warning("%s can not be moved to %s: %s", name, target, reason(error))

    def _path(self, kind: str, name: str) -> str:
        return os.path.join(self._folders[kind], name)


def export_spool(config: Config, target: str) -> int:
    """Pack what waits into one signed file, as docs/agent.md describes it; how many samples. The spool stays."""
    import hashlib  # takes libcrypto along, 3 MiB that only an export needs
    import hmac
    options = config.now
    if not options.export_key or not options.server_id:
        raise ConfigError("There is no export_key: register with a hub that issues one, or take the config that "
                          "`smon_server.py server add` writes.")
    folder = os.path.join(config.state_folder, "spool")
    names = sorted(name for name in os.listdir(folder) if SPOOLED.fullmatch(name)) if os.path.isdir(folder) else []
    payloads = [content for content in (_exported(os.path.join(folder, name)) for name in names) if content]
    body = packed(b"".join(payload + b"\n" for payload in payloads))
    head = {"format": "smon-spool-1", "server_id": options.server_id, "exported_at": iso(utc_now()),
            "payloads": len(payloads), "sha256": hashlib.sha256(body).hexdigest()}
    signed = "\n".join(head[key] for key in ("format", "server_id", "exported_at", "sha256")).encode()
    head["hmac"] = hmac.new(options.export_key.encode(), signed, hashlib.sha256).hexdigest()
    write_atomic(os.path.abspath(target), json.dumps(head).encode() + b"\n" + body)
    return len(payloads)


def _exported(path: str) -> bytes | None:
    try:
        return unpacked(read_bytes(path))
    except (OSError, zlib.error):
        return None  # sent in this moment by the agent that runs, or damaged: that agent says so


# -------------------------------------------------------------------------------------------------------- transport

ANSWER_MAX = 65536
RETRY_AFTER_MAX = 3600
AWAY, BUSY, STRANGER, REFUSED, MISSING = "away", "busy", "stranger", "refused", "missing"
KINDS = {400: REFUSED, 413: REFUSED, 415: REFUSED, 422: REFUSED, 401: STRANGER, 403: STRANGER,
         404: MISSING, 405: MISSING, 429: BUSY}  # every other status but 2xx: AWAY, perhaps another address answers
WAY = ("dashboard_url", "verify_ssl", "server_id", "api_key", "proxy", "ca_file", "client_cert", "client_key",
       "request_timeout_seconds")  # when one of these changes, connections are opened anew
HOME_MINUTES = 15  # so long, and up to as long again, before an address that failed is preferred once more
REGISTER = "/api/register"
LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")


class HubError(Exception):
    """A request without the answer it needs. `kind` decides what happens next, `wait` is how long the hub asks for."""

    def __init__(self, sentence: str, kind: str = AWAY, wait: float | None = None) -> None:
        super().__init__(clean(sentence, 400))
        self.kind, self.wait = kind, wait


def judged(status: int, retry_after: str | None, data: bytes, proof: str) -> dict:
    """The hub's answer when it is one and says yes, else HubError. `proof` is a key that only the right answer has."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if 200 <= status < 300:
        if isinstance(answer, dict) and proof in answer and answer.get("status", "ok") == "ok":
            return answer
        raise HubError(f"The answer ({status}) is not that of a hub.")
    said = answer.get("error") if isinstance(answer, dict) else "no reason given"
    kind = KINDS.get(status, AWAY)
    wait = asked_wait(retry_after) if status in (429, 503) else 5 * MINUTE if kind == STRANGER else None
    raise HubError(f"The hub answered {status}: {clean(said, 200)}", kind, wait)


def asked_wait(retry_after: str | None) -> float | None:
    """The seconds of a Retry-After header, an hour at most."""
    text = (retry_after or "").strip()
    return float(min(int(text[:9]), RETRY_AFTER_MAX)) if text.isascii() and text.isdigit() else None


class TlsConnection(http.client.HTTPConnection):
    """http.client's connection under TLS, with a context that is built once."""

    default_port = 443

    def __init__(self, host: str, port: int | None, seconds: float, context, name: str) -> None:
        super().__init__(host, port, timeout=seconds)
        self._context, self._name = context, name

    def connect(self) -> None:
        """Connect, through the proxy's tunnel where there is one, and check the certificate."""
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name, do_handshake_on_connect=False)
        self.sock.do_handshake()  # by now `sock` is the one to shut down when this takes too long


@functools.lru_cache(maxsize=1)  # 25 ms and a megabyte each time
def tls_context(verified: bool, ca_file: str | None, client_cert: str | None, client_key: str | None, written: tuple):
    """What the options say about certificates, anew when a file was `written`; `ssl` is imported for https only."""
    import ssl  # 4 MiB
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)  # a system may ask for more
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert:
        try:
            context.load_cert_chain(client_cert, client_key, password="")  # without one OpenSSL asks a terminal
        except ssl.SSLError as error:
            raise OSError(f"client_cert and client_key do not fit or have a password: {clean(error)}") from error
    return context


def proxy_address(address: str, url):
    """The parts of the proxy's address, or None. The environment counts only when the config says so."""
    if address == "environment":
        import urllib.request  # for this rare case only
        bypassed = urllib.request.proxy_bypass(url.hostname)
        address = "" if bypassed else urllib.request.getproxies().get(url.scheme, "")
    return urlsplit(address if "://" in address else f"http://{address}") if address else None


class Door:
    """The way to one address of the hub: direct, to a proxy, or through its tunnel."""

    def __init__(self, address: str, options: types.SimpleNamespace, file) -> None:
        self.address, self._url = address, urlsplit(address)
        self._proxy = functools.lru_cache(maxsize=1)(functools.partial(proxy_address, options.proxy, self._url))
        paths = (getattr(options, key) for key in ("ca_file", "client_cert", "client_key"))
        self._certificates = (options.verify_ssl, *(file(path) if path else None for path in paths))

    def warn(self) -> None:
        """Say what others can do on this way."""
        if self._url.scheme == "http" and not LOOPBACK.fullmatch(self._url.hostname or ""):
            log.warning("%s is plain http: the key and the figures can be read on the way.", self.address)
        if self._url.scheme == "https" and not self._certificates[0]:
            log.warning("verify_ssl is false: anybody on the way can pose as %s.", self.address)

    def connection(self, seconds: float) -> http.client.HTTPConnection:
        """A new connection, not yet open."""
        url, proxy = self._url, self._proxy()
        host, port = (proxy.hostname, proxy.port or 80) if proxy else (str(url.hostname), url.port)
        if url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=seconds)
        written = tuple(os.stat(path).st_mtime_ns for path in self._certificates[1:] if path)
        made = TlsConnection(host, port, seconds, tls_context(*self._certificates, written), str(url.hostname))
        if proxy:
            made.set_tunnel(str(url.hostname), url.port or 443, self.login("https"))
        return made

    def login(self, scheme: str) -> dict:
        """What a proxy wants to know: of plain http with each request, of https when its tunnel is opened."""
        proxy = self._proxy() if self._url.scheme == scheme else None
        if not proxy or not proxy.username:
            return {}
        import base64
        login = unquote(f"{proxy.username}:{proxy.password or ''}").encode()
        return {"Proxy-Authorization": "Basic " + base64.b64encode(login).decode()}

    def target(self, path: str) -> str:
        """The request target: a proxy of plain http wants the whole address."""
        url, way = self._url, self._url.path.rstrip("/") + path
        return f"{url.scheme}://{url.netloc}{way}" if self._proxy() and url.scheme == "http" else way


class Connection:
    """One connection to the hub, kept open between requests; one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._http: http.client.HTTPConnection | None = None
        self._answering: socket.socket | None = None
        self._door: Door | None = None
        self._late_at = math.inf

    def exchange(self, door: Door, seconds: float, method: str, path: str, headers: dict, body: bytes | None) -> tuple:
        """(status, Retry-After, body). A kept connection that the hub has closed meanwhile is opened once more."""
        with self._lock:
            kept = self._http is not None and self._door is door
            self._late_at = time.monotonic() + seconds
            try:
                return self._once(door, seconds, method, path, headers, body)
            except socket.timeout:
                raise
            except (OSError, http.client.HTTPException):
                if not kept or path == REGISTER or time.monotonic() >= self._late_at:
                    raise  # a registration may have lost its answer only: repeated, it would make a second server
                return self._once(door, seconds, method, path, headers, body)
            finally:
                self._late_at = math.inf

    def _once(self, door: Door, seconds: float, method: str, path: str, headers: dict, body: bytes | None) -> tuple:
        try:
            connection = self._opened(door, seconds)
            connection.request(method, door.target(path), body, headers)
            self._answering = connection.sock  # http.client lets go of it when the hub says `Connection: close`
            answer = connection.getresponse()
            data = answer.read(ANSWER_MAX + 1)
            if len(data) > ANSWER_MAX:
                raise HubError("The answer is over 64 KB, so it is not that of a hub.")
        except BaseException:
            self._drop()
            raise
        if connection.sock is None or not answer.isclosed():
            self._drop()
        return answer.status, answer.getheader("Retry-After"), data

    def _opened(self, door: Door, seconds: float) -> http.client.HTTPConnection:
        if self._http is None or self._http.sock is None or self._door is not door:
            self._drop()
            self._door, self._http = door, door.connection(seconds)
            self._http.connect()
        self._http.sock.settimeout(seconds)
        return self._http

    def socket_to(self, door: Door, seconds: float):
        """The open socket."""
        with self._lock:
            return self._opened(door, seconds).sock

    def cut(self, now: float = math.inf) -> None:
        """End a request that takes longer than it may, from another thread: a hub can send a byte a second."""
        used = self._answering or getattr(self._http, "sock", None)
        if now >= self._late_at and used is not None:
            self._late_at = -math.inf
            try:
                socket.socket.shutdown(used, socket.SHUT_RDWR)  # below TLS, whose state is not ours
            except OSError as error:
                log.debug("The connection was closed already: %s", reason(error))

    def close(self) -> None:
        """Close it until the next request."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._http, self._answering = self._http, None, None
        if connection is not None:
            connection.close()


class Hub:
    """The hub as this agent knows it. An address that fails goes to the end of the line; the config's first one comes
    back to its head after a quarter to half an hour, at another moment in each agent."""

    def __init__(self, config: Config, heed) -> None:
        self._config, self._heed = config, heed
        self.options, self._way = config.now, ()  # type: types.SimpleNamespace, tuple
        self._lock = threading.Lock()
        self.doors: list = []      # best first
        self._home: Door | None = None
        self._home_at, self._ended = math.inf, False
        self.bulk = Connection()   # samples
        self.quick = Connection()  # live samples and pings
        self.is_ours = False       # it told its time, so it knows gzip and batches; the seed's does not
        self.quiet_until, self.contact_at, self.skew_seconds = -math.inf, -math.inf, 0.0

    def follow(self, options: types.SimpleNamespace) -> None:
        """Use these options from the next request on."""
        before, self._way = self._way, tuple(getattr(options, key) for key in WAY)
        self.options = options
        if self._way == before:
            return
        doors = [Door(address, options, self._config.file) for address in addresses(options)]
        with self._lock:
            self.doors, self._home, self._home_at = doors, doors[0], math.inf
        self.is_ours, self.quiet_until = False, -math.inf
        if before[:2] != self._way[:2]:
            for door in doors:
                door.warn()

    def _line(self) -> list:
        with self._lock:
            if time.monotonic() >= self._home_at:
                self._home_at = math.inf
                self.doors = sorted(self.doors, key=lambda door: door is not self._home)
            return self.doors

    def _leave(self, door: Door, wait: float | None) -> None:
        with self._lock:
            self.doors = sorted(self.doors, key=lambda other: other is door)
            if door is self._home:
                pause = HOME_MINUTES * MINUTE * (1 + os.urandom(1)[0] / 256)
                self._home_at = time.monotonic() + max(wait or 0, pause)

    def reach(self, ask, tries: int | None = None):
        """What `ask(door, seconds)` gives at the first address that answers in one request's time, else HubError."""
        late_at, line = time.monotonic() + self.options.request_timeout_seconds, self._line()[:tries]
        failed: list = []
        for door in line:
            share = (late_at - time.monotonic()) / (len(line) - len(failed))
            try:
                answer = ask(door, max(0.1, share))
            except HubError as error:
                failed.append(error.with_traceback(None))  # its frames would hold sockets open
            except (OSError, http.client.HTTPException, ValueError) as error:
                failed.append(HubError(f"The hub at {door.address} can not be reached: {reason(error)}"))
            else:
                if failed:
                    log.warning("%s Going on with %s.", failed[-1], door.address)
                return answer
            if failed[-1].kind != AWAY or self._ended:
                break
            self._leave(door, failed[-1].wait)
        wait = max(error.wait or 0 for error in failed)
        if wait:
            self.quiet_until = time.monotonic() + wait
        raise HubError("; ".join(map(str, failed)), failed[-1].kind, wait or None)

    def call(self, connection: Connection, method: str, path: str, body: bytes | None = None,
             proof: str = "status") -> dict:
        """The hub's answer to one request; HubError for everything else, and the hub is left alone as it asks."""
        def ask(door: Door, seconds: float) -> dict:
            headers, sent = self._prepared(door, body)
            status, retry_after, data = connection.exchange(door, seconds, method, path, headers, sent)
            return judged(status, retry_after, data, proof)
        contact_at = self.contact_at
        answer = self.reach(ask, 1 if path == REGISTER else None)  # two hubs would make two servers of this one
        log.debug("%s %s: done.", method, path)
        alone = contact_at == self.contact_at
        self.contact_at = time.monotonic()
        self._learn_time(answer)
        self._heed(answer, alone)
        return answer

    def _prepared(self, door: Door, body: bytes | None) -> tuple:
        headers = {"User-Agent": f"smon-agent/{VERSION}", "Accept": "application/json", **door.login("http")}
        if self.options.api_key:
            headers["Authorization"] = f"Bearer {self.options.server_id}:{self.options.api_key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        if body is not None and self.is_ours and len(body) > 1024:
            headers["Content-Encoding"], body = "gzip", packed(body)
        return headers, body

    def _learn_time(self, answer: dict) -> None:
        try:
            self.skew_seconds = (utc_now() - from_iso(str(answer["server_time"]))).total_seconds()
            self.is_ours = True
        except (KeyError, ValueError, TypeError):
            return  # a hub of the seed does not tell

    def cut(self, now: float = math.inf) -> None:
        """End requests that are late at `now`; without it all, for good."""
        self._ended = now == math.inf
        self.bulk.cut(now)
        self.quick.cut(now)


# ----------------------------------------------------------------------------------------------------- registration

def register(hub: Hub, config: Config) -> None:
    """Get an id and a key from the hub and keep them; HubError when it gives none."""
    options, address = config.now, hub.reach(hub.bulk.socket_to).getsockname()[0]
    try:
        config.try_saving()
    except (ConfigError, OSError) as error:
        raise HubError(f"Not registered, because the key could not be kept: {error}") from error
    body = {"hostname": clean(socket.gethostname(), 255), "ip_address": address, "os_info": os_info(),
            "agent_version": VERSION}
    chosen = ("display_name", "group_name", "tags", "registration_token")
    body.update((key, getattr(options, key)) for key in chosen if getattr(options, key))
    answer = hub.call(hub.bulk, "POST", REGISTER, json.dumps(body).encode(), proof="api_key")
    learned = {key: answer[key] for key in IDENTITY if answer.get(key)}
    try:
        if not {"server_id", "api_key"} <= learned.keys():
            raise ConfigError("It names no server_id or no api_key.")
        in_force(dict(vars(options), **learned))
    except ConfigError as error:
        raise HubError(f"The hub's answer to the registration can not be used: {error}") from error
    config.reload()
    if set(addresses(config.now)).isdisjoint(addresses(options)):
        raise HubError("The address of the hub was changed meanwhile; its key is for no other.")
    config.learn_identity(learned)
    log.info("Registered with %s as %s. %s", hub.doors[0].address, learned.get("server_id"),
             clean(answer.get("message") or ""))


def os_info() -> str:
    """The system as people call it, `Debian GNU/Linux 12 (bookworm) x86_64`."""
    import platform  # 0.5 MiB, wanted once in the life of an agent
    named = re.search(r'^PRETTY_NAME="?([^"\n]+)', read_text("/etc/os-release", ""), re.M)
    return clean(f"{named[1] if named else platform.system() + ' ' + platform.release()} {platform.machine()}", 255)


def sort_out(offered: dict) -> tuple:
    """(values to take, reasons against the others) of what a hub wants to set: its own options, within bounds."""
    taken, rejected = {}, {}
    for key, value in list(offered.items())[:100]:
        option = BY_KEY.get(key)
        try:
            if option is None or not option.remote:
                raise ConfigError(f"{clean(key, 60)} can not be set from the hub.")
            taken[key] = checked(option, value)
        except ConfigError as error:
            rejected[clean(key, 60)] = str(error)
    return taken, rejected


def exchange_settings(hub: Hub, config: Config) -> None:
    """Fetch the settings that wait at the hub, take what is allowed, and tell the hub what became of them."""
    path = f"/api/config/{config.now.server_id}"
    answer = hub.call(hub.bulk, "GET", path, proof="has_update")
    offered = answer.get("config")
    if answer["has_update"] is not True or not isinstance(offered, dict):
        return
    taken, rejected = sort_out(offered)
    changed = {key: value for key, value in taken.items() if getattr(config.now, key) != value}
    try:
        if changed:
            config.learn(changed)
    except (ConfigError, OSError) as error:
        rejected.update(dict.fromkeys(changed, f"It can not be saved: {reason(error)}"))
        changed = {}
    for key, value in changed.items():
        log.info("The hub set %s to %s.", key, clean(value))
    for key, why in rejected.items():
        log.warning("A setting of the hub was rejected: %s", why)
    current = {option.key: getattr(config.now, option.key) for option in OPTIONS if option.remote}
    reply = {"revision": answer.get("revision"), "rejected": rejected, "current": current}
    hub.call(hub.bulk, "POST", path, json.dumps(reply).encode())


# ------------------------------------------------------------------------------------------------------------ loops

WATCH_SECONDS = 2 if os.name == "posix" else 0.5  # between looks at late requests and the stop file, Windows' signal
STOP_SECONDS = 1.5     # what the threads get to finish; what they hold is on disk
LIVE_KEPT = 60         # live samples kept in memory while the hub is away
BEAT_MINUTES = 5
ONCE_SECONDS = 60      # --once does not wait longer for a hub that asks it to
SKEW_SECONDS = 240     # a clock further off than this can not be compared with the hub's `newest_at`


class Lock:
    """One agent per state folder. The file also tells the next agent whether this one ended cleanly."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folder = folder
        self._file = open(os.path.join(folder, "agent.lock"), "a+b", buffering=0, opener=_private)
        self.was_clean = True

    def take(self) -> Lock:
        """Hold it from now on; TakenError when another agent does."""
        try:
            lock_file(self._file)
        except (BlockingIOError, PermissionError):
            raise TakenError(f"another agent runs with {self._folder}; it goes on, this one ends.") from None
        self._file.seek(0)
        self.was_clean = not self._file.read(7) == b"running"
        self._write(f"running as process {os.getpid()}\n")
        return self

    def release(self) -> None:
        """This agent ended cleanly."""
        self._write("stopped\n")
        self._file.close()

    def _write(self, text: str) -> None:
        try:
            self._file.truncate(0)
            self._file.write(text.encode())
            os.fsync(self._file.fileno())
        except OSError as error:
            log.warning("agent.lock can not be written: %s", reason(error))


def lock_file(file) -> None:
    """Lock it for this process until it ends, however it ends; OSError when another has it."""
    if sys.platform == "win32":
        import msvcrt
        file.seek(4096)  # Windows keeps others from reading locked bytes
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Schedule:
    """Slots on a monotonic grid: they do not drift, and a missed one is skipped, not caught up."""

    def __init__(self, seconds: float, first: float) -> None:
        self.seconds = seconds
        self.next = time.monotonic() + first

    def advance(self, seconds: float) -> float:
        """Seconds from now to the next slot; a new distance starts a new grid."""
        now = time.monotonic()
        if seconds != self.seconds:
            self.seconds, self.next = seconds, now + seconds
        if self.next <= now:
            self.next += (math.floor((now - self.next) / seconds) + 1) * seconds
        return self.next - now


def start_share(name: str) -> float:
    """Which part of the first interval to wait, 0.5 to 1: machines that start together do not call together."""
    return 0.5 + zlib.crc32(name.encode()) / 2 ** 33


class Sender:
    """Brings the spool to the hub: oldest first, in batches, as long as it takes, and never faster than asked."""

    def __init__(self, config: Config, spool: Spool, stop: threading.Event) -> None:
        self._config, self._spool, self._stop = config, spool, stop
        self.hub = Hub(config, self._heed)
        self.wake = threading.Event()
        self._knows_batch, self._config_pending = True, False
        self._failures, self._not_before = 0, -math.inf
        self._said = ("", -math.inf)

    def _heed(self, answer: dict, alone: bool) -> None:
        """What every answer of a hub may say beside yes; `alone`: no other came while it was on its way."""
        if answer.get("config_pending") is True:
            self._config_pending = True
            self.wake.set()
        had = "previous_at" if "previous_at" in answer else "newest_at"  # of a hub that just got a sample: before that
        fresh = alone or had == "previous_at"  # else another sample may have been taken since this was written
        if had in answer and fresh and abs(self.hub.skew_seconds) < SKEW_SECONDS:
            newest_at = answer[had]
            if (newest_at is None or MOMENT.match(str(newest_at))) and self._spool.refill(newest_at):
                self.wake.set()
        if self.hub.is_ours:
            self._knows_batch = True

    def pause(self) -> float | None:
        """Seconds until a try makes sense; None when there is nothing to do."""
        if not self._spool.has_ready() and not self._config_pending and self._config.now.api_key:
            return None
        return max(0.0, max(self._not_before, self.hub.quiet_until) - time.monotonic())

    def hurry(self) -> None:
        """The options changed: an old refusal or backoff says nothing about the new ones."""
        self._not_before, self._failures = -math.inf, 0
        self.wake.set()

    def attempt(self) -> bool:
        """Do all there is to do; False when the hub did not let it, and pause() says how long to wait."""
        try:
            if not self._config.now.api_key:
                register(self.hub, self._config)
                self.hub.follow(self._config.now)
            sent = self._deliver_all()
            self._take_settings()
        except HubError as error:
            self._postpone(error)
            return False
        finally:
            self.hub.bulk.close()
            self._spool.prune()
        if self._failures:
            log.info("The hub takes samples again: %d were sent.", sent)
        self._failures, self._said = 0, ("", -math.inf)
        return True

    def _take_settings(self) -> None:
        if self._config_pending:
            try:
                exchange_settings(self.hub, self._config)
            except HubError as error:
                if error.kind not in (MISSING, REFUSED):
                    raise
                log.warning("The settings at the hub could not be taken: %s", error)
            self._config_pending = False  # last, so that an answer to this exchange does not start the next

    def _postpone(self, error: HubError) -> None:
        self._failures += 1
        options = self._config.now
        longest = max(options.retry_delay_seconds, BEAT_MINUTES * MINUTE)
        doublings = min(30, max(0, self._failures - options.retry_attempts + 1))
        wait = error.wait or min(longest, options.retry_delay_seconds * 2 ** doublings)
        wait *= 1 + os.urandom(1)[0] / 1024  # up to a quarter more, so that agents do not return together
        self._not_before = time.monotonic() + wait
        kind, said_at = self._said
        if kind != error.kind or time.monotonic() - said_at > 60 * MINUTE:
            self._said = error.kind, time.monotonic()
            advice = STRANGER_ADVICE if error.kind == STRANGER and options.api_key else ""
            log.warning("%s%s (%d samples wait, next try in %.1f seconds)", error, advice, len(self._spool), wait)

    def _deliver_all(self) -> int:
        sent = 0
        if len(self._spool) > BATCH_MAX:
            sent += self._deliver(self._spool.newest())  # the hub sees now first, then how it came to it
        elif self._failures:
            sent += self._deliver(self._spool.oldest(1))  # a light request asks whether the trouble is over
        while self._spool.has_ready() and not self._stop.is_set():
            sent += self._deliver(self._spool.oldest(BATCH_MAX))
        return sent

    def _deliver(self, items: list) -> int:
        """Send these [(name, JSON)] and return how many the hub took."""
        if len(items) > 1 and self._knows_batch:
            return self._deliver_batch(items)
        return sum(self._deliver_one(*item) for item in items if not self._stop.is_set())

    def _deliver_one(self, name: str, payload: bytes) -> int:
        try:
            self.hub.call(self.hub.bulk, "POST", "/api/metrics", payload)
        except HubError as error:
            if error.kind != REFUSED:
                raise
            self._spool.reject(name, str(error))
            return 0
        self._spool.done(name)
        return 1

    def _deliver_batch(self, items: list) -> int:
        body = b'{"payloads":[' + b",".join(payload for _, payload in items) + b"]}"
        try:
            answer = self.hub.call(self.hub.bulk, "POST", "/api/metrics/batch", body, proof="results")
        except HubError as error:
            if error.kind == MISSING:
                self._knows_batch = False
                log.info("The hub is older and takes no batches: samples go one by one.")
                return self._deliver(items)
            if error.kind == REFUSED:  # only the refusal of a single sample is final
                half = len(items) // 2
                return self._deliver(items[:half]) + self._deliver(items[half:])
            raise
        return self._settle(items, answer["results"])

    def _settle(self, items: list, results: object) -> int:
        if not isinstance(results, list) or len(results) != len(items) or not all(isinstance(r, dict) for r in results):
            raise HubError("The answer to a batch does not fit it, so it is not that of a hub.")
        taken = 0
        for (name, _), result in zip(items, results):
            if result.get("status") == "ok":
                self._spool.done(name)
                taken += 1
            else:
                self._spool.reject(name, clean(result.get("error") or "no reason given", 200))
        return taken


STRANGER_ADVICE = (" The hub does not know this server or its key: removed, rotated, or the hub was restored. "
                   "Enrol again with --register.")


class Agent:
    """The four threads and what they share: the config, the spool, the hub and one event that ends them."""

    def __init__(self, config: Config, lock: Lock, logs: LogFile) -> None:
        self.config, self._lock, self._logs = config, lock, logs
        self.stop = threading.Event()
        self.spool = Spool(config.state_folder)
        self.sender = Sender(config, self.spool, self.stop)
        self.machine, self._boot_id = Machine(), boot_id()
        interval = config.now.collection_interval_minutes * MINUTE
        self._schedule = Schedule(interval, interval * start_share(config.now.server_id or socket.gethostname()))
        self._ticks: deque = deque(maxlen=LIVE_KEPT)
        self._beat_wake, self._live_wake = threading.Event(), threading.Event()
        self._live_refused, self._cycles = "", 0
        self._applied: types.SimpleNamespace | None = None
        self._applying = threading.Lock()  # the cycle applies what the file says, the sender what the hub says
        self.apply()

    def apply(self) -> None:
        """Bring what is in force into effect; nothing happens when it is already."""
        with self._applying:
            options = self.config.now
            if options == self._applied:
                return
            self._applied = options
            follow_logs(self._logs, self.config)
            self.spool.bound(options.offline_buffer_max, options.spool_max_mb * 1024 * 1024)
            self.sender.hub.follow(options)
            self.sender.hurry()
            self._live_wake.set()
            self._beat_wake.set()

    def run(self, signals: queue.SimpleQueue) -> int:
        """Work until a signal or the stop file; DONE."""
        stop_file = os.path.join(self.config.state_folder, "agent.stop")
        remove(stop_file)
        threads = [threading.Thread(target=self._guarded, args=(loop,), name=loop.__name__.strip("_"), daemon=True)
                   for loop in (self._cycle_loop, self._send_loop, self._live_loop, self._beat_loop)]
        for thread in threads:
            thread.start()
        why = self._watch(signals, stop_file)
        self._finish(threads)
        log.info("Stopped by %s after %d cycles; %d samples wait.", why, self._cycles, len(self.spool))
        self._lock.release()
        return DONE

    def _watch(self, signals: queue.SimpleQueue, stop_file: str) -> str:
        while not os.path.exists(stop_file):
            try:
                return signals.get(timeout=WATCH_SECONDS)
            except queue.Empty:
                self.sender.hub.cut(time.monotonic())
        remove(stop_file)
        return "its stop file"

    def _finish(self, threads: list) -> None:
        until = time.monotonic() + STOP_SECONDS
        self.stop.set()
        for wake in (self.sender.wake, self._beat_wake, self._live_wake):
            wake.set()
        self.sender.hub.cut()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))  # one that hangs in the kernel ends with the process

    def _guarded(self, loop) -> None:
        while not self.stop.is_set():
            try:
                loop()
            except Exception as error:  # a fault in one loop must not end the watch over this machine
                log.error("The %s failed and starts again: %s", loop.__name__.strip("_"), reason(error), exc_info=True)
                self.stop.wait(5)

    def _cycle_loop(self) -> None:
        self.machine.prime(self.config.now)
        while not self.stop.is_set():
            self.config.reload()
            self.apply()
            self.collect()
            self.sender.wake.set()
            self.stop.wait(self._schedule.advance(self.config.now.collection_interval_minutes * MINUTE))

    def collect(self) -> None:
        """Take one sample into the spool."""
        self._cycles += 1
        collected_at, sequence = iso(utc_now()), self.spool.next_sequence()
        sample, errors = self.machine.collect(self.config.now)
        payload = dict({"collected_at": collected_at}, **sample, agent=self._about(sequence, errors))
        self.spool.add(sequence, collected_at, payload)

    def _about(self, sequence: int, errors: dict) -> dict:
        options = self.config.now
        return {"version": VERSION, "boot_id": self._boot_id, "sequence": sequence, "buffered": len(self.spool),
                "dropped": self.spool.dropped, "errors": errors, "clean_shutdown": self._lock.was_clean,
                "interval_minutes": options.collection_interval_minutes, "beat_seconds": self._beat_seconds(),
                "live": options.live_enabled, "services_listed": bool(options.monitored_services),
                "source": dict(self.machine.source)}

    def _beat_seconds(self) -> float:
        """The longest silence that the hub should expect."""
        interval = self.config.now.collection_interval_minutes * MINUTE
        return min(interval / 2, BEAT_MINUTES * MINUTE) if self.config.now.ping_enabled else interval

    def _send_loop(self) -> None:
        while not self.stop.is_set():
            pause = self.sender.pause()
            if pause != 0:
                self.sender.wake.wait(pause)
                self.sender.wake.clear()
                continue
            self.sender.attempt()
            self.apply()

    def _live_loop(self) -> None:
        while not self.stop.is_set():
            if self.config.now.live_enabled:
                self._live()
            else:
                self._live_wake.wait()
                self._live_wake.clear()

    def _live(self) -> None:
        """Sample until live mode is switched off."""
        live, slots = Live(), Schedule(self.config.now.live_interval_seconds, 1)
        while self.config.now.live_enabled and not self.stop.is_set():
            if not self._live_wake.wait(slots.advance(self.config.now.live_interval_seconds)):
                self._ticks.append(live.sample(self.config.now.live_retention_minutes))
                self._beat_wake.set()
            self._live_wake.clear()

    def _beat_loop(self) -> None:
        tried_at = time.monotonic()
        hub = self.sender.hub
        while not self.stop.is_set():
            due = self._ping_due(tried_at)
            self._beat_wake.wait(None if due is None else max(0.05, due - time.monotonic()))
            self._beat_wake.clear()
            due, now = self._ping_due(tried_at), time.monotonic()  # a sample may have been sent meanwhile
            if due is not None and now >= due:
                tried_at = now
            if self.stop.is_set() or not self.config.now.api_key or now < hub.quiet_until:
                continue
            try:
                if tried_at == now:  # before live samples, which a hub may refuse for itself
                    hub.call(hub.quick, "POST", "/api/ping", b"{}")
                self._send_live()
            except HubError as error:
                log.debug("%s", error)  # the sender says it aloud
            if not self.config.now.live_enabled:
                hub.quick.close()

    def _ping_due(self, tried_at: float) -> float | None:
        """When silence has lasted half a cycle. A sample about to be sent, or just sent, is as good as a ping."""
        if not self.config.now.ping_enabled:
            return None
        beat, hub = self._beat_seconds(), self.sender.hub
        due = max(tried_at, hub.contact_at) + beat
        if abs(self._schedule.next - due) < beat / 10:
            due = self._schedule.next + beat / 10
        return max(due, hub.quiet_until)

    def _send_live(self) -> None:
        while self._ticks and not self.stop.is_set():
            tick = self._ticks[0]
            try:
                self.sender.hub.call(self.sender.hub.quick, "POST", "/api/metrics/live", json.dumps(tick).encode())
            except HubError as error:
                if error.kind not in (REFUSED, MISSING):
                    raise
                if str(error) != self._live_refused:  # an older hub refuses one every few seconds
                    log.warning("Live samples are refused: %s", error)
                self._live_refused = str(error)
            if self._ticks and self._ticks[0] is tick:  # a full queue may have let it go meanwhile
                self._ticks.popleft()


# ----------------------------------------------------------------------------------------------------- command line

def main(arguments: list | None = None) -> int:
    """Do what the command line says; the exit code."""
    given = parser().parse_args(arguments)
    problem = missing_parts()
    if problem:
        print(problem, file=sys.stderr)
        return UNUSABLE
    os.umask(0o077)
    logs = start_logging()
    try:
        config = Config(given.config or os.path.join(os.path.dirname(os.path.abspath(__file__)), "config.json"))
        take_arguments(config, given)
        follow_logs(logs, config)
        return given.action(config, logs, given)
    except (ConfigError, OSError) as error:
        print(f"smon_agent: {error}", file=sys.stderr)
        return getattr(error, "status", UNUSABLE)
    except KeyboardInterrupt:
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The command line."""
    formatter = functools.partial(argparse.HelpFormatter, width=110)  # to find a width it imports shutil, bz2 and lzma
    made = argparse.ArgumentParser(prog="smon_agent.py", description="Watch this machine and tell a hub.",
                                   formatter_class=formatter)
    made.add_argument("config", nargs="?", help="config file; default: config.json beside this program")
    made.add_argument("--url", help="address of the hub, several with commas between; saved")
    made.add_argument("--token", help="registration token; saved")
    made.add_argument("--group", help="group to register in; saved")
    made.add_argument("--name", help="name to register under; saved")
    made.add_argument("--version", action="version", version=f"smon_agent {VERSION}")
    actions = made.add_mutually_exclusive_group()
    for flag, action, sentence in (
            ("--register", enrol, "get a new id and key from the hub, and end"),
            ("--once", run_once, "collect, send and end: 0 sent, 3 kept for the next time"),
            ("--print", print_sample, "collect and print the sample, send nothing"),
            ("--check", check, "say whether config, hub, key, clock and certificate are in order")):
        actions.add_argument(flag, dest="action", action="store_const", const=action, help=sentence)
    actions.add_argument("--export-spool", metavar="FILE", help="pack the waiting samples into a file for the hub")
    made.set_defaults(action=run)
    return made


def missing_parts() -> str:
    """What this Python lacks, and how to get it on this system; empty when nothing."""
    if sys.version_info < (3, 8):
        return "smon_agent.py needs Python 3.8 or newer; this is %d.%d." % sys.version_info[:2]
    if psutil is not None:
        return ""
    family = read_text("/etc/os-release", "").lower()
    packages = (("debian", "apt install python3-psutil"), ("rhel", "dnf install python3-psutil"),
                ("fedora", "dnf install python3-psutil"), ("suse", "zypper install python3-psutil"),
                ("alpine", "apk add py3-psutil"), ("arch", "pacman -S python-psutil"))
    ways = [command for name, command in packages if name in family][:1] + [f"{sys.executable} -m pip install psutil"]
    return f"smon_agent.py needs psutil. Get it with: {' or '.join(ways)}, or from the offline bundle."


def start_logging() -> LogFile:
    """Log to the console, and to a file as soon as the config names one."""
    logs, console = LogFile(), logging.StreamHandler()
    logging.raiseExceptions = False  # a console that is gone must not end the agent
    for handler in (console, logs):
        handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s"))
    log.handlers[:] = [console, logs]
    log.propagate = False
    return logs


def follow_logs(logs: LogFile, config: Config) -> None:
    """Log as the options say from now on."""
    options = config.now
    path = os.path.join(config.state_folder, options.log_file) if options.log_file else ""
    logs.follow(path, options.log_max_bytes, options.log_backup_count)
    log.setLevel(options.log_level)


def take_arguments(config: Config, given: argparse.Namespace) -> None:
    """Save what the command line says about the hub, so that the next start needs no arguments."""
    url = given.url.split(",") if given.url and "," in given.url else given.url
    named = {"dashboard_url": url, "registration_token": given.token, "group_name": given.group,
             "display_name": given.name}
    changes = {key: value for key, value in named.items() if value is not None and value != getattr(config.now, key)}
    if changes:
        config.learn(changes)
    if given.export_spool:
        given.action = export


def run(config: Config, logs: LogFile, given: argparse.Namespace) -> int:
    """Run until a signal comes."""
    lock = Lock(config.state_folder).take()
    signals = caught_signals()
    log.info("smon agent %s starts: process %d, Python %s, psutil %s, hub %s.", VERSION, os.getpid(),
             ".".join(map(str, sys.version_info[:3])), psutil.__version__, ", ".join(addresses(config.now)))
    if config.unknown_keys:
        log.warning("The config holds keys that mean nothing here: %s.", clean(", ".join(config.unknown_keys)))
    return Agent(config, lock, logs).run(signals)


def caught_signals() -> queue.SimpleQueue:
    """The signals that ask for the end, by name. Under nohup a hang-up is ignored, and stays so."""
    signals: queue.SimpleQueue = queue.SimpleQueue()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):
            signal.signal(number, lambda number, frame: signals.put(signal.Signals(number).name))
    return signals


def cut_late(hub: Hub) -> None:
    """Do for a command what the main thread does for an agent that runs: end requests that take too long."""
    def watch() -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            hub.cut(time.monotonic())
    threading.Thread(target=watch, name="watch", daemon=True).start()


def run_once(config: Config, logs: LogFile, given: argparse.Namespace) -> int:
    """One sample, sent with the configured number of tries."""
    lock, pause = Lock(config.state_folder).take(), 0.0
    try:
        agent = Agent(config, lock, logs)
        cut_late(agent.sender.hub)
        agent.machine.prime(config.now)
        agent.collect()
        for _ in range(config.now.retry_attempts):
            time.sleep(pause)
            if agent.sender.attempt():
                break
            pause = agent.sender.pause() or 0.0
            if pause > ONCE_SECONDS:
                break
    finally:
        lock.release()
    return BUFFERED if len(agent.spool) else FAILED if agent.spool.rejected else DONE


def print_sample(config: Config, logs: LogFile, given: argparse.Namespace) -> int:
    """Print one sample and send nothing."""
    machine = Machine()
    machine.prime(config.now)
    collected_at = iso(utc_now())
    sample, errors = machine.collect(config.now)
    about = {"version": VERSION, "boot_id": boot_id(), "errors": errors, "source": machine.source}
    print(json.dumps(dict({"collected_at": collected_at}, **sample, agent=about), indent=2))
    return DONE


def enrol(config: Config, logs: LogFile, given: argparse.Namespace) -> int:
    """Register, again if need be; what waits in the spool goes out under the new id."""
    hub = Hub(config, lambda *_: None)
    hub.follow(types.SimpleNamespace(**dict(vars(config.now), server_id="", api_key="")))
    cut_late(hub)
    try:
        register(hub, config)
    except HubError as error:
        print(f"smon_agent: {error}", file=sys.stderr)
        return FAILED
    print(f"Registered with {hub.doors[0].address} as {config.now.server_id}.")
    return FAILED if config.unsaved else DONE


def check(config: Config, logs: LogFile, given: argparse.Namespace) -> int:
    """Say in a line each whether config, and at each address hub, certificate, key and clock are in order."""
    print(f"Config: {config.path} is in order" +
          (f", but these keys mean nothing: {', '.join(config.unknown_keys)}." if config.unknown_keys else "."))
    return max([check_address(config, address) for address in addresses(config.now)])


def check_address(config: Config, address: str) -> int:
    """The lines about one address of the hub."""
    hub = Hub(config, lambda *_: None)
    hub.follow(types.SimpleNamespace(**dict(vars(config.now), dashboard_url=address)))
    cut_late(hub)
    outcome = FAILED
    try:
        hub.call(hub.bulk, "GET", "/api/ping")
        print(f"Hub: {address} answers.")
        certificate: dict = getattr(hub.reach(hub.bulk.socket_to), "getpeercert", dict)()  # {} when it is not checked
        if certificate:
            print(f"Certificate: valid until {certificate['notAfter']}.")
        if config.now.api_key:
            hub.call(hub.bulk, "POST", "/api/ping", b"{}")
        print(f"Key: the hub knows this machine as {config.now.server_id}." if config.now.api_key else
              "Key: none yet; the first start registers this machine.")
        outcome = DONE
    except HubError as error:
        print(f"Failed: {error}")
    way = "ahead of" if hub.skew_seconds > 0 else "behind"
    if hub.is_ours or outcome == DONE:
        print(f"Clock: {abs(hub.skew_seconds):.1f} seconds {way} the hub's." if hub.is_ours else
              "Clock: this hub does not tell its time.")
    return outcome if abs(hub.skew_seconds) < SKEW_SECONDS else FAILED


def export(config: Config, logs: LogFile, given: argparse.Namespace) -> int:
    """Write the spool into one file."""
    print(f"{export_spool(config, given.export_spool)} samples are in {given.export_spool}.")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
