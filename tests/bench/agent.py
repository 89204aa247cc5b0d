"""What the agent costs the machine it watches: CPU, memory, files and bytes, and other agents beside it.

Real agent processes, each in a folder of its own, against a hub in this process, started as the installed service
starts them: as a module that was compiled beforehand. Cycles of a fraction of a second stand for cycles of minutes;
near-live samples come at their real pace. Around them stand as many idle processes as a busier machine would have.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Sized, Tuple

import psutil

import costs
import peers
from hub import fresh_folder, parse_us, row
from tests.agent.fake_hub import API_KEY, SERVER_ID, FakeHub, Request
from tests.support import ROOT
from tests.support.processes import ChildProcess, clean_environment, until

PROGRAM = ROOT / "smon_agent.py"
AS_SERVICE = ("-m", PROGRAM.stem)   # in the folder of the program, as install/systemd has it
AS_SCRIPT = (PROGRAM.name,)
CYCLES = 10            # in one run
WARM_UP = 5            # cycles before the first run
MINUTE_SECONDS = 0.04  # five such minutes between two cycles
REAL_MINUTE = 60
TICKS = 5              # near-live samples in one run
LIVE_SECONDS = 5       # between two of them, the shortest that the agent allows
READINGS = 20          # of /proc, behind their median
STARTS = 5             # behind each median of a start
PROCESSES_MAX = 4000   # around the agent, whatever is asked for
IDLE_SECONDS = 600     # an idle process ends by itself, should nobody end it
LIVE: Dict[str, Any] = {"live_enabled": True, "live_interval_seconds": LIVE_SECONDS, "collection_interval_minutes": 60}
QUIET: Dict[str, Any] = {"collection_interval_minutes": 60}
STRACE = ("strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=openat,fsync,fdatasync,execve", "-o")
SYSTEMD = Path("/run/systemd/system")


class Plan(NamedTuple):
    """What the command line asked for."""

    processes: Tuple[int, ...]
    runs: int
    folder: Path


class Agent:
    """A real agent, known to a hub of its own."""

    def __init__(self, plan: Plan, tls: Optional[ssl.SSLContext] = None, minute_seconds: float = REAL_MINUTE,
                 wrapper: Sequence[str] = (), start: Sequence[str] = AS_SERVICE, known: bool = True, **config: Any):
        self.hub = FakeHub(tls)
        self.folder = fresh_folder(plan)
        options = dict({"dashboard_url": self.hub.url, "collection_interval_minutes": 5, "ping_enabled": False,
                        "collect_services": False, "verify_ssl": False}, **config)
        if known:
            options.update(server_id=SERVER_ID, api_key=API_KEY)
        path = self.folder / "config.json"
        path.write_text(json.dumps(options), encoding="ascii")
        self.process = ChildProcess([*wrapper, sys.executable, *start, str(path)], self.folder / "output.log",
                                    {"SMON_MINUTE_SECONDS": str(minute_seconds)}, installed(plan))

    def pass_cycles(self, count: int = CYCLES) -> int:
        """Let at least so many samples arrive; how many it were."""
        return self._pass(self.hub.samples, count)

    def pass_ticks(self, count: int = TICKS) -> int:
        """Let at least so many near-live samples arrive; how many it were."""
        return self._pass(self.hub.live, count)

    def _pass(self, arrived: Sized, count: int) -> int:
        before = len(arrived)
        until(lambda: len(arrived) >= before + count or not self.process.running, "Arrival of %d samples" % count, 120)
        if not self.process.running:
            raise SystemExit("The agent ended:\n%s" % self.process.log)
        return len(arrived) - before

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.process.stop()
        self.hub.stop()
        shutil.rmtree(str(self.folder))


class Crowd:
    """Idle children, so that the machine has a given number of processes."""

    def __init__(self) -> None:
        self._members: List[subprocess.Popen] = []

    def grow(self, processes: int) -> int:
        """Start what is missing to so many; how many there are now, which is more on a machine that had more."""
        for _ in range(max(0, processes - len(psutil.pids()) - 1)):  # one of them will be the agent
            self._members.append(subprocess.Popen(["sleep", str(IDLE_SECONDS)], stdin=subprocess.DEVNULL,
                                                  env=clean_environment()))
        return len(psutil.pids()) + 1

    def end(self) -> None:
        for member in self._members:
            member.kill()
        for member in self._members:
            member.wait()


def measure(plan: Plan) -> None:
    if not sys.platform.startswith("linux"):
        raise SystemExit("The benchmark of the agent reads the CPU clocks and the /proc of Linux.")
    print("Python %s, psutil %s, %d processors, load average %.1f, a parse (see the benchmark of the hub) %.0f us; "
          "medians of %d runs of %d cycles.\n" % (sys.version.split()[0], psutil.__version__, os.cpu_count() or 1,
                                                  os.getloadavg()[0], parse_us(), plan.runs, CYCLES))
    middle = min(plan.processes, key=lambda count: abs(count - 300))
    crowd = Crowd()
    try:
        row("collect and post", "processes", "CPU ms", "PID 1 CPU ms", "RSS MiB", "PSS MiB", "threads", "open files")
        for count in sorted(plan.processes):
            there = crowd.grow(min(count, PROCESSES_MAX))
            collections(plan, there)
            if count == middle:
                others(plan, there)
    finally:
        crowd.end()
    print("\nLoad average at the end %.1f." % os.getloadavg()[0])


def collections(plan: Plan, there: int) -> None:
    """What a cycle costs among so many processes, and how large the agent is after the last one."""
    cost, _ = cycle(plan)
    row("http", there, "%.1f" % cost.cpu_ms, "-", *size_cells(cost.size))
    if SYSTEMD.is_dir():
        cost, init_ms = cycle(plan, collect_services=True)
        row("  with services", there, "%.1f" % cost.cpu_ms, "%.2f" % init_ms, *size_cells(cost.size))
    else:
        print("  with services: not measured, systemd does not run this machine")


def cycle(plan: Plan, tls: Optional[ssl.SSLContext] = None, **how: Any) -> Tuple[peers.Cost, float]:
    """The cost of a cycle, and the CPU in ms that process 1 used meanwhile: it is systemd that lists the services."""
    with Agent(plan, tls, MINUTE_SECONDS, **how) as agent:
        agent.pass_cycles(WARM_UP)
        meters = costs.meter(agent.pid), costs.meter_alone(1)
        runs = [costs.each(meters, agent.pass_cycles) for _ in range(plan.runs)]
        cpu_ms, init_ms = (statistics.median(column) for column in zip(*runs))
        return peers.Cost(cpu_ms, costs.size(agent.pid)), init_ms


def others(plan: Plan, there: int) -> None:
    """All that is measured at one number of processes only."""
    for part in (ways, live, counts, starts, beside):
        part(plan, there)
        print()


def ways(plan: Plan, there: int) -> None:
    """The same cycle under TLS, and of a script, which Python compiles at each start."""
    tls = tls_context(plan)
    how: Dict[str, Dict[str, Any]] = {"  as a script": {"start": AS_SCRIPT}}
    if tls:
        how.update({"  over https": {"tls": tls}, "  both": {"tls": tls, "start": AS_SCRIPT}})
    else:
        print("  over https: not measured, openssl is not installed")
    for name, options in how.items():
        cost, _ = cycle(plan, **options)
        row(name, there, "%.1f" % cost.cpu_ms, "-", *size_cells(cost.size))


def installed(plan: Plan) -> Path:
    """A folder with the agent in it, compiled as install_service.py does it."""
    folder = plan.folder / "programs"
    if not folder.exists():
        folder.mkdir()
        shutil.copy(str(PROGRAM), str(folder))
        subprocess.run([sys.executable, "-m", "compileall", "-q", "."], cwd=str(folder), check=True)
    return folder


def tls_context(plan: Plan) -> Optional[ssl.SSLContext]:
    """A server's, with a certificate made now; None without openssl."""
    if not shutil.which("openssl"):
        return None
    key, certificate = plan.folder / "key.pem", plan.folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2",
                    "-keyout", str(key), "-out", str(certificate)], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    return context


