"""The hub as one file, smon_server.pyz: the same bytes from the same tree, on every machine.

It holds the hub's rooms, the page, the agent that it hands out, and bottle. bcrypt and psutil are compiled, which
Python can not load from a zip: they lie beside the file, or are installed.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Dict, Iterable, Tuple

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("smon_hub", "smon_static", "smon_templates")
FILES = ("smon_server.py", "smon_agent.py", "LICENSE")
LEAVES_OUT = ("__pycache__", ".pyc")
MOMENT = (1980, 1, 1, 0, 0, 0)  # the zip format's first: the time of packing would change the bytes
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = b'''"""The hub from its single file; packages that lie beside it come first, as beside a script."""

import os
import sys

sys.path.insert(1, os.path.dirname(os.path.abspath(sys.argv[0])))

import smon_server  # noqa: E402

sys.exit(smon_server.main())
'''


def build(bottle: bytes, root: Path = ROOT) -> bytes:
    """The file's content. bottle: the source of bottle.py."""
    members = dict(sources(root), **{"bottle.py": bottle, "__main__.py": MAIN})
    return SHEBANG + packed(members)


def sources(root: Path = ROOT) -> Dict[str, bytes]:
    """Every file of the hub by its name in the zip."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in _paths(root)}


def _paths(root: Path) -> Iterable[Path]:
    for name in FILES:
        yield root / name
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not any(part.endswith(LEAVES_OUT) for part in path.parts):
                yield path


def packed(members: Dict[str, bytes], modes: Iterable[Tuple[str, int]] = ()) -> bytes:
    """A zip of these members in order of their names, without anything of the machine that made it.

    Nothing is compressed: each version of zlib does that in its own way.
    """
    special, made = dict(modes), io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.create_system = 3  # Unix, whatever made it
            entry.external_attr = (0o100000 | special.get(name, 0o644)) << 16
            archive.writestr(entry, members[name])
    return made.getvalue()
