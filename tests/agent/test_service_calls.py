"""What service managers are asked for, and the word that each of their answers becomes."""

from __future__ import annotations

import os
import sys

import pytest

import smon_agent

LISTING_FLAGS = {"--type", "--all", "--full", "--plain", "--no-legend", "--no-pager"}
LEGEND = "UNIT LOAD ACTIVE SUB DESCRIPTION"
FOOTER = "LOAD   = Reflects whether the unit definition was properly loaded."
NOBODY = {"services": "No service manager that the agent knows runs here."}
LONG = "systemd-cryptsetup@luks\\x2d3c9e1f52\\x2dd0b4\\x2d4f1e"


class Systemctl:
    """systemctl as its manual says: what it prints depends on its flags. `shown`: the units asked about."""

    def __init__(self) -> None:
        self.units: dict = {}
        self.shown: list = []

    def add(self, name: str, active: str = "active", sub: str = "running", **facts) -> None:
        self.units[name] = dict({"Id": name, "Description": "About " + name, "LoadState": "loaded",
                                 "ActiveState": active, "SubState": sub, "UnitFileState": "enabled", "MainPID": "0",
                                 "NRestarts": "0", "Result": "success", "Environment": "PASSWORD=secret"}, **facts)

    def __call__(self, arguments: list) -> str:
        words = arguments[1:]
        end = words.index("--") if "--" in words else len(words)
        flags = dict(word.partition("=")[::2] for word in words[:end] if word.startswith("-"))
        unknown = set(flags) - LISTING_FLAGS - {"--property"}
        if unknown:
            raise OSError("systemctl failed (1): unrecognized option '%s'" % unknown.pop())
        assert "--no-pager" in flags, "a pager may wait for ever"
        verb, *names = [word for word in words[:end] if not word.startswith("-")] + words[end + 1:]
        return {"list-units": self._list_units, "show": self._show}[verb](flags, names)

    def _list_units(self, flags: dict, names: list) -> str:
        lines = []
        for name, facts in self.units.items():
            other = flags.get("--type") == "service" and not name.endswith(".service")
            if not other and ("--all" in flags or facts["ActiveState"] != "inactive"):
                name = name if "--full" in flags or len(name) <= 40 else name[:39] + "\u2026"
                mark = "" if "--plain" in flags else "\u00d7 " if facts["ActiveState"] == "failed" else "  "
                states = [facts[key] for key in ("LoadState", "ActiveState", "SubState", "Description")]
                lines.append(mark + " ".join([name] + states))
        return "\n".join(lines if "--no-legend" in flags else [LEGEND] + lines + ["", FOOTER]) + "\n"

    def _show(self, flags: dict, names: list) -> str:
        self.shown += names
        assert "--property" in flags, "a unit has two hundred properties, and systemd computes them anew"
        wanted = flags["--property"].split(",")
        ghost = {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead", "UnitFileState": "",
                 "MainPID": "0", "NRestarts": "0", "Result": "success"}
        blocks = [self.units.get(name, dict(ghost, Id=name, Description=name)) for name in names]
        return "\n\n".join("\n".join("%s=%s" % (key, facts[key]) for key in facts if key in wanted)
                           for facts in blocks) + "\n"


@pytest.fixture
def systemctl(monkeypatch):
    fake = Systemctl()
    monkeypatch.setattr(smon_agent, "run_child", fake)
    monkeypatch.setattr(smon_agent, "first_present", lambda paths: paths[0])
    fake.add("nginx.service", MainPID="4242", NRestarts="3", Description="A web server")
    fake.add("bad.service", "failed", "failed", Result="exit-code")
    fake.add("cron.service", "inactive", "dead", UnitFileState="disabled")
    fake.add("loop.service", "activating", "auto-restart", Result="exit-code", NRestarts="17")
    fake.add("masked.service", "inactive", "dead", LoadState="masked", UnitFileState="")
    fake.add("once.service", "active", "exited", UnitFileState="static")
    fake.add("spoilt.service", "inactive", "dead", LoadState="bad-setting", UnitFileState="")
    fake.add(LONG + ".service", UnitFileState="generated")
    fake.add("dbus.socket", "active", "running", Description="A socket")
    fake.add("daily.timer", "active", "waiting", Description="A timer")
    fake.add("srv-data.mount", "active", "mounted", Description="A mount")
    fake.add("network.target", "active", "active", Description="A target")
    fake.add("-.mount", "active", "mounted", Description="Root Mount")
    return fake


def row(name, status, start_type, pid=None, restarts=0, display_name=None):
    return {"service_name": name, "status": status, "start_type": start_type, "pid": pid, "restarts": restarts,
            "display_name": display_name or "About %s.service" % name}


