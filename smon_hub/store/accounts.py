"""People, their sessions, and tokens: of scripts and for registration. Secrets are here only as their hashes."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Tuple

from . import versions
from .commits import Database, insert, put

Row = Dict[str, Any]

USERS = ("name", "role", "password_hash", "created_at", "last_login_at")
SESSIONS = ("token_hash", "account", "created_at", "used_at")
API_TOKENS = ("token_hash", "name", "role", "created_at", "created_by", "expires_at", "last_used_at")
REGISTRATION_TOKENS = ("token_hash", "name", "group_name", "created_at", "created_by", "expires_at", "uses_left")


# --- people -----------------------------------------------------------------------------------------------------------

def users(db: Database) -> List[Row]:
    return _rows(db, "users", ("id", *USERS))


def add_user(db: Database, row: Row) -> int:
    """The new id."""
    return _add(db, "users", USERS, row)


def alone(db: Database) -> None:
    """Nobody else changes users, sessions or tokens until the transaction has ended: what is looked at now holds."""
    versions.grow(db, versions.ACCOUNTS)


def change_user(db: Database, user: int, columns: Row) -> None:
    names = [key for key in USERS if key in columns]
    versions.grow(db, versions.ACCOUNTS)
    db.execute("UPDATE users SET %s WHERE id = ?" % ", ".join(name + " = ?" for name in names),
               [*(columns[name] for name in names), user])


def remove_user(db: Database, user: int) -> None:
    versions.grow(db, versions.ACCOUNTS)
    db.execute("DELETE FROM users WHERE id = ?", [user])
    end_sessions(db, user)


# --- sessions ---------------------------------------------------------------------------------------------------------

def sessions(db: Database) -> List[Row]:
    return _rows(db, "sessions", SESSIONS)


def add_session(db: Database, row: Row) -> None:
    versions.grow(db, versions.ACCOUNTS)
    put(db, "sessions", SESSIONS, (row[key] for key in SESSIONS))


def end_session(db: Database, token_hash: str) -> None:
    versions.grow(db, versions.ACCOUNTS)
    db.execute("DELETE FROM sessions WHERE token_hash = ?", [token_hash])


def end_sessions(db: Database, user: int, but: str = "") -> None:
    """All of a user's sessions, but one if it is named."""
    versions.grow(db, versions.ACCOUNTS)
    db.execute("DELETE FROM sessions WHERE account = ? AND token_hash <> ?", [user, but])


def settle(db: Database, sessions: Iterable[Tuple[int, str]], tokens: Iterable[Tuple[int, int]]) -> None:
    """Write back (used_at, token_hash) of sessions and (last_used_at, id) of tokens."""
    db.executemany("UPDATE sessions SET used_at = ? WHERE token_hash = ?", sessions)
    db.executemany("UPDATE api_tokens SET last_used_at = ? WHERE id = ?", tokens)


# --- tokens of scripts ------------------------------------------------------------------------------------------------

def api_tokens(db: Database) -> List[Row]:
    return _rows(db, "api_tokens", ("id", *API_TOKENS))


def add_api_token(db: Database, row: Row) -> int:
    """The new id."""
    return _add(db, "api_tokens", API_TOKENS, row)


def remove_api_token(db: Database, token: int) -> None:
    versions.grow(db, versions.ACCOUNTS)
    db.execute("DELETE FROM api_tokens WHERE id = ?", [token])


# --- tokens for registration ------------------------------------------------------------------------------------------

def registration_tokens(db: Database) -> List[Row]:
    return _rows(db, "registration_tokens", ("id", *REGISTRATION_TOKENS))


def count_registration_tokens(db: Database) -> int:
    return db.execute("SELECT COUNT(*) FROM registration_tokens").fetchone()[0]


def add_registration_token(db: Database, row: Row) -> int:
    """The new id."""
    return _add(db, "registration_tokens", REGISTRATION_TOKENS, row)


def use_registration_token(db: Database, token_hash: str, now: int) -> Optional[Row]:
    """Take one use of a token, if it has one and holds: its row, or None."""
    taken = db.execute("UPDATE registration_tokens SET uses_left = uses_left - 1 WHERE token_hash = ? "
                       "AND (expires_at IS NULL OR expires_at > ?) AND (uses_left IS NULL OR uses_left > 0)",
                       [token_hash, now])
    if taken.rowcount != 1:
        return None
    return next(row for row in registration_tokens(db) if row["token_hash"] == token_hash)


def remove_registration_token(db: Database, token: int) -> Optional[str]:
    """The name of what was removed, or None when there is no such token."""
    found = db.execute("SELECT name FROM registration_tokens WHERE id = ?", [token]).fetchone()
    db.execute("DELETE FROM registration_tokens WHERE id = ?", [token])
    return found[0] if found else None


def _rows(db: Database, table: str, columns: Tuple[str, ...]) -> List[Row]:
    found = db.execute("SELECT %s FROM %s ORDER BY 1" % (", ".join(columns), table))
    return [dict(zip(columns, values)) for values in found]


def _add(db: Database, table: str, columns: Tuple[str, ...], row: Row) -> int:
    versions.grow(db, versions.ACCOUNTS)
    return insert(db, table, columns, (row[key] for key in columns))
