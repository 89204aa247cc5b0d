"""No key, token, password, cookie or hash is anywhere but where it is used: not in the log, an answer or another file.

The scene sets every secret there is, uses it, and shows it in wrong places, as people and scripts do.
"""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from typing import Any, Dict, List, NamedTuple, Set
from urllib.parse import quote

import pytest

from smon_hub import auth
from smon_hub.channels import CHANNELS
from smon_hub.settings import SETTINGS
from smon_hub.web.routes import ROUTES
from tests.support.client import Answer
from tests.support.processes import METRICS, HubProcess

PASSWORDS = {"admin": "admins correct horse", "viewer": "viewers correct horse", "wrong": "no such password here"}
DATABASE = {"smon.db", "smon.db-wal"}
BCRYPT = re.compile(r"\$2[aby]\$\d\d\$")
# What must lie in a file as it is, because it is sent to somebody or compared as it is; everything else is hashed.
BELONGS = {"local token": {"hub.json"}, "export key": DATABASE, "rotated export key": DATABASE, "setting": DATABASE,
           "channel": DATABASE, "set-up code": set()}
SHOWN_IN_LOG = {"set-up code"}  # at the start, for the person who reads it there


class Scene(NamedTuple):
    """A hub that was used; its secrets by name, the credential of its admin, and what it answered to wrong use."""

    hub: HubProcess
    secrets: Dict[str, str]
    admin: Dict[str, str]
    refusals: List[Answer]
    server_id: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with HubProcess(tmp_path_factory.mktemp("secrets") / "data", "--log-level", "DEBUG") as hub:
        secrets = dict({"password of " + name: password for name, password in PASSWORDS.items()},
                       **{"set-up code": (hub.data_dir / "setup-code").read_text().strip(),
                          "local token": json.loads((hub.data_dir / "hub.json").read_text())["token"]})
        admin = set_up(hub, secrets)
        server_id = add_credentials(hub, secrets, admin)
        add_settings(hub, secrets, admin)
        answers = misuse(hub, secrets, server_id)
        assert {answer.status // 100 for answer in answers} <= {2, 4}  # a cookie is good where it is a cookie
        yield Scene(hub, secrets, admin, [answer for answer in answers if answer.status >= 400], server_id)


def done(answer: Answer) -> Any:
    assert answer.status in (200, 201), answer
    return answer.json


def cookie_of(answer: Answer) -> str:
    done(answer)
    return re.search("smon_session=([0-9a-f]+)", answer.headers["set-cookie"]).group(1)


def set_up(hub: HubProcess, secrets: Dict[str, str]) -> Dict[str, str]:
    """The first account and its session, then a token to go on with."""
    body = {"code": secrets["set-up code"], "username": "admin", "password": PASSWORDS["admin"]}
    secrets["cookie of the set-up"] = cookie_of(hub.post("/api/setup", body))
    secrets["cookie"] = cookie_of(hub.post("/api/session", {"username": "admin", "password": PASSWORDS["admin"]}))
    session = {"Cookie": "smon_session=" + secrets["cookie"]}
    made = done(hub.post("/api/dashboard/tokens", {"name": "script", "role": "admin"}, session))
    secrets["token"] = made["token"]
    return {"Authorization": "Bearer " + made["token"]}


def add_credentials(hub: HubProcess, secrets: Dict[str, str], admin: Dict[str, str]) -> str:
    """A user, a server that came with a registration token, has sent samples and was given a new key."""
    done(hub.post("/api/dashboard/users", {"name": "viewer", "role": "viewer", "password": PASSWORDS["viewer"]}, admin))
    token = done(hub.post("/api/dashboard/registration", {"name": "rack 1"}, admin))["registration_token"]
    server = done(hub.post("/api/register", {"hostname": "kept", "registration_token": token}))
    secrets.update({"registration token": token, "key": server["api_key"], "export key": server["export_key"]})
    credential = {"Authorization": "Bearer %s:%s" % (server["server_id"], server["api_key"])}
    done(hub.post("/api/metrics", {"metrics": dict(METRICS, cpu_percent=100)}, credential))
    new = done(hub.post("/api/dashboard/server/%s/rotate-key" % server["server_id"], None, admin))
    secrets.update({"rotated key": new["api_key"], "rotated export key": auth.export_key(new["api_key"])})
    return server["server_id"]


def add_settings(hub: HubProcess, secrets: Dict[str, str], admin: Dict[str, str]) -> None:
    """Every setting and every member of a channel that is marked as secret, twice, so that a change is noted, too."""
    for turn in ("first", "second"):
        for row in SETTINGS:
            if row.secret:
                value = secret_value(row.key, turn)
                secrets["setting %s, %s" % (row.key, turn)] = value
                done(hub.patch("/api/dashboard/settings", {row.key: value}, admin))
    for kind in CHANNELS:
        if kind.name == "email":
            continue
        needed = {"url": "http://127.0.0.1:9/", "topic": "t", "host": "127.0.0.1"}
        config = {row.key: secret_value(row.key, kind.name) if row.secret else needed.get(row.key, row.default)
                  for row in kind.fields}
        secrets.update({"channel %s, %s" % (kind.name, row.key): config[row.key] for row in kind.fields if row.secret})
        body = {"name": kind.name, "kind": kind.name, "config": config, "severities": ["critical"]}
        channel = done(hub.post("/api/dashboard/channels", body, admin))["id"]
        hub.post("/api/dashboard/channels/%d/test" % channel, None, admin)  # refused by its receiver: nobody is there
        done(hub.patch("/api/dashboard/channels/%d" % channel, {"config": config, "name": kind.name + " 2"}, admin))


def secret_value(key: str, turn: str) -> str:
    value = "s3cret%sof%s" % (re.sub("[^a-z]", "", key), turn)
    return "http://127.0.0.1:9/hook/" + value if key.endswith("url") else value


def misuse(hub: HubProcess, secrets: Dict[str, str], server_id: str) -> List[Answer]:
    """Secrets where they do not belong: in addresses, in the wrong headers, in bodies that are refused."""
    answers = []
    for secret in secrets.values():
        path = quote(secret, safe="")
        answers += [
            hub.get("/api/nothing/" + path), hub.get("/api/dashboard?token=" + path),
            hub.get("/api/dashboard", {"Authorization": secret}), hub.get("/api/dashboard", {"X-Token": secret}),
            hub.post("/api/register", {"hostname": {"password": secret}}),
            hub.post("/api/register", '{"x": "' + secret),
            hub.get("/api/dashboard", {"Cookie": "smon_session=%s; token=%s" % (secret, secret)}),
            hub.post("/api/register", {"hostname": "h", "registration_token": secret[::-1]}),
            hub.post("/api/metrics", {}, {"Authorization": "Bearer %s:%s" % (server_id, secret)}),
        ]
    wrong = {"username": "admin", "password": PASSWORDS["wrong"]}
    return answers + [hub.post("/api/session", wrong), hub.post("/api/setup", dict(wrong, code=secrets["set-up code"]))]


@pytest.fixture(scope="module")
def shown(scene):
    """Every answer to a GET, head and body; of files, tables and pages alike."""
    ids = {"server_id": scene.server_id, "version": "0", "name": "admin"}
    found = {}
    for route in ROUTES:
        if route.method == "GET":
            path = re.sub(r"\{(\w+)(:path)?\}", lambda match: ids.get(match[1], "1"), route.path)
            for query in ("", "?format=csv", "?format=csv&scope=history", "?state=all", "?view=cards", "?limit=500"):
                answer = scene.hub.get(path + query, scene.admin)
                if route.auth in ("viewer", "admin") and "{" not in route.path.replace("{server_id}", ""):
                    assert answer.status in (200, 400), path + query  # some parameters have no such value there
                found[path + query] = "%s %s" % (answer.headers, answer.body.decode("utf-8", "replace"))
    return found


def test_no_answer_shows_a_secret(scene, shown):
    assert {"/api/dashboard/audit", "/api/dashboard/settings", "/api/dashboard/export"} <= set(shown)
    assert {(path, name) for path, text in shown.items() for name, secret in scene.secrets.items()
            if secret in text} == set()


def test_no_answer_and_no_log_shows_a_hash_or_a_digest(scene, shown):
    """They are of no use to anybody, and a start for who wants to guess."""
    texts = dict(shown, log=scene.hub.log)
    assert {where for where, text in texts.items() if BCRYPT.search(text)} == set()
    digests = hashes(scene.hub)
    assert len(digests) >= 6
    assert {where for where, text in texts.items() for digest in digests if digest in text} == set()


def hashes(hub: HubProcess) -> Set[str]:
    """What the database holds in columns that are named as hashes."""
    with closing(sqlite3.connect("file:%s?mode=ro" % (hub.data_dir / "smon.db"), uri=True)) as database:
        tables = [table for table, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [(table, column[1]) for table in tables
                   for column in database.execute("PRAGMA table_info(%s)" % table) if column[1].endswith("_hash")]
        assert {("servers", "key_hash"), ("users", "password_hash"), ("api_tokens", "token_hash")} <= set(columns)
        return {value for place in columns for value, in database.execute("SELECT %s FROM %s" % place[::-1])}


def test_no_refusal_repeats_a_secret(scene):
    assert len(scene.refusals) > 100
    assert {(answer.text, name) for answer in scene.refusals for name, secret in scene.secrets.items()
            if secret in answer.text or secret in str(answer.headers)} == set()


def test_the_log_holds_no_secret(scene):
    logged = {name for name, secret in scene.secrets.items() if secret in scene.hub.log}
    assert logged == SHOWN_IN_LOG


def test_secrets_lie_in_no_file_but_their_own(scene):
    files = {path.name: path.read_bytes() for path in scene.hub.data_dir.rglob("*") if path.is_file()}
    assert DATABASE <= set(files) and "setup-code" not in files
    found = {name: {file for file, content in files.items() if secret.encode() in content}
             for name, secret in scene.secrets.items()}
    assert {name: places - may_lie_in(name) for name, places in found.items() if places - may_lie_in(name)} == {}
    assert found["local token"] == {"hub.json"}


def may_lie_in(name: str) -> Set[str]:
    return next((files for start, files in BELONGS.items() if name.startswith(start)), set())


def test_files_with_secrets_are_their_owners_alone(scene):
    assert {path.name: oct(path.stat().st_mode) for path in scene.hub.data_dir.rglob("*")
            if path.is_file() and path.stat().st_mode & 0o077} == {}