def live(plan: Plan, there: int) -> None:
    """Some agents side by side, because near-live samples are seconds apart, and one that has nothing to do."""
    row("live at %d s" % LIVE_SECONDS, "processes", "CPU ms", "% of a core", "RSS MiB", "PSS MiB", "threads",
        "open files")
    with contextlib.ExitStack() as stack:
        agents = [stack.enter_context(Agent(plan, **LIVE)) for _ in range(plan.runs)]
        idle = stack.enter_context(Agent(plan, **QUIET))
        for agent in agents:
            agent.pass_ticks(1)
        *ticks, pause = costs.each([costs.meter(agent.pid) for agent in agents + [idle]], agents[0].pass_ticks)
        tick = statistics.median(ticks)
        row("tick and post", there, "%.2f" % tick, "%.3f" % (tick / 10 / LIVE_SECONDS),
            *size_cells(costs.size(agents[0].pid)))
    print("  of which %.2f ms are spent without live as well: %.0f ms a minute" % (pause, pause * 60 / LIVE_SECONDS))


def counts(plan: Plan, there: int) -> None:
    """What does not move with the machine: calls of the system as strace sees them, requests, bytes."""
    if not shutil.which("strace"):
        print("counts: not taken, strace is not installed")
        return
    row("counts", "files opened", "fsyncs", "programs", "requests", "bytes sent")
    count_each(plan, "a cycle", "/api/metrics", Agent.pass_cycles, WARM_UP, minute_seconds=MINUTE_SECONDS)
    count_each(plan, "a live tick", "/api/metrics/live", Agent.pass_ticks, 1, **LIVE)


