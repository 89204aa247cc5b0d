"""Declared shapes: each kind, its bounds and its sentence; strict JSON."""

from __future__ import annotations

import subprocess
import sys

import pytest

from smon_hub import shapes
from smon_hub.errors import HubError
from smon_hub.shapes import INT_MAX, NESTING_MAX, Field, Name, Notes, Shape, Time
from tests.support import ROOT

SHARE = Field("", float, max=100)
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # written with a joiner that is no letter
POINT = Shape("point", Field("x", float, required=True), Field("label", Name))

GOOD = [
    (Field("f", float), 5, 5),
    (Field("f", float), 0.25, 0.25),
    (Field("f", float, min=-10, max=10), -10, -10),
    (Field("f", int), INT_MAX, INT_MAX),
    (Field("f", bool), False, False),
    (Field("f", str), "  spaced  ", "spaced"),
    (Field("f", str), PERSIAN, PERSIAN),
    (Field("f", str), "a" * 255, "a" * 255),
    (Field("f", Notes), "one\n\ttwo", "one\n\ttwo"),
    (Field("f", Name), "n" * 256, "n" * 256),
    (Field("f", Name), "n" * 257, "n" * 255 + "\u2026"),
    (Field("f", Name), "a\x00b\u202ec\ud800\tz", "a\ufffdb\ufffdc\ufffd z"),
    (Field("f", Time), "2026-11-22T10:00:00Z", 1795341600000),
    (Field("f", dict), {"disks": "slow\n"}, {"disks": "slow "}),
    (Field("f", [float], max=3), [0, 4096, 1.5], [0, 4096, 1.5]),
    (Field("f", [SHARE], max=3), [0, 100, 1.5], [0, 100, 1.5]),
    (Field("f", [str], max=2), [" a ", "b"], ["a", "b"]),
    (Field("f", POINT), {"x": 1, "more": 2}, {"x": 1, "label": None}),
    (Field("f", [POINT], max=2), [{"x": 1}, {"label": "l", "x": 2}], [(1, None), (2, "l")]),
    (Field("f", [POINT], max=2), [], []),
]

BAD = [
    (Field("f", float), True, "f must be a number from 0 to 9.22337e+18."),
    (Field("f", float), "5", "f must be a number from 0 to 9.22337e+18."),
    (Field("f", float), float("inf"), "f must be a number from 0 to 9.22337e+18."),
    (Field("f", float), float("nan"), "f must be a number from 0 to 9.22337e+18."),
    (Field("f", [SHARE], max=3), [1, float("nan")], "f[1] must be a number from 0 to 100."),
    (Field("f", [SHARE], max=3), [1, True], "f[1] must be a number from 0 to 100."),
    (Field("f", float), -0.001, "f must be a number from 0 to 9.22337e+18."),
    (Field("f", float, max=100), 100.1, "f must be a number from 0 to 100."),
    (Field("f", int), 5.0, "f must be a whole number from 0 to 9223372036854775807."),
    (Field("f", int), INT_MAX + 1, "f must be a whole number from 0 to 9223372036854775807."),
    (Field("f", int, min=1, max=9), False, "f must be a whole number from 1 to 9."),
    (Field("f", bool), 1, "f must be true or false."),
    (Field("f", str, min=1), "   ", "f must be a text of 1 to 255 characters without control characters."),
    (Field("f", str), "a" * 256, "f must be a text of 0 to 255 characters without control characters."),
    (Field("f", str), "a\nb", "f must be a text of 0 to 255 characters without control characters."),
    (Field("f", str), "a\u202eb", "f must be a text of 0 to 255 characters without control characters."),
    (Field("f", str), "a\ud800", "f must be a text of 0 to 255 characters without control characters."),
    (Field("f", Notes), "a\x00", "f must be a text of 0 to 4000 characters without control characters."),
    (Field("f", Notes), "a" * 4001, "f must be a text of 0 to 4000 characters without control characters."),
    (Field("f", Name), 7, "f must be a text."),
    (Field("f", Time), 1795341600000, "f must be an ISO 8601 time such as 2026-11-22T10:00:00Z."),
    (Field("f", Time), "soon", "f must be an ISO 8601 time such as 2026-11-22T10:00:00Z."),
    (Field("f", dict), {"a": 1}, "f must be a JSON object of at most 64 texts."),
    (Field("f", dict), dict.fromkeys(map(str, range(65)), ""), "f must be a JSON object of at most 64 texts."),
    (Field("f", [float], max=3), [1] * 4, "f must be a list of at most 3 entries."),
    (Field("f", [float], max=3), {"0": 1}, "f must be a list of at most 3 entries."),
    (Field("f", [SHARE], max=3), [1, None], "f[1] must be a number from 0 to 100."),
    (Field("f", [SHARE], max=3), [100.5], "f[0] must be a number from 0 to 100."),
    (Field("f", POINT), [], "f must be a JSON object."),
    (Field("f", POINT), {}, "f.x must be a number from 0 to 9.22337e+18."),
    (Field("f", [POINT], max=2), [{"x": 1}, 5], "f[1] must be a JSON object."),
    (Field("f", [POINT], max=2), [{"x": 1, "label": "a"}, {"x": 1, "label": 2}], "f[1].label must be a text."),
]


