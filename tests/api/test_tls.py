"""HTTPS by the hub itself: its certificate, a renewed one, and what browsers are told over it."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.hub import inside
from tests.support import needs
from tests.support.processes import HubProcess, until

LOGIN = {"username": "anna", "password": " a long password "}


def make_certificate(folder) -> bytes:
    """Put cert.pem and key.pem there; the certificate as a client sees it."""
    openssl = needs.program("openssl", why="certificates are made with it")
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "key.pem"),
                    "-out", str(folder / "cert.pem"), "-days", "2", "-subj", "/CN=127.0.0.1"], check=True,
                   stderr=subprocess.DEVNULL)
    return ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text())


class TlsHub(HubProcess):
    """Called with urllib, which looks at no certificate here: which one it is, is what is tested."""

    def _answers(self) -> bool:
        return not self.running or "Listening" in self.log

    def ask(self, path, body=None, headers=None):
        """(status, headers, JSON)"""
        request = urllib.request.Request(
            "https://127.0.0.1:%d%s" % (self.port, path), body and json.dumps(body).encode(),
            dict({"Content-Type": "application/json"}, **(headers or {})))
        try:
            answer = urllib.request.urlopen(request, timeout=30, context=ssl._create_unverified_context())
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read().decode("utf-8")
            return answer.status, answer.headers, json.loads(text) if text.startswith("{") else text

    def certificate(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", self.port)))


@pytest.fixture
def tls_hub(tmp_path):
    first = make_certificate(tmp_path)
    with TlsHub(tmp_path / "data", "--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"),
                "--hsts", "on") as hub:
        assert hub.certificate() == first
        yield hub


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP here")
def test_a_renewed_certificate_is_taken_up_and_nobody_is_logged_out(tls_hub, tmp_path):
    code = (tmp_path / "data" / "setup-code").read_text().strip()
    status, headers, _ = tls_hub.ask("/api/setup", dict(LOGIN, code=code))
    assert status == 201 and headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
    cookie = {"Cookie": headers["Set-Cookie"].partition(";")[0]}

    (tmp_path / "cert.pem").write_text("no certificate")
    tls_hub.process.send_signal(signal.SIGHUP)
    until(lambda: "can not be used" in tls_hub.log, "The refusal of a certificate that is none")
    assert tls_hub.ask("/api/dashboard", headers=cookie)[0] == 200

    second = make_certificate(tmp_path)
    tls_hub.process.send_signal(signal.SIGHUP)
    until(lambda: tls_hub.certificate() == second, "The renewed certificate")
    assert tls_hub.ask("/api/dashboard", headers=cookie)[0] == 200
    assert tls_hub.ask("/api/session", LOGIN)[1]["Set-Cookie"].endswith("; Secure")


def test_browsers_are_told_to_come_by_https_alone_when_that_is_asked_for(tls_hub):
    assert tls_hub.ask("/login")[1]["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("options, proto, told", [
    (("--hsts", "on"), "https", "max-age=31536000"), (("--hsts", "on"), "http", None), ((), "https", None)])
def test_behind_a_proxy_the_browsers_way_decides(tmp_path, options, proto, told):
    with inside.running(tmp_path / "data", "--trusted-proxies", inside.STRANGER, *options) as hub:
        answer = hub.ask("GET", "/", headers={"X-Forwarded-Proto": proto})
        assert (answer.status, answer.headers.get("strict-transport-security")) == (200, told)
