"""What the routes answer, as JSON schemas; every answer may have more members than are told here."""

from __future__ import annotations

from typing import Any, Dict

from .. import metrics

Schema = Dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
MAYBE_NUMBER: Schema = {"type": ["number", "null"]}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
ANYTHING: Schema = {"type": "object"}
MAYBE_ANYTHING: Schema = {"type": ["object", "null"]}
OK: Schema = {"const": "ok"}


def _object(**members: Schema) -> Schema:
    """An object that has all of these members."""
    return {"type": "object", "required": list(members), "properties": members}


def _list(entry: Schema) -> Schema:
    return {"type": "array", "items": entry}


SERVER = _object(
    id=TEXT, hostname=TEXT, display_name=TEXT, group_name=TEXT, ip_address=TEXT, os_info=TEXT, tags=_list(TEXT),
    notes=TEXT, alert_cpu_threshold=NUMBER, alert_memory_threshold=NUMBER, alert_disk_threshold=NUMBER,
    collection_interval=WHOLE, may_be_off=FLAG, approved=FLAG, registered_at=TIME, last_seen_at=TIME, is_active=FLAG,
    agent=MAYBE_ANYTHING, flags=_list(TEXT), status={"enum": ["online", "warning", "critical", "offline"]})
LISTED = {"type": "object", "required": [*SERVER["required"], "metrics", "alert_count", "critical_count"],
          "properties": {**SERVER["properties"], "metrics": MAYBE_ANYTHING, "alert_count": COUNT,
                         "critical_count": COUNT}}
SUMMARY = _object(totalServers=COUNT, onlineServers=COUNT, offlineServers=COUNT, activeAlerts=COUNT,
                  criticalAlerts=COUNT, unreadNotifications=COUNT, groups=_list(TEXT))
POINT = _object(timestamp=TIME, **{key: MAYBE_NUMBER for key in metrics.KEYS})
PROCESS = _object(pid=WHOLE, name=MAYBE_TEXT, cpu_percent=MAYBE_NUMBER, memory_percent=MAYBE_NUMBER,
                  memory_mb=MAYBE_NUMBER, status=MAYBE_TEXT, username=MAYBE_TEXT)
SERVICE = _object(service_name=TEXT, display_name=MAYBE_TEXT, status=MAYBE_TEXT, start_type=MAYBE_TEXT,
                  pid={"type": ["integer", "null"]}, restarts={"type": ["integer", "null"]}, changed_at=TIME)
ALERT = _object(
    id=COUNT, server_id=MAYBE_TEXT, timestamp=TIME, alert_type=TEXT, object=TEXT, message=TEXT,
    severity={"enum": ["info", "warning", "critical"]}, metric_value=MAYBE_NUMBER, threshold_value=MAYBE_NUMBER,
    state={"enum": ["active", "acknowledged", "resolved"]}, since_at=TIME, resolved_at=MAYBE_TIME,
    is_acknowledged=FLAG, acknowledged_at=MAYBE_TIME, acknowledged_by=MAYBE_TEXT, acknowledged_until=MAYBE_TIME,
    note=MAYBE_TEXT, suppressed_by=MAYBE_TEXT, flapping=FLAG, processes=_list(ANYTHING), hostname=MAYBE_TEXT,
    display_name=MAYBE_TEXT, group_name=MAYBE_TEXT)
NOTIFICATION = _object(
    id=COUNT, alert_id={"type": ["integer", "null"]}, timestamp=TIME, channel=TEXT, message=TEXT, is_read=FLAG,
    event=TEXT, server_id=MAYBE_TEXT, severity=TEXT, alert_type=MAYBE_TEXT, object=MAYBE_TEXT,
    metric_value=MAYBE_NUMBER, threshold_value=MAYBE_NUMBER, hostname=MAYBE_TEXT, display_name=MAYBE_TEXT,
    ip_address=MAYBE_TEXT)
