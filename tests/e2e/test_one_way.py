"""A machine that can not reach the hub: a real agent's samples travel as a file and are there with their own times."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import List, NamedTuple, Tuple

import pytest

from tests.support import ROOT, needs
from tests.support.exports import run_import
from tests.support.processes import AgentProcess, ChildProcess, HubProcess, clean_environment, free_port, until

WAITING = 3


class Island(NamedTuple):
    """An agent that lost its hub, what waited on its disk, and the file that it made of that."""

    data_dir: Path
    server_id: str
    waiting: List[str]  # moments, to the second
    file: Path
    known: Counter      # the moments that the hub has
    last_seen: str


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A hub that went away after its agent had registered; the agent collected on, then exported what waits.

    The first sample is acknowledged before the hub ends: one whose answer is lost would be on both sides.
    """
    folder = tmp_path_factory.mktemp("origin")
    with HubProcess(folder / "data") as hub:
        first = AgentProcess(folder / "agent", hub.url, "--once")
        assert first.process.wait(30) == 0, first.log
        server_id = first.server_id()
    with AgentProcess(folder / "agent", hub.url, minute_seconds=0.2) as agent:
        until(lambda: len(list((agent.directory / "spool").glob("*.json.gz"))) >= WAITING, "A spool of some samples")
    waiting = exported(agent, folder / "island.spool")
    with HubProcess(folder / "data") as hub:
        last_seen = hub.server(server_id)["server"]["last_seen_at"]
        return Island(folder / "data", server_id, waiting, folder / "island.spool", history(hub, server_id), last_seen)


@pytest.fixture
def island(origin, tmp_path):
    """The same for one test: a copy of the folder, on which no hub runs."""
    shutil.copytree(str(origin.data_dir), str(tmp_path / "data"))
    return origin._replace(data_dir=tmp_path / "data")


def exported(agent: AgentProcess, target: Path) -> List[str]:
    """Run --export-spool; the moments that the file holds, as the hub shows them."""
    run = subprocess.run([sys.executable, str(ROOT / "smon_agent.py"), str(agent.config_path), "--export-spool",
                          str(target)], env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         universal_newlines=True, timeout=30)
    assert run.returncode == 0, run.stdout
    return sorted(moment[:19] + "Z" for moment in moments_in(target))


def add_server(data_dir: Path, name: str, out: Path) -> Tuple[int, str]:
    """(exit status, what was said) of `smon_server.py server add NAME --out OUT`."""
    run = subprocess.run([sys.executable, str(ROOT / "smon_server.py"), "server", "add", name, "--out", str(out),
                          "--data-dir", str(data_dir)], env=clean_environment(), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=60)
    return run.returncode, run.stdout


def moments_in(file: Path) -> List[str]:
    _, _, packed = file.read_bytes().partition(b"\n")
    return [json.loads(payload)["collected_at"] for payload in gzip.decompress(packed).splitlines()]


def history(hub: HubProcess, server_id: str) -> Counter:
    return Counter(point["timestamp"] for point in hub.server(server_id)["history"])


def new(hub: HubProcess, island: Island) -> List[str]:
    """The moments of what was stored since the hub went away."""
    return sorted((history(hub, island.server_id) - island.known).elements())


def test_beside_a_running_hub_every_sample_is_stored_once_at_its_own_time(island):
    with HubProcess(island.data_dir) as hub:
        first, second = run_import(island.data_dir, island.file), run_import(island.data_dir, island.file)
        assert (first[0], second[0]) == (0, 0), first + second
        assert "%d samples, %d stored, 0 known already." % ((len(island.waiting),) * 2) in first[1][0]
        assert "0 stored, %d known already." % len(island.waiting) in second[1][0]
        assert new(hub, island) == island.waiting
        shown = hub.server(island.server_id)
        assert (shown["metrics"]["timestamp"], shown["server"]["last_seen_at"]) == (island.waiting[-1],) * 2
        assert hub.running and "Traceback" not in hub.log


def test_without_a_running_hub_the_next_one_shows_what_was_taken_in(island):
    assert run_import(island.data_dir, island.file)[0] == 0
    with HubProcess(island.data_dir) as hub:
        assert new(hub, island) == island.waiting
        assert hub.server(island.server_id)["server"]["last_seen_at"] == island.waiting[-1]


