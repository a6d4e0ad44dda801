"""The one way to the model: cache, ledger, scorer.

Every text of every phase goes through here, so that everything is counted alike. The gate groups
the texts of one ask into requests as the scorer likes them; the grouping is a function of the ask
alone, never of time, so that a local model's floats repeat bit for bit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bdpl_async.budget import Amount, Ledger, Reservation
from bdpl_async.cache import Cache, MemoryCache
from bdpl_async.errors import BudgetExhausted, ProviderError, ProviderUnavailable, RequestFailed
from bdpl_async.fanout import fan_out
from bdpl_async.records import Reply, Request, Score, Text
from bdpl_async.result import Totals
from bdpl_async.scorer import Capabilities, Counting, Scorer

__all__ = ["Gate", "Outcome", "Stopped"]

Outcome = Score | ProviderError
TEXT_OVERHEAD = 8  # special tokens and a chat's frame, for the upper bound of a text's tokens
GRACE = 5.0  # seconds that a halted run gives what is in flight


class Stopped(Exception):
    """Raised instead of sending when the run was asked to stop."""


class Gate:
    """Texts in, scores out, counted.

    Args:
        scorer: the model.
        ledger: refuses what the budget does not hold.
        labels: the label words; they stand in every request.
        concurrency: requests in flight at most; the scorer may ask for fewer.
        timeout: seconds for one request in all; local models have none, they always answer.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        scorer: Scorer,
        ledger: Ledger,
        labels: tuple[str, ...],
        capabilities: Capabilities,
        *,
        concurrency: int = 64,
        timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capabilities = capabilities
        self.ledger = ledger
        self._traffic = Totals()
        self.stop = asyncio.Event()
        self._scorer = scorer
        self._labels = labels
        self._concurrency = min(concurrency, capabilities.concurrency or concurrency)
        self._timeout = None if capabilities.local else timeout
        self._cache: Cache = MemoryCache()
        self._clock = clock
        self._began = clock()
        self._expected = 0.0  # tokens a text, before the first answer
        self._slack = 0  # the most that a bound exceeded what was billed
        self._turn = asyncio.Lock()  # requests are admitted one at a time, in the order asked
        self.trouble: ProviderError | None = None  # the last text that got no usable answer
        self._flying = 0
        self._patience: asyncio.Timeout | None = None
        self._landed = asyncio.Event()

    @property
    def elapsed(self) -> float:
        """Seconds since the gate was opened."""
        return self._clock() - self._began

    def totals(self) -> Totals:
        """Everything consumed so far."""
        spent = self.ledger.spent
        return replace(
            self._traffic,
            requests=spent.requests,
            prompts=spent.prompts,
            usd=spent.usd,
            seconds=self.elapsed,
        )

    def pace(self) -> float:
        """Prompts answered a second so far, less a sixth for what may go slower."""
        return self.ledger.spent.prompts / max(self.elapsed, 1e-9) / 1.2

    def affords(self, amount: Amount) -> bool:
        """Whether so much more, by `cost`, still fits, with room for a bound's excess."""
        limit, pace = self.ledger.budget.seconds, self.pace()
        if limit is not None and pace and self.elapsed + amount.prompts / pace > limit:
            return False
        return self.ledger.fits(amount + Amount(tokens=self._slack))

    def cost(self, prompts: int) -> Amount:
        """An upper bound of what one ask of so many texts takes, by the tokens seen so far."""
        requests = -(-prompts // self.capabilities.batch)
        return Amount(requests, prompts, round(prompts * self.tokens_per_prompt))

    @property
    def tokens_per_prompt(self) -> float:
        """Mean tokens of the texts answered so far, else as expected; with a tenth on top."""
        spent = self.ledger.spent
        return 1.1 * (spent.tokens / spent.prompts if spent.prompts else self._expected)

    async def expect(self, sample: Sequence[Text]) -> None:
        """Price the tokens of texts by a sample until there are answers."""
        self._expected = sum(await self._count_tokens(sample)) / len(sample)

    async def score(self, texts: Sequence[Text]) -> list[Outcome]:
        """One outcome per text, in order; a text that stands twice is sent once.

        Raises:
            BudgetExhausted: the rest did not fit into the budget; what was paid is kept.
            ProviderError: the provider cannot be used.
            Stopped: the run was asked to stop.
        """
        await asyncio.sleep(0)  # an ask that the cache answers whole must still let a signal in
        if self.stop.is_set():
            raise Stopped
        distinct = list(dict.fromkeys(texts))
        known = {text: self._cache.get((text, self._labels)) for text in distinct}
        missing = [text for text in distinct if known[text] is None]
        self._count(cache_hits=len(texts) - len(missing))
        answers = await self._within_grace(missing)
        outcomes: dict[Text, Outcome] = {t: s for t, s in known.items() if s is not None}
        for batch in answers:
            outcomes.update(batch)
        return [outcomes[text] for text in texts]

    async def _within_grace(self, texts: list[Text]) -> list[dict[Text, Outcome]]:
        """Send them all; after `halt`, what is in flight has `GRACE` seconds to arrive."""
        try:
            async with asyncio.timeout(None) as self._patience:
                return await fan_out(self._send, self._requests(texts), self._concurrency)
        except TimeoutError:
            raise Stopped from None
        finally:
            self._patience = None

    def halt(self) -> None:
        """Send nothing more: the ask under way raises `Stopped` within `GRACE` seconds."""
        self.stop.set()
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + GRACE)

    def _requests(self, texts: list[Text]) -> list[Request]:
        """Whole batches; the sort is stable, so texts of one prompt stay together."""
        if self.capabilities.order == "length":
            texts = sorted(texts, key=lambda text: len(text.before) + len(text.after))
        size = self.capabilities.batch
        batches = (tuple(texts[i : i + size]) for i in range(0, len(texts), size))
        return [Request(batch, self._labels) for batch in batches]

    async def _send(self, request: Request) -> dict[Text, Outcome]:
        """Reserve, send, settle; whatever happens, the ledger is right afterwards."""
        reservation = await self._admitted(await self._bound(request))
        try:
            reply = await self._attempt(request)
        except BaseException:
            self.ledger.lost(reservation)
            raise
        else:
            actual = self._actual(request, reply, reservation.amount)
            self.ledger.settle(reservation, actual)
            self._slack = max(self._slack, reservation.amount.tokens - actual.tokens)
        finally:
            self._flying -= 1
            self._landed.set()
        return self._keep(request, reply)

    async def _admitted(self, bound: Amount) -> Reservation:
        """The reservation to send with. A refusal is final only when nothing is in flight.

        So what is under way is never cancelled by it, and upper bounds that shrink when they
        settle refuse nothing: what a budget buys does not depend on concurrency.
        """
        async with self._turn:
            while True:
                try:
                    return self._reserve(bound)
                except (Stopped, BudgetExhausted):
                    if not self._flying:
                        raise
                self._landed.clear()
                await self._landed.wait()

    def _reserve(self, bound: Amount) -> Reservation:
        if self.stop.is_set():
            raise Stopped
        limit = self.ledger.budget.seconds
        if limit is not None and self.elapsed >= limit:
            raise BudgetExhausted(f"the budget of {limit:g} seconds is over")
        reservation = self.ledger.reserve(bound)
        self._flying += 1
        return reservation

    async def _attempt(self, request: Request) -> Reply:
        """One try; a request that fails for itself alone fails its texts, not the run."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._scorer.score(request)
        except TimeoutError:
            self._count(failures=1)
            within = f" within {self._timeout:g} s" if self._timeout else ""
            raise ProviderUnavailable(
                f"{self._scorer.name}: no answer{within}",
                hint="raise --timeout, or lower --concurrency",
            ) from None
        except RequestFailed as error:
            return Reply([error] * len(request.texts))

    async def _bound(self, request: Request) -> Amount:
        """What the request can cost at most; tokens are counted only where they are limited."""
        limited = self.ledger.budget.tokens is not None
        tokens = sum(await self._count_tokens(request.texts)) if limited else 0
        return Amount(1, len(request.texts), tokens)

    async def _count_tokens(self, texts: Sequence[Text]) -> list[int]:
        """By the scorer's own tokenizer, or by the bytes: a token is at least one."""
        if isinstance(self._scorer, Counting):
            return await self._scorer.count(texts)
        joined = (text.before + text.after for text in texts)
        return [TEXT_OVERHEAD + len(text.encode("utf-8", "replace")) for text in joined]

    def _actual(self, request: Request, reply: Reply, bound: Amount) -> Amount:
        """What was spent; tokens that the scorer does not report count at their upper bound."""
        usage = reply.usage
        self._count(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
        answered = sum(isinstance(score, Score) for score in reply.scores)
        tokens = usage.prompt_tokens + usage.completion_tokens or bound.tokens
        return Amount(1, min(answered, len(request.texts)), tokens, usage.usd)

    def _keep(self, request: Request, reply: Reply) -> dict[Text, Outcome]:
        if len(reply.scores) != len(request.texts):
            raise ProviderUnavailable(
                f"{self._scorer.name}: {len(reply.scores)} scores for {len(request.texts)} texts"
            )
        outcomes: dict[Text, Outcome] = {}
        for text, outcome in zip(request.texts, reply.scores, strict=True):
            checked = self._checked(outcome)
            outcomes[text] = checked
            if isinstance(checked, Score):
                self._cache.put((text, self._labels), checked)
        return outcomes

    def _checked(self, outcome: Outcome) -> Outcome:
        """A score must have one number per label, none of them NaN or above zero by much."""
        if isinstance(outcome, Score):
            values, trouble = outcome.logprobs, None
            if len(values) != len(self._labels):
                trouble = f"{len(values)} values for {len(self._labels)} labels"
            elif not all(value < 1e-3 for value in values) or max(values) == float("-inf"):
                trouble = f"{values} are no log-probabilities"
            if trouble is None:
                return outcome
            outcome = RequestFailed(f"{self._scorer.name}: {trouble}")
        self._count(failures=1)
        self.trouble = outcome
        return outcome

    def _count(self, **more: int) -> None:
        counted = {name: getattr(self._traffic, name) + n for name, n in more.items()}
        self._traffic = replace(self._traffic, **counted)
