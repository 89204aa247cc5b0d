"""Conditional GET: who has an answer already is told so in a few bytes."""

from __future__ import annotations

import pytest

from smon_hub.web.routes import ROUTES
from tests.hub.inside import HERE

POLLED = ("/api/dashboard", "/api/dashboard?view=cards", "/api/dashboard/server/{id}", "/api/dashboard/alerts",
          "/api/dashboard/server/{id}?hours=1", "/api/dashboard/server/{id}/config", "/api/dashboard/notifications",
          "/api/dashboard/settings", "/api/dashboard/maintenance", "/api/openapi.json")


@pytest.fixture
def ask(hub_inside):
    server = hub_inside.server(hostname="polled")
    hub_inside.send(server, processes=[{"pid": 1, "name": "init"}])

    def asked(path, tag="", **headers):
        if tag:
            headers["If-None-Match"] = tag
        return hub_inside.ask("GET", path.replace("{id}", server.row["uuid"]), address=HERE, host="localhost",
                              headers=headers)
    asked.hub, asked.server = hub_inside, server
    return asked


@pytest.mark.parametrize("path", POLLED)
def test_what_is_polled_is_told_once(ask, path):
    first = ask(path)
    assert first.status == 200 and first.headers["etag"].startswith('"')
    again = ask(path, first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert again.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [path for path in POLLED if "{id}" in path and "config" not in path])
def test_a_new_sample_is_told(ask, path):
    tag = ask(path).headers["etag"]
    ask.hub.pass_time(60_000)
    ask.hub.send(ask.server, {"cpu_percent": 77.5})
    answer = ask(path, tag)
    assert (answer.status, answer.json["metrics"]["cpu_percent"]) == (200, 77.5)
    assert answer.headers["etag"] != tag


def test_a_setting_that_changed_is_told(ask):
    tag = ask("/api/dashboard/settings").headers["etag"]
    ask.hub.change_settings({"stale_threshold_minutes": 20})
    assert ask("/api/dashboard/settings", tag).json["settings"]["stale_threshold_minutes"] == 20


def test_one_of_several_tags_will_do_and_a_weak_one_too(ask):
    path = "/api/dashboard/settings"
    tag = ask(path).headers["etag"]
    assert ask(path, '"other", %s' % tag).status == ask(path, "W/" + tag).status == 304
    assert ask(path, '"other"').status == ask(path, tag.strip('"')).status == ask(path, tag[:-2] + '"').status == 200


def test_an_answer_is_the_same_packed_and_plain(ask):
    plain, packed = ask("/api/dashboard/settings"), ask("/api/dashboard/settings", **{"Accept-Encoding": "gzip"})
    assert plain.headers["etag"] == packed.headers["etag"]
    assert packed.headers["content-encoding"] == "gzip"


def test_the_polled_paths_are_routes():
    paths = {route.path.replace("{server_id}", "{id}") for route in ROUTES if route.method == "GET"}
    assert {path.partition("?")[0] for path in POLLED} <= paths
