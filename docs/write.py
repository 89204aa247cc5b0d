"""Write the tables of docs/api.md and docs/settings.md from the tables of the code: `python docs/write.py`.

What stands between `<!-- written: NAME -->` and `<!-- end -->` is made here, the rest is written by hand. A test
compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import smon_agent  # noqa: E402  (the programs lie beside this folder)
from smon_hub import bodies, channels, config, errors, exposition, settings, shapes  # noqa: E402
from smon_hub.web import openapi  # noqa: E402
from smon_hub.web.answers import ANSWERS, OBJECTS  # noqa: E402
from smon_hub.web.call import ANY, FILE, Route  # noqa: E402
from smon_hub.web.routes import ROUTES  # noqa: E402

HUB = "http://localhost:3000"
PART = re.compile(r"(<!-- written: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
WHO = {"open": "Anybody", "agent": "The agent", "viewer": "Viewers and admins", "admin": "Admins"}
SAMPLE = {"metrics": {"cpu_percent": 12.5, "memory_percent": 37.5}}
EXAMPLES: Dict[str, Any] = {
    "POST /api/register": {"hostname": "web1", "group_name": "shop"},
    "POST /api/metrics": SAMPLE,
    "POST /api/metrics/batch": {"payloads": [{"collected_at": "2026-11-22T10:00:00Z", **SAMPLE}]},
    "POST /api/metrics/live": {"cpu_percent": 12.5, "memory_percent": 37.5},
    "POST /api/config/{server_id}": {"revision": 1},
    "POST /api/dashboard/server/{server_id}/config": {"collection_interval_minutes": 5},
    "PATCH /api/dashboard/server/{server_id}": {"notes": "Behind the second door.", "alert_cpu_threshold": 80},
    "PATCH /api/dashboard/settings": {"stale_threshold_minutes": 20},
    "PATCH /api/dashboard/users/{name}": {"role": "viewer"},
    "PATCH /api/dashboard/notifications": {"mark_all": True},
    "POST /api/dashboard/channels": {
        "kind": "webhook", "name": "on call", "config": {"url": "https://192.0.2.7/alerts"}},
    "PATCH /api/dashboard/channels/{channel_id}": {"enabled": False},
    "POST /api/dashboard/rules": {"group": "shop", "alert_cpu_threshold": 80, "alert_for_minutes": 10},
    "POST /api/dashboard/maintenance": {
        "name": "Updates", "kind": "weekly", "days": [6], "start": "02:30", "minutes": 90},
}
VALUES = {"hostname": "web1", "username": "anna", "password": "a long password", "name": "anna", "role": "viewer",
          "old_password": "a long password", "new_password": "a longer password", "code": "K7QM-2XHD-9RWT"}

Row = Sequence[str]


# --- docs/api.md ------------------------------------------------------------------------------------------------------

def calls() -> Iterator[str]:
    for route in ROUTES:
        if route.path.startswith(openapi.PREFIXES):
            yield from call(route)


def call(route: Route) -> Iterator[str]:
    """A section: who may, an example, what is sent, what is answered."""
    yield "### %s %s\n\n" % (route.method, route.path)
    yield "%s %s may call it%s.\n\n" % (route.summary, WHO[route.auth], "; it counts for the rate limit"
                                        if route.limited else "")
    yield "```sh\n%s\n```\n\n" % example(route)
    if route.query:
        yield from table(("parameter", "value", ""), ((code(row.key), bounds_of(row), row.sentence)
                                                      for row in route.query))
    if route.path == "/api/metrics/batch":
        yield "`payloads` is a list of 1 to %d objects as above, oldest first.\n\n" % bodies.BATCH_MAX
    elif route.body is not None and route.body is not FILE:
        yield from members(shape_of(route))
    yield answers(route)


def example(route: Route) -> str:
    """The call as a command."""
    words = ["curl"] + ([] if route.method == "GET" else ["-X", route.method])
    path = openapi.PARAMETER.sub(lambda found: "$" + found.group(1).upper(), route.path)
    words.append('"%s%s"' % (HUB, path) if "$" in path else HUB + path)
    if route.auth != "open":
        words.append('-H "Authorization: Bearer %s"' % ("$SERVER_ID:$API_KEY" if route.auth == "agent" else "$TOKEN"))
    if route.body is FILE:
        words.append("-H 'Content-Type: application/octet-stream' --data-binary @export.spool")
    elif route.body is not None:
        words.append("-H 'Content-Type: application/json'")
        words.append("-d '%s'" % json.dumps(EXAMPLES.get(name_of(route)) or least(shape_of(route))))
    return wrapped(words)


def wrapped(words: List[str]) -> str:
    """The words in lines that fit a page."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) > 110:
            lines[-1] += " \\"
            lines.append("    " + word)
        else:
            lines[-1] += " " + word
    return "\n".join(lines)


def least(shape: shapes.Shape) -> Dict[str, Any]:
    """The smallest body that is taken; of a change, its first member."""
    needed = [field for field in shape.fields if field.required] or list(shape.fields[:1])
    return {field.name: VALUES.get(field.name, 1) for field in needed}


def shape_of(route: Route) -> shapes.Shape:
    if route.body is not ANY:
        assert route.body is not None
        return route.body
    if route.path.endswith("/settings"):
        return shapes.Shape("settings")
    kind = shapes.Field("kind", str, "What it is, of a new one.", choices=tuple(channels.KINDS))
    return shapes.Shape("channel", kind, *bodies.CHANNEL.fields,
                        shapes.Field("config", dict, "What its kind needs; GET lists it under `kinds`."))


