"""A Debian with a real systemd, booted in a container for one test; it may be switched off and on again.

Its root is made once by debootstrap and kept in the user's cache. The container shares the host's network, so what
runs in it binds to 127.0.0.1 and a free port; alone, it has a loopback of its own and no other network.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import List, Optional

import psutil

from tests.support import needs
from tests.support.processes import until

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")) / "smon-tests" / "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,python3"
BOOT_SECONDS, COMMAND_SECONDS = 120, 120


def root_tree(target: Path) -> Path:
    """A fresh root file system."""
    if os.name != "posix" or os.geteuid() != 0:
        needs.system("Only root can boot a systemd in a container.")
    for tool in ("systemd-nspawn", "nsenter"):
        if shutil.which(tool) is None:
            needs.system("There is no %s on this machine." % tool)
    if not CACHE.is_dir():
        _debootstrap()
    if subprocess.call(["cp", "-a", "--reflink=auto", str(CACHE), str(target)]) != 0:
        needs.system("There is no room for a root file system.")
    hosts = target / "etc" / "hosts"
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="utf-8")
    hosts.chmod(0o644)  # whatever the umask is: services of other users read it
    return target


def _debootstrap() -> None:
    if shutil.which("debootstrap") is None:
        needs.system("There is no debootstrap on this machine.")
    part = CACHE.with_name("part")
    shutil.rmtree(str(part), ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(["debootstrap", "--variant=minbase", "--include=" + PACKAGES, "bookworm", str(part)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if made.returncode != 0:
        needs.system("debootstrap could not make a root file system: " + made.stdout[-300:])
    part.rename(CACHE)


class Machine:
    """A booted container on a root file system, until off()."""

    def __init__(self, root: Path, log: Path, alone: bool = False):
        self.root, self._log = root, log
        self._network = ["--private-network"] if alone else []
        self._nspawn: Optional[subprocess.Popen] = None
        self._init = 0

    def on(self) -> None:
        """Boot, and wait until systemd says that it is up."""
        command = ["systemd-nspawn", "-D", str(self.root), "-b", "--register=no", "--keep-unit",
                   "--machine=smon%d" % os.getpid(), "--link-journal=no", "--console=pipe", "--resolv-conf=off",
                   *self._network]
        with open(str(self._log), "ab") as output:
            self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"))
        try:
            until(self._is_up, "The boot of the container", BOOT_SECONDS)
        except AssertionError as error:
            said = self._log.read_text(encoding="utf-8", errors="replace")
            ended = self._nspawn.poll() is not None
            self.off()
            if ended:
                needs.system("systemd-nspawn can not boot here: " + said[-300:])
            raise AssertionError("%s\n%s" % (error, said)) from None

    def _is_up(self) -> bool:
        """Its first process is looked for each time: systemd-nspawn begins with a child that makes it and ends."""
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise AssertionError("systemd-nspawn ended.")
        children = psutil.Process(self._nspawn.pid).children()
        self._init = children[0].pid if children else 0
        return bool(children) and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """A command inside, as root; its status and all that it said."""
        enter = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-p", "-n", "-C", "--root", "--wd=/"]
        return subprocess.run([*enter, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=COMMAND_SECONDS)

    def do(self, *words: str) -> str:
        """A command that has to succeed; what it said."""
        done = self.run(*words)
        assert done.returncode == 0, "%s\n%s" % (" ".join(words), done.stdout)
        return done.stdout

    def facts(self, unit: str, *names: str) -> List[str]:
        """Properties of a unit."""
        return [self.do("systemctl", "show", "--property=" + name, "--value", unit).strip() for name in names]

    def off(self) -> None:
        """Switch it off as its power button would; a container that does not listen is killed."""
        if self._nspawn is None:
            return
        if self._init and self._nspawn.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(self._init, signal.SIGRTMIN + 4)
        try:
            self._nspawn.wait(BOOT_SECONDS)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._nspawn, self._init = None, 0
