"""Exports from a spool that is odd, and what others on the machine may read of an agent's files."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zlib

import pytest

import smon_agent
from tests.agent.fake_hub import API_KEY, SERVER_ID
from tests.agent.test_command_line import called
from tests.agent.test_spool import add

KNOWN = {"server_id": SERVER_ID, "api_key": API_KEY, "export_key": "sme_key"}


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def zeros(path) -> None:
    path.write_bytes(bytes(100))


def unreadable(path) -> None:
    """No bytes come from it, not for root either."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, zeros, unreadable])
def test_a_damaged_sample_does_not_end_an_export(config, tmp_path, damage):
    spool = smon_agent.Spool(str(tmp_path))
    spool.bound(100, 1 << 20)
    names = [add(spool) for _ in range(3)]
    damage(tmp_path / "spool" / names[1])
    target = tmp_path / "out.smon"
    assert smon_agent.export_spool(config(KNOWN), str(target)) == 2
    head, body = target.read_bytes().split(b"\n", 1)
    exported = [json.loads(line)["n"] for line in zlib.decompress(body, 31).splitlines()]
    assert (json.loads(head)["payloads"], exported) == (2, [int(names[0][:12]), int(names[2][:12])])


def test_an_export_before_the_first_sample_is_empty(tmp_path):
    path, target = tmp_path / "config.json", tmp_path / "out.smon"
    path.write_text(json.dumps(KNOWN))
    done = called(path, "--export-spool", target)
    assert (done.returncode, done.stdout) == (0, "0 samples are in %s.\n" % target), done.stderr
    head, body = target.read_bytes().split(b"\n", 1)
    said = json.loads(head)
    assert (said["payloads"], said["sha256"]) == (0, hashlib.sha256(body).hexdigest())
    assert zlib.decompress(body, 31) == b""


@pytest.mark.parametrize("missing", ["server_id", "export_key"])
def test_an_export_that_no_hub_could_attribute_is_refused(tmp_path, missing):
    path, target = tmp_path / "config.json", tmp_path / "out.smon"
    path.write_text(json.dumps(dict(KNOWN, **{missing: ""})))
    done = called(path, "--export-spool", target)
    assert done.returncode == 2 and "There is no export_key: register with a hub that issues one" in done.stderr
    assert not target.exists()


# files that nobody else may read, under a umask that keeps nobody out

@pytest.fixture
def no_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder) -> dict:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_the_folders_of_samples_are_their_owners_alone(tmp_path, no_umask):
    smon_agent.Spool(str(tmp_path))
    assert modes(tmp_path) == {"spool": 0o700, "sent": 0o700, "rejected": 0o700}


def test_all_that_an_agent_makes_is_its_owners_alone(tmp_path, fake_hub, no_umask):
    home = tmp_path / "home"
    home.mkdir()
    config = home / "config.json"
    config.write_text(json.dumps({"dashboard_url": fake_hub.url, "state_dir": "deep/state", "retry_attempts": 1,
                                  "auto_discover_services": False}))
    assert called(config, "--once").returncode == 0
    found = modes(home)
    assert found.pop("config.json") == 0o666
    assert {"deep", "state", "identity.json", "agent.log", "agent.lock", "spool", "sent", "rejected"} <= set(found)
    assert [name for name, mode in found.items() if mode & 0o077] == []
