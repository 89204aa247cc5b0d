"""How a JSON body is declared, and the one place that checks bodies against their declarations.

A shape is compiled once into a plain function, as dataclasses do for __init__: a metrics payload has some
200 fields, and looping over declarations costs four times as much as the code they amount to.
Which bodies there are is told by bodies.py; what a route does with a clean one is left to its handler.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import clock
from .errors import HubError

INT_MAX = 2 ** 63 - 1        # the widest integer of the database
NUMBER_MAX = 2 ** 63 - 1024  # the last float below 2^63: no machine counts further, and infinity is far beyond
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


class Secret(str):
    """Kind of a text that is taken as it was typed: blanks at the ends of a password belong to it."""


class Unit(str):
    """Kind of a service's name that an agent hands to the service manager: nothing that reads as an option."""


class Time(int):
    """Kind of an ISO 8601 moment; clean values are UTC milliseconds."""


Kind = Union[type, "Shape", "Field", List[Any]]


class Field(NamedTuple):
    """One member of a body. kind: float, int, bool, str, Name, Notes, Secret, Unit, Time, dict, a Shape, or [kind] for
    a list, whose kind may be a Field when its entries have bounds of their own.

    min and max bound numbers, the length of texts and, for lists, the number of entries. choices are those of a text.
    """

    name: str
    kind: Kind
    sentence: str = ""
    required: bool = False
    min: Optional[float] = None
    max: Optional[float] = None
    choices: Tuple[str, ...] = ()


class Shape:
    """A named set of fields. partial: members that were not sent are left out instead of None, and null is refused.
    steady: the member that mostly comes again as it was (steady.py).

    A clean object is a dict. A list of objects comes out as rows, tuples in the order of `names`: there are many of
    them, and whoever stores them needs no names.
    """

    def __init__(self, name: str, *fields: Field, partial: bool = False, steady: str = ""):
        self.name, self.fields, self.partial, self.steady = name, fields, partial, steady
        self.names = tuple(field.name for field in fields)
        self.clean, self.rows = _compile(self)

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
        return _decode(body.decode("utf-8"))
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
_UNIT = re.compile(r"(?!-)[A-Za-z0-9@._:\\-]{1,256}").fullmatch
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"{}", b"[]")  # for counting levels; a pair that does not fit is left to the parser
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)  # an open end matches too: looking for it would take for ever


def _no_constant(name: str) -> None:
    raise ValueError("%s is not JSON" % name)


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def _too_deep(body: bytes) -> bool:
    """Brackets inside strings can only make it look closer."""
    return _depth(body) > NESTING_MAX and _depth(_STRINGS.sub(b"", body)) > NESTING_MAX


def _depth(body: bytes) -> int:
    """The depth of the brackets in a text, peeled from within; a number above it where they are few or do not match."""
    brackets, levels = body.translate(_ALIKE, _NOT_BRACKETS), 0
    if len(brackets) <= NESTING_MAX:
        return len(brackets)
    while brackets and levels <= NESTING_MAX:
        peeled = brackets.replace(b"[]", b"")
        if len(peeled) == len(brackets):
            return levels + len(brackets)
        brackets, levels = peeled, levels + 1
    return levels


# --- from a declaration to a function -------------------------------------------------------------------------------

def _compile(shape: Shape) -> Tuple[Callable[[Any], Dict[str, Any]], Callable[[List[Any]], List[Tuple[Any, ...]]]]:
    """clean(body) -> dict, and rows(bodies) -> tuples: the lines of all fields in a row, checks bound as constants."""
    names: Dict[str, Any] = {"Wrong": Wrong}
    lines = []
    for number, field in enumerate(shape.fields):
        names.update({"says%d" % number: expectation(field), "check%d" % number: _checker(field.kind, field)})
        lines += (_sent_lines if shape.partial else _field_lines)(number, field)
    values = ["v%d" % number for number in range(len(shape.fields))]
    members = ", ".join("%r: %s" % (field.name, value) for field, value in zip(shape.fields, values))
    is_object = " if type(body) is not dict: raise Wrong('', 'must be a JSON object.')"
    text = ["def clean(body):", is_object, " out = {}" if shape.partial else " get = body.get", *lines,
            " return " + ("out" if shape.partial else "{%s}" % members)]
    if not shape.partial:
        row = "".join(value + ", " for value in values)
        text += ["def rows(bodies):", " out = []", " for body in bodies:", " " + is_object, "  get = body.get",
                 *(" " + line for line in lines), "  out.append((%s))" % row, " return out"]
    exec("\n".join(text), names)  # noqa: S102 - the text is made of declared names and numbers only
    return names["clean"], names.get("rows", list)


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
    if field.kind is float:  # bounds as floats: comparing two floats is the fast case
        return "type(VALUE) is not float and type(VALUE) is not int or not %r <= VALUE <= %r" % (
            float(low), float(high))
    if field.kind is int:
        return "type(VALUE) is not int or not %r <= VALUE <= %r" % (low, high)
    if field.kind is bool:
        return "type(VALUE) is not bool"
    if field.kind is Name:
        return "type(VALUE) is not str or not VALUE.isprintable() or len(VALUE) > %d" % NAME_MAX
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
    if field.kind is Unit:
        return "must be a service's name: 1 to 256 of A-Z a-z 0-9 @ . _ : \\ -, not beginning with -."
    if field.choices:
        return "must be one of: %s." % ", ".join(field.choices)
    return "must be a text of %d to %d characters without control characters." % (field.min or 0, _length(field))


