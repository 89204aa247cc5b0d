"""Put files in their places and take them away again, and never lose what a person wrote into one of them.

A record beside the programs holds the SHA-256 of each file as it was placed. One that differs from it was edited: the
new form then lies beside it as FILE.new, and at the end of all it stays as FILE.saved.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

RECORD = "installed.json"


class Placing:
    """The files of one installation. root: the tree that they go into, `/` but for an image or a test."""

    def __init__(self, programs: Path, root: Path = Path("/")):
        self.programs, self._root = programs, root
        self._sums: Dict[str, str] = self._read()
        self.changed = False      # whether anything on the disk is different now
        self.said: List[str] = []

    def at(self, path: Path) -> Path:
        """Where a path of the installed system lies now."""
        return self._root / path.relative_to(path.anchor)

    def folder(self, path: Path, mode: int = 0o755) -> None:
        """Make a folder, with those above it, unless it is there."""
        place = self.at(path)
        if not place.is_dir():
            place.mkdir(parents=True)
            place.chmod(mode)

    def put(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        """Place a file that belongs to this program; one that a person edited stays."""
        place, new = self.at(path), _sum(content)
        there = _sum_of(place)
        if there not in (None, new, self._sums.get(str(path))):
            _write(place.with_name(place.name + ".new"), content, mode)
            self.said.append("%s was edited and stays; the new form is %s.new." % (path, path))
            return
        if there != new:
            _write(place, content, mode)
            self.changed = True
        self._sums[str(path)] = new

    def put_once(self, path: Path, content: bytes, mode: int) -> bool:
        """Place a file that is a person's from then on; False when there is one."""
        place = self.at(path)
        if place.exists():
            return False
        _write(place, content, mode)
        self.changed = True
        return True

    def save(self) -> None:
        """Remember what was placed."""
        content = json.dumps(self._sums, indent=2, sort_keys=True).encode() + b"\n"
        _write(self.at(self.programs / RECORD), content, 0o644)

    def remove(self) -> None:
        """Take away what was placed, and the folder of the programs with all that came to lie in it."""
        for name, placed in sorted(self._sums.items()):
            place = self.at(Path(name))
            if _sum_of(place) not in (None, placed):
                saved = self._saved(place)
                self.said.append("%s was edited; it is kept as %s." % (name, saved))
                os.replace(str(place), str(saved))
            elif place.exists():
                place.unlink()
        if self.at(self.programs).is_dir():
            shutil.rmtree(str(self.at(self.programs)))

    def purge(self, paths: Iterable[Path]) -> None:
        """Remove files and folders that are a person's or the program's own."""
        for place in map(self.at, paths):
            if place.is_dir():
                shutil.rmtree(str(place))
            elif place.exists():
                place.unlink()

    def _saved(self, place: Path) -> Path:
        """Outside the folder that goes."""
        outside = place if self.at(self.programs) not in place.parents else self.at(self.programs)
        return outside.with_name(place.name + ".saved")

    def _read(self) -> Dict[str, Any]:
        try:
            return json.loads(self.at(self.programs / RECORD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}


def _write(place: Path, content: bytes, mode: int) -> None:
    """Whole or not at all."""
    part = place.with_name(place.name + ".part")
    if part.exists() or part.is_symlink():  # of an installation that was killed, or of somebody who waits for this one
        part.unlink()
    with open(str(part), "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(mode)
    os.replace(str(part), str(place))


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sum_of(place: Path) -> Optional[str]:
    """None when there is no such file."""
    try:
        return _sum(place.read_bytes())
    except FileNotFoundError:
        return None
