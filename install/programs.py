"""The two programs as a service sees them: which files they are, which packages they need, how their config begins."""

from __future__ import annotations

import configparser
import io
import json
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Tuple

import pyz

HERE = Path(__file__).resolve().parent
HOME = HERE.parent                # the tree, or the unpacked bundle


class Unusable(Exception):
    """Why the service can not be installed, in a sentence that says what to do."""


class Program(NamedTuple):
    """name: as the command line says it. files: by name, what is copied; config: the first one, for the options."""

    name: str
    service: str
    user: str
    packages: Tuple[str, ...]
    config_name: str
    files: Callable[[], Dict[str, bytes]]
    config: Callable[[Any, Path], bytes]


def _agent_files() -> Dict[str, bytes]:
    return {"smon_agent.py": (HOME / "smon_agent.py").read_bytes()}


def _hub_files() -> Dict[str, bytes]:
    """The single file of the bundle; from a tree it is made now."""
    whole = HOME / "smon_server.pyz"
    if whole.exists():
        return {whole.name: whole.read_bytes()}
    return {whole.name: pyz.build(_bottle())}


def _bottle() -> bytes:
    try:
        import bottle
    except ImportError:
        raise Unusable("The Python package bottle is missing; install it, or use the offline bundle.") from None
    return Path(bottle.__file__).read_bytes()


def _agent_config(options: Any, state: Path) -> bytes:
    urls = [url.strip() for url in options.url.split(",")]  # as the agent's own --url takes them
    given = {"dashboard_url": urls if len(urls) > 1 else options.url,
             "registration_token": options.token, "group_name": options.group}
    chosen = {key: value for key, value in given.items() if value}
    return json.dumps(dict({"dashboard_url": "http://localhost:3000"}, **chosen, state_dir=str(state)),
                      indent=2).encode() + b"\n"


def _hub_config(options: Any, state: Path) -> bytes:
    parser, made = configparser.ConfigParser(interpolation=None), io.StringIO()
    parser["hub"] = {"host": options.host, "port": str(options.port), "data_dir": str(state),
                     "local_trust": "off"}  # everybody on the machine could be admin of a service otherwise
    parser.write(made)
    return made.getvalue().encode()


PROGRAMS = {
    "agent": Program("agent", "smon-agent", "smon-agent", ("psutil",), "agent.json", _agent_files, _agent_config),
    "hub": Program("hub", "smon-hub", "smon", ("bcrypt", "psutil"), "hub.ini", _hub_files, _hub_config),
}
