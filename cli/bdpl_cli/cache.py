"""``bdpl-async cache stats|prune|verify``: look after the response cache.

Exit codes: 0 done or nothing wrong, 1 damage found and not mended, 2 bad usage.
"""

from __future__ import annotations

import math
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from bdpl_async.caching.care import Verdict

__all__ = ["prune", "stats", "verify"]

DAY = 86_400  # seconds
MB = 1_000_000  # bytes
DAMAGED = 1

Cache = Annotated[str | None, Parameter(help="The file; else where runs keep it")]
Json = Annotated[bool, Parameter(help="One JSON document on stdout", negative=())]


def stats(*, cache: Cache = None, json: Json = False) -> None:
    """Say what is in the cache."""
    from bdpl_async.caching import care as cachecare

    found = cachecare.stats(_path(cache))
    document: dict[str, object] = {
        "path": str(found.path),
        "entries": found.entries,
        "bytes": found.bytes,
        "oldest": _date(found.oldest),
        "newest": _date(found.newest),
        "schema": found.schema,
    }
    if json:
        _write(document)
    elif not found.entries:
        print(f"{clean(str(found.path))}: empty")
    else:
        print(
            f"{clean(str(found.path))}: {found.entries:,} answers, {found.bytes / MB:.1f} MB,"
            f" from {document['oldest']} to {document['newest']}, schema {found.schema}"
        )


def prune(
    *,
    older_than: Annotated[float | None, Parameter(help="Remove what is older, in days")] = None,
    max_entries: Annotated[int | None, Parameter(help="Answers that may stay")] = None,
    max_mb: Annotated[float | None, Parameter(help="Size that the file may have, in MB")] = None,
    cache: Cache = None,
    json: Json = False,
) -> None:
    """Remove old answers, the oldest first, and give their room back."""
    from bdpl_async.caching import care as cachecare
    from bdpl_async.errors import ConfigError

    given = {"--older-than": older_than, "--max-entries": max_entries, "--max-mb": max_mb}
    for option, value in given.items():
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"{option} {value}: must be 0 or more")
    if all(value is None for value in given.values()):
        raise ConfigError("cache prune: say what may go", hint=f"give {' or '.join(given)}")
    path = _path(cache)
    removed = cachecare.prune(
        path,
        before=None if older_than is None else time.time() - older_than * DAY,
        most=max_entries,
        most_bytes=None if max_mb is None else max_mb * MB,
    )
    left = cachecare.stats(path)
    if json:
        numbers = {"removed": removed, "entries": left.entries, "bytes": left.bytes}
        _write({"path": str(left.path), **numbers})
    else:
        print(
            f"{clean(str(left.path))}: {removed:,} answers removed, {left.entries:,} left,"
            f" {left.bytes / MB:.1f} MB"
        )


def verify(
    *,
    repair: Annotated[bool, Parameter(help="Remove what is bad", negative=())] = False,
    cache: Cache = None,
    json: Json = False,
) -> int:
    """Check the file and every answer in it; 1 if something is wrong and was not repaired."""
    from bdpl_async.caching import care as cachecare

    found = cachecare.verify(_path(cache), repair=repair)
    if json:
        _write(
            {
                "path": str(found.path),
                "fine": found.fine,
                "entries": found.entries,
                "bad": found.bad,
                "damage": found.damage,
                "repaired": found.repaired,
                "aside": None if found.aside is None else str(found.aside),
            }
        )
    else:
        print(f"{clean(str(found.path))}: {clean(_told(found))}")
    return 0 if found.fine else DAMAGED


def _told(found: Verdict) -> str:
    """The verdict in one line."""
    parts = [f"{found.entries:,} answers in order"]
    if found.damage:
        parts = [f"damaged ({found.damage})"]
        if found.repaired:
            parts.append(f"{found.entries:,} answers saved")
    if found.bad:
        parts.append(f"{found.bad:,} bad rows {'removed' if found.repaired else 'found'}")
    if found.aside is not None:
        parts.append(f"the old file is {found.aside.name}")
    if not found.fine:
        parts.append("mend it with --repair")
    return "; ".join(parts)


def _path(setting: str | None) -> Path:
    """The file to look at.

    Raises:
        ConfigError: the setting names no file.
    """
    from bdpl_async.caching.file import default_path
    from bdpl_async.errors import ConfigError

    try:
        if setting is None:
            return default_path()
        if setting and setting != "none" and "://" not in setting:
            return Path(setting).expanduser()
    except RuntimeError as error:  # no home
        raise ConfigError(f"--cache: {error}") from None
    raise ConfigError(f"--cache {setting!r}: names no file that could be looked at")


def _date(seconds: int | None) -> str | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):  # a row that we did not write
        return None


def _write(document: dict[str, object]) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
