"""A PostgreSQL of the tests' own: a cluster in a folder of its own, on a free port of 127.0.0.1, gone with the tests.

It syncs as a real one does. It can be killed, started again, and made to hang; a relay in front of it can be cut.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import psutil

from tests.support import needs, nobody
from tests.support.processes import ChildProcess, free_port, until
from tests.support.relay import Relay

HOST = "127.0.0.1"
ADMIN, USER = "postgres", "smon"  # who makes databases, and who owns them as the hub would
HALT_SECONDS = 60  # it writes back everything that was changed first, on a disk that may be busy
WHY = "databases of other engines are tested with it"
HOMES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")  # Debian and Red Hat have a folder for each version
# Small and quiet; whatever a commit depends on is left as it is.
OPTIONS = ("shared_buffers=16MB", "max_connections=100", "max_wal_size=256MB", "listen_addresses=" + HOST,
           "logging_collector=off", "log_checkpoints=off")


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs: of the newest version that lies here, or of the one on the path."""
    found = [path for home in HOMES for path in Path("/").glob("%s/%s" % (home, name))]
    if not found:
        return needs.program(name, why=WHY)
    return str(max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))]))


class PostgresServer:
    """A cluster that answers by the time the constructor returns, until stop()."""

    def __init__(self) -> None:
        self._psycopg = needs.module("psycopg", why=WHY)
        self._postgres, initdb = program("postgres"), program("initdb")
        self.folder = nobody.folder("postgres")
        self.port = free_port()
        self._process: Optional[ChildProcess] = None
        self._still = False
        self._made = 0
        self._spare: Dict[str, List[str]] = {}
        try:
            self._initdb(initdb)
            self.start()
            self.ask("CREATE ROLE %s LOGIN" % USER)
        except BaseException:
            self.stop()
            raise

    def _initdb(self, initdb: str) -> None:
        made = subprocess.run([*nobody.words(), initdb, "--pgdata", str(self.folder / "data"), "--username", ADMIN,
                               "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"],
                              cwd=str(self.folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
        assert made.returncode == 0, made.stdout

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it on its port, after stop, kill or never; one that runs goes on."""
        if self.running:
            return
        settings = [*OPTIONS, "unix_socket_directories=%s" % self.folder]
        command = [*nobody.words(), self._postgres, "-D", str(self.folder / "data"), "-p", str(self.port)]
        self._process = ChildProcess(command + [word for setting in settings for word in ("-c", setting)],
                                     self.folder / "server.log", cwd=self.folder)
        until(self._answers, "The first answer of PostgreSQL")

    def _answers(self) -> bool:
        assert self.running, "PostgreSQL ended:\n" + self.log
        try:
            self.ask("SELECT 1")
        except self._psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL for it and all that it started, as when the power fails, but for the disk's own cache."""
        if self.running:
            everyone = self._stand_still()
            for process in reversed(everyone):  # the first one last: until then none of its children is quite gone
                process.kill()
            assert self._process is not None
            self._process.process.wait()
            self._still = False
            until(lambda: not any(_lives(process) for process in everyone), "The end of PostgreSQL")

    def pause(self) -> None:
        """Let it hang: connections are taken, and nothing is answered."""
        self._stand_still()

    def resume(self) -> None:
        if self._still:
            for process in reversed(self._everyone()):
                process.resume()
            self._still = False

    def _stand_still(self) -> List[psutil.Process]:
        """The first process stands before its children are counted: nothing starts any more."""
        assert self._process is not None
        self._still = True
        self._process.process.send_signal(signal.SIGSTOP)
        everyone = self._everyone()
        for process in everyone:
            process.suspend()
        return everyone

    def _everyone(self) -> List[psutil.Process]:
        """The first process and its children. Each of these has a process group of its own."""
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def halt(self) -> None:
        """End it in good order: transactions are rolled back, connections closed. start() brings it back."""
        if self.running:
            self.resume()
            assert self._process is not None
            self._process.process.send_signal(signal.SIGINT)
            self._process.process.wait(HALT_SECONDS)

    def stop(self) -> None:
        """End it for good; what it would still write is of no use to anybody."""
        try:
            self.kill()
        finally:
            shutil.rmtree(str(self.folder), ignore_errors=True)

    def __enter__(self) -> "PostgresServer":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.stop()

    def url(self, database: str, user: str = USER, port: Optional[int] = None) -> str:
        """The address of a database; with the port of a relay, the way through it."""
        return "postgresql://%s@%s:%d/%s" % (user, HOST, port or self.port, database)

    def ask(self, statement: str, database: str = ADMIN) -> List[Any]:
        """What the admin is answered; none for statements without an answer. Each one is a transaction."""
        with self._psycopg.connect(self.url(database, ADMIN), autocommit=True, connect_timeout=5) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def create(self, locale: str = "C") -> str:
        """The address of an empty database. locale: C, or a language of ICU such as en, which sorts otherwise."""
        self.start()  # a test before may have ended it
        spare = self._spare.setdefault(locale, [])
        if spare:
            return self.url(spare.pop())
        self._made += 1
        name = "%s%d" % (re.sub(r"\W", "", locale).lower(), self._made)
        kind = "LOCALE 'C'" if locale == "C" else "LOCALE_PROVIDER icu ICU_LOCALE '%s'" % locale
        self.ask("CREATE DATABASE %s OWNER %s ENCODING 'UTF8' %s TEMPLATE template0" % (name, USER, kind))
        return self.url(name)

    def give_back(self, url: str, locale: str = "C") -> None:
        """Empty a database for the next test: half the time of a new one, and the disk does not fill with them."""
        name = url.rpartition("/")[2]
        self.start()
        self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'" % name)
        self.ask("DROP SCHEMA public CASCADE", name)
        self.ask("CREATE SCHEMA public AUTHORIZATION " + USER, name)
        self._spare[locale].append(name)

    @contextmanager
    def database(self, locale: str = "C") -> Iterator[str]:
        """An empty database for one test."""
        url = self.create(locale)
        try:
            yield url
        finally:
            self.give_back(url, locale)

    def relay(self) -> Relay:
        """A line to it that can be cut: `url(name, port=relay.port)`."""
        return Relay(HOST, self.port)

    def tool(self, name: str, *words: str) -> str:
        """What one of its programs says, called as the hub's user; one that fails fails the test."""
        done = subprocess.run([program(name), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=120, env=self.environment())
        assert done.returncode == 0, done.stdout
        return done.stdout

    def environment(self) -> Dict[str, str]:
        """Variables that lead its programs here."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return dict(kept, PGHOST=HOST, PGPORT=str(self.port), PGUSER=USER)


def _lives(process: psutil.Process) -> bool:
    """Orphans may stay as zombies where no init takes them in."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
