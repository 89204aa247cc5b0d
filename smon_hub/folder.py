"""The data folder: one hub at a time, and how the command line finds the hub that runs on it.

What a running hub tells the command line lies in a file that only the folder's owner can read: its address, and a token
of this start that makes the reader admin. Whoever can read the folder has the database anyway.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any, NamedTuple, Optional

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK, RUNNING, SETUP_CODE = ".lock", "hub.json", "setup-code"
LOCK_SECONDS = 0.05  # between two looks at a lock that another process holds
LOOKS = 5            # at a hub that tells where it is: it may be what a killed one told, seen a moment too early
WAITS = 600          # for one that does not: a command, which is soon done, or a hub that starts


class FolderUnusable(Exception):
    """Why the folder can not be used, in a sentence that names it."""


class FolderInUse(FolderUnusable):
    """Another hub or command holds it."""


class Running(NamedTuple):
    """How to reach the hub that runs; without a url it is behind another WSGI server, and where is not known."""

    url: str
    token: str


class Folder:
    """A data folder, held by this process from take() to release(). The lock lies beside the database."""

    def __init__(self, path: str, database: str):
        self.path, self.database = path, database
        self._lock: Any = None

    def take(self) -> None:
        """Make the folder and lock the database: two hubs on one would each show half. Raises FolderUnusable.

        A command that is at work, and another that comes meanwhile, wait for each other, and so does a hub that starts.
        """
        self.check_owner()
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            self._lock = open(self.database + LOCK, "a+", encoding="ascii")
        except OSError as error:
            raise FolderUnusable("The data folder %s can not be written: %s." % (self.path, error.strerror)) from None
        if not self._locked(self._lock, LOOKS):
            self._lock.close()
            raise FolderInUse("The data folder %s is in use by another hub or command." % self.path)
        self._lock.truncate(0)
        self._lock.write("%d\n" % os.getpid())
        self._lock.flush()
        self._forget()  # a hub that was killed could not do that itself

    def check_owner(self) -> None:
        """Raises FolderUnusable for root where the hub is another user's: it could not read what root writes there."""
        place = self.database if os.path.exists(self.database) else self.path
        if os.name == "posix" and os.geteuid() == 0 and os.path.exists(place):
            owner = os.stat(place).st_uid
            if owner != 0:
                raise FolderUnusable("%s belongs to user %d: run this as that user, with sudo -u '#%d'." % (
                    place, owner, owner))

    def _locked(self, stream: Any, looks: int) -> bool:
        """Wait for the lock; False once a hub told so many looks long that it keeps it, or when nobody lets go."""
        for _ in range(WAITS):
            try:
                _lock(stream)
                return True
            except OSError:
                looks -= self._told() is not None
                if looks <= 0:
                    break
                time.sleep(LOCK_SECONDS)
        return False

    def tell(self, running: Running) -> None:
        """Let the command line know how to reach this hub. Raises FolderUnusable."""
        self._put(RUNNING, json.dumps(running._asdict()))

    def put_code(self, code: str) -> None:
        """Let whoever may read the folder make the first account. Raises FolderUnusable."""
        self._put(SETUP_CODE, code + "\n")

    def drop_code(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.path, SETUP_CODE))

    def _put(self, file_name: str, text: str) -> None:
        """A whole file for its owner alone."""
        name = os.path.join(self.path, file_name)
        try:
            new = os.open(name + ".new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with open(new, "w", encoding="ascii") as file:
                file.write(text)
            os.replace(name + ".new", name)
        except OSError as error:
            raise FolderUnusable("%s can not be written: %s." % (name, error.strerror)) from None

    def release(self) -> None:
        """Forget what was told, and let another hub take the folder."""
        self._forget()
        self._lock.close()

    def running(self) -> Optional[Running]:
        """The hub that runs on this folder, if one does and can be read of; one that starts is waited for."""
        with contextlib.suppress(OSError), open(self.database + LOCK, "r+", encoding="ascii") as lock:
            if not self._locked(lock, 1):
                return self._told()
        return None

    def _forget(self) -> None:
        self.drop_code()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.path, RUNNING))

    def _told(self) -> Optional[Running]:
        try:
            with open(os.path.join(self.path, RUNNING), encoding="ascii") as file:
                return Running(**json.load(file))
        except (OSError, ValueError, TypeError):
            return None


def _lock(stream: Any) -> None:
    """Raises OSError when another process holds it."""
    if sys.platform == "win32":
        stream.seek(0)  # it locks from where the stream stands
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
