"""What the documents say is so: examples run as pasted, links lead somewhere, every file has its place."""

from __future__ import annotations

import re
import subprocess
from typing import List

import pytest

from tests.support import ROOT, needs, tree
from tests.support.processes import clean_environment

README = ROOT / "README.md"
DOCUMENTS = [path for path in tree.files() if path.suffix == ".md"]
SHOWN_ADDRESS = "http://localhost:3000"
# curl ends with 0 on a refusal; an example that is refused has to fail.
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
