"""JSON texts for a declared body, made from its own fields: fitting ones, nearly fitting ones, and anything else."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterator

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from smon_hub import bodies, channels, shapes
from smon_hub.settings import SETTINGS, Setting
from smon_hub.shapes import Field, Shape

MARK = "\u2603here"  # in a drawn body: where a piece of PIECES is put in
ENTRIES_MAX = 3      # of a drawn list; how many may come is tested beside the shapes

PIECES = (           # what json.dumps would never write
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"9" * 5000, b"1" + b"0" * 308, b"-0.0", b"1E-400",
    b"0x10", b"010", b"1.", b".5", b"+1", b"'x'", b"undefined", b"True", b"", b",", b"}", b"]",
    b"[" * 21 + b"]" * 21, b"[" * 20000, b'{"a":' * 30 + b"1" + b"}" * 30,
    rb'"\ud800"', rb'"\udfff\ud800"', rb'"\u0000"', rb'"\u202e"', rb'"\u001b[2J"', rb'"\x"', rb'"\u12"', b'"a\nb"',
    b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\0"', b'"open', b'{"a": 1, "a": [2]}', b"[1, 2", b"\xef\xbb\xbf1",
    b'"' + b"n" * 100_000 + b'"',
)

# Nearly right for one kind or another: the edges of the store, of Python and of JSON.
WRONG = (None, True, -1, 0.5, 2 ** 63, -2 ** 63 - 1, 10 ** 400, 1.7e308, -1.7e308, "", "x" * 5000, "a\0", "\ud800", [],
         {}, [[]], [None] * 3000)
EXAMPLES: Dict[Any, Any] = {bool: False, shapes.Time: "2026-11-22T10:00:00Z", dict: {"a": "b"}}
numbers = st.one_of(st.integers(-2, 110), st.integers(-2 ** 70, 2 ** 70), st.floats(allow_nan=False),
                    st.sampled_from([2 ** 53, 2 ** 63 - 1, 2 ** 63, 2 ** 64, -2 ** 63, 10 ** 400]))
texts = st.one_of(st.text(st.characters(), max_size=12), st.sampled_from([
    "", " ", "x" * 255, "x" * 256, "x" * 257, "x" * 5000, "\0", "\ud800", "\r\nBcc: x@y", "<script>", "=1+1", "../..",
    "' OR 1=1 --", "-rf", "%s%n", "0", "true", "null", "2026-11-22T10:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01"]))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts, st.just(MARK)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)), max_leaves=6)


def documents(shape: Shape) -> SearchStrategy[bytes]:
    """Texts for a body of this shape; about one in three fits it."""
    whole = fitting(shape)
    return st.one_of(whole, damaged(whole), damaged(whole), anything).flatmap(spelt)


def fitting(shape: Shape) -> SearchStrategy[Dict[str, Any]]:
    """Bodies that the shape takes."""
    needed = {field.name: value(field) for field in shape.fields if field.required}
    others = {field.name: value(field) for field in shape.fields if not field.required}
    return st.fixed_dictionaries(needed, optional=others)


def whole(shape: Shape) -> Dict[str, Any]:
    """One body with every member of the shape."""
    return {field.name: _one(field) for field in shape.fields}


def _one(field: Field) -> Any:
    if field.name in MEANT:
        return MEANT[field.name][0]
    if isinstance(field.kind, Shape):
        return whole(field.kind)
    if isinstance(field.kind, list):
        kind = field.kind[0]
        return [_one(kind if isinstance(kind, Field) else Field("", kind))] * int(field.min or 1)
    if field.kind in (int, float):
        return shapes.bounds(field)[0]
    return field.choices[0] if field.choices else EXAMPLES.get(field.kind, "x" * int(field.min or 1))


def spoilt(body: Any) -> Iterator[Any]:
    """The body with each value in it, at any depth, replaced by each of WRONG."""
    yield from WRONG
    for key in body if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ():
        for other in spoilt(body[key]):
            copied = body.copy()
            copied[key] = other
            yield copied


def value(field: Field) -> SearchStrategy[Any]:
    """Values that a field takes."""
    if field.name in MEANT:
        return st.sampled_from(MEANT[field.name])
    if isinstance(field.kind, Shape):
        return fitting(field.kind)
    if isinstance(field.kind, list):
        return entries(field)
    if field.choices:
        return st.sampled_from(field.choices)
    return VALUES[field.kind](field)


def entries(field: Field) -> SearchStrategy[Any]:
    kind = field.kind[0]  # type: ignore[index]
    entry = value(kind if isinstance(kind, Field) else Field("", kind))
    least = int(field.min or 0)
    return st.lists(entry, min_size=least, max_size=max(least, min(ENTRIES_MAX, int(field.max or 0))))


def between(field: Field) -> SearchStrategy[Any]:
    low, high = shapes.bounds(field)
    if field.kind is int:
        return st.one_of(st.integers(int(low), min(int(low) + 2, int(high))), st.integers(int(low), int(high)))
    return st.one_of(st.floats(low, high), st.sampled_from([low, high]))


def words(field: Field) -> SearchStrategy[str]:
    least, most = int(field.min or 0), int(min(field.max or shapes.IDENTITY_MAX, 40))
    return st.text("abc .-äж…", min_size=least, max_size=max(least, most)).map(
        lambda text: "x" * least + text.strip()[least:])


VALUES: Dict[Any, Callable[[Field], SearchStrategy[Any]]] = {
    float: between, int: between, bool: lambda field: st.booleans(), str: words, shapes.Name: words,
    shapes.Notes: words, shapes.Secret: words,
    shapes.Unit: lambda field: st.text("abc@.-", max_size=9).map(lambda text: "u" + text),
    shapes.Time: lambda field: st.sampled_from(["2026-11-22T09:59:00Z", "2026-11-20T00:00:00.123Z", "2026-11-22"]),
    dict: lambda field: st.dictionaries(st.text("abc", max_size=5), st.text(max_size=9), max_size=3),
}


def damaged(whole: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Bodies with something else in one place, at any depth."""
    return st.tuples(whole, st.randoms(use_true_random=False), anything).map(lambda drawn: _damage(*drawn))