ROWS = [
    row("bad", "failed", "enabled"),
    row("cron", "stopped", "disabled"),
    row("loop", "failed", "enabled", restarts=17),
    row("masked", "stopped", "masked"),
    row("nginx", "running", "enabled", pid=4242, restarts=3, display_name="A web server"),
    row("once", "exited", "static"),
    row("spoilt", "error", "bad-setting"),
    row(LONG, "running", "generated"),
]


def test_a_discovery_reports_each_service_whole_and_nothing_else(systemctl):
    assert smon_agent.Systemd().rows([]) == ROWS


@pytest.mark.parametrize("name", ["$(reboot).service", "a;b.service", "--all.service", "x\u202egnp.service",
                                  "m\u00fcll.service", "a" * 249 + ".service"])
def test_a_discovered_unit_with_a_hostile_name_is_left_out(systemctl, name):
    systemctl.add(name)
    assert smon_agent.Systemd().rows([]) == ROWS and name not in systemctl.shown


@pytest.mark.parametrize("active, sub, again", [
    ("activating", "start", True),
    ("deactivating", "stop-sigterm", True),
    ("reloading", "reload", True),
    ("failed", "failed", True),
    ("active", "running", False),
    ("active", "exited", False),
    ("inactive", "dead", False),
])
def test_a_state_that_hides_restarts_is_looked_at_again_each_cycle(systemctl, active, sub, again):
    systemctl.units.clear()
    systemctl.add("nginx.service", active, sub, MainPID=str(os.getpid()))
    systemd = smon_agent.Systemd()
    seen = []
    for restarts in "012":
        systemctl.units["nginx.service"]["NRestarts"] = restarts
        seen += [row["restarts"] for row in systemd.rows([])]
    assert seen == ([0, 1, 2] if again else [0, 0, 0])
    assert systemctl.shown == ["nginx.service"] * (3 if again else 1)


@pytest.mark.parametrize("name, display_name", [
    ("dbus.socket", "A socket"), ("daily.timer", "A timer"), ("srv-data.mount", "A mount"),
    ("network.target", "A target"), ("nginx.service", "A web server"), ("nginx", "A web server"),
    ("-.mount", "Root Mount")])
def test_a_listed_unit_of_another_type_keeps_its_suffix(systemctl, name, display_name):
    [found] = smon_agent.Systemd().rows([name])
    assert (found["service_name"], found["display_name"], found["status"]) == (name, display_name, "running")


def test_a_listed_unit_that_systemd_does_not_know_is_shown_so(systemctl):
    assert smon_agent.Systemd().rows(["ghost"]) == [
        row("ghost", "unknown", "not-found", display_name="ghost.service")]


def python(text: str) -> list:
    return [sys.executable, "-S", "-c", text]


@pytest.fixture
def open_stdin():
    """Something to read on this process's own standard input."""
    kept, (reading, writing) = os.dup(0), os.pipe()
    os.write(writing, b"typed here\n")
    os.close(writing)
    os.dup2(reading, 0)
    yield
    os.dup2(kept, 0)
    os.close(kept)
    os.close(reading)


def test_a_child_reads_nothing_of_ours(open_stdin):
    assert smon_agent.run_child(python("import os; print(os.read(0, 100), os.readlink('/proc/self/fd/0'))")) == \
        "b'' /dev/null\n"


def test_a_child_gets_three_variables_and_nothing_of_ours(monkeypatch):
    for name in ("NOTIFY_SOCKET", "LD_PRELOAD_OF_OURS", "SYSTEMD_PAGER", "LANG"):
        monkeypatch.setenv(name, "ours")
    assert sorted(smon_agent.run_child(["/usr/bin/env"]).splitlines()) == [
        "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_COLORS=0"]


def test_a_child_ends_before_its_collector_counts_as_late():
    assert 0 < smon_agent.CHILD_SECONDS < smon_agent.COLLECTOR_SECONDS


def test_a_program_that_fails_is_still_read_if_it_printed_something():
    assert smon_agent.run_child(python("import sys; print('nginx'); sys.exit(3)")) == "nginx\n"


@pytest.fixture
def services(machine, options):
    """On a machine with these paths and this first process: (the programs called, the rows, the errors)."""
    def collected(paths, first_process="systemd", says=""):
        calls: list = []
        errors: dict = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(smon_agent, "run_child", lambda arguments: calls.append(arguments) or says)
            patch.setattr(smon_agent, "read_text", lambda path, default=None:
                          first_process + "\n" if path == "/proc/1/comm" else default)
            patch.setattr(os.path, "isdir", lambda path: path in paths)
            patch.setattr(os.path, "exists", lambda path: path in paths)
            patch.delattr(smon_agent.psutil, "win_service_iter", raising=False)
            rows = smon_agent.collect_services(machine, options, errors)
        return calls, rows, errors
    return collected


