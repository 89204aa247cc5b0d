"""A disk whose fsync takes longer, for a process that is started with these variables. Needs gcc."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Dict

SHIM = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>
int fsync(int fd) { usleep(DELAY); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { usleep(DELAY); return syscall(SYS_fdatasync, fd); }
"""


def variables(folder: Path, more_ms: float) -> Dict[str, str]:
    """What to add to the environment so that each fsync takes so much longer; nothing for 0."""
    if not more_ms:
        return {}
    if not shutil.which("gcc"):
        raise SystemExit("--fsync-ms needs gcc, which is not installed.")
    source, library = folder / "slow_disk.c", folder / "slow_disk.so"
    source.write_text(SHIM.replace("DELAY", str(int(more_ms * 1000))), encoding="ascii")
    subprocess.check_call(["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)])
    return {"LD_PRELOAD": str(library)}
