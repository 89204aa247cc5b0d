"""Which of several hubs does the work that one does for all. The clock is the database's, the same for all of them."""

from __future__ import annotations

from typing import List

from .commits import Database


def take(db: Database, name: str, holder: str, milliseconds: int) -> bool:
    """Hold a lease from now on for a while: whether it was free, over, or the caller's own. One that is held for longer
    than anybody asks is of a clock that was put back."""
    now = db.moment()
    done = db.execute("UPDATE leases SET holder = ?, until = ? WHERE name = ? "
                      "AND (holder = ? OR until <= ? OR until > ?)",
                      [holder, now + milliseconds, name, holder, now, now + 2 * milliseconds])
    if done.rowcount == 1:
        return True
    return db.execute("INSERT INTO leases (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
                      [name, holder, now + milliseconds]).rowcount == 1


def give_back(db: Database, holder: str) -> None:
    """Whatever this hub holds is free for the others."""
    db.execute("UPDATE leases SET until = 0 WHERE holder = ?", [holder])


def sweep(db: Database, before: int) -> None:
    """Forget those that ended before a moment: each start of a hub leaves one."""
    db.execute("DELETE FROM leases WHERE until < ?", [before])


def holders(db: Database) -> List[str]:
    """The hubs that live."""
    return [holder for holder, in db.execute("SELECT DISTINCT holder FROM leases WHERE until > ?", [db.moment()])]
