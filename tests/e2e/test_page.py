"""The page in a real browser: what it shows is what the API says, and it keeps its place, its age and its manners."""

from __future__ import annotations

import json
import re
import socket
from datetime import datetime, timedelta, timezone

import pytest

from tests.support import needs
from tests.support.processes import AgentProcess, HubProcess, until

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
TURNING = "safe\u202egnp.exe"
PAGE_BYTES = 60 * 1024
PAGE_REQUESTS = 14
RELOAD_BYTES = 5 * 1024
NODES = 3000
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def history(server, hours: float, every_minutes: int = 10, gap=(None, None)) -> None:
    """Samples of the last hours, none of them between gap[0] and gap[1] hours ago."""
    now = datetime.now(timezone.utc)
    moments = [now - timedelta(minutes=minutes) for minutes in range(int(hours * 60), -1, -every_minutes)]
    payloads = [{"collected_at": iso(moment), "processes": [], "services": [],
                 "metrics": {"cpu_percent": 40 + moment.minute % 20, "memory_percent": 60.0}}
                for moment in moments
                if gap[0] is None or not gap[1] <= (now - moment).total_seconds() / 3600 <= gap[0]]
    for start in range(0, len(payloads), 100):
        answer = server.post("/api/metrics/batch", {"payloads": payloads[start:start + 100]})
        assert answer.status == 200, answer


@pytest.fixture(scope="module")
def fleet(hub):
    """Servers that the tests of this module look at."""
    process = {"pid": 812, "name": "postgres", "cpu_percent": 41.5, "memory_percent": 12.0, "memory_mb": 512.0,
               "status": "running", "username": "postgres"}
    idle = dict(process, pid=9, name="cron", cpu_percent=0.1, memory_percent=0.1, memory_mb=3.0, username="root")
    unit = {"service_name": "ssh", "display_name": "OpenSSH", "status": "running", "start_type": "automatic", "pid": 5}
    units = [unit, dict(unit, service_name="nginx", display_name="Web server", status="failed", pid=None)]
    database = hub.register("db-1", group_name="Database", ip_address="192.0.2.20", tags=["prod"])
    history(database, 30, gap=(9, 6))
    database.send({"cpu_percent": 62.5}, processes=[idle, process], services=units)
    web = [hub.register("web-%d" % number, group_name="Web") for number in (1, 2, 10)]
    for server in web:
        server.send()
    return {"db": database, "web": web}


@pytest.fixture(scope="module")
def axe():
    """The source of axe-core, as the package for Playwright ships it."""
    try:
        from axe_playwright_python.base import AXE_FILE_PATH
    except ImportError:
        needs.package("axe-playwright-python is not installed: accessibility is checked with it.")
    return open(str(AXE_FILE_PATH), encoding="utf-8").read()


def overview(hub):
    answer = hub.get("/api/dashboard?view=cards").json
    return answer["summary"], [dict(zip(answer["columns"], row)) for row in answer["rows"]]


def open_server(page, server, query=""):
    page.goto("/servers/%s%s" % (server.id, query))
    page.wait_for_selector(".panel-history canvas")


def figure(page, name: str) -> int:
    return int(page.locator("[data-figure=%s] .stat-figure" % name).inner_text())


def card(page, name: str):
    return page.locator(".card", has=page.get_by_role("link", name=name, exact=True))


# --- the overview -----------------------------------------------------------------------------------------------------

def test_it_shows_this_machine_with_its_figures(hub, page, tmp_path):
    with AgentProcess(tmp_path / "agent", hub.url, minute_seconds=60) as agent:
        server_id = agent.server_id()
        until(lambda: hub.server(server_id)["metrics"], "The first sample; the agent said: " + agent.log)
    told = next(row for row in overview(hub)[1] if row["id"] == server_id)
    page.goto("/")
    shown = card(page, socket.gethostname())
    assert shown.get_by_role("meter", name="Memory").get_attribute("aria-valuenow") == "%.1f" % told["memory"]
    assert shown.get_by_role("meter", name="CPU").get_attribute("aria-valuenow") == "%.1f" % told["cpu"]
    assert told["os"] in shown.inner_text() and told["ip"] in shown.inner_text()
    assert shown.locator(".card-disks .bar:visible").count() == len(told["disks"])


