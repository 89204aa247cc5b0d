"""ROUTES: every path that the hub answers, one line of contract each."""

from __future__ import annotations

from .. import bodies, intake
from ..overrides import GROUP_RULES
from ..settings import Setting
from ..shapes import Time
from . import (admin_api, agent_api, alerts_api, backup_api, channels_api, dashboard_api, export_api, hub_api, openapi,
               pages, rules_api, session_api)
from .call import ANY, BATCH_BYTES, FILE, FORM, Route

UNTIL = Setting("until", Time, None, "The history ends then instead of now.", "")
HOURS = Setting("hours", int, 24, "Hours of history.", "", min=1, max=8_760)
AT = Setting("at", Time, None, "Show processes as they were then.", "")
MINUTES = Setting("minutes", int, 5, "Minutes of near-live samples.", "", min=1, max=1_440)
BENCHMARK = Setting("benchmark", int, 30, "Minutes of the statistics.", "", min=1, max=1_440)
SINCE = Setting("since", Time, None, "Only what is newer.", "")
VIEW = Setting("view", str, "whole", "The form of the answer.", "", choices=("whole", "cards", "summary"))
EXPORT_HOURS = Setting("hours", int, 168, "Hours of history.", "", min=1, max=8_760)
FORMAT = Setting("format", str, "json", "The kind of file.", "", choices=("json", "csv"))
SCOPE = Setting("scope", str, "servers", "What a row of CSV is: a server, or a sample (JSON always has both).", "",
                choices=("servers", "history"))
NEXT = Setting("next", str, "/", "Where to go after logging in.", "", max=2_000)
AUDIT_LIMIT = Setting("limit", int, 100, "Entries at the most.", "", min=1, max=500)
AUDIT_BEFORE = Setting("before", int, None, "Only entries with a smaller id.", "", min=1)
DELIVERIES = Setting("limit", int, 50, "Messages.", "", min=1, max=500)
STATE = Setting("state", str, "active", "Which alerts: active ones are open and unacknowledged.", "",
                choices=("active", "open", "resolved", "all"))
OF_SERVER = Setting("server", str, "", "Only those of the server with this id.", "", max=64)
ALERT_LIMIT = Setting("limit", int, 500, "At most so many.", "", min=1, max=1_000)
BEFORE_ALERT = Setting("before", int, None, "Only alerts with a smaller id, which is how one pages.", "", min=1,
                       max=1 << 62)
RULE = Setting("rule", str, "cpu", "Which rule.", "", choices=("cpu", "memory", "disk"))
THRESHOLD = Setting("threshold", int, None, "Percent; each server's own when absent.", "", min=1, max=100)
CRITICAL = Setting("critical", int, None, "Percent; alert_critical_percent when absent.", "", min=1, max=100)
FOR_SAMPLES = Setting("samples", int, None, "Samples over it; alert_for_samples when absent.", "", min=1, max=100)
FOR_MINUTES = Setting("minutes", int, None, "Minutes over it; alert_for_minutes when absent.", "", min=0, max=1_440)
CLEARS = Setting("clears", int, None, "Samples below it; alert_clear_samples when absent.", "", min=1, max=100)
DAYS = Setting("days", int, 7, "Days to look back.", "", min=1, max=30)
OF_GROUP = Setting("group", str, "", "Only the servers of this group.", "", max=255)

