"""The table of routes against lists that people wrote by hand."""

from __future__ import annotations

import pytest

from smon_hub.web.routes import ROUTES
from tests.hub.inside import STRANGER

# Everything that anybody may call. A route is added here by somebody who has thought about it.
OPEN = {
    ("POST", "/api/register"), ("GET", "/api/ping"), ("GET", "/"), ("GET", "/servers/{server_id}"),
    ("GET", "/servers/{server_id}/{tab}"), ("GET", "/alerts"), ("GET", "/alerts/maintenance"), ("GET", "/add"),
    ("GET", "/settings"), ("GET", "/settings/{section}"), ("GET", "/compare"),
    ("GET", "/static/{version}/{name:path}"), ("GET", "/favicon.ico"),
    ("GET", "/login"), ("POST", "/login"), ("POST", "/setup"), ("POST", "/api/setup"),
    ("GET", "/api/session"), ("POST", "/api/session"), ("DELETE", "/api/session"),
    ("GET", "/agent/smon_agent.py"), ("GET", "/agent/smon_agent.py.sha256"),
}
# What somebody who is no admin changes is his own: who he is, and for the first account by a code.
OWN = {("POST", "/api/register"), ("POST", "/login"), ("POST", "/setup"), ("POST", "/api/setup"),
       ("POST", "/api/session"), ("PATCH", "/api/session"), ("DELETE", "/api/session")}
AGENTS = {("POST", "/api/metrics"), ("POST", "/api/metrics/batch"), ("POST", "/api/metrics/live"),
          ("POST", "/api/ping"), ("GET", "/api/config/{server_id}"), ("POST", "/api/config/{server_id}")}
CLOSED = [route for route in ROUTES if route.auth != "open"]


def named(routes):
    return {(route.method, route.path) for route in routes}


def test_the_open_routes_are_these_and_no_others():
    assert named(route for route in ROUTES if route.auth == "open") == OPEN


def test_the_agents_routes_are_these_and_no_others():
    assert named(route for route in ROUTES if route.auth == "agent") == AGENTS


def test_every_route_has_one_of_four_words_and_is_there_once():
    assert {route.auth for route in ROUTES} <= {"open", "agent", "viewer", "admin"}
    assert len(named(ROUTES)) == len(ROUTES)


def test_what_changes_something_is_for_admins_and_agents_only():
    changing = {(route.method, route.path) for route in ROUTES
                if route.method != "GET" and route.auth not in ("agent", "admin")}
    assert changing == OWN


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: "%s %s" % (route.method, route.path))
def test_a_stranger_is_refused_before_anything_is_looked_at(hub_inside, route):
    answer = hub_inside.ask(route.method, route.path.replace("{server_id}", "nobody"), ["not what it expects"],
                            address=STRANGER)
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
