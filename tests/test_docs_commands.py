"""Every command in the pages for operators is run as it stands: on a booted machine, or where no network leads out.

What the tests put in: passwords that a person would type, and tools that a minimal machine lacks.
"""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support import ROOT, bundles, machine, tree
from tests.support.processes import clean_environment

# sudo, which root does not need, and curl, which a minimal Debian does not have.
ON_THE_MACHINE = r"""
set -euo pipefail
sudo() { "$@"; }
curl() { python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[-1]).read().decode())' "$@"; }
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
"""
TYPED = " --password-stdin <<< 'a long password'"


def blocks(name):
    """The commands of a page, block by block."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def typed(text):
    """The password's prompt is answered."""
    return re.sub(r"(user add anna --role admin|user passwd anna)$", lambda found: found[0] + TYPED, text,
                  flags=re.MULTILINE)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A machine without a network, with the unpacked bundle."""
    folder = tmp_path_factory.mktemp("machine")
    root = machine.root_tree(folder / "root")
    carried = bundles.carry(bundles.make(folder / "smon.zip"), root / "opt" / "stick")
    booted = machine.Machine(root, folder / "console.log", alone=True)
    booted.on()

    def run(name):
        script = ON_THE_MACHINE + "cd /opt/stick/%s\nset -x\n" % carried.name + typed("".join(blocks(name)))
        (root / "opt" / "script").write_text(script, encoding="utf-8")
        return booted.run("bash", "/opt/script")
    try:
        yield booted, run
    finally:
        booted.off()


def test_the_page_on_operations_works_from_installation_to_removal(alone):
    booted, run = alone
    done = run("operations.md")
    assert done.returncode == 0, done.stdout
    assert "smon-hub: active" in done.stdout and done.stdout.count("is good.") == 2
    assert "is restored to /var/lib/smon/hub/smon.db" in done.stdout and '"status":"ok"' in done.stdout
    assert "smt_" in done.stdout and "smon-agent is no longer installed." in done.stdout
    assert booted.run("systemctl", "is-active", "smon-hub").stdout.strip() == "inactive"


def test_the_page_on_troubles_works_on_an_installed_machine(alone):
    booted, run = alone
    install = blocks("operations.md")[0].replace("sudo smon-hub user add anna --role admin\n", "")  # she is there
    booted.do("bash", "-c", ON_THE_MACHINE + "cd /opt/stick/smon-*\n" + install)
    done = run("troubleshooting.md")
    assert done.returncode == 0, done.stdout
    for said in ("Active: active (running)", "is good.", "Hub: http://localhost:3000 answers.", '"cpu_percent"',
                 "anna has a new password", "8 servers in 5 groups sent"):
        assert said in done.stdout


def test_the_page_on_closed_networks_works_where_no_network_leads_anywhere(tmp_path):
    copied = tree.copy(tmp_path / "tree")
    python = bundles.bare_python(tmp_path / "bare")
    started = ("python3 smon_server.pyz --host 127.0.0.1 --port 3100 --data-dir smon_data & hub=$!\n"
               "until [ -e smon_data/hub.json ]; do sleep 0.1; done\n")
    script = "set -euo pipefail\nip link set lo up\nset -x\n" + "".join(
        (started if "server add" in block else "") + block for block in blocks("air-gap.md"))
    script = script.replace("install/bundle.py", "install/bundle.py --wheels %s" % bundles.wheels())
    # No hub answers that agent: one try is enough to know it.
    script = script.replace("python3 smon_agent.py --once", "sed -i 's/^{/{\"retry_attempts\": 1,/' config.json\n"
                            "python3 smon_agent.py --once") + "kill $hub; wait $hub\n"
    done = subprocess.run([*bundles.without_network(), "bash", "-c", script], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=180,
                          cwd=str(copied),
                          env=clean_environment({"PATH": "%s:%s" % (python.parent, clean_environment()["PATH"])}))
    assert done.returncode == 0, done.stdout
    assert "1 samples are in island.spool" in done.stdout
    assert re.search(r"island\.spool: .*1 ", done.stdout), done.stdout


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_no_page_shows_a_command_that_is_not_there(page):
    """Whatever a page calls with python3 is a file of the tree or of the bundle."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    called = set(re.findall(r"python3? ([\w./-]+\.(?:pyz|py))", text))
    known = {"smon_server.pyz", "/opt/smon/hub/smon_server.pyz"}
    assert {name for name in called - known if not (ROOT / name).exists()} == set()
