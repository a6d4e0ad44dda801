"""Opening a cache file as well as it goes, and what may go wrong with it that may also go by."""

from __future__ import annotations

import errno
import sqlite3

from bdpl_async.caching.access import may_write, only_reading
from bdpl_async.caching.place import InUse, Place
from bdpl_async.caching.table import Foreign, Table, Unreadable
from bdpl_async.errors import ConfigError

__all__ = ["TROUBLES", "open_to_read", "open_to_write", "reason_of"]

TROUBLES = (sqlite3.Error, OSError, InUse, Foreign, ConfigError)
READ_ONLY = "it is read-only here"
PATIENCE = 5.0  # seconds


def reason_of(error: Exception) -> str:
    """What is the matter, without the file's name, which the sentence around it has."""
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]


def open_to_write(place: Place) -> Table:
    """The table, for adding rows.

    Raises:
        OSError: it may only be read here.
        Exception: as `Table`, and as `Place.hold`.
    """
    place.hold()
    if place.path.exists() and not may_write(place.path):
        raise OSError(errno.EROFS, READ_ONLY, str(place.path))
    return Table(place.path)


def open_to_read(place: Place, patience: float = PATIENCE) -> Table:
    """The table, as one that may be written where it can be; else as it can be read.

    On a full disk no log can be made, and in a folder of somebody else's none may.

    Raises:
        Exception: as `Table`, and as `Place.hold`.
    """
    place.hold()
    if not may_write(place.path):
        return Table(place.path, patience=patience, access=only_reading(place.path))
    try:
        return Table(place.path, patience=patience)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        first = error
    try:
        return Table(place.path, patience=patience, access=only_reading(place.path))
    except (sqlite3.Error, OSError, Foreign, Unreadable):
        raise first from None
