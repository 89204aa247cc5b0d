"""The overview at its work: what is wrong, in which order, how much it asks; on paper, on a phone, and from server to
server."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_page import AXE_RULES, HOSTILE, axe, card, figure, many, open_server  # noqa: F401

CARDS = "/api/dashboard?view=cards"


def asked(page, part: str):
    """The requests from now on whose address holds this."""
    found = []
    page.on("request", lambda request: part in request.url and found.append(request.url))
    return found


@pytest.fixture
def trouble(fresh_hub):
    """Five servers of two groups, four of them in trouble, one of these for two reasons."""
    full = {"disks": [{"device": "/dev/sda1", "mountpoint": "/data", "percent": 97.0}]}
    for name, group, figures in (("calm", "Shop", {}), ("busy", "Shop", {"cpu_percent": 92.0}),
                                 ("full", "Shop", dict(full, memory_percent=91.0)),
                                 ("warm", "Lab", {"cpu_percent": 93.0}), ("hot", "Lab", {"cpu_percent": 99.0})):
        fresh_hub.register(name, group_name=group).send(figures)
    return fresh_hub


# --- what is wrong ----------------------------------------------------------------------------------------------------

def test_it_says_what_is_wrong_with_the_worst_servers(page, trouble):
    page.goto(trouble.url + "/")
    page.get_by_text("Disk usage of /data at 97.0%").wait_for()
    lines = page.locator(".trouble")
    assert lines.locator(".name-link").all_inner_texts() == ["full", "hot", "busy"]
    assert "and 1 more alert" in lines.nth(0).inner_text() and "Critical" in lines.nth(0).inner_text()
    assert "CPU usage at 99.0%" in lines.nth(1).inner_text()
    assert page.locator(".troubles-more").inner_text() == "1 more server with alerts"
    lines.nth(1).get_by_role("link").click()
    page.get_by_role("heading", level=1, name="hot").wait_for()


def test_what_is_wrong_obeys_the_filters(page, trouble):
    page.goto(trouble.url + "/?group=Lab")
    page.get_by_text("CPU usage at 93.0%").wait_for()
    assert page.locator(".trouble .name-link").all_inner_texts() == ["hot", "warm"]
    page.get_by_role("searchbox").fill("calm")
    page.get_by_role("button", name="Clear filters").first.wait_for()
    assert page.locator(".trouble:visible").count() == 0


def test_while_all_is_well_nothing_is_said_and_no_alerts_are_asked_for(page, fresh_hub):
    fresh_hub.register("calm").send()
    alerts = asked(page, "/api/dashboard/alerts")
    page.goto(fresh_hub.url + "/")
    page.wait_for_selector(".card")
    page.wait_for_load_state("networkidle")
    assert alerts == [] and page.locator(".trouble").count() == 0


def test_what_is_wrong_comes_with_the_cards_and_changes_with_them(page, trouble):
    alerts = asked(page, "/api/dashboard/alerts")
    page.goto(trouble.url + "/")
    page.get_by_text("CPU usage at 99.0%").wait_for()
    trouble.register("worse", group_name="Lab").send({"cpu_percent": 100.0})
    page.get_by_role("button", name="Refresh now").click()
    page.get_by_text("CPU usage at 100.0%").wait_for()
    assert alerts == []


def test_of_equally_bad_servers_those_come_first_of_which_it_can_be_said_what_is_wrong(page, trouble):
    def with_one(route):
        answer = route.fetch()
        known = [each for each in answer.json()["alerts"] if "93.0%" in each["message"]]
        route.fulfill(response=answer, json=dict(answer.json(), alerts=known))

    page.route("**" + CARDS, with_one)
    page.goto(trouble.url + "/")
    page.get_by_text("CPU usage at 93.0%").wait_for()
    assert page.locator(".trouble .name-link").all_inner_texts() == ["full", "hot", "warm"]


def test_the_hubs_own_trouble_comes_first(page, trouble):
    def with_own(route):
        answer = route.fetch()
        own = {"server_id": None, "severity": "warning", "message": "The hub's own disk has 4.0% left",
               "timestamp": "2026-01-01T00:00:00Z"}
        route.fulfill(response=answer, json=dict(answer.json(), alerts=answer.json()["alerts"] + [own]))

    page.route("**" + CARDS, with_own)
    page.goto(trouble.url + "/?q=warm")
    page.get_by_text("The hub's own disk has 4.0% left").wait_for()
    links = page.locator(".trouble .name-link")
    assert links.all_inner_texts() == ["The hub", "warm"]
    links.first.click()
    page.get_by_role("heading", level=1, name="Alerts").wait_for()


def test_the_tabs_icon_tells_whether_something_is_critical(page, trouble):
    icon = page.locator("link[rel=icon]")
    page.goto(trouble.url + "/")
    page.get_by_text("CPU usage at 99.0%").wait_for()
    assert icon.get_attribute("href").endswith("/favicon-critical.svg")
    assert page.request.get(trouble.url + icon.get_attribute("href")).headers["content-type"] == "image/svg+xml"
    for server in trouble.get(CARDS).json["rows"]:
        assert trouble.delete("/api/dashboard/server/" + server[0]).status == 200
    page.get_by_role("button", name="Refresh now").click()
    page.wait_for_function("() => document.querySelector('link[rel=icon]').href.endsWith('/favicon.svg')")


def test_names_and_words_of_troubles_are_text(page, fresh_hub):
    fresh_hub.register(HOSTILE, display_name=HOSTILE).send(
        {"disks": [{"device": "x", "mountpoint": HOSTILE, "percent": 98.0}]})
    page.goto(fresh_hub.url + "/")
    page.locator(".trouble-words", has_text="<img").wait_for()
    assert page.locator("img").count() == 0


def test_what_is_wrong_is_told_in_whole_words_and_leaves_no_hole(page, trouble):
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(trouble.url + "/")
    page.get_by_text("CPU usage at 99.0% (threshold: 90%)").wait_for()
    words = page.locator(".trouble-words", has_text="CPU usage").all()
    assert [each.evaluate("(el) => el.scrollWidth <= el.clientWidth && el.scrollHeight <= el.clientHeight")
            for each in words] == [True] * len(words)
    page.evaluate("""() => {
        const list = document.querySelector('.troubles');
        list.append(list.lastElementChild.cloneNode(true));
    }""")
    edges = "(list) => [list, list.lastElementChild].map((el) => Math.round(el.getBoundingClientRect().right))"
    whole, last = page.locator(".troubles").evaluate(edges)
    assert last == whole


# --- what waits, what is silent ---------------------------------------------------------------------------------------

@pytest.fixture
def waiting(fresh_hub):
    """One server that reports, one that never did, and one that nobody has let in."""
    fresh_hub.register("calm", group_name="Shop").send()
    fresh_hub.register("mute", group_name="Shop")
    knock(fresh_hub, "stranger")
    return fresh_hub


def knock(hub, name: str) -> None:
    """Register from another machine, which needs an approval."""
    hub.patch("/api/dashboard/settings", {"registration_mode": "approve"})
    answer = hub.post("/api/register", {"hostname": name, "ip_address": "192.0.2.9"}, {"X-Forwarded-For": "192.0.2.9"})
    assert answer.status == 201, answer


def silence(page, name: str) -> None:
    """Let the page believe that this server is offline."""
    def with_silence(route):
        answer = route.fetch()
        body = answer.json()
        status, names = body["columns"].index("status"), body["columns"].index("name")
        for row in body["rows"]:
            row[status] = "offline" if row[names] == name else row[status]
        route.fulfill(response=answer, json=body)

    page.route("**" + CARDS, with_silence)


def test_what_the_filters_found_is_counted_as_the_summary_counts(page, waiting):
    page.goto(waiting.url + "/?q=calm")
    page.wait_for_selector(".card")
    assert figure(page, "totalServers") == 2
    assert page.locator(".found").inner_text() == "1 of 2"
    page.get_by_label("Status", exact=True).select_option("waiting")
    page.get_by_role("searchbox").fill("")
    page.get_by_text("1 of 2, and 1 to approve").wait_for()


@pytest.mark.parametrize("view, row, word", [("list", "tr", ".badge"), ("map", ".node", ".node-word")])
def test_a_server_that_waits_for_approval_says_so(page, waiting, view, row, word):
    page.goto(waiting.url + "/?view=" + view)
    for name, words in (("stranger", "Needs approval"), ("mute", "Waiting")):
        shown = page.locator(".fleet " + row, has_text=name).locator(word)
        shown.wait_for()
        assert shown.inner_text() == words


def test_the_map_writes_the_state_of_a_silent_server(page, waiting):
    silence(page, "calm")
    page.goto(waiting.url + "/?view=map")
    word = page.locator(".node", has_text="calm").locator(".node-word")
    word.wait_for()
    assert word.inner_text() == "Offline" and word.bounding_box()["width"] > 20


def test_not_all_report_while_some_wait_for_their_first_sample(page, waiting):
    page.goto(waiting.url + "/")
    page.wait_for_selector(".card")
    detail = page.locator("[data-figure=offlineServers] .stat-detail")
    assert detail.inner_text() == "1 waiting"
    mute = next(row[0] for row in waiting.get(CARDS).json["rows"] if row[1] == "mute")
    assert waiting.delete("/api/dashboard/server/" + mute).status == 200
    page.get_by_role("button", name="Refresh now").click()
    page.wait_for_function("() => document.querySelectorAll('.card').length === 1")
    assert detail.inner_text() == "all report"


def test_the_comparison_says_whom_it_leaves_out(page, waiting):
    page.goto(waiting.url + "/?view=compare")
    page.locator(".compare-bars a").first.wait_for()
    assert page.locator(".compare-silent").is_hidden()
    silence(page, "mute")
    page.reload()
    page.get_by_text("1 offline server has no current figures.").wait_for()


# --- what is asked, and when ------------------------------------------------------------------------------------------

def test_the_overview_is_asked_for_once_and_before_the_modules_have_come(page, fresh_hub):
    fresh_hub.register("one").send()
    cards, held = asked(page, CARDS), []
    page.route("**/app.js", lambda route: held.append(route))
    with page.expect_response("**" + CARDS):
        page.goto(fresh_hub.url + "/", wait_until="commit")
    assert page.locator(".card").count() == 0
    held[0].continue_()
    page.wait_for_selector(".card")
    page.wait_for_load_state("networkidle")
    assert len(cards) == 1


def test_other_pages_do_not_ask_for_the_overview_early(page, fresh_hub):
    cards = asked(page, CARDS)
    page.goto(fresh_hub.url + "/alerts")
    page.get_by_text("Nothing is wrong that nobody has seen.").wait_for()
    page.wait_for_load_state("networkidle")
    assert cards == []


@pytest.mark.parametrize("stored, query, fetched", [
    ({}, "", False), ({}, "?view=list", True), ({"smon.view": "list"}, "", True), ({"smon.usual": "list"}, "", True),
    ({"smon.view": "list"}, "?view=map", False), ({"smon.view": "grid", "smon.usual": "list"}, "", False)])
def test_a_list_is_fetched_beside_the_first_modules(context, page, fresh_hub, allowed_faults, stored, query, fetched):
    allowed_faults.append("ERR_FAILED")
    context.add_init_script("for (const [key, value] of Object.entries(%s)) localStorage.setItem(key, value);"
                            % json.dumps(stored))
    page.route("**/app.js", lambda route: route.abort())  # so that only what comes before the modules is seen
    page.goto(fresh_hub.url + "/" + query, wait_until="domcontentloaded")
    names = page.evaluate("() => [...document.querySelectorAll('link[rel=modulepreload]')].map((each) => each.href)")
    assert sum(name.endswith(("/list.js", "/table.js", "/views/servers.js")) for name in names) == (3 if fetched else 0)


def test_an_early_answer_that_has_grown_old_is_asked_for_again(page, fresh_hub):
    fresh_hub.register("one").send()

    def age(route):
        script = route.fetch()
        route.fulfill(response=script, body="globalThis.earlyAnswer.askedAt -= 60000;" + script.text())

    cards = asked(page, CARDS)
    page.route("**/app.js", age)
    page.goto(fresh_hub.url + "/")
    page.wait_for_selector(".card")
    assert len(cards) == 2


def test_a_large_grid_shows_its_first_cards_before_the_rest_can_be_shown(hub, page):
    many(hub, page, 1000)
    held = []
    page.route("**/list.js", lambda route: held.append(route))
    page.goto("/?view=grid")
    page.wait_for_selector(".card")
    assert page.locator(".card").count() < 30 and len(held) == 1
    assert page.locator(".group-head").first.inner_text().split("\n")[-1] == "84 servers"
    held[0].continue_()
    page.wait_for_selector(".cards > .spacer", state="attached")
    assert page.locator(".cards").count() == 1


# --- order ------------------------------------------------------------------------------------------------------------

ORDER = """async ([names, kinds, renamed]) => {
    const base = document.querySelector('script[src]').src.replace(/.early\\.js$/, '');
    const { orderKeeper, serversOf } = await import(base + '/views/cards.js');
    const columns = ['name', 'status', 'flags'];
    const inOrder = orderKeeper();
    const order = (some, states) => inOrder(serversOf({ columns, rows: some.map((name, i) => [name, states[i], []]) }))
        .map((server) => `${server.name} ${server.place}`);
    return [order(names, names.map(() => 'online')), order(names, kinds), order(renamed, kinds)];
}"""


def test_servers_come_worst_first_then_by_name_whatever_changes(page, hub):
    page.goto("/login")
    calm, ill, renamed = page.evaluate(ORDER, [["web-10", "web-2", "db"], ["critical", "online", "offline"],
                                               ["web-10", "web-2", "zz"]])
    assert calm == ["db 0", "web-2 1", "web-10 2"]
    assert ill == ["web-10 2", "db 0", "web-2 1"]
    assert renamed == ["web-10 1", "zz 2", "web-2 0"]


def test_a_missing_value_is_last_both_ways(page, hub):
    page.goto("/login")
    found = page.evaluate("""async () => {
        const base = document.querySelector('script[src]').src.replace(/.early\\.js$/, '');
        const { sorted } = await import(base + '/table.js');
        const columns = [{ key: 'a', value: (row) => row }];
        const rows = [3, null, 1, NaN, 2];
        return [false, true].map((down) => sorted(rows, columns, { key: 'a', down }).map(String));
    }""")
    assert found == [["1", "2", "3", "null", "NaN"], ["3", "2", "1", "null", "NaN"]]


@pytest.mark.parametrize("word", ["toString", "__proto__", "constructor", "<b>"])
def test_words_of_the_address_that_mean_nothing_are_passed_over(page, trouble, word):
    page.goto(trouble.url + "/?view=%s&status=%s" % (word, word))
    page.wait_for_selector(".card")
    assert page.locator(".card").count() == 5


# --- paper, phone -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("view", ["grid", "list", "map"])
def test_paper_has_a_table_of_what_the_filters_let_through(page, trouble, view):
    page.goto(trouble.url + "/?group=Shop&view=" + view)
    page.wait_for_selector(".card, .name-link, .node")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    rows = page.locator(".paper tbody tr")
    assert [row.split("\t")[:2] for row in rows.all_inner_texts()] == [
        ["Critical", "full"], ["Warning", "busy"], ["Online", "calm"]]
    assert page.locator(".fleet").is_hidden() and page.locator(".toolbar").is_hidden()
    assert "3 servers in group Shop" in page.locator(".paper-head").inner_text()
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.locator(".fleet").is_visible() and page.locator(".paper *").count() == 0


@pytest.mark.parametrize("width", [360, 768, 1024, 1280])
def test_a_list_in_a_narrow_window_has_its_names_and_fits(page, trouble, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(trouble.url + "/?view=list")
    page.wait_for_selector("tbody .name-link")
    assert page.locator("tbody .name-link").first.evaluate("(link) => link.closest('td').offsetWidth") >= 80
    assert page.locator(".fleet .scroller").evaluate("(box) => box.scrollWidth - box.clientWidth") == 0
    assert page.locator("tbody .badge").first.inner_text() == "Critical"


@pytest.mark.parametrize("width", [1280, 1400, 2560])
def test_a_list_cuts_no_uptime_and_no_state(page, waiting, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(waiting.url + "/?view=list")
    page.get_by_text("Needs approval").wait_for()
    page.evaluate("() => { document.querySelector('td.col-uptime').textContent = '16 h 40 min'; }")
    cut = "(cells) => cells.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent)"
    assert page.locator("tbody :is(.col-status, .col-uptime)").evaluate_all(cut) == []


@pytest.mark.parametrize("width", [360, 1400])
def test_the_longest_names_scroll_nothing_sideways(page, fresh_hub, width):
    name = "W" * 255
    knock(fresh_hub, name)
    server = fresh_hub.register(name, group_name=name[:100])
    server.send()
    page.set_viewport_size({"width": width, "height": 800})
    for path, shown in (("/", ".pending"), ("/settings/registration", ".pending"), ("/servers/" + server.id, ".panel")):
        page.goto(fresh_hub.url + path)
        page.wait_for_selector(shown)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("() => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth") <= 0


@pytest.mark.parametrize("path", ["", "/processes", "/services"])
def test_on_paper_no_table_is_cut(page, fresh_hub, path):
    server = fresh_hub.register("wide")
    process = {"pid": 4194304, "name": "a-process-of-a-very-long-name", "cpu_percent": 100.0, "memory_percent": 100.0,
               "memory_mb": 99999.0, "status": "disk-sleep", "username": "somebody-with-a-long-name"}
    server.send(processes=[process], services=[{"service_name": "backup-of-the-night", "display_name": "Nightly backup",
                                                "status": "running", "start_type": "automatic", "pid": 4194304}])
    page.goto(fresh_hub.url + "/servers/" + server.id + path)
    page.wait_for_selector(".main .table td")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 portrait between its margins
    assert page.locator(".scroller").first.evaluate("(box) => getComputedStyle(box).overflowX") == "visible"
    beyond = page.locator(".main :is(.table, .figures)").evaluate_all(
        "(tables) => tables.filter((each) => each.getBoundingClientRect().right > innerWidth).length")
    assert beyond == 0
    if path == "/services":
        assert page.locator(".service").bounding_box()["width"] > 120


def test_a_message_has_a_line_of_its_own_in_a_narrow_window(page, trouble):
    page.set_viewport_size({"width": 768, "height": 900})
    page.goto(trouble.url + "/alerts")
    page.wait_for_selector(".alert-line")
    for line in page.locator(".alert-main").all():
        message = line.locator(".alert-message").bounding_box()
        button = line.get_by_role("button").bounding_box()
        name = line.locator(".name-link").bounding_box()
        assert message["width"] > 600 and message["y"] >= button["y"] + button["height"]
        assert abs(button["y"] + button["height"] / 2 - name["y"] - name["height"] / 2) < 4


@pytest.mark.parametrize("path, box", [("/settings", ".settings"), ("/add", ".adding"), ("/alerts", ".alert-pane")])
def test_a_wide_screen_is_used_or_has_its_content_in_the_middle(page, trouble, path, box):
    page.set_viewport_size({"width": 2560, "height": 1000})
    page.goto(trouble.url + path)
    page.wait_for_selector(box)
    shown = page.locator(box).bounding_box()
    assert abs(2560 - shown["x"] - shown["width"] - shown["x"]) < 20
    assert abs(page.locator("h1").bounding_box()["x"] - shown["x"]) < 1


def test_the_mode_of_registration_is_read_whole_and_the_sections_begin_alike(page, fresh_hub):
    page.set_viewport_size({"width": 1400, "height": 900})
    tops = []
    for section, title in (("", "Servers"), ("/registration", "Mode"), ("/tokens", "API tokens")):
        page.goto(fresh_hub.url + "/settings" + section)
        page.get_by_role("heading", level=2, name=title, exact=True).wait_for()
        tops.append(page.locator(".section > .panel:visible").first.bounding_box()["y"])
        if section == "/registration":
            wanted, has = page.locator("[data-field=registration_mode] select").evaluate("""(select) => {
                const free = select.cloneNode(true);
                Object.assign(free.style, { position: 'absolute', maxWidth: 'none' });
                select.after(free);
                return [free.offsetWidth, select.offsetWidth];
            }""")
            assert has >= wanted
    assert len(set(tops)) == 1


# --- from server to server --------------------------------------------------------------------------------------------

def test_a_server_leads_to_the_one_before_and_the_one_after_on_the_same_tab(page, trouble):
    page.goto(trouble.url + "/")
    card(page, "hot").get_by_role("link").click()
    page.get_by_role("link", name="Next server: busy").wait_for()
    assert page.get_by_role("link", name="Previous server: full").is_visible()
    page.get_by_role("navigation", name="Server", exact=True).get_by_role("link", name="Processes").click()
    page.get_by_role("link", name="Next server: busy").click()
    page.wait_for_function("() => document.title.startsWith('busy – Processes')")
    page.get_by_role("link", name="Previous server: hot").wait_for()
    page.locator("h1").focus()
    page.keyboard.press("k")
    page.wait_for_function("() => document.title.startsWith('hot – Processes')")


def test_the_first_and_the_last_server_lead_one_way(page, trouble):
    page.goto(trouble.url + "/")
    card(page, "full").get_by_role("link").click()
    page.get_by_role("link", name="Next server: hot").wait_for()
    assert page.locator(".step:visible").count() == 1


def test_a_deep_link_asks_for_the_neighbours_once(page, trouble):
    cards = asked(page, CARDS)
    rows = trouble.get(CARDS).json
    server_id = next(row[0] for row in rows["rows"] if row[1] == "calm")
    page.clock.install()
    page.goto(trouble.url + "/servers/" + server_id)
    page.get_by_role("link", name="Previous server: warm").wait_for()
    page.clock.fast_forward(95000)
    page.wait_for_load_state("networkidle")
    assert len(cards) == 1


# --- the zone of times ------------------------------------------------------------------------------------------------

@pytest.fixture
def abroad(browser, hub):
    """A page of somebody whose clock is five and a half hours ahead of UTC."""
    context = browser.new_context(base_url=hub.url, timezone_id="Asia/Kolkata")
    yield context.new_page()
    context.close()


def marked_time(page) -> str:
    page.get_by_role("slider").press("Home")
    return page.locator(".chart-time").inner_text()


def minutes(words: str) -> int:
    hours, rest = words.split()[-1].split(":")
    return int(hours) * 60 + int(rest)


def test_times_are_in_the_viewers_zone_or_in_utc_and_the_choice_survives(abroad, hub):
    server = hub.register("zoned")
    server.send(collected_at="%s" % hub.get(CARDS).json["now"])
    open_server(abroad, server)
    assert abroad.locator("#zone").is_hidden()
    local = minutes(marked_time(abroad))
    abroad.locator("#user").click()
    abroad.get_by_role("button", name="Times in UTC, not UTC+05:30").click()
    assert abroad.evaluate("() => document.activeElement.id") == "user"
    abroad.wait_for_selector(".panel-history canvas")
    abroad.reload()
    abroad.wait_for_selector(".panel-history canvas")
    assert abroad.locator("#zone").inner_text() == "UTC"
    assert (local - minutes(marked_time(abroad))) % 1440 == 330
    abroad.locator("h1").focus()
    abroad.keyboard.press("u")
    abroad.wait_for_selector(".panel-history canvas")
    assert abroad.locator("#zone").is_hidden() and minutes(marked_time(abroad)) == local
