"""Real hubs and real agents as processes of a test, on 127.0.0.1, each ended by the test that started it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from tests.support import ROOT
from tests.support.client import Answer, Client

START_SECONDS = 30
STOP_SECONDS = 15


class StartError(AssertionError):
    """A process did not come up; the text holds what it said."""


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what: str, seconds: float = START_SECONDS) -> Any:
    """Ask until the answer is true and return it; fail with a sentence when it never is."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError("%s did not happen within %g seconds." % (what, seconds))
        time.sleep(0.02)


class ChildProcess:
    """A program of this repository that runs until stop(); everything it prints is in .log."""

    def __init__(self, command: List[str], log_path: Path, env: Optional[Dict[str, str]] = None,
                 cwd: Optional[Path] = None):
        self.command = command
        self.log_path = log_path
        with open(str(log_path), "ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            cwd=str(cwd or ROOT), env=clean_environment(env))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, wait, and return its exit status. One that does not listen is killed and fails the test."""
        if self.running:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError("%s ignored signal %d:\n%s" % (self.command, number, self.log))

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info) -> None:
        if self.running:
            self.stop()


def clean_environment(env: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """This environment without settings of smon that a developer may have exported, and with what a test adds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMON_")}
    return dict(kept, PYTHONUNBUFFERED="1", **(env or {}))


class HubProcess(ChildProcess):
    """A hub that answers GET /api/ping with 200 by the time the constructor returns.

    Calls made through it come from a new address each; `client()` is a caller that keeps one address.
    """

    def __init__(self, data_dir, *options: str, env: Optional[Dict[str, str]] = None, python: str = sys.executable,
                 port: Optional[int] = None, wrapper: Sequence[str] = ()):
        self.data_dir = Path(str(data_dir))
        self.port = port or free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        command = [*wrapper, python, str(ROOT / "smon_server.py"), "--host", "127.0.0.1", "--port", str(self.port),
                   "--data-dir", str(self.data_dir), *options]
        super().__init__(command, Path("%s.log" % self.data_dir), env)
        try:
            until(self._answers, "The first answer of the hub")
        except BaseException:
            self.kill9()
            raise

    def _answers(self) -> bool:
        if not self.running:
            raise StartError("The hub ended with status %s:\n%s" % (self.process.returncode, self.log))
        try:
            return self.get("/api/ping").status == 200
        except OSError:
            return False

    def client(self, source: Optional[str] = None) -> Client:
        return Client(self.url, source)

    def request(self, method: str, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Answer:
        caller = self.client()
        try:
            return caller.request(method, path, body, headers)
        finally:
            caller.close()

    get, post, patch, delete = Client.get, Client.post, Client.patch, Client.delete

    def register(self, name: str, **fields: Any) -> "RegisteredServer":
        """Register a server as its agent would; from this machine it needs no approval."""
        answer = self.post("/api/register", dict({"hostname": name, "ip_address": "192.0.2.7", "os_info": "Linux"},
                                                 **fields))
        assert answer.status == 201, answer
        return RegisteredServer(self, name, answer.json["server_id"], answer.json["api_key"])

    def server(self, server_id: str, hours: int = 24) -> Any:
        """What the page of one server is drawn from."""
        answer = self.get("/api/dashboard/server/%s?hours=%d" % (server_id, hours))
        assert answer.status == 200, answer
        return answer.json


class RegisteredServer:
    """A server that the hub knows, and the credential to speak for it."""

    def __init__(self, hub: HubProcess, name: str, server_id: str, api_key: str):
        self.hub = hub
        self.name = name
        self.id = server_id
        self.key = api_key
        self.headers = {"Authorization": "Bearer %s:%s" % (server_id, api_key)}

    def post(self, path: str, body: Any = None) -> Answer:
        return self.hub.post(path, body, self.headers)

    def send(self, metrics: Optional[Dict[str, Any]] = None, **payload: Any) -> Answer:
        """Post one sample: `send({"cpu_percent": 95.0}, collected_at="2026-11-22T10:00:00.000Z")`.

        The figures that metrics does not name are believable ones; a figure of None is left out.
        """
        figures = dict(METRICS, **(metrics or {}))
        body = dict({"processes": [], "services": []}, **payload)
        body["metrics"] = {name: value for name, value in figures.items() if value is not None}
        return self.post("/api/metrics", body)

    def live(self, **figures: Any) -> Answer:
        return self.post("/api/metrics/live", dict(LIVE, **figures))

    def ping(self) -> Answer:
        return self.post("/api/ping")


GIB = 1 << 30
METRICS: Dict[str, Any] = {
    "cpu_percent": 12.5, "memory_total": 16 * GIB, "memory_used": 6 * GIB, "memory_free": 10 * GIB,
    "memory_percent": 37.5, "uptime_seconds": 86400, "boot_time": "2026-11-20T10:00:00Z",
    "disks": [{"device": "/dev/sda1", "mountpoint": "/", "fstype": "ext4", "total": 100 * GIB, "used": 40 * GIB,
               "free": 60 * GIB, "percent": 40.0}],
    "network": {"bytes_sent": 1000000, "bytes_recv": 2000000, "packets_sent": 5000, "packets_recv": 8000},
}
LIVE: Dict[str, Any] = {
    "cpu_percent": 12.5, "cpu_per_core": [10.0, 15.0], "cpu_freq_mhz": 3200, "memory_percent": 37.5,
    "memory_used": 6 * GIB, "memory_available": 10 * GIB, "swap_percent": 0.0, "swap_used": 0,
    "network_rate": {"bytes_sent_per_sec": 125000, "bytes_recv_per_sec": 250000, "packets_sent_per_sec": 150,
                     "packets_recv_per_sec": 300},
    "disk_io_rate": {"read_bytes_per_sec": 5000, "write_bytes_per_sec": 3000, "read_count_per_sec": 10,
                     "write_count_per_sec": 8},
    "process_count": 245, "thread_count": 1850, "handle_count": 45000,
}


class AgentProcess(ChildProcess):
    """An agent with its configuration, its spool and its log in one directory.

    A minute lasts minute_seconds, so that cycles of minutes fit into a test. The configuration is written only when
    there is none: a second process on the same directory is the same agent, started again.
    """

    def __init__(self, directory, hub_url: str, *options: str, config: Optional[Dict[str, Any]] = None,
                 env: Optional[Dict[str, str]] = None, python: str = sys.executable, minute_seconds: float = 0.5):
        self.directory = Path(str(directory))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config_path = self.directory / "config.json"
        if not self.config_path.exists():
            self.config_path.write_text(json.dumps(dict(
                {"dashboard_url": hub_url, "collection_interval_minutes": 5}, **(config or {}))), encoding="utf-8")
        scaled = dict({"SMON_MINUTE_SECONDS": str(minute_seconds)}, **(env or {}))
        super().__init__([python, str(ROOT / "smon_agent.py"), str(self.config_path), *options],
                         self.directory / "output.log", scaled, self.directory)

    @property
    def config(self) -> Dict[str, Any]:
        return json.loads(self.config_path.read_text(encoding="utf-8"))

    def server_id(self) -> str:
        """The identity it was given, once it has registered and saved it."""
        return until(lambda: self.config.get("server_id"), "Registration; the agent said: " + self.log)
