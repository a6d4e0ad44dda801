"""``bdpl-async group``: the budget that many processes share, made, changed and looked at."""

from __future__ import annotations

import asyncio
import math
import os
import re
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.optionkeys import BUDGET, OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bdpl_async.sharing.grants import Grant

__all__ = ["group"]

NONE = "none"
Limit = str | None


def _limit(text: str) -> Parameter:
    return Parameter(help=f"{text}; {NONE} takes it away", group=BUDGET, show_default=False)


def group(  # noqa: PLR0913  each is an option
    name: Annotated[str, Parameter(help="As --budget-group names it")],
    /,
    *,
    redis: Annotated[
        str | None, Parameter(help="redis://... that keeps it, else BDPL_REDIS_URL", group=OUTPUT)
    ] = None,
    max_requests: Annotated[Limit, _limit("Requests at most, of all")] = None,
    max_prompts: Annotated[Limit, _limit("Example evaluations at most")] = None,
    max_tokens: Annotated[Limit, _limit("Tokens at most")] = None,
    max_usd: Annotated[Limit, _limit("US dollars at most")] = None,
    rpm: Annotated[Limit, _limit("Requests a minute")] = None,
    tpm: Annotated[Limit, _limit("Tokens a minute")] = None,
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
) -> None:
    """Make a shared budget, change its limits, or see what is left of it."""
    limits = {
        "requests": _number("--max-requests", max_requests),
        "prompts": _number("--max-prompts", max_prompts),
        "tokens": _number("--max-tokens", max_tokens),
        "usd": _number("--max-usd", max_usd),
        "rpm": _number("--rpm", rpm),
        "tpm": _number("--tpm", tpm),
    }
    given = {key: limit for key, limit in limits.items() if limit is not None}
    address, found = asyncio.run(_asked(name, redis, given))
    if json:
        from bdpl_cli.stdout import print_json

        print_json(_document(name, address, found))
        return
    print("\n".join(_lines(name, address, found)))


async def _asked(name: str, redis: str | None, given: dict[str, float]) -> tuple[str, Grant]:
    """What the Redis says once the limits that were given hold.

    Raises:
        ConfigError: no such name, Redis or group.
    """
    from bdpl_async.errors import ConfigError
    from bdpl_async.sharing.address import Address
    from bdpl_async.sharing.grants import URL, ask
    from bdpl_async.sharing.link import Link

    if not re.fullmatch(r"[\w.-]{1,100}", name):
        raise ConfigError("NAME: letters, digits, '.', '_' and '-' only, 100 at most")
    key, text = ("--redis", redis) if redis else (URL, os.environ.get(URL, ""))
    if not text:
        raise ConfigError("--redis: no Redis is named", hint=f"give redis://HOST, or set {URL}")
    limits = {key: None if math.isinf(limit) else limit for key, limit in given.items()}
    link = Link(key, Address.of(key, text))
    try:
        found = await ask(link, name, "set" if limits else "see", limits)
    finally:
        await link.close()
    if found is None:
        hint = f"make it: bdpl-async group {name} --max-usd 5"
        raise ConfigError(f"there is no budget group {name!r} at {link.address}", hint=hint)
    return str(link.address), found


def _number(option: str, text: str | None) -> float | None:
    """A limit; infinite for one that is to be taken away.

    Raises:
        ConfigError: it is none.
    """
    from bdpl_async.errors import ConfigError

    if text is None or text == NONE:
        return None if text is None else math.inf
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        hint = f"a number above 0, or {NONE} to take the limit away"
        raise ConfigError(f"{option}: {text[:40]!r} is no limit", hint=hint)
    return number


def _document(name: str, address: str, found: Grant) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "group": name,
        "redis": address,
        "limits": found.limits,
        "spent": asdict(found.spent),
        "held": asdict(found.held),
        "kept": asdict(found.kept),
        "members": found.members,
        "lasts": found.lasts,
    }


def _lines(name: str, address: str, found: Grant) -> Iterator[str]:
    """A line a limit, and what else one should know."""
    from bdpl_async.sharing.grants import FORGETFUL
    from bdpl_async.wording import counted
    from bdpl_cli.columns import aligned, wrapped

    yield f"{name} at {address}: {counted(found.members, 'run')} at work"
    rows: list[tuple[str, ...]] = [("", "limit", "spent", "under way", "kept", "left")]
    for key in ("requests", "prompts", "tokens", "usd"):
        spent, held, kept = (getattr(part, key) for part in (found.spent, found.held, found.kept))
        limit = found.limits.get(key)
        left = "-" if limit is None else _shown(limit - spent - held - kept)
        cells = (NONE if limit is None else _shown(limit), *map(_shown, (spent, held, kept)))
        rows.append((key, *cells, left))
    yield from aligned(rows)
    for key, what in (("rpm", "requests"), ("tpm", "tokens")):
        if key in found.limits:
            yield f"{_shown(found.limits[key])} {what} a minute"
    if not found.lasts:
        yield from wrapped(f"note: {FORGETFUL.format(address=address)}")


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,.4f}"
