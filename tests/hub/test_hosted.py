"""The hub behind another WSGI server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
from wsgiref import simple_server, validate

import pytest

import smon_server
from smon_hub import cli, hosted
from smon_hub.hosted import Hosted
from tests.support.client import Client
from tests.support.processes import METRICS

SAMPLE = {"metrics": METRICS}


class Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, *message):
        """Nothing on the screen of the tests."""


@contextlib.contextmanager
def served(application):
    """The address of a plain server of one thread, which looks at every rule of WSGI."""
    server = simple_server.make_server("127.0.0.1", 0, validate.validator(application), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def application(tmp_path):
    made = Hosted({"SMON_DATA_DIR": str(tmp_path / "data")})
    yield made
    made.close()


@pytest.fixture
def client(application):
    with served(application) as url:
        caller = Client(url, "127.0.0.1")
        yield caller
        caller.close()


def code_of(tmp_path):
    return (tmp_path / "data" / "setup-code").read_text(encoding="ascii").strip()


def ask(application, **environ):
    """One request without a server, of an environ that a sloppy one may hand over."""
    given = {}
    whole = {"REQUEST_METHOD": "POST", "PATH_INFO": "/api/register", "QUERY_STRING": "", "SERVER_NAME": "x",
             "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
             "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(), **environ}
    body = b"".join(application(whole, lambda status, headers, *rest: given.update(
        status=int(status[:3]), headers=dict(headers))))
    return given["status"], body and json.loads(body.decode("utf-8"))


def test_nothing_is_opened_before_the_first_request(application, tmp_path):
    assert not (tmp_path / "data").exists()


def test_agents_and_people_are_answered_as_ever(client, tmp_path):
    assert client.get("/api/ping").json["status"] == "ok"
    account = {"code": code_of(tmp_path), "username": "anna", "password": "a long password"}
    cookie = client.post("/api/setup", account).headers["set-cookie"].partition(";")[0]
    server = client.post("/api/register", {"hostname": "web"}, {"Cookie": cookie}).json
    key = {"Authorization": "Bearer %(server_id)s:%(api_key)s" % server}
    assert [client.post("/api/metrics", SAMPLE, key).json["stored"] for _ in range(2)] == [True, True]
    assert client.post("/api/metrics/batch", {"payloads": [SAMPLE, {}]}, key).json["results"][0]["stored"] is True
    shown = client.get("/api/dashboard", {"Cookie": cookie, "Accept-Encoding": "gzip"})
    assert shown.json["servers"][0]["metrics"]["cpu_percent"] == METRICS["cpu_percent"]
    rows = client.get("/api/dashboard/export?format=csv&scope=history", {"Cookie": cookie}).text.splitlines()
    assert len(rows) == 1 + 3


def test_this_machine_is_not_trusted_because_a_proxy_would_look_like_it(client):
    for host in ("localhost", "127.0.0.1"):
        assert client.get("/api/dashboard", {"Host": host}).status == 401


def test_refusals_are_the_same(client):
    assert client.get("/api/nothing").json["code"] == "not_found"
    assert client.post("/api/metrics", SAMPLE).status == 401


def test_the_answer_to_head_has_no_body(application):
    for path, status in (("/api/nothing", 404), ("/api/ping", 200), ("/api/dashboard", 401)):
        assert ask(application, REQUEST_METHOD="HEAD", PATH_INFO=path) == (status, b"")


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "9" * 20, "\u0663"])
def test_a_length_that_is_none_is_refused(application, length):
    assert ask(application, CONTENT_LENGTH=length)[0] == 400


def test_a_body_whose_end_the_server_knows_is_read_to_it(application):
    body = json.dumps({"hostname": "web"}).encode()
    terminated = {"wsgi.input_terminated": True}
    assert ask(application, **{"wsgi.input": io.BytesIO(body), **terminated})[0] == 201
    assert ask(application, **{"wsgi.input": io.BytesIO(b" " * ((1 << 20) + 1)), **terminated})[0] == 413
    assert ask(application, CONTENT_LENGTH=str((1 << 20) + 1))[0] == 413
    assert ask(application)[0] == 400


def test_a_second_process_is_told_to_come_back_and_gets_in_when_the_first_is_gone(application, tmp_path, caplog):
    second = Hosted({"SMON_DATA_DIR": str(tmp_path / "data")})
    ping = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/ping"}
    assert ask(application, **ping)[0] == 200
    status, said = ask(second, **ping)
    assert (status, said["code"]) == (503, "unavailable")
    assert "is in use by another hub" in caplog.text
    application.close()
    assert ask(second, **ping)[0] == 200
    second.close()


def test_a_command_says_that_it_does_not_find_the_hub(application, tmp_path, monkeypatch, capsys):
    assert ask(application, REQUEST_METHOD="GET", PATH_INFO="/api/ping")[0] == 200
    monkeypatch.setattr(cli, "log_to_stderr", bool)
    monkeypatch.setattr(os, "umask", bool)
    assert cli.main(["user", "list", "--data-dir", str(tmp_path / "data")]) == cli.CAN_NOT_START
    assert "runs behind another WSGI server" in capsys.readouterr().err


def test_what_could_not_be_opened_is_let_go_of(application, tmp_path):
    database = tmp_path / "data" / "smon.db"
    database.parent.mkdir()
    database.write_bytes(b"no database" * 1_000)
    assert ask(application, REQUEST_METHOD="GET", PATH_INFO="/api/ping")[0] == 503
    database.unlink()
    assert ask(application, REQUEST_METHOD="GET", PATH_INFO="/api/ping")[0] == 200


def test_a_wrong_option_is_in_the_log_and_not_in_the_answer(caplog):
    status, said = ask(Hosted({"SMON_PORT": "web"}))
    assert (status, said["error"]) == (503, "The hub can not start; the log of its server says why.")
    assert "environment variable SMON_PORT must be a number" in caplog.text


def test_smon_server_is_what_other_servers_are_told_to_import(application, monkeypatch):
    monkeypatch.setattr(hosted, "application", application)
    assert ask(smon_server.application, REQUEST_METHOD="GET", PATH_INFO="/api/ping")[0] == 200
