"""GET /api/openapi.json: a valid document that says what the hub does, tried against a hub."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from smon_hub import bodies, errors
from smon_hub.settings import SETTINGS
from smon_hub.web import openapi
from smon_hub.web.answers import ANSWERS
from smon_hub.web.routes import ROUTES
from tests.hub.inside import HERE, STRANGER
from tests.support import needs
from tests.support.processes import HubProcess

DOCUMENT = openapi.document(ROUTES)
TOLD = [route for route in ROUTES if route.path.startswith(openapi.PREFIXES)]
EXAMPLES = 12
OUTWARD = ("alert_email", "dead_man", "proxy")  # settings that would make the hub under test call somebody


def operation(method, path):
    return DOCUMENT["paths"][path][method.lower()]


def name_of(route):
    return "%s %s" % (route.method, route.path)


# --- the document -----------------------------------------------------------------------------------------------------

def test_it_is_a_valid_document():
    validator = needs.module("openapi_spec_validator", why="it knows the rules of OpenAPI", python=(3, 9))
    validator.validate(DOCUMENT)


def test_it_is_what_the_hub_answers(hub_inside):
    answer = hub_inside.ask("GET", "/api/openapi.json", address=HERE, host="localhost")
    assert answer.json == json.loads(json.dumps(DOCUMENT))
    assert hub_inside.ask("GET", "/api/openapi.json", address=STRANGER).status == 401


def test_every_call_is_in_it_and_no_page():
    assert {name_of(route) for route in TOLD} == {
        "%s %s" % (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert "/" not in DOCUMENT["paths"] and "/login" not in DOCUMENT["paths"]


def test_names_of_operations_are_there_once():
    names = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("route", TOLD, ids=name_of)
def test_a_call_says_who_may_and_how_it_refuses(route):
    told = operation(route.method, route.path)
    schemes = {name for each in told["security"] for name in each}
    assert schemes == {"open": set(), "agent": {"agent"}}.get(route.auth, {"token", "session"})
    assert (told["x-role"], told["summary"]) == (route.auth, route.summary)
    assert {"400", "429", "503", str(route.status)} <= set(told["responses"])
    assert route.auth == "open" or {"401", "403"} <= set(told["responses"])
    assert route.body is None or {"413", "415"} <= set(told["responses"])


def test_bounds_and_choices_are_those_of_the_tables():
    register = operation("POST", "/api/register")["requestBody"]["content"]["application/json"]["schema"]
    assert register["required"] == ["hostname"]
    assert register["properties"]["hostname"] == {
        "type": "string", "minLength": 1, "maxLength": 255, "description": "The machine's own name."}
    assert register["properties"]["tags"]["type"] == ["array", "null"]
    change = operation("PATCH", "/api/dashboard/settings")["requestBody"]["content"]["application/json"]["schema"]
    assert set(change["properties"]) == {row.key for row in SETTINGS}
    assert change["properties"]["stale_threshold_minutes"] == {
        "type": "integer", "minimum": 1, "maximum": 1440, "default": 15,
        "description": "Minutes of silence before a server counts as offline."}
    hours = next(each for each in operation("GET", "/api/dashboard/export")["parameters"] if each["name"] == "hours")
    assert (hours["in"], hours["schema"]) == ("query", {
        "type": "integer", "minimum": 1, "maximum": 8760, "default": 168})
    batch = operation("POST", "/api/metrics/batch")["requestBody"]["content"]["application/json"]["schema"]
    assert batch["properties"]["payloads"]["maxItems"] == bodies.BATCH_MAX


def test_secrets_are_written_and_never_shown():
    change = operation("PATCH", "/api/dashboard/settings")["requestBody"]["content"]["application/json"]["schema"]
    for row in SETTINGS:
        assert ("writeOnly" in change["properties"][row.key]) == row.secret
        assert not (row.secret and "default" in change["properties"][row.key])


def test_every_error_has_the_one_shape():
    assert DOCUMENT["components"]["schemas"]["error"]["properties"]["code"]["enum"] == sorted(errors.STATUS)
    for told in DOCUMENT["components"]["responses"].values():
        assert told["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/error"}


def test_an_answer_is_told_of_no_call_that_is_not_there():
    assert set(ANSWERS) <= {name_of(route) for route in TOLD}


# --- the hub ----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A hub with a bit of everything, the headers of its admin's script and of an agent, and that agent's server."""
    with HubProcess(tmp_path_factory.mktemp("openapi") / "data") as hub:
        assert hub.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1_000_000}).status == 200
        server = hub.register("tried")
        server.send({"cpu_percent": 99}, services=[{"service_name": "nginx", "status": "running"}],
                    processes=[{"pid": 1, "name": "init"}])
        server.live()
        window = {"name": "Updates", "kind": "daily", "start": "02:30", "minutes": 90}
        assert hub.post("/api/dashboard/maintenance", window).status == 201
        token = hub.post("/api/dashboard/tokens", {"name": "tried", "role": "admin"}).json["token"]
        yield (hub, server.id, {"Authorization": "Bearer " + token},
               {"Authorization": "Bearer %s:%s" % (server.id, server.key)})
        assert "Traceback" not in hub.log, hub.log


@pytest.mark.parametrize("route", sorted(TOLD, key=lambda route: route.method != "GET"), ids=name_of)
def test_the_hub_does_what_the_document_says(tried, route):
    tool = needs.module("schemathesis", why="it makes requests from the document", python=(3, 11))
    checks = needs.module("schemathesis.checks", why="it judges the answers")
    specs = needs.module("schemathesis.specs.openapi.checks", why="it judges the answers")
    hub, server_id, admin, agent = tried
    schema = tool.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=hub.url)

    @given(case=schema[route.path][route.method].as_strategy())
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    def conforms(case):
        if "{server_id}" in route.path and route.method != "DELETE":
            case.path_parameters["server_id"] = server_id
        if "{alert_id}" in route.path:
            case.path_parameters["alert_id"] = "1"
        if isinstance(case.body, dict):
            case.body = {key: value for key, value in case.body.items() if not key.startswith(OUTWARD)}
        case.call_and_validate(headers=agent if route.auth == "agent" else admin, checks=[
            checks.not_a_server_error, specs.status_code_conformance, specs.content_type_conformance,
            specs.response_schema_conformance])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tool, about itself
        conforms()
