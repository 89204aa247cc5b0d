"""What a person wrote into a placed file survives upgrade and removal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from placing import Placing

PROGRAMS, UNIT = Path("/opt/program"), Path("/etc/unit")


@pytest.fixture
def root(tmp_path):
    Placing(PROGRAMS, tmp_path).folder(PROGRAMS)
    Placing(PROGRAMS, tmp_path).folder(UNIT.parent)
    return tmp_path


def place(root, content, path=UNIT):
    placing = Placing(PROGRAMS, root)
    placing.put(path, content)
    placing.save()
    return placing


def test_a_second_time_changes_nothing(root):
    assert place(root, b"one").changed
    assert not place(root, b"one").changed


def test_a_newer_form_takes_the_place_of_an_untouched_one(root):
    place(root, b"one")
    assert place(root, b"two").changed
    assert (root / "etc/unit").read_bytes() == b"two"


def test_an_edited_file_stays_and_the_newer_form_lies_beside_it(root):
    place(root, b"one")
    (root / "etc/unit").write_bytes(b"mine")
    for _ in range(2):
        placing = place(root, b"two")
        assert not placing.changed and "/etc/unit was edited" in placing.said[0]
        assert (root / "etc/unit").read_bytes() == b"mine"
        assert (root / "etc/unit.new").read_bytes() == b"two"


def test_a_file_that_was_there_before_is_not_taken_for_ours(root):
    (root / "etc/unit").write_bytes(b"a stranger's")
    place(root, b"one")
    assert (root / "etc/unit").read_bytes() == b"a stranger's"


def test_a_deleted_file_comes_back(root):
    place(root, b"one")
    (root / "etc/unit").unlink()
    assert place(root, b"one").changed


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few make links.")
def test_a_link_that_somebody_left_in_the_way_is_not_followed(root):
    (root / "victim").write_bytes(b"theirs")
    (root / "etc/unit.part").symlink_to(root / "victim")
    place(root, b"one")
    assert (root / "victim").read_bytes() == b"theirs" and not (root / "etc/unit").is_symlink()
    assert (root / "etc/unit").read_bytes() == b"one"


def test_removal_takes_what_was_placed_and_saves_what_was_edited(root):
    place(root, b"one")
    place(root, b"one", PROGRAMS / "program.py")
    place(root, b"one", PROGRAMS / "edited.py")
    (root / "opt/program/edited.py").write_bytes(b"mine")
    (root / "etc/other").write_bytes(b"not ours")
    Placing(PROGRAMS, root).remove()
    assert not (root / "opt/program").exists() and not (root / "etc/unit").exists()
    assert (root / "opt/edited.py.saved").read_bytes() == b"mine"
    assert (root / "etc/other").exists()


def test_a_file_is_placed_with_its_mode_whatever_the_mask(root):
    placing, mask = Placing(PROGRAMS, root), os.umask(0o077)
    try:
        assert placing.put_once(UNIT, b"secret", 0o640)
    finally:
        os.umask(mask)
    assert (root / "etc/unit").stat().st_mode & 0o777 == 0o640
    assert not placing.put_once(UNIT, b"again", 0o640)
    assert (root / "etc/unit").read_bytes() == b"secret"
