"""Run-time settings: one row each. Validation, API, page and docs read this table; the values are kept by the store."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from . import shapes
from .errors import HubError


class Setting(NamedTuple):
    """key, type, default, sentence; bounds of numbers and of a text's length; the page's section; choices of a text."""

    key: str
    kind: type
    default: Any
    sentence: str
    group: str
    min: Optional[float] = None
    max: Optional[float] = None
    choices: tuple = ()
    pattern: str = ""        # of a text, when it is not empty
    pattern_says: str = ""
    secret: bool = False     # write-only: answered as set or not set


ADDRESS = r"[^\s@<>,;\"\\]+@[^\s@<>,;\"\\]+"

SETTINGS = (
    Setting("stale_threshold_minutes", int, 15, "Minutes of silence before a server counts as offline.",
            "Servers", min=1, max=1_440),
    Setting("rate_limit_per_minute", int, 120, "Requests a minute for each agent, and for each address without a key.",
            "Servers", min=1, max=1_000_000),
    Setting("registration_mode", str, "approve", "Who may register a server without being let in by hand.",
            "Servers", choices=("approve", "open", "closed")),
    Setting("data_retention_days", int, 30, "Days to keep samples.", "Retention", min=1, max=3_650),
    Setting("rollup_retention_days", int, 365, "Days to keep averages of 10 minutes (90 at most), hours and days; "
            "never fewer than data_retention_days.", "Retention", min=1, max=3_650),
    Setting("process_retention_days", int, 7, "Days to keep disks and processes with their samples.",
            "Retention", min=1, max=3_650),
    Setting("dashboard_refresh_seconds", int, 30, "Seconds between two looks of an open page.", "Page",
            min=2, max=3_600),
    Setting("alert_email_enabled", bool, False, "Send alerts by mail.", "Mail"),
    Setting("alert_email_to", str, "", "Recipients, separated by commas.", "Mail", max=1_000,
            pattern=r"%s(\s*,\s*%s)*" % (ADDRESS, ADDRESS), pattern_says="must be mail addresses separated by commas."),
    Setting("alert_email_smtp_host", str, "", "Name or address of the mail server.", "Mail", max=255,
            pattern=r"[A-Za-z0-9.:_-]+", pattern_says="must be a host name or an address."),
    Setting("alert_email_smtp_port", int, 587, "Port of the mail server.", "Mail", min=1, max=65_535),
)

BY_KEY: Dict[str, Setting] = {setting.key: setting for setting in SETTINGS}
DEFAULTS: Dict[str, Any] = {setting.key: setting.default for setting in SETTINGS}
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def clean(changes: Any) -> Dict[str, Any]:
    """The changes as native values; all or nothing.

    Strings are taken as the seed's clients send them. Unknown keys are ignored unless nothing else is left.
    Raises HubError("bad_request") that names the first wrong key and its bounds.
    """
    if type(changes) is not dict:
        raise HubError("bad_request", "The body must be a JSON object of settings.")
    known = {key: check(BY_KEY[key], value) for key, value in changes.items() if key in BY_KEY}
    if not known:
        raise HubError("bad_request", "The body names no known setting; GET lists them.")
    return known


def check(setting: Setting, value: Any) -> Any:
    """One value against its row. Raises HubError("bad_request")."""
    if isinstance(value, str) and setting.kind is not str:
        value = _native(setting, value.strip())
    value = shapes.value(shapes.Field(setting.key, setting.kind, min=setting.min, max=setting.max), value)
    if setting.choices and value not in setting.choices:
        raise _wrong(setting, "must be one of: %s." % ", ".join(setting.choices))
    if setting.pattern and value and not re.fullmatch(setting.pattern, value):
        raise _wrong(setting, setting.pattern_says)
    return value


def answer(values: Mapping[str, Any]) -> Dict[str, Any]:
    """What an API answer may show: every value, secrets only as set or not set."""
    return {key: ("set" if values[key] else "not set") if setting.secret else values[key]
            for key, setting in BY_KEY.items()}


def schema() -> List[Dict[str, Any]]:
    """The table itself, for pages and scripts."""
    return [{"key": row.key, "type": row.kind.__name__, "default": row.default, "text": row.sentence,
             "group": row.group, "min": row.min, "max": row.max, "choices": list(row.choices), "secret": row.secret}
            for row in SETTINGS]


def _native(setting: Setting, text: str) -> Any:
    if setting.kind is bool:
        return True if text.lower() in TRUE else False if text.lower() in FALSE else text
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _wrong(setting: Setting, says: str) -> HubError:
    return HubError("bad_request", "%s %s" % (setting.key, says), field=setting.key)
