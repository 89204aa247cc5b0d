"""What leaves as a whole: the export for people and their spreadsheets, the exposition for Prometheus."""

from __future__ import annotations

from typing import Any

from .. import clock, export, exposition
from .call import Call, File, Stream

Hub = Any  # hub.Hub, which is passed and never imported


def export_all(hub: Hub, call: Call) -> Stream:
    """A file of all servers, or of all their samples."""
    query = call.query
    content_type, name, texts = export.EXPORTS[query["format"], query["scope"]]
    return Stream(content_type, name % clock.iso(call.now)[:10], export.pieces(texts(hub, query["hours"], call.now)))


def expose(hub: Hub, call: Call) -> File:
    """The fleet as Prometheus reads it."""
    return File(exposition.TYPE, hub.exposition.text(hub, call.now))