def test_the_summary_is_what_the_hub_counts(hub, page, fleet):
    summary, _ = overview(hub)
    page.goto("/")
    page.wait_for_selector(".card")
    for name in ("totalServers", "onlineServers", "offlineServers", "activeAlerts", "criticalAlerts",
                 "unreadNotifications"):
        assert figure(page, name) == summary[name], name


def test_a_summary_card_filters_by_what_it_counts_and_a_second_click_clears(page, fleet):
    page.goto("/")
    online = page.locator("[data-figure=onlineServers]")
    online.click()
    assert "status=online" in page.url
    assert page.locator(".card").count() == figure(page, "onlineServers")
    online.click()
    assert "status" not in page.url


def test_a_filter_is_in_the_address_and_survives_a_reload(page, fleet):
    page.goto("/")
    page.get_by_role("searchbox").fill("WEB-")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 3")
    page.reload()
    page.wait_for_selector(".card")
    assert page.get_by_role("searchbox").input_value() == "WEB-"
    assert page.locator(".card h3").all_inner_texts() == ["web-1", "web-2", "web-10"]


def test_filters_combine_and_an_empty_result_offers_to_clear_them(page, fleet):
    page.goto("/?q=192.0.2.20&group=Web")
    page.get_by_role("heading", name="No servers match").wait_for()
    page.locator(".notice").get_by_role("button", name="Clear filters").click()
    page.wait_for_selector(".card")
    assert page.url.endswith("/")


def test_it_finds_a_server_by_its_tag_and_its_address(page, fleet):
    for text in ("prod", "192.0.2.20"):
        page.goto("/?q=" + text)
        page.wait_for_selector(".card")
        assert page.locator(".card h3").all_inner_texts() == ["db-1"], text


def test_the_list_sorts_by_each_header_and_says_so(page, fleet):
    page.goto("/?view=list&q=web-")
    page.get_by_role("button", name="Name").click()
    page.wait_for_function("() => document.querySelector('th[aria-sort] button').textContent === 'Name'")
    assert page.locator("tbody .name-link").all_inner_texts() == ["web-1", "web-2", "web-10"]
    page.get_by_role("button", name="Name").click()
    page.wait_for_function("() => document.querySelector('th[aria-sort=descending]')")
    assert page.locator("tbody .name-link").all_inner_texts() == ["web-10", "web-2", "web-1"]
    assert "sort=-name" in page.url


def test_grid_list_and_map_show_the_same_servers_and_the_choice_survives(page, fleet):
    page.goto("/?q=web-")
    for name, selector in (("List", ".name-link"), ("Map", ".node-name"), ("Grid", ".card-link")):
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_selector(selector)
        assert sorted(page.locator(selector).all_inner_texts()) == ["web-1", "web-10", "web-2"], name
    page.get_by_role("button", name="List", exact=True).click()
    page.goto("/")
    page.wait_for_selector(".name-link")


def test_a_server_that_waits_is_approved_by_a_click(page, fresh_hub):
    fresh_hub.patch("/api/dashboard/settings", {"registration_mode": "approve"})
    waiting = fresh_hub.post("/api/register", {"hostname": "new-box"}, {"X-Forwarded-For": "192.0.2.99"})
    assert waiting.status == 201, waiting
    page.goto(fresh_hub.url + "/")
    page.get_by_role("button", name="Approve new-box").click()
    page.wait_for_function("() => document.querySelector('.card')")
    assert overview(fresh_hub)[1][0]["flags"] == ["waiting"]
    assert page.locator(".pending").count() == 0


def test_without_servers_it_says_what_to_do_and_shows_the_first_one_by_itself(page, fresh_hub):
    page.clock.install()
    page.goto(fresh_hub.url + "/")
    page.get_by_role("heading", name="No servers yet").wait_for()
    assert "--url " + fresh_hub.url in page.locator(".command").inner_text()
    fresh_hub.register("first").send()
    page.clock.fast_forward(31000)
    page.wait_for_selector(".card")
    assert page.locator(".notice").count() == 0


# --- one server -------------------------------------------------------------------------------------------------------

