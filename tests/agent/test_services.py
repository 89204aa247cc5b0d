"""Services, by recorded outputs of systemd 252 and recorded objects of Windows; OpenRC and SysV by their formats."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil
import pytest

import smon_agent

SAMPLES = Path(__file__).parent / "samples"


def recorded(name: str) -> str:
    return (SAMPLES / ("systemd252_%s.txt" % name)).read_text(encoding="utf-8")


def test_a_listing_gives_every_loaded_unit_and_no_ghost():
    units = smon_agent.parse_units(recorded("list_units_plain"))
    assert units["nginx.service"] == ("loaded", "active", "running")
    assert units["bad.service"] == ("loaded", "failed", "failed")
    assert units["flapping.service"] == ("loaded", "activating", "auto-restart")
    assert {"inst@one.service", "getty@tty1.service"} <= set(units)
    assert not {"ghost.service", "auditd.service"} & set(units)


def test_a_bullet_before_a_failed_unit_does_not_cost_its_name():
    assert smon_agent.parse_units(recorded("list_units_not_plain")) == \
        smon_agent.parse_units(recorded("list_units_plain"))


def test_a_waiting_job_adds_a_column_and_changes_nothing():
    line = "cron.service loaded activating start start Regular background program processing daemon\n"
    assert smon_agent.parse_units(line) == {"cron.service": ("loaded", "activating", "start")}


@pytest.mark.parametrize("facts, status", [
    ({"ActiveState": "active", "SubState": "running"}, "running"),
    ({"ActiveState": "active", "SubState": "exited"}, "exited"),
    ({"ActiveState": "reloading", "SubState": "reload"}, "running"),
    ({"ActiveState": "inactive", "SubState": "dead"}, "stopped"),
    ({"ActiveState": "failed", "SubState": "failed"}, "failed"),
    ({"ActiveState": "activating", "SubState": "start"}, "starting"),
    ({"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}, "failed"),
    ({"ActiveState": "activating", "SubState": "auto-restart", "Result": "success"}, "starting"),
    ({"LoadState": "not-found", "ActiveState": "inactive"}, "unknown"),
    ({"LoadState": "bad-setting", "ActiveState": "inactive"}, "error"),
    ({"ActiveState": "a state of the future"}, "unknown"),
])
def test_a_state_of_systemd_has_one_word(facts, status):
    assert smon_agent.systemd_status(dict({"LoadState": "loaded"}, **facts)) == status


def test_a_unit_becomes_a_row():
    rows = [smon_agent.systemd_row(facts["Id"], facts) for facts in smon_agent.parse_show(recorded("show_named"))]
    assert rows[1] == {"service_name": "nginx.service", "status": "running", "start_type": "enabled", "pid": 89,
                       "display_name": "A high performance web server and a reverse proxy server", "restarts": 0}
    assert rows[4]["display_name"] == "A good long running service \u2014 with \xfcn\xefcode"
    assert [row["start_type"] for row in rows[:3]] == ["not-found", "enabled", "masked"]
    assert smon_agent.systemd_row("old", {"ActiveState": "active"})["restarts"] is None


class FakeSystemctl:
    """systemctl from the recorded outputs; `calls` says what was asked."""

    def __init__(self) -> None:
        self.calls: list = []
        self.listing = recorded("list_units_plain")
        blocks = smon_agent.parse_show(recorded("show_all_services_utf8_all"))
        self.facts = {block["Id"]: dict(block, MainPID="0") for block in blocks}

    def __call__(self, arguments: list) -> str:
        self.calls.append(arguments)
        if arguments[1] == "list-units":
            return self.listing
        names = arguments[arguments.index("--") + 1:]
        missing = {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead", "UnitFileState": ""}
        return "\n\n".join("\n".join("%s=%s" % pair for pair in self.facts.get(name, dict(missing, Id=name)).items())
                           for name in names) + "\n"

    def shown(self) -> list:
        """The units asked about since the last time."""
        found = [name for call in self.calls if call[1] == "show" for name in call[call.index("--") + 1:]]
        self.calls.clear()
        return found


@pytest.fixture
def systemctl(monkeypatch):
    fake = FakeSystemctl()
    monkeypatch.setattr(smon_agent, "run_child", fake)
    monkeypatch.setattr(smon_agent, "first_present", lambda paths: paths[0])
    return fake


RESTLESS = {"bad.service", "crashloop.service", "flapping.service", "oom.service"}


def test_a_steady_machine_is_asked_only_for_its_listing_and_the_restless(systemctl):
    systemd = smon_agent.Systemd()
    first = systemd.rows([])
    assert set(systemctl.shown()) == set(smon_agent.parse_units(systemctl.listing))
    assert systemd.rows([]) == first
    assert len(systemctl.calls) == 2
    assert RESTLESS <= set(systemctl.shown()) and len(systemctl.shown()) == 0


def test_a_unit_that_changed_is_asked_about(systemctl):
    systemd = smon_agent.Systemd()
    systemd.rows([])
    systemctl.calls.clear()
    systemctl.listing = systemctl.listing.replace("cron.service                         loaded    active     running",
                                                  "cron.service                         loaded    inactive   dead")
    systemctl.facts["cron.service"].update(ActiveState="inactive", SubState="dead")
    rows = {row["service_name"]: row["status"] for row in systemd.rows([])}
    assert rows["cron"] == "stopped" and "cron.service" in systemctl.shown()


def test_a_service_whose_process_is_gone_is_asked_about(systemctl):
    systemctl.facts["cron.service"]["MainPID"] = "999999999"
    systemd = smon_agent.Systemd()
    systemd.rows([])
    systemctl.calls.clear()
    systemd.rows([])
    assert "cron.service" in systemctl.shown()


def test_a_unit_that_went_away_is_no_longer_reported(systemctl):
    systemd = smon_agent.Systemd()
    systemd.rows([])
    systemctl.listing = "\n".join(line for line in systemctl.listing.splitlines() if not line.startswith("cron."))
    assert "cron" not in {row["service_name"] for row in systemd.rows([])}


def test_everything_is_looked_at_again_each_hour(systemctl, monkeypatch):
    systemd = smon_agent.Systemd()
    systemd.rows([])
    systemctl.calls.clear()
    now = smon_agent.time.monotonic()
    monkeypatch.setattr(smon_agent.time, "monotonic", lambda: now + 3601)
    systemd.rows([])
    assert "cron.service" in systemctl.shown()


def test_two_thousand_units_are_asked_about_in_parts(systemctl):
    systemctl.listing = "".join("u%04d.service loaded active running x\n" % number for number in range(2000))
    assert len(smon_agent.Systemd().rows([])) == 2000
    assert max(len(call) for call in systemctl.calls) < 210


def test_listed_services_come_in_their_order_and_under_their_names(systemctl):
    rows = smon_agent.Systemd().rows(["nginx", "nosuch", "cron.service"])
    assert [(row["service_name"], row["status"]) for row in rows] == [
        ("nginx", "running"), ("nosuch", "unknown"), ("cron.service", "running")]
    assert [call[1] for call in systemctl.calls] == ["show"]


def test_a_name_that_systemctl_refuses_spoils_only_itself(systemctl, monkeypatch):
    def refusing(arguments: list) -> str:
        names = [name for name in arguments[arguments.index("--") + 1:] if name != "getty@.service"]
        if not names:
            raise OSError("systemctl failed (1): Unit name getty@.service is missing the instance name.")
        return systemctl(arguments[:arguments.index("--") + 1] + names)
    monkeypatch.setattr(smon_agent, "run_child", refusing)
    rows = smon_agent.Systemd().rows(["nginx", "getty@", "cron"])
    assert [(row["service_name"], row["status"]) for row in rows] == [
        ("nginx", "running"), ("getty@", "unknown"), ("cron", "running")]


def test_a_child_gets_a_clean_environment(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    seen = json.loads(smon_agent.run_child([sys.executable, "-c",
                                            "import os, json; print(json.dumps(dict(os.environ)))"]))
    assert "NOTIFY_SOCKET" not in seen and seen["PATH"] == smon_agent.CHILD_ENVIRONMENT["PATH"]


def test_a_child_that_hangs_or_fails_is_a_sentence(monkeypatch):
    monkeypatch.setattr(smon_agent, "CHILD_SECONDS", 0.3)
    with pytest.raises(TimeoutError, match="no answer within 0.3 seconds"):
        smon_agent.run_child([sys.executable, "-c", "import time; time.sleep(20)"])
    monkeypatch.setattr(smon_agent, "CHILD_SECONDS", 10)
    with pytest.raises(OSError, match="Failed to connect to bus"):
        smon_agent.run_child([sys.executable, "-c", "import sys; sys.exit('Failed to connect to bus')"])


def test_without_a_known_service_manager_the_reason_is_said(machine, options, monkeypatch):
    monkeypatch.setattr(smon_agent, "SERVICE_SOURCES", ((lambda: False, None),))
    errors: dict = {}
    assert smon_agent.collect_services(machine, options, errors) == []
    assert errors == {"services": "No service manager that the agent knows runs here."}


def test_no_discovery_without_a_list_asks_nobody(machine, options, monkeypatch):
    monkeypatch.setattr(smon_agent, "SERVICE_SOURCES", ((lambda: pytest.fail("asked"), None),))
    options.auto_discover_services = False
    assert smon_agent.collect_services(machine, options, {}) == []


class WindowsService:
    """As psutil shows one; recorded on a German Windows Server, where names and states stay English."""

    def __init__(self, name: str, facts) -> None:
        self._name, self._facts = name, facts

    def name(self) -> str:
        return self._name

    def as_dict(self) -> dict:
        if isinstance(self._facts, Exception):
            raise self._facts
        return self._facts


WINDOWS = {
    "Spooler": WindowsService("Spooler", {"name": "Spooler", "display_name": "Druckwarteschlange", "status": "running",
                                          "start_type": "automatic", "pid": 2212, "username": "LocalSystem"}),
    "wuauserv": WindowsService("wuauserv", {"name": "wuauserv", "display_name": "Windows Update", "pid": None,
                                            "status": "stop_pending", "start_type": "manual"}),
    "WinDefend": WindowsService("WinDefend", psutil.AccessDenied(0)),
}


def win_service_get(name):
    if name not in WINDOWS:
        raise psutil.NoSuchProcess(0, name)
    return WINDOWS[name]


@pytest.fixture
def windows(fake_psutil):
    fake_psutil(win_service_iter=lambda: iter(WINDOWS.values()), win_service_get=win_service_get)


def test_windows_services_are_discovered_by_psutil(windows, machine, options):
    rows = smon_agent.collect_services(machine, options, {})
    assert rows[0] == {"service_name": "Spooler", "display_name": "Druckwarteschlange", "status": "running",
                       "start_type": "automatic", "pid": 2212, "restarts": None}
    assert [row["status"] for row in rows] == ["running", "stopped", "error"]


def test_listed_windows_services_show_the_missing_one(windows, machine, options):
    options.monitored_services = ["W3SVC", "Spooler"]
    rows = smon_agent.collect_services(machine, options, {})
    assert [(row["service_name"], row["status"], row["start_type"]) for row in rows] == [
        ("W3SVC", "unknown", "not-found"), ("Spooler", "running", "automatic")]


OPENRC = """ sshd                                                              [  started  ]
 chronyd                                              [  started 00:12:33 (0) ]
 crond                                                             [  stopped  ]
 broken                                                            [  crashed  ]
"""
SYSV = """ [ + ]  cron
 [ - ]  apache2
 [ ? ]  hwclock.sh
"""


def test_openrc_and_sysv_listings_are_read(machine, monkeypatch):
    monkeypatch.setattr(smon_agent, "first_present", lambda paths: paths[0])
    monkeypatch.setattr(smon_agent, "run_child", lambda arguments: OPENRC)
    openrc, sysv = (rows for _, rows in smon_agent.SERVICE_SOURCES[-2:])
    assert {row["service_name"]: row["status"] for row in openrc(machine, [])} == {
        "sshd": "running", "chronyd": "running", "crond": "stopped", "broken": "failed"}
    monkeypatch.setattr(smon_agent, "run_child", lambda arguments: SYSV)
    assert [(row["service_name"], row["status"]) for row in sysv(machine, ["cron", "nosuch"])] == [
        ("cron", "running"), ("nosuch", "unknown")]
    assert [row["status"] for row in sysv(machine, [])] == ["stopped", "running", "unknown"]
