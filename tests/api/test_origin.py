"""Pages of other origins, names of other hosts and proxies do not get this machine's trust."""

from __future__ import annotations

import pytest

from smon_hub import settings

SETTINGS = "/api/dashboard/settings"
CHANGE = {"stale_threshold_minutes": 99}

FOREIGN = [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://{host}"}, {"Origin": "http://{host}.evil.example"}, {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://{host}"},
]
OURS = [{}, {"Origin": "http://{host}"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"},
        {"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"}]


def headers_for(hub, headers):
    return {name: value.replace("{host}", "127.0.0.1:%d" % hub.port) for name, value in headers.items()}


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_origin_changes_nothing(hub, headers):
    server = hub.register("target")
    headers = headers_for(hub, headers)
    assert hub.patch(SETTINGS, CHANGE, headers).status == 403
    assert hub.delete("/api/dashboard/server/" + server.id, None, headers).status == 403
    assert hub.delete(SETTINGS, None, headers).status == 403
    assert hub.post("/api/register", {"hostname": "planted"}, headers).status == 403
    assert hub.get(SETTINGS).json["settings"] == settings.answer(settings.DEFAULTS)
    assert "planted" not in hub.get("/api/dashboard").text


@pytest.mark.parametrize("bearer", ["Bearer x", "Bearer smt_" + "0" * 64, "bearer"])
def test_a_header_that_is_no_token_is_no_way_around(hub, bearer):
    headers = {"Authorization": bearer, "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert hub.patch(SETTINGS, CHANGE, headers).status == 403
    assert hub.get(SETTINGS).json["settings"] == settings.answer(settings.DEFAULTS)


@pytest.mark.parametrize("headers", OURS, ids=str)
def test_our_own_page_may(hub, headers):
    assert hub.patch(SETTINGS, {"stale_threshold_minutes": 15}, headers_for(hub, headers)).status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                                          "application/jsonx", "text/plain; application/json"])
def test_what_a_form_could_send_is_415(hub, content_type):
    answer = hub.patch(SETTINGS, '{"stale_threshold_minutes": 99}', {"Content-Type": content_type})
    assert (answer.status, answer.json["code"]) == (415, "unsupported_type")
    assert hub.get(SETTINGS).json["settings"] == settings.answer(settings.DEFAULTS)


def test_where_no_body_is_wanted_a_form_is_none_either(hub):
    path = "/api/dashboard/server/%s/rotate-key" % hub.register("target").id
    statuses = [hub.post(path, b"", {"Content-Type": kind} if kind else None).status
                for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json", "")]
    assert statuses == [415, 415, 200, 200]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_taken_in_every_spelling(hub, content_type):
    assert hub.patch(SETTINGS, '{"stale_threshold_minutes": 15}', {"Content-Type": content_type}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.0.2.1:3000", "localhost.example"])
def test_a_name_that_leads_here_from_elsewhere_is_not_trusted(hub, host):
    answer = hub.get("/api/dashboard", {"Host": host})
    assert answer.status == (401 if host.startswith("192") else 421)


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host",
                                    "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "x-forwarded-for"])
def test_a_request_that_came_through_a_proxy_is_not_trusted(hub, header):
    assert hub.get("/api/dashboard", {header: "127.0.0.1"}).status == 401


def test_a_header_with_an_underscore_is_no_forwarding_header_and_no_way_around(hub):
    assert hub.get("/api/dashboard", {"X_Forwarded_For": "192.0.2.1"}).status == 200


def test_an_agent_is_known_by_its_key_whatever_host_and_proxy_it_came_by(hub):
    server = hub.register("far")
    headers = dict(server.headers, Host="hub.example", **{"X-Forwarded-For": "192.0.2.9", "Via": "1.1 proxy"})
    body = {"metrics": {"cpu_percent": 1, "memory_percent": 1}}
    assert hub.post("/api/metrics", body, headers).status == 200


def test_an_agents_key_opens_no_dashboard_to_a_stranger(hub_inside):
    server = hub_inside.register()
    bearer = {"Authorization": "Bearer %(server_id)s:%(api_key)s" % server}
    assert hub_inside.ask("GET", "/api/dashboard", headers=bearer).status == 401
