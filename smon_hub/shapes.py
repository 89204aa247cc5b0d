"""How a JSON body is declared, and the one place that checks bodies against their declarations.

A shape is compiled once into a plain function, as dataclasses do for __init__: a metrics payload has some
200 fields, and looping over declarations costs four times as much as the code they amount to.
Which bodies there are is told by bodies.py; what a route does with a clean one is left to its handler.
"""

from __future__ import annotations

import json
import operator
import re
import sys
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import clock
from .errors import HubError

INT_MAX = 2 ** 63 - 1        # the widest integer of the database
NUMBER_MAX = INT_MAX         # no machine counts further; infinity, which is not JSON, is far beyond
NAME_MAX = 256               # names from the machine are cut here
IDENTITY_MAX = 255           # names that people choose are refused beyond
NOTES_MAX = 4_000
NESTING_MAX = 20
WORDS_MAX = 64               # entries of an object of short texts

KEPT = {"\u200c", "\u200d"}  # joiners are not printable to Python, yet scripts and emoji need them


class Name(str):
    """Kind of a text that the machine chose (process, service, mount): cleaned and cut, never refused."""


class Notes(str):
    """Kind of a text of several lines that a person wrote."""


class Time(int):
    """Kind of an ISO 8601 moment; clean values are UTC milliseconds."""


Kind = Union[type, "Shape", List[Any]]


class Field(NamedTuple):
    """One member of a body. kind: float, int, bool, str, Name, Notes, Time, dict, a Shape, or [kind] for a list.

    min and max bound numbers, the length of texts and, for lists, the number of entries.
    """

    name: str
    kind: Kind
    sentence: str = ""
    required: bool = False
    min: Optional[float] = None
    max: Optional[float] = None


class Shape:
    """A named set of fields. partial: members that were not sent are left out instead of None, and null is refused.

    A clean object is a dict. A list of objects comes out as rows, tuples in the order of `names`: there are many of
    them, and whoever stores them needs no names.
    """

    def __init__(self, name: str, *fields: Field, partial: bool = False):
        self.name, self.fields, self.partial = name, fields, partial
        self.names = tuple(field.name for field in fields)
        self.clean: Callable[[Dict[str, Any]], Dict[str, Any]] = _compile(self)

    def dicts(self, rows: Optional[Iterable[Sequence[Any]]]) -> List[Dict[str, Any]]:
        """Rows as objects again. A row written before the shape grew is shorter: its objects lack the new names."""
        return [dict(zip(self.names, row)) for row in rows or ()]


class Wrong(Exception):
    """Where a body leaves its shape: the path, which grows on its way out of it, and the rest of the sentence."""

    def __init__(self, path: str, says: str):
        super().__init__(path, says)
        self.path, self.says = path, says


def clean(shape: Shape, body: Any) -> Dict[str, Any]:
    """The declared members of a body, checked. Unknown members are dropped, absent ones are None.

    Raises HubError("bad_request") that names the first member that is wrong, and its bounds.
    """
    try:
        cleaned = shape.clean(body)
    except Wrong as wrong:
        raise HubError("bad_request", "%s %s" % (wrong.path or "The body", wrong.says), field=wrong.path) from None
    if shape.partial and not cleaned:
        raise HubError("bad_request", "The body names none of: %s." % ", ".join(shape.names))
    return cleaned


def value(field: Field, given: Any) -> Any:
    """One value against one field. Raises HubError("bad_request") that names the field and its bounds."""
    return clean(Shape("value", field._replace(required=True)), {field.name: given})[field.name]