BENCHMARK = _object(sample_count=COUNT, first_at=MAYBE_TIME, last_at=MAYBE_TIME, **{
    "%s_%s" % (subject, word): MAYBE_NUMBER for subject in ("cpu", "mem", "swap", "proc", "thread")
    for word in ("min", "max", "avg", "p95")})
OBJECTS = {"summary": SUMMARY, "server": SERVER, "server of the overview": LISTED, "point of a history": POINT,
           "process": PROCESS, "service": SERVICE, "alert": ALERT, "notification": NOTIFICATION, "benchmark": BENCHMARK}
DONE = _object(status=OK)
SETTINGS = _object(status=OK, settings=ANYTHING)
STORED = _object(status=OK, stored=FLAG)
GREETED = _object(status=OK, stored=FLAG, config_pending=FLAG, server_time=TIME, newest_at=MAYBE_TIME,
                  previous_at=MAYBE_TIME)

ANSWERS: Dict[str, Schema] = {
    "POST /api/register": _object(server_id=TEXT, api_key=TEXT, message=TEXT),
    "POST /api/metrics": GREETED,
    "POST /api/metrics/batch": _object(status=OK, results=_list(_object(status=TEXT))),
    "POST /api/metrics/live": STORED,
    "POST /api/ping": _object(status=OK, timestamp=TIME, config_pending=FLAG),
    "GET /api/ping": _object(status=OK, service=TEXT, timestamp=TIME),
    "GET /api/config/{server_id}": _object(has_update=FLAG, config=MAYBE_ANYTHING),
    "POST /api/config/{server_id}": _object(status=OK),
    "GET /api/dashboard": {"anyOf": [
        _object(now=TIME, summary=SUMMARY, servers=_list(LISTED), alerts=_list(ALERT)),
        _object(now=TIME, summary=SUMMARY, columns=_list(TEXT), rows=_list({"type": "array"}),
                refresh_seconds=COUNT, stale_minutes=COUNT,
                alerts=_list(_object(server_id=MAYBE_TEXT, severity=TEXT, message=TEXT, timestamp=TIME))),
        _object(now=TIME, summary=SUMMARY)]},
    "GET /api/dashboard/server/{server_id}": _object(
        server=SERVER, metrics=MAYBE_ANYTHING, history=_list(POINT), step=COUNT, processes=_list(PROCESS),
        processes_at=MAYBE_TIME, services=_list(SERVICE), alerts=_list(ALERT)),
    "GET /api/dashboard/server/{server_id}/forecast": _object(mountpoint=MAYBE_TEXT, hours_left=MAYBE_NUMBER),
    "PATCH /api/dashboard/server/{server_id}": _object(status=OK, server=SERVER),
    "DELETE /api/dashboard/server/{server_id}": _object(status=OK, message=TEXT),
    "GET /api/dashboard/server/{server_id}/live": _object(
        server_id=TEXT, minutes=COUNT, benchmark_minutes=COUNT, metrics=_list(_object(timestamp=TIME)),
        benchmark=BENCHMARK),
    "GET /api/dashboard/server/{server_id}/config": _object(
        pending=MAYBE_ANYTHING, revision={"type": ["integer", "null"]}, history=_list(ANYTHING),
        current=MAYBE_ANYTHING, schema=_list(ANYTHING)),
    "POST /api/dashboard/server/{server_id}/config": _object(status=OK, revision=COUNT),
    "GET /api/dashboard/settings": _object(settings=ANYTHING, schema=_list(ANYTHING)),
    "PATCH /api/dashboard/settings": SETTINGS,
    "DELETE /api/dashboard/settings": _object(status=OK, removed=ANYTHING),
    "POST /api/dashboard/import": _object(status=OK, server_id=TEXT, hostname=TEXT, payloads=COUNT, stored=COUNT),
    "GET /api/dashboard/export": _object(
        exported_at=TIME, period_hours=COUNT, total_servers=COUNT,
        data=_list(_object(server=SERVER, current_metrics=MAYBE_ANYTHING, history=_list(POINT),
                           alerts=_list(ALERT)))),
    "GET /api/session": _object(user=MAYBE_ANYTHING, setup=FLAG, local_trust=FLAG),
    "POST /api/session": _object(status=OK, user=_object(name=TEXT, role=TEXT), expires_at=TIME),
    "PATCH /api/session": DONE,
    "DELETE /api/session": DONE,
    "POST /api/setup": _object(status=OK, user=_object(name=TEXT, role=TEXT), expires_at=TIME),
    "GET /api/dashboard/users": _object(users=_list(_object(name=TEXT, role=TEXT, created_at=TIME, sessions=COUNT))),
    "POST /api/dashboard/users": DONE,
    "PATCH /api/dashboard/users/{name}": DONE,
    "DELETE /api/dashboard/users/{name}": DONE,
    "GET /api/dashboard/tokens": _object(tokens=_list(_object(id=COUNT, name=TEXT, role=TEXT, created_at=TIME))),
    "POST /api/dashboard/tokens": _object(status=OK, token=TEXT, id=COUNT),
    "DELETE /api/dashboard/tokens/{id}": DONE,
    "GET /api/dashboard/registration": _object(mode=TEXT, tokens=_list(_object(id=COUNT, name=TEXT)), waiting=COUNT),
    "POST /api/dashboard/registration": _object(status=OK, registration_token=TEXT, id=COUNT),
    "DELETE /api/dashboard/registration/{id}": DONE,
    "POST /api/dashboard/server/{server_id}/rotate-key": _object(status=OK, api_key=TEXT, message=TEXT),
    "GET /api/dashboard/audit": _object(entries=_list(_object(id=COUNT, at=TIME, who=TEXT, action=TEXT))),
    "GET /api/dashboard/alerts": _object(alerts=_list(ALERT)),
    "PATCH /api/dashboard/alerts": _object(status=OK, acknowledged=_list(COUNT)),
    "GET /api/dashboard/alerts/preview": _object(
        rule=TEXT, since=TIME, openings=COUNT, samples=COUNT, servers_in_all=COUNT, servers_looked_at=COUNT,
        servers_alerting=COUNT, servers=_list(_object(server_id=TEXT, display_name=TEXT, group_name=TEXT,
                                                      openings=COUNT, critical=COUNT, minutes_open=COUNT))),
    "GET /api/dashboard/rules": _object(rules=ANYTHING),
    "POST /api/dashboard/rules": _object(status=OK, rules=ANYTHING),
    "GET /api/dashboard/alerts/{alert_id}": _object(alert=ALERT),
    "GET /api/dashboard/notifications": _object(notifications=_list(NOTIFICATION), unread=COUNT),
    "PATCH /api/dashboard/notifications": DONE,
    "GET /api/dashboard/maintenance": _object(windows=_list(ANYTHING)),
    "POST /api/dashboard/maintenance": _object(status=OK, window=ANYTHING),
    "DELETE /api/dashboard/maintenance/{window_id}": DONE,
    "GET /api/dashboard/channels": _object(channels=_list(ANYTHING), kinds={}, dead_man=MAYBE_ANYTHING),
    "POST /api/dashboard/channels": _object(status=OK, id=COUNT),
    "PATCH /api/dashboard/channels/{channel_id}": DONE,
    "DELETE /api/dashboard/channels/{channel_id}": DONE,
    "POST /api/dashboard/channels/{channel_id}/test": DONE,
    "GET /api/dashboard/channels/{channel_id}/deliveries": _object(deliveries=_list(ANYTHING)),
    "POST /api/dashboard/backups": DONE,
    "GET /api/dashboard/hub": _object(version=TEXT, started_at=TIME, server_time=TIME, servers=COUNT,
                                      waiting_writes=COUNT, database=ANYTHING),
    "GET /api/openapi.json": _object(openapi=TEXT, info=ANYTHING, paths=ANYTHING, components=ANYTHING),
}
