"""A member that comes again word for word is stepped over, and means what it would mean if it were read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smon_hub import bodies, shapes, steady
from smon_hub.errors import HubError
from smon_hub.shapes import NESTING_MAX
from tests.hub.inside import service

FIGURES = {"cpu_percent": 5, "memory_percent": 6}
LISTS = [[], [service("nginx")], [service("nginx"), service("services", "failed")],
         [service("Stra\u00dfe\u0300 \U0001f680")], None, "no list", [service("nginx", pid=-1)], [1]]


def sent(services, **more):
    return json.dumps({"metrics": FIGURES, "services": services, **more}).encode("utf-8")


def in_full(body):
    """The clean body as it is read without a memory, or the sentence that refuses it."""
    try:
        return shapes.clean(bodies.SAMPLE, shapes.parse(body))
    except HubError as error:
        return error.sentence


def with_memory(body, memory):
    try:
        cleaned = steady.read(bodies.SAMPLE, body, memory)
    except HubError as error:
        return error.sentence
    assert steady.print_of(cleaned["services"]) == steady.print_of(steady.rows_of(cleaned["services"]))
    return dict(cleaned, services=steady.rows_of(cleaned["services"]))


def is_again(body, memory):
    return isinstance(steady.read(bodies.SAMPLE, body, memory)["services"], steady.Again)


def test_from_the_third_time_on_a_list_is_not_read():
    memory, body = steady.Memory(), sent([service("nginx")])
    assert [is_again(body, memory) for _ in range(4)] == [False, False, True, True]
    assert not is_again(sent([service("sshd")]), memory)
    assert is_again(body, memory)  # the text that is remembered has not changed
    assert [is_again(sent([service("sshd")]), memory) for _ in range(2)] == [False, True]


def test_a_list_that_is_never_the_same_is_not_read_twice(monkeypatch):
    monkeypatch.setattr(steady, "_value", lambda body, begin: pytest.fail("read again"))
    memory = steady.Memory()
    assert not any(is_again(sent([service("nginx", restarts=count)]), memory) for count in range(5))


def text_of(parts):
    """A body of members in any order, names twice or in deeper places among them."""
    return ("{%s}" % ", ".join('"%s" : %s' % part for part in parts)).encode("utf-8")


VALUES = st.sampled_from(LISTS).map(json.dumps) | st.sampled_from(
    ['{"services": %s}' % json.dumps(LISTS[1]), '"services"'])
PARTS = st.tuples(st.sampled_from(["services", "metrics", "agent", "x"]), VALUES) | st.just(
    ("metrics", json.dumps(FIGURES))) | st.just(("agent", '{"errors": {"services": "slow"}}'))
BODIES = st.lists(PARTS, max_size=5).map(text_of) | st.sampled_from(LISTS).map(sent) | st.just(b'{"services": [')


@given(st.lists(BODIES, min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_whatever_comes_in_whatever_order_means_what_it_says(some, order):
    memory = steady.Memory()
    for body in (some[index % len(some)] for index in order):
        assert with_memory(body, memory) == in_full(body)


def test_only_the_very_text_in_its_place_is_stepped_over():
    memory, usual = steady.Memory(), sent([service("nginx", "running")])
    for _ in range(3):
        with_memory(usual, memory)
    listed = json.dumps([service("nginx", "running")])
    for body in (usual.replace(b"running", b"stopped"),
                 text_of([("x", '{"services": %s}' % listed), ("metrics", json.dumps(FIGURES)), ("services", "[]")]),
                 text_of([("services", listed), ("metrics", json.dumps(FIGURES)), ("services", "null")]),
                 text_of([("agent", '{"errors": {"services": %s}}' % listed), ("metrics", json.dumps(FIGURES))])):
        assert is_again(usual, memory) and with_memory(body, memory) == in_full(body)


@pytest.mark.parametrize("twice", [[("services", LISTS[1]), ("metrics", FIGURES), ("services", LISTS[2])],
                                   [("x", {"services": LISTS[1]}), ("metrics", FIGURES), ("services", LISTS[2])]])
def test_a_text_is_remembered_with_its_own_rows_alone(twice):
    memory = steady.Memory()
    for body in [text_of([(name, json.dumps(value)) for name, value in twice])] * 3 + [sent(LISTS[1])] * 2:
        assert with_memory(body, memory) == in_full(body)


def test_a_text_that_differs_while_its_rows_do_not_is_read_once_each_time(monkeypatch):
    memory, texts = steady.Memory(), []
    value = steady._value
    monkeypatch.setattr(steady, "_value", lambda body, begin: texts.append(body) or value(body, begin))
    for count in range(6):
        assert not is_again(sent([dict(service("nginx"), more=count)]), memory)
    assert len(texts) == 1


def test_what_is_wrong_beside_a_list_that_came_again_is_told_as_it_is():
    memory, good = steady.Memory(), [service("nginx")]
    for _ in range(3):
        with_memory(sent(good), memory)
    for body in (sent(good, processes=5), sent(good)[:-1], sent(good, x=1)[:-1] + b", 5}", sent(good) + b"x",
                 sent(good, x=[[[]]]).replace(b"[[[]]]", b"[" * NESTING_MAX + b"]" * NESTING_MAX)):
        assert with_memory(body, memory) == in_full(body) and isinstance(in_full(body), str)


# --- what a hub makes of it -------------------------------------------------------------------------------------------

def test_services_that_came_again_are_judged_and_kept_like_others(hub_inside):
    server = hub_inside.register()
    known = hub_inside.fleet.by_uuid[server["server_id"]]

    def send(name, status, listed=False):
        hub_inside.pass_time(60_000)
        body = {"metrics": FIGURES, "services": [service(name, status)], "agent": {"services_listed": listed}}
        answer = hub_inside.ask("POST", "/api/metrics", body, headers={
            "Authorization": "Bearer %(server_id)s:%(api_key)s" % server})
        assert answer.status == 200
        kept = hub_inside.rows("SELECT name, status FROM services WHERE server = ?", known.row["id"])
        return kept, known.tally.active

    for _ in range(4):
        assert send("nginx", "stopped") == ([("nginx", "stopped")], 0)
    assert [send("nginx", "stopped", listed=True)[1] for _ in range(3)][-1] == 1  # the same list means more now
    assert known.steady.text is not None
    assert send("sshd", "running")[0] == [("sshd", "running")]
    assert [send("nginx", "stopped")[0] for _ in range(3)] == [[("nginx", "stopped")]] * 3
