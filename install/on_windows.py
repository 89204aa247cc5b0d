"""A program as a task of the Windows Task Scheduler: started with the machine, or with --user at one's own logon.

It runs as LOCAL SERVICE, which may do less than any person. Folders under ProgramData are open to everybody unless
they are closed: the access lists name accounts by their fixed ids, whatever language Windows speaks.
"""

from __future__ import annotations

import ctypes
import os
import string
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple
from xml.sax.saxutils import escape

from placing import Placing
from programs import HERE, Program, Unusable

LOCAL_SERVICE, SYSTEM, ADMINISTRATORS = "S-1-5-19", "S-1-5-18", "S-1-5-32-544"
RUNNING, NOT_RUNNING = 0, 3
ARGUMENTS = {"agent": '-m smon_agent "%s"', "hub": 'smon_server.pyz --config "%s"'}
SENTENCES = {"agent": "smon agent: watches this machine and tells the hub",
             "hub": "smon hub: stores and shows what the agents send"}


class Places(NamedTuple):
    """Where the parts of one program lie."""

    programs: Path
    config: Path
    state: Path
    task: Path


def places(program: Program, user: bool, environment: Mapping[str, str] = os.environ, path: Any = Path) -> Places:
    data = path(environment["LOCALAPPDATA" if user else "ProgramData"]) / "smon"
    programs = (data / "programs" if user else path(environment["ProgramFiles"]) / "smon") / program.name
    return Places(programs, data / program.config_name, data / program.name, programs / (program.service + ".xml"))


def task(program: Program, where: Places, user: bool, python: str, name: str = "") -> str:
    """The task as XML. name: of the person whose task it is."""
    template = string.Template((HERE / "windows" / "task.xml").read_text(encoding="utf-8"))
    principal = ("<UserId>%s</UserId>\n      <LogonType>InteractiveToken</LogonType>" % escape(name) if user
                 else "<UserId>%s</UserId>" % LOCAL_SERVICE)
    return template.substitute(
        description=SENTENCES[program.name], trigger="LogonTrigger" if user else "BootTrigger", principal=principal,
        python=escape(python), arguments=escape(ARGUMENTS[program.name] % where.config),
        programs=escape(str(where.programs)))


def closing(where: Places) -> List[List[str]]:
    """The commands that leave config and data to administrators and to the service alone."""
    everyone = ["%s:(OI)(CI)F" % account for account in ("*" + SYSTEM, "*" + ADMINISTRATORS)]
    return [["icacls", str(where.config.parent), "/inheritance:r", "/grant:r", *everyone,
             "*%s:(OI)(CI)RX" % LOCAL_SERVICE],
            ["icacls", str(where.state), "/grant:r", "*%s:(OI)(CI)M" % LOCAL_SERVICE]]


class Service:
    """One program on this machine. options: what the command line gave."""

    def __init__(self, program: Program, options):
        self.program, self._options = program, options
        self.where = places(program, options.user)
        self.placing = Placing(self.where.programs, Path(options.root))

    @property
    def unit(self) -> str:
        owner = "%s\\%s" % (os.environ.get("USERDOMAIN", "."), os.environ.get("USERNAME", ""))
        return task(self.program, self.where, self._options.user, sys.executable, owner)

    def check_rights(self) -> None:
        """Raises Unusable, before anything is touched."""
        if not self._options.user and not ctypes.windll.shell32.IsUserAnAdmin():  # type: ignore[attr-defined]
            raise Unusable("A service of the whole machine needs administrator's rights: start this in a terminal "
                           "opened with `Run as administrator`, or with --user for a task of your own.")

    def prepare(self) -> None:
        """The folders, and who may enter them."""
        for folder in (self.where.programs, self.where.config.parent, self.where.state):
            self.placing.folder(folder)
        for command in [] if self._options.user else closing(self.where):
            _run(command)

    def config_mode(self) -> int:
        return 0o600

    def give_config(self) -> None:
        """It inherits the access list of its folder."""

    def place_unit(self) -> None:
        self.placing.put(self.where.task, self.unit.encode("utf-16"))

    def start(self, changed: bool) -> None:
        """Start it now and from then on with Windows; one that runs starts anew only for a change."""
        if changed:
            self._end()
            _run(["schtasks", "/Create", "/TN", self.program.service, "/XML", str(self.where.task), "/F"])
        _run(["schtasks", "/Run", "/TN", self.program.service])

    def stop(self) -> None:
        self._end()
        _run(["schtasks", "/Delete", "/TN", self.program.service, "/F"])

    def forget(self) -> None:
        """Nothing else knows of the task."""

    def status(self) -> int:
        asked = subprocess.run(["schtasks", "/Query", "/TN", self.program.service, "/FO", "LIST"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        print(asked.stdout.strip())
        return RUNNING if asked.returncode == 0 else NOT_RUNNING

    def hints(self) -> List[str]:
        return ["%s runs, now and after every start of Windows; its task is in the Task Scheduler." %
                self.program.service]

    def _end(self) -> None:
        """The agent ends by itself when it finds this file; what it is sending arrives first."""
        if self.program.name == "agent" and self.where.state.is_dir():
            (self.where.state / "agent.stop").touch()
        subprocess.run(["schtasks", "/End", "/TN", self.program.service], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


def _run(command: List[str]) -> None:
    """Raises Unusable with the command's own words."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    if done.returncode != 0:
        raise Unusable("`%s` failed: %s" % (" ".join(command), done.stdout.strip()))
