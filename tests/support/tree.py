"""The files of this repository, as a fresh clone would have them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, List

from tests.support import ROOT


def files() -> List[Path]:
    """Every file that git keeps or would keep, below ROOT; in a tree without git, all that is not hidden or a cache."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=str(ROOT),
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        paths = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = list(_walk(ROOT))
    return sorted(path for path in paths if path.is_file())


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file():
            yield path
        elif path.name == ".ci" or not path.name.startswith((".", "__pycache__", "smon_data")):
            yield from _walk(path)


def copy(target: Path) -> Path:
    """A clean copy of the repository in a new folder."""
    for path in files():
        place = target / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(path), str(place))
    return target
