"""A program as a systemd service: for the whole machine, or with --user for the one who installs it."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import string
import subprocess
import sys
import time
from pathlib import Path
from typing import List, NamedTuple

from placing import Placing
from programs import HERE, Program, Unusable

ONLY_SYSTEM = "# The rest only the system's own manager can do."  # what a user's own manager can not
HIDDEN = [Path(name) for name in ("/home", "/root", "/run/user", "/tmp", "/var/tmp")]  # from a service
HUB_TELLS = "hub.json"            # in its data folder, while it answers
START_SECONDS, POLL_SECONDS = 30, 0.2
BOOTED = "/run/systemd/system"   # as sd_booted(3) looks
RUNNING, NOT_RUNNING = 0, 3      # systemctl's own exit statuses


class Places(NamedTuple):
    """Where the parts of one program lie on the installed system."""

    programs: Path
    config: Path
    state: Path
    unit: Path
    command: Path


def places(program: Program, user: bool) -> Places:
    if not user:
        return Places(Path("/opt/smon") / program.name, Path("/etc/smon") / program.config_name,
                      Path("/var/lib/smon") / program.name,
                      Path("/etc/systemd/system") / (program.service + ".service"),
                      Path("/usr/local/sbin") / program.service)
    home = Path.home()
    config, data, state = (Path(os.environ.get(name) or str(home / default)) for name, default in (
        ("XDG_CONFIG_HOME", ".config"), ("XDG_DATA_HOME", ".local/share"), ("XDG_STATE_HOME", ".local/state")))
    return Places(data / "smon" / program.name, config / "smon" / program.config_name, state / "smon" / program.name,
                  config / "systemd/user" / (program.service + ".service"), home / ".local/bin" / program.service)


def unit(program: Program, where: Places, user: bool, python: str) -> str:
    """The text of the unit."""
    text = (HERE / "systemd" / (program.service + ".service")).read_text(encoding="utf-8")
    if user:
        kept, _, rest = text.partition(ONLY_SYSTEM)
        text = kept.rstrip() + "\n\n[Install]" + rest.partition("[Install]")[2]
    return string.Template(text).substitute(
        python=python, programs=where.programs, config=where.config, user=program.user,
        target="default.target" if user else "multi-user.target")


class Service:
    """One program on this machine. options: what the command line gave."""

    def __init__(self, program: Program, options):
        self.program, self._options = program, options
        self.where = places(program, options.user)
        self.placing = Placing(self.where.programs, Path(options.root))
        self._image = Path(options.root) != Path("/")  # files only: nothing of it runs now

    @property
    def unit(self) -> str:
        return unit(self.program, self.where, self._options.user, python())

    def check_rights(self) -> None:
        """Raises Unusable, before anything is touched."""
        if self._image:
            return
        if not self._options.user and os.geteuid() != 0:
            raise Unusable("A service of the whole machine needs root: start this with sudo, or with --user for a "
                           "service of your own.")
        if not os.path.isdir(BOOTED):
            raise Unusable("systemd does not run this machine; `print` shows what another supervisor has to start.")
        if not self._options.user and any(folder in Path(python()).parents for folder in HIDDEN):
            raise Unusable("%s lies where a service can not read it; start this with the system's Python." % python())

    def prepare(self) -> None:
        """The folders, and for the whole machine the user that it runs as."""
        mode = 0o700 if self._options.user else 0o755
        for folder in (self.where.programs.parent, self.where.programs, self.where.config.parent,
                       self.where.unit.parent):
            self.placing.folder(folder, mode)
            self._check_owner(folder)
        if self._options.user:
            self.placing.folder(self.where.state, 0o700)
        elif not self._image and not _is_user(self.program.user):
            _run(["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                  "--shell", "/usr/sbin/nologin", self.program.user])

    def _check_owner(self, folder: Path) -> None:
        """What root places there, nobody else may replace. Raises Unusable."""
        owner = self.placing.at(folder).stat().st_uid
        if os.geteuid() == 0 and owner != 0:
            raise Unusable("%s belongs to user %d, who could replace what a service runs; give it to root." % (
                folder, owner))

    def config_mode(self) -> int:
        return 0o600 if self._options.user else 0o640

    def give_config(self) -> None:
        """Let the service read its config; it may hold a token, so nobody else does."""
        if not self._options.user and not self._image:
            shutil.chown(str(self.where.config), "root", self.program.user)

    def place_unit(self) -> None:
        self.placing.put(self.where.unit, self.unit.encode())
        if self.program.name == "hub":
            self.placing.folder(self.where.command.parent)
            self.placing.put(self.where.command, self._command_text().encode(), 0o755)

    def _command_text(self) -> str:
        """The hub's commands by a short name, as the user whose files they touch."""
        call = [python(), str(self.where.programs / "smon_server.pyz"), "--config", str(self.where.config)]
        become = [] if self._options.user else ["runuser", "-u", self.program.user, "--"]
        return "#!/bin/sh\nexec %s \"$@\"\n" % " ".join(map(shlex.quote, become + call))

    def start(self, changed: bool) -> None:
        """Start it now and at every boot; one that runs already starts anew only for a change."""
        if self._image:
            return
        self._systemctl("daemon-reload")
        self._systemctl("enable", "--quiet", self.program.service)
        self._systemctl("restart" if changed else "start", self.program.service)
        if self.program.name == "hub":
            self._wait_for_hub()

    def _wait_for_hub(self) -> None:
        """Until it answers: a command that is given before would open the data folder itself and keep the hub out."""
        told = self.where.state / HUB_TELLS
        for _ in range(int(START_SECONDS / POLL_SECONDS)):
            if told.exists():
                return
            time.sleep(POLL_SECONDS)
        raise Unusable("%s did not start within %d seconds; its log says why: journalctl -u %s" % (
            self.program.service, START_SECONDS, self.program.service))

    def stop(self) -> None:
        if not self._image and self.placing.at(self.where.unit).exists():
            self._systemctl("disable", "--quiet", "--now", self.program.service)

    def forget(self) -> None:
        if not self._image:
            self._systemctl("daemon-reload")

    def status(self) -> int:
        asked = subprocess.run(self._command("is-active", self.program.service), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, universal_newlines=True)
        print("%s: %s; config %s, data %s." % (self.program.service, asked.stdout.strip() or "unknown",
                                               self.where.config, self.where.state))
        return RUNNING if asked.returncode == 0 else NOT_RUNNING

    def hints(self) -> List[str]:
        scope = " --user" if self._options.user else ""
        lines = ["%s runs, now and after every boot; its log: journalctl%s -u %s" % (
            self.program.service, scope, self.program.service)]
        if self._options.user:
            lines.append("It ends when you log out; `loginctl enable-linger` lets it run always.")
        return lines

    def _systemctl(self, *words: str) -> None:
        _run(self._command(*words))

    def _command(self, *words: str) -> List[str]:
        return ["systemctl"] + (["--user"] if self._options.user else []) + list(words)


def python() -> str:
    """The Python of the service: this one, by the path that its packages belong to."""
    return os.path.abspath(sys.executable)


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _run(command: List[str]) -> None:
    """Raises Unusable with the command's own words."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    if done.returncode != 0:
        raise Unusable("`%s` failed: %s" % (" ".join(command), done.stdout.strip() or "status %d" % done.returncode))