def _damage(body: Any, random: Any, other: Any) -> Any:
    inner = sorted(body) if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ()
    if not inner or random.random() < 0.15:
        return other
    copied, key = body.copy(), random.choice(inner)
    copied[key] = _damage(body[key], random, other)
    return copied


def spelt(body: Any) -> SearchStrategy[bytes]:
    """The body as JSON, with a piece of PIECES for each MARK in it."""
    text = json.dumps(body).encode()
    mark = json.dumps(MARK).encode()
    return st.sampled_from(PIECES).map(lambda piece: text.replace(mark, piece)) if mark in text else st.just(text)


# Texts that must mean something; the addresses are of this machine, where nobody listens.
MEANT: Dict[str, Any] = {
    "start": ("02:30", "23:59"), "starts_at": ("2026-11-22T10:00:00Z", "2027-01-01T02:30:00+02:00"),
    "until": ("2026-11-23T10:00:00Z", "2027-01-01"), "zone": ("UTC", "+02:00", "-11:30"),
    "url": ("http://127.0.0.1:9/x", "https://127.0.0.1:9/hook?key=x#y"), "alert_id": (1, 2), "alert_ids": ([1], [1, 2]),
    "notification_id": (1, 2),
}


def _declared(row: Setting) -> Field:
    return Field(row.key, row.kind, required=row.key == "url", min=row.min, max=row.max, choices=row.choices)


# Bodies that their handlers check themselves, as they would be declared.
SETTINGS_BODY = Shape("settings", *map(_declared, SETTINGS), partial=True)
BATCH_BODY = Shape("batch", Field("payloads", [bodies.SAMPLE], required=True, min=1, max=bodies.BATCH_MAX))
CHANNEL_BODIES = [Shape(
    "channel", *bodies.CHANNEL.fields, Field("kind", str, required=True, choices=(kind.name,)),
    Field("config", Shape("config", *map(_declared, kind.fields)), required=True), partial=True)
    for kind in channels.CHANNELS]
