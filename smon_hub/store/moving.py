"""From one database into another, whatever their engines: every table in slices, how far that is, and the same sums.

How far lies in the target, in one transaction with the rows: a move that was killed goes on where it was, and no hub
opens what is not whole. Rows go in the order of their keys, which is the same on every engine.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import HubError
from . import leases, options, rollups, schema
from .commits import Database, marks
from .options import MOVING_FACT
from .postgres import VERSION_FACT

SLICE_ROWS = 2_000           # read at once, and stored in one transaction: some 2 MB of samples
LEFT_TABLES = ("versions", "leases")  # what hubs that run tell each other
SETTLED_FACT = "settled_sample"
# What is true of one engine or of one file only. The others begin without it.
LEFT_FACTS = (MOVING_FACT, VERSION_FACT, SETTLED_FACT, "settled_for_all", "sizes")

Row = Tuple[Any, ...]


class Table(NamedTuple):
    """A table as the schema has it. numbered: its ids are never used again. where: which of its rows move."""

    name: str
    columns: Tuple[str, ...]
    key: Tuple[str, ...]
    numbered: bool
    where: str


class Progress(NamedTuple):
    """How far a move is: the name of its source, the table that is moved now ("": all are), and the key of the last
    row of it that is there."""

    source: str
    table: str
    after: Optional[Sequence[Any]]


class Sum(NamedTuple):
    """What a table holds: so many rows, with this checksum."""

    rows: int
    sha256: str


def _tables(text: str) -> Tuple[Table, ...]:
    plain = re.sub(r"--[^\n]*", "", text)
    return tuple(_table(*found) for found in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", plain, re.DOTALL))


def _table(name: str, body: str) -> Table:
    """Names are in small letters, all other words are not."""
    columns = re.findall(r"^ +([a-z]\w*) ", body, re.MULTILINE)
    key = re.findall(r"^ +([a-z]\w*) .*PRIMARY KEY", body, re.MULTILINE) or re.findall(
        r"PRIMARY KEY \((.*)\)", body)[0].split(", ")
    left = ", ".join("'%s'" % fact for fact in LEFT_FACTS)
    return Table(name, tuple(columns), tuple(key), "AUTOINCREMENT" in body,
                 "key NOT IN (%s)" % left if name == "meta" else "1 = 1")


ALL_TABLES = _tables(schema.SCHEMA)
TABLES = tuple(table for table in ALL_TABLES if table.name not in LEFT_TABLES)


# --- whether nobody else is at work -----------------------------------------------------------------------------------

def traces(db: Database) -> List[Row]:
    """What hubs that share a database leave there when they run: another answer later says that one did meanwhile."""
    return db.execute("SELECT name, holder, until FROM leases ORDER BY name").fetchall()


def check_stopped(db: Database, path: str) -> None:
    """Raises HubError("conflict") while a hub runs that shares this database."""
    if leases.holders(db):
        raise HubError("conflict", "A hub runs on %s, or was killed a few seconds ago. Stop the hub first." % path)


# --- moving -----------------------------------------------------------------------------------------------------------

def begin(db: Database, source: str, path: str) -> Progress:
    """Make the target out of an empty database, or find how far an unfinished move from the same source is.

    Raises HubError("conflict") for any other database.
    """
    told = options.fact(db, MOVING_FACT, "")
    if told:
        progress = Progress(*json.loads(told))
        if progress.source != source:
            raise HubError("conflict", "%s holds a part of %s, whose move is unfinished; empty it, or finish that one."
                           % (path, progress.source))
        return progress
    check_stopped(db, path)
    used = [table.name for table in TABLES if table.name != "meta" and _is_used(db, table.name)]
    if used:
        raise HubError("conflict", "%s is not empty: it has rows in %s. Name an empty one." % (path, ", ".join(used)))
    for table in ALL_TABLES:
        db.execute("DELETE FROM %s WHERE %s" % (table.name, table.where))
    progress = Progress(source, TABLES[0].name, None)
    options.note(db, MOVING_FACT, json.dumps(progress))
    return progress


def _is_used(db: Database, name: str) -> bool:
    """Whether it holds more rows than the schema's own text puts there."""
    born = schema.SCHEMA.count("INSERT INTO %s " % name)
    return len(db.execute("SELECT 1 FROM %s LIMIT %d" % (name, born + 1)).fetchall()) > born


