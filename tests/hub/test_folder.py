"""The data folder: held by one process at a time, and what it tells the command line."""

from __future__ import annotations

import json
import os

import pytest

from smon_hub import folder as folder_module
from smon_hub.folder import LOCK, LOOKS, RUNNING, WAITS, Folder, FolderInUse, FolderUnusable, Running
from tests.support import needs

HUB = Running("http://127.0.0.1:3000", "smh_" + "0" * 64)
DATABASE = "smon.db"


def mode(path):
    return os.stat(str(path)).st_mode & 0o777


def folder_at(path):
    """The data folder at a path, with its database where it usually lies."""
    return Folder(str(path), str(path / DATABASE))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def lock(path):
    return path / (DATABASE + LOCK)


@pytest.fixture
def held(path):
    """A folder that a hub holds."""
    folder = folder_at(path)
    folder.take()
    yield folder
    folder.release()


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited, without waiting; `then` is done at the first of them."""
    class Waits(list):
        def then(self, seconds):
            """Replaced by a test."""

        def __call__(self, seconds):
            self.append(seconds)
            if len(self) == 1:
                self.then(seconds)
    noted = Waits()
    monkeypatch.setattr(folder_module.time, "sleep", noted)
    return noted


@pytest.fixture
def open_umask():
    """What a file is then readable for, it is by its own doing."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_taking_makes_the_folder_and_notes_who_holds_it(lock, held):
    assert lock.read_text(encoding="ascii") == "%d\n" % os.getpid()


def test_a_folder_is_held_by_one_at_a_time(path, held, waits):
    with pytest.raises(FolderUnusable, match="in use by another hub") as refusal:
        folder_at(path).take()
    assert str(path) in str(refusal.value)


def test_a_refused_one_leaves_the_holder_what_it_noted(path, lock, held, waits):
    held.tell(HUB)
    with pytest.raises(FolderInUse):
        folder_at(path).take()
    assert folder_at(path).running() == HUB
    assert lock.read_text(encoding="ascii") == "%d\n" % os.getpid()


def test_two_folders_with_one_database_are_held_by_one_at_a_time(path, held, waits, tmp_path):
    """Each would show half of what is in it."""
    with pytest.raises(FolderUnusable, match="in use by another hub"):
        Folder(str(tmp_path / "other"), str(path / DATABASE)).take()


def test_a_hub_that_starts_waits_for_a_command(path, held, waits):
    waits.then = lambda seconds: held.release()
    folder = folder_at(path)
    folder.take()
    folder.release()


def test_it_does_not_wait_for_ever(path, held, waits):
    with pytest.raises(FolderInUse):
        folder_at(path).take()
    assert len(waits) == WAITS and sum(waits) == pytest.approx(30)


def test_it_waits_for_no_hub_that_answers(path, held, waits):
    held.tell(HUB)
    with pytest.raises(FolderInUse):
        folder_at(path).take()
    assert len(waits) == LOOKS - 1


def test_a_command_waits_for_a_hub_that_starts(path, held, waits):
    waits.then = lambda seconds: held.tell(HUB)
    assert folder_at(path).running() == HUB


def test_a_command_goes_on_by_itself_when_that_hub_does_not_start(path, held, waits):
    waits.then = lambda seconds: held.release()
    assert folder_at(path).running() is None


def test_a_released_folder_can_be_taken_again(path):
    for _ in range(2):
        folder = folder_at(path)
        folder.take()
        folder.release()


def test_a_folder_that_can_not_be_made_is_a_sentence_that_names_it(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FolderUnusable, match="can not be written") as refusal:
        folder_at(tmp_path / "file" / "data").take()
    assert str(tmp_path / "file" / "data") in str(refusal.value)


# --- whose it is ------------------------------------------------------------------------------------------------------

@pytest.fixture
def foreign(path):
    """A folder of another user, with a database."""
    if os.name == "nt" or os.geteuid() != 0:
        needs.system("Only root can give a folder away.")
    path.mkdir()
    (path / DATABASE).write_bytes(b"")
    for place in (path, path / DATABASE):
        os.chown(str(place), 65534, 65534)
    return path


def test_root_leaves_nothing_in_the_folder_of_another_user(foreign):
    with pytest.raises(FolderUnusable, match="belongs to user 65534: run this as that user, with sudo -u '#65534'"):
        folder_at(foreign).take()
    assert folder_at(foreign).running() is None
    assert os.listdir(str(foreign)) == [DATABASE]


def test_root_reaches_the_hub_of_another_user_that_runs(foreign, waits):
    hub = folder_at(foreign)
    hub.check_owner = lambda: None  # as that user
    hub.take()
    hub.tell(HUB)
    assert folder_at(foreign).running() == HUB
    hub.release()


def test_the_database_tells_whose_it_is_where_the_folder_is_shared(foreign):
    os.chown(str(foreign / DATABASE), 0, 0)
    folder = folder_at(foreign)
    folder.take()
    folder.release()


# --- the hub that runs ----------------------------------------------------------------------------------------------

def test_what_the_holder_tells_is_found(path, held):
    held.tell(HUB)
    assert folder_at(path).running() == HUB


def test_what_is_told_later_counts(path, held):
    held.tell(HUB)
    held.tell(HUB._replace(url="http://127.0.0.1:3001"))
    assert folder_at(path).running() == HUB._replace(url="http://127.0.0.1:3001")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes.")
def test_folder_and_token_are_for_their_owner_alone_whatever_the_umask(path, open_umask):
    folder = folder_at(path)
    folder.take()
    folder.tell(HUB)
    assert (mode(path), mode(path / RUNNING)) == (0o700, 0o600)
    folder.release()


def test_nothing_is_told_any_more_after_the_release(path):
    folder = folder_at(path)
    folder.take()
    folder.tell(HUB)
    folder.release()
    assert os.listdir(str(path)) == [DATABASE + LOCK]
    assert folder_at(path).running() is None


def test_what_a_killed_hub_told_does_not_count(path):
    path.mkdir()
    (path / RUNNING).write_text(json.dumps(HUB._asdict()), encoding="ascii")
    assert folder_at(path).running() is None


def test_what_a_killed_hub_told_is_forgotten_by_the_next_one(path):
    path.mkdir()
    (path / RUNNING).write_text(json.dumps(HUB._asdict()), encoding="ascii")
    folder = folder_at(path)
    folder.take()
    assert not (path / RUNNING).exists()
    folder.release()


def test_looking_for_a_hub_leaves_the_folder_free(path):
    curious = folder_at(path)  # kept, as what is thrown away lets go of its lock by itself
    assert curious.running() is None
    folder = folder_at(path)
    folder.take()
    folder.release()


@pytest.mark.parametrize("told", [None, b"", b"{", b"[]", b"\xff", b'{"url": "http://127.0.0.1"}'])
def test_a_holder_that_can_not_be_read_of_is_nobody_to_ask(path, held, waits, told):
    if told is not None:
        (path / RUNNING).write_bytes(told)
    assert folder_at(path).running() is None
