"""The commands that keep the database: backup, restore, check."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any, Callable, Dict, Iterator

from . import backup, config
from .config import ConfigError
from .errors import HubError
from .folder import Folder, FolderInUse, FolderUnusable
from .hub import Hub
from .store import copies

POLL_SECONDS = 0.2
BACKUPS = "/api/dashboard/backups"
Ask = Callable[[str, str], Dict[str, Any]]  # method, path -> the hub's answer


def make(ask: Ask) -> int:
    """Have the hub make a backup, and wait for it."""
    ask("POST", BACKUPS)
    said = ask("GET", BACKUPS)
    while said["running"]:
        show("%3d %%" % said["percent"])
        time.sleep(POLL_SECONDS)
        said = ask("GET", BACKUPS)
    if said["error"]:
        raise HubError("unavailable", said["error"])
    made = said["backups"][0]
    print("%s  %s" % (made["sha256"], os.path.join(said["folder"], made["name"])))
    return 0


def show(text: str) -> None:
    """On a terminal only: a log needs no line that rewrites itself."""
    if sys.stderr.isatty():
        print("\r%-60s" % text, end="\r", file=sys.stderr, flush=True)


def restore(given: config.Given) -> int:
    """Put a backup in the place of the database."""
    if len(given.words) != 1:
        raise ConfigError("Name one backup: smon_server.py restore FILE")
    options = given.options
    _check_file(options, "pg_restore")
    with alone(options):
        kept = backup.restore(given.words[0], options.database, Hub.now())
    print("%s is restored to %s%s. Agents send again what they still have of the time since." % (
        given.words[0], options.database, "; the former database is kept as " + kept if kept else ""))
    return 0


def check(given: config.Given) -> int:
    """Look a database through: the hub's own, or the backups that are named. 1 when one of them is not good."""
    if given.words:
        wrong = [backup.judge(path) for path in given.words]
        for path, sentence in zip(given.words, wrong):
            print(sentence or "%s is good." % path)
        return 1 if any(wrong) else 0
    options = given.options
    _check_file(options, "pg_amcheck")
    if not os.path.isfile(options.database):
        raise ConfigError("There is no hub's database %s; name its folder with --data-dir." % options.database)
    _check_owner(options)
    fault = copies.fault(options.database, whole=True, live=True)
    print("%s is damaged: %s. %s" % (options.database, fault, backup.advice(options)) if fault
          else "%s is good." % options.database)
    return 1 if fault else 0


@contextlib.contextmanager
def alone(options: config.Config) -> Iterator[None]:
    """Hold the data folder, so that no hub starts meanwhile. Raises ConfigError while one runs."""
    folder = Folder(options.data_dir, options.lock)
    try:
        folder.take()
    except FolderInUse as error:
        raise ConfigError("%s Stop the hub first." % error) from None
    except FolderUnusable as error:
        raise ConfigError(str(error)) from None
    try:
        yield
    finally:
        folder.release()


def _check_file(options: config.Config, tool: str) -> None:
    if options.shares:
        raise ConfigError("This hub's database is not a file: its own server's tools do that, such as %s." % tool)


def _check_owner(options: config.Config) -> None:
    """Raises ConfigError for root where the hub is another user's."""
    try:
        Folder(options.data_dir, options.lock).check_owner()
    except FolderUnusable as error:
        raise ConfigError(str(error)) from None
