"""The windowed list: whoever reads in the middle of a thousand servers keeps the place and the focus."""

from __future__ import annotations

import pytest

from tests.e2e.test_page import many

MIDDLE = 20_000
VIEWS = pytest.mark.parametrize("view, link", [("grid", ".card-link"), ("list", ".name-link")])
FOCUSED = "() => document.activeElement.textContent"
TOP = "() => Math.round(document.activeElement.getBoundingClientRect().top)"


@pytest.fixture
def servers(hub, page):
    """The answer of a hub with a thousand servers, which may be changed before a refresh."""
    return many(hub, page, 1000)


def read_in_the_middle(page, view: str, link: str) -> str:
    """The name of a server in the middle of the fleet, which has the focus."""
    page.goto("/?view=" + view)
    page.wait_for_selector(".spacer", state="attached")
    page.evaluate("y => scrollTo(0, y)", MIDDLE)
    page.wait_for_function("() => document.querySelector('.spacer').offsetHeight > 1000")
    settled(page)
    page.evaluate("""link => [...document.querySelectorAll(link)].find((each) => each.getBoundingClientRect().top > 300)
        .focus({ preventScroll: true })""", link)
    return page.evaluate(FOCUSED)


def settled(page) -> None:
    """As long as a list that ran away would need to be seen."""
    page.wait_for_timeout(400)


def refresh(page) -> None:
    with page.expect_response("**/api/dashboard?view=cards"):
        page.keyboard.press("r")
    settled(page)


@VIEWS
def test_a_new_width_keeps_the_focus_in_sight(page, servers, view, link):
    name = read_in_the_middle(page, view, link)
    for width in (1270, 1000, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        settled(page)
        assert page.evaluate(FOCUSED) == name
        assert page.evaluate("() => scrollY") > MIDDLE / 2


@VIEWS
def test_the_first_server_that_waits_for_approval_moves_nobody_away(page, servers, view, link):
    name = read_in_the_middle(page, view, link)
    servers["rows"][5][8] = ["pending", "waiting"]
    refresh(page)
    assert page.evaluate(FOCUSED) == name
    assert abs(page.evaluate("() => scrollY") - MIDDLE) < 200


@VIEWS
def test_the_page_does_not_run_after_a_focused_server_that_moves_to_the_top(page, servers, view, link):
    name = read_in_the_middle(page, view, link)
    next(row for row in servers["rows"] if row[1] == name)[7] = "critical"
    refresh(page)
    assert page.evaluate(FOCUSED) == name
    assert page.evaluate("() => scrollY") == MIDDLE


@VIEWS
@pytest.mark.parametrize("key", ["j", "Tab"])
def test_a_step_from_a_focused_server_out_of_sight_goes_to_its_neighbour(page, servers, view, link, key):
    name = read_in_the_middle(page, view, link)
    order = sorted(servers["rows"], key=lambda row: (int(row[3].split()[1]) if view == "grid" else 0, row[1]))
    names = [row[1] for row in order]
    page.evaluate("() => scrollTo(0, 0)")
    settled(page)
    assert page.evaluate(FOCUSED) == name
    page.keyboard.press(key)
    settled(page)
    assert page.evaluate(FOCUSED) == names[names.index(name) + 1]
    assert 0 < page.evaluate(TOP) < 800


def test_paper_does_not_make_a_row_for_each_server_beside_its_table(page, servers):
    page.goto("/?view=grid")
    page.wait_for_selector(".spacer", state="attached")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".paper tbody tr").count() == 1000
    assert page.locator(".card").count() < 200
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
