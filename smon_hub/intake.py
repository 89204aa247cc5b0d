"""Samples that came as a file from a machine that can not reach the hub: an agent's spool export, checked and stored.

The file's first line is JSON: format, server_id, exported_at, payloads, sha256 of the rest, and hmac, the HMAC-SHA256
of `format LF server_id LF exported_at LF sha256` under the server's export key. The rest is gzip, one payload a line.
Taking a file in twice stores nothing twice.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import itertools
import zlib
from typing import Any, Dict, Iterator, List

from . import bodies, ingest, shapes
from .errors import HubError
from .fleet import Server

FORMAT = "smon-spool-1"
FILE_BYTES = 64 << 20        # an agent's full spool (spool_max_mb 50), with room
PAYLOADS_MAX = 100_000       # the most that an agent keeps (offline_buffer_max)
REASONS_KEPT = 20
HEAD_BYTES = 4_096
LINE_BYTES = 1 << 20         # of one payload, as over HTTP

HEAD = shapes.Shape(
    "export",
    shapes.Field("format", str, "The format's name.", required=True),
    shapes.Field("server_id", str, "Whose samples these are.", required=True),
    shapes.Field("exported_at", str, "When the file was written.", required=True),
    shapes.Field("sha256", str, "Sum of what follows the first line.", required=True, min=64, max=64),
    shapes.Field("hmac", str, "Proof that the server's agent wrote it.", required=True, min=64, max=64),
)

Hub = Any  # hub.Hub, which is passed and never imported


def take(hub: Hub, content: bytes, now: int) -> Dict[str, Any]:
    """Store the samples of an export, a wrong one never holding up the others.

    Answers {"server_id", "hostname", "payloads", "stored", "known" (already here), "too_old" (for data_retention_days),
    "refused", "reasons" (of the first refused)}. Raises HubError when the file is not an export, is damaged, or was not
    written by the server that it names.
    """
    head = content[:HEAD_BYTES].partition(b"\n")[0]
    packed = content[len(head) + 1:]
    server = _proven(hub, shapes.clean(HEAD, _json(head)), packed)
    report: Dict[str, Any] = {"server_id": server.row["uuid"], "hostname": server.row["hostname"], "payloads": 0,
                              "stored": 0, "known": 0, "too_old": 0, "refused": 0, "reasons": []}
    payloads: List[Dict[str, Any]] = []
    for line in _lines(packed):
        report["payloads"] += 1
        try:
            payloads.append(_payload(line))
        except HubError as error:
            report["refused"] += 1
            if report["refused"] <= REASONS_KEPT:
                report["reasons"].append("Payload %d: %s" % (report["payloads"], error.sentence))
        if len(payloads) == bodies.BATCH_MAX:
            _store(hub, server, payloads, report, now)
            payloads = []
    _store(hub, server, payloads, report, now)
    return report


def _payload(line: bytes) -> Dict[str, Any]:
    if len(line) > LINE_BYTES + 1:
        raise HubError("too_large", "It has more than %d bytes." % LINE_BYTES)
    payload = shapes.clean(bodies.SAMPLE, shapes.parse(line))
    if payload["collected_at"] is None:
        raise HubError("bad_request", "collected_at must say when it was taken.", field="collected_at")
    return payload


def _json(head: bytes) -> Any:
    try:
        return shapes.parse(head)
    except HubError:
        raise HubError("bad_request", "This is no spool export: its first line is not JSON.") from None


def _proven(hub: Hub, head: Dict[str, Any], packed: bytes) -> Server:
    """The server whose agent wrote the file, unchanged."""
    if head["format"] != FORMAT:
        raise HubError("bad_request", "format must be %s." % FORMAT, field="format")
    server = hub.fleet.by_uuid.get(head["server_id"])
    key = server.row["export_key"] if server else ""
    signed = "\n".join(head[name] for name in ("format", "server_id", "exported_at", "sha256"))
    proof = hmac.new(key.encode("ascii"), signed.encode("utf-8"), hashlib.sha256).hexdigest()
    if server is None or not hmac.compare_digest(proof.encode(), head["hmac"].encode("utf-8")):
        raise HubError("forbidden", "The server of this export is not known here, or its agent did not write the file.")
    if hashlib.sha256(packed).hexdigest() != head["sha256"]:
        raise HubError("bad_request", "The export is damaged: its SHA-256 is not the one in its first line.")
    return server


def _lines(packed: bytes) -> Iterator[bytes]:
    """The payloads, unpacked one by one, so that a file that unpacks without end costs no memory.

    One that is too long comes cut; what is left of it is passed over.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
        try:
            for number in itertools.count():
                line = rest = stream.readline(LINE_BYTES + 2)
                while rest and not rest.endswith(b"\n"):
                    rest = stream.readline(LINE_BYTES)
                if not line:
                    return
                if number == PAYLOADS_MAX:
                    raise HubError("too_large", "The export holds more than %d payloads." % PAYLOADS_MAX)
                yield line
        except (OSError, EOFError, zlib.error):
            raise HubError("bad_request", "What follows the first line of the export is not gzip.") from None


def _store(hub: Hub, server: Server, payloads: List[Dict[str, Any]], report: Dict[str, Any], now: int) -> None:
    """The server was alive when it took the newest of them, not now."""
    if payloads:
        seen_at = min(now, max(payload["collected_at"] for payload in payloads))
        results = ingest.samples(hub, server, payloads, now, lambda results, _: results, seen_at=seen_at).result()
        stored, too_old = sum(result["stored"] for result in results), sum("reason" in result for result in results)
        report["stored"] += stored
        report["too_old"] += too_old
        report["known"] += len(results) - stored - too_old


def sentence(report: Dict[str, Any]) -> str:
    """A report in words."""
    counts = "%(hostname)s: %(payloads)d samples, %(stored)d stored, %(known)d known already" % report
    if report["too_old"]:
        counts += ", %(too_old)d too old to keep" % report
    return counts + (", %d refused. %s" % (report["refused"], report["reasons"][0]) if report["refused"] else ".")