def members(shape: shapes.Shape) -> Iterator[str]:
    if not shape.fields:
        yield "Every setting of [settings.md](settings.md) may be sent, as its type or as text.\n\n"
        return
    yield from table(("member", "value", ""), ((code(field.name), value_of(field) + (
        ", required" if field.required else ""), field.sentence) for field in shape.fields))


def answers(route: Route) -> str:
    """What a success looks like, in a line."""
    told = ANSWERS.get(name_of(route), {})
    names = told.get("required") or next(iter(told.get("anyOf", [{}]))).get("required", [])
    text = "Answers %d" % route.status
    if names:
        text += " with " + ", ".join(code(name) for name in names)
    elif route.path in openapi.NOT_JSON:
        text += " as " + openapi.NOT_JSON[route.path]
    return text + ".\n\n"


def objects() -> Iterator[str]:
    """The objects that bodies hold, each once."""
    for shape in inner([route.body for route in ROUTES if isinstance(route.body, shapes.Shape)], set()):
        yield "### %s\n\n" % shape.name
        yield from members(shape)


def inner(outer: Sequence[shapes.Shape], seen: set) -> Iterator[shapes.Shape]:
    for shape in outer:
        for field in shape.fields:
            kind = field.kind[0] if isinstance(field.kind, list) else field.kind
            if isinstance(kind, shapes.Shape) and kind.name not in seen:
                seen.add(kind.name)
                yield kind
                yield from inner([kind], seen)


def answered() -> Iterator[str]:
    """The objects that answers hold; each has all of these members."""
    yield from table(("object", "members"), ((name, ", ".join(code(member) for member in schema["required"]))
                                             for name, schema in OBJECTS.items()))


def refusals() -> Iterator[str]:
    yield from table(("status", "code"), ((str(status), code(word)) for word, status in errors.STATUS.items()))


def series() -> Iterator[str]:
    yield from table(("series", "kind", ""), (
        (code(exposition.PREFIX + name), kind, sentence) for name, kind, sentence, *_ in (
            exposition.UP, exposition.ALERTS, exposition.SEEN, exposition.SAMPLED, *exposition.FAMILIES)))


# --- docs/settings.md -------------------------------------------------------------------------------------------------

def settings_of_the_hub() -> Iterator[str]:
    for group in dict.fromkeys(row.group for row in settings.SETTINGS):
        yield "### %s\n\n" % group
        yield from table(("setting", "value", "default", ""), (
            (code(row.key), bounds_of(row), "" if row.secret else code(json.dumps(row.default)),
             row.sentence + (" Write-only." if row.secret else ""))
            for row in settings.SETTINGS if row.group == group))


def options_of_the_hub() -> Iterator[str]:
    yield from table(("flag", "environment", "default", ""), (
        (code("--" + option.key.replace("_", "-")), code("SMON_" + option.key.upper()), code(str(option.default)),
         option.sentence) for option in config.OPTIONS))


def options_of_the_agent() -> Iterator[str]:
    yield from table(("option", "value", "default", "from the hub", ""), (
        (code(option.key), agent_value(option), code(json.dumps(option.default)), "yes" if option.remote else "no",
         option.sentence) for option in smon_agent.OPTIONS))


def agent_value(option: Any) -> str:
    if option.type in (int, float):
        return "%s from %g to %s" % ("whole number" if option.type is int else "number", option.low, option.high)
    return {bool: "true or false", str: "text", list: "list of texts", (str, list): "text or texts"}[option.type]


# --- words ------------------------------------------------------------------------------------------------------------

def bounds_of(row: settings.Setting) -> str:
    """What a setting or a parameter may be."""
    words = value_of(shapes.Field(row.key, row.kind, min=row.min, max=row.max, choices=tuple(row.choices)))
    return words + ("" if row.group or row.default is None else "; %s when absent" % code(str(row.default)))


def value_of(field: shapes.Field) -> str:
    """What a member may be."""
    kind = field.kind
    if isinstance(kind, shapes.Shape):
        return "[%s](#%s)" % (kind.name, kind.name)
    if isinstance(kind, list):
        entry = kind[0] if isinstance(kind[0], shapes.Field) else shapes.Field("", kind[0])
        return "list of at most %d: %s" % (field.max or 0, value_of(entry))
    if kind in (int, float) and field.max is None:  # nothing that a machine counts is more
        return "%s from %g" % ("whole number" if kind is int else "number", field.min or 0)
    if kind is shapes.Name:
        return "text, cut at %d characters" % shapes.NAME_MAX
    return re.sub(r"^must be (?:an? )?|\.$", "", shapes.expectation(field)).replace(" without control characters", "")


def code(text: str) -> str:
    return "`%s`" % text if text else ""


def name_of(route: Route) -> str:
    return "%s %s" % (route.method, route.path)


def table(head: Row, rows: Any) -> Iterator[str]:
    yield "| %s |\n|%s\n" % (" | ".join(head), "---|" * len(head))
    for row in rows:
        yield "| %s |\n" % " | ".join(cell.replace("|", "\\|") for cell in row)
    yield "\n"


# --- files ------------------------------------------------------------------------------------------------------------

PARTS: Dict[str, Callable[[], Iterator[str]]] = {
    "calls": calls, "objects": objects, "answered": answered, "refusals": refusals, "series": series,
    "settings": settings_of_the_hub, "options": options_of_the_hub, "options of the agent": options_of_the_agent,
}
FILES = ("api.md", "settings.md")


def written(name: str) -> Tuple[Path, str]:
    """A document and its text as it should be."""
    path = ROOT / "docs" / name
    return path, PART.sub(lambda found: found.group(1) + "\n" + "".join(PARTS[found.group(2)]()) + found.group(3),
                          path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for document, text in map(written, FILES):
        document.write_text(text, encoding="utf-8")