def count_each(plan: Plan, name: str, path: str, let_pass: Callable[[Agent, int], int], units: int,
               **options: Any) -> None:
    trace = plan.folder / "calls.txt"
    with Agent(plan, wrapper=STRACE + (str(trace),), **options) as agent:
        let_pass(agent, units)
        before, asked = trace.read_text().splitlines(), len(agent.hub.requests)
        passed = let_pass(agent, units)
        lines = trace.read_text().splitlines()[len(before):]
        calls = [sum(call in line for line in lines) / passed for call in ("openat(", "sync(", "execve(")]
        row(name, *("%.1f" % count for count in calls + [(len(agent.hub.requests) - asked) / passed]),
            sent_bytes(agent.hub.calls(path)[-1]))


def sent_bytes(request: Request) -> int:
    """What one request took on the wire, below it TCP."""
    head = sum(len(name) + len(value) + len(": \r\n") for name, value in request.headers.items())
    return len("%s %s HTTP/1.1\r\n\r\n" % (request.method, request.target)) + head + int(
        request.headers["content-length"])


def starts(plan: Plan, there: int) -> None:
    """From nothing to the command line read, and to the first word to the hub, with the first readings taken."""
    row("start", "CPU ms")
    ways_to_start = AS_SERVICE, AS_SCRIPT
    runs = [[run_ms(plan, ["-c", ""])] + [run_ms(plan, [*start, "--version"]) for start in ways_to_start]
            + [first_request_ms(plan, start) for start in ways_to_start] for _ in range(STARTS)]  # in turn
    names = ("an empty Python", "--version", "  as a script", "to the first request", "  as a script")
    for name, column in zip(names, zip(*runs)):
        row(name, "%.0f" % statistics.median(column))


def run_ms(plan: Plan, arguments: List[str]) -> float:
    """CPU of a Python that ends by itself."""
    process = subprocess.Popen([sys.executable] + arguments, stdout=subprocess.DEVNULL, cwd=str(installed(plan)),
                               env=clean_environment())
    usage = os.wait4(process.pid, 0)[2]
    process.returncode = 0  # it has been waited for
    return (usage.ru_utime + usage.ru_stime) * 1000


def first_request_ms(plan: Plan, start: Sequence[str]) -> float:
    """CPU of a new agent until its registration arrives."""
    with Agent(plan, start=start, known=False) as agent:
        until(lambda: agent.hub.requests, "The registration")
        return costs.meter(agent.pid)() * 1000


def beside(plan: Plan, there: int) -> None:
    """Other agents, and how much of theirs ours takes, measured once more in the same minute."""
    row("beside", "CPU of", "ms", "RSS MiB", "PSS MiB", "ours / its CPU", "ours / its RSS", "ours / its PSS")
    ours, _ = cycle(plan)
    row("smon", "a cycle", *cost_cells(ours))
    floor_ms = statistics.median(read_all_ms() for _ in range(READINGS))
    row("/proc alone", "a reading", "%.1f" % floor_ms, "-", "-", "%.2f" % (ours.cpu_ms / floor_ms))
    for peer in peers.PEERS:
        cost = peers.measure(peer, fresh_folder(plan))
        if cost is None:
            print("%s: not measured, it is not installed" % peer.name)
            continue
        pairs = zip((ours.cpu_ms, ours.size.rss_mib, ours.size.pss_mib),
                    (cost.cpu_ms, cost.size.rss_mib, cost.size.pss_mib))
        row(peer.name, peer.cycle, *cost_cells(cost), *("%.2f" % (mine / other) for mine, other in pairs))


def read_all_ms() -> float:
    """CPU of reading every process's line and doing nothing with it: below this no agent gets that lists processes."""
    before = time.thread_time()
    for pid in psutil.pids():
        with contextlib.suppress(FileNotFoundError):  # it ended since the listing
            handle = os.open("/proc/%d/stat" % pid, os.O_RDONLY)
            with contextlib.suppress(ProcessLookupError):  # or since it was opened
                os.read(handle, 2048)
            os.close(handle)
    return (time.thread_time() - before) * 1000


def cost_cells(cost: peers.Cost) -> Tuple[str, str, str]:
    return "%.1f" % cost.cpu_ms, "%.1f" % cost.size.rss_mib, "%.1f" % cost.size.pss_mib


def size_cells(size: costs.Size) -> Tuple[str, str, int, int]:
    return "%.1f" % size.rss_mib, "%.1f" % size.pss_mib, size.threads, size.files
