"""The grants of budget groups: made, changed, looked at, and joined by a run."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from bdpl_async.budget import COUNTED, Amount
from bdpl_async.config import Config
from bdpl_async.errors import ConfigError, ProviderRefused, ProviderUnavailable
from bdpl_async.sharing.address import Address, is_address
from bdpl_async.sharing.link import Link, Unreachable
from bdpl_async.sharing.member import Member, base_of

__all__ = ["LIMITS", "Grant", "ask", "joined", "refuse_absent", "where"]

LIMITS: Final = (*COUNTED, "rpm", "tpm")
URL: Final = "BDPL_REDIS_URL"
REST: Final = 1.0  # seconds before a Redis that is away is asked again
FORGETFUL: Final = (
    "{address} keeps no append-only file: if it is restarted it may forget what the budget group"
    " has spent; set appendonly yes there"
)


@dataclass(frozen=True, slots=True)
class Grant:
    """A group as it stands.

    Attributes:
        mark: of this very grant.
        new: whether it was made by this call.
        limits: by name, those that hold.
        spent: by all, ever; what died in flight included.
        held: by processes that live, for requests under way.
        kept: by processes that live, for what comes after their search.
        members: processes that live.
        lasts: whether the Redis writes everything down.
    """

    mark: str
    new: bool
    limits: dict[str, float]
    spent: Amount
    held: Amount
    kept: Amount
    members: int
    lasts: bool


def where(config: Config, environ: Mapping[str, str] = os.environ) -> tuple[str, Address]:
    """The Redis that keeps the groups, and the setting that names it.

    Raises:
        ConfigError: none does, or what does is no address.
    """
    for key, text in (
        ("group.redis", config.group.redis),
        ("run.cache", config.run.cache if is_address(config.run.cache) else None),
        (URL, environ.get(URL)),
    ):
        if text:
            return key, Address.of(key, text)
    raise ConfigError(
        "group.name: no Redis is named to keep the group's budget",
        hint=f"give --budget-redis redis://HOST, or --cache redis://HOST, or set {URL}",
    )


async def ask(link: Link, name: str, what: str, limits: Mapping[str, float | None]) -> Grant | None:
    """Join a group (which makes one that is not there), set its limits, or see it.

    Args:
        link: to the Redis.
        name: of the group.
        what: ``join``, ``set`` or ``see``.
        limits: for a new one; ``set`` changes those that are named, None takes one away.

    Raises:
        ConfigError: the Redis refuses, cannot be reached, or may drop what it holds.
    """
    try:
        return await _asked(link, name, what, limits)
    except Unreachable as error:
        raise ConfigError(f"{link.key}: {link.address} cannot be used: {error}") from None


async def refuse_absent(configs: Iterable[Config]) -> None:
    """See to it that the groups that these name can be asked; once each.

    Raises:
        ConfigError: one cannot.
    """
    groups = {(config.group.name, *where(config)) for config in configs if config.group.name}
    for name, key, address in groups:
        link = Link(key, address)
        try:
            await ask(link, name, "see", {})
        finally:
            await link.close()


async def _asked(
    link: Link, name: str, what: str, limits: Mapping[str, float | None]
) -> Grant | None:
    words = [word for key, limit in limits.items() for word in (key, _word(limit))]
    found = await link.run("grant", base_of(name), uuid4().hex, what, *words)
    new, grant, members, now, lasts, policy = found
    if policy.startswith(b"allkeys"):
        raise ConfigError(
            f"{link.key}: {link.address} may drop a group's budget when its memory is full"
            f" (maxmemory-policy {policy.decode()})",
            hint="set maxmemory-policy volatile-lru there, which drops cached answers only",
        )
    fields = _pairs(grant)
    if "mark" not in fields:
        return None
    alive = [m for m in map(_numbers, _pairs(members).values()) if m[1] > now and not m[2]]
    every = [_numbers(text) for text in _pairs(members).values()]
    gone = Amount.of(_numbers(fields.get("gone", "0 0 0 0")))
    held = sum((Amount.of(m[7:11]) for m in alive), Amount())
    taken = sum((Amount.of(m[3:7]) + Amount.of(m[7:11]) for m in every), gone)
    return Grant(
        mark=fields["mark"],
        new=bool(new),
        limits={key: float(fields[key]) for key in LIMITS if key in fields},
        spent=taken - held,
        held=held,
        kept=sum((Amount.of(m[11:15]) for m in alive), Amount()),
        members=len(alive),
        lasts=lasts == b"1",
    )


@asynccontextmanager
async def joined(
    config: Config,
    patience: float = 0.0,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Member | None]:
    """The membership in the group that the configuration names; None if it names none.

    A group that is not there is made, with the run's own limits for its grant.

    Args:
        config: of the run.
        patience: seconds to wait for a Redis that is away.
        clock: monotonic seconds.
        sleep: as `asyncio.sleep`.

    Raises:
        ConfigError: the group cannot be asked, or is not there and the run has no limits.
        ProviderUnavailable: it could not be asked for all of `patience`.
    """
    name = config.group.name
    if name is None:
        if config.group.redis is not None:
            raise ConfigError("group.redis: no group is named", hint="give --budget-group NAME")
        yield None
        return
    until = clock() + patience
    while (member := await _tried(config, name, patience, clock() >= until)) is None:
        await sleep(REST)
    try:
        yield member
    finally:
        await member.close()


async def _tried(config: Config, name: str, patience: float, last: bool) -> Member | None:
    """None for a Redis that is away, unless this is the last try."""
    try:
        return await _entered(config, name)
    except Unreachable as error:
        if not last:
            return None
        key, address = where(config)
        text = f"{key}: {address} cannot be used: {error}"
    if not patience:
        raise ConfigError(text)
    raise ProviderUnavailable(f"{text}, for {patience:g} s", hint="go on when it is back")


async def _entered(config: Config, name: str) -> Member:
    async with AsyncExitStack() as stack:
        link = Link(*where(config))
        stack.push_async_callback(link.close)
        grant = await _asked(link, name, "join", _own_limits(config))
        if grant is None:
            raise ConfigError(
                f"group.name: there is no budget group {name!r} at {link.address}",
                hint=f"make one: bdpl-async group {name} --max-usd 5; or give this run a limit,"
                " which becomes the new group's",
            )
        member = Member(link, name, grant.mark)
        member.notes = _notes(name, grant, link.address)
        try:
            await member.begin()
        except ProviderRefused as error:
            raise ConfigError(f"{link.key}: {error.args[0]}") from None
        stack.pop_all()  # the member closes the link
    return member


def _own_limits(config: Config) -> dict[str, float | None]:
    budget, model = config.budget, config.model
    found = {name: getattr(budget, name) for name in COUNTED}
    if not any(limit is not None for limit in found.values()):
        return {}
    found |= {"rpm": model.rpm, "tpm": model.tpm}
    return {name: limit for name, limit in found.items() if limit is not None}


def _notes(name: str, grant: Grant, address: Address) -> tuple[str, ...]:
    limits = ", ".join(f"{limit:,g} {key}" for key, limit in grant.limits.items())
    new = (f"the budget group {name!r} is new; it has this run's limits: {limits}",)
    forgets = (FORGETFUL.format(address=address),)
    return (*(new if grant.new else ()), *(() if grant.lasts else forgets))


def _word(limit: float | None) -> str:
    return "" if limit is None else repr(limit)


def _pairs(flat: list[bytes]) -> dict[str, str]:
    words = [word.decode() for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]
