"""A member of a body that mostly comes again word for word, such as the list of a machine's services.

To read it costs as much as all the rest. Of a sender's last one its length and its hash are kept; when the same text
comes again it is stepped over, and read only if somebody asks for its rows after all.
"""

from __future__ import annotations

import json
import re
import secrets
from functools import lru_cache
from typing import Any, Dict, List, NamedTuple, Optional, Union

from . import shapes
from .errors import HubError
from .shapes import Shape

_WORD = secrets.token_hex(16)  # stands for what was stepped over; nobody else can have sent it
_STANDS = b'"%s"' % _WORD.encode("ascii")
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*").match
_raw_decode = json.JSONDecoder().raw_decode


class Text(NamedTuple):
    """A text that was read: its bytes, their hash, and the print of its rows."""

    length: int
    hash: int
    print: int


class Memory:
    """What is known of one sender's last body."""

    __slots__ = ("print", "text")

    def __init__(self) -> None:
        self.print: Optional[int] = None    # of the rows
        self.text: Optional[Text] = None    # once the same rows came twice: some lists are never the same


class Again:
    """Rows that came again; `print` is theirs."""

    __slots__ = ("print", "_shape", "_text")

    def __init__(self, shape: Shape, text: bytes, rows_print: int):
        self.print, self._shape, self._text = rows_print, shape, text

    def rows(self) -> List[Any]:
        member = self._shape.steady
        return shapes.clean(_alone(self._shape), {member: shapes.parse(self._text)})[member]


@lru_cache(maxsize=None)
def _alone(shape: Shape) -> Shape:
    """Its steady member as a shape of its own."""
    return Shape("steady", *(field for field in shape.fields if field.name == shape.steady))


Rows = Union[None, List[Any], Again]


def print_of(rows: Rows) -> Optional[int]:
    """A number that is the same for the same rows; None without any."""
    if isinstance(rows, Again):
        return rows.print
    return None if rows is None else hash(tuple(rows))


def rows_of(rows: Rows) -> Optional[List[Any]]:
    """The rows themselves."""
    return rows.rows() if isinstance(rows, Again) else rows


def read(shape: Shape, body: bytes, memory: Memory) -> Dict[str, Any]:
    """shapes.parse and shapes.clean; the shape's steady member may be an Again. Raises HubError."""
    begin = _begin(shape.steady, body)
    if begin and memory.text is not None:
        cleaned = _stepped_over(shape, body, begin, memory.text)
        if cleaned is not None:
            return cleaned
    cleaned = shapes.clean(shape, shapes.parse(body))
    rows_print = print_of(cleaned[shape.steady])
    if begin and rows_print == memory.print:
        _remember(shape, body, begin, memory)
    memory.print = rows_print
    return cleaned


def _remember(shape: Shape, body: bytes, begin: int, memory: Memory) -> None:
    """Take up the text of rows that came twice, if it is theirs: a body may have several members of that name. Where
    the text differs while the rows do not, it is not looked for again."""
    if memory.print is not None and (memory.text is None or memory.text.print != memory.print):
        text = _value(body, begin)
        known = Text(len(text), hash(text), memory.print)
        if _stepped_over(shape, body, begin, known) is not None:
            memory.text = known


def _stepped_over(shape: Shape, body: bytes, begin: int, known: Text) -> Optional[Dict[str, Any]]:
    """The clean body without a look at its steady member; None when that is another one, or the rest is not in order:
    then the whole body tells what is wrong."""
    text = body[begin:begin + known.length]
    if hash(text) != known.hash:
        return None
    try:
        given = shapes.parse(b"".join((body[:begin], _STANDS, body[begin + known.length:])))
        if type(given) is not dict or given.get(shape.steady) != _WORD:  # it was a member of something else
            return None
        given[shape.steady] = None
        cleaned = shapes.clean(shape, given)
    except HubError:
        return None
    cleaned[shape.steady] = Again(shape, text, known.print)
    return cleaned


def _begin(member: str, body: bytes) -> int:
    """Where the value of the first member of that name begins; 0 when there is none."""
    name = b'"%s"' % member.encode("ascii")
    at = body.find(name)
    while at >= 0:
        colon = _COLON(body, at + len(name))
        if colon:
            return colon.end()
        at = body.find(name, at + 1)
    return 0


def _value(body: bytes, begin: int) -> bytes:
    """The text of the value that begins there, in a body that is JSON."""
    after = body[begin:].decode("utf-8")
    return after[:_raw_decode(after)[1]].encode("utf-8")