def test_a_deep_link_opens_its_range_and_a_reload_keeps_it(page, fleet):
    open_server(page, fleet["db"], "?h=48")
    assert page.locator(".segment[aria-pressed=true]").inner_text() == "48 h"
    page.get_by_role("button", name="6 h", exact=True).click()
    page.reload()
    page.wait_for_selector(".panel-history canvas")
    assert page.locator(".segment[aria-pressed=true]").inner_text() == "6 h"


def pixels_at(page, hours_ago: float, hours: int):
    """How many pixels are drawn on in the column of a moment, above the time axis."""
    return page.evaluate("""async ([ago, hours]) => {
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const canvas = document.querySelector(".panel-history canvas");
        const ratio = canvas.width / canvas.getBoundingClientRect().width;
        const width = canvas.width / ratio - 52 - 8;
        const x = Math.round((52 + width * (1 - ago / hours)) * ratio);
        const height = canvas.height - 24 * ratio;
        const data = canvas.getContext("2d").getImageData(x, 0, 1, height).data;
        const drawn = [];
        for (let i = 3; i < data.length; i += 4) drawn.push(data[i]);
        return drawn.filter((alpha) => alpha > 0).length;
    }""", [hours_ago, hours])


def test_a_gap_in_time_is_a_gap_in_the_line(page, fleet):
    open_server(page, fleet["db"], "?h=24")
    grid_lines = 4
    assert pixels_at(page, 7.5, 24) == grid_lines
    assert pixels_at(page, 3.0, 24) > 50
    assert pixels_at(page, 12.0, 24) > 50


def test_the_cursor_shows_the_sample_that_the_hub_has(hub, page, fleet):
    open_server(page, fleet["db"])
    rows = hub.server(fleet["db"].id)["history"]
    plot = page.get_by_role("slider")
    plot.press("Home")
    assert "CPU %.1f%%" % rows[0]["cpu_percent"] in plot.get_attribute("aria-valuetext")
    plot.press("Shift+ArrowRight")
    plot.press("ArrowLeft")
    assert plot.get_attribute("aria-valuenow") == "9"
    assert page.locator(".chart-key b").all_inner_texts() == ["%.1f%%" % rows[9]["cpu_percent"], "60.0%"]
    plot.press("Escape")
    assert page.locator(".chart-cursor").is_hidden()


def test_the_table_behind_the_chart_has_the_same_extremes(hub, page, fleet):
    open_server(page, fleet["db"])
    values = [row["cpu_percent"] for row in hub.server(fleet["db"].id)["history"]]
    page.get_by_text("Show as table").click()
    page.wait_for_selector(".figures td")
    cells = page.locator(".figures tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.querySelectorAll('td')].slice(0, 3).map((cell) => cell.textContent))")
    known = [[float(text.rstrip("%")) for text in row] for row in cells if row[0] != "–"]
    assert len(known) < len(cells)  # the gap is in the table too
    assert min(row[0] for row in known) == min(values)
    assert max(row[2] for row in known) == max(values)
    assert all(row[0] <= row[1] <= row[2] for row in known)


def test_enter_on_a_moment_shows_its_processes_and_leads_back(page, fleet):
    open_server(page, fleet["db"])
    assert page.locator(".panel-processes .col-name:visible").all_inner_texts()[1:] == ["postgres", "cron"]
    plot = page.get_by_role("slider")
    plot.press("Home")
    plot.press("Enter")
    page.get_by_text("No processes were reported.").wait_for()
    assert "at=" in page.url
    page.reload()
    page.get_by_text("No processes were reported.").wait_for()
    page.get_by_role("button", name="Back to now").click()
    page.get_by_role("cell", name="postgres").first.wait_for()
    assert "at=" not in page.url


def test_processes_sort_and_filter(page, fleet):
    open_server(page, fleet["db"])
    panel = page.locator(".panel-processes")
    panel.get_by_role("button", name="Name").click()
    assert panel.locator("td.col-name").all_inner_texts() == ["cron", "postgres"]
    panel.get_by_role("searchbox").fill("ROOT")
    assert panel.locator("td.col-name").all_inner_texts() == ["cron"]


