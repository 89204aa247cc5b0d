"""ROUTES: every path that the hub answers, one line of contract each."""

from __future__ import annotations

from .. import bodies, intake
from ..settings import Setting
from ..shapes import Time
from . import agent_api, dashboard_api, pages
from .call import ANY, BATCH_BYTES, FILE, Route

HOURS = Setting("hours", int, 24, "Hours of history.", "", min=1, max=8_760)
AT = Setting("at", Time, None, "Show processes as they were then.", "")
MINUTES = Setting("minutes", int, 5, "Minutes of near-live samples.", "", min=1, max=1_440)
BENCHMARK = Setting("benchmark", int, 30, "Minutes of the statistics.", "", min=1, max=1_440)
SINCE = Setting("since", Time, None, "Only what is newer.", "")
VIEW = Setting("view", str, "whole", "The form of the answer.", "", choices=("whole", "cards"))

ROUTES = (
    Route("POST", "/api/register", agent_api.register, "open", "Register a server.", body=bodies.REGISTER, status=201,
          on="keys", limited=True),
    Route("POST", "/api/metrics", agent_api.metrics, "agent", "Submit one sample.", body=bodies.SAMPLE, on="loop",
          limited=True),
    Route("POST", "/api/metrics/batch", agent_api.batch, "agent", "Submit up to 100 samples.", body=ANY, limited=True,
          body_bytes=BATCH_BYTES),
    Route("POST", "/api/metrics/live", agent_api.live, "agent", "Submit one near-live sample.", body=bodies.LIVE,
          on="loop", limited=True),
    Route("POST", "/api/ping", agent_api.beat, "agent", "Say that the agent is alive.", on="loop"),
    Route("GET", "/api/config/{server_id}", agent_api.settings, "agent",
          "Fetch the settings that wait for this agent."),
    Route("POST", "/api/config/{server_id}", agent_api.answer_settings, "agent", "Say what became of them.",
          body=bodies.REMOTE_ANSWER),
    Route("GET", "/api/ping", dashboard_api.health, "open", "Say whether the hub can store and answer."),

    Route("GET", "/api/dashboard", dashboard_api.overview, "viewer", "Summary, servers and open alerts.",
          query=(VIEW,)),
    Route("GET", "/api/dashboard/server/{server_id}", dashboard_api.server, "viewer", "One server, with its history.",
          query=(HOURS, AT)),
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
    Route("GET", "/api/dashboard/settings", dashboard_api.read_settings, "viewer", "Every setting."),
    Route("PATCH", "/api/dashboard/settings", dashboard_api.change_settings, "admin", "Change settings.", body=ANY),
    Route("POST", "/api/dashboard/import", dashboard_api.take_export, "admin",
          "Take in an agent's spool export, as it is.", body=FILE, body_bytes=intake.FILE_BYTES),
    Route("DELETE", "/api/dashboard/settings", dashboard_api.clean_up, "admin",
          "Remove what is past its retention."),

    Route("GET", "/", pages.shell, "open", "The overview."),
    Route("GET", "/servers/{server_id}", pages.shell, "open", "A server's page."),
    Route("GET", "/servers/{server_id}/{tab}", pages.shell, "open", "A tab of a server's page."),
    Route("GET", "/static/{version}/{name:path}", pages.static, "open", "A file of the page."),
    Route("GET", "/agent/smon_agent.py", pages.agent, "open", "The agent that fits this hub."),
    Route("GET", "/agent/smon_agent.py.sha256", pages.agent_sum, "open", "Its SHA-256, as sha256sum -c reads it."),
    Route("GET", "/favicon.ico", pages.icon, "open", "The page's icon."),
)
