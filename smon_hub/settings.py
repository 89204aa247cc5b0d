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
PROXY = r"http://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?"

SETTINGS = (
    Setting("stale_threshold_minutes", int, 15, "Minutes of silence before a server counts as offline.",
            "Servers", min=1, max=1_440),
    Setting("rate_limit_per_minute", int, 120, "Requests a minute for each agent, and for each address without a key.",
            "Servers", min=1, max=1_000_000),
    Setting("registration_mode", str, "approve", "Who may register a server: approve lets everybody, who then "
            "waits to be let in; token only who shows a registration token; open everybody; closed nobody.",
            "Servers", choices=("approve", "token", "open", "closed")),
    Setting("data_retention_days", int, 30, "Days to keep samples.", "Retention", min=1, max=3_650),
    Setting("rollup_retention_days", int, 365, "Days to keep averages of 10 minutes (90 at most), hours and days; "
            "never fewer than data_retention_days.", "Retention", min=1, max=3_650),
    Setting("process_retention_days", int, 7, "Days to keep disks and processes with their samples.",
            "Retention", min=1, max=3_650),
    Setting("audit_retention_days", int, 365, "Days to keep who changed what.", "Retention", min=1, max=3_650),
    Setting("backup_nightly", bool, True, "Back up the database each night.", "Backup"),
    Setting("backup_hour", int, 2, "Hour of the day, UTC, from which the nightly backup is made.", "Backup",
            min=0, max=23),
    Setting("backup_keep", int, 7, "Backups to keep; the oldest go.", "Backup", min=1, max=1_000),
    Setting("dashboard_refresh_seconds", int, 30, "Seconds between two looks of an open page.", "Page",
            min=2, max=3_600),
    Setting("alert_critical_percent", int, 95, "Percent from which CPU, memory and disk alerts are critical; at least "
            "5 above a server's own threshold.", "Alerts", min=1, max=100),
    Setting("alert_for_samples", int, 1, "Samples in a row over the threshold before CPU, memory and disk alert.",
            "Alerts", min=1, max=100),
    Setting("alert_for_minutes", int, 0, "Minutes over the threshold before CPU, memory and disk alert.", "Alerts",
            min=0, max=1_440),
    Setting("alert_clear_samples", int, 2, "Samples in a row below the threshold before such an alert ends.", "Alerts",
            min=1, max=100),
    Setting("alert_inodes_threshold", int, 90, "Percent of used inodes that alert.", "Alerts", min=1, max=100),
    Setting("alert_swap_threshold", int, 80, "Percent of used swap that alert while memory is short.", "Alerts",
            min=1, max=100),
    Setting("alert_clock_skew_seconds", int, 60, "Seconds by which a server's clock may differ from the hub's.",
            "Alerts", min=10, max=3_600),
    Setting("alert_repeat_warning_hours", int, 24, "Hours after which an unacknowledged warning is told again; "
            "0: never.", "Alerts", min=0, max=720),
    Setting("alert_repeat_critical_hours", int, 4, "Hours after which an unacknowledged critical alert is told again; "
            "0: never.", "Alerts", min=0, max=720),
    Setting("alert_escalate_minutes", int, 30, "Minutes after which an unacknowledged critical alert goes to the "
            "escalation channels, too; 0: never.", "Alerts", min=0, max=1_440),
    Setting("alert_email_enabled", bool, False, "Send alerts by mail.", "Mail"),
    Setting("alert_email_to", str, "", "Recipients, separated by commas.", "Mail", max=1_000,
            pattern=r"%s(\s*,\s*%s)*" % (ADDRESS, ADDRESS), pattern_says="must be mail addresses separated by commas."),
    Setting("alert_email_smtp_host", str, "", "Name or address of the mail server.", "Mail", max=255,
            pattern=r"[A-Za-z0-9.:_-]+", pattern_says="must be a host name or an address."),
    Setting("alert_email_smtp_port", int, 587, "Port of the mail server.", "Mail", min=1, max=65_535),
    Setting("alert_email_from", str, "", "Sender; smon at this machine's name when empty.", "Mail", max=255,
            pattern=ADDRESS, pattern_says="must be one mail address."),
    Setting("alert_email_smtp_user", str, "", "Name to log in to the mail server with.", "Mail", max=255),
    Setting("alert_email_smtp_password", str, "", "Password for it; it is only sent over TLS.", "Mail", max=500,
            secret=True),
    Setting("alert_email_smtp_security", str, "auto", "auto: STARTTLS when it is offered, always with a password; "
            "starttls: always; tls: from the first byte (usually port 465); none: never.", "Mail",
            choices=("auto", "starttls", "tls", "none")),
    Setting("delivery_ca_file", str, "", "PEM file on the hub's machine with certificate authorities to trust beside "
            "the system's.", "Delivery", max=1_000),
    Setting("delivery_proxy", str, "", "HTTP proxy for channels and dead_man_url, such as http://proxy:3128; private "
            "addresses are reached without it.", "Delivery", max=255, pattern=PROXY,
            pattern_says="must be an address such as http://proxy:3128."),
    Setting("delivery_allowed_addresses", str, "", "Link-local or metadata addresses and networks that messages may "
            "go to, separated by commas.", "Delivery", max=1_000, pattern=r"[0-9A-Fa-f.:/]+(\s*,\s*[0-9A-Fa-f.:/]+)*",
            pattern_says="must be addresses or networks separated by commas."),
    Setting("dead_man_url", str, "", "Address that the hub calls each minute, so that its silence is noticed.",
            "Delivery", max=2_000, secret=True, pattern=r"https?://[^\s@\\#]+",
            pattern_says="must be an address such as https://host/path."),
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
    kind = shapes.Secret if setting.secret and not setting.pattern else setting.kind  # a password, not an address
    value = shapes.value(shapes.Field(setting.key, kind, min=setting.min, max=setting.max), value)
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