def test_services_that_failed_come_first(page, fleet):
    open_server(page, fleet["db"])
    assert page.locator(".service-name").all_inner_texts() == ["nginx", "ssh"]
    assert page.locator(".panel-services .badge").all_inner_texts() == ["Failed", "Running"]


def test_disks_are_meters_worst_first(hub, page):
    server = hub.register("disks")
    server.send({"disks": [{"device": "/dev/sd" + name, "mountpoint": "/" + name, "total": 1000, "percent": share}
                           for name, share in (("a", 20.0), ("b", 97.5), ("c", 60.0))]})
    open_server(page, server)
    meters = page.locator(".panel-disks").get_by_role("meter")
    assert [meter.get_attribute("aria-valuenow") for meter in meters.all()] == ["97.5", "60.0", "20.0"]
    assert meters.first.get_attribute("data-level") == "critical"


def test_a_server_that_does_not_exist_is_said_with_a_way_home(page, fleet, allowed_faults):
    allowed_faults.append("404")
    page.goto("/servers/no-such-id")
    page.get_by_role("heading", name="No such server").wait_for()
    page.locator(".notice").get_by_role("link", name="All servers").click()
    page.wait_for_selector(".card")


def test_back_returns_to_the_filtered_list_and_its_scroll(page, fleet):
    page.set_viewport_size({"width": 400, "height": 500})
    page.goto("/?q=web-")
    page.wait_for_selector(".card")
    page.evaluate("() => scrollTo(0, 300)")
    page.wait_for_function("() => history.state && history.state.y === 300")
    card(page, "web-10").get_by_role("link").evaluate("(link) => link.click()")  # a mouse would scroll to it first
    page.wait_for_selector(".panel-history")
    page.go_back()
    page.wait_for_selector(".card")
    page.wait_for_function("() => scrollY === 300")
    assert page.url.endswith("/?q=web-")


# --- how it behaves ---------------------------------------------------------------------------------------------------

def test_hostile_names_change_nothing(hub, page):
    named = hub.register(HOSTILE, display_name=HOSTILE, group_name=HOSTILE, os_info=HOSTILE)
    named.send({"disks": [{"device": HOSTILE, "mountpoint": HOSTILE, "total": 10, "percent": 50.0}]},
               processes=[{"pid": 1, "name": TURNING, "cpu_percent": 1.0, "memory_percent": 1.0, "memory_mb": 1.0,
                           "status": HOSTILE, "username": HOSTILE}],
               services=[{"service_name": HOSTILE, "display_name": HOSTILE, "status": "running"}])
    for path in ("/", "/?view=list", "/?view=map", "/servers/" + named.id):
        page.goto(path)
        page.locator(".main").get_by_text(HOSTILE).locator("visible=true").first.wait_for()
        assert page.locator("img").count() == 0, path
    assert hub.delete("/api/dashboard/server/" + named.id).status == 200


def test_characters_that_turn_or_hide_text_become_marks(page, fleet):
    page.goto("/")
    shown = page.evaluate("""async (text) => {
        const home = document.querySelector("script[type=module]").src.replace("app.js", "");
        const { h, write } = await import(home + "dom.js");
        const element = h("p", { title: text }, text);
        const made = [element.textContent, element.title];
        write(element, "");
        write(element, text);
        return [...made, element.textContent];
    }""", TURNING)
    assert shown == [TURNING.replace("\u202e", "\ufffd")] * 3


def test_a_stopped_hub_is_said_with_the_age_of_the_data_and_forgotten_when_it_is_back(page, tmp_path, allowed_faults):
    allowed_faults.append("ERR_CONNECTION_REFUSED|Failed to load resource")
    first = HubProcess(tmp_path / "data")
    first.register("lonely").send()
    page.goto(first.url + "/")
    page.wait_for_selector(".card")
    first.stop()
    page.get_by_role("button", name="Refresh now").click()
    banner = page.locator("#banner")
    banner.wait_for()
    assert re.search(r"Hub unreachable since \d\d:\d\d – showing data from \d\d:\d\d:\d\d", banner.inner_text())
    assert page.locator(".card").count() == 1
    assert [page.locator(each).evaluate("(el) => getComputedStyle(el).filter") for each in (".fleet", ".troubles")] == [
        "saturate(0.15)"] * 2
    with HubProcess(tmp_path / "data", port=first.port):
        banner.wait_for(state="hidden")
        assert "stale" not in (page.locator("html").get_attribute("class") or "")