@pytest.mark.parametrize("field, given, clean", GOOD)
def test_a_fitting_value_comes_out_clean(field, given, clean):
    assert shapes.value(field, given) == clean


@pytest.mark.parametrize("field, given, sentence", BAD)
def test_a_wrong_value_is_refused_with_its_field_and_its_bounds(field, given, sentence):
    with pytest.raises(HubError) as refusal:
        shapes.value(field, given)
    assert (refusal.value.code, refusal.value.sentence) == ("bad_request", sentence)
    assert refusal.value.detail["field"] == sentence.partition(" ")[0]


def test_unknown_members_are_dropped_and_absent_ones_are_none():
    assert shapes.clean(POINT, {"x": 1, "y": 2}) == {"x": 1, "label": None}
    assert shapes.clean(POINT, {"x": 1, "label": None}) == {"x": 1, "label": None}


@pytest.mark.parametrize("body", [None, 1, "text", [], [{"x": 1}], True])
def test_a_body_must_be_an_object(body):
    with pytest.raises(HubError, match="The body must be a JSON object"):
        shapes.clean(POINT, body)


def test_a_partial_shape_keeps_only_what_was_sent():
    change = Shape("change", Field("a", int), Field("b", str), partial=True)
    assert shapes.clean(change, {"b": "x", "c": 1}) == {"b": "x"}


@pytest.mark.parametrize("body, sentence", [
    ({}, "The body names none of: a, b."), ({"c": 1}, "The body names none of: a, b."),
    ({"a": None}, "a must be a whole number from 0 to 9223372036854775807.")])
def test_a_partial_shape_refuses_a_body_without_a_known_member_and_null(body, sentence):
    change = Shape("change", Field("a", int), Field("b", str), partial=True)
    with pytest.raises(HubError) as refusal:
        shapes.clean(change, body)
    assert refusal.value.sentence == sentence


def test_rows_become_objects_and_short_rows_lack_the_newer_members():
    assert POINT.dicts([(1, "a"), (2,)]) == [{"x": 1, "label": "a"}, {"x": 2}]
    assert POINT.dicts(None) == []


# --- JSON -----------------------------------------------------------------------------------------------------------

def nested(levels, opening="[", closing="]"):
    return (opening * levels + closing * levels).encode()


@pytest.mark.parametrize("body, value", [
    (b'{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
    (nested(NESTING_MAX), None),
    (b'"' + b"[" * 1000 + b'"', "[" * 1000),
    (b'["\\"[[[[[[[[[[[[[[[[[[[[[[[["]', ['"[[[[[[[[[[[[[[[[[[[[[[[[']),
    ("\"\u00e9\"".encode(), "\u00e9"),
])
def test_json_is_read(body, value):
    read = shapes.parse(body)
    assert value is None or read == value


@pytest.mark.parametrize("body, says", [
    (b"", "The body is empty"),
    (b"{", "not JSON at line 1, column 2"),
    (b"{} {}", "not JSON at line 1, column 4"),
    (b"NaN", "NaN is not JSON"),
    (b'{"a": Infinity}', "Infinity is not JSON"),
    (b'{"a": -Infinity}', "-Infinity is not JSON"),
    (b"{'a': 1}", "not JSON at"),
    (b"\xff\xfe{}", "not UTF-8"),
    (b"\xef\xbb\xbf{}", "not JSON"),
    (nested(NESTING_MAX + 1), "deeper than 20 levels"),
    (nested(100_000), "deeper than 20 levels"),
    (nested(100_000, '{"a":', "}"), "deeper than 20 levels"),
    (nested(11, '[{"a":', "}]"), "deeper than 20 levels"),
    (b"[" * 500_000, "deeper than 20 levels"),
    (b"9" * 10_000, ""),
    (b'{"a": "tab\there"}', "not JSON"),
])
def test_what_is_no_strict_json_is_refused(body, says):
    with pytest.raises(HubError) as refusal:
        shapes.parse(body)
    assert refusal.value.code == "bad_request"
    assert says in refusal.value.sentence


PARSE = """
import sys
from smon_hub import shapes
from smon_hub.errors import HubError
try:
    shapes.parse(sys.stdin.buffer.read())
except HubError as refusal:
    print(refusal.sentence)
"""
DEEP = b"[" * (NESTING_MAX + 1)


@pytest.mark.parametrize("text", [b'["a' + b'\\"a' * (1 << 19), b'a\\"' * (1 << 19), b'["a\\"a' * (1 << 18),
                                  b'"' + b"\\" * (1 << 20), b'"' * (1 << 20) + b'"'],
                         ids=["an open string", "quotes outside", "openings", "strokes", "empty strings"])
def test_no_text_of_quotes_and_strokes_holds_the_hub_up(text):
    """To look for the end of each open string anew takes an hour. A child can be ended then, a test can not."""
    ended = subprocess.run([sys.executable, "-c", PARSE], cwd=str(ROOT), input=DEEP + text, stdout=subprocess.PIPE,
                           timeout=60)
    assert ended.stdout.startswith(b"The body ")


def test_a_number_beyond_every_machine_is_no_infinity_in_an_answer():
    with pytest.raises(HubError, match="x must be a number"):
        shapes.clean(POINT, shapes.parse(b'{"x": 1e999}'))
