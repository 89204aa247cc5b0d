"""The hub under load: ingest, the overview, memory, start. Each figure is the median of several short runs.

Every run has its own process and its own data. The hub is a real one, started as an operator starts it; what it is
held against (yardsticks.py) gets the same load in turn with it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import psutil

import bodies
from load import content_length
from tests.support.client import Answer
from tests.support.processes import ChildProcess, HubProcess, free_port, until

HERE = Path(__file__).resolve().parent
SERVERS = 200            # that are known; of them send as many as there are connections, as each agent has its own
WARM_ROUNDS = 2          # of every server before the clock starts: keys are verified, services written
MOST_REQUESTS = 200_000  # in one run, whatever the time
PARSES = 500             # of a sample, to learn how fast the machine is
READS = 100              # of the overview, for each figure
STRACE = ("strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o")


class Plan(NamedTuple):
    """What the command line asked for."""

    seconds: float
    connections: Tuple[int, ...]
    runs: int
    fleets: Tuple[int, ...]
    folder: Path
    variables: Dict[str, str]  # of every server's environment


class Server(NamedTuple):
    """Something that listens, and who may speak to it: lines of Authorization."""

    process: ChildProcess
    port: int
    authorizations: List[str]


def measure(plan: Plan) -> None:
    print("Python %s, %d processors, fsync on this disk %.2f ms%s; medians of %d runs of %g s." % (
        sys.version.split()[0], os.cpu_count() or 1, fsync_ms(plan.folder),
        " and what --fsync-ms adds" if plan.variables else "", plan.runs, plan.seconds))
    print("A parse is json.loads of the 6 KB sample, %.0f us here now: what a request costs in parses tells more of "
          "the hub than of the machine.\n" % parse_us())
    ingest(plan)
    print()
    row("overview", "servers", "cards ms", "unchanged ms", "all columns ms", "bytes/server", "idle MB", "RSS MB")
    for servers in plan.fleets:
        overview(plan, servers)
    print("\nStart to first answer: %.2f s" % median(lambda: start_seconds(plan), plan.runs))


def ingest(plan: Plan) -> None:
    """Each kind of sample at each number of connections, then the yardsticks at 32 or what is nearest to it."""
    row("ingest", "connections", "requests/s", "parses/request", "p50 ms", "p99 ms", "CPU us/request", "fsyncs/request",
        "RSS MB")
    beside = min(plan.connections, key=lambda count: abs(count - 32))
    for kind in bodies.PATHS:
        for count in plan.connections:
            names = ("hub", "no-store", "commit-each") if count == beside else ("hub",)
            runs = repeat(plan, names, kind, count)
            fsyncs = {"hub": count_fsyncs(plan, kind, count)}
            for name in names:
                show(kind if name == "hub" else "%s %s" % (kind, name), count, runs[name], fsyncs.get(name, ""))
            for name in names[1:]:
                print("    hub / %s: %.2f of the requests/s, %.2f of the CPU/request" % (
                    name, ratio(runs["hub"], runs[name], "per_second"), ratio(runs["hub"], runs[name], "cpu_us")))


def repeat(plan: Plan, names: Sequence[str], kind: str, count: int) -> Dict[str, List[Dict[str, Any]]]:
    """The runs of each server, in turn, so that a slow minute of the machine meets all of them."""
    runs: Dict[str, List[Dict[str, Any]]] = {name: [] for name in names}
    for _ in range(plan.runs):
        for name in names:
            runs[name].append(one_run(plan, name, kind, count))
    return runs


def show(title: str, count: int, results: List[Dict[str, Any]], fsyncs: str) -> None:
    middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
    row(title, count, "%.0f" % middle["per_second"], "%.1f" % middle["parses"], "%.2f" % middle["p50_ms"],
        "%.2f" % middle["p99_ms"], "%.0f" % middle["cpu_us"], fsyncs, "%.0f" % middle["rss_mb"])


def ratio(ours: List[Dict[str, Any]], theirs: List[Dict[str, Any]], key: str) -> float:
    """Of runs that followed each other, so that both met the same machine."""
    return statistics.median(mine[key] / other[key] for mine, other in zip(ours, theirs))


def one_run(plan: Plan, name: str, kind: str, connections: int) -> Dict[str, Any]:
    """The figures of one load on a fresh server of this name."""
    folder = fresh_folder(plan)
    known = max(SERVERS, connections)
    server = start_hub(plan, folder, known) if name == "hub" else start_yardstick(plan, name, folder, known)
    try:
        return drive(server, kind, connections, plan.seconds)
    finally:
        server.process.stop()
        shutil.rmtree(str(folder))


def drive(server: Server, kind: str, connections: int, seconds: float) -> Dict[str, Any]:
    """One load, and what the server's process spent on it, after each sender was met: what a fleet costs every day."""
    load = planned([server.port], server.authorizations, kind, connections, seconds)
    warm = run_load(warming(load))
    process, parse = psutil.Process(server.process.pid), parse_us()
    before = process.cpu_times()
    result = run_load(load)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    parse = (parse + parse_us()) / 2
    return dict(result, parses=1e6 / result["per_second"] / parse, cpu_us=spent / result["requests"] * 1e6,
                rss_mb=rss_mb(server.process), sent=warm["requests"] + result["requests"])


