"""Which wheel fits which machine, and that unpacking one leaves nothing of an older one behind."""

from __future__ import annotations

import zipfile

import pytest
import unpack

GLIBC = unpack.System((3, 11), "manylinux", (2, 17), "x86_64")
MUSL = unpack.System((3, 11), "musllinux", (1, 2), "x86_64")
WINDOWS = unpack.System((3, 11), "win", (0, 0), "x86_64")
FITS = (
    # the name of a wheel after its version, and whether it fits GLIBC, MUSL, WINDOWS
    ("cp36-abi3-manylinux2010_x86_64.manylinux_2_12_x86_64", True, False, False),
    ("cp38-abi3-manylinux_2_17_x86_64", True, False, False),
    ("cp38-abi3-manylinux_2_28_x86_64", False, False, False),
    ("cp38-abi3-manylinux2014_aarch64", False, False, False),
    ("cp38-abi3-musllinux_1_2_x86_64", False, True, False),
    ("cp38-abi3-musllinux_1_3_x86_64", False, False, False),
    ("cp38-abi3-win_amd64", False, False, True),
    ("cp38-abi3-win32", False, False, False),
    ("cp311-cp311-manylinux2014_x86_64", True, False, False),
    ("cp310-cp310-manylinux2014_x86_64", False, False, False),
    ("cp311-cp311t-manylinux2014_x86_64", False, False, False),
    ("cp312-abi3-manylinux2014_x86_64", False, False, False),
    ("py2.py3-none-any", True, True, True),
    ("py2-none-any", False, False, False),
)


@pytest.mark.parametrize("tags, glibc, musl, windows", FITS)
def test_a_wheel_fits_by_its_name(tags, glibc, musl, windows):
    name = "some_package-1.2-%s.whl" % tags
    assert [unpack.fits(name, system) for system in (GLIBC, MUSL, WINDOWS)] == [glibc, musl, windows]


def test_what_is_no_wheel_fits_nothing():
    assert not unpack.fits("psutil-7.0.tar.gz", GLIBC)


def wheel(folder, version, *members):
    path = folder / ("psutil-%s-cp36-abi3-manylinux2014_x86_64.whl" % version)
    with zipfile.ZipFile(str(path), "w") as archive:
        for member in members:
            archive.writestr(member, version)
    return path


def test_the_newest_version_that_fits_is_taken(tmp_path):
    for version in ("7.9.1", "7.10.0", "6.0.0"):
        wheel(tmp_path, version)
    (tmp_path / "psutil-99.0-cp36-abi3-win_amd64.whl").touch()
    assert [path.name.split("-")[1] for path in unpack.fitting(tmp_path, ["psutil"], GLIBC)] == ["7.10.0"]


def test_a_package_that_is_not_there_is_named(tmp_path):
    with pytest.raises(unpack.Misfit, match="holds no bcrypt for Python 3.11 on manylinux x86_64"):
        unpack.fitting(tmp_path, ["bcrypt"], GLIBC)


def test_an_upgrade_leaves_nothing_of_the_older_one(tmp_path):
    target = tmp_path / "programs"
    target.mkdir()
    (target / "smon_agent.py").write_text("stays")
    assert unpack.unpack(wheel(tmp_path, "1", "psutil/a.py", "psutil/gone.py", "psutil-1.dist-info/METADATA"), target)
    newer = wheel(tmp_path, "2", "psutil/a.py", "psutil-2.dist-info/METADATA")
    assert unpack.unpack(newer, target)
    there = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert there == ["psutil-2.dist-info/METADATA", "psutil/a.py", "smon_agent.py"]
    assert (target / "psutil" / "a.py").read_text() == "2"
    assert not unpack.unpack(newer, target)


def test_one_that_was_interrupted_is_done_again(tmp_path, monkeypatch):
    target, move = tmp_path / "programs", unpack.shutil.move
    target.mkdir()
    made = wheel(tmp_path, "1", "psutil-1.dist-info/METADATA", "psutil.libs/a.so", "psutil/a.py")

    def moved(path, place):
        if list(target.glob("psutil*")):
            raise OSError("The stick was pulled.")
        move(path, place)
    monkeypatch.setattr(unpack.shutil, "move", moved)
    with pytest.raises(OSError):
        unpack.unpack(made, target)
    monkeypatch.undo()
    assert unpack.unpack(made, target)
    assert sorted(path.name for path in target.iterdir()) == ["psutil", "psutil-1.dist-info", "psutil.libs"]


def test_a_wheel_can_not_leave_the_folder(tmp_path):
    target = tmp_path / "programs"
    target.mkdir()
    unpack.unpack(wheel(tmp_path, "1", "../outside.py", "/absolute.py"), target)
    assert not (tmp_path / "outside.py").exists()
    assert sorted(path.name for path in target.iterdir()) == ["absolute.py", "outside.py"]
