"""Servers compared: how they are chosen in the overview, and the page that lays their histories over each other."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import pytest

from tests.e2e.test_page import HOSTILE, TURNING, iso
from tests.e2e.test_page_fleet import silence

STEP_MINUTES = 10
POINTS = 24
OFFSETS = {"alpha": 1, "beta": 4, "gamma": 8}  # minutes into each step at which a server takes its samples
GAP = range(8, 13)  # steps without a sample of beta's


def grid():
    """The begin of each step, oldest first; the last one is over."""
    seconds = STEP_MINUTES * 60
    last = int(time.time()) // seconds * seconds - seconds
    return [datetime.fromtimestamp(last - seconds * back, timezone.utc) for back in range(POINTS - 1, -1, -1)]


def figures(number: int, step: int):
    return {"cpu_percent": 10.0 + 20 * number + step * 0.3, "memory_percent": 50.0 + number,
            "swap_percent": 1.0 + number, "load_average": [0.5 + number, 0.1, 0.1],
            "network_rate": {"bytes_recv_per_sec": 1024 * 1024 * (number + 1), "bytes_sent_per_sec": 2048}}


@pytest.fixture(scope="module")
def trio(hub):
    """Three servers that take their samples at times of their own; the second has a gap."""
    servers, begins = [], grid()
    for number, (name, minutes) in enumerate(OFFSETS.items()):
        server = hub.register(name, group_name="Trio")
        payloads = [{"collected_at": iso(begin + timedelta(minutes=minutes)), "processes": [], "services": [],
                     "metrics": figures(number, step)}
                    for step, begin in enumerate(begins) if name != "beta" or step not in GAP]
        answer = server.post("/api/metrics/batch", {"payloads": payloads})
        assert answer.status == 200, answer
        servers.append(server)
    return servers


def path(*servers, query: str = "h=6"):
    ids = ",".join(quote(server) if isinstance(server, str) else server.id for server in servers)
    return "/compare?ids=%s&%s" % (ids, query)


def open_page(page, *servers, query: str = "h=6"):
    page.goto(path(*servers, query=query))
    page.locator(".overlay-lines li").first.wait_for()


def names(page):
    return page.locator(".overlay-lines .name-link").all_inner_texts()


def values(page):
    return page.locator(".overlay-lines b").all_inner_texts()


def tones(page):
    return dict(zip(names(page), page.locator(".overlay-lines .chart-key").evaluate_all(
        "(keys) => keys.map((key) => key.dataset.tone)")))


def plot(page):
    return page.locator(".panel-overlay").get_by_role("slider")


def asked(page):
    """The histories that the page asks for from now on, as (id, hours)."""
    found = []
    pattern = re.compile(r"/api/dashboard/server/([^/?]+)\?hours=(\d+)$")
    page.on("request", lambda request: found.extend(pattern.findall(request.url)))
    return found


# --- choosing ---------------------------------------------------------------------------------------------------------

def test_ticked_servers_are_in_the_address_and_lead_to_their_histories(page, trio):
    page.goto("/?view=compare&group=Trio")
    page.get_by_text("Tick up to 8 servers").wait_for()
    cpu, memory = (page.locator(".panel", has=page.get_by_role("heading", name=name)) for name in ("CPU", "Memory"))
    cpu.get_by_role("checkbox", name="Choose alpha").check()
    assert page.get_by_role("link", name="History of the 1 chosen").is_visible()
    cpu.get_by_role("checkbox", name="Choose gamma").check()
    assert memory.get_by_role("checkbox", name="Choose gamma").is_checked()
    page.reload()
    assert page.get_by_role("link", name="Histories of the 2 chosen").get_attribute("href") == path(
        trio[0], trio[2], query="")[:-1]
    assert [cpu.get_by_role("checkbox", name="Choose " + name).is_checked() for name in OFFSETS] == [True, False, True]
    page.get_by_role("link", name="Histories of the 2 chosen").click()
    page.locator(".panel-overlay canvas").wait_for()
    assert names(page) == ["alpha", "gamma"]
    page.get_by_role("link", name="Choose others").click()
    cpu.get_by_role("checkbox", name="Choose alpha").uncheck()
    page.get_by_role("link", name="History of the 1 chosen").wait_for()
    page.get_by_role("button", name="Choose none").click()
    assert "ids" not in page.url
    assert page.evaluate("() => document.activeElement.type") == "checkbox"


def test_a_ninth_server_can_not_be_ticked(page, fresh_hub):
    for number in range(9):
        fresh_hub.register("box-%d" % number).send({"cpu_percent": 90.0 - number})
    page.goto(fresh_hub.url + "/?view=compare")
    boxes = page.locator(".panel").first.get_by_role("checkbox")
    boxes.nth(8).wait_for()
    for number in range(8):
        boxes.nth(number).check()
    assert boxes.nth(8).is_disabled() and page.get_by_text("These are as many as fit into one chart.").is_visible()
    boxes.nth(3).uncheck()
    assert boxes.nth(8).is_enabled()


def test_of_more_ids_than_fit_the_first_are_the_chosen_ones(page, fresh_hub):
    ids = []
    for number in range(10):
        server = fresh_hub.register("box-%d" % number)
        server.send({"cpu_percent": 90.0 - number})
        ids.append(server.id)
    page.goto(fresh_hub.url + "/?view=compare&ids=" + ",".join(ids))
    link = page.get_by_role("link", name="Histories of the 8 chosen")
    assert link.get_attribute("href") == "/compare?ids=" + ",".join(ids[:8])
    boxes = page.locator(".panel").first.get_by_role("checkbox")
    assert [box.is_checked() for box in boxes.all()] == [True] * 8 + [False] * 2
    boxes.nth(3).uncheck()
    page.get_by_role("link", name="Histories of the 7 chosen").wait_for()
    assert not boxes.nth(8).is_checked() and boxes.nth(8).is_enabled()


def test_a_server_that_is_offline_is_seen_and_can_be_chosen_or_not(page, trio):
    silence(page, "beta")
    page.goto("/?view=compare&group=Trio&ids=" + trio[1].id)
    offline = page.locator(".panel", has=page.get_by_role("heading", name="Offline"))
    box = offline.get_by_role("checkbox", name="Choose beta")
    assert box.is_checked() and offline.get_by_role("listitem").all_inner_texts() == ["beta\nOffline"]
    assert offline.get_by_role("meter").count() == 0 and page.get_by_role("checkbox", name="Choose beta").count() == 1
    assert offline.get_by_role("link").get_attribute("href") == "/servers/" + trio[1].id
    box.uncheck()
    page.get_by_text("Tick up to 8 servers").wait_for()
    assert "ids" not in page.url
    box.check()
    page.get_by_role("link", name="History of the 1 chosen").wait_for()
    assert page.url.endswith("ids=" + trio[1].id)


# --- what the page shows ----------------------------------------------------------------------------------------------

def test_a_deep_link_shows_what_it_names_and_a_reload_keeps_it(page, trio):
    open_page(page, trio[1], trio[0], query="m=memory&h=12")
    for _ in range(2):
        page.locator(".panel-overlay canvas").wait_for()
        assert names(page) == ["beta", "alpha"] and values(page) == ["51.0%", "50.0%"]
        assert page.title() == "Memory of 2 servers – smon"
        assert page.get_by_role("button", name="12 h").get_attribute("aria-pressed") == "true"
        assert page.get_by_label("Figure", exact=True).locator("option:checked").inner_text() == "Memory"
        page.reload()
    links = page.locator(".overlay-lines .name-link")
    assert [links.nth(place).get_attribute("href") for place in (0, 1)] == [
        "/servers/" + trio[1].id, "/servers/" + trio[0].id]


def test_the_values_at_the_cursor_are_the_samples_that_the_api_has(hub, page, trio):
    open_page(page, *trio)
    plot(page).press("Home")
    seen = [values(page)]
    for _ in range(POINTS - 1):
        plot(page).press("ArrowRight")
        seen.append(values(page))
    for number, server in enumerate(trio):
        told = ["%.1f%%" % row["cpu_percent"] for row in hub.server(server.id, 6)["history"]]
        assert [row[number] for row in seen if row[number] != "–"] == told, server.name
    assert [step for step, row in enumerate(seen) if row[1] == "–"] == list(GAP)
    assert page.locator(".overlay-time").inner_text().startswith("at ")
    assert plot(page).get_attribute("aria-valuetext").split(": ", 1)[1] == ", ".join(
        "%s %s" % each for each in zip(OFFSETS, seen[-1]))
    plot(page).press("Escape")
    assert page.locator(".overlay-time").inner_text() == "latest"


def test_the_mouse_reads_the_values_too_and_leaves_them_as_they_were(page, trio):
    open_page(page, *trio)
    page.locator(".panel-overlay canvas").wait_for()
    latest, box = values(page), plot(page).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50)
    page.wait_for_function("() => document.querySelector('.overlay-time').textContent.startsWith('at ')")
    assert values(page) != latest
    page.mouse.move(5, 5)
    page.wait_for_function("() => document.querySelector('.overlay-time').textContent === 'latest'")
    assert values(page) == latest


@pytest.mark.parametrize("metric, words, latest", [
    ("swap", "Swap", ["1.0%", "2.0%", "3.0%"]), ("load", "Load over a minute", ["0.50", "1.50", "2.50"]),
    ("received", "Network received", ["1.0 MiB/s", "2.0 MiB/s", "3.0 MiB/s"]),
    ("sent", "Network sent", ["2.0 KiB/s"] * 3)])
def test_another_figure_is_drawn_from_the_answers_that_are_there(page, trio, metric, words, latest):
    open_page(page, *trio)
    page.locator(".panel-overlay canvas").wait_for()
    requests = asked(page)
    page.get_by_label("Figure", exact=True).select_option(label=words)
    assert "m=" + metric in page.url and page.title() == "%s of 3 servers – smon" % words
    assert page.locator(".panel-overlay h2").inner_text() == words
    assert plot(page).get_attribute("aria-label").startswith(words + " of 3 servers over time.")
    assert values(page) == latest
    page.reload()
    page.locator(".panel-overlay canvas").wait_for()
    assert values(page) == latest
    page.go_back()
    page.wait_for_function("() => document.title.startsWith('CPU')")
    assert {hours for _, hours in requests} <= {"6"}


def test_every_span_asks_once_for_each_server_and_is_in_the_address(page, trio):
    open_page(page, *trio)
    page.locator(".panel-overlay canvas").wait_for()
    for word, hours in (("30 d", 720), ("12 h", 12), ("6 h", 6)):
        requests = asked(page)
        with page.expect_response("**/api/dashboard/server/%s?hours=%d" % (trio[-1].id, hours)):
            page.get_by_role("button", name=word).click()
        assert requests == [(server.id, str(hours)) for server in trio]
        assert page.get_by_role("button", name=word).get_attribute("aria-pressed") == "true"
        assert "h=%d" % hours in page.url
    page.get_by_role("button", name="24 h").click()
    assert "h=" not in page.url


def test_a_refresh_brings_new_samples_and_leaves_the_chart_and_its_cursor(hub, page):
    server = hub.register("growing")
    now = datetime.now(timezone.utc)
    for minutes in (30, 20, 10):
        server.send({"cpu_percent": float(minutes)}, collected_at=iso(now - timedelta(minutes=minutes)))
    open_page(page, server)
    page.locator(".panel-overlay canvas").wait_for()
    assert values(page) == ["10.0%"]
    plot(page).press("Home")
    assert values(page) == ["30.0%"]
    page.evaluate("() => { window.canvas = document.querySelector('.panel-overlay canvas'); }")
    server.send({"cpu_percent": 77.0})
    page.locator("#refresh").evaluate("(button) => button.click()")
    page.wait_for_function("() => document.querySelector('.chart-words').textContent.includes('highest 77.0%')")
    assert values(page) == ["30.0%"]
    assert page.evaluate("() => document.querySelector('.panel-overlay canvas') === window.canvas")
    plot(page).press("Escape")
    assert values(page) == ["77.0%"]


def test_the_latest_of_each_server_is_its_own_newest_sample_and_an_average_is_called_one(hub, page):
    begins = grid()
    often, early = hub.register("often"), hub.register("early")
    for server, moments in ((often, [(begin, 1, 20.0) for begin in begins] + [(begins[-1], 5, 80.0)]),
                            (early, [(begin, 1, 33.0) for begin in begins[:-5]])):
        answer = server.post("/api/metrics/batch", {"payloads": [
            {"collected_at": iso(begin + timedelta(minutes=minutes)), "processes": [], "services": [],
             "metrics": {"cpu_percent": value, "memory_percent": 50.0}} for begin, minutes, value in moments]})
        assert answer.status == 200, answer
    open_page(page, often, early)
    page.get_by_text("Each point is the average of 10 min.").wait_for()
    assert values(page) == ["80.0%", "33.0%"]
    plot(page).press("End")
    assert values(page) == ["50.0%", "–"]
    open_page(page, early)
    page.locator(".panel-overlay canvas").wait_for()
    assert not page.get_by_text("Each point is").is_visible()


def test_beside_averages_stands_the_last_sample_itself(hub, page):
    server = hub.register("summed-up")
    server.send({"cpu_percent": 61.0, "memory_percent": 62.0, "swap_percent": None, "load_average": [6.4, 1.0, 1.0],
                 "disks": [{"mountpoint": place, "percent": share} for place, share in (("/", 65.0), ("/srv", 6.0))],
                 "network_rate": {"bytes_recv_per_sec": 6 * 1024, "bytes_sent_per_sec": 7 * 1024},
                 "disk_io_rate": {"read_bytes_per_sec": 8 * 1024, "write_bytes_per_sec": 9 * 1024}})

    answer = hub.server(server.id, 720)
    averages = [{name: value if name == "timestamp" else 1.0 for name, value in row.items()}
                for row in answer["history"]]
    page.route("**/api/dashboard/server/*?*", lambda route: route.fulfill(
        json=dict(answer, step=3600, history=averages)))
    open_page(page, server, query="h=720")
    page.locator(".panel-overlay canvas").wait_for()
    figure = page.get_by_label("Figure", exact=True)
    told = {}
    for words in figure.locator("option").all_inner_texts():
        figure.select_option(label=words)
        told[words] = values(page)[0]
    assert told == {"CPU": "61.0%", "Memory": "62.0%", "Swap": "1.0%", "Worst disk": "65.0%",
                    "Load over a minute": "6.40", "Network received": "6.0 KiB/s", "Network sent": "7.0 KiB/s",
                    "Disks read": "8.0 KiB/s", "Disks written": "9.0 KiB/s"}


def test_the_table_behind_the_chart_has_the_figures_of_each_server(page, trio):
    open_page(page, *trio, query="m=memory&h=6")
    page.get_by_text("Show as table").click()
    cells = page.locator(".panel-overlay tbody tr").last.locator("td")
    cells.first.wait_for()
    assert page.locator(".panel-overlay thead th").all_inner_texts() == ["Time"] + [
        "%s %s" % (name, word) for name in OFFSETS for word in ("lowest", "average", "highest")]
    rows = page.locator(".panel-overlay tbody tr").evaluate_all("(rows) => rows.map((row) => row.innerText)")
    assert sum("50.0%\t50.0%\t50.0%\t51.0%\t51.0%\t51.0%\t52.0%\t52.0%\t52.0%" in row for row in rows) > 5
    page.get_by_label("Figure", exact=True).select_option(label="CPU")
    page.locator(".panel-overlay td", has_text="10.").first.wait_for()  # which stays open


def test_a_long_span_is_averaged_and_says_so_and_the_table_keeps_what_was_highest(hub, page):
    server, now = hub.register("aged"), datetime.now(timezone.utc)
    payloads = [{"collected_at": iso(now - timedelta(minutes=15 * number)), "processes": [], "services": [],
                 "metrics": {"cpu_percent": 98.7 if number == 900 else 20.0, "memory_percent": 50.0}}
                for number in range(1600)]
    for start in range(0, len(payloads), 100):
        assert server.post("/api/metrics/batch", {"payloads": payloads[start:start + 100]}).status == 200
    open_page(page, server, query="h=720")
    page.get_by_text("Each point is the average of 2 h.").wait_for()
    assert "highest 98.7%" not in page.locator(".chart-words").inner_text()
    page.get_by_text("Show as table").click()
    page.locator(".panel-overlay td", has_text="98.7%").wait_for()
    page.get_by_role("button", name="24 h").click()
    page.wait_for_function("() => !document.querySelector('main').textContent.includes('Each point is')")


def test_on_paper_many_servers_have_their_averages(hub, page, trio):
    four = hub.register("delta")
    four.send()
    open_page(page, *trio, four)
    page.locator(".panel-overlay canvas").wait_for()
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".panel-overlay thead th:visible").all_inner_texts() == [
        "Time", "alpha average", "beta average", "gamma average", "delta average"]
    assert not page.get_by_label("Figure", exact=True).is_visible()
    assert page.locator(".paper-head").inner_text().startswith("CPU of 4 servers – smon · ")


# --- lines ------------------------------------------------------------------------------------------------------------

PIXELS = """(tone) => {
    const canvas = document.querySelector('.panel-overlay canvas');
    const wanted = getComputedStyle(document.documentElement).getPropertyValue('--' + tone).trim().match(/\\w\\w/g)
        .map((pair) => parseInt(pair, 16));
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) {
        found += data[i + 3] > 250 && wanted.every((each, j) => Math.abs(data[i + j] - each) < 3);
    }
    return found;
}"""


def open_new(hub, page, name: str, number: int) -> None:
    """The page of so many servers, its chart drawn: a sloping line for each, as a point or a level line may show its
    colour in no pixel whole."""
    many = [hub.register(name % each) for each in range(number)]
    for each, server in enumerate(many):
        for minutes in (60, 0):
            at = datetime.now(timezone.utc) - timedelta(minutes=minutes)
            assert server.send({"cpu_percent": 5.0 + 10 * each + minutes / 12}, collected_at=iso(at)).status == 200
    open_page(page, *many)
    page.locator(".panel-overlay canvas").wait_for()


def test_eight_lines_have_tones_of_their_own_and_every_second_one_dashes(hub, page):
    open_new(hub, page, "line-%d", 8)
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        looks = page.locator(".overlay-lines .chart-key").evaluate_all("""(keys) => keys.map((key) => {
            const { borderTopColor, borderTopStyle } = getComputedStyle(key, '::before');
            return [borderTopColor, borderTopStyle];
        })""")
        assert len({colour for colour, _ in looks}) == 8
        assert [style for _, style in looks] == ["solid", "dashed"] * 4


@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_pointing_at_a_name_lets_the_other_lines_fade(page, trio, by):
    open_page(page, *trio)
    page.wait_for_function("(tone) => (%s)(tone) > 100" % PIXELS, arg="line-1")
    assert page.evaluate(PIXELS, "line-3") > 100
    row = page.locator(".overlay-lines li").nth(2)
    if by == "mouse":
        row.hover()
    else:
        row.get_by_role("link").focus()
    page.wait_for_function("(tone) => (%s)(tone) === 0" % PIXELS, arg="line-1")
    assert page.evaluate(PIXELS, "line-3") > 100
    if by == "mouse":
        page.mouse.move(5, 5)
    else:
        page.get_by_role("heading", level=1).focus()
    page.wait_for_function("(tone) => (%s)(tone) > 100" % PIXELS, arg="line-1")


def test_who_is_taken_away_leaves_the_others_their_looks_and_a_newcomer_its_own(hub, page):
    open_new(hub, page, "tone-%d", 9)
    before = tones(page)
    assert list(before.values()) == ["line-%d" % place for place in range(1, 9)]
    page.get_by_role("button", name="Take tone-2 away").click()
    page.locator(".overlay-lines").get_by_text("tone-8").wait_for()
    page.wait_for_function("(tone) => (%s)(tone) > 0" % PIXELS, arg="line-8")
    left = {name: tone for name, tone in before.items() if name != "tone-2"}
    assert tones(page) == dict(left, **{"tone-8": before["tone-2"]})


# --- what can not be shown --------------------------------------------------------------------------------------------

def test_an_unknown_server_is_said_to_be_unknown_and_the_others_stay(page, trio, allowed_faults):
    allowed_faults.append("404")
    open_page(page, trio[0], "no-such-id", "..", trio[2])
    page.locator(".panel-overlay canvas").wait_for()
    unknown = page.locator(".overlay-lines li", has_text="No such server: it may have been removed.")
    assert unknown.locator(".name-link").all_inner_texts() == ["no-such-id", ".."]
    assert unknown.locator("a[href]").count() == 0
    assert names(page) == ["alpha", "no-such-id", "..", "gamma"] and values(page)[1:3] == ["–", "–"]
    assert values(page)[0] != "–"
    assert page.title() == "CPU of 2 servers – smon"
    page.get_by_role("button", name="Take no-such-id away").click()
    assert names(page) == ["alpha", "..", "gamma"] and "no-such-id" not in page.url
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Take .. away"


def test_only_unknown_servers_make_no_title_of_servers(page, trio, allowed_faults):
    allowed_faults.append("404")
    open_page(page, "nope")
    page.get_by_text("No such server: it may have been removed.").wait_for()
    assert page.title() == "Compare – smon"


def test_a_server_that_is_removed_while_it_is_shown_says_so(hub, page, trio, allowed_faults):
    allowed_faults.append("404")
    leaving = hub.register("leaving")
    leaving.send({"cpu_percent": 33.0})
    open_page(page, trio[2], leaving)
    assert values(page)[1] == "33.0%"
    assert hub.delete("/api/dashboard/server/" + leaving.id).status == 200
    page.locator("#refresh").click()
    page.get_by_text("No such server: it may have been removed.").wait_for()
    assert values(page)[0] != "–" and values(page)[1] == "–" and names(page) == ["gamma", "leaving"]


def test_no_server_chosen_is_a_sentence_and_the_way_to_choose(page, trio):
    page.goto("/compare")
    page.get_by_role("heading", name="No servers are chosen").wait_for()
    assert not page.locator(".panel-overlay").is_visible()
    page.get_by_role("link", name="Choose servers").click()
    page.locator(".compare-bars").first.wait_for()


def test_taking_the_last_one_away_leaves_the_sentence(page, trio):
    open_page(page, trio[0])
    page.get_by_role("button", name="Take alpha away").click()
    page.get_by_role("heading", name="No servers are chosen").wait_for()
    assert page.evaluate("() => document.activeElement.tagName") == "H1"


def test_of_more_than_eight_the_first_eight_are_shown_and_it_says_so(hub, page):
    many = [hub.register("many-%d" % number) for number in range(10)]
    for server in many:
        server.send()
    requests = asked(page)
    open_page(page, *many)
    page.get_by_text("At most 8 servers fit into one chart: the first 8 of the 10 chosen are shown.").wait_for()
    assert names(page) == ["many-%d" % number for number in range(8)]
    assert {each for each, _ in requests} == {server.id for server in many[:8]}
    page.get_by_role("button", name="Take many-0 away").click()
    page.locator(".overlay-lines").get_by_text("many-8").wait_for()


def test_no_samples_and_no_report_of_a_figure_are_told_apart(hub, page, trio):
    silent, plain = hub.register("silent"), hub.register("plain")
    plain.send({"load_average": None})
    open_page(page, silent, query="h=6")
    page.get_by_text("There are no samples in this time.").wait_for()
    assert page.locator(".panel-overlay canvas:visible").count() == 0
    page.goto(path(silent, plain, query="m=load"))
    page.get_by_text("No server reports it in this time.").wait_for()
    assert page.locator(".overlay-note").all_inner_texts() == ["No samples in this time.", "Does not report it."]
    page.goto(path(silent, plain, trio[2], query="m=load"))
    page.locator(".panel-overlay canvas").wait_for()
    assert values(page) == ["–", "–", "2.50"]


def test_a_span_or_figure_that_there_is_not_is_the_usual_one(page, trio):
    open_page(page, trio[0], query="m=toString&h=7000000")
    page.locator(".panel-overlay canvas").wait_for()
    assert page.title() == "CPU of 1 server – smon"
    assert page.get_by_role("button", name="24 h").get_attribute("aria-pressed") == "true"


def test_a_server_that_the_hub_can_not_tell_of_keeps_its_last_line(page, trio, allowed_faults):
    allowed_faults.append("503")
    open_page(page, trio[0], trio[2])
    page.locator(".panel-overlay canvas").wait_for()
    before = values(page)
    page.route("**/api/dashboard/server/%s?*" % trio[2].id,
               lambda route: route.fulfill(status=503, json={"error": "Come back later.", "code": "busy"}))
    page.locator("#refresh").click()
    page.get_by_text("Not refreshed: Come back later.").wait_for()
    assert values(page) == before
    page.get_by_role("button", name="24 h").click()
    page.get_by_text("Not loaded: Come back later.").wait_for()
    assert values(page) == [before[0], "–"] and names(page) == ["alpha", "gamma"]


def test_while_the_hub_is_away_another_time_leaves_what_there_is_and_says_of_when(page, trio, allowed_faults):
    allowed_faults.append("ERR_CONNECTION_REFUSED")
    open_page(page, trio[0], trio[2])
    page.locator(".panel-overlay canvas").wait_for()
    before, told = values(page), page.get_by_text("The last 7 d could not be loaded: these are the last 6 h.")
    page.route("**/api/dashboard/server/*?*", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="7 d").click()
    told.wait_for()
    assert names(page) == ["alpha", "gamma"] and values(page) == before
    assert page.locator(".overlay-note").all_inner_texts() == ["Not refreshed: The hub does not answer."] * 2
    assert page.locator(".panel-overlay canvas").is_visible() and page.title() == "CPU of 2 servers – smon"
    page.unroute("**/api/dashboard/server/*?*")
    page.locator("#refresh").click()
    told.wait_for(state="hidden")
    assert page.locator(".overlay-note").all_inner_texts() == ["", ""]


def test_a_hostile_name_is_text_everywhere(hub, page, trio, allowed_faults):
    allowed_faults.append("404")
    named = hub.register(HOSTILE, display_name=HOSTILE + "x" * 150)
    named.send({"cpu_percent": 44.0})
    open_page(page, named, TURNING + HOSTILE, trio[0])
    page.get_by_text("Show as table").click()
    page.locator(".panel-overlay td").first.wait_for()
    assert names(page)[0].startswith(HOSTILE) and names(page)[1].endswith(HOSTILE) and values(page)[0] == "44.0%"
    assert page.locator("img").count() == 0 and "\u202e" not in page.inner_text("main")
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        beyond = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond <= 0, width