def parse_us() -> float:
    """Microseconds that json.loads takes for a sample now: the machine's speed moves by half from minute to minute."""
    text, took = bodies.PATHS["metrics"][1], []
    for _ in range(PARSES):
        began = time.perf_counter()
        json.loads(text)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


def planned(ports: Sequence[int], authorizations: Sequence[str], kind: str, connections: int,
            seconds: float) -> Dict[str, Any]:
    """What load.py is told: these senders, whose connections take turns with the ports."""
    path, body = bodies.PATHS[kind]
    return {"host": "127.0.0.1", "ports": ports, "connections": connections, "seconds": seconds,
            "requests": MOST_REQUESTS, "body": body,
            "heads": [bodies.head(path, body, authorization) for authorization in authorizations[:connections]]}


def warming(load: Dict[str, Any]) -> Dict[str, Any]:
    """The load that goes before: every sender is met."""
    return dict(load, requests=WARM_ROUNDS * len(load["heads"]))


def run_load(load: Dict[str, Any]) -> Dict[str, Any]:
    """The figures of one load process."""
    run = subprocess.run([sys.executable, str(HERE / "load.py")], input=json.dumps(load), stdout=subprocess.PIPE,
                         universal_newlines=True, check=True)
    return json.loads(run.stdout)


def count_fsyncs(plan: Plan, kind: str, connections: int) -> str:
    """fsync calls for each request, seen by strace in a run of its own; a dash where there is no strace."""
    if not shutil.which("strace"):
        return "-"
    folder = fresh_folder(plan)
    trace = folder / "fsyncs.txt"
    server = start_hub(plan, folder, max(SERVERS, connections), wrapper=STRACE + (str(trace),))
    try:
        before = trace.read_text().count("sync(")
        result = drive(server, kind, connections, min(plan.seconds, 2))
        return "%.3f" % ((trace.read_text().count("sync(") - before) / result["sent"])
    finally:
        server.process.stop()
        shutil.rmtree(str(folder))


def start_hub(plan: Plan, folder: Path, servers: int = SERVERS, wrapper: Sequence[str] = ()) -> Server:
    """A hub without a limit of requests, and so many servers that each sent one sample already."""
    hub = HubProcess(folder / "data", wrapper=wrapper, env=plan.variables)
    caller = hub.client()
    taken(caller.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1_000_000}))
    sample = dict(json.loads(bodies.PATHS["metrics"][1]), collected_at=None)
    authorizations = []
    for number in range(servers):
        known = taken(caller.post("/api/register", {"hostname": "server-%04d" % number, "ip_address": "192.0.2.1",
                                                    "os_info": "Linux 6.1"}))
        authorizations.append("Bearer %s:%s" % (known["server_id"], known["api_key"]))
        taken(caller.post("/api/metrics", sample, {"Authorization": authorizations[-1]}))
    caller.close()
    return Server(hub, hub.port, authorizations)


