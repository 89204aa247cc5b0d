"""Every answer's shape and headers, whatever was asked and however it ended."""

from __future__ import annotations

import pytest

from smon_hub.web import dashboard_api, routes
from tests.api.test_pages import CSP
from tests.hub.inside import HERE

SECURITY = {
    "content-security-policy": CSP, "x-content-type-options": "nosniff", "x-frame-options": "DENY",
    "referrer-policy": "no-referrer", "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

ASKED = [
    ("GET", "/", 200), ("GET", "/servers/a", 200), ("GET", "/favicon.ico", 200), ("GET", "/nothing", 404),
    ("GET", "/api/ping", 200), ("GET", "/api/dashboard", 200), ("GET", "/api/dashboard/server/a", 404),
    ("GET", "/api/nothing", 404), ("POST", "/api/nothing", 404), ("DELETE", "/api/ping", 405),
    ("POST", "/api/metrics", 401), ("POST", "/api/register", 400), ("GET", "/api/dashboard?view=x", 400),
    ("OPTIONS", "/api/ping", 204), ("HEAD", "/api/ping", 200), ("HEAD", "/nothing", 404), ("GET", "/static/x/y", 404),
    ("PUT", "/", 405), ("GET", "/%ff", 404), ("TRACE", "/", 501),
]


@pytest.mark.parametrize("method, path, status", ASKED)
def test_every_answer_has_its_security_headers(hub, method, path, status):
    answer = hub.request(method, path)
    assert answer.status == status
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    assert "cache-control" in answer.headers or status == 204
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(answer.headers)


@pytest.mark.parametrize("method, path, status", [each for each in ASKED if each[2] >= 400 and each[0] != "HEAD"])
def test_every_error_is_one_sentence_and_one_word(hub, method, path, status):
    answer = hub.request(method, path)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert {"error", "code"} <= set(answer.json) <= {"error", "code", "field", "limit"}
    assert answer.json["error"].endswith(".")


@pytest.mark.parametrize("path", ["/api/ping", "/api/dashboard", "/", "/favicon.ico"])
def test_head_is_get_without_the_body(hub, path):
    head, get = hub.request("HEAD", path), hub.get(path)
    assert (head.status, head.body) == (200, b"")
    varying = {"date", "etag", "content-length"} if path == "/api/ping" else {"date"}
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in get.headers.items() if name not in varying}


@pytest.mark.parametrize("path, methods", [
    ("/api/ping", {"GET", "HEAD", "POST"}), ("/api/register", {"POST"}), ("/api/dashboard", {"GET", "HEAD"}),
    ("/api/dashboard/server/a", {"GET", "HEAD", "PATCH", "DELETE"}), ("/", {"GET", "HEAD"}),
    ("/api/dashboard/settings", {"GET", "HEAD", "PATCH", "DELETE"}),
])
def test_a_wrong_method_and_options_tell_the_right_ones(hub, path, methods):
    refused, options = hub.request("PUT", path), hub.request("OPTIONS", path)
    assert (refused.status, options.status, options.body) == (405, 204, b"")
    assert refused.json["code"] == "method_not_allowed"
    for answer in (refused, options):
        assert {word.strip() for word in answer.headers["allow"].split(",")} - {"OPTIONS"} == methods


def test_options_of_nothing_is_404(hub):
    assert hub.request("OPTIONS", "/api/nothing").status == 404


@pytest.mark.parametrize("path, as_page", [("/nothing", True), ("/servers/a/b/c", True), ("/api/nothing", False),
                                           ("/static/x/y.js", False)])
def test_a_wrong_address_is_a_page_for_people_and_json_for_scripts(hub, path, as_page):
    browser, script = hub.get(path, BROWSER), hub.get(path)
    assert browser.status == script.status == 404
    assert browser.headers["content-type"] == ("text/html; charset=utf-8" if as_page else "application/json")
    assert script.json["code"] == "not_found"


def test_an_error_page_shows_nothing_that_was_asked(hub):
    answer = hub.get("/%3Cscript%3Ealert(1)%3C/script%3E", BROWSER)
    assert answer.status == 404
    assert "alert(1)" not in answer.text


def test_trailing_slashes_and_cases_are_other_addresses(hub):
    assert [hub.get(path).status for path in ("/api/ping/", "/API/ping", "/api//ping")] == [404] * 3


def test_a_path_that_is_no_utf_8_is_no_other_path_without_those_bytes(hub):
    server = hub.register("stays")
    assert hub.get("/api/ping%ff").status == hub.get("/api/dashboard/server/%s%%ff" % server.id).status == 404
    assert hub.delete("/api/dashboard/server/%s%%c3" % server.id).status == 404
    assert hub.server(server.id)


def test_a_failure_inside_says_only_that_it_happened(hub_inside, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("secret detail")
    monkeypatch.setattr(dashboard_api.Overview, "text", fail)
    answer = hub_inside.ask("GET", "/api/dashboard", address=HERE, host="localhost")
    assert (answer.status, answer.json) == (500, {"error": "Internal error.", "code": "internal"})
    assert "secret detail" in caplog.text


def test_a_store_that_can_not_write_is_503_with_when_to_come_back(hub_inside):
    server = hub_inside.register()
    bearer = {"Authorization": "Bearer %(server_id)s:%(api_key)s" % server}
    hub_inside.engine.write(lambda db: db.execute("ALTER TABLE samples RENAME TO gone"))
    answer = hub_inside.ask("POST", "/api/metrics", {"metrics": {"cpu_percent": 1, "memory_percent": 1}},
                            headers=bearer)
    hub_inside.engine.write(lambda db: db.execute("ALTER TABLE gone RENAME TO samples"))
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "unavailable", "5")


def test_no_sentence_of_the_table_is_missing():
    assert all(route.summary.endswith(".") for route in routes.ROUTES)
