"""Every route that takes a body, given what fits, what nearly fits and what nobody should send.

Whatever comes: 2xx or 4xx, never a failure of the hub; what is refused has left nothing behind, and what was taken
can be shown, by this hub and by the next one on its data.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, Dict, Tuple
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smon_hub import auth
from smon_hub.web.call import ANY, FILE, FORM
from smon_hub.web.routes import ROUTES
from tests.attack.documents import BATCH_BODY, CHANNEL_BODIES, SETTINGS_BODY, documents, spoilt, whole
from tests.hub import inside

# The same examples in every run: what fails here fails everywhere.
FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=100,
                 suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
CHECKED_BY_HANDLER = {"/api/metrics/batch": [BATCH_BODY], "/api/dashboard/settings": [SETTINGS_BODY],
                      "/api/dashboard/channels": CHANNEL_BODIES,
                      "/api/dashboard/channels/{channel_id}": CHANNEL_BODIES}
# Nobody guesses a password or the set-up code.
NEVER_TAKEN = {("POST", "/api/session"), ("PATCH", "/api/session"), ("POST", "/api/setup")}
WITH_BODY = [route for route in ROUTES if route.body not in (None, FILE, FORM)]
READABLE = [route for route in ROUTES if (route.method, route.auth) == ("GET", "viewer")
            and "{" not in route.path.replace("{server_id}", "")]
# What the paths and bodies name: a user, a channel, alerts, revisions of an agent's settings; each of them is the "1".
THERE = (
    *[("POST", "/api/dashboard/users", {"name": name, "role": "admin", "password": "correct horse"}) for name in "01"],
    ("POST", "/api/dashboard/channels", {"name": "1", "kind": "webhook", "enabled": False,
                                         "config": {"url": "http://127.0.0.1:9/"}}),
    *[("POST", "/api/dashboard/server/{server_id}/config", {"ping_enabled": enabled}) for enabled in (True, False)],
)
ALARMING = {"cpu_percent": 100, "memory_percent": 100}


class Target:
    """One route of a hub, asked each time from another address, so that no rate limit stands before the bodies."""

    def __init__(self, hub: inside.HubInside, route: Any):
        registered = hub.register()
        self.hub, self.route, self.seen = hub, route, set()
        self.admin = {"Authorization": "Bearer " + hub.local_token}
        agent = {"Authorization": "Bearer %(server_id)s:%(api_key)s" % registered}
        self.headers = agent if route.auth == "agent" else self.admin
        self.path = re.sub(r"\{(\w+)\}", lambda match: registered["server_id"] if match[1] == "server_id" else "1",
                           route.path)
        for method, path, body in THERE[2:] if route.path == "/api/setup" else THERE:  # where there are no users yet
            path = path.replace("{server_id}", registered["server_id"])
            assert hub.ask(method, path, body, headers=self.admin).status in (200, 201)
        assert hub.ask("POST", "/api/metrics", {"metrics": ALARMING}, headers=agent).status == 200
        self._addresses = ("10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255) for n in itertools.count(1))
        tables = [name for name, in hub.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        self._count = "SELECT " + ", ".join("(SELECT COUNT(*) FROM %s) AS %s" % (name, name) for name in tables)
        self.known = self.stored()

    def send(self, content: bytes, kind: str = "") -> Any:
        """kind: of content, where it is not JSON."""
        headers = dict(self.headers, **({"Content-Type": kind} if kind else {}))
        return self.hub.ask(self.route.method, self.path, content, next(self._addresses), headers)

    def stored(self) -> Tuple[Any, Dict[str, Any]]:
        """How many rows each table has, and the settings in force."""
        return tuple(self.hub.rows(self._count)[0]), self.hub.settings


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: "%s %s" % (route.method, route.path))
def test_no_body_breaks_the_hub_and_none_that_is_refused_leaves_a_trace(tmp_path, route, caplog, monkeypatch):
    monkeypatch.setattr(auth, "PASSWORD_ROUNDS", 4)  # what is tested here is not how long a password takes
    with inside.running(tmp_path / "data") as hub:
        send_everything(Target(hub, route))
        look_at_everything(hub)
    with inside.running(tmp_path / "data") as hub:
        look_at_everything(hub)
    assert caplog.records == []


def send_everything(target: Target) -> None:
    """Each member spoilt in each way, then many bodies that nobody thought of."""
    route = target.route
    declared = CHECKED_BY_HANDLER[route.path] if route.body is ANY else [route.body]
    for shape in declared:
        for body in spoilt(whole(shape)):
            send(target, json.dumps(body).encode())

    @FIXED
    @given(st.one_of([documents(shape) for shape in declared]))
    def send_any(content: bytes) -> None:
        send(target, content)

    send_any()
    # else the bodies never fitted, or always did
    assert target.seen == ({4} if (route.method, route.path) in NEVER_TAKEN else {2, 4})


def send(target: Target, content: bytes) -> None:
    """One body, judged by its answer and by what is stored then."""
    answer = target.send(content)
    before, target.known = target.known, target.stored()
    target.seen.add(answer.status // 100)
    assert answer.status // 100 in (2, 4), (content, answer)
    if answer.status >= 400:
        assert target.known == before, content
        assert {"error", "code"} <= set(answer.json)
    if answer.status == 400:
        assert answer.json.get("field") or answer.json["error"].startswith("The body "), (content, answer)


def look_at_everything(hub: inside.HubInside) -> None:
    """Every answer about what was stored can be made and read."""
    headers = {"Authorization": "Bearer " + hub.local_token}
    for server_id, route in itertools.product(hub.fleet.by_uuid, READABLE):
        answer = hub.ask("GET", route.path.replace("{server_id}", server_id), headers=headers)
        assert answer.status == 200, (route.path, answer)
        if "json" in answer.headers["content-type"]:
            json.loads(answer.text, parse_constant=pytest.fail)


HOSTILE_QUERIES = [quote(text) for text in (
    "", " ", "0", "-1", "1e9", "NaN", "0x10", "1_0", "\u0661", "9" * 400, str(2 ** 63), "24 ", "2;5", "\0", "x" * 5000,
    "' OR 1=1 --", "2026-13-45T99:99:99Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "[]", "<script>")
] + ["%ff", "%", "%zz", "1&{key}=2", "1" + "&{key}[]=1" * 30]


@pytest.mark.parametrize("route", [route for route in ROUTES if route.query],
                         ids=lambda route: "%s %s" % (route.method, route.path))
def test_no_query_breaks_the_hub(hub_inside, route, caplog):
    target = Target(hub_inside, route)
    for row, hostile in itertools.product(route.query, HOSTILE_QUERIES):
        query = "%s=%s" % (row.key, hostile.replace("{key}", row.key))
        answer = hub_inside.ask(route.method, "%s?%s" % (target.path, query), headers=target.headers)
        assert answer.status // 100 in (2, 4), (query, answer)
    assert caplog.records == []


HOSTILE_FORMS = (
    b"", b"=", b"&&&;;;", b"%", b"%zz=%", b"\xff\xfe", b"username", b"username=a&username=b&password=c", b"a=b&" * 2000,
    b"username=%ff&password=%00", b"username=%00&password=%ed%a0%80", b"username=" + b"u" * 100_000 + b"&password=x",
    b"username=0&password=" + b"p" * 100_000, b"username=%0d%0aSet-Cookie:x&password=x", b'{"username": "0"}',
    *[b"username=0&password=correct+horse&next=" + quote(path).encode() for path in (
        "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\r\nSet-Cookie: a=b",
        "/\t/evil.example", "\\evil", "@evil.example", "/%0d%0aLocation: x", "/\u2028", "")],
)


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.body is FORM])
def test_no_form_breaks_the_hub_or_leads_away_from_it(hub_inside, path, caplog, monkeypatch):
    monkeypatch.setattr(auth, "PASSWORD_ROUNDS", 4)
    target = Target(hub_inside, next(route for route in ROUTES if route.path == path and route.body is FORM))
    target.headers = {}
    for form in HOSTILE_FORMS:
        answer = target.send(form, "application/x-www-form-urlencoded")
        assert answer.status in (200, 303, 400, 401, 403, 413, 429), (form, answer)
        assert re.fullmatch(r"/(?![/\\])[!-~]*", answer.headers.get("location", "/")), answer
    assert caplog.records == []
