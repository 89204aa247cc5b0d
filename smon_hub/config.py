"""Start-up options: where to listen, where to keep data. A file yields to the environment, that to a flag."""

from __future__ import annotations

import argparse
import configparser
import ipaddress
import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from . import __version__

SECTION = "hub"  # of the INI file
HOST = r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]+\])"
DATABASE_FILE = "smon.db"  # in the data folder
DATABASES = ("postgresql", "postgres")  # of addresses; anything else is a path
SWITCHES = ("local_trust", "hsts")  # on or off
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Option(NamedTuple):
    """key (flag --key with dashes, environment SMON_KEY, file key), default, sentence, word for the value in --help."""

    key: str
    default: Any
    sentence: str
    metavar: str


OPTIONS = (
    Option("host", "0.0.0.0", "Address to listen on; 0.0.0.0 is every address, IPv6 included.", "ADDRESS"),
    Option("port", 3000, "Port to listen on, 0 to 65535; 0 takes a free one.", "PORT"),
    Option("data_dir", "smon_data", "Folder of everything that the hub keeps.", "DIR"),
    Option("database", "", "SQLite file, or a postgresql:// address, which several hubs may share; smon.db in the data "
           "folder when empty.", "FILE|URL"),
    Option("backup_dir", "", "Folder of backups; backups in the data folder when empty.", "DIR"),
    Option("tls_cert", "", "Certificate chain in PEM; with tls_key the hub speaks HTTPS.", "FILE"),
    Option("tls_key", "", "Private key of the certificate, in PEM.", "FILE"),
    Option("trusted_proxies", "", "Addresses of proxies whose X-Forwarded-For counts, separated by commas.", "LIST"),
    Option("public_url", "", "Where browsers reach the hub, such as https://smon.example; used for links.", "URL"),
    Option("allowed_hosts", "", "Names by which browsers may call the hub, separated by commas; empty: this machine's "
           "own. Addresses always may.", "LIST"),
    Option("local_trust", "on", "off: programs on this machine, too, need an account before there is the first one.",
           "on|off"),
    Option("hsts", "off", "on: browsers that came by HTTPS are told to come by nothing else for a year.", "on|off"),
    Option("config", "", "INI file with these keys in a section [%s]." % SECTION, "FILE"),
    Option("log_level", "INFO", "One of %s." % ", ".join(LEVELS), "LEVEL"),
)


class ConfigError(Exception):
    """An option that can not be used, in a sentence that names where it came from."""


class Config(NamedTuple):
    """The options as they hold. trusted_proxies is a tuple of addresses, allowed_hosts one of names in small letters;
    public_url has no path; relative paths are the caller's."""

    host: str
    port: int
    data_dir: str
    database: str
    backup_dir: str
    tls_cert: str
    tls_key: str
    trusted_proxies: tuple
    public_url: str
    allowed_hosts: tuple
    local_trust: bool
    hsts: bool
    config: str
    log_level: str

    @property
    def shares(self) -> bool:
        """Whether the database is one that other hubs may use, too; else it is a file."""
        return self.database.partition("://")[0] in DATABASES

    @property
    def lock(self) -> str:
        """What is locked by whoever uses the data folder: the database itself, where it is a file."""
        return os.path.join(self.data_dir, "hub") if self.shares else self.database


class Given(NamedTuple):
    """A whole command line: the options, the command, its words, and the flags that only some commands read."""

    options: Config
    command: str
    words: List[str]
    out: str
    role: str
    expires_days: str
    password_stdin: bool
    from_: str
    to: str


FLAGS = {  # of commands: what argparse is to make of each
    "out": {"metavar": "FILE", "default": "", "help": "where a command writes what it makes"},
    "role": {"default": "", "choices": ("viewer", "admin"), "help": "what a new user or token may"},
    "expires_days": {"metavar": "N", "default": "", "help": "days until a new token ends; never when not given"},
    "password_stdin": {"action": "store_true", "help": "read the password from the input instead of asking for it"},
    "from_": {"metavar": "DIR|URL", "default": "", "help": "whose database moves: a data folder, a SQLite file or a "
                                                           "postgresql:// address"},
    "to": {"metavar": "DIR|URL", "default": "", "help": "where to: another one, which is empty"},
}


def parse(arguments: Sequence[str], environment: Mapping[str, str], commands: Mapping[str, Any]) -> Given:
    """A command line. commands: by name, with `usage` and `sentence`; the first is meant when none is named.

    Raises ConfigError; argparse ends the process for --help and unknown flags.
    """
    given = vars(_parser(commands).parse_intermixed_args(list(arguments)))
    words, flags = given.pop("words"), {key: given.pop(key) for key in FLAGS}
    command = words.pop(0) if words else next(iter(commands))
    if command not in commands or words and command == next(iter(commands)):
        raise ConfigError("%s is no command; there are: %s." % (words[0] if command in commands else command,
                                                                ", ".join(commands)))
    return Given(_merged(given, environment), command, words, **flags)


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """The options alone, merged from file, environment and flags. Raises ConfigError."""
    given = vars(_parser({}).parse_args(list(arguments)))
    return _merged({key: text for key, text in given.items() if key not in ("words", *FLAGS)}, environment)


