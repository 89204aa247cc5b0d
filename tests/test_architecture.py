"""The rules that no single file shows: who may import whom, where things live, what no file holds."""

from __future__ import annotations

import ast
import configparser
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest

from tests.support import ROOT, needs, tree

# The rooms of the hub from the ground up: each imports only from rooms above it in this list.
ROOMS = (
    "errors", "clock", "assets", "ratelimit", "attempts",
    "http", "exchange", "connection", "serve",
    "shapes", "steady", "bodies", "config", "folder", "settings", "metrics",
    "store", "fleet", "auth", "accounts", "alerts", "overrides",
    "maintenance", "ledger", "judging", "silence", "reminders", "peers", "forecast", "preview", "selfcheck",
    "outbound", "messages", "mail", "syslog", "channels", "notify", "ingest", "intake",
    "rollup", "backup", "export", "exposition", "jobs",
    "web", "hub", "remote", "simulation", "demo", "keeping", "moving", "commands", "cli", "hosted",
)
SHARED_ROOMS = ("store", "web")  # folders whose files may import each other

HOMES = {  # one home for each library
    "sqlite3": {"store/engine.py"},
    "psycopg": {"store/postgres.py"},
    "bcrypt": {"auth.py"},
    "bottle": {"web/app.py", "web/pages.py"},
    "smtplib": {"mail.py"},
    "urllib.request": set(),  # it follows redirects and the environment's proxies; outbound.py decides for itself
}
THIRD_PARTY = {"bcrypt", "bottle", "psutil", "psycopg"}
LATE_IMPORTS = {"psycopg", "winreg", "msvcrt", "_winapi", "ctypes"}  # optional, or there on Windows only
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
SQL = re.compile(r"\b(SELECT\s+[\w*(]|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM"
                 r"|CREATE\s+(TABLE|INDEX)|PRAGMA\s+\w+)")

LINES = {".py": 500, ".js": 450, ".css": 700, ".html": 200}  # where a file outgrows this, a room is missing
LONG_FILES = {"smon_agent.py": 2500}  # one file by design: it is copied to the watched machines
FUNCTION_LINES = 60

HUB = ROOT / "smon_hub"
PROGRAMS = [ROOT / "smon_agent.py", ROOT / "smon_server.py"]
MODULES = sorted(HUB.rglob("*.py"))
PAGE_FILES = [path for folder in ("smon_static", "smon_templates") for path in sorted((ROOT / folder).rglob("*.*"))
              if path.suffix in (".js", ".css", ".html", ".svg")]


def name_of(path: Path) -> str:
    return path.relative_to(HUB if HUB in path.parents else ROOT).as_posix()


@functools.lru_cache(maxsize=None)  # a node is the same object for everyone who asks
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))


def imports(path: Path) -> Iterator[Tuple[ast.AST, str]]:
    """(statement, dotted name) of every import; a relative one is spelt in full: `smon_hub.store.engine`."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(package[:len(package) - node.level + 1]) if node.level else []
            prefix = ".".join(base + ([node.module] if node.module else []))
            for alias in node.names:
                yield node, prefix + "." + alias.name


def room_of(dotted: str) -> str:
    """The room that a dotted name of the hub belongs to; the package itself is the ground that all stand on."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def own_room(path: Path) -> str:
    return path.relative_to(HUB).parts[0].replace(".py", "")


def test_every_module_of_the_hub_is_a_room_of_the_list():
    rooms = {own_room(path) for path in MODULES} - {"__init__"}
    assert rooms - set(ROOMS) == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_from_rooms_above_it(path):
    room = own_room(path)
    below = [] if room == "__init__" else ROOMS[ROOMS.index(room) + (room in SHARED_ROOMS):]
    wrong = {dotted for _, dotted in imports(path) if dotted.startswith("smon_hub") and room_of(dotted) in below}
    assert wrong == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_optional_and_windows_modules_are_imported_inside_functions(path):
    functions = [node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef)]
    inside = {id(child) for function in functions for child in ast.walk(function)}
    assert {dotted.split(".")[0] for node, dotted in imports(path) if id(node) in inside} - LATE_IMPORTS == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_library_has_one_home(path):
    names = {dotted for _, dotted in imports(path)}
    away = {library for library, homes in HOMES.items() if name_of(path) not in homes
            and any(name == library or name.startswith(library + ".") for name in names)}
    assert away == set()


def packages_outside_the_standard_library(path: Path) -> Set[str]:
    if sys.version_info < (3, 10):
        needs.system("Python tells the names of its standard library since 3.10.")
    ours = {"smon_hub", "smon_agent", "smon_server", "__future__"}
    return {dotted.split(".")[0] for _, dotted in imports(path)} - set(sys.stdlib_module_names) - ours


