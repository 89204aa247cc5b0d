"""Spool exports as `smon_agent.py --export-spool` writes them, made to order, and the command that takes them in."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from tests.support import ROOT
from tests.support.processes import METRICS, clean_environment

SIGNED = ("format", "server_id", "exported_at", "sha256")


def line(collected_at: Any, **members: Any) -> bytes:
    """One payload of an export; collected_at is ISO 8601, or None for a payload that does not say it."""
    body = dict({"metrics": METRICS}, **members)
    return json.dumps(dict(body, collected_at=collected_at) if collected_at is not None else body).encode()


def pack(lines: Sequence[bytes]) -> bytes:
    return gzip.compress(b"".join(line + b"\n" for line in lines))


def export(server_id: str, export_key: str, packed: bytes, /, **head: Any) -> bytes:
    """A file whose first line is right for what follows, but for the members of head that are given."""
    first: Dict[str, Any] = {"format": "smon-spool-1", "server_id": server_id, "payloads": 1,
                             "exported_at": "2026-11-22T10:00:00.000Z", "sha256": hashlib.sha256(packed).hexdigest()}
    signed = "\n".join(first[name] for name in SIGNED)
    first["hmac"] = hmac.new(export_key.encode(), signed.encode(), hashlib.sha256).hexdigest()
    return json.dumps(dict(first, **head)).encode() + b"\n" + packed


def run_import(data_dir: Path, *files: Path) -> Tuple[int, List[str]]:
    """(exit status, lines said beside the log) of `smon_server.py import FILES --data-dir DATA_DIR`."""
    run = subprocess.run([sys.executable, str(ROOT / "smon_server.py"), "import", *map(str, files),
                          "--data-dir", str(data_dir)], env=clean_environment(), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=60)
    return run.returncode, [line for line in run.stdout.splitlines() if " INFO " not in line]
