"""The page where things are changed: who may, what is said of a wrong value, and that nothing typed is lost."""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support import ROOT
from tests.support.processes import until
from tests.e2e.test_page import AXE_RULES, WIDTHS, axe, count_requests, history, open_server, pass_time  # noqa: F401

PASSWORD = "correct horse battery"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def accounts(fresh_hub):
    """A hub with an admin and a viewer, both with PASSWORD."""
    for name, role in (("eve", "viewer"), ("ada", "admin")):
        if name == "eve":
            fresh_hub.register("web-1", group_name="Web").send({"cpu_percent": 97.0})
            first = fresh_hub.post("/api/dashboard/users", {"name": "ada", "role": "admin", "password": PASSWORD})
            assert first.status == 201, first
            session = fresh_hub.post("/api/session", {"username": "ada", "password": PASSWORD})
            cookie = session.headers["set-cookie"].split(";")[0]
            added = fresh_hub.post("/api/dashboard/users", {"name": name, "role": role, "password": PASSWORD},
                                   {"Cookie": cookie})
            assert added.status == 201, added
    return fresh_hub


def log_in(page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def setting(hub, key: str):
    return hub.get("/api/dashboard/settings").json["settings"][key]


def field(page, key: str):
    return page.locator("[data-field='%s']" % key)


# --- who reads --------------------------------------------------------------------------------------------------------

def test_without_a_session_a_page_leads_to_the_login_and_from_there_back(page, accounts, allowed_faults):
    allowed_faults.append("401")
    page.goto(accounts.url + "/alerts?state=all")
    page.wait_for_url("**/login?next=*")
    log_in(page, "ada")
    page.wait_for_url("**/alerts?state=all")
    page.get_by_role("button", name=re.compile("^Acknowledge: CPU")).wait_for()


def test_a_viewer_is_offered_nothing_that_changes_things(page, accounts, allowed_faults):
    allowed_faults.append("401")
    page.goto(accounts.url + "/alerts")
    log_in(page, "eve")
    page.get_by_text("CPU usage at 97.0%").wait_for()
    assert page.locator(".for-admin:visible").count() == 0
    page.goto(accounts.url + "/settings/users")
    page.get_by_role("heading", name="For admins only").wait_for()
    page.goto(accounts.url + "/settings")
    page.wait_for_selector("fieldset[disabled]")
    assert page.get_by_role("button", name="Save").count() == 0


def test_after_logging_out_back_shows_no_data(page, accounts, allowed_faults):
    allowed_faults.append("401")
    page.goto(accounts.url + "/")
    log_in(page, "ada")
    page.wait_for_selector(".card")
    page.get_by_role("button", name="Account: ada").click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login*")
    page.go_back()
    page.wait_for_url("**/login*")
    assert page.get_by_text("web-1").count() == 0


def test_the_first_account_is_made_on_the_page_and_then_logs_in(page, fresh_hub, allowed_faults):
    allowed_faults.append("401")
    page.goto(fresh_hub.url + "/")
    page.get_by_role("link", name="Make the first account").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Make the first account").click()
    field(page, "password").locator(".problem").get_by_text("password").wait_for()
    allowed_faults.append("400")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the first account").click()
    page.wait_for_url("**/login?next=/settings/users")
    log_in(page, "ada")
    page.get_by_role("cell", name="ada", exact=True).first.wait_for()
    assert page.locator("#setup").is_hidden()


# --- settings ---------------------------------------------------------------------------------------------------------

def test_a_wrong_value_is_said_at_its_field_and_nothing_is_saved(page, hub, allowed_faults):
    allowed_faults.append("400")
    page.goto("/settings")
    box = field(page, "stale_threshold_minutes").get_by_role("textbox")
    box.fill("0")
    page.get_by_role("form", name="Servers").get_by_role("button", name="Save").click()
    field(page, "stale_threshold_minutes").locator(".problem").get_by_text("must be").wait_for()
    assert box.get_attribute("aria-invalid") == "true"
    assert page.evaluate("() => document.activeElement.name") == "stale_threshold_minutes"
    assert setting(hub, "stale_threshold_minutes") == 15


def test_only_what_was_changed_is_sent_and_shown_as_saved(page, fresh_hub):
    page.goto(fresh_hub.url + "/settings")
    field(page, "stale_threshold_minutes").get_by_role("textbox").fill("20")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.get_by_role("form", name="Servers").get_by_role("button", name="Save").click()
    assert sent.value.post_data_json == {"stale_threshold_minutes": 20}
    page.get_by_text("Saved.").wait_for()
    assert setting(fresh_hub, "stale_threshold_minutes") == 20


def test_typed_text_outlives_refreshes_and_a_change_behind_it_is_said(page, fresh_hub):
    page.clock.install()
    page.goto(fresh_hub.url + "/settings")
    days, port = field(page, "data_retention_days"), field(page, "alert_email_smtp_port")
    days.get_by_role("textbox").fill("77")
    port.get_by_role("textbox").wait_for()
    changed = fresh_hub.patch("/api/dashboard/settings", {"data_retention_days": 50, "alert_email_smtp_port": 25})
    assert changed.status == 200
    asked = count_requests(page)
    pass_time(page, 90)
    assert len(asked) >= 2
    assert days.get_by_role("textbox").input_value() == "77"
    assert port.get_by_role("textbox").input_value() == "25"
    page.get_by_role("button", name="Show what is there now").click()
    assert days.get_by_role("textbox").input_value() == "50"


def test_a_secret_is_never_sent_back_to_the_page(page, fresh_hub):
    fresh_hub.patch("/api/dashboard/settings", {"alert_email_smtp_password": "hunter2hunter2"})
    answers = []
    page.on("response", lambda response: "/api/" in response.url and answers.append(response))
    page.goto(fresh_hub.url + "/settings")
    box = field(page, "alert_email_smtp_password").locator("input")
    box.wait_for()
    assert (box.input_value(), box.get_attribute("placeholder")) == ("", "Set – type to replace")
    assert answers and not any("hunter2" in answer.text() for answer in answers)


def test_a_clean_up_says_what_it_removed(page, hub):
    page.goto("/settings/data")
    page.get_by_role("button", name="Clean up now").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Clean up now").click()
    page.get_by_role("dialog").get_by_role("button", name="Clean up").click()
    page.get_by_text("Nothing was past its retention.").wait_for()


def test_the_data_can_be_carried_away_as_files(page, hub):
    hub.register("exported").send()
    page.goto("/settings/data")
    for name, kind in (("JSON", "json"), ("CSV", "csv"), ("History as CSV", "csv")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name, exact=True).click()
        assert download.value.suggested_filename.endswith("." + kind)
        assert "exported" in download.value.path().read_text(encoding="utf-8")


def test_a_token_is_shown_once_works_and_is_revoked(page, fresh_hub):
    page.goto(fresh_hub.url + "/settings/tokens")
    page.get_by_label("Name").fill("prometheus")
    page.get_by_role("button", name="Make token").click()
    token = page.locator(".once .command").inner_text()
    bearer = {"Authorization": "Bearer " + token}
    assert token.startswith("smt_") and fresh_hub.get("/api/session", bearer).json["user"]["via"] == "token"
    page.reload()
    page.get_by_role("cell", name="prometheus", exact=True).wait_for()
    assert token not in page.content()
    page.get_by_role("button", name="Revoke prometheus").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_text("There are no API tokens.").wait_for()


def test_what_was_changed_stands_in_the_audit_log(page, fresh_hub):
    fresh_hub.patch("/api/dashboard/settings", {"data_retention_days": 31})
    page.goto(fresh_hub.url + "/settings/audit")
    page.get_by_role("cell", name="data_retention_days: 30 → 31").wait_for()


@pytest.fixture
def receiver():
    """An address that takes messages, and what it was sent."""
    taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            """Tests are quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    yield "http://127.0.0.1:%d/hook" % server.server_port, taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_channel_is_added_tested_changed_and_removed(page, fresh_hub, receiver, allowed_faults):
    allowed_faults.append("400")
    url, taken = receiver
    page.goto(fresh_hub.url + "/settings/notifications")
    adding = page.get_by_role("form", name="New channel")
    adding.get_by_label("Name", exact=True).fill(HOSTILE)
    adding.get_by_role("button", name="Add channel").click()
    field(page, "config.url").locator(".problem").filter(has_text=re.compile(".")).wait_for()
    adding.get_by_label("URL").fill(url)
    adding.get_by_role("button", name="Add channel").click()
    channel = page.locator(".channel", has=page.get_by_role("heading", name=HOSTILE))
    channel.get_by_role("button", name="Send a test").click()
    until(lambda: page.wait_for_timeout(20) or taken, "The test message")
    channel.get_by_text("Change", exact=True).click()
    channel.get_by_label("Tell of info").check()
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        channel.get_by_role("button", name="Save").click()
    assert sent.value.post_data_json == {"severities": ["critical", "warning", "info"]}
    channel.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    channel.wait_for(state="detached")


# --- bringing servers in ----------------------------------------------------------------------------------------------

def test_the_command_names_the_hub_the_sum_and_a_token_and_is_copied_as_it_stands(context, page, fresh_hub):
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=fresh_hub.url)
    page.goto(fresh_hub.url + "/add")
    page.get_by_role("button", name="Put a token into the command").click()
    page.get_by_text("The command holds a token now").wait_for()
    agent = (ROOT / "smon_agent.py").read_bytes()
    for system in ("Windows", "Linux"):
        page.get_by_role("button", name=system).click()
        command = page.locator(".add-panel .command").evaluate("(code) => code.textContent")
        assert "--url " + fresh_hub.url in command and hashlib.sha256(agent).hexdigest() in command
        page.get_by_role("button", name="Copy the command").click()
        page.get_by_text("Copied", exact=True).wait_for()
        assert page.evaluate("() => navigator.clipboard.readText()") == command
    token = re.search(r"--token (smr_\S+)", command).group(1)
    stranger = {"X-Forwarded-For": "192.0.2.99"}
    answer = fresh_hub.post("/api/register", {"hostname": "new-box", "registration_token": token}, stranger)
    assert answer.status == 201, answer
    page.get_by_role("button", name="Refresh now").click()
    page.get_by_role("link", name="new-box").wait_for()


def test_a_server_that_waits_is_let_in_on_the_registration_page(page, fresh_hub):
    fresh_hub.post("/api/register", {"hostname": "new-box"}, {"X-Forwarded-For": "192.0.2.99"})
    page.goto(fresh_hub.url + "/settings/registration")
    page.get_by_role("button", name="Approve new-box").click()
    page.get_by_role("heading", name="Waiting for approval").wait_for(state="hidden")
    assert fresh_hub.get("/api/dashboard").json["summary"]["pendingServers"] == 0


# --- alerts -----------------------------------------------------------------------------------------------------------

@pytest.fixture
def alarmed(fresh_hub):
    """A hub with three servers in trouble."""
    process = {"pid": 1, "name": HOSTILE, "cpu_percent": 90.0, "memory_percent": 1.0}
    for number in (1, 2, 3):
        server = fresh_hub.register("web-%d" % number)
        answer = server.send({"cpu_percent": 91.0 + number}, processes=[process])
        assert answer.status == 200, answer
    return fresh_hub


def state(hub, name: str):
    return hub.get("/api/dashboard/alerts?state=%s" % name).json["alerts"]


def test_acknowledging_with_a_note_updates_the_page_without_a_reload(page, alarmed):
    page.goto(alarmed.url + "/alerts")
    page.get_by_role("button", name=re.compile("Acknowledge: CPU usage at 92")).click()
    page.get_by_label("Note").fill("disk ordered " + HOSTILE)
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    page.wait_for_function("() => document.querySelectorAll('.alert-line').length === 2")
    page.get_by_role("button", name="Open", exact=True).click()
    page.get_by_text("disk ordered " + HOSTILE).wait_for()
    notes = [alert["note"] for alert in state(alarmed, "open") if alert["is_acknowledged"]]
    assert notes == ["disk ordered " + HOSTILE]


def test_many_alerts_are_acknowledged_at_once(page, alarmed):
    page.goto(alarmed.url + "/alerts")
    for number in (0, 1):
        page.get_by_role("checkbox").nth(number).check()
    page.get_by_text("2 alerts chosen").wait_for()
    page.locator(".chosen").get_by_role("button", name="Acknowledge").click()
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    page.wait_for_function("() => document.querySelectorAll('.alert-line').length === 1")
    assert len(state(alarmed, "active")) == 1 and page.locator(".chosen").is_hidden()


def test_an_alert_says_why_it_fired_and_what_ran_then(page, alarmed):
    page.goto(alarmed.url + "/alerts?q=web-2")
    page.get_by_text("Why").click()
    why = page.locator(".why")
    why.get_by_text(HOSTILE + ": CPU 90.0%").wait_for()
    assert why.locator("dd").all_inner_texts()[:3] == ["cpu", "93", "90"]
    why.get_by_role("link", name="Processes at that moment").click()
    page.get_by_role("cell", name=HOSTILE).wait_for()


def test_filters_and_states_are_in_the_address(page, alarmed):
    page.goto(alarmed.url + "/alerts")
    page.get_by_role("searchbox").fill("web-3")
    page.get_by_role("button", name="All", exact=True).click()
    page.reload()
    page.get_by_text("CPU usage at 94.0%").wait_for()
    assert page.locator(".alert-line").count() == 1 and "state=all" in page.url and "q=web-3" in page.url


def test_the_bell_counts_marks_and_gives_the_focus_back(page, alarmed):
    page.goto(alarmed.url + "/")
    page.wait_for_selector(".card")
    assert page.locator("#unread").inner_text() == "3"
    page.keyboard.press("n")
    lines = page.locator(".notice-line")
    lines.first.wait_for()
    assert lines.count() == 3
    lines.first.get_by_role("button").click()
    page.wait_for_function("() => document.querySelectorAll('.notice-line').length === 2")
    page.get_by_role("button", name="Mark all read").click()
    page.get_by_text("Nothing is unread.").wait_for()
    assert page.locator("#unread").is_hidden()
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.id") == "bell"
    assert alarmed.get("/api/dashboard/notifications").json["notifications"] == []


def test_a_maintenance_window_is_planned_and_called_off(page, alarmed):
    page.goto(alarmed.url + "/alerts/maintenance")
    page.get_by_role("button", name="Every week").click()
    page.get_by_label("Name", exact=True).fill("patch day")
    page.get_by_label("For", exact=True).select_option("web-2")
    page.get_by_label("Tuesday").check()
    page.get_by_label("Time zone").fill("UTC")
    page.get_by_role("button", name="Add window").click()
    row = page.get_by_role("row", name=re.compile("patch day"))
    row.get_by_text("Tue at 02:00 UTC").wait_for()
    assert "web-2" in row.inner_text()
    row.get_by_role("button", name="Remove patch day").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("There are no maintenance windows.").wait_for()


# --- one server -------------------------------------------------------------------------------------------------------

def test_a_server_is_renamed_and_its_agent_gets_its_settings(page, hub):
    server = hub.register("old-name")
    server.send()
    page.goto("/servers/%s/settings" % server.id)
    field(page, "display_name").get_by_role("textbox").fill(HOSTILE)
    page.get_by_role("form", name="Server").get_by_role("button", name="Save").click()
    page.get_by_role("heading", level=1, name=HOSTILE).wait_for()
    page.get_by_label("Send a light sample every few seconds").check()
    page.get_by_role("button", name="Queue for the agent").click()
    page.get_by_text("Waiting for the agent to fetch: live_enabled = true.").wait_for()
    answer = hub.get("/api/config/" + server.id, server.headers).json
    said = server.post("/api/config/" + server.id, {
        "revision": answer["revision"], "rejected": {"live_enabled": "not here"}, "current": {"live_enabled": False}})
    assert said.status == 200, said
    page.get_by_role("button", name="Refresh now").click()
    page.get_by_text("Changes so far").click()
    page.get_by_text("rejected: live_enabled (not here)").wait_for()


def test_removing_a_server_asks_for_its_name(page, hub):
    server = hub.register("doomed")
    server.send()
    page.goto("/servers/%s/settings" % server.id)
    page.get_by_role("button", name="Remove this server").click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("button", name="Remove").is_disabled()
    dialog.get_by_role("button", name="Cancel").click()
    assert hub.server(server.id)["server"]["hostname"] == "doomed"
    page.get_by_role("button", name="Remove this server").click()
    dialog.get_by_role("textbox").fill("doomed")
    dialog.get_by_role("button", name="Remove").click()
    page.wait_for_url(re.compile("/$"))
    assert hub.get("/api/dashboard/server/" + server.id).status == 404


def test_a_new_key_is_shown_once_and_the_old_one_is_refused(page, hub):
    server = hub.register("rotated")
    server.send()
    page.goto("/servers/%s/settings" % server.id)
    page.get_by_role("button", name="New API key").click()
    page.get_by_role("dialog").get_by_role("button", name="Make a new key").click()
    key = page.locator(".once .command").inner_text()
    assert server.ping().status == 401
    server.headers = {"Authorization": "Bearer %s:%s" % (server.id, key)}
    assert server.ping().status == 200


def test_a_drag_zooms_the_chart_and_escape_brings_it_back(page, hub):
    server = hub.register("zoomed")
    history(server, 24)
    open_server(page, server)
    plot = page.get_by_role("slider")
    samples = int(plot.get_attribute("aria-valuemax"))
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 400, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 100, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Zoom out").wait_for()
    assert "from=" in page.url and "at=" not in page.url
    page.wait_for_function("([plot, most]) => plot.ariaValueMax < most", arg=[plot.element_handle(), samples / 2])
    page.mouse.move(0, 0)
    plot.press("Escape")
    page.get_by_role("button", name="Zoom out").wait_for(state="hidden")
    page.wait_for_function("([plot, least]) => plot.ariaValueMax >= least", arg=[plot.element_handle(), samples])


# --- keys, weight, reach ----------------------------------------------------------------------------------------------

def test_keys_lead_through_the_page_but_not_from_inside_a_field(page, hub):
    hub.register("keyed").send()
    page.goto("/")
    page.wait_for_selector(".card")
    page.keyboard.press("2")
    page.wait_for_selector(".name-link")
    page.keyboard.press("/")
    page.keyboard.type("ga1")
    assert page.get_by_role("searchbox").input_value() == "ga1" and "view=list" in page.url
    page.get_by_role("heading", level=1).evaluate("(heading) => heading.focus()")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.get_by_role("heading", level=1, name="Alerts").wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_label("Keys are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("o")
    assert page.url.endswith("/alerts")


PLACES = ("/settings", "/settings/rules", "/settings/notifications", "/settings/registration", "/settings/users",
          "/settings/tokens", "/settings/data", "/settings/audit", "/settings/account", "/alerts?state=all",
          "/alerts/maintenance", "/add",
          "/servers/%s/processes", "/servers/%s/services", "/servers/%s/alerts", "/servers/%s/settings", "/login")


@pytest.fixture(scope="module")
def troubled(hub):
    """A server with an alert, and something in each list."""
    server = hub.register(HOSTILE, display_name=HOSTILE)
    server.send({"cpu_percent": 99.0})
    hub.post("/api/dashboard/tokens", {"name": HOSTILE, "role": "viewer"})
    hub.post("/api/dashboard/registration", {"name": HOSTILE})
    return server


def visit(page, server, path: str) -> None:
    page.goto(path % server.id if "%s" in path else path)
    page.wait_for_selector(".panel:not([hidden]), .alert-line")
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("path", PLACES)
def test_no_page_scrolls_sideways(page, troubled, path):
    visit(page, troubled, path)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        beyond = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond <= 0, width
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("path", PLACES)
def test_axe_finds_nothing(page, troubled, axe, path, theme):  # noqa: F811
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    visit(page, troubled, path)
    page.evaluate(axe)
    found = page.evaluate("(rules) => axe.run({ runOnly: rules })", AXE_RULES)
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found["violations"]] == []
