"""Certificates of both sides, tunnels, and what of that can change while the agent runs."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import List

import pytest

import smon_agent
from tests.agent.fake_hub import FakeHub
from tests.support import needs
from tests.support.processes import until


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    openssl = needs.program("openssl", why="certificates are made with it")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "key.pem"),
                    "-out", str(folder / "cert.pem"), "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    return folder


@pytest.fixture
def tls_hub(certificate):
    with FakeHub(tls=server_context(certificate)) as hub:
        yield hub


def server_context(certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate / "cert.pem"), str(certificate / "key.pem"))
    return context


def test_an_unknown_certificate_is_refused_and_named(start, tls_hub):
    agent = start("--once", hub=tls_hub, retry_attempts=1)
    assert agent.process.wait(20) == 3
    assert tls_hub.requests == [] and re.search("certificate", agent.log)


def test_a_certificate_of_the_sites_own_is_trusted_when_named(start, tls_hub, certificate):
    agent = start("--once", hub=tls_hub, ca_file=str(certificate / "cert.pem"))
    assert agent.process.wait(20) == 0
    assert len(tls_hub.samples) == 1 and "WARNING" not in agent.log


def test_a_key_with_a_password_is_an_error_and_never_asked_for(tls_hub, certificate, tmp_path):
    """Without a terminal OpenSSL would take the password from the standard input: it holds the right one."""
    locked = tmp_path / "locked.pem"
    subprocess.run([needs.program("openssl", why="keys are locked with it"), "rsa", "-aes256", "-passout", "pass:1234",
                    "-in", str(certificate / "key.pem"), "-out", str(locked)], check=True, stderr=subprocess.DEVNULL)
    (tmp_path / "config.json").write_text(json.dumps({
        "dashboard_url": tls_hub.url, "ca_file": str(certificate / "cert.pem"), "client_key": str(locked),
        "client_cert": str(certificate / "cert.pem")}))
    done = subprocess.run([sys.executable, smon_agent.__file__, str(tmp_path / "config.json"), "--check"],
                          input=b"1234\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                          timeout=20, check=False)
    assert done.returncode == 1 and b"client_cert and client_key do not fit or have a password" in done.stdout
    assert b"pass phrase" not in done.stderr + done.stdout


def test_an_unchecked_certificate_is_warned_about_at_each_start(start, tls_hub):
    warning = "verify_ssl is false: anybody on the way can pose as " + tls_hub.url
    for starts in (1, 2):
        agent = start("--once", hub=tls_hub, verify_ssl=False)
        assert agent.process.wait(20) == 0
        assert agent.log.count(warning) == starts


def test_check_says_how_long_the_certificate_is_valid(start, tls_hub, certificate):
    agent = start("--check", hub=tls_hub, ca_file=str(certificate / "cert.pem"))
    assert agent.process.wait(20) == 0
    assert re.search(r"Certificate: valid until \w+ +\d+ [\d:]+ 20\d\d GMT\.", agent.log)


# a hub that asks for a certificate

@pytest.fixture
def asking_hub(certificate):
    """It talks to nobody but the owner of this one certificate."""
    context = server_context(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(certificate / "cert.pem"))
    with FakeHub(tls=context) as hub:
        yield hub


def client_of(certificate) -> dict:
    return {"client_cert": str(certificate / "cert.pem"), "client_key": str(certificate / "key.pem")}


def test_a_hub_that_asks_for_a_certificate_gets_it(start, asking_hub, certificate):
    agent = start("--once", hub=asking_hub, ca_file=str(certificate / "cert.pem"), **client_of(certificate))
    assert agent.process.wait(20) == 0, agent.log
    assert len(asking_hub.samples) == 1


def test_a_certificate_and_its_key_may_lie_in_one_file(start, asking_hub, certificate, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes((certificate / "key.pem").read_bytes() + (certificate / "cert.pem").read_bytes())
    agent = start("--once", hub=asking_hub, ca_file=str(certificate / "cert.pem"), client_cert=str(both))
    assert agent.process.wait(20) == 0, agent.log


def test_without_it_the_sample_waits(start, asking_hub, certificate):
    agent = start("--once", hub=asking_hub, ca_file=str(certificate / "cert.pem"), retry_attempts=1)
    assert agent.process.wait(20) == 3
    assert asking_hub.requests == [] and len(list(agent.directory.glob("spool/*.gz"))) == 1


# changed while it runs

def waits_then_sends(agent, hub, **changes) -> None:
    """Nothing gets through until the options change; then everything that waited does, from the same process."""
    until(lambda: len(list(agent.directory.glob("spool/*.gz"))) >= 2, "Samples that wait; it said: " + agent.log)
    waiting = {path.name for path in agent.directory.glob("spool/*.gz")}
    assert hub.requests == []
    agent.config_path.write_text(json.dumps(dict(agent.config, **changes)))
    until(lambda: waiting <= {path.name for path in agent.directory.glob("sent/*.gz")}, "The samples that waited")
    assert agent.running


def test_a_ca_file_counts_without_a_restart(start, tls_hub, certificate):
    waits_then_sends(start(hub=tls_hub), tls_hub, ca_file=str(certificate / "cert.pem"))


def test_a_check_that_is_switched_off_is_off_without_a_restart(start, tls_hub):
    waits_then_sends(start(hub=tls_hub), tls_hub, verify_ssl=False)


def test_a_client_certificate_counts_without_a_restart(start, asking_hub, certificate):
    agent = start(hub=asking_hub, ca_file=str(certificate / "cert.pem"))
    waits_then_sends(agent, asking_hub, **client_of(certificate))


# through a proxy

class Tunnels:
    """A proxy that knows CONNECT alone, and leads every tunnel to one address."""

    def __init__(self, port: int) -> None:
        self.heads: List[str] = []
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the test is over
                return
            self.heads.append(self._head(client))
            hub = socket.create_connection(("127.0.0.1", self._target))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            for pair in ((client, hub), (hub, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _head(client: socket.socket) -> str:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        return head.decode("latin-1")

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one end hung up
            while target.send(source.recv(65536)):
                continue
        target.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def tunnels(tls_hub):
    proxy = Tunnels(tls_hub.port)
    yield proxy
    proxy.close()


def test_https_goes_through_a_tunnel_and_the_proxy_sees_no_key(start, tls_hub, tunnels, certificate):
    agent = start("--once", hub=tls_hub, ca_file=str(certificate / "cert.pem"),
                  proxy="http://user:p%40ss@" + tunnels.address)
    assert agent.process.wait(20) == 0, agent.log
    assert len(tls_hub.samples) == 1
    target = "127.0.0.1:%d" % tls_hub.port
    assert tunnels.heads and all(head.startswith("CONNECT %s HTTP/1." % target) for head in tunnels.heads)
    assert all("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in head for head in tunnels.heads)
    assert not [head for head in tunnels.heads if "Bearer" in head]
    assert not [request for request in tls_hub.requests if "proxy-authorization" in request.headers]


def test_the_name_of_the_hub_is_checked_through_the_tunnel(start, tls_hub, tunnels, certificate):
    agent = start("--once", dashboard_url="https://localhost:%d" % tls_hub.port, retry_attempts=1,
                  ca_file=str(certificate / "cert.pem"), proxy="http://" + tunnels.address)
    assert agent.process.wait(20) == 3
    assert tunnels.heads and tls_hub.requests == [] and "certificate" in agent.log
