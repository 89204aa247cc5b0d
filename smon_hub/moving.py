"""The command `move`: a stopped hub's whole database into another one, of either engine.

What is moved, and how far that is, belongs to store/moving.py.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Iterator, Union

from . import backup, config
from .config import Config, ConfigError
from .errors import HubError
from .hub import Hub
from .keeping import alone, show
from .store import moving
from .store.commits import Database, DatabaseUnusable
from .store.engine import Conflict, Engine, Mistake, Trouble
from .store.moving import TABLES, Progress
from .store.postgres import Postgres, place

AGAIN = "Give the same command again: it goes on where this one ended."


def move(given: config.Given) -> int:
    """Move a database, compare every table, and open the target to hubs. 1 when a table differs."""
    if given.words or not (given.from_ and given.to):
        raise ConfigError("The command is: smon_server.py move --from DIR --to postgresql://..., or the other way "
                          "round.")
    source, target = _at(given.options, "--from", given.from_), _at(given.options, "--to", given.to)
    if source.database == target.database:
        raise ConfigError("--from and --to are the same database.")
    try:
        with _read(source) as old, _written(target) as new:
            return _Move(old, _shown(source), new).run()
    except DatabaseUnusable as error:
        raise HubError("unavailable", str(error)) from None
    except Trouble as error:
        raise HubError("unavailable", "The move ended: %s. %s" % (error, AGAIN)) from None
    except KeyboardInterrupt:
        raise HubError("unavailable", "The move was interrupted. " + AGAIN) from None


def _at(options: Config, flag: str, where: str) -> Config:
    """The options of a hub whose database is there."""
    config.check_database(flag, where)
    there = options._replace(database=where)
    if there.shares:
        return there
    path = os.path.realpath(where)
    if not os.path.isfile(path):
        path = os.path.join(path, config.DATABASE_FILE)
    return options._replace(data_dir=os.path.dirname(path), database=path)


def _shown(options: Config) -> str:
    return place(options.database) if options.shares else options.database


@contextlib.contextmanager
def _read(options: Config) -> Iterator[Database]:
    """The source, which no hub has open. Raises ConfigError, CanNotStart, DatabaseUnusable."""
    if options.shares:
        with contextlib.closing(Postgres(options.database).found()) as db:
            yield db
        return
    if not os.path.isfile(options.database):
        raise ConfigError("There is no hub's database %s." % options.database)
    with alone(options):
        """A hub that runs is told of in the words of a command."""
    hub = Hub(options)
    hub.open()  # one that was killed did not write back which samples are the newest
    hub.close()
    with alone(options), contextlib.closing(Engine(options.database).read()) as db:
        yield db


@contextlib.contextmanager
def _written(options: Config) -> Iterator[Union[Engine, Postgres]]:
    """The target. Raises ConfigError, HubError, DatabaseUnusable."""
    with contextlib.ExitStack() as undo:
        if not options.shares:
            undo.enter_context(alone(options))
            backup.before_upgrade(options, Hub.now())
        engine: Union[Engine, Postgres] = (Postgres if options.shares else Engine)(options.database)
        engine.start(half=True)
        undo.callback(engine.stop)
        yield engine


class _Move:
    """One run of a move."""

    def __init__(self, old: Database, old_name: str, new: Union[Engine, Postgres]):
        self._old, self._old_name, self._new = old, old_name, new

    def run(self) -> int:
        moving.check_stopped(self._old, self._old_name)
        progress = self._new.write(lambda db: moving.begin(db, self._old_name, self._new.path))
        before = self._traces()
        progress = self._carry(progress)
        different = self._compare()
        if self._traces() != before:
            raise HubError("conflict", "A hub ran on %s or %s during the move. Stop it, empty the target, and move "
                           "again." % (self._old_name, self._new.path))
        if different:
            print("smon_server: The tables differ: %s. A hub ran on one of the two databases since the move began, or "
                  "a value has no place in the other one. Empty %s and move again."
                  % (", ".join(different), self._new.path), file=sys.stderr)
            return 1
        ids = moving.last_ids(self._old)
        self._new.write(lambda db: moving.finish(db, progress, ids))
        print("%s is moved to %s." % (self._old_name, self._new.path))
        return 0

    def _traces(self) -> list:
        return [moving.traces(self._old), moving.traces(self._new.read())]

    def _carry(self, progress: Progress) -> Progress:
        """Move what is not there yet."""
        for table in TABLES:
            count = 0
            while progress.table == table.name:
                some = moving.rows(self._old, table, progress.after)
                progress = self._put(progress, table, some)
                count += len(some)
                show("%s: %d rows moved" % (table.name, count))
        return progress

    def _put(self, progress: Progress, table: moving.Table, some: list) -> Progress:
        try:
            return self._new.write(lambda db: moving.put(db, progress, table, some))
        except (Conflict, Mistake) as error:
            raise HubError("conflict", "Rows of %s can not be stored in %s: %s." % (
                table.name, self._new.path, error)) from None

    def _compare(self) -> list:
        """The names of tables that are not the same in both databases."""
        different = []
        for table in TABLES:
            old = moving.summed(self._old, table, lambda count: show("%s: %d rows read" % (table.name, count)))
            new = moving.summed(self._new.read(), table,
                                lambda count: show("%s: %d of %d rows compared" % (table.name, count, old.rows)))
            print("%s: %d rows, checksum %s" % (table.name, old.rows, old.sha256[:16]))
            if new != old:
                different.append(table.name)
                print("%s: %d rows, checksum %s in %s" % (table.name, new.rows, new.sha256[:16], self._new.path))
        return different
