"""Everything the hub knows of its servers as one long text, JSON or CSV, made in pieces while it is sent.

It is read page by page: memory stays flat however long the history is, and no checkpoint waits for a slow client.
Servers that wait for approval are left out, as they are from every total.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

from . import clock, metrics
from .fleet import Server
from .store import events, series
from .store.details import encode

SERVER_COLUMNS = ("hostname", "ip_address", "os_info", "group", "cpu_percent", "memory_percent", "status", "last_seen")
SAMPLE_COLUMNS = ("server", "hostname", "group", "timestamp", *metrics.KEYS)
PAGE_ROWS = 500              # samples held at a time
ALERTS_SHOWN = 1_000         # of a server
PIECE_CHARACTERS = 32 << 10  # what is worth a packet and a turn of the front server
AHEAD = clock.HOUR           # an agent's clock may run ahead
# What a spreadsheet takes for a formula, full-width forms included, behind blanks and marks that nobody sees.
FORMULA = re.compile("[\\s\ufeff\u200c\u200d]*[=+\\-@\t\uff1d\uff0b\uff0d\uff20]")

Hub = Any  # hub.Hub, which is passed and never imported
Row = Sequence[Any]


def as_json(hub: Hub, hours: int, now: int) -> Iterator[str]:
    """One object: exported_at, period_hours, total_servers, and data with an entry for each server."""
    servers = _admitted(hub)
    yield '{"exported_at":"%s","period_hours":%d,"total_servers":%d,"data":[' % (clock.iso(now), hours, len(servers))
    for index, server in enumerate(servers):
        yield '%s{"server":%s,"current_metrics":%s,"history":[' % (
            "," if index else "", encode(server.answer(now, _stale(hub))), encode(server.metrics()))
        points = (_point(row) for row in _samples(hub, server, hours, now))
        first = next(points, None)
        if first is not None:
            yield encode(first)
        for point in points:
            yield "," + encode(point)
        yield '],"alerts":%s}' % encode(alerts_of(hub, server, now - hours * clock.HOUR))
    yield "]}\n"


def servers_csv(hub: Hub, hours: int, now: int) -> Iterator[str]:
    """A row for each server as it is now."""
    return _csv(SERVER_COLUMNS, (_server_row(server, now, _stale(hub)) for server in _admitted(hub)))


def history_csv(hub: Hub, hours: int, now: int) -> Iterator[str]:
    """A row for each sample."""
    return _csv(SAMPLE_COLUMNS, itertools.chain.from_iterable(
        ([server.row["uuid"], server.row["hostname"], server.row["group_name"], clock.iso(at), *values]
         for at, *values in _samples(hub, server, hours, now)) for server in _admitted(hub)))


# (format, scope): (content type, file name without its date, what makes the text)
EXPORTS: Dict[Tuple[str, str], Tuple[str, str, Callable[[Hub, int, int], Iterator[str]]]] = {
    ("json", "servers"): ("application/json", "smon-export-%s.json", as_json),
    ("json", "history"): ("application/json", "smon-export-%s.json", as_json),
    ("csv", "servers"): ("text/csv; charset=utf-8", "smon-servers-%s.csv", servers_csv),
    ("csv", "history"): ("text/csv; charset=utf-8", "smon-history-%s.csv", history_csv),
}


def pieces(texts: Iterable[str]) -> Iterator[bytes]:
    """Short texts joined to pieces that are worth sending."""
    held: List[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= PIECE_CHARACTERS:
            yield "".join(held).encode("utf-8", "replace")
            held, size = [], 0
    if held:
        yield "".join(held).encode("utf-8", "replace")


def alerts_of(hub: Hub, server: Server, since: int) -> List[Dict[str, Any]]:
    """A server's open alerts, and those that were open after a moment; newest first."""
    return events.for_server(hub.engine.read(), server.row["id"], since, ALERTS_SHOWN)


def _admitted(hub: Hub) -> List[Server]:
    return [server for server in hub.fleet.servers() if server.row["approved"]]


def _stale(hub: Hub) -> int:
    return hub.settings["stale_threshold_minutes"]


def _samples(hub: Hub, server: Server, hours: int, now: int) -> Iterator[Row]:
    """(at, values...) of a server's samples, oldest first."""
    after = now - hours * clock.HOUR
    while True:
        rows = series.page(hub.engine.read(), server.row["id"], after, now + AHEAD, PAGE_ROWS)
        yield from rows
        if len(rows) < PAGE_ROWS:
            return
        after = rows[-1][0]


def _point(row: Row) -> Dict[str, Any]:
    return {"timestamp": clock.iso(row[0]), **dict(zip(metrics.KEYS, row[1:]))}


def _server_row(server: Server, now: int, stale_minutes: int) -> Row:
    row, card = server.row, server.sample.card if server.sample else (None, None)
    return (row["hostname"], row["ip_address"], row["os_info"], row["group_name"], card[0], card[1],
            server.status(now, stale_minutes), clock.iso(server.last_seen_at))


# --- CSV --------------------------------------------------------------------------------------------------------------

def _csv(columns: Row, rows: Iterable[Row]) -> Iterator[str]:
    """RFC 4180: lines end with CR LF, quotes are doubled."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\r\n")
    for row in itertools.chain([columns], rows):
        writer.writerow([_cell(value) for value in row])
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula or for two lines; numbers stay numbers."""
    if type(value) is not str:
        return value
    text = value.replace("\r", " ").replace("\n", " ")
    return "'" + text if FORMULA.match(text) else text
