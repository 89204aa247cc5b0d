"""Places that messages go to, on 127.0.0.1: HTTP receivers, mail servers and syslog servers that do as a test says."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import ssl
import subprocess
import threading
from email import message_from_bytes, policy
from typing import Any, Dict, List, NamedTuple, Optional

from tests.support import needs


class Post(NamedTuple):
    path: str
    headers: Dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body.decode("utf-8"))


class Reply(NamedTuple):
    status: int = 200
    headers: Dict[str, str] = {}
    body: bytes = b"taken"


class HttpReceiver:
    """Keeps every POST in `.posts`. `replies` are given one after the other, then 200; Reply or a status."""

    def __init__(self, *replies: Any, tls: Any = None, port: int = 0):
        self.posts: List[Post] = []
        self.connects: List[str] = []  # hosts that a client wanted to be tunnelled to
        self.replies = list(replies)
        self.always: Optional[Any] = None
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                receiver.posts.append(Post(self.path, headers, body))
                receiver._answer(self)

            def do_CONNECT(self) -> None:
                receiver.connects.append(self.path)
                receiver._tunnel(self)

            def log_message(self, *arguments: Any) -> None:
                return
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = server_context(tls).wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = "http%s://127.0.0.1:%d" % ("s" if tls is not None else "", self.port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _answer(self, handler: Any) -> None:
        reply = self.replies.pop(0) if self.replies else self.always or Reply()
        reply = reply if isinstance(reply, Reply) else Reply(reply)
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body)

    def _tunnel(self, handler: Any) -> None:
        host, _, port = handler.path.rpartition(":")
        far = socket.create_connection((host, int(port)), 5)
        handler.send_response(200)
        handler.end_headers()
        threading.Thread(target=_pump, args=(far, handler.connection), daemon=True).start()
        _pump(handler.connection, far)
        handler.close_connection = True

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "HttpReceiver":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


class Hanging:
    """Takes connections and says nothing, or what it is told to, again and again, until it is closed."""

    def __init__(self, says: bytes = b"", every: float = 0.05):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        self.connected = threading.Event()
        self._says, self._every, self._over = says, every, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connected.set()
            threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with connection:
            try:
                while not self._over.wait(self._every):
                    if self._says:
                        connection.sendall(self._says)
            except OSError:
                return

    def __enter__(self) -> "Hanging":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which would keep the port
        self._listener.close()
        self._thread.join()


class SyslogServer:
    """Keeps what it is sent in `.lines`; protocol udp, tcp or tls. A stream is kept as it came, with its framing."""

    def __init__(self, protocol: str, tls: Any = None):
        self.lines: List[bytes] = []
        self.came = threading.Event()
        receiver = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                receiver.lines.append(self.request[0] if protocol == "udp" else _whole(self.request))
                receiver.came.set()
        kind = socketserver.ThreadingUDPServer if protocol == "udp" else socketserver.ThreadingTCPServer
        self._server = kind(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if protocol == "tls":
            self._server.socket = server_context(tls).wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> "SyslogServer":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Mail(NamedTuple):
    """A mail as a server took it: the envelope and the parsed content."""

    sender: str
    to: List[str]
    content: Any
    user: str
    encrypted: bool

    def part(self, subtype: str) -> str:
        return self.content.get_body((subtype,)).get_content()


class MailServer:
    """aiosmtpd with a will of its own.

    refuses: {recipient: reply}; data_replies: given to one message after the other, then 250; a user and password
    are asked for when `login` is (name, password). security: none, starttls or tls.
    """

    def __init__(self, security: str = "none", tls: Any = None, login: Optional[tuple] = None,
                 refuses: Optional[Dict[str, str]] = None, data_replies: Any = (), port: int = 0):
        try:
            from aiosmtpd.controller import Controller
            from aiosmtpd.smtp import AuthResult
        except ImportError:
            needs.package("aiosmtpd is not installed: mail is tested with it.")
        self.mails: List[Mail] = []
        self.refuses, self.data_replies = dict(refuses or {}), list(data_replies)
        self.attempts = 0
        context = server_context(tls) if security != "none" else None
        options: Dict[str, Any] = {"tls_context": context} if security == "starttls" else {}
        if login is not None:
            options.update(auth_required=True, auth_require_tls=security == "starttls", authenticator=lambda *given: (
                AuthResult(success=(given[4].login, given[4].password) == tuple(word.encode() for word in login),
                           handled=False, auth_data=given[4])))
        self._controller = Controller(self, hostname="127.0.0.1", port=port or _free_port(),
                                      ssl_context=context if security == "tls" else None, **options)
        self._controller.start()
        self.port = self._controller.port

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.attempts += 1
        reply = self.data_replies.pop(0) if self.data_replies else "250 taken"
        if reply.startswith("250"):
            login = session.auth_data.login.decode() if getattr(session, "auth_data", None) else ""
            content = message_from_bytes(envelope.content, policy=policy.default)
            encrypted = server.transport.get_extra_info("cipher") is not None
            self.mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), content, login, encrypted))
        return reply

    def close(self) -> None:
        self._controller.stop()

    def __enter__(self) -> "MailServer":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


def make_certificate(folder: Any) -> Any:
    """key.pem and cert.pem for 127.0.0.1 and localhost in a folder, signed by themselves."""
    openssl = needs.program("openssl", why="it makes the certificate of this test")
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(folder / "key.pem"),
                    "-out", str(folder / "cert.pem")], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return folder


def server_context(folder: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))
    return context


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _whole(connection: socket.socket) -> bytes:
    pieces = []
    while True:
        piece = connection.recv(65_536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while True:
            piece = source.recv(65_536)
            if not piece:
                break
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
