"""The command line: start the hub, end it cleanly, say in one sentence why something does not work.

A command reaches the hub that runs on the data folder over its own API; where none runs, it opens the folder itself.
"""

from __future__ import annotations

import contextlib
import gc
import http.client
import itertools
import json
import logging
import os
import signal
import ssl
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence
from urllib.parse import urlsplit

from . import config, intake
from .errors import HubError
from .folder import Folder, Running
from .http import LIMITS
from .hub import CanNotStart, Hub

if sys.platform != "win32":
    import resource

log = logging.getLogger("smon")

CAN_NOT_START = 2        # the exit status of a hub that did not start
ASK_SECONDS = 120        # a large import takes a while
OTHER_FILES = 200        # beside sockets: the database for each thread, listeners, logs
COLLECT_AFTER = 20_000   # new containers, some 100 payloads under way at once


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command, serving when none is named. 0, or 2 with one sentence on stderr when that is not possible."""
    os.umask(0o077)  # what the hub keeps is its own
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS[given.pop(0)] if given and given[0] in COMMANDS else _serve
    operands = list(itertools.takewhile(lambda argument: not argument.startswith("-"), given))
    try:
        options = config.load(given[len(operands):], os.environ)
        _log_to_stderr(options.log_level)
        return command(options, operands)
    except (config.ConfigError, CanNotStart, HubError) as error:
        print("smon_server: %s" % error, file=sys.stderr)
        return CAN_NOT_START


def _serve(options: config.Config, operands: List[str]) -> int:
    """Answer until SIGTERM or SIGINT."""
    if operands:
        raise config.ConfigError("%s is no command; there are: %s." % (operands[0], ", ".join(COMMANDS)))
    hub = Hub(options)
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


def _import(options: config.Config, operands: List[str]) -> int:
    """`import FILE...`: take in the spool exports of agents that can not reach the hub."""
    if not operands:
        raise config.ConfigError("Name the files to import: smon_server.py import FILE...")
    with _intake(options) as take:
        for name in operands:
            print("%s: %s" % (name, intake.sentence(take(_read(name)))))
    return 0


def _read(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read(intake.FILE_BYTES + 1)
    except OSError as error:
        raise config.ConfigError("%s can not be read: %s." % (name, error.strerror)) from None


@contextlib.contextmanager
def _intake(options: config.Config) -> Iterator[Callable[[bytes], Dict[str, Any]]]:
    """take(content) -> report: by the hub that runs on the data folder, or by one opened for this command."""
    running = Folder(options.data_dir).running()
    if running is not None:
        yield lambda content: _post(running, "/api/dashboard/import", content)
        return
    hub = Hub(options)
    hub.open()
    try:
        yield lambda content: intake.take(hub, content, hub.now())
    finally:
        hub.close()


def _post(running: Running, path: str, body: bytes) -> Dict[str, Any]:
    """Ask the hub that runs. Raises HubError with its own sentence when it refuses."""
    connection = _connection(running.url)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/octet-stream",
                                                "Authorization": "Bearer " + running.token})
        answer = connection.getresponse()
        said = json.loads(answer.read().decode("utf-8"))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CanNotStart("The hub at %s does not answer: %s." % (running.url, error)) from None
    finally:
        connection.close()
    if answer.status >= 400:
        raise HubError(said["code"], said["error"])
    return said


def _connection(url: str) -> http.client.HTTPConnection:
    place = urlsplit(url)
    if place.scheme == "http":
        return http.client.HTTPConnection(place.hostname or "", place.port, timeout=ASK_SECONDS)
    # Its certificate names the address that others use; on this machine the folder's owner is proof enough.
    return http.client.HTTPSConnection(place.hostname or "", place.port, timeout=ASK_SECONDS,
                                       context=ssl._create_unverified_context())


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


COMMANDS = {"serve": _serve, "import": _import}
