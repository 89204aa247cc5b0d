"""The page's modules under `node --test`. Node is the one that Playwright brings, else the system's."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

from tests.support import ROOT, needs


def node() -> str:
    found = importlib.util.find_spec("playwright")
    brought = shutil.which("node", path=str(Path(found.origin).parent / "driver")) if found else None
    return brought or needs.program("node", why="it runs the tests of the page's modules")


# Before 22.7 Node takes a .js file for CommonJS unless it is asked to look; the page needs no package.json to say it.
RUN = ["--experimental-detect-module", "--test"]


def test_the_modules_of_the_page_keep_their_promises():
    files = sorted(str(path) for path in (ROOT / "tests" / "js").rglob("*.mjs") if "test" in path.name)
    assert files, "tests/js holds no test files"
    run = subprocess.run([node()] + RUN + files, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout.decode("utf-8", "replace")