def rows(db: Database, table: Table, after: Optional[Sequence[Any]]) -> List[Row]:
    """The next rows after a key; fewer than SLICE_ROWS when no more follow."""
    key = ", ".join(table.key)
    younger = "(%s) > (%s)" % (key, marks(after)) if after else "1 = 1"
    return db.execute("SELECT %s FROM %s WHERE %s AND %s ORDER BY %s LIMIT %d" % (
        ", ".join(table.columns), table.name, table.where, younger, key, SLICE_ROWS), after or ()).fetchall()


def put(db: Database, progress: Progress, table: Table, some: Sequence[Row]) -> Progress:
    """Store a slice in the target. Raises HubError("conflict") when another move was quicker."""
    moved = _moved(progress, table, some)
    done = db.execute("UPDATE meta SET value = ? WHERE key = ? AND value = ?",
                      [json.dumps(moved), MOVING_FACT, json.dumps(progress)])
    _check_claimed(done.rowcount)
    if some:
        db.executemany("INSERT INTO %s (%s) VALUES (%s)" % (
            table.name, ", ".join(table.columns), marks(table.columns)), some)
    return moved


def _moved(progress: Progress, table: Table, some: Sequence[Row]) -> Progress:
    if len(some) == SLICE_ROWS:
        return progress._replace(after=[some[-1][table.columns.index(name)] for name in table.key])
    following = TABLES[TABLES.index(table) + 1:]
    return progress._replace(table=following[0].name if following else "", after=None)


def finish(db: Database, progress: Progress, ids: Dict[str, int]) -> None:
    """Everything is there and was compared: from now on the target is a hub's database. ids: as `last_ids` told."""
    for table in TABLES:
        if table.name in ids:
            _number_after(db, table, ids[table.name])
    if not db.shared:  # each server's row names its newest sample, so that none has to be looked at when a hub starts
        options.note(db, SETTLED_FACT, str(rollups.newest_sample(db)))
    done = db.execute("DELETE FROM meta WHERE key = ? AND value = ?", [MOVING_FACT, json.dumps(progress)])
    _check_claimed(done.rowcount)


def _check_claimed(changed: int) -> None:
    if changed != 1:
        raise HubError("conflict", "Another move into the same database is at work.")


# --- ids that are never used again ------------------------------------------------------------------------------------

def last_ids(db: Database) -> Dict[str, int]:
    """The last id that each table gave, also when that row is gone."""
    last = ("SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence(?, 'id') AS regclass))" if db.shared else
            "SELECT MAX(seq) FROM sqlite_sequence WHERE name = ?")
    return {table.name: max(db.execute(last, [table.name]).fetchone()[0] or 0,
                            db.execute("SELECT MAX(id) FROM %s" % table.name).fetchone()[0] or 0)
            for table in TABLES if table.key == ("id",)}


def _number_after(db: Database, table: Table, last: int) -> None:
    """The next id is larger than the last one."""
    if last == 0:
        return
    if db.shared:
        db.execute("SELECT setval(pg_get_serial_sequence(?, 'id'), ?)", [table.name, last])
    elif table.numbered:
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table.name])
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [table.name, last])


# --- comparing --------------------------------------------------------------------------------------------------------

def summed(db: Database, table: Table, step: Callable[[int], None]) -> Sum:
    """What is in a table, told alike on every engine. step(rows) is called after each slice."""
    digest, count, after = hashlib.sha256(), 0, None  # type: Any, int, Optional[Sequence[Any]]
    while True:
        some = rows(db, table, after)
        for row in some:
            digest.update(_text(row).encode("utf-8", "surrogatepass"))
        count += len(some)
        step(count)
        if len(some) < SLICE_ROWS:
            return Sum(count, digest.hexdigest())
        after = [some[-1][table.columns.index(name)] for name in table.key]


def _text(row: Row) -> str:
    """Each value to its last bit and with its type. A file has no negative zero."""
    text = repr(row)
    if "-0.0" in text:
        text = repr(tuple(value or 0.0 if isinstance(value, float) else value for value in row))
    return text