def parse(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, bounded depth and digits. Raises HubError("bad_request")."""
    if not body:
        raise HubError("bad_request", "The body is empty; a JSON object is expected.")
    if _too_deep(body):
        raise HubError("bad_request", "The body nests deeper than %d levels." % NESTING_MAX)
    if _SLOW_DIGITS and _SLOW_DIGITS.search(body):
        raise HubError("bad_request", "The body holds a number of more than 400 digits.")
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise HubError("bad_request", "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise HubError("bad_request", "The body is not JSON at line %d, column %d."
                       % (error.lineno, error.colno)) from None
    except ValueError as error:
        raise HubError("bad_request", "The body is not JSON: %s." % error) from None


def tidy(text: str, most: int = NAME_MAX) -> str:
    """Text from a machine made harmless: control and bidi characters and lone surrogates become marks."""
    if len(text) > most:
        text = text[:most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark in KEPT else (" " if mark.isspace() else "\ufffd")
                   for mark in text)


# Until 3.11 int() takes quadratic time over any number of digits; later Pythons refuse them themselves.
_SLOW_DIGITS = None if hasattr(sys, "set_int_max_str_digits") else re.compile(rb"\d{400}")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _no_constant(name: str) -> None:
    raise ValueError("%s is not JSON" % name)


def _too_deep(body: bytes) -> bool:
    """Brackets inside strings can only make it look closer."""
    if body.count(b"[") + body.count(b"{") <= NESTING_MAX:
        return False
    return _depth(body) > NESTING_MAX and _depth(_STRINGS.sub(b"", body)) > NESTING_MAX


def _depth(body: bytes) -> int:
    """The depth of the brackets in a text, peeled from within; a number above it where they do not match up."""
    brackets, levels = body.translate(None, _NOT_BRACKETS), 0
    while brackets and levels <= NESTING_MAX:
        peeled = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(peeled) == len(brackets):
            return levels + len(brackets)
        brackets, levels = peeled, levels + 1
    return levels


# --- from a declaration to a function -------------------------------------------------------------------------------

def _compile(shape: Shape) -> Callable[[Dict[str, Any]], Dict[str, Any]]:
    """One function for one shape: the lines of its fields in a row, with checks and bounds bound as constants."""
    names: Dict[str, Any] = {"Wrong": Wrong}
    lines = ["def clean(body):", " if type(body) is not dict: raise Wrong('', 'must be a JSON object.')",
             " out = {}" if shape.partial else " get = body.get"]
    for number, field in enumerate(shape.fields):
        names.update({"says%d" % number: expectation(field), "check%d" % number: _checker(field.kind, field)})
        lines += (_sent_lines if shape.partial else _field_lines)(number, field)
    lines.append(" return " + ("out" if shape.partial else "{%s}" % ", ".join(
        "%r: v%d" % (field.name, number) for number, field in enumerate(shape.fields))))
    exec("\n".join(lines), names)  # noqa: S102 - the text is made of declared names and numbers only
    return names["clean"]


def _field_lines(number: int, field: Field) -> List[str]:
    """The member as v0, v1, ...: None when it is absent or null."""
    v = "v%d" % number
    absent = _refusal(number, field) if field.required else "pass"
    return [" %s = get(%r)" % (v, field.name), " if %s is None: %s" % (v, absent), " el" + _take(number, field, v)]


def _sent_lines(number: int, field: Field) -> List[str]:
    """The member only if it was sent; null is no value."""
    return [" if %r in body:" % field.name, "  v = body[%r]" % field.name, "  if v is None: " + _refusal(number, field),
            "  " + _take(number, field, "v"), "  out[%r] = v" % field.name]


def _take(number: int, field: Field, v: str) -> str:
    """An `if` that refuses or replaces the value v unless it fits as it is; the other kinds go to check."""
    unfit = _unfit(field).replace("VALUE", v)
    if field.kind in (float, int, bool):
        return "if %s: %s" % (unfit, _refusal(number, field))
    return "if %s: %s = check%d(%r, %s)" % (unfit, v, number, field.name, v)


def _refusal(number: int, field: Field) -> str:
    return "raise Wrong(%r, says%d)" % (field.name, number)


def _unfit(field: Field) -> str:
    low, high = bounds(field)
    if field.kind is float:
        return "type(VALUE) is not float and type(VALUE) is not int or not %r <= VALUE <= %r" % (low, high)
    if field.kind is int:
        return "type(VALUE) is not int or not %r <= VALUE <= %r" % (low, high)
    if field.kind is bool:
        return "type(VALUE) is not bool"
    if field.kind is Name:
        return "type(VALUE) is not str or len(VALUE) > %d or not VALUE.isprintable()" % NAME_MAX
    return "True"


def bounds(field: Field) -> Tuple[Any, Any]:
    """The smallest and largest value of a numeric field. Numbers of machines are never below zero."""
    high = INT_MAX if field.kind is int else NUMBER_MAX
    return (0 if field.min is None else field.min, high if field.max is None else field.max)


def expectation(field: Field) -> str:
    """The second half of the sentence that refuses a value: what it must be, within which bounds."""
    low, high = bounds(field)
    if field.kind is bool:
        return "must be true or false."
    if field.kind is float:
        return "must be a number from %g to %g." % (low, high)
    if field.kind is int:
        return "must be a whole number from %d to %d." % (low, high)
    if field.kind is Time:
        return "must be an ISO 8601 time such as 2026-11-22T10:00:00Z."
    if field.kind is dict:
        return "must be a JSON object of at most %d texts." % WORDS_MAX
    if isinstance(field.kind, Shape):
        return "must be a JSON object."
    if isinstance(field.kind, list):
        return "must be a list of at most %d entries." % (field.max or 0)
    if field.kind is Name:
        return "must be a text."
    return "must be a text of %d to %d characters without control characters." % (field.min or 0, _length(field))


def _length(field: Field) -> int:
    return int(field.max or (NOTES_MAX if field.kind is Notes else IDENTITY_MAX))


def _checker(kind: Kind, field: Field) -> Callable[[str, Any], Any]:
    """check(path, value) -> the clean value, for the kinds that are more than a comparison."""
    if isinstance(kind, Shape):
        return _object_checker(kind)
    if isinstance(kind, list):
        return _list_checker(kind[0], field)
    return {Name: _check_name, Time: _check_time, dict: _check_words}.get(kind) or _text_checker(field)


def _object_checker(shape: Shape) -> Callable[[str, Any], Any]:
    def check(path: str, given: Any) -> Any:
        try:
            return shape.clean(given)
        except Wrong as wrong:
            raise _inside(path, wrong) from None
    return check


def _list_checker(kind: Kind, field: Field) -> Callable[[str, Any], Any]:
    if isinstance(kind, Shape):
        entry, together = (lambda given: tuple(kind.clean(given).values())), _columns_checker(kind)
    else:
        single = Shape("entry", Field("", kind, required=True, max=100 if kind is float else None))
        entry, together = (lambda given: single.clean({"": given})[""]), None

    def check(path: str, given: Any) -> Any:
        if type(given) is not list or not (field.min or 0) <= len(given) <= (field.max or 0):
            raise Wrong(path, expectation(field))
        rows = together(given) if together else None
        if rows is not None:
            return rows
        try:
            return [entry(each) for each in given]
        except Wrong:
            index, wrong = _first_wrong(entry, given)
            raise _inside("%s[%d]" % (path, index), wrong) from None
    return check


def _inside(path: str, wrong: Wrong) -> Wrong:
    return Wrong(path + (wrong.path and "." + wrong.path), wrong.says)


def _columns_checker(shape: Shape) -> Optional[Callable[[List[Any]], Optional[List[Tuple[Any, ...]]]]]:
    """rows(given) -> the rows when all objects have the same members and each is fine as it is; None to look closer.

    Looking at all names at once, then at all numbers, takes a third of the time that looking at each object does.
    """
    if not all(isinstance(field.kind, type) and field.kind in COLUMN_TYPES for field in shape.fields):
        return None
    required = {field.name for field in shape.fields if field.required}
    plans: Dict[Tuple[str, ...], _Plan] = {}

    def rows(given: List[Any]) -> Optional[List[Tuple[Any, ...]]]:
        first = given[0] if given else None
        present = tuple([name for name in shape.names if name in first]) if type(first) is dict else ()
        plan = plans.get(present) or plans.setdefault(present, _Plan(shape, present))
        if not plan.pick or not required.issubset(present):
            return None
        columns = list(zip(*map(plan.pick, given)))
        if any(name in each for name in plan.absent for each in given):
            return None
        for fits, places in plan.checks:
            if not fits(columns[places[0]] if len(places) == 1 else
                        [value for place in places for value in columns[place]]):
                return None
        if any(None in columns[place] for place in plan.required):
            return None
        if plan.absent:
            columns.append((None,) * len(given))
        return list(zip(*[columns[place] for place in plan.order]))

    def rows_or_none(given: List[Any]) -> Optional[List[Tuple[Any, ...]]]:
        try:
            return rows(given)
        except (KeyError, TypeError, IndexError):  # an entry is no object, or lacks what the first one has
            return None
    return rows_or_none


class _Plan:
    """How to look at objects that have the same members of a shape: what to pick, and which columns go together."""

    def __init__(self, shape: Shape, present: Tuple[str, ...]):
        fields = [field for field in shape.fields if field.name in present]
        self.pick = operator.itemgetter(*present) if len(present) > 1 else None
        self.absent = [name for name in shape.names if name not in present]
        self.required = [place for place, field in enumerate(fields) if field.required]
        self.order = [present.index(name) if name in present else len(present) for name in shape.names]
        groups: Dict[Any, List[int]] = {}
        for place, field in enumerate(fields):
            groups.setdefault((field.kind, *bounds(field)), []).append(place)
        self.checks = [(_column_fits(*group), places) for group, places in groups.items()]


COLUMN_TYPES: Dict[Any, Tuple[type, ...]] = {float: (float, int), int: (int,), bool: (bool,), Name: (str,)}


def _column_fits(kind: type, low: Any, high: Any) -> Callable[[Sequence[Any]], bool]:
    """fits(column) -> whether every value that is there fits as it is."""
    allowed = {*COLUMN_TYPES[kind], type(None)}

    def fits(column: Sequence[Any]) -> bool:
        found = set(map(type, column))
        if not found <= allowed:
            return False
        values = [each for each in column if each is not None] if type(None) in found else column
        if not values or kind is bool:
            return True
        if kind is Name:
            text = "".join(values)
            return text.isprintable() and (len(text) <= NAME_MAX or max(map(len, values)) <= NAME_MAX)
        return low <= min(values) and max(values) <= high
    return fits


def _first_wrong(entry: Callable[[Any], Any], given: List[Any]) -> Tuple[int, Wrong]:
    """Look again for the entry that failed, so that the loop that usually succeeds need not count."""
    for index, each in enumerate(given):
        try:
            entry(each)
        except Wrong as wrong:
            return index, wrong
    raise AssertionError("an entry failed once and then did not")


def _check_name(path: str, given: Any) -> str:
    if type(given) is not str:
        raise Wrong(path, "must be a text.")
    return tidy(given)


def _check_words(path: str, given: Any) -> Dict[str, str]:
    """A dict of short texts from a machine, such as {"disks": "/mnt/nfs does not answer."}."""
    if type(given) is not dict or len(given) > WORDS_MAX or any(type(text) is not str for text in given.values()):
        raise Wrong(path, expectation(Field(path, dict)))
    return {tidy(word): tidy(text) for word, text in given.items()}


def _check_time(path: str, given: Any) -> int:
    if type(given) is str:
        try:
            return clock.parse(given)
        except ValueError:
            given = None
    raise Wrong(path, expectation(Field(path, Time)))


def _text_checker(field: Field) -> Callable[[str, Any], str]:
    shortest, longest, lines = int(field.min or 0), _length(field), field.kind is Notes

    def check(path: str, given: Any) -> str:
        if type(given) is str:
            text = given.strip()
            plain = text.replace("\n", "").replace("\r", "").replace("\t", "") if lines else text
            if shortest <= len(text) <= longest and (plain.isprintable() or all(
                    mark.isprintable() or mark in KEPT for mark in plain)):
                return text
        raise Wrong(path, expectation(field))
    return check
