"""The modules of install/ import each other by their own names, as they do when one of them is started."""

from __future__ import annotations

import sys

from tests.support import ROOT

sys.path.insert(0, str(ROOT / "install"))
