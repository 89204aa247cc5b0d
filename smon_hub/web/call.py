"""What a handler is given, how it finds what that names, and what it may answer.

Nothing here knows HTTP's headers or a socket.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence

from ..auth import Caller
from ..errors import HubError
from ..fleet import Server
from ..settings import Setting
from ..shapes import Shape
from ..store import audit
from ..store.details import encode
from ..store.commits import Database

BODY_BYTES = 1 << 20
BATCH_BYTES = 8 << 20
ROW_ID = re.compile(r"[0-9]{1,18}")  # which always fits the store's 64 bits
GZIP_LEVEL = 5           # 6 takes half as long again for two percent
ANY = Shape("any")       # the handler checks this body itself
FILE = Shape("file")     # this body is not JSON: the handler is given its bytes
FORM = Shape("form")     # this body is a form's: the handler is given its texts by name


class Call(NamedTuple):
    """One request, checked: who, the path's parameters, the query's and the body's declared members, the moment."""

    caller: Caller
    params: Dict[str, str]
    query: Dict[str, Any]
    body: Any
    now: int

    def note(self, db: Database, action: str, object: str, change: audit.Change) -> None:
        """Note a change of this caller's in the transaction that makes it."""
        audit.add(db, self.caller.who, self.caller.address, action, object, change, self.now)

    def row_id(self, parameter: str, what: str) -> int:
        """The id that a parameter of the path names. Raises HubError("not_found") for a text that is no id."""
        text = self.params[parameter]
        if not ROW_ID.fullmatch(text):
            raise no_such(what)
        return int(text)


def find_server(hub: Any, uuid: str) -> Server:
    """The server of that name. Raises HubError("not_found")."""
    found = hub.fleet.by_uuid.get(uuid)
    if found is None:
        raise no_such("server")
    return found


def no_such(what: str) -> HubError:
    return HubError("not_found", "No such %s." % what)


class File(NamedTuple):
    """An answer that is not JSON."""

    type: str
    body: bytes
    gzipped: bytes = b""
    keep: str = "no-store"  # Cache-Control
    status: int = 0         # the route's own when 0


class Redirect(NamedTuple):
    """An answer that leads on to a path of this hub."""

    path: str


class Session(NamedTuple):
    """An answer that begins a session in the browser, or ends it: then with no token and no seconds."""

    answer: Any
    token: str
    seconds: int


class Stream(NamedTuple):
    """A long answer for a file of that name, made while it is sent."""

    type: str
    name: str
    pieces: Iterator[bytes]


class Text:
    """A JSON answer whose text was made before, and a tag that changes when it says something new."""

    def __init__(self, text: str, tag: str):
        self.body, self.tag = text.encode("utf-8", "replace"), tag
        self._gzipped = b""

    @property
    def gzipped(self) -> bytes:
        """Compressed once for all who ask."""
        if not self._gzipped:
            self._gzipped = gzip.compress(self.body, GZIP_LEVEL, mtime=0)
        return self._gzipped


def tagged(answer: Dict[str, Any]) -> Text:
    """An answer that is polled: who has it already is told so in a few bytes."""
    text = encode(answer)
    return Text(text, '"%s"' % hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest())


class Route(NamedTuple):
    """A line of the contract.

    path: `{name}` stands for one segment. auth: open, agent, viewer or admin. body: the shape of the JSON body; ANY,
    FILE or FORM for one that the handler checks, None where none is read. query: a row for each parameter. on: "loop"
    for what never waits. stores: an agent's key is looked at again by the transaction that stores what it brings, so
    that memory is enough before that. limited: counts for the rate limit. any_host: answered by whatever name the
    hub is called, for callers that are no browsers. summary: one sentence for the API document.
    """

    method: str
    path: str
    handler: Callable[[Any, Call], Any]
    auth: str
    summary: str
    body: Optional[Shape] = None
    query: Sequence[Setting] = ()
    status: int = 200
    on: str = "pool"
    limited: bool = False
    body_bytes: int = BODY_BYTES
    stores: bool = False
    any_host: bool = False