def test_a_killed_hub_leaves_a_token_that_sends_nobody_astray(island):
    hub = HubProcess(island.data_dir)
    hub.kill9()
    assert (island.data_dir / "hub.json").exists()
    status, said = run_import(island.data_dir, island.file)
    assert (status, len(said)) == (0, 1), said
    assert "%d stored" % len(island.waiting) in said[0]


def test_a_hub_with_tls_takes_it_in_whatever_name_its_certificate_has(island, tmp_path):
    openssl = needs.program("openssl", why="it makes the certificate of this test")
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hub.example",
                    "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [sys.executable, str(ROOT / "smon_server.py"), "--host", "127.0.0.1", "--port", str(free_port()),
               "--data-dir", str(island.data_dir), "--tls-cert", str(tmp_path / "cert.pem"),
               "--tls-key", str(tmp_path / "key.pem")]
    with ChildProcess(command, tmp_path / "tls.log") as hub:
        until(lambda: "Listening on https://" in hub.log, "The start of the hub: " + hub.log)
        status, said = run_import(island.data_dir, island.file)
    assert (status, len(said)) == (0, 1), said
    assert "%d stored" % len(island.waiting) in said[0]


def flipped(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


@pytest.mark.parametrize("beside_a_hub", [True, False], ids=["beside a hub", "alone"])
def test_a_file_that_is_not_whole_or_not_an_export_is_one_sentence_and_stores_nothing(island, tmp_path, beside_a_hub):
    content = island.file.read_bytes()
    wrong = {"flipped": flipped(content), "cut": content[:-9], "empty": b"", "foreign": b"root:x:0:0:::\n",
             "renamed": content.replace(island.server_id.encode(), b"00000000-0000-0000-0000-000000000000", 1)}
    hub = HubProcess(island.data_dir) if beside_a_hub else None
    for name, changed in wrong.items():
        (tmp_path / name).write_bytes(changed)
        status, said = run_import(island.data_dir, tmp_path / name)
        assert (status, len(said)) == (2, 1), (name, said)
        assert said[0].startswith("smon_server: ") and said[0].endswith("."), said
    if hub is not None:
        hub.stop()
    with HubProcess(island.data_dir) as hub:
        assert new(hub, island) == []
        assert hub.server(island.server_id)["server"]["last_seen_at"] == island.last_seen


@pytest.mark.parametrize("beside_a_hub", [True, False], ids=["beside a hub", "alone"])
def test_an_agent_that_never_reached_the_hub_is_known_by_a_config_from_there(tmp_path, beside_a_hub):
    data, folder = tmp_path / "data", tmp_path / "agent"
    folder.mkdir()
    hub = HubProcess(data)
    if not beside_a_hub:
        hub.stop()
    status, said = add_server(data, "far-away", folder / "config.json")
    assert status == 0, said
    if beside_a_hub:
        hub.stop()
    made = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    nowhere = dict(made, dashboard_url="http://127.0.0.1:%d" % free_port())  # not what listens on the usual port here
    (folder / "config.json").write_text(json.dumps(nowhere), encoding="utf-8")
    with AgentProcess(folder, "", minute_seconds=0.2) as agent:
        until(lambda: list((folder / "spool").glob("*.json.gz")), "A sample in the spool; the agent said: " + agent.log)
    waiting = exported(agent, tmp_path / "far-away.spool")
    status, said = run_import(data, tmp_path / "far-away.spool")
    assert status == 0, said
    with HubProcess(data) as hub:
        assert sorted(history(hub, made["server_id"]).elements()) == waiting
        shown = hub.server(made["server_id"])["server"]
        assert (shown["display_name"], shown["approved"]) == ("far-away", True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes.")
def test_every_file_is_for_its_owner_alone(island):
    with HubProcess(island.data_dir):
        run_import(island.data_dir, island.file)
        files = [island.file, *(path for path in island.data_dir.iterdir())]
        assert {path.name: oct(path.stat().st_mode & 0o077) for path in files} == {path.name: "0o0" for path in files}
        assert {"hub.json", "smon.db", "smon.db.lock"} <= {path.name for path in files}