def _merged(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    names = {"SMON_" + option.key.upper(): option.key for option in OPTIONS}
    sources = [("environment variable " + name, key, environment[name])
               for name, key in names.items() if name in environment]
    sources += [("--" + key.replace("_", "-"), key, text) for key, text in flags.items() if text is not None]
    path = dict((key, text) for _, key, text in sources).get("config", "")
    values = {option.key: option.default for option in OPTIONS}
    for source, key, text in (_read(path) if path else []) + sources:
        values[key] = _value(source, key, text)
    return _whole(values)


def _parser(commands: Mapping[str, Any]) -> argparse.ArgumentParser:
    usages = ["  %-28s %s" % (command.usage, command.sentence) for command in commands.values()]
    parser = argparse.ArgumentParser(
        prog="smon_server.py", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="The hub of smon: stores and shows servers.\n\ncommands:\n" + "\n".join(usages),
        epilog="Each option can also be set as SMON_OPTION or in the file of --config.")
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="one of the above, with its words")
    for key, made in FLAGS.items():
        flag = "--" + key.rstrip("_").replace("_", "-")
        parser.add_argument(flag, dest=key, **made)  # type: ignore[arg-type]
    parser.add_argument("--version", action="version", version="smon " + __version__)
    for option in OPTIONS:
        default = " (default: %s)" % option.default if option.default != "" else ""
        parser.add_argument("--" + option.key.replace("_", "-"), metavar=option.metavar, help=option.sentence + default)
    return parser


def _read(path: str) -> List[tuple]:
    """(source, key, text) of each line of an INI file. Raises ConfigError."""
    file = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        with open(path, encoding="utf-8") as stream:
            file.read_file(stream)
    except OSError as error:
        raise ConfigError("The config file %s can not be read: %s." % (path, error.strerror)) from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError("The config file %s is not INI: %s." % (path, str(error).splitlines()[0])) from None
    known = {option.key for option in OPTIONS} - {"config"}
    for section in file.sections():
        unknown = [key for key in file[section] if key not in known]
        if section != SECTION or unknown:
            raise ConfigError("The config file %s: %s is not known; only [%s] with %s is." % (
                path, "[%s]" % section if section != SECTION else unknown[0], SECTION, ", ".join(sorted(known))))
    return [("%s in %s" % (key, path), key, text) for key, text in (file[SECTION].items() if SECTION in file else ())]


def _value(source: str, key: str, text: str) -> Any:
    text = text.strip()
    if key == "port":
        if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
            raise ConfigError("%s must be a number from 0 to 65535, not %r." % (source, text))
        return int(text)
    if key in SWITCHES:
        if text.lower() not in ("on", "off"):
            raise ConfigError("%s must be on or off, not %r." % (source, text))
        return text.lower() == "on"
    if key == "log_level" and text.upper() not in LEVELS:
        raise ConfigError("%s must be one of %s, not %r." % (source, ", ".join(LEVELS), text))
    return text.upper() if key == "log_level" else text


def _whole(values: Dict[str, Any]) -> Config:
    """Derived values and the rules between options."""
    if bool(values["tls_cert"]) != bool(values["tls_key"]):
        raise ConfigError("tls_cert and tls_key go together: one of them is missing.")
    check_database("database", values["database"])
    values["database"] = values["database"] or os.path.join(values["data_dir"], DATABASE_FILE)
    for key in SWITCHES:
        values[key] = values[key] in (True, "on")
    values["public_url"] = values["public_url"].rstrip("/").lower()
    if values["public_url"] and not re.fullmatch(r"https?://%s(:[0-9]{1,5})?" % HOST, values["public_url"]):
        raise ConfigError("public_url must be http:// or https://, a name and at most a port, not %r."
                          % values["public_url"])
    values["allowed_hosts"] = tuple(name.lower() for name in _list(values["allowed_hosts"]))
    wrong = [name for name in values["allowed_hosts"] if not re.fullmatch(HOST, name)]
    if wrong:
        raise ConfigError("allowed_hosts must be names without ports, separated by commas, not %r." % wrong[0])
    try:
        values["trusted_proxies"] = tuple(str(ipaddress.ip_address(name)) for name in _list(values["trusted_proxies"]))
    except ValueError as error:
        raise ConfigError("trusted_proxies must be addresses separated by commas: %s." % error) from None
    return Config(**values)


def check_database(source: str, text: str) -> None:
    """Raises ConfigError for an address of an engine that is not known here."""
    scheme, found, _ = text.partition("://")
    if found and scheme not in DATABASES:
        raise ConfigError("%s must be the path of a SQLite file or a postgresql:// address, not a %s address." % (
            source, scheme))


def _list(text: str) -> List[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
