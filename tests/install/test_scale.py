"""The commands of docs/scale.md, as they stand, on a PostgreSQL of the test's own that asks for passwords."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time

import pytest

from smon_hub.store.commits import DatabaseUnusable
from smon_hub.store.engine import Engine
from smon_hub.store.postgres import Postgres
from tests.support import ROOT
from tests.support.postgres import HOST, PostgresServer, program

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PASSWORD = "a long password"
LINE = "db.example:5432:smon:smon:PASSWORD"  # of the file with the password
# Who the commands are run as is who they call themselves to the server; nginx is tried in test_nginx.py.
STAND_INS = r"""
set -euo pipefail
sudo() { if [ "$1" = -u ]; then PGUSER="$2" "${@:3}"; else "$@"; fi; }
systemctl() { :; }
smon-hub() { "$SMON_TEST_PYTHON" smon_server.py "$@"; }
nginx() { :; }
"""


class Machine:
    """Runs blocks of the page, with its own names for hosts and folders."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.passwords = folder / "pgpass"
        self.passwords.write_text(LINE.replace("db.example:5432", "%s:%d" % (HOST, server.port))
                                  .replace("PASSWORD", PASSWORD) + "\n", encoding="utf-8")
        self.passwords.chmod(0o600)
        self.url = self.placed(re.search(r"postgresql://smon@db[^\s\"]*\?passfile[^\s\"]*", PAGE)[0])

    def placed(self, text):
        for shown, there in (("db.example", "%s:%d" % (HOST, self.server.port)), ("/etc/smon", str(self.folder)),
                             ("/etc/nginx/conf.d", str(self.folder)),
                             ("/var/lib/postgresql", str(self.folder)),
                             ("/var/lib/smon/hub", str(self.folder / "hub"))):
            text = text.replace(shown, there)
        return text.replace("--pwprompt smon", "--pwprompt smon <<< $'%s\\n%s'" % (PASSWORD, PASSWORD))

    def run(self, word):
        """The blocks that hold a word."""
        script = STAND_INS + self.placed("".join(block for block in BLOCKS if word in block))
        variables = self.server.environment()
        variables["SMON_TEST_PYTHON"] = sys.executable
        variables["PATH"] = "%s:%s" % (program("psql").rpartition("/")[0], variables["PATH"])
        # A session of its own has no terminal, so that a password is asked for on the input.
        done = subprocess.run(["bash", "-c", script], cwd=str(ROOT), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=120,
                              start_new_session=True, env=variables)
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with PostgresServer() as server:
        server.ask("DROP ROLE smon")
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text("host all smon 127.0.0.1/32 scram-sha-256\n" + rules.read_text(encoding="utf-8"),
                         encoding="utf-8")
        server.ask("SELECT pg_reload_conf()")
        made = Machine(server, tmp_path_factory.mktemp("machine"))
        made.run("createuser")
        yield made


@contextlib.contextmanager
def opened(machine):
    """The store of a hub that has the page's address for its database."""
    engine = Postgres(machine.url)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def add_sample(machine, at):
    with opened(machine) as engine:
        engine.write(lambda db: db.execute("INSERT INTO samples (server, at) VALUES (1, ?)", [at]))


def test_every_block_is_run_by_a_test_here():
    words = ("createuser", "install/nginx.conf", "pg_dump", "pg_restore", "smon-hub move", "partitions.sql")
    assert [sum(word in block for word in words) for block in BLOCKS] == [1] * len(words)


def test_the_role_and_the_database_of_the_page_are_what_a_hub_needs(machine):
    with opened(machine) as engine:
        assert engine.read().execute("SHOW server_encoding").fetchone() == ("UTF8",)
    assert machine.server.ask("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'smon'") == [
        (False, False, False)]


def test_the_password_is_read_from_its_file_and_from_nowhere_else(machine):
    machine.passwords.chmod(0o644)
    try:
        with pytest.raises(DatabaseUnusable, match="password"), opened(machine):
            """Never reached."""
    finally:
        machine.passwords.chmod(0o600)


def test_nginx_is_given_the_example(machine):
    machine.run("install/nginx.conf")
    assert (machine.folder / "smon.conf").read_bytes() == (ROOT / "install" / "nginx.conf").read_bytes()


def test_a_backup_is_restored_and_the_former_database_is_kept(machine):
    add_sample(machine, 1)
    machine.run("pg_dump")
    add_sample(machine, 2)
    machine.run("pg_restore")
    add_sample(machine, 3)  # the hub's role may write what was restored
    assert [machine.server.ask("SELECT at FROM samples ORDER BY at", name) for name in ("smon_before", "smon")] == [
        [(1,), (2,)], [(1,), (3,)]]


def test_a_hub_moves_there(machine):
    machine.server.ask("DROP DATABASE smon")
    machine.server.ask("CREATE DATABASE smon OWNER smon ENCODING 'UTF8' TEMPLATE template0")
    (machine.folder / "hub").mkdir()
    engine = Engine(str(machine.folder / "hub" / "smon.db"))
    engine.start()
    engine.write(lambda db: db.execute("INSERT INTO samples (server, at) VALUES (1, 7)"))
    engine.stop()
    said = machine.run("smon-hub move")
    assert "samples: 1 rows" in said and PASSWORD not in said
    with opened(machine) as engine:
        assert engine.read().execute("SELECT id, at FROM samples").fetchall() == [(1, 7)]


def test_partitions_are_made_by_the_hub_s_own_role(machine):
    at = int(time.time() * 1000)
    add_sample(machine, at)
    machine.run("partitions.sql")
    add_sample(machine, at + 1)
    assert machine.server.ask("SELECT at FROM samples WHERE at >= %d ORDER BY at" % at, "smon") == [(at,), (at + 1,)]
    assert machine.server.ask("SELECT relkind::text FROM pg_class WHERE relname = 'samples'", "smon") == [("p",)]