SYSTEMD = ["/run/systemd/system", "/usr/bin/systemctl"]
OPENRC = ["/run/openrc", "/sbin/rc-status"]


@pytest.mark.parametrize("paths, first_process, called", [
    (SYSTEMD, "systemd", ["/usr/bin/systemctl", "list-units"]),
    (["/run/systemd/system", "/bin/systemctl"], "systemd", ["/bin/systemctl", "list-units"]),
    (SYSTEMD + OPENRC + ["/usr/sbin/service"], "init", ["/usr/bin/systemctl", "list-units"]),
    (OPENRC, "init", ["/sbin/rc-status", "--servicelist", "--nocolor"]),
    (["/lib/rc/init.d", "/bin/rc-status"], "openrc-init", ["/bin/rc-status", "--servicelist", "--nocolor"]),
    (["/run/openrc", "/usr/bin/rc-status"], "init", ["/usr/bin/rc-status", "--servicelist", "--nocolor"]),
    (OPENRC + ["/usr/bin/systemctl", "/sbin/service"], "init", ["/sbin/rc-status", "--servicelist", "--nocolor"]),
    (["/usr/sbin/service"], "init", ["/usr/sbin/service", "--status-all"]),
    (["/sbin/service", "/usr/bin/systemctl", "/sbin/rc-status"], "init", ["/sbin/service", "--status-all"]),
])
def test_the_service_manager_that_runs_the_machine_is_asked(services, paths, first_process, called):
    [call], _, errors = services(paths, first_process)
    assert (call[:2] if call[1] == "list-units" else call) == called
    assert errors == {}


@pytest.mark.parametrize("paths, first_process", [
    (["/usr/bin/systemctl"], "systemd"),
    (["/run/systemd/system"], "systemd"),
    (["/sbin/rc-status"], "python3"),
    (["/run/openrc"], "init"),
    (["/usr/sbin/service"], "python3"),
    (["/usr/sbin/service"], "systemd"),
    ([], "init"),
])
def test_a_program_without_its_service_manager_is_not_asked(services, paths, first_process):
    assert services(paths, first_process) == ([], [], NOBODY)


@pytest.mark.parametrize("state, word", [
    ("started", "running"), ("stopped", "stopped"), ("crashed", "failed"), ("starting", "starting"),
    ("stopping", "stopped"), ("inactive", "starting"), ("unsupervised", "failed"), ("scheduled", "unknown"),
])
def test_a_state_of_openrc_has_a_word_of_the_hub(services, state, word):
    _, [found], _ = services(OPENRC, says=" sshd                       [  %s  ]\n" % state)
    assert (found["service_name"], found["status"]) == ("sshd", word)


@pytest.mark.parametrize("state, word", [("+", "running"), ("-", "stopped"), ("?", "unknown")])
def test_a_state_of_sysv_has_a_word_of_the_hub(services, state, word):
    _, [found], _ = services(["/usr/sbin/service"], "init", says=" [ %s ]  cron\n" % state)
    assert (found["service_name"], found["status"]) == ("cron", word)


@pytest.mark.parametrize("state, word", [
    ("active", "running"), ("reloading", "running"), ("refreshing", "running"), ("activating", "starting"),
    ("deactivating", "stopped"), ("inactive", "stopped"), ("failed", "failed"), ("maintenance", "unknown"),
])
def test_a_state_of_systemd_has_a_word_of_the_hub(systemctl, state, word):
    systemctl.add("nginx.service", state, "any")
    rows = {row["service_name"]: row["status"] for row in smon_agent.Systemd().rows([])}
    assert rows["nginx"] == word


class WindowsService:
    """One service as psutil shows it."""

    def __init__(self, state: str) -> None:
        self._state = state

    def name(self) -> str:
        return "Spooler"

    def as_dict(self) -> dict:
        return {"name": "Spooler", "display_name": "Druckwarteschlange", "status": self._state,
                "start_type": "automatic", "pid": None}


@pytest.mark.parametrize("state, word", [
    ("running", "running"), ("stopped", "stopped"), ("start_pending", "starting"), ("stop_pending", "stopped"),
    ("continue_pending", "starting"), ("pause_pending", "paused"), ("paused", "paused"), ("resting", "unknown"),
])
def test_a_state_of_windows_has_a_word_of_the_hub(machine, options, fake_psutil, state, word):
    fake_psutil(win_service_iter=lambda: iter([WindowsService(state)]), win_service_get=None)
    [found] = smon_agent.collect_services(machine, options, {})
    assert (found["service_name"], found["status"]) == ("Spooler", word)
