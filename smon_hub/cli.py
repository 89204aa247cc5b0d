"""The command line: start the hub, end it cleanly, say in one sentence why something does not work.

A command reaches the hub that runs on the data folder over its own API; where none runs, it opens the folder itself.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import sys
from typing import IO, Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence, Union

from . import bodies, config, intake, shapes
from .auth import Caller
from .errors import HubError
from .folder import Folder, Running
from .http import LIMITS
from .hub import CanNotStart, Hub
from .remote import NoAnswer, post
from .web import agent_api
from .web.call import Call

if sys.platform != "win32":
    import resource

log = logging.getLogger("smon")

CAN_NOT_START = 2        # the exit status of a hub that did not start
OTHER_FILES = 200        # beside sockets: the database for each thread, listeners, logs
COLLECT_AFTER = 20_000   # new containers, some 100 payloads under way at once


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command, serving when none is named. 0, or 2 with one sentence on stderr when that is not possible."""
    os.umask(0o077)  # what the hub keeps is its own
    try:
        given = config.parse(sys.argv[1:] if arguments is None else arguments, os.environ, COMMANDS)
        _log_to_stderr(given.options.log_level)
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
        for host, port in front.addresses:
            log.info("Listening on %s, data in %s.", hub.url(host, port), hub.config.data_dir)
        front.run()
        log.info("Stopped.")
    finally:
        hub.close()
    return 0


def _import(given: config.Given) -> int:
    """Take in spool exports: 1 when a sample of them was refused."""
    if not given.words:
        raise config.ConfigError("Name the files: smon_server.py import FILE...")
    refused = 0
    with _reached(given.options) as hub:
        for name in given.words:
            try:
                report = hub.take(_read(name))
            except HubError as error:
                raise HubError(error.code, "%s: %s" % (name, error)) from None
            print("%s: %s" % (name, intake.sentence(report)))
            refused += report["refused"]
    return 1 if refused else 0


def _server(given: config.Given) -> int:
    """Make identity and keys for a machine that can not reach the hub, as a config for its agent."""
    if len(given.words) != 2 or given.words[0] != "add" or not given.out:
        raise config.ConfigError("The command is: smon_server.py server add NAME --out config.json")
    with _reached(given.options) as hub, _new_file(given.out) as file:
        made = hub.register({"hostname": given.words[1]})
        made.pop("message")
        json.dump(made, file, indent=2)
    print("%s is the config of %s: it holds its key, so carry it with care." % (given.out, given.words[1]))
    return 0


@contextlib.contextmanager
def _new_file(name: str) -> Iterator[IO[str]]:
    """A file that was not there, for its owner alone, and that is there afterwards only if all went well."""
    try:
        new = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise config.ConfigError("%s can not be written: %s." % (name, error.strerror)) from None
    try:
        with open(new, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        os.unlink(name)
        raise


def _read(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            content = file.read(intake.FILE_BYTES + 1)
    except OSError as error:
        raise config.ConfigError("%s can not be read: %s." % (name, error.strerror)) from None
    if len(content) > intake.FILE_BYTES:
        raise config.ConfigError("%s has more than %d bytes, which is all that is taken in at once." % (
            name, intake.FILE_BYTES))
    return content


class _Running:
    """The hub that runs on the data folder, asked over its API."""

    def __init__(self, running: Running):
        self._running = running

    def take(self, content: bytes) -> Dict[str, Any]:
        return post(self._running, "/api/dashboard/import", content, "application/octet-stream")

    def register(self, body: Dict[str, Any]) -> Dict[str, Any]:
        return post(self._running, "/api/register", json.dumps(body).encode("utf-8"), "application/json")


class _Opened:
    """A hub that is opened for one command; it does not listen."""

    def __init__(self, hub: Hub):
        self._hub = hub

    def take(self, content: bytes) -> Dict[str, Any]:
        return intake.take(self._hub, content, self._hub.now())

    def register(self, body: Dict[str, Any]) -> Dict[str, Any]:
        admin = Caller("admin", "")
        return agent_api.register(self._hub, Call(admin, {}, {}, shapes.clean(bodies.REGISTER, body), self._hub.now()))


@contextlib.contextmanager
def _reached(options: config.Config) -> Iterator[Union[_Running, _Opened]]:
    """The hub of the data folder, however it can be had. Raises ConfigError for a folder that is none."""
    if not os.path.isfile(options.database):
        raise config.ConfigError("There is no hub's database %s; name its folder with --data-dir." % options.database)
    running = Folder(options.data_dir, options.database).running()
    if running is not None:
        yield _Running(running)
        return
    hub = Hub(options)
    hub.open()
    try:
        yield _Opened(hub)
    finally:
        hub.close()


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


class Command(NamedTuple):
    run: Callable[[config.Given], int]
    usage: str
    sentence: str


COMMANDS = {
    "serve": Command(_serve, "serve", "answer agents and pages; what is done when no command is named"),
    "import": Command(_import, "import FILE...", "take in spool exports of agents that can not reach the hub"),
    "server": Command(_server, "server add NAME --out FILE", "make the config of an agent that can not register"),
}
