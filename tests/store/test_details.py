"""A payload in its row: what goes in comes out, today's and yesterday's."""

from __future__ import annotations

import json
import zlib

from hypothesis import given
from hypothesis import strategies as st

from smon_hub import shapes
from smon_hub.bodies import AGENT, NUMBERS, PROCESS
from smon_hub.shapes import INT_MAX, Name, Shape, Time
from smon_hub.store import details
from tests.support import ROOT

GOLDEN = ROOT / "tests" / "golden" / "details.json"

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
KINDS = {
    float: st.one_of(st.integers(0, 100), st.floats(0, 100)), int: st.integers(0, INT_MAX), bool: st.booleans(),
    Name: TEXTS, Time: st.integers(0, 10 ** 12),
    dict: st.dictionaries(TEXTS, st.just("text"), max_size=2),
}


def values(kind):
    """Clean values of a kind, None among them."""
    if isinstance(kind, Shape):
        return st.one_of(st.none(), objects(kind))
    if isinstance(kind, list):
        entries = rows_of(kind[0]) if isinstance(kind[0], Shape) else KINDS[kind[0]]
        return st.one_of(st.none(), st.lists(entries, max_size=2))
    return st.one_of(st.none(), KINDS[kind])


def objects(shape):
    """Clean objects: every member, in the order of the shape."""
    members = st.tuples(*(values(field.kind) for field in shape.fields))
    return members.map(lambda each: dict(zip(shape.names, each)))


def rows_of(shape):
    return objects(shape).map(lambda each: tuple(each.values()))


def as_json(value):
    """Tuples as the lists that JSON makes of them."""
    return json.loads(json.dumps(value))


@given(objects(NUMBERS), values([PROCESS]), values(AGENT), st.booleans())
def test_a_payload_survives_its_row(numbers, processes, agent, timed):
    assert details.unpack(details.pack(numbers, processes, agent, timed)) == as_json(
        {"metrics": numbers, "processes": processes or [], "agent": agent, "timed": timed})


def test_a_row_from_before_a_member_was_added_lacks_only_that():
    older = {name: index for index, name in enumerate(NUMBERS.names[:5])}
    read = details.unpack(details.pack(older, [], None, True))["metrics"]
    assert tuple(read) == NUMBERS.names
    assert [read[name] for name in NUMBERS.names[:5]] == [0, 1, 2, 3, 4]
    assert {read[name] for name in NUMBERS.names[5:]} == {None}


def test_a_row_of_the_first_release_is_read_for_ever():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert details.unpack(bytes.fromhex(golden["packed"])) == golden["payload"]


def test_the_preset_dictionary_is_worth_its_place():
    payload = json.loads(GOLDEN.read_text(encoding="utf-8"))["payload"]
    packed = details.pack(*payload.values())
    assert len(packed) < len(zlib.compress(details.encode(list(payload.values())).encode(), 9))


def test_hostile_names_survive_as_they_were_cleaned():
    name = shapes.tidy("\ud800\x00\u202e\"],[")
    assert details.unpack(details.pack({}, [(1, name)], None, True))["processes"] == [[1, name]]
