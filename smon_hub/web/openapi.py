"""The contract as an OpenAPI document, made from ROUTES, the shapes of bodies and the settings of queries."""

from __future__ import annotations

import re
from http.client import responses
from typing import Any, Dict, List, Optional, Sequence

from .. import __version__, bodies, channels, errors, settings, shapes
from ..settings import Setting
from ..shapes import Field, Name, Notes, Shape, Time, Unit
from .answers import ANSWERS, Schema
from .call import ANY, FILE, Call, Route, Text, tagged

PREFIXES = ("/api/", "/metrics", "/agent/")  # the rest are pages for browsers
PARAMETER = re.compile(r"\{([a-z_]+)(?::path)?\}")
TEXT: Schema = {"type": "string"}
NOT_JSON = {
    "/metrics": "text/plain", "/agent/smon_agent.py": "text/x-python", "/agent/smon_agent.py.sha256": "text/plain"}
DESCRIPTION = (
    "Times in answers are ISO 8601 UTC, times in requests may have another offset. Bodies are JSON objects of at most "
    "1 MiB (batches 8 MiB) after unpacking, nested at most 20 levels deep, and may be sent with Content-Encoding: "
    "gzip. Unknown members are ignored. A wrong member is 400 with its name and bounds, and nothing is stored. Until "
    "the first account exists, programs on the hub's own machine need no credential.")
SCHEMES: Dict[str, Schema] = {
    "agent": {"type": "http", "scheme": "bearer", "description": "server_id:api_key, as registration answered them."},
    "token": {"type": "http", "scheme": "bearer", "description": "An API token, smt_…, of the role or a higher one."},
    "session": {"type": "apiKey", "in": "cookie", "name": "smon_session", "description": "A browser that logged in."},
}
ERROR: Schema = {
    "type": "object", "required": ["error", "code"],
    "properties": {"error": {"type": "string", "description": "A sentence that names the member and its bounds."},
                   "code": {"type": "string", "enum": sorted(errors.STATUS)}}}

Hub = Any  # hub.Hub, which is passed and never imported


class Contract:
    """The document of a table of routes, made when it is first asked for."""

    def __init__(self, routes: Sequence[Route]):
        self._routes = routes
        self._text: Optional[Text] = None

    def text(self) -> Text:
        if self._text is None:
            self._text = tagged(document(self._routes))
        return self._text


def show(hub: Hub, call: Call) -> Text:
    """This contract."""
    return hub.contract.text()


def document(routes: Sequence[Route]) -> Schema:
    """The OpenAPI document of every route that is not a page."""
    paths: Dict[str, Schema] = {}
    for route in routes:
        if route.path.startswith(PREFIXES):
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    used = sorted({status for path in paths.values() for operation in path.values()
                   for status in operation["responses"] if status[0] in "45"})
    return {"openapi": "3.1.0", "servers": [{"url": "/"}], "paths": paths,
            "info": {"title": "smon", "version": __version__, "description": DESCRIPTION},
            "components": {"securitySchemes": SCHEMES, "schemas": {"error": ERROR},
                           "responses": {"status_" + status: _refusal(int(status)) for status in used}}}


def statuses(route: Route) -> List[int]:
    """The statuses of the refusals that a route may answer with."""
    found = {"bad_request", "rate_limited", "internal", "unavailable"}
    if route.auth != "open":
        found |= {"unauthorized", "forbidden"}
    if "{" in route.path or any(row.key == "server" for row in route.query):
        found |= {"not_found"}
    if route.body is not None:
        found |= {"too_large", "unsupported_type", "timeout"}
    if route.method != "GET":
        found |= {"conflict", "forbidden", "unauthorized", "not_found"}
    return sorted({errors.STATUS[code] for code in found} | {421})


