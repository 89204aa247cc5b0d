"""One hub and two on a PostgreSQL database, beside one on its SQLite file: ingest, fleets, growth, in the same run.

Each run begins on an empty database and a fresh folder. The tables that are printed last are those of the docs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import psutil

import bodies
import costs
import growth
import hub
from hub import Plan, ratio, row
from tests.support.processes import HubProcess

ENGINES = (("SQLite", 0), ("one hub", 1), ("two hubs", 2))  # how many hubs share the database; 0: a file
IDLE_SECONDS = 5

Result = Dict[str, float]
Runs = Dict[str, List[Result]]  # by engine


def measure(plan: Plan, url: str) -> None:
    """Print everything, then the tables of the docs."""
    with _database(url) as database:
        print("Python %s, %s, %d processors, fsync on this disk %.2f ms, medians of %d runs of %g s, load %.1f.\n" % (
            sys.version.split()[0], database.version(), os.cpu_count() or 1, hub.fsync_ms(plan.folder), plan.runs,
            plan.seconds, os.getloadavg()[0]), flush=True)
        row("ingest", "connections", "requests/s", "p50 ms", "p99 ms", "us hub", "us database", "log bytes")
        loads = {(kind, count): ingested(plan, database, kind, count)
                 for kind in bodies.PATHS for count in plan.connections}
        print()
        row("fleet", "servers", "us hub", "us database", "idle ms/s hub", "idle ms/s db", "RSS MB")
        fleets = {servers: fleet(plan, database, servers) for servers in plan.fleets}
        print()
        row("growth", "servers", "bytes/sample", "indexes", "bytes/live", "indexes")
        sizes = {servers: growth.measure(plan, database, servers) for servers in plan.fleets}
        print("\nLoad average at the end: %.1f\n" % os.getloadavg()[0])
        _print_tables(loads, fleets, sizes)


# --- the database -----------------------------------------------------------------------------------------------------

class Shared:
    """An empty database for hubs, emptied again after each run, and what its server's processes cost."""

    def __init__(self, url: str):
        try:
            import psycopg
        except ImportError:
            raise SystemExit("The package psycopg (version 3) is missing: pip install 'psycopg[binary]'.") from None
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        if self._tables():
            raise SystemExit("The database holds tables. Name an empty one: it is emptied after each run.")
        first = self._first_process()
        self.meter: Callable[[], float] = costs.meter(first) if first else lambda: float("nan")

    def ask(self, statement: str) -> List[Any]:
        found = self._connection.execute(statement)
        return found.fetchall() if found.description else []

    def version(self) -> str:
        return "PostgreSQL " + self.ask("SHOW server_version")[0][0].partition(" ")[0]

    def empty(self) -> None:
        for name in self._tables():
            self.ask('DROP TABLE IF EXISTS "%s" CASCADE' % name)

    def log_bytes(self) -> float:
        """How much was ever written to its log, which is what a commit waits for."""
        return float(self.ask("SELECT pg_current_wal_lsn() - '0/0'")[0][0])

    def size(self, table: str) -> Tuple[int, int]:
        """(bytes of the whole database, bytes of this table's indexes), once what is dead has been cleared away."""
        self.ask("VACUUM")
        return self.ask("SELECT pg_database_size(current_database()), pg_indexes_size('%s')" % table)[0]

    def _tables(self) -> List[str]:
        return [name for name, in self.ask(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")]

    def _first_process(self) -> Optional[int]:
        """The server's, all others of which descend from it; None where it is another machine's."""
        try:
            parent = psutil.Process(self._connection.info.backend_pid).parent()
        except psutil.Error:
            return None
        return parent.pid if parent and parent.name().startswith("postgres") else None


@contextlib.contextmanager
def _database(url: str) -> Iterator[Shared]:
    if url.partition(":")[2]:
        yield Shared(url)
        return
    from tests.support.postgres import PostgresServer
    with PostgresServer() as server:
        yield Shared(server.create())


# --- under load -------------------------------------------------------------------------------------------------------

class Hubs(NamedTuple):
    """Hubs that run, and who may speak to each of them."""

    processes: List[HubProcess]
    authorizations: List[str]

    def meter(self) -> float:
        return sum(costs.meter_alone(process.pid)() for process in self.processes)

    def rss_mb(self) -> float:
        return max(hub.rss_mb(process) for process in self.processes)


@contextlib.contextmanager
def running(plan: Plan, database: Shared, number: int, servers: int = hub.SERVERS) -> Iterator[Hubs]:
    """So many hubs on the database, or one on a file for 0, with servers that each sent one sample already."""
    folder = hub.fresh_folder(plan)
    if number:
        plan = plan._replace(variables=dict(plan.variables, SMON_DATABASE=database.url))
    processes: List[Any] = []
    try:
        first = hub.start_hub(plan, folder, servers)
        processes.append(first.process)
        for more in range(1, number):
            processes.append(HubProcess(folder / ("more-%d" % more), env=plan.variables))
        yield Hubs(processes, first.authorizations)
    finally:
        for process in processes:
            process.stop()
        shutil.rmtree(str(folder))
        if number:
            database.empty()


def ingested(plan: Plan, database: Shared, kind: str, connections: int) -> Runs:
    """The runs of each engine, in turn, so that a slow minute of the machine meets all of them."""
    runs: Runs = {name: [] for name, _ in ENGINES}
    for _ in range(plan.runs):
        for name, number in ENGINES:
            with running(plan, database, number) as hubs:
                runs[name].append(drive(hubs, database, kind, connections, plan.seconds))
    for name, results in runs.items():
        row("%s %s" % (kind, name), connections, *("%.*f" % (digits, middle(results, key)) for key, digits in (
            ("per_second", 0), ("p50_ms", 1), ("p99_ms", 1), ("hub_us", 0), ("database_us", 0), ("log_bytes", 0))))
    return runs


def drive(hubs: Hubs, database: Shared, kind: str, connections: int, seconds: float) -> Result:
    """One load, after each sender was met, and what all processes spent on it. Each sender keeps to one hub."""
    load = hub.planned([process.port for process in hubs.processes], hubs.authorizations, kind, connections, seconds)
    hub.run_load(hub.warming(load))
    result: Result = {}

    def unit() -> int:
        result.update(hub.run_load(load))
        return int(result["requests"])
    written = database.log_bytes()
    hub_ms, database_ms = costs.each([hubs.meter, database.meter], unit)
    return dict(result, hub_us=hub_ms * 1000, database_us=database_ms * 1000, rss_mb=hubs.rss_mb(),
                log_bytes=(database.log_bytes() - written) / result["requests"])


def fleet(plan: Plan, database: Shared, servers: int) -> Dict[str, Result]:
    """What a request and a second without one cost with so many servers; one run for each engine."""
    found: Dict[str, Result] = {}
    for name, number in ENGINES:
        with running(plan, database, number, servers) as hubs:
            result = found[name] = drive(hubs, database, "metrics", 32, plan.seconds)
            result["hub_idle"], result["database_idle"] = costs.each([hubs.meter, database.meter], _rest)
        row(name, servers, *("%.*f" % (digits, result[key]) for key, digits in (
            ("hub_us", 0), ("database_us", 0), ("hub_idle", 1), ("database_idle", 1), ("rss_mb", 0))))
    return found


def _rest() -> int:
    time.sleep(IDLE_SECONDS)
    return IDLE_SECONDS


# --- the tables of the docs -------------------------------------------------------------------------------------------

Loads = Dict[Tuple[str, int], Runs]  # by kind and connections
Fleets = Dict[int, Dict[str, Result]]  # by servers, then by engine
Sizes = Dict[int, Dict[str, growth.Growth]]


def _print_tables(loads: Loads, fleets: Fleets, sizes: Sizes) -> None:
    print("docs/performance.md, Several hubs:\n")
    _table(("ingest", "connections", "one hub / SQLite", "two hubs / SQLite", "two hubs / one", "p99 ms: SQLite",
            "one hub", "two hubs"), [_speed(kind, count, runs) for (kind, count), runs in loads.items()])
    _table(("CPU us a request", "connections", "SQLite: hub", "one hub: hub", "database", "two hubs: hubs", "database",
            "bytes of log a request"), [_spent(kind, count, runs) for (kind, count), runs in loads.items()])
    _table(("servers", "engine", "CPU us a metrics request: hubs", "database", "CPU ms a second at rest: hubs",
            "database", "MB of a hub"),
           [[_thousands(servers), name, *("{:,.{}f}".format(result[key], digits) for key, digits in (
               ("hub_us", 0), ("database_us", 0), ("hub_idle", 1), ("database_idle", 1), ("rss_mb", 0)))]
            for servers, found in fleets.items() for name, result in found.items()])
    _table(("bytes a row", "servers", "SQLite", "PostgreSQL", "of which indexes", "PostgreSQL / SQLite"),
           [line for servers, found in sizes.items() for line in _grown(servers, found)])
    print("docs/scale.md, Measured:\n")
    _table(("`tests/bench/run.py hub --database postgresql://...`, 32 connections", "SQLite", "PostgreSQL, one hub",
            "PostgreSQL, two hubs"), _summary(loads, fleets, sizes))


def _speed(kind: str, count: int, runs: Runs) -> List[str]:
    file, one, two = (runs[name] for name, _ in ENGINES)
    return [kind, str(count), *("%.2f" % ratio(ours, theirs, "per_second") for ours, theirs in (
        (one, file), (two, file), (two, one))), *("%.1f" % middle(results, "p99_ms") for results in (file, one, two))]


def _spent(kind: str, count: int, runs: Runs) -> List[str]:
    file, one, two = (runs[name] for name, _ in ENGINES)
    return [kind, str(count), *(_thousands(middle(results, key)) for results, key in (
        (file, "hub_us"), (one, "hub_us"), (one, "database_us"), (two, "hub_us"), (two, "database_us"),
        (one, "log_bytes")))]


def _grown(servers: int, found: Dict[str, growth.Growth]) -> List[List[str]]:
    file, shared = found["SQLite"], found["PostgreSQL"]
    return [[title, _thousands(servers), *(_thousands(figure) for figure in (ours, theirs, indexes)),
             "%.2f" % (theirs / ours)] for title, ours, theirs, indexes in (
        ("sample with details", file.sample, shared.sample, shared.sample_indexes),
        ("near-live", file.live, shared.live, shared.live_indexes))]


def _summary(loads: Loads, fleets: Fleets, sizes: Sizes) -> List[List[str]]:
    beside = min((count for _, count in loads), key=lambda count: abs(count - 32))
    metrics, live, servers = loads["metrics", beside], loads["live", beside], max(fleets)
    grown = sizes[servers]
    memory = [_thousands(fleets[servers][name]["rss_mb"]) for name, _ in ENGINES]
    return [
        ["metrics, requests/s", *(_thousands(middle(metrics[name], "per_second")) for name, _ in ENGINES)],
        ["metrics, p99 ms", *("%.0f" % middle(metrics[name], "p99_ms") for name, _ in ENGINES)],
        ["metrics, CPU us a request, hub", *(_thousands(middle(metrics[name], "hub_us")) for name, _ in ENGINES)],
        ["metrics, CPU us a request, database", "",
         *(_thousands(middle(metrics[name], "database_us")) for name, number in ENGINES if number)],
        ["live, requests/s", *(_thousands(middle(live[name], "per_second")) for name, _ in ENGINES)],
        ["a sample with details, bytes", *(_thousands(grown[name].sample) for name in ("SQLite", "PostgreSQL")),
         "the same"],
        ["memory of a hub with %s servers, MB" % _thousands(servers), *memory]]


def middle(results: List[Result], key: str) -> float:
    return statistics.median(result[key] for result in results)


def _thousands(figure: float) -> str:
    return "not told" if figure != figure else "{:,.0f}".format(figure)


def _table(heads: Sequence[str], lines: List[List[str]]) -> None:
    print("| %s |\n|%s" % (" | ".join(heads), "---|" * len(heads)))
    for cells in lines:
        print("| %s |" % " | ".join(cells).replace("|  |", "| |"))
    print(flush=True)
