"""Both programs as services of a booted systemd, from the offline bundle: installed, seen, rebooted, taken away."""

from __future__ import annotations

import json

import pytest

from tests.support import bundles, machine
from tests.support.client import Client
from tests.support.processes import free_port, until

HUB, AGENT = "smon-hub", "smon-agent"


class Installed:
    """A machine with the bundle on it, and the hub's port."""

    def __init__(self, booted, tool):
        self.booted, self._tool = booted, tool
        self.port = free_port()

    def installer(self, *words):
        return self.booted.do("python3", self._tool, *words)

    def servers(self):
        """What the hub shows, asked with the token that lies in its data folder for its owner."""
        told = json.loads((self.booted.root / "var/lib/smon/hub/hub.json").read_text())
        caller = Client(told["url"])
        return caller.get("/api/dashboard", {"Authorization": "Bearer " + told["token"]}).json["servers"]

    def sampled(self):
        try:
            return [server for server in self.servers() if server["metrics"]]
        except (OSError, ValueError, KeyError):
            return []  # the hub is still on its way


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    root = machine.root_tree(folder / "root")
    carried = bundles.carry(bundles.make(folder / "smon.zip"), root / "opt" / "stick")
    booted = machine.Machine(root, folder / "console.log")
    booted.on()
    try:
        yield Installed(booted, "/opt/stick/%s/install/install_service.py" % carried.name)
    finally:
        booted.off()


def test_two_commands_give_a_running_hub_and_agent(installed):
    installed.installer("hub", "--host", "127.0.0.1", "--port", str(installed.port))
    installed.installer("--url", "http://127.0.0.1:%d" % installed.port)
    server, = until(installed.sampled, "The first sample")
    assert installed.booted.facts(HUB, "ActiveState", "NRestarts", "User") == ["active", "0", "smon"]
    assert installed.booted.facts(AGENT, "ActiveState", "NRestarts", "User") == ["active", "0", "smon-agent"]
    assert "smon-hub: active" in installed.installer("hub", "status")


def test_the_hardened_agent_sees_the_whole_machine(installed):
    """Processes and users of others, every service, disks, and not one collector that complains."""
    program = ("import json, smon_agent; c = smon_agent.Config('/etc/smon/agent.json'); m = smon_agent.Machine(); "
               "m.prime(c.now); s, e = m.collect(c.now); print(json.dumps([s, e]))")
    unit = "systemd-run --quiet --wait --pipe --property=User=smon-agent"
    hardening = [line for line in installed.booted.do("cat", "/etc/systemd/system/smon-agent.service").splitlines()
                 if line.partition("=")[0] in ("ProtectHome", "ProtectSystem", "ProtectClock", "ProtectKernelTunables",
                                               "SystemCallFilter", "RestrictAddressFamilies", "PrivateDevices",
                                               "CapabilityBoundingSet", "ProtectControlGroups", "NoNewPrivileges")]
    said = installed.booted.do(*unit.split(), *("--property=" + line for line in hardening),
                               "--working-directory=/opt/smon/agent", "python3", "-c", program)
    sample, errors = json.loads(said)
    assert errors == {}
    assert "root" in {row["username"] for row in sample["processes"]}
    assert {"smon-hub", "smon-agent", "dbus"} <= {row["service_name"] for row in sample["services"]}
    assert [disk for disk in sample["metrics"]["disks"] if disk["mountpoint"] == "/"]


def test_only_the_service_reads_its_data_and_its_config(installed):
    listed = installed.booted.do("stat", "--format=%a %U %n", "/var/lib/smon/hub", "/var/lib/smon/agent",
                                 "/var/lib/smon/agent/identity.json", "/var/lib/smon/hub/smon.db",
                                 "/etc/smon/agent.json", "/opt/smon/agent/smon_agent.py")
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["700", "smon"], ["700", "smon-agent"], ["600", "smon-agent"], ["600", "smon"], ["640", "root"],
        ["644", "root"]]


def test_the_short_command_works_as_the_hubs_own_user(installed):
    """What root made there the hub could not read."""
    installed.booted.do("smon-hub", "backup")
    data = installed.booted.root / "var/lib/smon/hub"
    assert list(data.glob("backups/*.db"))
    assert {path.stat().st_uid for path in data.rglob("*")} == {data.stat().st_uid}


def test_installing_again_changes_nothing_and_does_not_interrupt(installed):
    before = installed.booted.facts(HUB, "MainPID") + installed.booted.facts(AGENT, "MainPID")
    assert "hub.ini was there and stays" in installed.installer("hub")
    installed.installer()
    assert installed.booted.facts(HUB, "MainPID") + installed.booted.facts(AGENT, "MainPID") == before


def test_a_newer_program_is_taken_up(installed):
    """The record says that the older one was ours: it makes room, and the service starts anew."""
    before, = installed.booted.facts(AGENT, "MainPID")
    installed.booted.do("sh", "-c", "cd /opt/smon/agent && echo '# older' >> smon_agent.py && sed -i \"s/$(sha256sum "
                        "/opt/stick/*/smon_agent.py | cut -c1-64)/$(sha256sum smon_agent.py | cut -c1-64)/\" "
                        "installed.json")
    installed.installer()
    assert "# older" not in installed.booted.do("tail", "-1", "/opt/smon/agent/smon_agent.py")
    assert installed.booted.facts(AGENT, "MainPID") != [before]


def test_a_service_that_dies_comes_back(installed):
    before, = installed.booted.facts(HUB, "MainPID")
    installed.booted.do("systemctl", "kill", "--signal=KILL", HUB)
    until(lambda: installed.booted.facts(HUB, "ActiveState", "MainPID") not in
          (["active", before], ["activating", "0"]), "The restart of the hub")
    until(installed.sampled, "The hub's first answer")


def test_both_are_there_after_a_reboot_with_their_data(installed):
    known = [server["id"] for server in until(installed.sampled, "The hub's answer")]
    samples = installed.booted.root / "var/lib/smon/agent/sent"
    before = set(samples.iterdir())
    installed.booted.off()
    installed.booted.on()
    until(installed.sampled, "The hub's first answer")
    until(lambda: set(samples.iterdir()) - before, "The first sample after the reboot")
    assert [server["id"] for server in installed.servers()] == known


def test_uninstalling_leaves_config_and_data_until_told_otherwise(installed):
    installed.installer("uninstall")
    installed.installer("hub", "uninstall", "--purge")
    places = ("etc/systemd/system/**/smon*", "usr/local/**/smon*", "opt/smon/*", "etc/smon/*", "var/lib/smon/*")
    left = [path for pattern in places for path in installed.booted.root.glob(pattern)]
    assert [path.name for path in left] == ["agent.json", "agent"]
    assert installed.booted.run("systemctl", "is-active", HUB, AGENT).stdout.split() == ["inactive", "inactive"]
