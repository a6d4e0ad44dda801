"""One request's way to the model: reserve, wait for a turn, attempt, settle; and again if it helps.

    reserve -> limiter -> attempt -> settle
       ^                     | ProviderUnavailable
       +------- wait --------+

The only layer that retries. Every attempt reserves and settles for itself, so the ledger, the
limiter and the events see all of them. It knows neither texts nor caches.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from bdpl_async.again import Again, Doubt, never
from bdpl_async.bill import billed
from bdpl_async.books import Books
from bdpl_async.budget import Amount, Ledger, Reservation
from bdpl_async.errors import (
    BudgetExhausted,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    StorageError,
)
from bdpl_async.halt import GRACE, Halt, Stopped
from bdpl_async.limits.limiter import Limiter, Ticket
from bdpl_async.limits.standing import Standing
from bdpl_async.records import Billed, Usage
from bdpl_async.saving.diary import Diary
from bdpl_async.sharing.member import Member
from bdpl_async.telemetry.observer import Observer
from bdpl_async.terms import Terms, Traffic

__all__ = ["Channel"]

Answer = TypeVar("Answer", bound=Billed)
Exchange = Callable[[], Awaitable[Answer]]


class Channel:
    """Sends requests within a budget, within the provider's limits, and again where that helps.

    Args:
        name: the scorer's, for messages.
        ledger: refuses what the budget does not hold.
        terms: limits and prices.
        diary: where what is sent and paid is written down; None: nowhere.
        clock: monotonic seconds.
        sleep: as `asyncio.sleep`.
        draw: uniform numbers in [0, 1) that spread waits; they decide no result.
    """

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        terms: Terms,
        *,
        diary: Diary | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.ledger = ledger
        self.terms = terms
        self.group: Member | None = None
        self.books = Books(ledger, Diary() if diary is None else diary, local=terms.local)
        self.limiter = Limiter(
            rpm=terms.rpm, tpm=terms.tpm, concurrency=terms.concurrency, clock=clock, sleep=sleep
        )
        self._refusal: ProviderRefused | StorageError | None = None
        self.halt = Halt(self._land)
        self._clock, self._sleep = clock, sleep
        self.earlier = 0.0  # seconds that the run took in processes before this one
        self._began = clock()
        self._seconds = ledger.budget.seconds
        self._queued = 0
        self._turn = asyncio.Lock()  # requests are admitted one at a time, in the order asked
        self._landed = asyncio.Event()
        self.again = Again(self, draw)
        self.observed: Observer | None = None  # for telemetry

    def join(self, group: Member) -> None:
        """Send with the leave of a budget group only."""
        self.group, self.ledger.told = group, group.settled

    @property
    def traffic(self) -> Traffic:
        """What went through."""
        return self.books.traffic

    @property
    def standing(self) -> Standing:
        """What is in flight, who waits, and for what."""
        found = self.limiter.standing.paused(self.again.pauses, self.elapsed)
        return found if self.group is None else found.behind(*self.group.waiting)

    @property
    def elapsed(self) -> float:
        """Seconds that the run has been at work."""
        return self.earlier + self._clock() - self._began

    async def send(
        self, exchange: Exchange[Answer], bound: Amount, *, soon: Doubt = never
    ) -> tuple[Answer, Usage]:
        """One request's answer, and what it is counted at.

        Args:
            exchange: sends the request anew whenever it is called.
            bound: the most that one attempt can cost.
            soon: after which errors a few tries are enough, as the caller has another way.

        Raises:
            BudgetExhausted: it does not fit into what is left.
            ProviderError: no answer, however often it was tried.
            Stopped: the run was asked to stop.
        """
        if self.observed is not None:
            exchange = self.observed(exchange)
        try:
            return await self._attempt(exchange, bound)
        except ProviderUnavailable as error:
            error.alone = True  # as long as nothing has been answered since
            first: list[ProviderUnavailable] = [error]
        answers = self.traffic.answers  # at the last failure; those of before a wait prove nothing

        async def again(soon: Doubt) -> tuple[Answer, Usage]:
            nonlocal answers
            if first:  # tenacity costs 16 us a call, so it first hears of a request that failed
                raise first.pop()
            self.traffic.retries += 1
            try:
                return await self._attempt(exchange, bound)
            except ProviderUnavailable as error:
                error.alone, answers = self.traffic.answers == answers, self.traffic.answers
                raise

        return await self.again.trying()(again, soon)

    def refuse(self, error: ProviderRefused | StorageError) -> None:
        """Send nothing more: whoever wants to hears of this error."""
        self._refusal = error
        self._land()

    async def refused(self, error: ProviderRefused | StorageError) -> None:
        """`refuse`, and let what is in flight land."""
        self.refuse(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self.halt.flying:
                    self._landed.clear()
                    await self._landed.wait()

    async def _attempt(self, exchange: Exchange[Answer], bound: Amount) -> tuple[Answer, Usage]:
        """Reserve, wait for a turn, try once, settle; the ledger is right whatever happens."""
        reservation, ticket = self._at_once(bound) or await self._in_turn(bound)
        self._leave(reservation, ticket)
        patience, sent = self._patience(), self._clock()
        try:
            if patience is None:  # a timer costs more than all else here
                answer = await exchange()
            else:
                async with asyncio.timeout(patience):
                    answer = await exchange()
            reported = answer.usage  # a scorer that gives back something else is found out here
        except ProviderError as error:
            self._failed(reservation, ticket, error)
            raise
        except TimeoutError:
            late = self._late(patience)
            self._failed(reservation, ticket, late)
            raise late from None
        except BaseException as error:
            self._broken(reservation, ticket, error)
            raise
        else:
            usage = self._settle(reservation, ticket, answer, reported)
            self.traffic.latencies.add(self._clock() - sent)
        finally:
            self.halt.landed()
            self._land()
        return answer, usage

    def _leave(self, reservation: Reservation, ticket: Ticket) -> None:
        """Write down that a request leaves, or let it not leave."""
        try:
            self.books.sent(reservation, self.elapsed)
        except StorageError:
            self.limiter.abandoned(ticket)
            self.ledger.release(reservation)
            self._land()
            raise
        self.halt.flying += 1

    def _at_once(self, bound: Amount) -> tuple[Reservation, Ticket] | None:
        """Reservation and turn where nobody waits: frames of coroutines cost more than the work."""
        if self.halt.asked or self._refusal or self._seconds or self._queued or self.group:
            return None
        if not self.ledger.fits(bound) or (ticket := self.limiter.take(bound.tokens)) is None:
            return None
        return self.ledger.reserve(bound), ticket

    async def _in_turn(self, bound: Amount) -> tuple[Reservation, Ticket]:
        self._queued += 1  # nobody overtakes, not even between a release and the next one's turn
        try:
            reservation = await self._admitted(bound)
        finally:
            self._queued -= 1
        return reservation, await self._turn_of(reservation)

    async def _turn_of(self, reservation: Reservation) -> Ticket:
        """The limiter's ticket for what is reserved; without one, nothing stays reserved."""
        ticket = None
        try:
            if (left := self._time_left()) is None:
                ticket = await self.limiter.acquire(reservation.amount.tokens)
            else:
                async with asyncio.timeout(left):
                    ticket = await self.limiter.acquire(reservation.amount.tokens)
            if self.group is not None:
                async with asyncio.timeout(self._time_left()):
                    await self.group.reserve(reservation.number, reservation.amount)
            self._check()
        except BaseException as error:
            if ticket is not None:
                self.limiter.abandoned(ticket)
            self.ledger.release(reservation)
            self._land()
            if isinstance(error, TimeoutError):
                raise self._over() from None
            raise
        return ticket

    def _land(self) -> None:
        """Let whoever waits for room in the budget look again."""
        self._landed.set()

    async def _admitted(self, bound: Amount) -> Reservation:
        """The reservation to send with. A refusal is final only when nothing else is reserved.

        So what is under way is never cancelled by it, and upper bounds that shrink when they
        settle refuse nothing: what a budget buys does not depend on concurrency, but for the last
        texts of a budget of tokens, whose requests the gate parts.
        """
        async with self._turn:
            while True:
                try:
                    self._check()
                    return self.ledger.reserve(bound)
                except (BudgetExhausted, ProviderRefused, StorageError, Stopped):
                    if not self.ledger.holding:
                        raise
                self._landed.clear()
                await self._landed.wait()

    def _check(self) -> None:
        """See whether anything may still be sent."""
        if self.halt.asked:
            raise Stopped
        if self._refusal is not None:
            raise self._refusal
        if (left := self._time_left()) is not None and left <= 0:
            raise self._over()

    def _over(self) -> BudgetExhausted:
        return BudgetExhausted(f"the budget of {self._seconds:g} seconds is over")

    def _time_left(self) -> float | None:
        limit = self._seconds
        return None if limit is None else limit - self.elapsed

    def _patience(self) -> float | None:
        """Seconds for one attempt: the user's time-out, or what is left of the budget."""
        left = self._time_left()
        if left is None or self.terms.timeout is None:
            return self.terms.timeout if left is None else left
        return min(self.terms.timeout, left)

    def _late(self, patience: float | None) -> ProviderUnavailable:
        within = f" within {patience:.3g} s" if patience is not None else ""
        hint = "raise --timeout, or lower --concurrency"
        return ProviderUnavailable(f"{self.name}: no answer{within}", hint=hint)

    def _failed(self, reservation: Reservation, ticket: Ticket, error: ProviderError) -> None:
        """Count a request without an answer by what became of it."""
        lost = error.fate == "unknown"  # then all of it counts as billed
        amount = reservation.amount if lost else Amount(requests=1)
        self.books.failed(reservation, amount, lost=lost)
        self.limiter.failed(ticket, error)

    def _broken(self, reservation: Reservation, ticket: Ticket, error: BaseException) -> None:
        """Count a request that ended in no way that a scorer's requests end."""
        if isinstance(error, asyncio.CancelledError):  # nobody waits: that is how a run is ended
            self.books.cut(reservation)
            self.limiter.failed(ticket, ProviderError(self.name))
        else:  # a scorer with a mistake in it
            self._failed(reservation, ticket, ProviderError(self.name))

    def _settle(
        self, reservation: Reservation, ticket: Ticket, answer: Billed, usage: Usage
    ) -> Usage:
        """Count an answer."""
        amount, usage = billed(reservation.amount, answer, usage, self.terms.price)
        self.books.paid(reservation, amount, usage)
        self.limiter.answered(ticket, amount.tokens, answer.quotas)
        return usage

    async def pause(self, seconds: float) -> None:
        """Sleep between two tries, unless the run is over before."""
        self._check()
        if (left := self._time_left()) is not None and seconds >= left:
            raise self._over()
        await self._sleep(seconds)
