"""A process in a budget group: nothing is sent before the group's Redis has granted it.

    reserve --granted--> send --> settled
       |                             told with the next call
       +--refused: BudgetExhausted   +--waits: rate, bounds under way, a Redis that is away

What many coroutines ask for goes in one call. Money fails closed: while the Redis is away nothing
is granted, and after `PATIENCE` the run ends, saved. A process that dies is told apart by its
lease: what it held counts as spent, what it had kept for its end is others' again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from bdpl_async.budget import COUNTED, Amount, Budget
from bdpl_async.errors import BudgetExhausted, ConfigError, ProviderRefused, ProviderUnavailable
from bdpl_async.sharing.link import Link, Unreachable
from bdpl_async.sharing.share import Share, narrowed

__all__ = ["Member", "base_of"]

LEASE: Final = 10.0  # seconds without a word after which a process counts as dead
BEAT: Final = LEASE / 3
LAZY: Final = 0.05  # seconds that what was settled waits for company
PATIENCE: Final = 60.0  # seconds that a run waits for a Redis that is away
MOST: Final = 128  # requests a call
PARTING: Final = 5.0  # seconds for the last word
FIRST, LAST = 0.1, 2.0  # seconds between tries to reach it


def base_of(name: str) -> str:
    """What the keys of a group begin with."""
    return f"bdpl:1:g:{name}:"


@dataclass(slots=True, eq=False)
class _Want:
    number: int
    amount: Amount
    granted: asyncio.Future[None]


class Member:
    """One run's, from `begin` to `close`.

    Args:
        link: to the Redis; closed with the member.
        name: of the group.
        mark: of its grant; another one is another grant.
        clock: monotonic seconds.
        sleep: as `asyncio.sleep`.

    Attributes:
        left: of each limit of the group, by the newest word; None for no limit.
        notes: to be said once.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        mark: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.notes: tuple[str, ...] = ()
        self.left: dict[str, float | None] = dict.fromkeys(COUNTED)
        self._link, self._mark = link, mark
        self._clock, self._sleep = clock, sleep
        self._me = uuid4().hex
        self._share = Share()
        self._calls = 0
        self._calling = asyncio.Lock()
        self._wants: list[_Want] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._away: float | None = None  # since when
        self._trouble = ""
        self._obstacle = ""
        self._pump: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent at present, in one sentence."""
        return self._trouble or None

    @property
    def waiting(self) -> tuple[int, str]:
        """How many requests wait for the group's leave, and for what."""
        return len(self._wants), self._obstacle or "the budget group"

    async def begin(self) -> None:
        """Say that we are here.

        Raises:
            ProviderRefused: there is no such grant any more.
            Unreachable, ConfigError: as `Link.run`.
        """
        await self._call([])
        self._pump = asyncio.create_task(self._work())
        self._pump.add_done_callback(self._broken)

    async def reserve(self, number: int, amount: Amount) -> None:
        """Wait until the group grants `amount` to our reservation of this number.

        Raises:
            BudgetExhausted: what is left of the group's budget does not hold it.
            ProviderRefused: the group's Redis is away for good, or has forgotten the group.
        """
        want = _Want(number, amount, asyncio.get_running_loop().create_future())
        self._wants.append(want)
        self._hurry.set()
        self._wake.set()
        try:
            await want.granted
        except asyncio.CancelledError:
            if want in self._wants:
                self._wants.remove(want)
            if want.granted.done() and not want.granted.cancelled():
                self.settled(number, Amount())
            raise

    def settled(self, number: int, actual: Amount) -> None:
        """Reservation `number` came to `actual`; nothing, if it was not sent."""
        if self._share.settle(number, actual):
            self._wake.set()

    async def keep(self, amount: Amount) -> str | None:
        """Keep so much for what comes after the search; the limit that does not hold it, or None.

        Raises:
            ProviderRefused: there is no such grant any more.
            ProviderUnavailable: the Redis was away for too long.
        """
        self._share.kept = amount
        pause, began = FIRST, self._clock()
        while True:
            try:
                short = await self._call([], wishes=True)
            except (Unreachable, ConfigError) as error:
                if self._clock() - began >= PATIENCE:
                    raise ProviderUnavailable(self._absence(error), fate="unsent") from None
                await self._sleep(pause)
                pause = min(LAST, 2 * pause)
            else:
                self._share.kept = amount if short is None else Amount()
                return short

    def granted(self, budget: Budget, used: Amount) -> Budget:
        """What a run may plan with that has used so much: its own budget, or what is left here."""
        return narrowed(budget, used, self.left)

    def fits(self, amount: Amount) -> bool:
        """Whether so much more seems to be left for us; others may be faster."""
        return all(
            left is None or getattr(amount, name) <= left for name, left in self.left.items()
        )

    def draw(self) -> None:
        """The search is over: what was kept is for requests from now on."""
        self._share.draws = True

    async def close(self) -> None:
        """Say the last word, for a few seconds at most, and hang up."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        with suppress(TimeoutError, Unreachable, ConfigError, ProviderRefused):
            async with asyncio.timeout(PARTING):
                await self._call([], leaves=True)
        await self._link.close()

    async def _work(self) -> None:
        pause = FIRST
        while True:
            await self._turn()
            wants = self._wants[:MOST]
            try:
                await self._call(wants)
            except (Unreachable, ConfigError) as error:
                self._is_away(error)
                await self._sleep(pause)
                pause = min(LAST, 2 * pause)
                self._wake.set()
            except ProviderRefused as error:
                self._fail(error)
            else:
                pause = FIRST

    async def _turn(self) -> None:
        """Wait until there is something to say, or a beat."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT):
                await self._wake.wait()
        if not self._wants:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAZY):
                    await self._hurry.wait()
        self._wake.clear()
        self._hurry.clear()

    async def _call(
        self, wants: list[_Want], *, leaves: bool = False, wishes: bool = False
    ) -> str | None:
        """Say where we stand and ask for `wants`; the limit that refuses a wish."""
        share = self._share
        async with self._calling:
            self._calls += 1
            corrections = share.corrections()
            words: list[str | int | float] = [
                *(repr(n) for a in (share.spent, share.held, share.kept) for n in a.numbers),
                *map(int, (share.draws, leaves, wishes)),
                len(corrections),
                *(number for pair in corrections.items() for number in pair),
                *(repr(n) for want in wants for n in want.amount.numbers),
            ]
            lease = round(LEASE * 1000)
            found = await self._link.run(
                "share", base_of(self.name), self._mark, self._me, self._calls, lease, *words
            )
            return await self._heard(found, wants)

    async def _heard(self, found: list[bytes | int], wants: list[_Want]) -> str | None:
        """Do what an answer says."""
        what = _text(found[0])
        if what == "late":  # of an earlier call; say it again
            self._wake.set()
            return None
        if what != "ok":
            raise ProviderRefused(
                f"the budget group {self.name!r} is not in {self._link.address} any more, and what"
                " it had spent is not known",
                hint="look into that Redis, then make the grant anew: bdpl-async group",
                fate="unsent",
            )
        self._away, self._trouble = None, ""
        count, answer, second = int(found[1]), _text(found[2]), int(found[3])
        self.left = {
            name: float(text) if (text := _text(left)) else None
            for name, left in zip(COUNTED, found[4:], strict=True)
        }
        for want in wants[:count]:
            self._grant(want, second)
        rest = wants[count:]
        ms, _, why = answer.partition(" ")
        if not rest:
            return answer or None
        if why:
            await self._wait(int(ms), why)
        elif answer:
            self._refuse(rest[0], answer)
            self._wake.set()
        return None

    def _grant(self, want: _Want, second: int) -> None:
        self._share.take(want.number, want.amount, second)
        if want in self._wants:
            self._wants.remove(want)
        if want.granted.done():  # nobody waits any more
            self._share.settle(want.number, Amount())
        else:
            want.granted.set_result(None)

    async def _wait(self, ms: int, why: str) -> None:
        self._obstacle = {
            "rate": "the limits of the budget group",
            "restart": "the budget group, whose Redis was restarted",
        }.get(why, "the budget group")
        await self._sleep(min(ms / 1000, 1.0))
        self._wake.set()
        self._hurry.set()

    def _refuse(self, want: _Want, limit: str) -> None:
        if want in self._wants:
            self._wants.remove(want)
        if not want.granted.done():
            more = getattr(want.amount, limit)
            text = f"the budget of group {self.name!r} leaves no room for {more} more {limit}"
            want.granted.set_exception(BudgetExhausted(text))

    def _is_away(self, error: Exception) -> None:
        """Remember since when, and in the end give up."""
        now = self._clock()
        self._away = now if self._away is None else self._away
        self._obstacle = "the budget group, whose Redis is away"
        self._trouble = f"{self._absence(error)}; nothing is sent until it can"
        if now - self._away >= PATIENCE:
            text = f"{self._absence(error)} for {PATIENCE:g} s, and nothing is sent without it"
            self._fail(ProviderRefused(text, hint="go on when it is back", fate="unsent"))

    def _absence(self, error: Exception) -> str:
        where = self._link.address
        return f"the budget group {self.name!r} cannot be asked at {where} ({error.args[0]})"

    def _broken(self, pump: asyncio.Task[None]) -> None:
        """Let nobody wait for ever for a pump with a mistake in it."""
        if not pump.cancelled() and (error := pump.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        wants, self._wants = self._wants, []
        for want in wants:
            if not want.granted.done():
                want.granted.set_exception(error)


def _text(value: bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
