"""Other agents, where they are installed: started on loopback with folders of their own, driven, measured, ended.

None of them does quite what the others do; `cycle` says what is counted. Nothing they could send leaves the machine.
"""

from __future__ import annotations

import shutil
import socket
import struct
import time
import urllib.request
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

import psutil

import costs
from tests.support.processes import ChildProcess

WARM_UP_SECONDS = 3   # until everything is loaded and the first readings are taken
WATCHED_SECONDS = 6   # of one that works by its own clock
SCRAPES = 20          # of one that works when it is asked
PAUSE_SECONDS = 0.2   # between two of them, as between two cycles of our agent: caches cool alike
ZABBIX_HEAD = b"ZBXD\1"
ITEMS = ("system.cpu.util", "system.cpu.load", "vm.memory.size[total]", "vm.memory.size[available]",
         "system.swap.size[,total]", "vfs.fs.discovery", "vfs.fs.size[/,pused]", "vfs.fs.inode[/,pused]",
         "net.if.in[lo]", "net.if.out[lo]", "proc.num[]", "system.uptime")


class Peer(NamedTuple):
    """files: what it reads, by name below its folder. command and files know {folder} and {port}."""

    name: str
    cycle: str
    programs: List[str]
    command: List[str]
    files: Dict[str, str]
    drive: Callable[[Path, int], int]  # lets it work, and says how many cycles it did


class Cost(NamedTuple):
    cpu_ms: float  # a cycle
    size: costs.Size


def measure(peer: Peer, folder: Path) -> Optional[Cost]:
    """What it costs; None where it is not installed."""
    program = next(filter(None, map(shutil.which, peer.programs)), None)
    if program is None:
        return None
    port = _free_port()
    for name, text in peer.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(_filled(text, folder, port), encoding="ascii")
    process = ChildProcess([program] + [_filled(part, folder, port) for part in peer.command], folder / "output.log",
                           {"HOME": str(folder), "DO_NOT_TRACK": "1"}, folder)
    try:
        time.sleep(WARM_UP_SECONDS)
        if not process.running:
            raise SystemExit("%s did not start:\n%s" % (peer.name, process.log))
        cpu_ms, = costs.each([costs.meter(process.pid)], lambda: peer.drive(folder, port))
        return Cost(cpu_ms, costs.size(process.pid))
    finally:
        _end(process)


def _end(process: ChildProcess) -> None:
    children = psutil.Process(process.pid).children(recursive=True) if process.running else []
    process.stop()
    for left in psutil.wait_procs(children, timeout=3)[1]:
        left.kill()


def _free_port() -> int:
    """One that nobody listens on, below those that the system gives out: zabbix-agent takes none above 32767."""
    for port in range(20000, 32768):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise SystemExit("All ports from 20000 to 32767 are taken.")


def _filled(text: str, folder: Path, port: int) -> str:
    return text.replace("{folder}", str(folder)).replace("{port}", str(port))


def _seconds(folder: Path, port: int) -> int:
    time.sleep(WATCHED_SECONDS)
    return WATCHED_SECONDS


def _lines(folder: Path, port: int) -> int:
    table = folder / "glances.csv"
    before = table.read_text().count("\n")
    time.sleep(WATCHED_SECONDS)
    return table.read_text().count("\n") - before


def _scrapes(folder: Path, port: int) -> int:
    for _ in range(SCRAPES):
        time.sleep(PAUSE_SECONDS)
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port) as answer:
            answer.read()
    return SCRAPES


def _items(folder: Path, port: int) -> int:
    for _ in range(SCRAPES):
        time.sleep(PAUSE_SECONDS)
        for item in ITEMS:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(ZABBIX_HEAD + struct.pack("<Q", len(item)) + item.encode("ascii"))
                if not connection.recv(len(ZABBIX_HEAD), socket.MSG_WAITALL) == ZABBIX_HEAD:
                    raise SystemExit("zabbix-agent gave no answer to %s." % item)
                while connection.recv(65536):
                    continue
    return SCRAPES


COLLECTD = """
Interval 1
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
LoadPlugin cpu
LoadPlugin memory
LoadPlugin swap
LoadPlugin load
LoadPlugin df
LoadPlugin disk
LoadPlugin interface
LoadPlugin processes
LoadPlugin uptime
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
</Plugin>
"""
ZABBIX = """
ListenIP=127.0.0.1
ListenPort={port}
Server=127.0.0.1
LogType=console
PidFile={folder}/zabbix.pid
AllowRoot=1
"""
NETDATA = """
[global]
  run as user = root
[db]
  mode = ram
[web]
  bind to = 127.0.0.1:{port}
[directories]
  cache = {folder}
  lib = {folder}
  log = {folder}
  registry = {folder}
"""
GLANCES = """
[global]
check_update=false
"""

PEERS = (
    Peer("node_exporter", "a scrape", ["prometheus-node-exporter", "node_exporter"],
         ["--web.listen-address=127.0.0.1:{port}"], {}, _scrapes),
    Peer("glances", "a refresh", ["glances"],
         ["-q", "-t", "1", "-C", "{folder}/glances.conf", "--export", "csv", "--export-csv-file",
          "{folder}/glances.csv"], {"glances.conf": GLANCES}, _lines),
    Peer("netdata", "a second", ["netdata"],
         ["-D", "-c", "{folder}/netdata.conf"],
         {"netdata.conf": NETDATA, ".opt-out-from-anonymous-statistics": ""}, _seconds),
    Peer("collectd", "a second", ["collectd"], ["-f", "-C", "{folder}/collectd.conf"], {"collectd.conf": COLLECTD},
         _seconds),
    Peer("zabbix-agent", "%d items" % len(ITEMS), ["zabbix_agentd"], ["-f", "-c", "{folder}/zabbix.conf"],
         {"zabbix.conf": ZABBIX}, _items),
)