def count_requests(page):
    """What the poller asks for; who reads is asked once for each page."""
    asked = []
    page.on("request", lambda request: "/api/dashboard" in request.url and asked.append(request.url))
    return asked


def pass_time(page, seconds: int):
    """Let the page's timers fire for so long, in steps, so that each answer can plan the next request."""
    open_requests = set()
    page.on("request", lambda request: open_requests.add(request))
    page.on("response", lambda response: open_requests.discard(response.request))
    for _ in range(seconds // 10):
        page.clock.fast_forward(10000)
        page.wait_for_timeout(20)
        until(lambda: page.wait_for_timeout(5) or not open_requests, "The answer to each request")


def test_it_asks_once_per_interval(page, fleet):
    page.clock.install()
    asked = count_requests(page)
    page.goto("/")
    page.wait_for_selector(".card")
    pass_time(page, 120)
    assert 4 <= len(asked) <= 5


def test_a_hidden_tab_asks_nothing_and_catches_up_when_it_is_seen(page, fleet):
    page.clock.install()
    asked = count_requests(page)
    page.goto("/")
    page.wait_for_selector(".card")
    set_hidden = """(hidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(set_hidden, True)
    pass_time(page, 120)
    assert len(asked) == 1
    with page.expect_request("**/api/dashboard?view=cards"):
        page.evaluate(set_hidden, False)
    assert len(asked) == 2


def test_paused_refreshing_asks_nothing_and_stays_paused(page, fleet):
    page.clock.install()
    page.goto("/")
    page.wait_for_selector(".card")
    page.get_by_role("button", name="Pause refreshing").click()
    page.reload()
    page.wait_for_selector(".card")
    asked = count_requests(page)
    pass_time(page, 120)
    assert asked == []
    page.get_by_role("button", name="Refresh automatically").click()
    page.wait_for_function("() => document.getElementById('age').textContent === 'Updated just now'")
    assert len(asked) == 1


def test_a_refresh_keeps_the_focus_although_its_card_moves(page, hub):
    servers = [hub.register("focus-%d" % number, group_name="Focus") for number in (1, 2, 3)]
    for server in servers:
        server.send()
    page.goto("/?group=Focus")
    page.wait_for_selector(".card")
    rename = hub.patch("/api/dashboard/server/" + servers[2].id, {"display_name": "focus-0"})
    assert rename.status == 200
    card(page, "focus-3").get_by_role("link").focus()
    page.get_by_role("button", name="Refresh now").evaluate("(button) => button.click()")
    page.wait_for_function("() => document.activeElement.textContent === 'focus-0'")
    assert page.locator(".card h3").all_inner_texts() == ["focus-0", "focus-1", "focus-2"]


def test_the_theme_survives_a_reload_and_recolours_the_chart(page, fleet):
    page.emulate_media(color_scheme="dark")
    open_server(page, fleet["db"])
    page.get_by_role("button", name="Pause refreshing").click()
    theme = page.locator("html")
    before = page.locator(".panel-history canvas").evaluate("(canvas) => canvas.toDataURL()")
    page.locator("[data-theme-switch]").click()
    page.locator("[data-theme-switch]").click()
    assert theme.get_attribute("data-theme-choice") == "light"
    page.wait_for_function("(old) => document.querySelector('.panel-history canvas').toDataURL() !== old", arg=before)
    page.reload()
    assert theme.get_attribute("data-theme") == "light"
    assert page.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == "light"


def test_the_theme_follows_the_system_until_one_is_chosen(page, fleet):
    page.emulate_media(color_scheme="light")
    page.goto("/")
    assert page.locator("html").get_attribute("data-theme") == "light"
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")


def test_paper_gets_light_colours_and_no_controls(page, fleet):
    page.emulate_media(color_scheme="dark")
    open_server(page, fleet["db"])
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert page.locator(".top").is_hidden() and page.locator(".segments").first.is_hidden()
    assert page.locator(".panel-processes th").first.is_visible() and page.locator("h1").is_visible()


def test_reduced_motion_means_no_motion(page, fleet):
    page.emulate_media(reduced_motion="reduce")
    open_server(page, fleet["db"])
    assert page.evaluate("() => document.getAnimations().length") == 0


# --- near-live --------------------------------------------------------------------------------------------------------

@pytest.fixture
def lively(hub):
    """A server with near-live samples of its last two minutes."""
    server = hub.register("lively")
    server.send()
    now = datetime.now(timezone.utc)
    for seconds in range(120, 0, -10):
        answer = server.live(cpu_percent=float(seconds % 50), cpu_per_core=[10.0, 97.0, 30.0],
                             collected_at=iso(now - timedelta(seconds=seconds)))
        assert answer.status == 200, answer
    return server


def test_the_live_tab_shows_cores_and_ranges_as_the_hub_has_them(hub, page, lively):
    page.goto("/servers/%s/live" % lively.id)
    page.wait_for_selector(".panel-live canvas")
    told = hub.get("/api/dashboard/server/%s/live?minutes=5&benchmark=30" % lively.id).json["benchmark"]
    assert page.locator(".cores").get_by_role("meter").count() == 3
    figures = page.locator(".range").first.locator("dd").all_inner_texts()
    assert figures == ["%.1f%%" % told["cpu_" + word] for word in ("min", "avg", "p95", "max")]
    drawn = page.locator(".range-bar").first.evaluate("(bar) => bar.style.getPropertyValue('--max')")
    assert float(drawn) == pytest.approx(told["cpu_max"], abs=0.01)
    assert page.locator(".panel-live").count() == 3


def test_a_live_tick_asks_only_for_what_is_new(page, lively):
    asked = []
    page.on("response", lambda response: "/live?" in response.url and asked.append(response))
    page.goto("/servers/%s/live?r=2" % lively.id)
    page.wait_for_selector(".panel-live canvas")
    lively.live(cpu_percent=77.0)
    page.wait_for_function("() => document.querySelector('.ring-figure').textContent === '77%'")
    assert "since=" in asked[-1].url
    assert [row["cpu_percent"] for row in asked[-1].json()["metrics"]] == [77.0]
    assert page.get_by_role("slider").first.get_attribute("aria-valuemax") == "12"


def test_space_pauses_the_live_tab_and_resumes_it(page, lively):
    page.clock.install()
    page.goto("/servers/%s/live" % lively.id)
    page.wait_for_selector(".panel-live canvas")
    page.keyboard.press("Space")
    assert page.locator(".live-state").inner_text() == "Paused"
    asked = count_requests(page)
    pass_time(page, 60)
    assert asked == []
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('.live-state').textContent === 'Live'")
    pass_time(page, 20)
    assert len(asked) >= 2


def test_without_live_data_the_tab_says_how_to_turn_it_on(page, fleet):
    page.goto("/servers/%s/live?w=10" % fleet["db"].id)
    page.get_by_role("heading", name="No live data").wait_for()
    assert page.locator(".live-bar .segment[aria-pressed=true]").all_inner_texts() == ["10 min", "5 s"]


# --- weight, size, reach ----------------------------------------------------------------------------------------------

def test_the_first_load_is_small_and_the_second_nearly_nothing(context, page, fresh_hub):
    for number in range(8):
        fresh_hub.register("server-%d" % number).send()
    traffic = context.new_cdp_session(page)
    traffic.send("Network.enable")
    loads = []
    traffic.on("Network.requestWillBeSent", lambda event: loads[-1]["asked"].append(event["request"]["url"]))
    traffic.on("Network.loadingFinished", lambda event: loads[-1]["bytes"].append(event["encodedDataLength"]))
    for load in (lambda: page.goto(fresh_hub.url + "/"), page.reload):
        loads.append({"asked": [], "bytes": []})
        load()
        page.wait_for_selector(".card")
        page.wait_for_load_state("networkidle")
    assert len(loads[0]["asked"]) <= PAGE_REQUESTS, loads[0]["asked"]
    assert sum(loads[0]["bytes"]) <= PAGE_BYTES
    assert sum(loads[1]["bytes"]) <= RELOAD_BYTES


def many(hub, page, number: int):
    """Answer the page's question as a hub with so many servers would; a change of what is given comes next time."""
    answer = hub.get("/api/dashboard?view=cards").json
    groups = ["Group %d" % i for i in range(12)]
    disks = [["/", 40.0], ["/var", 30.0]]
    rows = [["id%d" % i, "srv-%05d" % i, "srv-%05d" % i, groups[i % 12], "192.0.2.%d" % (i % 250), "Linux", [],
             "online", [], answer["now"], float(i % 100), 50.0, disks, 86400, 0, 0] for i in range(number)]
    answer.update(rows=rows, summary=dict(answer["summary"], totalServers=number, groups=groups))
    page.route("**/api/dashboard?view=cards", lambda route: route.fulfill(
        status=200, content_type="application/json", body=json.dumps(answer)))
    return answer


@pytest.mark.parametrize("view", ["grid", "list", "map"])
@pytest.mark.parametrize("number", [1000, 5000])
def test_a_large_fleet_stays_a_small_document(hub, page, number, view):
    many(hub, page, number)
    page.goto("/?view=" + view)
    page.wait_for_selector(".card, .name-link, .zone")
    assert page.evaluate("() => document.getElementsByTagName('*').length") <= NODES


@pytest.mark.parametrize("view, link", [("grid", ".card-link"), ("list", ".name-link")])
def test_every_server_of_a_large_fleet_is_reached_by_scrolling(hub, page, view, link):
    many(hub, page, 1000)
    page.goto("/?view=" + view)
    page.wait_for_selector(link)
    seen, last = set(page.locator(link).all_inner_texts()), -1
    while len(seen) != last:
        last = len(seen)
        for _ in range(4):
            page.evaluate("() => scrollBy(0, innerHeight)")
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            seen.update(page.locator(link).all_inner_texts())
    assert len(seen) == 1000


def test_scrolling_away_and_a_refresh_keep_the_focus_in_a_large_fleet(hub, page):
    many(hub, page, 1000)
    page.goto("/?view=grid")
    page.wait_for_function("() => document.documentElement.scrollHeight > 20000")  # some cards come first
    page.locator(".card-link").nth(2).focus()
    name = page.evaluate("() => document.activeElement.textContent")
    page.evaluate("() => scrollTo(0, 20000)")
    page.wait_for_function("() => document.querySelectorAll('.card').length < 100 && scrollY > 10000")
    with page.expect_response("**/api/dashboard?view=cards"):
        page.get_by_role("button", name="Refresh now").evaluate("(button) => button.click()")
    page.wait_for_function("() => document.getElementById('age').textContent === 'Updated just now'")
    assert page.evaluate("() => document.activeElement.textContent") == name


WIDTHS = (320, 768, 1280, 2560)
PLACES = ("/", "/?view=list", "/?view=map", "/?view=compare", "server", "live", "/compare", "histories")


def visit(page, fleet, lively, name: str) -> None:
    page.goto({"server": "/servers/" + fleet["db"].id, "live": "/servers/%s/live" % lively.id,
               "histories": "/compare?ids=" + ",".join(each.id for each in (fleet["db"], *fleet["web"])),
               }.get(name, name))
    page.wait_for_selector(".card, .name-link, .zone, .compare-bars a, .panel-history canvas, .panel-live canvas, "
                           ".notice:visible")


@pytest.mark.parametrize("name", PLACES)
def test_no_page_scrolls_sideways(page, fleet, lively, name):
    visit(page, fleet, lively, name)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for text_size in ("100%", "200%") if width >= 640 else ("100%",):
            page.evaluate("(size) => { document.documentElement.style.fontSize = size; }", text_size)
            beyond = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert beyond <= 0, (width, text_size)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", PLACES)
def test_axe_finds_nothing(page, fleet, lively, axe, name, theme):
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    visit(page, fleet, lively, name)
    page.evaluate(axe)
    found = page.evaluate("(rules) => axe.run({ runOnly: rules })", AXE_RULES)
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found["violations"]] == []


def test_the_way_to_a_server_needs_no_mouse(page, fleet):
    page.goto("/?q=db-1")
    page.wait_for_selector(".card")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to content"
    card(page, "db-1").get_by_role("link").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel-history")
    page.wait_for_function("() => document.activeElement.tagName === 'H1'")
    assert page.title().startswith("db-1 – Online")
