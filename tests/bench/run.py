"""The benchmark: `python tests/bench/run.py hub`, `agent`, `alerts` or `page`; `--help` lists what can be varied.

Bounded in time and count, on loopback only, with processes and folders of its own. `hub` needs the packages of
install/requirements-hub.txt, `agent` psutil and Linux; both strace for what they count. `page` needs Chromium and
install/requirements-test.txt. `hub --database postgresql:` measures hubs on a PostgreSQL of its own, which needs its
programs and install/requirements-test.txt; with the address of an empty database, on that one.
Absolute figures belong to the machine; ratios travel.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import agent  # noqa: E402  (these need the root of the repository on the path)
import alerts  # noqa: E402
import hub  # noqa: E402
import slow_disk  # noqa: E402


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py", description="Measure hub, agent or page on this machine.")
    parser.add_argument("part", choices=["hub", "agent", "alerts", "page"])
    parser.add_argument("--seconds", type=float, default=4, help="length of one load (default 4)")
    parser.add_argument("--connections", type=counts, default=(1, 32, 128), help="default 1,32,128")
    parser.add_argument("--runs", type=int, default=3, help="runs behind each median (default 3)")
    parser.add_argument("--servers", type=counts,
                        help="fleets of the overview (default 100,1000; of the page 8,1000,5000)")
    parser.add_argument("--fsync-ms", type=float, default=0, help="let each fsync take so much longer (default 0)")
    parser.add_argument("--database", help="measure hubs on this empty database beside one on SQLite; postgresql: for "
                        "a PostgreSQL of the benchmark's own")
    parser.add_argument("--processes", type=counts, default=(75, 300, 1000),
                        help="processes around the agent (default 75,300,1000)")
    parser.add_argument("--dir", help="folder on the disk to measure (default: the system's for temporary files)")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="smon-bench-", dir=options.dir))
    try:
        if options.part == "agent":
            agent.measure(agent.Plan(options.processes, options.runs, folder))
        elif options.part == "alerts":
            alerts.measure(options.runs, folder)
        elif options.part == "page":
            import page  # here, because the others need no browser
            page.measure(page.Plan(options.servers or (8, 1000, 5000), options.runs, folder))
        else:
            plan = hub.Plan(min(options.seconds, 60), options.connections, options.runs, options.servers or (100, 1000),
                            folder, slow_disk.variables(folder, options.fsync_ms))
            if options.database:
                import hubs  # here, because it may need the packages of the tests
                hubs.measure(plan, options.database)
            else:
                hub.measure(plan)
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)
    return 0


def counts(text: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
