"""The tabs of one server's page, what the header counts beside them, and the page on paper."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.e2e.test_page import AXE_RULES, HOSTILE, TURNING, axe, iso, open_server  # noqa: F401

HOUR = timedelta(hours=1)
TABS = ["Overview", "Performance", "Processes", "Services", "Alerts", "Settings"]


def process(name: str, **more):
    return dict({"pid": 7, "name": name, "cpu_percent": 5.0, "memory_percent": 1.0, "memory_mb": 20.0,
                 "status": "running", "username": "root"}, **more)


def unit(name: str, status: str, **more):
    return dict({"service_name": name, "display_name": name, "status": status, "start_type": "enabled"}, **more)


@pytest.fixture(scope="module")
def worker(hub):
    """A server whose samples of the last three hours each have a process of their own, the newest one three."""
    server = hub.register("worker", group_name="Work")
    now = datetime.now(timezone.utc)
    for hours in (3, 2, 1):
        taken = (now - hours * HOUR).replace(microsecond=700000)
        answer = server.send({"cpu_percent": 10.0 * hours}, processes=[process("job-%d" % hours)],
                             collected_at=taken.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        assert answer.status == 200, answer
    server.send(processes=[process(name, pid=number) for number, name in enumerate(("now-a", "now-b", "now-c"))],
                services=[unit("ssh", "running", restarts=0), unit("web", "failed", restarts=4),
                          unit("spool", "stopped")])
    return server


def names(page):
    return page.locator(".panel-processes td.col-name").all_inner_texts()


def wait_for_process(page, name: str) -> None:
    page.locator(".panel-processes td.col-name", has_text=name).first.wait_for()


# --- tabs -------------------------------------------------------------------------------------------------------------

def test_every_tab_is_an_address_of_its_own_and_a_reload_keeps_it(page, worker):
    page.goto("/servers/" + worker.id)
    tabs = page.get_by_role("navigation", name="Server").get_by_role("link")
    page.wait_for_selector(".server-name .badge")
    assert [text.split("\n")[0].rstrip("0123456789") for text in tabs.all_inner_texts()] == TABS
    for name in TABS[1:]:
        page.get_by_role("navigation", name="Server").get_by_role("link", name=name).click()
        page.wait_for_function("(name) => document.title.includes(name)", arg=name)
        page.reload()
        page.wait_for_function("(name) => document.title.includes(name)", arg=name)
        assert page.url.endswith("/" + name.lower())
        assert page.locator(".tabs [aria-current=page]").inner_text().startswith(name)


def test_the_services_tab_counts_what_failed(page, worker):
    page.goto("/servers/" + worker.id)
    page.locator(".tabs a", has_text="Services").locator(".tally").wait_for()
    assert page.locator(".tabs a", has_text="Services").locator(".tally").inner_text() == "1"


def test_hostile_names_change_nothing_on_any_tab(hub, page):
    named = hub.register(HOSTILE, display_name=HOSTILE, group_name=HOSTILE, os_info=HOSTILE, tags=[HOSTILE])
    named.send({"cpu_percent": 99.0, "disks": [{"mountpoint": HOSTILE, "device": TURNING, "percent": 99.0}]},
               processes=[process(HOSTILE, status=TURNING, username=HOSTILE)],
               services=[unit(HOSTILE, "failed", start_type=HOSTILE)],
               agent={"version": HOSTILE, "errors": {HOSTILE: HOSTILE}})
    named.live()
    for path in ("", "/performance", "/processes", "/services", "/alerts", "/settings"):
        page.goto("/servers/" + named.id + path)
        page.get_by_role("heading", level=1, name=HOSTILE).wait_for()
        page.wait_for_load_state("networkidle")
        assert page.locator("img").count() == 0, path
        assert "\u202e" not in page.inner_text("main"), path
    page.goto("/?view=compare")
    page.locator(".compare-bars").get_by_text(HOSTILE).first.wait_for()
    page.locator("#bell").click()
    page.locator(".notice-line", has_text=HOSTILE).first.wait_for()
    assert page.locator("img").count() == 0
    assert hub.delete("/api/dashboard/server/" + named.id).status == 200


# --- looking back -----------------------------------------------------------------------------------------------------

def test_the_slider_shows_the_processes_of_each_moment_and_of_now_at_its_end(page, worker):
    page.goto("/servers/%s/processes?h=6" % worker.id)
    wait_for_process(page, "now-a")
    slider = page.get_by_role("slider", name="Moment", exact=True)
    slider.press("ArrowLeft")
    wait_for_process(page, "job-1")
    page.get_by_role("button", name="Earlier sample").click()
    wait_for_process(page, "job-2")
    assert names(page) == ["job-2"] and "at=" in page.url
    page.reload()
    wait_for_process(page, "job-2")
    assert slider.input_value() == "1"
    slider.press("End")
    wait_for_process(page, "now-a")
    assert "at=" not in page.url


def test_a_refresh_leaves_the_focus_on_the_slider_and_its_place(page, worker):
    page.goto("/servers/%s/processes?h=6" % worker.id)
    wait_for_process(page, "now-a")
    slider = page.get_by_role("slider", name="Moment", exact=True)
    slider.press("ArrowLeft")
    wait_for_process(page, "job-1")
    with page.expect_response("**/api/dashboard/server/**"):
        page.evaluate("() => document.getElementById('refresh').click()")
    page.wait_for_function("() => document.getElementById('age').textContent === 'Updated just now'")
    assert page.evaluate("() => document.activeElement.className") == "slider"
    assert slider.input_value() == "2" and names(page) == ["job-1"]


def test_a_moment_of_the_chart_is_the_sample_under_the_cursor_not_the_one_before(page, worker):
    open_server(page, worker, "?h=6")
    plot = page.get_by_role("slider", name="CPU and memory over time")
    plot.press("Home")
    assert "CPU 30.0%" in plot.get_attribute("aria-valuetext")
    plot.press("Enter")
    wait_for_process(page, "job-3")
    page.get_by_role("link", name="Look back").click()
    wait_for_process(page, "job-3")
    assert page.get_by_role("slider", name="Moment", exact=True).input_value() == "0"


def test_the_order_of_processes_is_in_the_address(page, worker):
    page.goto("/servers/%s/processes" % worker.id)
    wait_for_process(page, "now-a")
    panel = page.locator(".panel-processes")
    panel.get_by_role("button", name="Name").click()
    panel.get_by_role("button", name="Name").click()
    assert "sort=-name" in page.url
    page.reload()
    wait_for_process(page, "now-a")
    assert names(page) == ["now-c", "now-b", "now-a"]


def test_zooming_asks_for_the_span_alone_which_has_finer_points(page, hub):
    server = hub.register("long-lived")
    now = datetime.now(timezone.utc)
    payloads = [{"collected_at": iso(now - timedelta(minutes=15 * number)), "processes": [], "services": [],
                 "metrics": {"cpu_percent": 50.0, "memory_percent": 50.0}} for number in range(1600)]
    for start in range(0, len(payloads), 100):
        assert server.post("/api/metrics/batch", {"payloads": payloads[start:start + 100]}).status == 200
    begin, end = iso(now - timedelta(days=10)), iso(now - timedelta(days=9))
    open_server(page, server, "?h=720&from=%s&to=%s" % (begin, end))
    plot = page.get_by_role("slider", name="CPU and memory over time")
    assert 95 <= int(plot.get_attribute("aria-valuemax")) <= 96
    page.get_by_role("button", name="Zoom out").click()
    page.wait_for_function("() => Number(document.querySelector('.chart-plot').ariaValueMax) > 300")
    assert "from=" not in page.url


# --- services, disks, settings ----------------------------------------------------------------------------------------

def test_services_can_be_narrowed_to_those_that_do_not_run(page, worker):
    page.goto("/servers/%s/services" % worker.id)
    page.wait_for_selector(".service-name")
    assert page.locator(".service-name").all_inner_texts() == ["web", "spool", "ssh"]
    page.get_by_role("button", name="Not running").click()
    assert page.locator(".service-name").all_inner_texts() == ["web", "spool"]
    page.reload()
    page.wait_for_selector(".service-name")
    assert page.locator(".service-name").all_inner_texts() == ["web", "spool"]
    assert page.locator("td.col-restarts").all_inner_texts() == ["4", "–"]


def test_the_way_to_all_of_a_list_is_offered_only_where_some_are_missing(hub, page, worker):
    open_server(page, worker)
    assert page.locator(".panel-services .more-link").is_hidden()
    assert page.locator(".panel-processes .more-link").inner_text() == "Look back"
    server = hub.register("crowded")
    server.send(processes=[process("job-%d" % number, pid=number) for number in range(30)],
                services=[unit("unit-%d" % number, "running") for number in range(30)])
    open_server(page, server)
    assert page.locator(".panel-services .more-link").inner_text() == "All 30 services"
    assert page.locator(".panel-processes .more-link").inner_text() == "Look back and see all 30 processes"


def test_over_its_limit_a_tile_has_the_colour_of_its_ring(hub, page):
    server = hub.register("glowing")
    server.send({"cpu_percent": 99.0, "memory_percent": 91.0})
    open_server(page, server)
    page.get_by_text("Over the limit of 90%").nth(1).wait_for()
    colours = page.locator(".tile", has_text="Over the limit").evaluate_all("""(tiles) => tiles.map((tile) => (
        [".ring-figure", ".tile-over"].map((part) => getComputedStyle(tile.querySelector(part)).color)))""")
    (critical, said_critical), (warning, said_warning) = colours
    assert (said_critical, said_warning) == (critical, warning) and critical != warning


def test_a_long_group_leaves_the_way_home_in_one_piece(hub, page):
    server = hub.register("grouped", group_name="a" * 100)
    server.send()
    page.set_viewport_size({"width": 360, "height": 800})
    open_server(page, server)
    lines = page.locator(".crumbs a").first.evaluate("""(link) => {
        const text = document.createRange();
        text.selectNodeContents(link);
        return text.getClientRects().length;
    }""")
    assert lines == 1
    assert page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_a_state_that_only_the_agent_knows_is_unknown(hub, page):
    server = hub.register("odd")
    server.send(services=[unit("ssh", "constructor"), unit("web", "toString")])
    page.goto("/servers/%s/services" % server.id)
    page.locator(".panel-services tbody tr").nth(1).wait_for()
    assert page.locator(".panel-services tbody .badge").all_inner_texts() == ["Unknown", "Unknown"]


def test_a_state_of_services_that_means_nothing_shows_all(page, worker):
    page.goto("/servers/%s/services?state=toString" % worker.id)
    page.locator(".panel-services tbody tr").nth(2).wait_for()
    assert page.locator(".panel-services tbody tr").count() == 3


def test_a_disk_that_fills_up_says_when_it_will_be_full(page, worker):
    page.route("**/forecast", lambda route: route.fulfill(json={"mountpoint": "/", "hours_left": 50.0}))
    open_server(page, worker)
    page.get_by_text("Full in about 2 d").wait_for()


def test_no_forecast_is_no_word_about_it(page, worker):
    with page.expect_response("**/forecast"):
        open_server(page, worker)
    assert page.locator(".disk-ahead:visible").count() == 0


def test_the_agents_form_has_the_bounds_that_the_hub_refuses_by(hub, page, worker, allowed_faults):
    allowed_faults.append("400")
    rows = hub.get("/api/dashboard/server/%s/config" % worker.id).json["schema"]
    low, high = next((row["min"], row["max"]) for row in rows if row["key"] == "live_interval_seconds")
    page.goto("/servers/%s/settings" % worker.id)
    field = page.locator("[data-field=live_interval_seconds]")
    field.get_by_text("%d to %d." % (low, high)).wait_for()
    field.get_by_role("textbox").fill(str(high + 1))
    page.get_by_role("button", name="Queue for the agent").click()
    field.locator(".problem").get_by_text("must be").wait_for()


# --- the header's counts ----------------------------------------------------------------------------------------------

def test_the_count_beside_alerts_is_fresh_on_every_page_and_after_a_change(page, fresh_hub):
    for number in (1, 2):
        fresh_hub.register("hot-%d" % number).send({"cpu_percent": 97.0})
    page.goto(fresh_hub.url + "/settings")
    page.wait_for_function("() => document.getElementById('active').textContent === '2'")
    page.goto(fresh_hub.url + "/alerts")
    page.get_by_role("button", name="Acknowledge: ").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    page.wait_for_function("() => document.getElementById('active').textContent === '1'")


WHERE_IN_THE_HEADER = """(words) => {
    document.getElementById("age").textContent = words;
    const middles = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.offsetWidth)
        .map((each) => each.getBoundingClientRect()).map((box) => Math.round((box.top + box.bottom) / 2));
    return [middles(".top .tool"), middles(".brand, .nav, .age, .top .tool")];
}"""


@pytest.mark.parametrize("words", ["Updated just now", "The hub has a problem"])
def test_the_header_has_its_tools_side_by_side_and_no_row_too_many(hub, page, worker, words):
    answer = hub.get("/api/dashboard?view=cards").json
    answer["summary"].update(activeAlerts=250, unreadNotifications=250)
    page.route("**/api/dashboard?view=cards", lambda route: route.fulfill(json=answer))
    page.goto("/")
    page.get_by_label("250 active").wait_for()
    page.keyboard.press("u")
    page.locator("#zone").wait_for()
    for width, rows in ((320, 2), (360, 2), (699, 2), (700, 1), (768, 1)):
        page.set_viewport_size({"width": width, "height": 800})
        tools, parts = page.evaluate(WHERE_IN_THE_HEADER, words)
        parts.sort()
        found = 1 + sum(later - earlier > 12 for earlier, later in zip(parts, parts[1:]))
        assert (width, len(tools), len(set(tools)), found) == (width, 6, 1, rows)
        beyond = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert (width, beyond) == (width, 0)


def test_groups_of_the_map_have_colours_of_their_own_that_no_filter_changes(page, fresh_hub):
    for number in range(6):
        fresh_hub.register("one-%d" % number, group_name="Group %d" % number).send()
    page.goto(fresh_hub.url + "/?view=map")
    page.wait_for_selector(".zone")
    colours = page.locator(".zone").evaluate_all("(all) => all.map((zone) => getComputedStyle(zone).borderTopColor)")
    assert len(set(colours)) == 6
    last = page.locator(".zone").last.evaluate("(zone) => getComputedStyle(zone).borderTopColor")
    page.goto(fresh_hub.url + "/?view=map&group=Group+5")
    page.wait_for_selector(".zone")
    assert page.locator(".zone").evaluate("(zone) => getComputedStyle(zone).borderTopColor") == last


# --- paper ------------------------------------------------------------------------------------------------------------

def test_paper_says_what_it_shows_of_which_time_and_has_the_figures(page, worker):
    open_server(page, worker, "?h=6")
    assert page.locator(".figures td").count() == 0
    cells = page.evaluate("""() => {
        dispatchEvent(new Event('beforeprint'));
        return document.querySelectorAll('.figures td').length;  // the browser takes its picture now
    }""")
    assert cells > 0
    head = page.locator(".paper-head").inner_text()
    assert head.startswith("worker – Online") and " to " in head and "printed" in head and "UTC" in head
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert page.locator(".paper-head").count() == 0
    assert page.locator("details[open]").count() == 0


BROKEN_WORDS = r"""(cells) => cells.flatMap((cell) => {
    const { firstChild: text } = cell;
    return [...(text?.data ?? "").matchAll(/[^\s\/-]+/g)].filter(({ 0: word, index }) => {
        const place = document.createRange();
        place.setStart(text, index);
        place.setEnd(text, index + word.length);
        return new Set([...place.getClientRects()].map((box) => box.top)).size > 1;
    }).map(([word]) => word);
})"""


def test_on_paper_the_list_of_servers_breaks_no_word_but_one_too_long(page, fresh_hub):
    names = ["W" * 255, "database-primary", "app-01.example.com"]
    for number, name in enumerate(names):
        fresh_hub.register(name, group_name="Warehouse", ip_address="192.168.100.10%d" % number).send(
            {"cpu_percent": 99.0, "disks": [{"mountpoint": "/var/lib/docker", "device": "sda", "percent": 99.0}],
             "uptime_seconds": 12 * 86400 + 5 * 3600})
    page.goto(fresh_hub.url + "/")
    page.wait_for_selector(".card")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 portrait between its margins
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    cells = page.locator(".paper :is(th, td)")
    assert cells.count() == 40
    assert cells.evaluate_all(BROKEN_WORDS) == names[:1]
    assert page.locator(".paper table").evaluate("(table) => table.getBoundingClientRect().right") <= 688


# --- states -----------------------------------------------------------------------------------------------------------

def open_bell(page):
    page.locator("#bell").click()
    page.wait_for_selector(".notice-line")


def lose_the_hub(page):
    page.route("**/api/**", lambda route: route.abort())
    page.locator("#refresh").click()
    page.wait_for_selector("#banner:not([hidden])")


def show_keys(page):
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("bring", [open_bell, lose_the_hub, show_keys])
def test_axe_finds_nothing_in_this_state(hub, page, axe, allowed_faults, bring, theme):  # noqa: F811
    allowed_faults.append("ERR_FAILED")
    hub.register("ill").send({"cpu_percent": 97.0})
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.goto("/")
    page.wait_for_selector(".card")
    bring(page)
    page.evaluate(axe)
    found = page.evaluate("(rules) => axe.run({ runOnly: rules })", AXE_RULES)
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found["violations"]] == []


# --- wide screens -----------------------------------------------------------------------------------------------------

def test_a_wide_screen_shows_more_servers_beside_each_other(hub, page):
    for number in range(8):
        hub.register("wide-%d" % number, group_name="Wide").send()
    page.set_viewport_size({"width": 2560, "height": 1200})
    page.goto("/?group=Wide&view=grid")
    page.wait_for_selector(".card")
    tops = page.locator(".card").evaluate_all("(cards) => cards.map((card) => card.getBoundingClientRect().top)")
    assert tops.count(tops[0]) == 7


# --- restarts, operations ---------------------------------------------------------------------------------------------

def test_a_restart_is_a_flag_of_its_own_in_the_history(hub, page):
    server = hub.register("restarted")
    for boot, sequence in (("one", 1), ("one", 2), ("two", 1)):
        answer = server.send(agent={"version": "1", "boot_id": boot, "sequence": sequence})
        assert answer.status == 200, answer
    server.send({"cpu_percent": 97.0}, agent={"version": "1", "boot_id": "two", "sequence": 2})
    open_server(page, server)
    page.get_by_text("1 alert opened, 1 restart in this time").wait_for()


def test_disk_operations_have_a_chart_beside_that_of_bytes(hub, page):
    server = hub.register("drive")
    server.send()
    for reads in (3, 7):
        server.live(disk_io_rate={"read_bytes_per_sec": 4096, "write_bytes_per_sec": 0, "read_count_per_sec": reads,
                                  "write_count_per_sec": 1})
    page.goto("/servers/%s/performance" % server.id)
    shown = page.locator(".panel-live", has=page.get_by_role("heading", name="Disk I/O"))
    shown.locator("canvas").first.wait_for()
    figures = shown.locator(".chart-key:visible b")
    assert figures.all_inner_texts() == ["4.0 KiB/s", "0 B/s"]
    shown.get_by_role("button", name="Operations").click()
    assert figures.all_inner_texts() == ["7.0/s", "1.0/s"]
    page.reload()
    shown.locator("canvas").first.wait_for(state="attached")
    page.wait_for_function("() => document.querySelector('.ring-figure')")
    assert figures.all_inner_texts() == ["7.0/s", "1.0/s"]
    assert shown.locator(".chart:visible").count() == 1


# --- near-live --------------------------------------------------------------------------------------------------------

NOTE_LABELS = """() => {
    window.labels = [];
    const write = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        const width = this.measureText(text).width;
        const left = { right: x - width, center: x - width / 2 }[this.textAlign];
        labels.push({ text, left, x });
        write.call(this, text, x, y);
    };
}"""


@pytest.mark.parametrize("most, label", [(16 << 20, "16 MiB/s"), (512 << 10, "512 KiB/s"), (100 << 20, "128 MiB/s"),
                                         (1000 << 20, "768 MiB/s")])
def test_no_label_of_a_value_axis_is_cut(hub, page, most, label):
    server = hub.register("broad")
    server.send()
    for _ in range(2):
        server.live(network_rate={"bytes_recv_per_sec": most, "bytes_sent_per_sec": 0},
                    disk_io_rate={"read_bytes_per_sec": most, "write_bytes_per_sec": 0, "read_count_per_sec": 1023,
                                  "write_count_per_sec": 1})
    page.add_init_script("(%s)()" % NOTE_LABELS)
    page.set_viewport_size({"width": 1280, "height": 2000})
    page.goto("/servers/%s/performance" % server.id)
    page.wait_for_function("(label) => labels.filter(({ text }) => text === label).length >= 2", arg=label)
    page.get_by_role("button", name="Operations").click()
    page.wait_for_function("() => labels.some(({ text }) => text === '2000')")
    labels = page.evaluate("() => labels")
    assert [each for each in labels if each["left"] < 0] == []
    assert [each["text"] for each in labels if ".0 " in each["text"]] == []


def test_an_idle_network_has_no_label_twice(hub, page):
    server = hub.register("idle")
    server.send()
    server.live(network_rate={"bytes_recv_per_sec": 0, "bytes_sent_per_sec": 0}, disk_io_rate=None)
    page.set_viewport_size({"width": 1280, "height": 2000})
    page.add_init_script("(%s)()" % NOTE_LABELS)
    page.goto("/servers/%s/performance" % server.id)
    page.wait_for_function("() => labels.some(({ text }) => text === '1 B/s')")
    texts = page.evaluate("() => labels.map(({ text }) => text)")
    assert texts.count("0 B/s") == texts.count("1 B/s")


def test_the_plot_begins_beside_its_labels_and_charts_above_each_other_at_one_place(hub, page):
    server = hub.register("aligned")
    server.send()
    server.live(network_rate={"bytes_recv_per_sec": 5 << 20, "bytes_sent_per_sec": 0})
    page.add_init_script("(%s)()" % NOTE_LABELS)
    page.set_viewport_size({"width": 1280, "height": 2000})
    ends = """() => [...new Set(labels.filter(({ text }) => /[%s]$/.test(text)).map(({ x }) => x))]"""
    open_server(page, server)
    page.wait_for_function("() => labels.some(({ text }) => text === '100%')")
    assert page.evaluate(ends) == [36]
    assert [each for each in page.evaluate("() => labels") if each["left"] < 0] == []
    page.goto("/servers/%s/performance" % server.id)
    page.wait_for_function("() => ['100%', '8 MiB/s'].every((label) => labels.some(({ text }) => text === label))")
    assert page.evaluate(ends) == [60]


def test_unknown_packets_and_operations_are_no_zero(hub, page):
    server = hub.register("countless")
    server.send()
    server.live(network_rate={"bytes_recv_per_sec": 4096, "bytes_sent_per_sec": 0},
                disk_io_rate={"read_bytes_per_sec": 0, "write_bytes_per_sec": 0, "read_count_per_sec": 3,
                              "write_count_per_sec": None})
    page.goto("/servers/%s/performance" % server.id)
    tile = page.locator(".tile", has_text="Packets")
    tile.get_by_text("4.0 KiB/s").wait_for()
    assert tile.locator("dd").all_inner_texts() == ["4.0 KiB/s", "0 B/s", "–"]
    assert page.locator(".tile", has_text="Operations").locator("dd").last.inner_text() == "–"
    server.live(network_rate={"bytes_recv_per_sec": 8192, "bytes_sent_per_sec": 0, "packets_recv_per_sec": 5,
                              "packets_sent_per_sec": 0})
    tile.get_by_text("8.0 KiB/s").wait_for()
    assert tile.locator("dd").last.inner_text() == "5/s"


def test_a_live_tile_is_judged_by_the_servers_own_threshold_and_by_none_before(hub, page):
    server = hub.register("tolerant")
    server.send()
    assert hub.patch("/api/dashboard/server/" + server.id, {"alert_cpu_threshold": 97}).status == 200
    server.live(cpu_percent=98.0)
    held = []
    page.route("**/api/dashboard/server/*?hours=1", lambda route: held.append(route))
    page.goto("/servers/%s/performance" % server.id)
    tile = page.locator(".tile", has_text="CPU").first
    tile.get_by_text("98%").wait_for()
    page.wait_for_function("() => document.querySelector('.tile .ring').dataset.level === 'fine'")
    assert "Over the limit" not in tile.inner_text()
    page.route("**/api/dashboard/server/*/live?*", lambda route: None)  # no further sample draws the tile
    held[0].continue_()
    tile.get_by_text("Over the limit of 97%").wait_for()


def test_rows_behind_a_live_chart_are_told_apart_by_their_times(hub, page):
    server = hub.register("quick")
    server.send()
    server.live()
    page.goto("/servers/%s/performance?w=1" % server.id)
    page.get_by_text("Show as table").first.click()
    page.locator(".figures th[scope=row]").first.wait_for()
    spans = page.locator(".figures th[scope=row]").all_inner_texts()
    assert len(set(spans)) == len(spans) == 24


def test_a_server_without_near_live_samples_is_not_called_live(hub, page):
    server = hub.register("quiet")
    server.send()
    page.goto("/servers/%s/performance" % server.id)
    page.get_by_text("They are off unless its configuration turns them on").wait_for()
    state = page.locator(".live-state")
    assert (state.inner_text(), state.get_attribute("data-paused")) == ("No live data", "true")
    server.live()
    page.get_by_role("button", name="2 s", exact=True).click()
    page.get_by_text("sample just now").wait_for()
    assert (state.inner_text(), state.get_attribute("data-paused")) == ("Live", "false")


def test_an_offline_server_is_said_to_be_offline_and_not_to_have_live_samples_off(hub, page):
    server = hub.register("gone")
    server.send()

    def offline(route):
        answer = route.fetch()
        body = answer.json()
        body["server"].update(status="offline", last_seen_at=iso(datetime.now(timezone.utc) - 2.5 * HOUR))
        route.fulfill(response=answer, json=body)

    page.route("**/api/dashboard/server/*?hours=1", offline)
    page.goto("/servers/%s/performance" % server.id)
    page.get_by_text("This server is offline: it was last seen 2 h ago.").wait_for()
    assert page.locator(".live-state").inner_text() == "Offline"
    assert not page.get_by_text("They are off unless").is_visible()
    server.live()
    page.locator(".panel-live canvas").first.wait_for()
    state = page.locator(".live-state")
    assert (state.inner_text(), state.get_attribute("data-paused")) == ("Offline", "true")


def test_the_95th_percentile_is_not_written_as_a_percentage(hub, page):
    server = hub.register("ranged")
    server.send()
    server.live()
    page.goto("/servers/%s/performance" % server.id)
    page.wait_for_selector(".panel-live canvas")
    assert page.locator(".range").first.locator("dt").all_inner_texts() == ["Lowest", "Average", "p95", "Highest"]
