"""CHANNELS: the kinds of places that messages go to: what each needs to be told, and how it is spoken to."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple
from urllib.parse import urlsplit

from . import clock, mail, outbound, settings, syslog
from .errors import HubError
from .messages import OVER, Message
from .outbound import DeliveryError, Rules, Way
from .settings import Setting

Config = Mapping[str, Any]

ALL = 10_000                 # messages that one message may stand for: as many as may wait
BATCH = 500                  # where each is spelt out
FIRING_DAYS = 30             # Alertmanager forgets an alert that is not said again before its end
URL_MAX, SECRET_MAX = 2_000, 500
PRIORITIES = {"critical": 5, "warning": 4, "info": 3}
PASSING = (408, 429)         # of the 4xx: another time it may be taken
COLOURS = {"critical": "#d32f2f", "warning": "#f9a825", "info": "#1976d2"}
GREEN = "#2e7d32"


class Kind(NamedTuple):
    """fields: its config, a row each; those named url are addresses. together: how many messages may go as one.

    send(way, config, settings, to, message) returns a remark or an empty text, and raises DeliveryError.
    """

    name: str
    sentence: str
    fields: Tuple[Setting, ...]
    send: Callable[[Way, Config, Config, List[str], Message], str]
    together: int


class Request(NamedTuple):
    url: str
    payload: Any
    headers: Dict[str, str]


def clean(kind: Kind, given: Any, rules: Rules, old: Config) -> Dict[str, Any]:
    """A whole config from what was sent and, for what was not, the config that holds.

    Raises HubError("bad_request") that names the first wrong member.
    """
    if type(given) is not dict:
        raise HubError("bad_request", "config must be a JSON object.", field="config")
    unknown = [key for key in given if key not in {row.key for row in kind.fields}]
    if unknown:
        raise HubError("bad_request", "config.%s is not known; %s has: %s." % (
            unknown[0][:50], kind.name, ", ".join(row.key for row in kind.fields)), field="config")
    config = {}
    for row in kind.fields:
        try:
            value = settings.check(row, given[row.key]) if row.key in given else old.get(row.key, row.default)
        except HubError as error:
            raise HubError("bad_request", "config." + error.sentence, field="config." + row.key) from None
        says = _missing(row, value) or (outbound.check_url(value, rules) if row.key == "url" and value else "")
        if says:
            raise HubError("bad_request", "config.%s %s" % (row.key, says), field="config." + row.key)
        config[row.key] = value
    return config


def shown(kind: Kind, config: Config) -> Dict[str, Any]:
    """A config as answers show it: secrets as set or not set."""
    return {row.key: ("set" if config.get(row.key) else "not set") if row.secret else config.get(row.key, row.default)
            for row in kind.fields}


def target(config: Config) -> str:
    """Where a channel leads, without what may be secret in the address."""
    if config.get("url"):
        parts = urlsplit(config["url"])
        return "%s://%s" % (parts.scheme, parts.netloc)
    return "%s:%s" % (config["host"], config["port"]) if config.get("host") else str(config.get("to", ""))


def schema() -> Dict[str, Any]:
    """CHANNELS for pages and scripts."""
    return {kind.name: {"text": kind.sentence, "fields": [
        {"key": row.key, "type": row.kind.__name__, "default": row.default, "text": row.sentence, "min": row.min,
         "max": row.max, "choices": list(row.choices), "secret": row.secret, "required": _missing(row, "") != ""}
        for row in kind.fields]} for kind in KINDS.values()}


def _missing(row: Setting, value: Any) -> str:
    return "is missing." if row.kind is str and row.min and not value else ""


# --- mail and syslog --------------------------------------------------------------------------------------------------

def _send_mail(way: Way, config: Config, kept: Config, to: List[str], message: Message) -> str:
    return mail.send(way, kept, to or mail.recipients(config.get("to") or kept["alert_email_to"]), message)


def _send_syslog(way: Way, config: Config, kept: Config, to: List[str], message: Message) -> str:
    syslog.send(way, config["protocol"], config["host"], config["port"], config["facility"], message)
    return ""


# --- over HTTP --------------------------------------------------------------------------------------------------------

def _http(build: Callable[[Config, Message], Request]) -> Callable[[Way, Config, Config, List[str], Message], str]:
    """A sender from the function that makes its request."""
    def send(way: Way, config: Config, kept: Config, to: List[str], message: Message) -> str:
        request = build(config, message)
        return post(way, request.url, request.payload, request.headers, config.get("secret", ""))
    return send


def post(way: Way, url: str, payload: Any, headers: Mapping[str, str], secret: str = "") -> str:
    """JSON, signed where there is a secret; no remark. Raises DeliveryError unless the receiver took it."""
    body = json.dumps(payload, allow_nan=False).encode("ascii")
    headers = {"Content-Type": "application/json", **headers}
    if secret:
        headers["X-Smon-Signature"] = "sha256=" + signature(secret, headers["X-Smon-Timestamp"], body)
    answer = outbound.post(way, url, body, headers)
    if 200 <= answer.status < 300:
        return ""
    said = outbound.said(answer.text) or "nothing more"
    if 300 <= answer.status < 400:
        said = "the address has moved; redirects are not followed: " + outbound.said(answer.location)
    raise DeliveryError("The receiver answered %d: %s." % (answer.status, said),
                        permanent=400 <= answer.status < 500 and answer.status not in PASSING,
                        looked_at=answer.status == 500, retry_after=answer.retry_after)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`: a receiver that checks the age of the first can refuse replays."""
    return hmac.new(secret.encode("utf-8"), timestamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()


def _webhook(config: Config, message: Message) -> Request:
    headers = {"X-Smon-Delivery": message.delivery_id, "X-Smon-Event": message.event,
               "X-Smon-Timestamp": str(message.sent_at // 1000)}
    return Request(config["url"], {
        "delivery_id": message.delivery_id, "event": message.event, "severity": message.severity,
        "resolved": message.resolved, "title": message.title, "url": message.url, "at": clock.iso(message.at),
        "events": message.events}, {**headers, **_bearer(config)})


def _slack(config: Config, message: Message) -> Request:
    facts = [{"title": _plain(name), "value": _plain(value), "short": len(value) < 40} for name, value in message.facts]
    return Request(config["url"], {"text": _plain(message.title), "attachments": [
        {"color": _colour(message), "fallback": _plain(message.title), "title": "Open in smon" if message.url else "",
         "title_link": message.url, "text": _plain("\n".join(message.lines)), "fields": facts}]}, {})


def _teams(config: Config, message: Message) -> Request:
    """An Adaptive Card of plain runs: a TextBlock would read Markdown out of a server's name."""
    style = "good" if message.resolved else {"critical": "attention", "warning": "warning"}.get(
        message.severity, "accent")
    body = [_runs(message.title, weight="bolder", size="medium", color=style)]
    body += [_runs(line, wrap=True) for line in message.lines]
    body += [_runs("%s: %s" % fact, isSubtle=True) for fact in message.facts]
    card: Dict[str, Any] = {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard",
                            "version": "1.4", "body": body}
    if message.url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open in smon", "url": message.url}]
    return Request(config["url"], {"type": "message", "attachments": [
        {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}]}, {})


def _runs(text: str, **style: Any) -> Dict[str, Any]:
    style.pop("wrap", None)  # a RichTextBlock always does
    return {"type": "RichTextBlock", "inlines": [dict({"type": "TextRun", "text": text}, **style)]}


def _ntfy(config: Config, message: Message) -> Request:
    payload = {"topic": config["topic"], "title": message.title, "message": _text(message, 3_500),
               "priority": 3 if message.resolved else PRIORITIES.get(message.severity, 3),
               "tags": ["white_check_mark" if message.resolved else "rotating_light"]}
    if message.url:
        payload["click"] = message.url
    return Request(config["url"].rstrip("/"), payload, _bearer(config))


def _gotify(config: Config, message: Message) -> Request:
    payload: Dict[str, Any] = {"title": message.title, "message": _text(message, 8_000),
                               "priority": 4 if message.resolved else 2 * PRIORITIES.get(message.severity, 2) - 2}
    if message.url:
        payload["extras"] = {"client::notification": {"click": {"url": message.url}}}
    return Request(config["url"].rstrip("/") + "/message", payload, {"X-Gotify-Key": config["token"]})


def _pagerduty(config: Config, message: Message) -> Request:
    event = message.events[-1]
    server = event.get("server") or {}
    action = "resolve" if message.resolved else "trigger"
    payload = {"routing_key": config["routing_key"], "event_action": action, "dedup_key": "smon-" + message.root,
               "client": "smon", "payload": {
                   "summary": message.title[:1_024], "source": server.get("hostname") or "smon",
                   "severity": message.severity, "timestamp": clock.iso_ms(message.at), "class": event["rule"],
                   "component": event["object"] or event["rule"], "group": server.get("group_name") or "",
                   "custom_details": dict(message.facts)}}
    if message.url:
        payload["links"] = [{"href": message.url, "text": "Open in smon"}]
    return Request(config["url"], payload, {})


def _alertmanager(config: Config, message: Message) -> Request:
    alerts = [alert for row in message.rows for alert in _alerts(row.event, row.thread)]
    return Request(config["url"].rstrip("/") + "/api/v2/alerts", alerts, _bearer(config))


def _alerts(event: Mapping[str, Any], thread: str) -> List[Dict[str, Any]]:
    """An alert as Alertmanager knows it: by its labels. One whose severity, name or group is not what was told last is
    another, and the old one ends."""
    labels, was = _labels(event, thread), _labels({**event, **event.get("was", {})}, thread)
    found = [] if event["event"] in OVER else [(labels, event["at"] + FIRING_DAYS * clock.DAY)]
    if was != labels or event["event"] in OVER:
        found.insert(0, (was, event["at"]))
    name = (event.get("server") or {}).get("display_name", "")
    return [{"labels": each, "startsAt": clock.iso_ms(event["since_at"]), "endsAt": clock.iso_ms(ends_at),
             "annotations": {"summary": event["message"], "server": name}} for each, ends_at in found]


def _labels(event: Mapping[str, Any], thread: str) -> Dict[str, str]:
    server = event.get("server") or {}
    names = {"alertname": event["rule"], "instance": server.get("hostname"), "group": server.get("group_name"),
             "object": event["object"], "smon_id": thread, "severity": event["severity"]}
    return {key: value for key, value in names.items() if value}


def _bearer(config: Config) -> Dict[str, str]:
    return {"Authorization": "Bearer " + config["token"]} if config.get("token") else {}


def _colour(message: Message) -> str:
    return GREEN if message.resolved else COLOURS.get(message.severity, COLOURS["info"])


def _plain(text: str) -> str:
    """No markup, no mention of everybody: a server's name is just text."""
    return (text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b"))


def _text(message: Message, most: int) -> str:
    """Sentences and facts as plain text."""
    lines = [*message.lines, "", *("%s: %s" % fact for fact in message.facts)]
    return "\n".join(lines).strip()[:most]


# --- the table --------------------------------------------------------------------------------------------------------

def _url(sentence: str, secret: bool = False, default: str = "") -> Setting:
    return Setting("url", str, default, sentence, "", min=1, max=URL_MAX, secret=secret)


def _token(sentence: str, required: bool = False) -> Setting:
    return Setting("token", str, "", sentence, "", min=1 if required else None, max=SECRET_MAX, secret=True,
                   pattern=r"[\x21-\x7e]+", pattern_says="must be printable ASCII without blanks.")


TO = settings.BY_KEY["alert_email_to"]._replace(
    key="to", sentence="Recipients, separated by commas; the mail server is that of the settings.", min=1)

CHANNELS = (
    Kind("email", "Mail to these recipients.", (TO,), _send_mail, ALL),
    Kind("webhook", "JSON to an address of your own, signed with HMAC-SHA256.", (
        _url("Address that takes the message.", secret=True),
        Setting("secret", str, "", "Key of the signature; without one nothing is signed.", "", max=SECRET_MAX,
                secret=True),
        _token("Sent as Authorization: Bearer."),
    ), _http(_webhook), BATCH),
    Kind("slack", "Slack, Mattermost, Rocket.Chat: an incoming webhook.", (
        _url("Address of the incoming webhook.", secret=True),), _http(_slack), ALL),
    Kind("teams", "Microsoft Teams: a workflow that posts an Adaptive Card.", (
        _url("Address of the workflow's trigger.", secret=True),), _http(_teams), ALL),
    Kind("ntfy", "ntfy, a topic of your own server or of another.", (
        _url("Address of the server, without the topic."),
        Setting("topic", str, "", "The topic.", "", min=1, max=64, pattern=r"[A-Za-z0-9_-]+",
                pattern_says="must be of A-Z a-z 0-9 _ -."),
        _token("Access token."),
    ), _http(_ntfy), ALL),
    Kind("gotify", "Gotify, an application of your server.", (
        _url("Address of the server."), _token("Token of the application.", required=True)), _http(_gotify), ALL),
    Kind("pagerduty", "PagerDuty, Events API v2.", (
        _url("Address of the events API.", default="https://events.pagerduty.com/v2/enqueue"),
        Setting("routing_key", str, "", "Integration key of the service.", "", min=1, max=100, secret=True,
                pattern=r"[A-Za-z0-9]+", pattern_says="must be letters and digits."),
    ), _http(_pagerduty), 1),
    Kind("alertmanager", "Prometheus Alertmanager, API v2.", (
        _url("Address of Alertmanager, without /api/v2."), _token("Sent as Authorization: Bearer.")),
        _http(_alertmanager), BATCH),
    Kind("syslog", "A syslog server, RFC 5424.", (
        Setting("host", str, "", "Name or address of the server.", "", min=1, max=255, pattern=r"[A-Za-z0-9.:_-]+",
                pattern_says="must be a host name or an address."),
        Setting("port", int, 514, "Its port; 6514 is usual for TLS.", "", min=1, max=65_535),
        Setting("protocol", str, "udp", "How lines travel.", "", choices=("udp", "tcp", "tls")),
        Setting("facility", int, 16, "Facility number; 16 is local0.", "", min=0, max=23),
    ), _send_syslog, 1),
)
KINDS: Dict[str, Kind] = {kind.name: kind for kind in CHANNELS}
