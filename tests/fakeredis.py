"""A stand-in for a link to a Redis: the scripts' rules in Python, and an absence at will.

The real scripts are proved against a real redis-server, in tests/cluster.
"""

from __future__ import annotations

from typing import Any

from bdpl_async.sharing.address import Address
from bdpl_async.sharing.link import Unreachable

__all__ = ["FakeLink", "FakeStore", "away"]


class FakeStore:
    """What a Redis holds; several links share it.

    Attributes:
        away: why it cannot be reached.
        dead: owners whose lease is over.
        calls: scripts that were run.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.claims: dict[bytes, str] = {}
        self.away: Exception | None = None
        self.dead: set[str] = set()
        self.calls: list[str] = []

    def look(self, owner: str, claims: int, *keys: bytes) -> list[bytes | int]:
        found: list[bytes | int] = []
        for key in keys:
            holder = self.claims.get(key)
            taken = claims and holder not in (None, owner) and holder not in self.dead
            found.append(self.rows.get(key, int(bool(taken))))
            if claims and key not in self.rows and not taken:
                self.claims[key] = owner
        return found

    def keep(self, owner: str, _expire: int, count: int, *rest: Any) -> int:
        rows = [rest[i : i + 3] for i in range(0, 3 * count, 3)]
        for key, row, replaces in rows:
            if replaces or key not in self.rows:
                self.rows[key] = row
        for key in (*(row[0] for row in rows), *rest[3 * count :]):
            if self.claims.get(key) == owner:
                del self.claims[key]
        return count


class FakeLink:
    """One process's link to it."""

    key = "run.cache"
    address = Address("fake")

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.closed = False

    async def run(self, script: str, *values: Any, patience: float = 2.0) -> Any:
        if self.store.away is not None:
            raise self.store.away
        self.store.calls.append(script)
        _prefix, owner, _lease, *rest = values
        return getattr(self.store, script)(owner, *rest)

    async def close(self) -> None:
        self.closed = True


def away() -> Unreachable:
    return Unreachable("no answer within 2 s")
