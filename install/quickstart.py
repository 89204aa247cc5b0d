"""See this machine in the dashboard with one command: `python3 install/quickstart.py`.

Starts a hub for this machine alone and this machine's real agent, and ends both with Ctrl-C. It leaves behind the
data directory, and .venv where the packages of the hub were missing; a second start goes on with the same data.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Dict, List, Optional

import environment

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bcrypt", "bottle", "psutil")
AGENT = {"collection_interval_minutes": 5, "live_enabled": True, "live_interval_seconds": 5}
FIRST_SAMPLE_SECONDS = 60
CAN_NOT_START = 2  # the status of a program that said in a sentence why it does not start
END_SECONDS = 15  # the hub needs at most 5, the agent a little more when it finishes a collection

signals: List[int] = []  # that asked for the end


def main(arguments: List[str]) -> int:
    options = parse(arguments)
    try:
        made = runtime()
    except environment.SetupError as error:
        print(error, file=sys.stderr)
        return 2
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: signals.append(number))
    return run(made, options.port, Path(options.data_dir).resolve())


def parse(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start a hub and this machine's agent; Ctrl-C ends both.")
    parser.add_argument("--port", type=int, default=3000, help="port of the hub (default 3000)")
    parser.add_argument("--data-dir", default="smon_data", help="where the hub keeps its data (default ./smon_data)")
    return parser.parse_args(arguments)


def runtime() -> environment.Environment:
    """This Python when it has the packages, else one of our own in .venv."""
    if all(importlib.util.find_spec(name) for name in PACKAGES):
        return environment.Environment(sys.executable, {})
    return environment.ready(ROOT / ".venv", ROOT / "install" / "requirements-hub.txt")


def run(made: environment.Environment, port: int, data_dir: Path) -> int:
    """Start the hub, then the agent; wait for a signal or for the end of one of them; end both."""
    url = "http://127.0.0.1:%d" % port  # people read localhost, which may also lead to ::1 and another program
    ours = is_free(port)  # else whoever answers there is not our hub, and ours is about to say so
    children = {"hub": start(made, "smon_server.py", "--host", "127.0.0.1", "--port", str(port),
                             "--data-dir", str(data_dir))}
    try:
        if wait_for(lambda: ours and answers(url), children):
            config = configure_agent(data_dir / "quickstart-agent", url)
            before = newest_sample(url, config)
            children["agent"] = start(made, "smon_agent.py", str(config))
            tell(port, data_dir, config)
            if wait_for(lambda: newest_sample(url, config) not in (None, before), children, FIRST_SAMPLE_SECONDS):
                print("This machine's first sample is on the hub: open http://localhost:%d" % port, flush=True)
            wait_for(lambda: False, children)
    finally:
        ended = first_ended(children)
        status = {name: end(children[name]) for name in ("agent", "hub") if name in children}
    return report(ended, status[ended]) if ended else 0


def report(ended: str, status: int) -> int:
    """The exit status when a child ended by itself."""
    if status != CAN_NOT_START:
        print("The %s ended by itself with status %d; nothing is left running." % (ended, status), file=sys.stderr)
    return status or 1


def start(made: environment.Environment, program: str, *arguments: str) -> subprocess.Popen:
    """A child that Ctrl-C in the terminal does not reach: the agent has to end before the hub."""
    apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {"start_new_session": True}
    return subprocess.Popen([made.python, str(ROOT / program)] + list(arguments), stdin=subprocess.DEVNULL,
                            env=dict(os.environ, **made.variables), **apart)


def end(child: subprocess.Popen) -> int:
    """Ask the child to finish and wait; one that does not is killed. Its exit status."""
    if child.poll() is None:
        child.terminate()
    try:
        return child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def wait_for(condition, children: Dict[str, subprocess.Popen], seconds: Optional[float] = None) -> bool:
    """Wait until the condition holds; False when a signal came, a child ended or the time is over."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while not signals and first_ended(children) is None:
        if condition():
            return True
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return False


def first_ended(children: Dict[str, subprocess.Popen]) -> Optional[str]:
    return next((name for name, child in children.items() if child.poll() is not None), None)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name != "nt":  # there it would let two programs share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def configure_agent(folder: Path, url: str) -> Path:
    """The agent's configuration; what it learned in an earlier start stays, the hub's address may have changed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "config.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else AGENT
    path.write_text(json.dumps(dict(known, dashboard_url=url), indent=2), encoding="utf-8")
    path.chmod(0o600)
    return path


def newest_sample(url: str, config: Path) -> Optional[str]:
    """When the newest sample was taken that the hub has of this machine, asked with the agent's own key."""
    known = json.loads(config.read_text(encoding="utf-8"))
    if not known.get("api_key"):
        return None
    answer = call(url, "POST", {"Authorization": "Bearer %s:%s" % (known["server_id"], known["api_key"])})
    return answer.get("newest_at")


def answers(url: str) -> bool:
    return call(url, "GET").get("status") == "ok"


def call(url: str, method: str, headers: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """The JSON object that /api/ping answers; empty when there is no such answer."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy does not know this localhost
    request = urllib.request.Request(url + "/api/ping", headers=headers or {}, method=method)
    try:
        with direct.open(request, timeout=5) as answer:
            return json.loads(answer.read().decode("utf-8"))
    except (OSError, ValueError):
        return {}


def tell(port: int, data_dir: Path, config: Path) -> None:
    print("The hub runs on http://localhost:%d, for this machine alone; its data is in %s.\n"
          "This machine's agent reports to it; its options are in %s.\n"
          "Ctrl-C ends both." % (port, data_dir, config), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
