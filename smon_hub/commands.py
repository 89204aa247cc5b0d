"""What the command line does besides serving: users, tokens, settings, servers, imports.

A command asks the hub that runs on the data folder over its own API; where none runs, it opens the folder and asks the
same handlers itself.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import sys
from typing import IO, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Union

from . import config, intake, keeping, moving, shapes
from .auth import Caller
from .errors import HubError
from .folder import Folder, Running
from .hub import CanNotStart, Hub
from .remote import ask
from .web.call import ANY, FILE, Call, Text
from .web.routes import ROUTES

JSON, BINARY = "application/json", "application/octet-stream"
USERS, TOKENS, SETTINGS = ("/api/dashboard/" + name for name in ("users", "tokens", "settings"))


class Command(NamedTuple):
    run: Callable[[config.Given], int]
    usage: str
    sentence: str


# --- users ------------------------------------------------------------------------------------------------------------

def _user(given: config.Given) -> int:
    """Add, list and remove users, and set their passwords."""
    action, name = _words(given, {"add": 1, "passwd": 1, "remove": 1, "list": 0},
                          "user add NAME, user passwd NAME, user remove NAME, user list")
    if action == "add":
        body = {"name": name, "role": _role(given), "password": _password(given)}
        with _reached(given.options, make=True) as hub:
            hub.ask("POST", USERS, body)
        print("%s can log in now." % name)
    elif action == "passwd":
        with _reached(given.options) as hub:
            hub.ask("PATCH", "%s/%s" % (USERS, _segment(name)), {"password": _password(given)})
        print("%s has a new password and is logged out everywhere." % name)
    elif action == "remove":
        with _reached(given.options) as hub:
            hub.ask("DELETE", "%s/%s" % (USERS, _segment(name)))
        print("%s is removed." % name)
    else:
        with _reached(given.options) as hub:
            _table(hub.ask("GET", USERS)["users"], ("name", "role", "created_at", "last_login_at", "sessions"))
    return 0


def _password(given: config.Given) -> str:
    """Never an argument: those are shown to everybody on the machine."""
    if given.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise config.ConfigError("The two passwords differ.")
    return first


# --- tokens -----------------------------------------------------------------------------------------------------------

def _token(given: config.Given) -> int:
    """Add, list and remove API tokens."""
    action, name = _words(given, {"add": 1, "remove": 1, "list": 0}, "token add NAME, token remove ID, token list")
    with _reached(given.options) as hub:
        if action == "add":
            body: Dict[str, Any] = {"name": name, "role": _role(given)}
            if given.expires_days:
                body["expires_days"] = _number(given.expires_days, "--expires-days")
            print(hub.ask("POST", TOKENS, body)["token"])
        elif action == "remove":
            hub.ask("DELETE", "%s/%d" % (TOKENS, _number(name, "ID")))
            print("Token %s is removed." % name)
        else:
            _table(hub.ask("GET", TOKENS)["tokens"],
                   ("id", "name", "role", "created_at", "created_by", "expires_at", "last_used_at"))
    return 0


# --- settings ---------------------------------------------------------------------------------------------------------

def _setting(given: config.Given) -> int:
    """Show and change settings."""
    action, key = _words(given, {"get": 1, "set": 2, "list": 0}, "setting list, setting get KEY, setting set KEY VALUE")
    with _reached(given.options) as hub:
        if action == "set":
            values = hub.ask("PATCH", SETTINGS, {key: given.words[2]})["settings"]
        else:
            values = hub.ask("GET", SETTINGS)["settings"]
    if key and key not in values:
        raise config.ConfigError("%s is no setting; there are: %s." % (key, ", ".join(values)))
    for shown in [key] if key else values:
        print("%s = %s" % (shown, json.dumps(values[shown], ensure_ascii=False)))
    return 0


# --- servers that can not reach the hub -------------------------------------------------------------------------------

def _import(given: config.Given) -> int:
    """Take in spool exports: 1 when a sample of them was refused."""
    if not given.words:
        raise config.ConfigError("Name the files: smon_server.py import FILE...")
    refused = 0
    with _reached(given.options) as hub:
        for name in given.words:
            try:
                report = hub.ask("POST", "/api/dashboard/import", _read(name))
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
        made = hub.ask("POST", "/api/register", {"hostname": given.words[1]})
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


# --- words and tables -------------------------------------------------------------------------------------------------

def _words(given: config.Given, actions: Dict[str, int], usage: str) -> List[str]:
    """[action, its first word or ""]. Raises ConfigError with the usage."""
    words = given.words
    if not words or actions.get(words[0]) != len(words) - 1:
        raise config.ConfigError("The commands are: smon_server.py " + usage)
    return [words[0], words[1] if len(words) > 1 else ""]


def _role(given: config.Given) -> str:
    if not given.role:
        raise config.ConfigError("Say what the holder may: --role viewer or --role admin.")
    return given.role


def _number(text: str, what: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise config.ConfigError("%s must be a number, not %r." % (what, text))
    return int(text)


def _segment(name: str) -> str:
    """A name as a part of a path; one that could not be one is no user's."""
    if not re.fullmatch(r"[A-Za-z0-9._@-]+", name):
        raise HubError("not_found", "No such user.")
    return name


