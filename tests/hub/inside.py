"""A hub in the process of its test, with a clock that the test moves. No socket: its WSGI door is called directly."""

from __future__ import annotations

import copy
import io
import itertools
import json
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from smon_hub import accounts, auth, bodies, clock, config, ingest, shapes
from smon_hub.fleet import Server
from smon_hub.hub import Hub
from smon_hub.web import agent_api
from smon_hub.web.call import Call
from tests.support.client import Answer
from tests.support.processes import LIVE, METRICS

START = clock.parse("2026-11-22T10:00:00Z")
STRANGER = "192.0.2.77"
HERE = "127.0.0.1"
PASSWORD = "correct horse"
_names = itertools.count(1)


class Clock:
    """What the hub under test takes for the wall clock."""

    def __init__(self, at: int):
        self.at = at

    def __call__(self) -> int:
        return self.at


class HubInside(Hub):
    """A hub that is open, not listening, at a moment that the test chooses."""

    def __init__(self, data_dir: Any, *options: str, at: int = START):
        self.now = Clock(at)  # type: ignore[method-assign, assignment]
        super().__init__(config.load(["--data-dir", str(data_dir), *options], {}))

    def pass_time(self, milliseconds: int) -> int:
        self.now.at += milliseconds  # type: ignore[attr-defined]
        return self.now()

    def register(self, caller: Optional[auth.Caller] = None, **fields: Any) -> Dict[str, Any]:
        """The answer of a registration, by default from this machine."""
        body = shapes.clean(bodies.REGISTER, dict({"hostname": "server-%d" % next(_names)}, **fields))
        return agent_api.register(self, Call(caller or auth.Caller("admin", HERE), {}, {}, body, self.now()))

    def server(self, **fields: Any) -> Server:
        """A new server."""
        return self.fleet.by_uuid[self.register(**fields)["server_id"]]

    def send(self, server: Server, metrics: Optional[Dict[str, Any]] = None, **members: Any) -> Dict[str, Any]:
        """Store one sample and return its answer; collected_at may be a moment."""
        return ingest.sample(self, server, sample(metrics, **members), self.now()).result(10)

    def send_batch(self, server: Server, *samples: Dict[str, Any]) -> Any:
        """Store several samples in one transaction; their results."""
        return ingest.samples(self, server, list(samples), self.now(), lambda results, _: results).result(10)

    def send_live(self, server: Server, **members: Any) -> Dict[str, Any]:
        body = shapes.clean(bodies.LIVE, _timed(dict(LIVE, **members)))
        return ingest.live(self, server, body, self.now()).result(10)

    def user(self, name: str = "anna", role: str = "admin", password: str = PASSWORD) -> Dict[str, str]:
        """The headers of a new user's browser that is logged in."""
        by = auth.Caller("admin", HERE, None, "setup", "local")
        accounts.add_user(self, by, {"name": name, "role": role, "password": password}, self.now())
        return self.log_in(name, password)

    def log_in(self, name: str = "anna", password: str = PASSWORD) -> Dict[str, str]:
        return {"Cookie": "smon_session=" + accounts.log_in(self, name, password, STRANGER, self.now()).token}

    def token(self, role: str = "viewer", **body: Any) -> Dict[str, str]:
        """The headers of a script with a new token."""
        by = auth.Caller("admin", HERE, None, "anna", "local")
        body = shapes.clean(bodies.API_TOKEN, dict({"name": "script", "role": role}, **body))
        return {"Authorization": "Bearer " + accounts.add_token(self, by, body, self.now())[0]}

    def rows(self, sql: str, *values: Any) -> Any:
        return self.engine.read().execute(sql, values).fetchall()

    def ask(self, method: str, path: str, body: Any = None, address: str = STRANGER,
            headers: Optional[Dict[str, str]] = None, host: str = "192.0.2.1:3000") -> Answer:
        """One request from any address, which no socket of a test could come from. Bytes are sent as they are."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path.partition("?")[0], "SERVER_NAME": "hub",
                   "QUERY_STRING": path.partition("?")[2], "REMOTE_ADDR": address, "HTTP_HOST": host,
                   "SERVER_PORT": "3000", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
                   "wsgi.input": io.BytesIO(content), "CONTENT_LENGTH": str(len(content)),
                   "CONTENT_TYPE": "application/json" if content else ""}
        environ.update(("HTTP_" + name.upper().replace("-", "_"), value) for name, value in (headers or {}).items())
        environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", environ["CONTENT_TYPE"])
        given: Dict[str, Any] = {}

        def start_response(status: str, answered: Any, exc_info: Any = None) -> None:
            given.update(status=int(status[:3]), headers={name.lower(): value for name, value in answered})
        content = b"".join(self.application(environ, start_response))
        return Answer(given["status"], given["headers"], content)


@contextmanager
def running(data_dir: Any, *options: str, at: int = START) -> Iterator[HubInside]:
    """A hub between open and close."""
    hub = HubInside(data_dir, *options, at=at)
    hub.open()
    try:
        yield hub
    finally:
        hub.close()


def sample(metrics: Optional[Dict[str, Any]] = None, **members: Any) -> Dict[str, Any]:
    """A clean payload; collected_at may be given as a moment."""
    body = _timed(dict(members, metrics=dict(copy.deepcopy(METRICS), **(metrics or {}))))
    return shapes.clean(bodies.SAMPLE, body)


def service(name: str, status: str = "running", **members: Any) -> Dict[str, Any]:
    return dict({"service_name": name, "display_name": name.title(), "status": status, "start_type": "auto"}, **members)


def _timed(body: Dict[str, Any]) -> Dict[str, Any]:
    if isinstance(body.get("collected_at"), int):
        body["collected_at"] = clock.iso_ms(body["collected_at"])
    return body
