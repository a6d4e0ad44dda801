"""``bdpl-async cache stats|prune|verify``: look after the response cache.

Exit codes: 0 done or nothing wrong, 1 damage found and not mended, 2 bad usage.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.columns import wrapped
from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bdpl_async.caching.care import Stats, Verdict

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
    if json:
        _write(
            {
                "path": str(found.path),
                "entries": found.entries,
                "bytes": found.bytes,
                "oldest": _date(found.oldest),
                "newest": _date(found.newest),
                "schema": found.schema,
                "prompts": found.prompts,
                "tokens": found.tokens,
            }
        )
    elif found.schema is None:
        print(f"{clean(str(found.path))}: not there yet; a run that asks a server makes it")
    elif not found.entries:
        print(f"{clean(str(found.path))}: empty")
    else:
        print("\n".join(_lines(found)))


def _lines(found: Stats) -> Iterator[str]:
    from bdpl_async.wording import counted

    yield clean(str(found.path))
    yield f"  {counted(found.entries, 'answer')}, {_megabytes(found.bytes)}"
    if (age := _ages(found)) is not None:
        yield f"  {age}"
    spared = f"{counted(found.prompts, 'prompt')} and {counted(found.tokens, 'token')}"
    yield f"  asking the same again spares {spared}"


def _ages(found: Stats) -> str | None:
    """How old the answers are; None where the file does not say."""
    oldest, newest = _date(found.oldest), _date(found.newest)
    if oldest is None or newest is None or found.oldest is None or found.newest is None:
        return None
    now = time.time()
    if now - found.oldest < DAY:
        return "less than a day old"
    ages = (f"{max(0.0, now - then) / DAY:,.1f}" for then in (found.newest, found.oldest))
    return f"{' to '.join(ages)} days old, from {oldest[:10]} to {newest[:10]}"


def _megabytes(size: float) -> str:
    return f"{size / MB:,.1f} MB" if size >= MB / 10 else f"{1000 * size / MB:.0f} kB"


def prune(
    *,
    older_than: Annotated[float | None, Parameter(help="Remove what is older, in days")] = None,
    max_entries: Annotated[int | None, Parameter(help="Answers that may stay")] = None,
    max_mb: Annotated[float | None, Parameter(help="Size that the file may have, in MB")] = None,
    dry_run: Annotated[bool, Parameter(help="Only say what would go", negative=())] = False,
    cache: Cache = None,
    json: Json = False,
) -> None:
    """Remove old answers, the oldest first, and give their room back."""
    from bdpl_async.caching import care as cachecare

    _check_amounts({"--older-than": older_than, "--max-entries": max_entries, "--max-mb": max_mb})
    path = _path(cache)
    remove = cachecare.prunable if dry_run else cachecare.prune
    removed = remove(
        path,
        before=None if older_than is None else time.time() - older_than * DAY,
        most=max_entries,
        most_bytes=None if max_mb is None else max_mb * MB,
    )
    left = cachecare.stats(path)
    if json:
        numbers = {"removed": removed, "entries": left.entries, "bytes": left.bytes}
        _write({"path": str(left.path), **numbers, "dry_run": dry_run})
        return
    from bdpl_async.wording import counted

    gone = counted(removed, "answer")
    print(clean(str(left.path)))
    if dry_run:
        about = "about " if max_mb is not None else ""
        print(f"  {about}{gone} of {left.entries:,} would go; nothing was removed")
    else:
        print(f"  {gone} removed, {left.entries:,} left, {_megabytes(left.bytes)}")


def _check_amounts(given: Mapping[str, float | None]) -> None:
    """See to it that something may go.

    Raises:
        ConfigError: nothing is given, or no amount.
    """
    from bdpl_async.errors import ConfigError

    for option, value in given.items():
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"{option} {value}: must be 0 or more")
    if all(value is None for value in given.values()):
        raise ConfigError("cache prune: say what may go", hint=f"give {' or '.join(given)}")


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
        print(clean(str(found.path)))
        print("\n".join(wrapped(f"  {_told(found)}")))
    return 0 if found.fine else DAMAGED


def _told(found: Verdict) -> str:
    """The verdict in one line."""
    from bdpl_async.wording import counted

    parts = [f"{counted(found.entries, 'answer')} in order"]
    if found.damage:
        parts = [f"damaged ({found.damage})"]
        if found.repaired:
            parts.append(f"{counted(found.entries, 'answer')} saved")
    if found.bad:
        did = "removed" if found.repaired else "found"
        parts.append(f"{counted(found.bad, 'bad row')} {did}")
    if found.aside is not None:
        parts.append(f"the old file is now {found.aside.name}")
    if not found.fine:
        parts.append("the same with --repair mends it")
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
    hint = None
    if setting and "://" in setting:
        hint = "a Redis keeps answers for as long as its address says, see docs/operating.md"
    raise ConfigError(f"--cache {setting!r}: names no file that could be looked at", hint=hint)


def _date(seconds: int | None) -> str | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):  # a row that we did not write
        return None


def _write(document: dict[str, object]) -> None:
    from bdpl_cli.stdout import print_json

    print_json(document)