def taken(answer: Answer) -> Dict[str, Any]:
    """What the hub answered; the benchmark ends at a refusal."""
    if answer.status not in (200, 201):
        raise SystemExit("The hub refused: %s" % answer.text)
    return answer.json


def start_yardstick(plan: Plan, name: str, folder: Path, servers: int) -> Server:
    port = free_port()
    process = ChildProcess([sys.executable, str(HERE / "yardsticks.py"), name, str(port), str(folder)],
                           folder / "yardstick.log", plan.variables)
    until(lambda: listens(port) or not process.running, "The start of %s" % name)
    assert process.running, process.log
    return Server(process, port, ["Bearer server-%d:key" % number for number in range(servers)])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def overview(plan: Plan, servers: int) -> None:
    """What one look at the overview costs, unchanged and after a sample, and the memory of such a fleet."""
    folder = fresh_folder(plan)
    idle = HubProcess(folder / "idle")
    idle_mb = rss_mb(idle)
    idle.stop()
    server = start_hub(plan, folder, servers)
    try:
        reader = Reader(server.port)
        path = "/api/dashboard?view=cards"
        etag, size = reader.get(path)
        same = [timed(lambda: reader.get(path)) for _ in range(READS)]
        unchanged = [timed(lambda: reader.get(path, etag)) for _ in range(READS)]
        whole = [timed(lambda: reader.get("/api/dashboard")) for _ in range(max(READS // 10, 1))]
        row("", servers, *("%.2f" % statistics.median(times) for times in (same, unchanged, whole)),
            "%.0f" % (size / servers), "%.0f" % idle_mb, "%.0f" % rss_mb(server.process))
        reader.close()
    finally:
        server.process.stop()
        shutil.rmtree(str(folder))


class Reader:
    """One kept-alive connection that asks for the overview as a browser does, and does not unpack what it gets."""

    def __init__(self, port: int):
        self.sock = socket.create_connection(("127.0.0.1", port))

    def get(self, path: str, etag: str = "") -> Tuple[str, int]:
        """(ETag, bytes of the body) of the answer."""
        condition = "If-None-Match: %s\r\n" % etag if etag else ""
        self.sock.sendall(("GET %s HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n%s\r\n" % (path, condition))
                          .encode("ascii"))
        data = self.sock.recv(1 << 20)
        while b"\r\n\r\n" not in data:
            data += self.sock.recv(1 << 20)
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 304" if etag else b"HTTP/1.1 200"), head
        length = 0 if etag else content_length(head)
        while len(body) < length:
            body += self.sock.recv(1 << 20)
        return header(head, "etag"), length

    def close(self) -> None:
        self.sock.close()


def header(head: bytes, name: str) -> str:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""


def rss_mb(process: ChildProcess) -> float:
    return psutil.Process(process.pid).memory_info().rss / 2 ** 20


def start_seconds(plan: Plan) -> float:
    """From the start of the process to its first answer, on data that is already there."""
    folder = fresh_folder(plan)
    HubProcess(folder / "data").stop()
    began = time.perf_counter()
    with HubProcess(folder / "data"):
        seconds = time.perf_counter() - began
    shutil.rmtree(str(folder))
    return seconds


def fsync_ms(folder: Path) -> float:
    """How long this disk takes to keep one small write; where it takes nothing, the figures below say less."""
    with open(str(folder / "probe"), "wb", buffering=0) as probe:
        def write() -> None:
            probe.write(b"x" * 4096)
            os.fsync(probe.fileno())
        return statistics.median(timed(write) for _ in range(50))


def fresh_folder(plan: Plan) -> Path:
    folder = plan.folder / ("run-%d" % time.monotonic_ns())
    folder.mkdir()
    return folder


def timed(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def median(figure: Callable[[], float], runs: int) -> float:
    return statistics.median(figure() for _ in range(runs))


def row(first: str, *cells: Any) -> None:
    print("%-22s" % first + "".join("%15s" % cell for cell in cells), flush=True)
