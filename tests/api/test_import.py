"""POST /api/dashboard/import, and the token of the data folder that the command line shows for it."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

import pytest

from smon_hub.intake import FILE_BYTES
from tests.support.exports import export, line, pack
from tests.support.processes import HubProcess

PATH = "/api/dashboard/import"
FILE = {"Content-Type": "application/octet-stream"}
ELSEWHERE = {"Host": "192.0.2.1"}  # such a request is not locally trusted
MOMENT = (datetime.now(timezone.utc) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def told(hub):
    return json.loads((hub.data_dir / "hub.json").read_text(encoding="ascii"))


def bearer(token):
    return dict(FILE, **ELSEWHERE, Authorization="Bearer " + token)


def registered(hub):
    return hub.post("/api/register", {"hostname": "island"}).json


def content(server, packed=None, **head):
    return export(server["server_id"], server["export_key"], packed or pack([line(MOMENT)]), **head)


def stored(hub, server):
    return [point["timestamp"] for point in hub.server(server["server_id"])["history"]]


def test_an_export_is_stored_and_reported(hub):
    server = registered(hub)
    answers = [hub.post(PATH, content(server), FILE) for _ in range(2)]
    assert [(answer.status, answer.json["stored"], answer.json["known"]) for answer in answers] == [
        (200, 1, 0), (200, 0, 1)]
    assert answers[0].json == {"status": "ok", "server_id": server["server_id"], "hostname": "island", "payloads": 1,
                               "stored": 1, "known": 0, "too_old": 0, "refused": 0, "reasons": []}
    assert stored(hub, server) == [MOMENT.replace(".000", "")]


@pytest.mark.parametrize("make, status, code", [
    (lambda server: content(server)[:-9], 400, "bad_request"),
    (lambda server: content(server, hmac="0" * 64), 403, "forbidden"),
    (lambda server: b"", 400, "bad_request"),
], ids=["cut", "wrong hmac", "empty"])
def test_a_refused_export_is_a_client_error_and_stores_nothing(hub, make, status, code):
    server = registered(hub)
    answer = hub.post(PATH, make(server), FILE)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert stored(hub, server) == []


def test_a_refused_sample_is_told_beside_what_was_stored(hub):
    server = registered(hub)
    answer = hub.post(PATH, content(server, pack([bytes(2 << 20), line(MOMENT)])), FILE)
    assert answer.status == 200
    assert {key: answer.json[key] for key in ("payloads", "stored", "refused", "reasons")} == {
        "payloads": 2, "stored": 1, "refused": 1, "reasons": ["Payload 1: It has more than 1048576 bytes."]}


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}])
def test_it_must_be_sent_as_what_it_is(hub, headers):
    server = registered(hub)
    assert hub.post(PATH, content(server), headers).status == 415
    assert stored(hub, server) == []


def test_a_page_of_another_origin_can_not_send_one(hub):
    server = registered(hub)
    assert hub.post(PATH, content(server), dict(FILE, Origin="http://page.example")).status == 403
    assert stored(hub, server) == []


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(hub):
    answer = hub.post(PATH, b"", dict(FILE, **{"Content-Length": str(FILE_BYTES + 1)}))
    assert (answer.status, answer.json["code"]) == (413, "too_large")


# --- the token of the data folder -----------------------------------------------------------------------------------

def test_its_reader_is_admin_from_wherever_it_asks(hub):
    server = registered(hub)
    assert hub.get("/api/dashboard", ELSEWHERE).status == 401
    assert hub.get("/api/dashboard", bearer(told(hub)["token"])).status == 200
    assert hub.post(PATH, content(server), bearer(told(hub)["token"])).json["stored"] == 1


@pytest.mark.parametrize("wrong", [
    lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"), lambda token: token[:-1], lambda token: token + "0",
    lambda token: token.upper(), lambda token: "smh_", lambda token: "",
], ids=["last digit", "cut", "longer", "upper case", "prefix", "empty"])
def test_a_wrong_token_is_refused_and_stores_nothing(hub, wrong):
    server = registered(hub)
    answer = hub.post(PATH, content(server), bearer(wrong(told(hub)["token"])))
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert stored(hub, server) == []


def test_an_agents_key_takes_nothing_in(hub):
    server = registered(hub)
    key = "%s:%s" % (server["server_id"], server["api_key"])
    assert hub.post(PATH, content(server), bearer(key)).status == 401
    assert stored(hub, server) == []


def test_it_is_for_the_owner_of_the_folder_alone(hub):
    if os.name != "nt":
        assert os.stat(str(hub.data_dir / "hub.json")).st_mode & 0o777 == 0o600


def test_it_is_in_no_log_and_no_answer_and_gone_with_the_hub(tmp_path):
    with HubProcess(tmp_path / "data", "--log-level", "DEBUG") as hub:
        token = told(hub)["token"]
        server = registered(hub)
        asked = [("POST", PATH, content(server)), ("POST", PATH, b"{"), ("GET", "/api/dashboard", None),
                 ("GET", "/api/dashboard/server/" + server["server_id"], None),
                 ("GET", "/api/dashboard/settings", None), ("GET", "/api/no/such/path", None)]
        answers = [hub.request(method, path, body, bearer(token)) for method, path, body in asked]
        assert [answer.status for answer in answers] == [200, 400, 200, 200, 200, 404]
        assert not any(token in answer.text or token in str(answer.headers) for answer in answers)
    assert token not in hub.log
    assert not (hub.data_dir / "hub.json").exists()
    with HubProcess(tmp_path / "data") as again:
        assert told(again)["token"] != token
        assert again.get("/api/dashboard", bearer(token)).status == 401
