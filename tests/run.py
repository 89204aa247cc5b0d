"""The one test command: `python3 tests/run.py [pytest arguments]` on a machine with nothing but Python 3.8 or newer.

It makes an environment with what the tests need in .venv-tests, runs pytest in it and ends with pytest's status.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "install"))

import environment  # noqa: E402  (it lives beside the requirements)

NAME = "python%d.%d" % sys.version_info[:2]


def main(arguments: List[str]) -> int:
    if sys.version_info < (3, 8):
        print("The tests need Python 3.8 or newer; this is %d.%d." % sys.version_info[:2], file=sys.stderr)
        return 2
    try:
        made = environment.ready(ROOT / ".venv-tests" / NAME, ROOT / "install" / "requirements-test.txt")
    except environment.SetupError as error:
        print(error, file=sys.stderr)
        return 2
    return subprocess.call([made.python, "-m", "pytest"] + arguments, cwd=str(ROOT),
                           env=dict(os.environ, **made.variables))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
