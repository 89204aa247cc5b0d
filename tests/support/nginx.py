"""nginx as install/nginx.conf has it, on a free port of 127.0.0.1, in a folder of its own and without rights."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence

from tests.support import ROOT, needs, nobody
from tests.support.processes import ChildProcess, free_port, until

HOST = "127.0.0.1"
EXAMPLE = ROOT / "install" / "nginx.conf"
HUB = re.compile(r"^ *server 192\.0\.2\.[0-9]+:3000(.*;)$", re.MULTILINE)
PLAIN = "listen 80;"

# What a distribution has around the files of conf.d.
AROUND = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
    log_format hubs '$request_method\\t$uri\\t$status\\t$upstream_addr\\t$upstream_status';
    access_log {folder}/access.log hubs;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/smon.conf;
}}
"""


class Served(NamedTuple):
    """A line of the log: what was asked, what nginx answered, the hubs that were tried and what each of them said."""

    method: str
    path: str
    status: int
    ports: List[int]
    said: List[str]


class Nginx:
    """Leads to hubs on these ports. It answers by the time the constructor returns, until stop().

    port: its own, where something has to know it before. tls: a folder with cert.pem and key.pem.
    """

    def __init__(self, hubs: Sequence[int], port: Optional[int] = None, tls: Optional[Path] = None):
        program = needs.program("nginx", "/usr/sbin/nginx", why="hubs behind a proxy are tested with it")
        self.port = port or free_port()
        self.url = "http%s://%s:%d" % ("s" if tls else "", HOST, self.port)
        self.folder = nobody.folder("nginx")
        self._command = [*nobody.words(), program, "-p", str(self.folder), "-e", str(self.folder / "error.log"),
                         "-c", str(self.folder / "nginx.conf")]
        self._process: Optional[ChildProcess] = None
        self._lay_out(self._site(list(hubs), tls))
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def _lay_out(self, site: str) -> None:
        for name, text in (("smon.conf", site), ("nginx.conf", AROUND.format(folder=self.folder))):
            (self.folder / name).write_text(text, encoding="utf-8")
            nobody.give(self.folder / name)

    def _site(self, hubs: List[int], tls: Optional[Path]) -> str:
        """The example with other addresses, and with TLS as its comment says; nothing else is changed."""
        text = EXAMPLE.read_text(encoding="utf-8")
        assert len(HUB.findall(text)) == 2 and text.count(PLAIN) == 1, "The example has other lines than are known."
        text = HUB.sub("", text, 1)
        text = HUB.sub(lambda found: "\n".join("server %s:%d%s" % (HOST, port, found[1]) for port in hubs), text)
        if tls is None:
            return text.replace(PLAIN, "listen %s:%d;" % (HOST, self.port))
        for name in ("cert.pem", "key.pem"):  # nobody may not look into the folders of pytest
            nobody.give(Path(shutil.copy(str(tls / name), str(self.folder))))
        return (text.replace(PLAIN, "").replace("#tls ", "").replace("listen 443", "listen %s:%d" % (HOST, self.port))
                .replace("/etc/ssl/smon.crt", str(self.folder / "cert.pem"))
                .replace("/etc/ssl/smon.key", str(self.folder / "key.pem")))

    def start(self) -> None:
        self._process = ChildProcess([*self._command, "-g", "daemon off;"], self.folder / "output.log",
                                     cwd=self.folder)
        until(self._listens, "The first answer of nginx")

    def _listens(self) -> bool:
        assert self._process is not None and self._process.running, "nginx ended:\n" + self._process.log
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def check(self) -> str:
        """What `nginx -t` says."""
        return subprocess.run([*self._command, "-t"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True).stdout

    @property
    def errors(self) -> str:
        return (self.folder / "error.log").read_text(encoding="utf-8", errors="replace")

    def served(self) -> List[Served]:
        """What it was asked so far; a line is there a moment after its answer."""
        return [_read(line) for line in (self.folder / "access.log").read_text(encoding="utf-8").splitlines()]

    def stop(self) -> None:
        try:
            if self._process is not None and self._process.running:
                self._process.stop()
        finally:
            shutil.rmtree(str(self.folder), ignore_errors=True)

    def __enter__(self) -> "Nginx":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.stop()


def _read(line: str) -> Served:
    """Where several hubs were tried, nginx lists them with a comma between, or a colon after its own answer."""
    method, path, status, addresses, said = line.split("\t")
    return Served(method, path, int(status), [int(port) for port in re.findall(r":([0-9]+)", addresses)],
                  re.findall(r"[0-9]+", said))
