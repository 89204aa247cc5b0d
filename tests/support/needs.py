"""What a test needs of the machine it runs on, and whether its absence is a skip or a failure.

What a package could bring (a browser, a compiler) is missing by neglect where CI=true, and the test fails there; on a
developer's machine it is a skip with its reason. What the system or its rights forbid is a skip everywhere.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from typing import Tuple

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def program(*names: str, why: str) -> str:
    """The path of the first of these programs that is installed."""
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    return package("%s is not installed: %s." % (names[0], why))


def module(name: str, why: str, python: Tuple[int, int] = (3, 8)):
    """This module of a package that only tests need, and that may need a newer Python than we do."""
    if sys.version_info < python:
        return system("%s needs Python %d.%d: %s." % (name, *python, why))
    try:
        return importlib.import_module(name)
    except ImportError:
        return package("%s is not installed: %s." % (name, why))


def package(reason: str):
    """Something that can be installed is missing: fail in CI, skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    return system(reason)


def system(reason: str):
    """Something that nobody could install here is missing: a skip, always."""
    pytest.skip(reason)
