"""The declared bodies against anything that JSON can say: clean, or a refusal that names the member."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smon_hub import bodies, shapes
from smon_hub.errors import HubError
from smon_hub.store.details import encode
from tests.hub.inside import service
from tests.support.processes import GIB, LIVE, METRICS

PROCESS = {"pid": 1, "name": "systemd", "cpu_percent": 0.5, "memory_percent": 0.1, "memory_mb": 12,
           "status": "sleeping", "username": "root"}
RATES = {"network_rate": LIVE["network_rate"], "disk_io_rate": LIVE["disk_io_rate"]}
FULL_SAMPLE = {
    "collected_at": "2026-11-22T10:00:00.123Z",
    "metrics": dict(METRICS, **RATES, memory_available=10 * GIB, swap_percent=0, swap_total=0, swap_used=0,
                    load_average=[0.5, 0.4, 0.3], cpu_count=8),
    "processes": [PROCESS, dict(PROCESS, pid=2)],
    "services": [service("nginx", pid=7, restarts=0), service("cron", pid=8, restarts=1)],
    "agent": {"version": "0.1", "boot_id": "b", "sequence": 1, "buffered": 0, "dropped": 0, "beat_seconds": 300,
              "interval_minutes": 10, "clean_shutdown": True, "live": False, "errors": {}, "source": {}},
}
FULL_LIVE = dict(LIVE, collected_at="2026-11-22T10:00:00.123Z", retention_minutes=30)

numbers = st.one_of(st.integers(-2 ** 70, 2 ** 70), st.floats(allow_nan=False), st.integers(-1, 200))
texts = st.one_of(st.text(st.characters(), max_size=20), st.text("n", min_size=250, max_size=260))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)), max_leaves=6)


def places(body: Any, path: tuple = ()) -> list:
    """The path of every value in a body."""
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [path] + [place for key, value in inner for place in places(value, path + (key,))]


def replaced(body: Any, path: tuple, value: Any) -> Any:
    """A copy of a body with another value in one place."""
    if not path:
        return value
    whole = copy.deepcopy(body)
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return whole


def spelt(path: tuple) -> str:
    """`metrics.disks[0].percent`, as a refusal names it."""
    return re.sub(r"^\.", "", "".join("[%d]" % key if isinstance(key, int) else "." + key for key in path))


def check_clean_or_refused(shape, body, path):
    try:
        cleaned = shapes.clean(shape, body)
    except HubError as refusal:
        assert refusal.code == "bad_request"
        assert refusal.detail["field"].startswith(spelt(path))
        encode(refusal.body()).encode("utf-8")
    else:
        assert tuple(cleaned) == shape.names
        encode(cleaned).encode("utf-8")


@given(st.sampled_from(places(FULL_SAMPLE)), anything)
def test_a_sample_with_anything_anywhere_is_clean_or_refused_by_name(path, value):
    check_clean_or_refused(bodies.SAMPLE, replaced(FULL_SAMPLE, path, value), path)


@given(st.sampled_from(places(FULL_LIVE)), anything)
def test_a_live_sample_with_anything_anywhere_is_clean_or_refused_by_name(path, value):
    check_clean_or_refused(bodies.LIVE, replaced(FULL_LIVE, path, value), path)


@given(st.sampled_from([bodies.REGISTER, bodies.SERVER_CHANGE, bodies.SAMPLE, bodies.LIVE]), anything)
def test_anything_for_a_body_is_clean_or_refused(shape, body):
    try:
        shapes.clean(shape, body)
    except HubError as refusal:
        assert refusal.code == "bad_request"


# --- many rows at once ----------------------------------------------------------------------------------------------

def one_by_one(shape, entries):
    """The rows of a list as the slow way gives them, or the number of its first wrong entry."""
    rows = []
    for index, entry in enumerate(entries):
        try:
            rows.append(tuple(shape.clean(entry).values()))
        except shapes.Wrong as wrong:
            return "list[%d]%s" % (index, wrong.path and "." + wrong.path)
    return rows


def together(shape, entries):
    """The rows of a list as a body's member, or the name of what is wrong in it."""
    try:
        return shapes.value(shapes.Field("list", [shape], max=1000), entries)
    except HubError as refusal:
        return refusal.detail["field"]


def entries_of(shape, whole):
    """Lists of objects that mostly fit, mostly with the same members."""
    value = {key: st.one_of(st.just(whole[key]), st.just(whole[key]), st.none(), anything) for key in whole}
    alike = st.sets(st.sampled_from(sorted(whole))).flatmap(
        lambda names: st.lists(st.fixed_dictionaries({name: st.just(whole[name]) for name in names}), max_size=4))
    mixed = st.lists(st.one_of(st.fixed_dictionaries({}, optional=value), anything), max_size=3)
    return st.one_of(alike, mixed, st.builds(lambda some, more: some + more, alike, mixed))


ROWS = {"process": (bodies.PROCESS, PROCESS), "service": (bodies.SERVICE, FULL_SAMPLE["services"][0]),
        "disk": (bodies.DISK, METRICS["disks"][0])}


@pytest.mark.parametrize("kind", ROWS)
@given(data=st.data())
def test_rows_come_out_the_same_together_and_one_by_one(kind, data):
    shape, whole = ROWS[kind]
    entries = data.draw(entries_of(shape, whole))
    assert repr(together(shape, entries)) == repr(one_by_one(shape, entries))


# --- what honest agents send ----------------------------------------------------------------------------------------

def test_the_seeds_own_example_is_taken():
    body = {"metrics": METRICS, "processes": [PROCESS],
            "services": [service("W3SVC", start_type="automatic", pid=4567)]}
    cleaned = shapes.clean(bodies.SAMPLE, body)
    assert cleaned["services"] == [("W3SVC", "W3Svc", "running", "automatic", 4567, None)]
    assert cleaned["processes"] == [tuple(PROCESS.values())]


@pytest.mark.parametrize("load", [[0.0, 0.0, 0.0], [100.5, 64, 12.0], [4096.0, 3000.0, 2000.0]])
def test_a_load_average_is_no_percentage(load):
    sample = replaced(FULL_SAMPLE, ("metrics", "load_average"), load)
    assert shapes.clean(bodies.SAMPLE, sample)["metrics"]["load_average"] == load


@pytest.mark.parametrize("path, most", [
    (("processes",), bodies.PROCESSES_MAX), (("services",), bodies.SERVICES_MAX),
    (("metrics", "disks"), bodies.DISKS_MAX)])
def test_lists_are_bounded_in_their_number(path, most):
    entry = FULL_SAMPLE
    for key in path + (0,):
        entry = entry[key]
    shapes.clean(bodies.SAMPLE, replaced(FULL_SAMPLE, path, [entry] * most))
    with pytest.raises(HubError, match="at most %d entries" % most):
        shapes.clean(bodies.SAMPLE, replaced(FULL_SAMPLE, path, [entry] * (most + 1)))


@pytest.mark.parametrize("name", ["cpu_percent", "memory_percent"])
def test_a_sample_without_its_two_required_numbers_is_refused(name):
    body = copy.deepcopy(FULL_SAMPLE)
    del body["metrics"][name]
    with pytest.raises(HubError, match=r"metrics\.%s must be a number from 0 to 100\." % name):
        shapes.clean(bodies.SAMPLE, body)


def test_a_process_of_many_cores_may_exceed_100_percent():
    sample = replaced(FULL_SAMPLE, ("processes", 0, "cpu_percent"), 6400.0)
    assert shapes.clean(bodies.SAMPLE, sample)["processes"][0][2] == 6400.0