@pytest.mark.parametrize("path", MODULES + [ROOT / "smon_server.py"], ids=name_of)
def test_the_hub_needs_nothing_but_its_four_packages(path):
    assert packages_outside_the_standard_library(path) <= THIRD_PARTY


def test_the_agent_is_one_file_that_needs_psutil_alone():
    agent = ROOT / "smon_agent.py"
    assert packages_outside_the_standard_library(agent) == {"psutil"}
    assert not any(dotted.startswith("smon_") for _, dotted in imports(agent))


def test_the_packages_are_said_alike_everywhere():
    metadata = configparser.ConfigParser()
    metadata.read(str(ROOT / "setup.cfg"), encoding="utf-8")
    hub, agent = (requirements("install/requirements-%s.txt" % program) for program in ("hub", "agent"))
    assert metadata["options"]["install_requires"].split() == hub
    assert set(agent) < set(hub)


def requirements(name: str) -> List[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_clock_room_reads_the_wall_clock(path):
    calls = {dotted_call(node) for node in ast.walk(parse(path)) if isinstance(node, ast.Call)}
    assert name_of(path) == "clock.py" or calls & CLOCKS == set()
    assert name_of(path) == "hub.py" or "clock.now" not in calls


def dotted_call(call: ast.Call) -> str:
    """The last two names of what is called: `datetime.datetime.now()` is `datetime.now`."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return ""
    owner = function.value
    return "%s.%s" % (getattr(owner, "attr", getattr(owner, "id", "")), function.attr)


@pytest.mark.parametrize("path", [path for path in MODULES if own_room(path) != "store"], ids=name_of)
def test_only_the_store_speaks_sql(path):
    module = parse(path)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(module)
                  if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))}
    texts = {node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert [text for text in texts - docstrings if SQL.search(text)] == []


@pytest.mark.parametrize("path", [path for path in PAGE_FILES if path.suffix == ".js"], ids=name_of)
def test_text_enters_the_page_as_text(path):
    found = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTML"
                       r"|setAttribute\([\"'](?:style|on)|cssText|javascript:", path.read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.parametrize("path", [path for path in PAGE_FILES if path.suffix == ".html"], ids=name_of)
def test_a_template_holds_no_inline_script_or_style(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|<script(?![^>]*\ssrc=)[^>]*>", text) == []


@pytest.mark.parametrize("path", PAGE_FILES, ids=name_of)
def test_the_page_names_no_other_origin(path):
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")  # names of namespaces, never fetched
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}", text) == []


@pytest.mark.parametrize("path", MODULES + PROGRAMS + PAGE_FILES, ids=name_of)
def test_no_room_is_too_full(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONG_FILES.get(path.name, LINES.get(path.suffix, 200))


@pytest.mark.parametrize("path", MODULES + PROGRAMS, ids=name_of)
def test_no_function_needs_scrolling(path):
    # end_lineno counts the last line of a function, decorators stand before lineno
    long = ["%s: %d lines" % (node.name, node.end_lineno - node.lineno + 1) for node in ast.walk(parse(path))
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= FUNCTION_LINES]
    assert long == []


PYTHON_FILES = [path for path in tree.files() if path.suffix == ".py"]


@pytest.mark.parametrize("path", PYTHON_FILES, ids=name_of)
def test_every_file_parses_on_python_3_8(path):
    parse(path)


def test_the_code_is_clean_to_flake8():
    checked = subprocess.run([sys.executable, "-m", "flake8"] + [str(path) for path in PYTHON_FILES], cwd=str(ROOT),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert checked.stdout.splitlines() == []


# Spelt in two halves, so that this file does not hold what it looks for.
FOREIGN = {
    "a path of one machine": r"(?<![\w.~-])/(?:wo" r"rk|ro" r"ot|fa" r"rm)/|/ho" r"me/[a-z]+/",
    "an address of a package registry": r"py" r"pi\.org|pythonho" r"sted|npm" r"js\.|deb" r"ian\.org",
    "a note to self": r"\bTO" r"DO\b|\bFIX" r"ME\b",
}


@pytest.mark.parametrize("what", sorted(FOREIGN))
def test_no_text_file_holds(what):
    pattern = re.compile(FOREIGN[what])
    found: Dict[str, str] = {}
    for path in tree.files():
        try:
            match = pattern.search(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue  # a picture
        if match:
            found[name_of(path)] = match.group()
    assert found == {}
