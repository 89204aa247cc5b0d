"""The command line: start the hub, end it cleanly, say in one sentence why it does not start."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from typing import Callable, Optional, Sequence

from . import config
from .http import LIMITS
from .hub import CanNotStart, Hub

if sys.platform != "win32":
    import resource

log = logging.getLogger("smon")

CAN_NOT_START = 2        # the exit status of a hub that did not start
OTHER_FILES = 200        # beside sockets: the database for each thread, listeners, logs
COLLECT_AFTER = 20_000   # new containers, some 100 payloads under way at once


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Serve until SIGTERM or SIGINT: 0. 2 with one sentence on stderr when that is not possible."""
    os.umask(0o077)  # what the hub keeps is its own
    try:
        options = config.load(sys.argv[1:] if arguments is None else arguments, os.environ)
        _log_to_stderr(options.log_level)
        return _serve(Hub(options))
    except (config.ConfigError, CanNotStart) as error:
        print("smon_server: %s" % error, file=sys.stderr)
        return CAN_NOT_START


def _serve(hub: Hub) -> int:
    hub.open()
    _calm_collector()
    _allow_sockets()
    try:
        front = hub.serve()
        _obey_signals(front.stop, hub.reload)
        for host, port in front.addresses:
            log.info("Listening on %s://%s:%d, data in %s.", "https" if hub.config.tls_cert else "http",
                     "[%s]" % host if ":" in host else host, port, hub.config.data_dir)
        front.run()
        log.info("Stopped.")
    finally:
        hub.close()
    return 0


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


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
