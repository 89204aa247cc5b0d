"""What the offline bundle holds, and that it is the same whenever and wherever it is made."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import bundle
import pytest
import pyz
import unpack

from tests.support import bundles, tree


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    return bundles.make(tmp_path_factory.mktemp("bundle") / "smon.zip")


@pytest.fixture(scope="module")
def members(zipped):
    """Content by name, without the folder that all are in."""
    with zipfile.ZipFile(str(zipped)) as archive:
        names = archive.namelist()
        assert {name.partition("/")[0] for name in names} == {"smon-" + bundle.version()}
        return {name.partition("/")[2]: archive.read(name) for name in names}


def test_the_same_tree_and_wheels_give_the_same_bytes(zipped, tmp_path):
    copied = tree.copy(tmp_path / "tree")
    for path in copied.rglob("*"):
        os.utime(str(path), (1, 1))
    again = subprocess.run([sys.executable, str(copied / "install" / "bundle.py"), "--wheels", str(bundles.WHEELS),
                            "--out", str(tmp_path / "again.zip")], env=dict(os.environ, TZ="Asia/Tokyo"))
    assert again.returncode == 0
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()


def test_every_file_has_its_sum(members):
    sums = dict(reversed(line.split("  ")) for line in members["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in members.items()
                    if name != "SHA256SUMS"}


@pytest.mark.parametrize("name", ["smon_agent.py", "smon_server.pyz", "install/install_service.py", "install/unpack.py",
                                  "README.md", "docs/agent.md", "sbom.cdx.json"])
def test_it_brings(members, name):
    assert members[name]


def test_the_installer_in_it_misses_no_module(members):
    """Whatever the installer imports of its own folder has to be carried along."""
    own = {path.stem for path in (bundles.TOOL.parent).glob("*.py")}
    carried = {name[len("install/"):-3] for name in members if name.startswith("install/") and name.endswith(".py")}
    imported = {word for name in carried for line in members["install/%s.py" % name].decode().splitlines()
                if line.lstrip().startswith(("import ", "from ")) for word in line.split()[1:2]}
    assert imported & own <= carried


def test_the_parts_list_names_every_program_and_package(members):
    document = json.loads(members["sbom.cdx.json"])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    parts = {part["bom-ref"]: part for part in document["components"]}
    wheels = {name.partition("/")[2] for name in members if name.startswith("wheels/")}
    assert wheels and wheels < set(parts) and {"smon_agent.py", "smon_server.pyz"} < set(parts)
    assert {part["name"] for part in parts.values()} == {"smon_agent.py", "smon_server.pyz", "bottle", "bcrypt",
                                                         "psutil"}
    assert all(part["version"] and part["licenses"][0]["license"]["id"] for part in parts.values())
    for name in wheels:
        assert parts[name]["hashes"][0]["content"] == hashlib.sha256(members["wheels/" + name]).hexdigest()
        assert parts[name]["purl"].startswith("pkg:pypi/%(name)s@%(version)s" % parts[name])
    assert set(document["dependencies"][0]["dependsOn"]) == set(parts)


@pytest.mark.parametrize("python", [(3, 8), (3, 11), (3, 14)])
def test_its_wheels_fit_every_python(members, python, tmp_path):
    for name, content in members.items():
        if name.startswith("wheels/"):
            (tmp_path / name.partition("/")[2]).write_bytes(content)
    system = unpack.System(python, *bundle.PLATFORMS[bundles.PLATFORM][:3])
    assert len(unpack.fitting(tmp_path, unpack.NEEDED, system)) == 2


def test_the_hubs_file_holds_no_compiled_and_no_foreign_file(tmp_path):
    copied = tree.copy(tmp_path)
    (copied / "smon_hub" / "__pycache__").mkdir()
    (copied / "smon_hub" / "__pycache__" / "hub.cpython-311.pyc").touch()
    names = set(pyz.sources(copied))
    assert "smon_hub/hub.py" in names and "smon_static/app.js" in names and "smon_templates/shell.html" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert names <= {path.relative_to(pyz.ROOT).as_posix() for path in tree.files()}


def test_without_the_wheel_of_bottle_it_says_so(tmp_path):
    with pytest.raises(bundle.CanNotMake, match="holds no wheel of bottle"):
        bundle.whole(tmp_path)
