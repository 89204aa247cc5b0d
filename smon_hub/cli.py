"""The command line: start the hub, end it cleanly, say in one sentence why something does not work.

What the other commands do is in commands.py.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from typing import Callable, Optional, Sequence

from . import commands, config, demo
from .commands import Command
from .errors import HubError
from .http import LIMITS
from .hub import CanNotStart, Hub
from .remote import NoAnswer

if sys.platform != "win32":
    import resource

log = logging.getLogger("smon")

CAN_NOT_START = 2        # the exit status of a hub that did not start
OTHER_FILES = 200        # beside sockets: the database for each thread, listeners, logs
COLLECT_AFTER = 20_000   # new containers, some 100 payloads under way at once


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command, serving when none is named. 0, or 2 with one sentence on stderr when that is not possible."""
    os.umask(0o077)  # what the hub keeps is its own
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["demo"]:  # it speaks to any hub and shares no option with this one
        return demo.main(words[1:])
    try:
        given = config.parse(words, os.environ, COMMANDS)
        log_to_stderr(given.options.log_level)
        return COMMANDS[given.command].run(given)
    except (config.ConfigError, CanNotStart, NoAnswer, HubError) as error:
        print("smon_server: %s" % error, file=sys.stderr)
        return CAN_NOT_START


def _serve(given: config.Given) -> int:
    """Answer until SIGTERM or SIGINT."""
    hub = Hub(given.options)
    hub.open()
    _calm_collector()
    _allow_sockets()
    try:
        front = hub.serve()
        _obey_signals(front.stop, hub.reload)
        place = hub.engine.path if hub.engine.shared else hub.config.data_dir
        for host, port in front.addresses:
            log.info("Listening on %s, data in %s.", hub.url(host, port), place)
        front.run()
        log.info("Stopped.")
    finally:
        hub.close()
    return 0


def _demo(given: config.Given) -> int:
    raise config.ConfigError("demo has to come first, with its own options: smon_server.py demo --help")


def _allow_sockets() -> None:
    """Raise the limit of open files to what the front server may hold, as far as the system lets us."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = LIMITS.connections + OTHER_FILES
        if resource.RLIM_INFINITY not in (soft, hard) and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def _calm_collector() -> None:
    """Payloads are made of hundreds of containers without cycles: looking for cycles among them is work for nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _obey_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Windows has no SIGHUP, and SIGBREAK where others have SIGTERM."""
    for name, obey in (("SIGTERM", stop), ("SIGINT", stop), ("SIGBREAK", stop), ("SIGHUP", reload)):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_, obey=obey: obey())


def log_to_stderr(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)


COMMANDS = {
    "serve": Command(_serve, "serve", "answer agents and pages; what is done when no command is named"),
    **commands.COMMANDS,
    "demo": Command(_demo, "demo --url URL", "fill a hub with simulated servers; demo --help says more"),
}