ROUTES = (
    Route("POST", "/api/register", agent_api.register, "open", "Register a server.", body=bodies.REGISTER, status=201,
          on="keys", limited=True, any_host=True),
    Route("POST", "/api/metrics", agent_api.metrics, "agent", "Submit one sample.", body=bodies.SAMPLE, on="loop",
          limited=True, stores=True),
    Route("POST", "/api/metrics/batch", agent_api.batch, "agent", "Submit up to 100 samples.", body=ANY, limited=True,
          stores=True, body_bytes=BATCH_BYTES),
    Route("POST", "/api/metrics/live", agent_api.live, "agent", "Submit one near-live sample.", body=bodies.LIVE,
          on="loop", limited=True, stores=True),
    Route("POST", "/api/ping", agent_api.beat, "agent", "Say that the agent is alive.", on="loop"),
    Route("GET", "/api/config/{server_id}", agent_api.settings, "agent",
          "Fetch the settings that wait for this agent."),
    Route("POST", "/api/config/{server_id}", agent_api.answer_settings, "agent", "Say what became of them.",
          body=bodies.REMOTE_ANSWER),
    Route("GET", "/api/ping", dashboard_api.health, "open", "Say whether the hub can store and answer.",
          any_host=True),

    Route("GET", "/api/session", session_api.who, "open", "Say who the caller is."),
    Route("POST", "/api/session", session_api.log_in, "open", "Log in.", body=bodies.LOGIN, on="logins"),
    Route("PATCH", "/api/session", session_api.change_password, "viewer", "Change one's own password.",
          body=bodies.OWN_PASSWORD, on="logins"),
    Route("DELETE", "/api/session", session_api.log_out, "open", "Log out."),
    Route("POST", "/api/setup", session_api.set_up, "open", "Make the first account.", body=bodies.SETUP, status=201,
          on="logins"),
    Route("GET", "/api/dashboard/users", admin_api.users, "admin", "Everybody who may log in."),
    Route("POST", "/api/dashboard/users", admin_api.add_user, "admin", "Add a user.", body=bodies.USER, status=201,
          on="logins"),
    Route("PATCH", "/api/dashboard/users/{name}", admin_api.change_user, "admin",
          "Change a user's role or password, which ends the user's sessions.", body=bodies.USER_CHANGE, on="logins"),
    Route("DELETE", "/api/dashboard/users/{name}", admin_api.remove_user, "admin", "Remove a user."),
    Route("GET", "/api/dashboard/tokens", admin_api.tokens, "admin", "The API tokens."),
    Route("POST", "/api/dashboard/tokens", admin_api.add_token, "admin", "Make an API token.", body=bodies.API_TOKEN,
          status=201),
    Route("DELETE", "/api/dashboard/tokens/{id}", admin_api.remove_token, "admin", "Revoke an API token."),
    Route("GET", "/api/dashboard/registration", admin_api.registration, "admin",
          "Who may register, and the tokens for it."),
    Route("POST", "/api/dashboard/registration", admin_api.add_registration, "admin", "Make a registration token.",
          body=bodies.REGISTRATION_TOKEN, status=201),
    Route("DELETE", "/api/dashboard/registration/{id}", admin_api.remove_registration, "admin",
          "Revoke a registration token."),
    Route("POST", "/api/dashboard/server/{server_id}/rotate-key", admin_api.rotate_key, "admin",
          "Give a server a new key.", on="keys"),
    Route("GET", "/api/dashboard/audit", admin_api.audit_log, "admin", "Who changed what.",
          query=(AUDIT_LIMIT, AUDIT_BEFORE)),

    Route("GET", "/api/dashboard", dashboard_api.overview, "viewer", "Summary, servers and open alerts.",
          query=(VIEW,)),
    Route("GET", "/api/dashboard/server/{server_id}", dashboard_api.server, "viewer", "One server, with its history.",
          query=(HOURS, UNTIL, AT)),
    Route("GET", "/api/dashboard/server/{server_id}/forecast", dashboard_api.full_in, "viewer",
          "When the fullest disk of a server will be full."),
    Route("PATCH", "/api/dashboard/server/{server_id}", dashboard_api.change, "admin", "Change a server's settings.",
          body=bodies.SERVER_CHANGE),
    Route("DELETE", "/api/dashboard/server/{server_id}", dashboard_api.remove, "admin",
          "Remove a server and all its data."),
    Route("GET", "/api/dashboard/server/{server_id}/live", dashboard_api.live, "viewer",
          "Near-live samples and their statistics.", query=(MINUTES, BENCHMARK, SINCE)),
    Route("GET", "/api/dashboard/server/{server_id}/config", dashboard_api.agent_settings, "viewer",
          "The settings of a server's agent."),
    Route("POST", "/api/dashboard/server/{server_id}/config", dashboard_api.change_agent_settings, "admin",
          "Queue settings for a server's agent.", body=bodies.REMOTE_CHANGE),
    Route("GET", "/api/dashboard/alerts", alerts_api.alerts, "viewer", "Alerts of a state, newest first.",
          query=(STATE, OF_SERVER, ALERT_LIMIT, BEFORE_ALERT)),
    Route("PATCH", "/api/dashboard/alerts", alerts_api.acknowledge, "admin", "Acknowledge alerts.",
          body=bodies.ACKNOWLEDGE),
    Route("GET", "/api/dashboard/alerts/preview", rules_api.look_back, "viewer",
          "How often a rule would have alerted.", query=(RULE, THRESHOLD, FOR_SAMPLES, FOR_MINUTES, CLEARS, CRITICAL,
                                                         DAYS, OF_SERVER, OF_GROUP), on="exports"),
    Route("GET", "/api/dashboard/rules", rules_api.rules, "viewer", "What the alert rules ask of single groups."),
    Route("POST", "/api/dashboard/rules", rules_api.change, "admin", "Say what the alert rules ask of a group.",
          body=GROUP_RULES),
    Route("GET", "/api/dashboard/alerts/{alert_id}", alerts_api.alert, "viewer", "One alert, with its history."),
    Route("GET", "/api/dashboard/notifications", alerts_api.notifications, "viewer", "The bell's unread lines."),
    Route("PATCH", "/api/dashboard/notifications", alerts_api.read, "admin", "Mark lines of the bell as read.",
          body=bodies.READ),
    Route("GET", "/api/dashboard/maintenance", alerts_api.windows, "viewer", "The maintenance windows."),
    Route("POST", "/api/dashboard/maintenance", alerts_api.add_window, "admin", "Add a maintenance window.",
          body=bodies.MAINTENANCE, status=201),
    Route("DELETE", "/api/dashboard/maintenance/{window_id}", alerts_api.remove_window, "admin",
          "Remove a maintenance window; one that is open ends now."),
    Route("GET", "/api/dashboard/settings", dashboard_api.read_settings, "viewer", "Every setting."),
    Route("PATCH", "/api/dashboard/settings", dashboard_api.change_settings, "admin", "Change settings.", body=ANY),
    Route("POST", "/api/dashboard/import", dashboard_api.take_export, "admin",
          "Take in an agent's spool export, as it is.", body=FILE, body_bytes=intake.FILE_BYTES),
    Route("DELETE", "/api/dashboard/settings", dashboard_api.clean_up, "admin",
          "Remove what is past its retention."),
    Route("GET", "/api/dashboard/backups", backup_api.listed, "admin", "The backups, and how far a new one is."),
    Route("POST", "/api/dashboard/backups", backup_api.make, "admin", "Begin a backup."),
    Route("GET", "/api/dashboard/channels", channels_api.listed, "viewer", "Where messages go, without secrets."),
    Route("POST", "/api/dashboard/channels", channels_api.add, "admin", "Add a channel.", body=ANY, status=201),
    Route("PATCH", "/api/dashboard/channels/{channel_id}", channels_api.change, "admin", "Change a channel.",
          body=ANY),
    Route("DELETE", "/api/dashboard/channels/{channel_id}", channels_api.remove, "admin", "Remove a channel."),
    Route("POST", "/api/dashboard/channels/{channel_id}/test", channels_api.test, "admin", "Send a test message."),
    Route("GET", "/api/dashboard/channels/{channel_id}/deliveries", channels_api.deliveries, "viewer",
          "A channel's newest messages and what became of them.", query=(DELIVERIES,)),
    Route("GET", "/api/dashboard/export", export_api.export_all, "viewer", "All servers with their history, as a file.",
          query=(FORMAT, EXPORT_HOURS, SCOPE), on="exports"),
    Route("GET", "/api/dashboard/hub", hub_api.state, "viewer", "The hub's own state: its store and its jobs."),
    Route("GET", "/metrics", export_api.expose, "viewer", "The fleet as Prometheus reads it.", any_host=True),
    Route("GET", "/api/openapi.json", openapi.show, "viewer", "This contract, as an OpenAPI document."),

    Route("GET", "/", pages.shell, "open", "The overview."),
    Route("GET", "/login", session_api.page, "open", "Log in, or make the first account.", query=(NEXT,)),
    Route("POST", "/login", session_api.log_in_by_form, "open", "Log in by form.", body=FORM, on="logins"),
    Route("POST", "/setup", session_api.set_up_by_form, "open", "Make the first account by form.", body=FORM,
          on="logins"),
    Route("GET", "/compare", pages.shell, "open", "The histories of chosen servers over each other."),
    Route("GET", "/servers/{server_id}", pages.shell, "open", "A server's page."),
    Route("GET", "/servers/{server_id}/{tab}", pages.shell, "open", "A tab of a server's page."),
    Route("GET", "/alerts", pages.shell, "open", "The alerts of all servers."),
    Route("GET", "/alerts/maintenance", pages.shell, "open", "Times in which alerts are recorded but not told."),
    Route("GET", "/add", pages.shell, "open", "How to bring a server in."),
    Route("GET", "/settings", pages.shell, "open", "The hub's settings."),
    Route("GET", "/settings/{section}", pages.shell, "open", "A section of the settings."),
    Route("GET", "/static/{version}/{name:path}", pages.static, "open", "A file of the page."),
    Route("GET", "/agent/smon_agent.py", pages.agent, "open", "The agent that fits this hub.", any_host=True),
    Route("GET", "/agent/smon_agent.py.sha256", pages.agent_sum, "open", "Its SHA-256, as sha256sum -c reads it.",
          any_host=True),
    Route("GET", "/favicon.ico", pages.icon, "open", "The page's icon."),
)
