"""Two servers to hold the hub against: `python yardsticks.py no-store|commit-each PORT FOLDER`.

no-store is the hub's own front server and its own checks of a body, and nothing after them: what storing costs.
commit-each is the plain way: http.server, a thread for each connection, a commit for each request.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OK = b'{"status": "ok"}'
ANSWER_HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(OK)))]


def no_store(port: int, folder: Path) -> None:
    from smon_hub import bodies, serve, shapes
    from smon_hub.http import Reply

    shape_of = {"/api/metrics": bodies.SAMPLE, "/api/metrics/live": bodies.LIVE}

    def application(environ, start_response):
        if environ["REQUEST_METHOD"] == "POST":
            shapes.clean(shape_of[environ["PATH_INFO"]], shapes.parse(environ["smon.body"]))
        start_response("200 OK", ANSWER_HEADERS)
        return [OK]

    def error_reply(error):
        return Reply(error.status, [("Content-Type", "application/json")], json.dumps(error.body()).encode())

    server = serve.Server(application, error_reply, admit=lambda environ: ("loop", 1 << 20))
    server.bind("127.0.0.1", port)
    server.run()


class CommitEach(BaseHTTPRequestHandler):
    """Parses a sample and commits it before it answers; one connection to the database, one thread at a time."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    database: sqlite3.Connection

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        moment = json.loads(body.decode("utf-8"))["collected_at"]
        with self.lock, self.database:
            self.database.execute("INSERT INTO samples VALUES (?, ?, ?)", (self.headers["Authorization"], moment, body))
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in ANSWER_HEADERS:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(OK)

    def log_message(self, format, *args) -> None:
        """Says nothing: the hub does not write a line for each request either."""


class Threads(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def commit_each(port: int, folder: Path) -> None:
    CommitEach.wbufsize = -1  # one write an answer, as the hub does
    CommitEach.database = sqlite3.connect(str(folder / "yardstick.db"), check_same_thread=False)
    CommitEach.database.execute("PRAGMA journal_mode = WAL")
    CommitEach.database.execute("PRAGMA synchronous = FULL")
    CommitEach.database.execute("CREATE TABLE samples (server TEXT, at TEXT, body BLOB, UNIQUE (server, at))")
    Threads(("127.0.0.1", port), CommitEach).serve_forever()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    {"no-store": no_store, "commit-each": commit_each}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