def _length(field: Field) -> int:
    return int(field.max or (NOTES_MAX if field.kind is Notes else IDENTITY_MAX))


def _checker(kind: Kind, field: Field) -> Callable[[str, Any], Any]:
    """check(path, value) -> the clean value, for the kinds that are more than a comparison."""
    if isinstance(kind, Shape):
        return _object_checker(kind)
    if isinstance(kind, list):
        return _list_checker(kind[0], field)
    return CHECKS.get(kind) or _text_checker(field)


def _object_checker(shape: Shape) -> Callable[[str, Any], Any]:
    def check(path: str, given: Any) -> Any:
        try:
            return shape.clean(given)
        except Wrong as wrong:
            raise _inside(path, wrong) from None
    return check


def _list_checker(kind: Kind, field: Field) -> Callable[[str, Any], Any]:
    entry = kind if isinstance(kind, Field) else Field("", kind)
    shape = kind if isinstance(kind, Shape) else Shape("entry", entry._replace(name="", required=True))

    fewest, most, says, fits = field.min or 0, field.max or 0, expectation(field), _all_fit(entry)

    def check(path: str, given: Any) -> Any:
        if type(given) is not list or not fewest <= len(given) <= most:
            raise Wrong(path, says)
        if fits is not None and fits(given):
            return given
        entries = given if shape is kind else [{"": each} for each in given]
        try:
            rows = shape.rows(entries)
        except Wrong:
            index, wrong = _first_wrong(shape, entries)
            raise _inside("%s[%d]" % (path, index), wrong) from None
        return rows if shape is kind else [row[0] for row in rows]
    return check


_NUMBERS = frozenset((float, int))


def _all_fit(entry: Field) -> Optional[Callable[[List[Any]], bool]]:
    """Whether all entries of a list of numbers are within their bounds, told at once: of cores there are many."""
    if entry.kind is not float:
        return None
    low, high = bounds(entry)

    def fits(given: List[Any]) -> bool:
        return _NUMBERS.issuperset(map(type, given)) and all([low <= each <= high for each in given])
    return fits


def _inside(path: str, wrong: Wrong) -> Wrong:
    return Wrong(path + (wrong.path and "." + wrong.path), wrong.says)


def _first_wrong(shape: Shape, entries: List[Any]) -> Tuple[int, Wrong]:
    """Look again for the entry that failed, so that the loop that usually succeeds need not count."""
    for index, entry in enumerate(entries):
        try:
            shape.clean(entry)
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


def _check_unit(path: str, given: Any) -> str:
    if type(given) is str and _UNIT(given):
        return given
    raise Wrong(path, expectation(Field(path, Unit)))


CHECKS: Dict[Any, Callable[[str, Any], Any]] = {
    Name: _check_name, Time: _check_time, Unit: _check_unit, dict: _check_words}


def _text_checker(field: Field) -> Callable[[str, Any], str]:
    shortest, longest, lines = int(field.min or 0), _length(field), field.kind is Notes

    def check(path: str, given: Any) -> str:
        if type(given) is str:
            text = given if field.kind is Secret else given.strip()
            plain = text.replace("\n", "").replace("\r", "").replace("\t", "") if lines else text
            harmless = plain.isprintable() or all(mark.isprintable() or mark in KEPT for mark in plain)
            if shortest <= len(text) <= longest and harmless and (not field.choices or text in field.choices):
                return text
        raise Wrong(path, expectation(field))
    return check
