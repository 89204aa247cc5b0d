"""What the documents say is so: examples run as pasted, links lead somewhere, every file has its place."""

from __future__ import annotations

import re
import subprocess
from typing import Any, Callable, Dict, List, Tuple

import pytest

from docs import write

from smon_hub.web.openapi import PREFIXES
from smon_hub.web.routes import ROUTES
from tests.support import ROOT, needs, tree
from tests.support.processes import HubProcess, clean_environment

README = ROOT / "README.md"
DOCUMENTS = [path for path in tree.files() if path.suffix == ".md"]
SHOWN_ADDRESS = "http://localhost:3000"
# curl ends with 0 on a refusal; an example that is refused has to fail.
# Examples that need what a test can not have: a password that was set before, a receiver, an export of an agent.
NOT_RUN = {"POST /api/setup", "POST /api/session", "PATCH /api/session", "POST /api/dashboard/import",
           "POST /api/dashboard/channels/{channel_id}/test"}
USER = {"role": "viewer", "password": "a long password"}
CALLS = [route for route in ROUTES if route.path.startswith(PREFIXES)]
STRICT_CURL = 'curl() { command curl --fail --silent --show-error "$@"; }\n'


def shell_blocks(text: str) -> List[str]:
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_curl_examples_of_the_readme_run_as_pasted(fresh_hub, tmp_path):
    needs.program("curl", why="the README's examples use it")
    script = STRICT_CURL + "".join(block for block in shell_blocks(README.read_text(encoding="utf-8"))
                                   if "curl" in block)
    assert SHOWN_ADDRESS in script, "The README shows no curl example."
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", script.replace(SHOWN_ADDRESS, fresh_hub.url)],
                         cwd=str(tmp_path), env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, universal_newlines=True, timeout=60)
    assert run.returncode == 0, run.stdout
    assert fresh_hub.get("/api/dashboard").json["summary"]["totalServers"] == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_the_files_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_the_readme_names_every_file_and_folder_of_the_top_level():
    text = README.read_text(encoding="utf-8")
    top = {path.relative_to(ROOT).parts[0] for path in tree.files()} - {"README.md", ".gitignore"}
    assert [name for name in sorted(top) if name not in text] == []


def test_the_two_commands_of_the_readme_are_files():
    commands = re.findall(r"^python3? (\S+\.py)", "\n".join(shell_blocks(README.read_text(encoding="utf-8"))),
                          re.MULTILINE)
    assert {"install/quickstart.py", "tests/run.py"} <= set(commands)
    assert [name for name in commands if not (ROOT / name).is_file()] == []


def test_the_scale_of_a_minute_is_offered_to_developers_alone():
    named = [path.name for path in DOCUMENTS if "SMON_MINUTE_SECONDS" in path.read_text(encoding="utf-8")]
    assert named == ["CONTRIBUTING.md"]


# --- what is written from the tables ----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", write.FILES)
def test_what_is_written_from_the_tables_is_as_they_are(name):
    path, text = write.written(name)
    assert path.read_text(encoding="utf-8") == text, "Run: python docs/write.py"


def test_every_link_to_a_part_of_a_page_leads_to_a_heading():
    pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    headings = {name: {re.sub(r"[^a-z0-9_ -]", "", line.lower()).replace(" ", "-")
                       for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)} for name, text in pages.items()}
    links = [(page or name, part) for name, text in pages.items()
             for page, part in re.findall(r"\]\(([a-z.-]*)#([^)]+)\)", text)]
    assert links and [link for link in links if link[1] not in headings[link[0]]] == []


class Scene:
    """A hub, and what the examples of docs/api.md name in variables, new for each of them."""

    def __init__(self, hub: HubProcess):
        self.hub, self.users = hub, 0
        assert hub.patch("/api/dashboard/settings", {"registration_mode": "open"}).status == 200
        self.token = hub.post("/api/dashboard/tokens", {"name": "docs", "role": "admin"}).json["token"]
        self.hot = hub.register("hot")
        assert self.hot.send({"cpu_percent": 99}).status == 200
        self.made("/api/dashboard/users", dict(USER, name="first", role="admin"))

    def variables(self, path: str) -> Dict[str, str]:
        server = self.hub.register("docs")
        self.made("/api/dashboard/server/%s/config" % server.id, {"collection_interval_minutes": 10})
        makers: Dict[str, Callable[[], Any]] = {
            "alert_id": lambda: self.ask("GET", "/api/dashboard/alerts?state=all")["alerts"][0]["id"],
            "channel_id": lambda: self.made(*self.example("/api/dashboard/channels"))["id"],
            "window_id": lambda: self.made(*self.example("/api/dashboard/maintenance"))["window"]["id"],
            "name": self.user,
            "id": lambda: self.made(path.partition("/{")[0], {"name": "ends", "role": "viewer"})["id"],
        }
        return {"TOKEN": self.token, "SERVER_ID": server.id, "API_KEY": server.key,
                **{name.upper(): str(make()) for name, make in makers.items() if "{%s}" % name in path}}

    def user(self) -> str:
        """The name of a new user."""
        self.users += 1
        self.made("/api/dashboard/users", dict(USER, name="user%d" % self.users))
        return "user%d" % self.users

    def example(self, path: str) -> Tuple[str, Any]:
        return path, write.EXAMPLES["POST " + path]

    def made(self, path: str, body: Any) -> Any:
        return self.ask("POST", path, body)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.hub.request(method, path, body, {"Authorization": "Bearer " + self.token})
        assert answer.status < 300, answer.text
        return answer.json


@pytest.fixture(scope="module")
def scene(hub):
    needs.program("curl", why="the examples of docs/api.md use it")
    yield Scene(hub)


@pytest.mark.parametrize("route", [route for route in CALLS if write.name_of(route) not in NOT_RUN], ids=write.name_of)
def test_the_examples_of_the_api_run_as_pasted(scene, route, tmp_path):
    script = STRICT_CURL + write.example(route).replace(SHOWN_ADDRESS, scene.hub.url)
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=str(tmp_path),
                         env=clean_environment(scene.variables(route.path)), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=60)
    assert run.returncode == 0, run.stdout
