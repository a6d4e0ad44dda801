"""Leave to send: in order, within the provider's limits, as many at a time as go well.

    acquire --sent--> answered   what it took, what is left of the limits
       |              failed     refused (429): fewer, later; any other error: just back
       +--not sent--> abandoned  as if it had never been

A request waits for a slot in flight, for the windows that the user gave (requests and tokens a
minute) or that refusals taught, for what the newest answer says is left, and for the pause that a
refusal asked for. It knows no request, only its tokens; no HTTP; time only by `clock` and `sleep`.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from bdpl_async.errors import ProviderError, RateLimited
from bdpl_async.limits.allowance import Allowance
from bdpl_async.limits.backoff import LONGEST_WAIT, SPREAD, asked, wait
from bdpl_async.limits.concurrency import Concurrency, Outcome
from bdpl_async.limits.lesson import Lesson
from bdpl_async.limits.pace import Pace
from bdpl_async.limits.standing import Level, Standing
from bdpl_async.limits.window import Ticket, Window
from bdpl_async.records import Quota

__all__ = ["Limiter", "Ticket"]

PERIOD = 61.0  # seconds: a minute, and one for what is longer on its way than others
FOREVER = float("inf")


class Limiter:
    """One provider's limits.

    Args:
        rpm: requests a minute; None is no limit, or one to be learned.
        tpm: tokens a minute.
        concurrency: in flight at most.
        clock: monotonic seconds.
        sleep: as `asyncio.sleep`, on the same clock.

    Attributes:
        strikes: waves of refusals, with nothing let through between them.
    """

    def __init__(
        self,
        *,
        rpm: float | None = None,
        tpm: float | None = None,
        concurrency: int = 64,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._slots = Concurrency(concurrency, clock=clock)
        self._given = [] if rpm is None else [Window("requests", rpm, PERIOD)]
        if tpm is not None:
            self._given.append(Window("tokens", tpm, PERIOD))
        self._windows = self._given
        self._taught = False
        self._lesson, self._pace = Lesson(), Pace()
        self._allowance = Allowance()
        self._paused = 0.0  # until then nothing is sent
        self.strikes = 0
        self._scout: Ticket | None = None  # after two, one goes ahead alone
        self._count = 0
        self._tokens = 0  # in flight
        self._queue: OrderedDict[asyncio.Future[Ticket], int] = OrderedDict()
        self._alarm: asyncio.Task[None] | None = None
        self._rings = FOREVER

    @property
    def in_flight(self) -> int:
        """Tickets that are open."""
        return self._slots.in_flight

    def __repr__(self) -> str:
        parts = [
            f"{self.in_flight} of {self._slots.limit} in flight",
            f"{len(self._queue)} waiting",
        ]
        parts += [repr(window) for window in self._windows]
        if self._allowance:
            parts.append(repr(self._allowance))
        if (pause := self._paused - self._clock()) > 0:
            parts.append(f"paused for {pause:.1f} s")
        return f"<Limiter {', '.join(parts)}>"

    @property
    def standing(self) -> Standing:
        """What is in flight, who waits, and for what."""
        now = self._clock()
        for window in self._windows:
            window.wait(0, now)  # lets go of what counts no more
        levels = tuple(Level(w.unit, w.held, w.limit, w.period) for w in self._windows)
        obstacle, seconds = self._obstacle() if self._queue else ("", None)
        return Standing(
            self.in_flight, self._slots.limit, len(self._queue), levels, obstacle, seconds
        )

    def _obstacle(self) -> tuple[str, float | None]:
        """What the first in the queue waits for, and for how many seconds, if time ends it."""
        now, tokens = self._clock(), next(iter(self._queue.values()))
        if self._slots.full or (self._scout is not None and self._scout.open):
            return "an answer", None
        waits = [(self._paused - now, "the pause after a refusal")]
        waits += [(w.wait(tokens, now), f"the limit of {w.unit}") for w in self._windows]
        waits.append((self._allowance.wait(tokens, now), "what the provider says is left"))
        seconds, obstacle = max(waits)
        return obstacle, max(0.0, seconds)

    def take(self, tokens: int) -> Ticket | None:
        """`acquire` where nobody waits and nothing is in the way, else None."""
        now = self._clock()
        if not self._queue and self._delay(tokens, now) <= 0:
            return self._admit(tokens, now)
        return None

    async def acquire(self, tokens: int) -> Ticket:
        """Leave to send a request that takes so many tokens at most.

        Who asks first goes first. Exactly one of `answered`, `failed` and `abandoned` closes the
        ticket; if the caller is cancelled while it waits, there is none.
        """
        if (ticket := self.take(tokens)) is not None:
            return ticket
        turn: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._queue[turn] = tokens
        self._pump()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._queue.pop(turn, None)
                self._pump()
            else:  # leave was given, but nobody is there to take it
                self.abandoned(turn.result())
            raise

    def answered(self, ticket: Ticket, tokens: int, quotas: tuple[Quota, ...]) -> None:
        """Close the ticket of a request that was answered.

        Args:
            ticket: from `acquire`.
            tokens: what it really took; the rest is given back.
            quotas: what the answer says is left.
        """
        self._close(ticket)
        self._slots.free(ticket.slot, "fine")
        if self.strikes:
            self._relent(self._slots.epoch - ticket.slot.epoch)
        if tokens != ticket.tokens:
            for window in self._windows:
                window.correct(ticket, tokens)
            ticket.tokens = tokens
        if quotas or self._taught:
            now = self._clock()
            self._allowance.observe(quotas, now, self.in_flight, self._tokens)
            self._lesson.raised(now)
            if self._pace.due(now):
                self._pace.faster(now, *self._lesson.recent(now))
                self._list()
        self._pump()

    def failed(self, ticket: Ticket, error: ProviderError) -> None:
        """Close the ticket of a request that brought an error; a refusal slows everybody down."""
        self._close(ticket)
        now = self._clock()
        if isinstance(error, RateLimited):
            self._refused(ticket, error, now)
        else:
            self._slots.free(ticket.slot, "failed")
        self._allowance.observe(error.quotas, now, self.in_flight, self._tokens)
        self._pump()

    def abandoned(self, ticket: Ticket) -> None:
        """Close the ticket of a request that was never sent: it counts nowhere."""
        self._close(ticket)
        self._slots.free(ticket.slot, "failed")
        for window in self._windows:
            window.drop(ticket)
        self._lesson.unsent(ticket)
        ticket.requests = ticket.tokens = 0
        self._pump()

    def _close(self, ticket: Ticket) -> None:
        if not ticket.open:
            raise ValueError(f"ticket {ticket.number} was closed before")
        ticket.open = False
        self._tokens -= ticket.tokens

    def _relent(self, waves: int) -> None:
        """An answer to what was sent so many waves of refusals ago: something was let through."""
        if waves == 0:
            self.strikes = 0
        elif waves == 1:  # sent after the wave before the last
            self.strikes = 1

    def _refused(self, ticket: Ticket, error: RateLimited, now: float) -> None:
        """Pause, fewer at a time, and learn; once for a wave of refusals."""
        seconds = asked(error) or _until_reset(error)
        first = ticket.slot.epoch == self._slots.epoch
        self.strikes += first
        outcome: Outcome = "refused"
        if error.kind == "parallel":
            outcome = "crowded"
            if self.in_flight == 1:  # others fill the provider: none of ours will make room
                self._pause(now + _backoff(self.strikes))
        else:
            self._rest(seconds, first, now)
            if error.kind == "rate" and seconds is None and not self._windows:
                outcome = "doubtful"
        self._slots.free(ticket.slot, outcome, self._paused)
        self._lesson.unsent(ticket)
        if error.kind == "slow_down":
            self._pace.slower(now, *self._lesson.recent(now), self._count)
        elif first and error.kind == "rate":
            self._lesson.refused(ticket, now, self.strikes, seconds)
        self._list()

    def _rest(self, seconds: float | None, first: bool, now: float) -> None:
        """Send nothing for as long as was asked for, or for a moment."""
        if seconds is not None:
            # The newest counts; but where coming back when told did not help, it was not true.
            least = _backoff(self.strikes - 1) if self.strikes > 1 else 0.0
            self._paused = now + max(least, min(seconds, LONGEST_WAIT) + SPREAD)
        elif first:
            self._pause(now + _backoff(self.strikes))

    def _settle(self, now: float) -> None:
        """Sending begins again: see what there is to learn from the last wave."""
        self._lesson.settle(now)
        self._list()

    def _list(self) -> None:
        """All windows that hold."""
        taught = [w for w in (self._lesson.window, self._pace.window) if w is not None]
        self._taught = bool(taught)
        self._windows = self._given + taught

    def _pause(self, until: float) -> None:
        self._paused = max(self._paused, until)

    def _delay(self, tokens: int, now: float) -> float:
        """Seconds until a request could be sent if nothing else happened; 0 or less: now."""
        if self._slots.full or (self._scout is not None and self._scout.open):
            return FOREVER
        delay = self._paused - now
        if self._lesson.wave is not None and delay <= 0:
            self._settle(now)
        for window in self._windows:
            delay = max(delay, window.wait(tokens, now))
        return max(delay, self._allowance.wait(tokens, now)) if self._allowance else delay

    def _admit(self, tokens: int, now: float) -> Ticket:
        self._count += 1
        ticket = Ticket(self._count, now, tokens, self._slots.take())
        self._tokens += tokens
        for window in self._windows:
            window.add(ticket)
        if self._allowance:
            self._allowance.spend(tokens)
        self._lesson.sent(ticket)
        if self.strikes > 1:
            self._scout = ticket
        return ticket

    def _pump(self) -> None:
        """Give leave to those at the head of the queue, as long as there is room."""
        if not self._queue and self._alarm is None:
            return
        now = self._clock()
        while self._queue:
            turn, tokens = next(iter(self._queue.items()))
            if not turn.done():
                delay = self._delay(tokens, now)
                if delay > 0:
                    self._ring_at(now, delay)
                    return
                turn.set_result(self._admit(tokens, now))
            del self._queue[turn]
        self._silence()

    def _ring_at(self, now: float, delay: float) -> None:
        """See to it that the queue is looked at by then; without a time, something must return."""
        if now + delay < self._rings:
            self._silence()
            self._rings = now + delay
            self._alarm = asyncio.get_running_loop().create_task(self._ring(delay))

    async def _ring(self, delay: float) -> None:
        try:
            await self._sleep(delay)
        except Exception as error:  # else those who wait would never hear of it
            for turn in self._queue:
                if not turn.done():
                    turn.set_exception(error)
        finally:
            if self._alarm is asyncio.current_task():
                self._alarm, self._rings = None, FOREVER
                self._pump()

    def _silence(self) -> None:
        alarm, self._alarm, self._rings = self._alarm, None, FOREVER
        if alarm is not None:
            alarm.cancel()


def _until_reset(error: RateLimited) -> float | None:
    """Seconds until the limits that are used up are whole again, if the refusal says so."""
    return max((q.reset for q in error.quotas if q.reset and q.remaining == 0), default=None)


def _backoff(tries: int) -> float:
    """Seconds to wait after a refusal that does not say how long."""
    return wait(tries, RateLimited(""), 0.0)
