"""What admins alone may see and change: users, tokens, who may register, agents' keys, and who changed what."""

from __future__ import annotations

from typing import Any, Dict, List

from .. import accounts, auth, clock
from ..store import accounts as store
from ..store import audit, servers
from ..store.commits import Database
from .call import Call, find_server, no_such

Hub = Any  # hub.Hub, which is passed and never imported


# --- users ------------------------------------------------------------------------------------------------------------

def users(hub: Hub, call: Call) -> Dict[str, Any]:
    """Everybody who may log in."""
    return {"users": [_user(hub, row, call.now) for row in _by_name(hub.accounts.users.values())]}


def add_user(hub: Hub, call: Call) -> Dict[str, Any]:
    """Add a user."""
    made = accounts.add_user(hub, call.caller, accounts.named_well(call.body), call.now)
    return {"status": "ok", "user": _user(hub, made, call.now)}


def change_user(hub: Hub, call: Call) -> Dict[str, Any]:
    """Change a user's role or password, which ends the user's sessions."""
    changed = accounts.change_user(hub, call.caller, call.params["name"], call.body, call.now)
    return {"status": "ok", "user": _user(hub, changed, call.now)}


def remove_user(hub: Hub, call: Call) -> Dict[str, Any]:
    """Remove a user and end the user's sessions."""
    accounts.remove_user(hub, call.caller, call.params["name"], call.now)
    return {"status": "ok"}


def _user(hub: Hub, row: Dict[str, Any], now: int) -> Dict[str, Any]:
    return {"name": row["name"], "role": row["role"], "created_at": clock.iso(row["created_at"]),
            "last_login_at": clock.iso_or_none(row["last_login_at"]),
            "sessions": hub.accounts.count_sessions(row["id"], now)}


# --- tokens of scripts ------------------------------------------------------------------------------------------------

def tokens(hub: Hub, call: Call) -> Dict[str, Any]:
    """The API tokens; what they are is never shown again."""
    return {"tokens": [{"id": row["id"], "name": row["name"], "role": row["role"],
                        "created_at": clock.iso(row["created_at"]), "created_by": row["created_by"],
                        "expires_at": clock.iso_or_none(row["expires_at"]),
                        "last_used_at": clock.iso_or_none(row["last_used_at"])}
                       for row in sorted(hub.accounts.tokens.copy().values(), key=lambda row: row["id"])]}


def add_token(hub: Hub, call: Call) -> Dict[str, Any]:
    """Make an API token, which is answered here and never again."""
    token, id = accounts.add_token(hub, call.caller, call.body, call.now)
    return {"status": "ok", "token": token, "id": id}


def remove_token(hub: Hub, call: Call) -> Dict[str, Any]:
    """Revoke an API token."""
    accounts.remove_token(hub, call.caller, call.row_id("id", "token"), call.now)
    return {"status": "ok"}


# --- registration -----------------------------------------------------------------------------------------------------

def registration(hub: Hub, call: Call) -> Dict[str, Any]:
    """Who may register, the tokens for it, and how many servers wait for approval."""
    return {"mode": hub.settings["registration_mode"],
            "tokens": [{"id": row["id"], "name": row["name"], "group_name": row["group_name"],
                        "created_at": clock.iso(row["created_at"]), "created_by": row["created_by"],
                        "expires_at": clock.iso_or_none(row["expires_at"]), "uses_left": row["uses_left"]}
                       for row in store.registration_tokens(hub.engine.read())],
            "waiting": sum(not server.row["approved"] for server in hub.fleet.servers())}


def add_registration(hub: Hub, call: Call) -> Dict[str, Any]:
    """Make a registration token, which is answered here and never again."""
    token, id = accounts.add_registration(hub, call.caller, call.body, call.now)
    return {"status": "ok", "registration_token": token, "id": id}


def remove_registration(hub: Hub, call: Call) -> Dict[str, Any]:
    """Revoke a registration token; the servers that used it stay."""
    accounts.remove_registration(hub, call.caller, call.row_id("id", "token"), call.now)
    return {"status": "ok"}


# --- keys and the log of changes --------------------------------------------------------------------------------------

def rotate_key(hub: Hub, call: Call) -> Dict[str, Any]:
    """Give a server a new key, which is answered here and never again. The old one ends with this answer."""
    found = find_server(hub, call.params["server_id"])
    key = auth.new_key()
    columns = {"key_hash": auth.key_hash(key), "export_key": auth.export_key(key)}

    def work(db: Database) -> None:
        if not servers.change(db, found.row["id"], columns):
            raise no_such("server")
        call.note(db, "server.rotate_key", found.row["display_name"], {"api_key": ["set", "set"]})
    hub.engine.write(work, lambda _: hub.fleet.change(found.row["uuid"], columns))
    return {"status": "ok", "api_key": key, "export_key": columns["export_key"],
            "message": "Put the new key into the agent's config; the old one is refused from now on."}


def audit_log(hub: Hub, call: Call) -> Dict[str, Any]:
    """Who changed what, the newest first."""
    return {"entries": audit.entries(hub.engine.read(), call.query["limit"], call.query["before"])}


def _by_name(rows: Any) -> List[Dict[str, Any]]:
    return sorted(rows, key=lambda row: row["name"])
