"""A hub with something in every table, and everything that it can be asked about that."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, Dict, Iterator, List

from smon_hub import accounts, auth, bodies, clock, ingest, shapes
from smon_hub.simulation import Machine
from smon_hub.web.routes import ROUTES
from tests.hub import inside

END = inside.START
BEGIN = END - 2 * clock.DAY
STEP = 10 * clock.MINUTE
MACHINES = 6
HERE = "localhost"
API = "/api/dashboard"
# What belongs to the hub that answers, or to its engine, and moves nowhere.
OWN = {"/api/dashboard/hub": ("version", "server_time", "servers"), "/api/dashboard/backups": ("backups",)}
OWN_LINES = re.compile(r"^.*smon_hub_.*\n", re.MULTILINE)


class Filled:
    """What it takes to ask: the credentials that move with the database, and the ids in it."""

    def __init__(self, hub: inside.HubInside):
        self.admin = hub.token("admin", name="asks")
        self.browser: Dict[str, str] = {}
        self.agents: Dict[str, str] = {}


def fill(hub: inside.HubInside) -> Filled:
    """Two days of a small fleet, up to END, with whatever people do."""
    hub.user()
    hub.user("ben", "viewer")
    said = Filled(hub)

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = hub.ask(method, API + path, body, headers=said.admin)
        assert answer.status < 300, (path, answer)
        return answer.json
    hub.token("viewer", name="ends", expires_days=3)
    ask("POST", "/registration", {"name": "rack 7", "group_name": "Web", "uses": 5})
    ask("PATCH", "/settings", {"alert_email_smtp_password": "hush", "stale_threshold_minutes": 45})
    ask("POST", "/rules", {"group": "Web", "alert_cpu_threshold": 35})
    hook = {"kind": "webhook", "name": "Hook", "config": {"url": "https://hook.example/in", "secret": "hush-hush"}}
    ask("POST", "/channels", hook)
    ask("DELETE", "/channels/%d" % ask("POST", "/channels", dict(hook, name="Gone"))["id"])
    ask("POST", "/maintenance", {"name": "Nights", "kind": "daily", "start": "02:30", "minutes": 30,
                                 "scope": "group", "target": "Databases"})
    _days(hub, said)
    said.browser = hub.log_in("ben")
    _people(hub, ask)
    hub.jobs.roll_up()
    _samples_after_the_last_roll_up(hub)
    hub.jobs.measure()
    hub.jobs.clean_up()
    hub.engine.write(lambda db: db.execute("INSERT INTO removals (server) VALUES (77)"))  # its rows are not gone yet
    return said


def _days(hub: inside.HubInside, said: Filled) -> None:
    machines = [Machine(number, END) for number in range(MACHINES)]
    registered = [hub.register(hostname=machine.hostname, ip_address=machine.address, group_name=machine.role.group,
                               os_info=machine.role.os_info) for machine in machines]
    said.agents = {one["server_id"]: one["api_key"] for one in registered}
    servers = [hub.fleet.by_uuid[uuid] for uuid in said.agents]
    moments = range(BEGIN + STEP, END + 1, STEP)
    for place, at in enumerate(moments):
        hub.now.at = at
        for server, machine in zip(servers, machines):
            body = shapes.clean(bodies.SAMPLE, machine.sample(at, len(moments) - place - 1))
            assert ingest.sample(hub, server, body, at).result(30)["stored"]
    for seconds in range(60, 0, -10):
        hub.send_live(servers[0], collected_at=END - seconds * 1000)
    hub.send(servers[1], {"cpu_percent": 99.0}, collected_at=END - clock.DAY - 7)  # late, and worse than it was
    hub.register(auth.Caller("open", "192.0.2.50"), hostname="waits")


def _people(hub: inside.HubInside, ask: Any) -> None:
    first = next(iter(hub.fleet.by_uuid))
    ask("PATCH", "/server/" + first, {"notes": "Rack 7 – 3rd from üp ↑", "tags": ["a", "ß"], "alert_cpu_threshold": 77})
    ask("POST", "/server/%s/config" % first, {"live_enabled": True})
    other = list(hub.fleet.by_uuid)[1]
    queued = ask("POST", "/server/%s/config" % other, {"live_interval_seconds": 7})
    ask("POST", "/maintenance", {"name": "Patches", "kind": "once", "starts_at": clock.iso(END - clock.HOUR),
                                 "minutes": 120, "scope": "server", "target": first})
    gone = hub.server(hostname="gone")
    hub.send(gone)
    ask("DELETE", "/server/" + gone.row["uuid"])
    hub.jobs.sweep()
    assert queued["revision"] == 1
    opened = ask("GET", "/alerts?state=open")["alerts"]
    assert len(opened) > 1
    ask("PATCH", "/alerts", {"alert_id": opened[0]["id"], "note": "known"})
    ask("PATCH", "/notifications", {"notification_id": ask("GET", "/notifications")["notifications"][0]["id"]})
    by = auth.Caller("admin", inside.HERE, None, "setup", "local")
    accounts.add_user(hub, by, {"name": "gone", "role": "viewer", "password": inside.PASSWORD}, hub.now())
    accounts.remove_user(hub, by, "gone", hub.now())


def _samples_after_the_last_roll_up(hub: inside.HubInside) -> None:
    for number, server in enumerate(hub.fleet.servers()[:2]):
        hub.send(server, {"cpu_percent": 20.0 + number}, collected_at=END - 1 - number)


# --- asking -----------------------------------------------------------------------------------------------------------

QUERIES = {
    "/api/dashboard": ["", "?view=cards", "?view=summary"],
    "/api/dashboard/server/{server_id}": ["", "?hours=1", "?hours=8760", "?at=" + clock.iso(END - clock.DAY)],
    "/api/dashboard/server/{server_id}/live": ["", "?minutes=60"],
    "/api/dashboard/alerts": ["?state=" + state for state in ("active", "open", "resolved", "all")],
    "/api/dashboard/alerts/preview": ["?days=2", "?rule=memory&days=2"],
    "/api/dashboard/audit": ["?limit=500"],
    "/api/dashboard/export": ["?format=json", "?format=csv", "?format=csv&scope=history"],
}


def answers(hub: inside.HubInside, said: Filled) -> Dict[str, Any]:
    """What every path that is read answers, by path."""
    hub.ask("GET", API, headers=said.admin)  # when a credential was last used is the same from here on
    hub.ask("GET", API, headers=said.browser)
    return {path: _answer(hub, said, route, path) for route in ROUTES if route.method == "GET"
            for path in _paths(hub, said, route)}


_addresses = ("10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255) for n in itertools.count(1))


def _answer(hub: inside.HubInside, said: Filled, route: Any, path: str) -> Any:
    headers = said.admin
    if route.auth == "agent":
        uuid = path.rpartition("/")[2]
        headers = {"Authorization": "Bearer %s:%s" % (uuid, said.agents[uuid])}
    elif route.auth == "open":
        headers = said.browser
    answer = hub.ask("GET", path, None, next(_addresses), headers)
    text = OWN_LINES.sub("", answer.body.decode("utf-8", "replace"))
    if route.path in OWN:
        whole = json.loads(text)
        text = json.dumps({key: whole[key] for key in OWN[route.path]})
    return answer.status, text


def _paths(hub: inside.HubInside, said: Filled, route: Any) -> Iterator[str]:
    """Each path that a template stands for, with each question that can be added."""
    template = route.path
    values: Dict[str, List[Any]] = {
        "server_id": list(said.agents) if route.auth == "agent" else list(hub.fleet.by_uuid),
        "alert_id": [row_id for row_id, in hub.rows("SELECT id FROM alerts WHERE opened_at IS NOT NULL ORDER BY id")],
        "channel_id": [row_id for row_id, in hub.rows("SELECT id FROM channels ORDER BY id")],
        "tab": ["performance"], "section": ["users"], "version": [hub.assets.version],
        "name:path": ["app.js"]}
    names = re.findall(r"\{(.*?)\}", template)
    for some in itertools.product(*(values[name] for name in names)):
        path = template
        for name, value in zip(names, some):
            path = path.replace("{%s}" % name, str(value))
        for query in QUERIES.get(template, [""]):
            yield path + query
