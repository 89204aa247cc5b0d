"""What agents call: register, send samples, send near-live samples, beat."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, Optional

from .. import auth, bodies, ingest, shapes
from ..alerts import THRESHOLD
from ..errors import HubError
from ..fleet import Server
from ..store import accounts, agent_config, audit, servers
from ..store.commits import Database
from .call import Call

SERVERS_MAX = 20_000         # four times what one hub is built for: a bound on what strangers can fill in mode open
PENDING_MAX = 100            # servers that wait for approval: a stranger can not fill the hub with them
DEFAULT_GROUP = "Default"
DEFAULT_INTERVAL = 10

Hub = Any  # hub.Hub, which is passed and never imported


def register(hub: Hub, call: Call) -> Dict[str, Any]:
    """Make a server and its key, which is answered here and never again."""
    token, mode = call.body["registration_token"], hub.settings["registration_mode"]
    known = call.caller.role == "admin"
    _check_mode(mode, known, token)
    _check_room(hub, bool(known or token or mode == "open"))
    key = auth.new_key()
    row = _row(call, key, approved=bool(known or token or mode == "open"))

    def work(db: Database) -> Dict[str, Any]:
        admitted = _admitted(db, token, call.now) if token else None
        if admitted and admitted["group_name"]:
            row["group_name"] = admitted["group_name"]
        if admitted or known:
            who = "registration token " + admitted["name"] if admitted else call.caller.who
            audit.add(db, who, call.caller.address, "server.register", row["hostname"], {}, call.now)
        return {**row, "id": servers.add(db, row)}
    row = hub.engine.write(work, lambda done: hub.fleet.add(done).row)
    return {"server_id": row["uuid"], "api_key": key, "export_key": row["export_key"],
            "message": "Server registered successfully." if row["approved"]
            else "Server registered; it waits for approval on the dashboard."}


def metrics(hub: Hub, call: Call) -> Any:
    """Store one sample; the answer leaves after it is on disk."""
    return ingest.sample(hub, call.caller.server, call.body, call.now)


def batch(hub: Hub, call: Call) -> Any:
    """Store up to 100 samples; each is judged for itself, so that one bad one does not hold up the others."""
    payloads, errors = _each(call.body)
    server = call.caller.server
    return ingest.samples(hub, server, payloads, call.now, lambda results, before: {
        "status": "ok", "results": _merge(errors, results), **ingest.greeting(hub, server), **before})


def live(hub: Hub, call: Call) -> Any:
    """Store one near-live sample."""
    return ingest.live(hub, call.caller.server, call.body, call.now)


def beat(hub: Hub, call: Call) -> Dict[str, Any]:
    """A sign of life between two samples. It is noted in memory; the store learns of it within seconds."""
    hub.fleet.seen(call.caller.server, call.now)
    greeting = ingest.greeting(hub, call.caller.server)
    return {"status": "ok", "timestamp": greeting["server_time"], **greeting}


def settings(hub: Hub, call: Call) -> Dict[str, Any]:
    """The settings that wait for this agent."""
    server = _own(call)
    waiting = agent_config.pending(hub.engine.read(), server.row["id"])
    return {"has_update": waiting is not None, "config": waiting and waiting[1], "revision": waiting and waiting[0]}


def answer_settings(hub: Hub, call: Call) -> Dict[str, Any]:
    """What the agent made of a revision. One that was superseded meanwhile leaves the newer one waiting."""
    server, body = _own(call), call.body

    def after(known: bool) -> bool:
        if known and server.config_revision == body["revision"]:
            server.config_revision = 0
        return known
    known = hub.engine.write(
        lambda db: agent_config.answer(db, server.row["id"], body["revision"], body, call.now), after)
    if not known:
        raise HubError("not_found", "There is no revision %d of this server's settings." % body["revision"])
    return {"status": "ok"}


def _own(call: Call) -> Server:
    """The caller's server, which must be the one that the path names."""
    if call.params["server_id"] != call.caller.server.row["uuid"]:
        raise HubError("forbidden", "An agent may ask for its own settings only.")
    return call.caller.server


def _check_mode(mode: str, known: bool, token: Optional[str]) -> None:
    if known:
        return
    if mode == "closed":
        raise HubError("forbidden", "Registration is closed on this hub; register from its own machine, or open it.")
    if mode == "token" and not token:
        raise HubError("unauthorized", "This hub registers servers only with a registration_token.")


def _admitted(db: Database, token: str, now: int) -> Dict[str, Any]:
    """The registration token that admits a server, one use of it taken in the transaction that stores the server."""
    row = accounts.use_registration_token(db, auth.digest(token), now) if token.isascii() else None
    if row is None:
        raise HubError("unauthorized", "registration_token is not known, has expired or is used up.")
    return row


def _check_room(hub: Hub, approved: bool) -> None:
    if len(hub.fleet.by_uuid) >= SERVERS_MAX:
        raise HubError("forbidden", "This hub watches %d servers already, which is all it takes." % SERVERS_MAX)
    if not approved and sum(not server.row["approved"] for server in hub.fleet.servers()) >= PENDING_MAX:
        raise HubError("forbidden", "%d servers wait for approval already; approve or remove some of them first."
                       % PENDING_MAX)


def _row(call: Call, key: str, approved: bool) -> Dict[str, Any]:
    body = call.body
    return {"uuid": str(uuid.uuid4()), "key_hash": auth.key_hash(key), "export_key": auth.export_key(key),
            "hostname": body["hostname"], "display_name": body["display_name"] or body["hostname"],
            "group_name": body["group_name"] or DEFAULT_GROUP,
            "ip_address": body["ip_address"] or call.caller.address, "os_info": body["os_info"] or "",
            "tags": body["tags"] or [], "notes": "", "alert_cpu_threshold": THRESHOLD,
            "alert_memory_threshold": THRESHOLD, "alert_disk_threshold": THRESHOLD,
            "collection_interval": DEFAULT_INTERVAL, "may_be_off": False, "approved": approved,
            "live_minutes": ingest.LIVE_MINUTES_MIN, "registered_at": call.now, "last_seen_at": call.now,
            "newest_sample": None}


def _each(body: Any) -> Any:
    """The clean payloads of a batch, and {index: error entry} of the others."""
    if type(body) is not dict or type(body.get("payloads")) is not list or not (
            1 <= len(body["payloads"]) <= bodies.BATCH_MAX):
        raise HubError("bad_request", "payloads must be a list of 1 to %d entries." % bodies.BATCH_MAX,
                       field="payloads")
    payloads: List[Dict[str, Any]] = []
    errors: Dict[int, Dict[str, Any]] = {}
    for index, payload in enumerate(body["payloads"]):
        try:
            payloads.append(shapes.clean(bodies.SAMPLE, payload))
        except HubError as error:
            errors[index] = {"status": "error", "stored": False, "error": error.sentence}
    return payloads, errors


def _merge(errors: Dict[int, Dict[str, Any]], results: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Results of the clean payloads and errors of the others, in the order they were sent."""
    good = iter(results)
    return [errors.get(index) or next(good) for index in range(len(errors) + len(results))]
