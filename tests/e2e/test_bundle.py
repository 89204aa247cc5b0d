"""The offline bundle on a machine with no network and no pip: two commands, and the hub shows the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.support import bundles, needs
from tests.support.processes import clean_environment

# Runs in a network namespace of its own: it has a loopback and nothing else. Ends by itself.
SCRIPT = r"""
set -eu
ip link set lo up
cd "$BUNDLE"
if "$PYTHON" -m pip --version 2>/dev/null; then echo "this Python has pip"; exit 9; fi
if ip route get 192.0.2.1 2>/dev/null; then echo "there is a route"; exit 9; fi
sha256sum --quiet -c SHA256SUMS
"$PYTHON" install/unpack.py
"$PYTHON" install/unpack.py
"$PYTHON" smon_server.pyz --host 127.0.0.1 --port 3000 --data-dir "$DATA" &
hub=$!
trap 'kill $hub; wait $hub' EXIT
for _ in $(seq 200); do [ -e "$DATA/hub.json" ] && break; sleep 0.1; done
"$PYTHON" smon_agent.py --once "$DATA/agent.json"
"$PYTHON" - <<'END'
import json, os, urllib.request
token = json.load(open(os.environ["DATA"] + "/hub.json"))["token"]
request = urllib.request.Request("http://127.0.0.1:3000/api/dashboard", headers={"Authorization": "Bearer " + token})
servers = json.load(urllib.request.urlopen(request))["servers"]
assert [server["metrics"]["cpu_percent"] for server in servers] >= [0.0], servers
page = urllib.request.urlopen("http://127.0.0.1:3000/").read()
assert b"/static/" in page
print("shown:", len(servers))
END
"""


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carried")
    return bundles.carry(bundles.make(folder / "smon.zip"), folder / "stick")


@pytest.mark.skipif(sys.platform != "linux", reason="Network namespaces are Linux's.")
def test_it_runs_without_network_and_pip(carried, tmp_path):
    python = bundles.bare_python(tmp_path / "bare")
    run = subprocess.run(bundles.without_network() + ["bash", "-c", SCRIPT], env=clean_environment(
        {"BUNDLE": str(carried), "PYTHON": str(python), "DATA": str(tmp_path)}), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=120)
    assert run.returncode == 0, run.stdout
    assert "shown: 1" in run.stdout and "is there already" in run.stdout
    assert "Traceback" not in run.stdout, run.stdout


def test_a_damaged_carry_is_found_out(carried, tmp_path):
    """A stick that lost a bit must not become a program."""
    needs.program("sha256sum", why="the bundle's sums are checked with it")
    copied = tmp_path / "copied"
    shutil.copytree(str(carried), str(copied))
    agent = copied / "smon_agent.py"
    agent.write_bytes(agent.read_bytes()[:-1] + b"\0")
    checked = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=str(copied), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, universal_newlines=True)
    assert checked.returncode != 0 and "smon_agent.py: FAILED" in checked.stdout