def _table(rows: List[Dict[str, Any]], columns: Any) -> None:
    """Rows under their headings, each column as wide as it has to be."""
    texts = [list(columns)] + [[str(row[key]) if row[key] is not None else "-" for key in columns] for row in rows]
    widths = [max(len(line[place]) for line in texts) for place in range(len(columns))]
    for line in texts:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())


# --- the hub ----------------------------------------------------------------------------------------------------------

class _Running:
    """The hub that runs on the data folder, asked over its API."""

    def __init__(self, running: Running):
        self._running = running

    def ask(self, method: str, path: str, body: Any = None) -> Dict[str, Any]:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode("utf-8")
        return ask(self._running, method, path, content, BINARY if isinstance(body, bytes) else JSON)


class _Opened:
    """A hub that is opened for one command; it does not listen."""

    def __init__(self, hub: Hub):
        self._hub = hub

    def ask(self, method: str, path: str, body: Any = None) -> Dict[str, Any]:
        """What the route's handler answers to the command line, which may everything."""
        for route in ROUTES:
            params = _params(route.path, path) if route.method == method else None
            if params is not None:
                given = body if route.body in (None, ANY, FILE) else shapes.clean(route.body, body)
                caller = Caller("admin", "", None, "command line")
                answer = route.handler(self._hub, Call(caller, params, {}, given, self._hub.now()))
                return json.loads(answer.body.decode("utf-8")) if isinstance(answer, Text) else answer
        raise LookupError("no route %s %s" % (method, path))


def _params(template: str, path: str) -> Optional[Dict[str, str]]:
    found = re.fullmatch(re.sub(r"\{([a-z_]+)\}", r"(?P<\1>[^/]+)", template), path)
    return found.groupdict() if found else None


@contextlib.contextmanager
def _reached(options: config.Config, make: bool = False) -> Iterator[Union[_Running, _Opened]]:
    """The hub of the data folder, however it can be had. Raises ConfigError for a folder that is none, unless it is to
    be made."""
    if not (make or options.shares or os.path.isfile(options.database)):
        raise config.ConfigError("There is no hub's database %s; name its folder with --data-dir." % options.database)
    found = _found(options)
    if isinstance(found, Running):
        if not found.url:
            raise config.ConfigError("The hub on %s runs behind another WSGI server, where no command finds it: use "
                                     "its page or its API, or stop it first." % options.data_dir)
        yield _Running(found)
        return
    try:
        yield _Opened(found)
    finally:
        found.close()


def _found(options: config.Config) -> Union[Running, Hub]:
    """The hub that runs, or else one that is open now. Raises CanNotStart."""
    folder = Folder(options.data_dir, options.lock)
    running = folder.running()
    if running is not None:
        return running
    hub = Hub(options)
    try:
        hub.open()
    except CanNotStart:
        running = folder.running()
        if running is None:
            raise
        return running  # it started between the two looks
    return hub


def _backup(given: config.Given) -> int:
    """Have a backup made, by the hub that runs or by this process."""
    with _reached(given.options) as hub:
        return keeping.make(hub.ask)


COMMANDS = {
    "user": Command(_user, "user add NAME --role ROLE", "let somebody log in; also user passwd, list, remove"),
    "token": Command(_token, "token add NAME --role ROLE", "make an API token for a script; also token list, remove"),
    "setting": Command(_setting, "setting set KEY VALUE", "change a setting; also setting list, setting get KEY"),
    "import": Command(_import, "import FILE...", "take in spool exports of agents that can not reach the hub"),
    "server": Command(_server, "server add NAME --out FILE", "make the config of an agent that can not register"),
    "backup": Command(_backup, "backup", "make a backup now; ingest goes on meanwhile"),
    "restore": Command(keeping.restore, "restore FILE", "put a backup in the place of the database of a stopped hub"),
    "check": Command(keeping.check, "check [FILE...]", "look the database through, or backups"),
    "move": Command(moving.move, "move --from DIR --to URL", "move a stopped hub to another database, or back"),
}