def _operation(route: Route) -> Schema:
    operation: Schema = {
        "operationId": "_".join([route.method.lower(), *re.findall("[a-z_0-9]+", route.path)]),
        "summary": route.summary, "x-role": route.auth, "responses": _responses(route),
        "security": [{name: []} for name in SCHEMES if _opens(name, route.auth)]}
    parameters = [*map(_path_parameter, PARAMETER.findall(route.path)), *map(_query_parameter, route.query)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        kind = "application/octet-stream" if route.body is FILE else "application/json"
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": body(route)}}}
    return operation


def _opens(scheme: str, role: str) -> bool:
    return scheme == "agent" if role == "agent" else scheme != "agent" and role != "open"


def _responses(route: Route) -> Dict[str, Schema]:
    kind = NOT_JSON.get(route.path, "application/json")
    content: Schema = {kind: {"schema": ANSWERS.get("%s %s" % (route.method, route.path), {"type": "object"})
                              if kind == "application/json" else TEXT}}
    if any(row.key == "format" for row in route.query):
        content["text/csv"] = {"schema": TEXT}
    answers: Dict[str, Schema] = {str(route.status): {"description": route.summary, "content": content}}
    if route.method == "GET":
        answers["304"] = {"description": "What If-None-Match names is still so."}
    answers.update((str(status), {"$ref": "#/components/responses/status_%d" % status}) for status in statuses(route))
    return answers


def _refusal(status: int) -> Schema:
    answer: Schema = {"description": responses[status] + ".",
                      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}}
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    return answer


def _path_parameter(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameter(row: Setting) -> Schema:
    return {"name": row.key, "in": "query", "required": False, "description": row.sentence,
            "schema": {key: value for key, value in setting(row).items() if key != "description"}}


# --- from declarations to schemas -------------------------------------------------------------------------------------

def body(route: Route) -> Schema:
    """The schema of what a route reads; of what its handler checks itself, the table that it checks with."""
    if route.body is FILE:
        return {}
    if route.body is not ANY:
        assert route.body is not None
        return shape(route.body)
    if route.path.endswith("/batch"):
        batch = Field("payloads", [bodies.SAMPLE], "Samples, oldest first.", min=1, max=bodies.BATCH_MAX, required=True)
        return shape(Shape("batch", batch))
    if route.path.endswith("/settings"):
        return {"type": "object", "minProperties": 1,
                "properties": {row.key: setting(row) for row in settings.SETTINGS}}
    channel = shape(bodies.CHANNEL)
    channel["properties"].update(
        kind={"type": "string", "enum": list(channels.KINDS), "description": "Of a new one."},
        config={"type": "object", "description": "What its kind needs; GET tells under kinds."})
    return channel


def shape(given: Shape) -> Schema:
    """A body's schema. Members that are not required may be null, but for a change, which takes what was sent."""
    schema: Schema = {"type": "object", "properties": {
        each.name: _described(each, field(each) if each.required or given.partial else nullable(field(each)))
        for each in given.fields}}
    required = [each.name for each in given.fields if each.required]
    if required:
        schema["required"] = required
    if given.partial:
        schema["minProperties"] = 1
    return schema


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def field(given: Field) -> Schema:
    """A member's schema, without its sentence."""
    kind = given.kind
    if isinstance(kind, Shape):
        return shape(kind)
    if isinstance(kind, list):
        entry = kind[0] if isinstance(kind[0], Field) else Field("", kind[0])
        return _bounded({"type": "array", "items": field(entry)}, minItems=given.min, maxItems=given.max)
    if kind in (int, float):
        low, high = shapes.bounds(given)
        return {"type": "integer" if kind is int else "number", "minimum": low, "maximum": high}
    return _text(given) if kind not in PLAIN else dict(PLAIN[kind])


PLAIN: Dict[Any, Schema] = {
    bool: {"type": "boolean"}, Name: TEXT, Time: {"type": "string", "format": "date-time"},
    Unit: {"type": "string", "pattern": r"^(?!-)[A-Za-z0-9@._:\\-]{1,256}$"},
    dict: {"type": "object", "additionalProperties": TEXT, "maxProperties": shapes.WORDS_MAX},
}


def _text(given: Field) -> Schema:
    most = given.max or (shapes.NOTES_MAX if given.kind is Notes else shapes.IDENTITY_MAX)
    schema = _bounded(TEXT, minLength=given.min, maxLength=most)
    return {**schema, "enum": list(given.choices)} if given.choices else schema


def setting(row: Setting) -> Schema:
    """A setting's schema, or that of a parameter of a query."""
    as_field = Field(row.key, row.kind, min=row.min, max=row.max, choices=tuple(row.choices))
    schema = {**field(as_field), "description": row.sentence}
    if row.secret:
        schema["writeOnly"] = True
    elif row.default is not None:
        schema["default"] = row.default
    return schema


def _bounded(schema: Schema, **bounds: Optional[float]) -> Schema:
    return {**schema, **{name: int(bound) for name, bound in bounds.items() if bound}}


def _described(given: Field, schema: Schema) -> Schema:
    return {**schema, "description": given.sentence} if given.sentence else schema
