"""What a handler is given and what it may answer. Nothing here knows HTTP's headers or a socket."""

from __future__ import annotations

import gzip
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence

from ..auth import Caller
from ..settings import Setting
from ..shapes import Shape

BODY_BYTES = 1 << 20
BATCH_BYTES = 8 << 20
GZIP_LEVEL = 5           # 6 takes half as long again for two percent
ANY = Shape("any")       # the handler checks this body itself
FILE = Shape("file")     # this body is not JSON: the handler is given its bytes


class Call(NamedTuple):
    """One request, checked: who, the path's parameters, the query's and the body's declared members, the moment."""

    caller: Caller
    params: Dict[str, str]
    query: Dict[str, Any]
    body: Any
    now: int


class File(NamedTuple):
    """An answer that is not JSON."""

    type: str
    body: bytes
    gzipped: bytes = b""
    keep: str = "no-store"  # Cache-Control


class Text:
    """A JSON answer whose text was made before, and a tag that changes when it says something new."""

    def __init__(self, text: str, tag: str):
        self.body, self.tag = text.encode("utf-8"), tag
        self._gzipped = b""

    @property
    def gzipped(self) -> bytes:
        """Compressed once for all who ask."""
        if not self._gzipped:
            self._gzipped = gzip.compress(self.body, GZIP_LEVEL, mtime=0)
        return self._gzipped


class Route(NamedTuple):
    """A line of the contract.

    path: `{name}` stands for one segment. auth: open, agent, viewer or admin. body: the shape of the JSON body, ANY
    or FILE for one that the handler checks, None where none is read. query: a row for each parameter. on: "loop" for
    what never waits. limited: counts for the rate limit. summary: one sentence for the API document.
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
