"""The one way to the model: cache, single flight, ledger, scorer.

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
from bdpl_async.scorer import Capabilities, Scorer

__all__ = ["Gate", "Outcome", "Stopped"]

Outcome = Score | ProviderError
TEXT_OVERHEAD = 8  # special tokens and a chat's frame, for the upper bound of a text's tokens


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
        self._largest = 0  # token bound of the largest request so far
        self._turn = asyncio.Lock()  # requests are admitted one at a time, in the order asked
        self._flying = 0
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

    def affords(self, amount: Amount) -> bool:
        """Whether so much more, by `cost`, still fits, with room for the last request's bound."""
        limit, spent = self.ledger.budget.seconds, self.ledger.spent
        pace = self.elapsed / spent.prompts if spent.prompts else 0.0
        if limit is not None and self.elapsed + 1.2 * pace * amount.prompts > limit:
            return False
        return self.ledger.fits(amount + Amount(tokens=self._largest))

    def cost(self, prompts: int) -> Amount:
        """An upper bound of what one ask of so many texts takes, by the tokens seen so far."""
        requests = -(-prompts // self.capabilities.batch)
        return Amount(requests, prompts, round(prompts * self.tokens_per_prompt))

    @property
    def tokens_per_prompt(self) -> float:
        """Mean tokens of the texts answered so far, with a tenth on top; 0 before the first."""
        spent = self.ledger.spent
        return 1.1 * spent.tokens / spent.prompts if spent.prompts else 0.0

    async def score(self, texts: Sequence[Text]) -> list[Outcome]:
        """One outcome per text, in order; a text that stands twice is sent once.

        Raises:
            BudgetExhausted: the rest did not fit into the budget; what was paid is kept.
            ProviderError: the provider cannot be used.
            Stopped: the run was asked to stop.
        """
        distinct = list(dict.fromkeys(texts))
        known = {text: self._cache.get((text, self._labels)) for text in distinct}
        missing = [text for text in distinct if known[text] is None]
        self._count(cache_hits=len(texts) - len(missing))
        answers = await fan_out(self._send, self._requests(missing), self._concurrency)
        outcomes: dict[Text, Outcome] = {t: s for t, s in known.items() if s is not None}
        for batch in answers:
            outcomes.update(batch)
        return [outcomes[text] for text in texts]

    def _requests(self, texts: list[Text]) -> list[Request]:
        """Whole batches; the sort is stable, so texts of one prompt stay together."""
        if self.capabilities.order == "length":
            texts = sorted(texts, key=lambda text: len(text.before) + len(text.after))
        size = self.capabilities.batch
        batches = (tuple(texts[i : i + size]) for i in range(0, len(texts), size))
        return [Request(batch, self._labels) for batch in batches]

    async def _send(self, request: Request) -> dict[Text, Outcome]:
        """Reserve, send, settle; whatever happens, the ledger is right afterwards."""
        reservation = await self._admitted(_bound(request))
        try:
            reply = await self._attempt(request)
        except BaseException:
            self.ledger.lost(reservation)
            raise
        else:
            self.ledger.settle(reservation, self._actual(request, reply))
        finally:
            self._flying -= 1
            self._landed.set()
        return self._keep(request, reply)

    async def _admitted(self, bound: Amount) -> Reservation:
        """The reservation to send with. A refusal is final only when nothing is in flight.

        So what is under way is never cancelled by it, and upper bounds that shrink when they
        settle refuse nothing: what a budget buys does not depend on concurrency.
        """
        self._largest = max(self._largest, bound.tokens)
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
            raise ProviderUnavailable(
                f"{self._scorer.name}: no answer within {self._timeout} s",
                hint="raise --timeout, or lower --concurrency",
            ) from None
        except RequestFailed as error:
            return Reply([error] * len(request.texts))

    def _actual(self, request: Request, reply: Reply) -> Amount:
        usage = reply.usage
        self._count(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
        answered = sum(isinstance(score, Score) for score in reply.scores)
        tokens = usage.prompt_tokens + usage.completion_tokens
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
        return outcome

    def _count(self, **more: int) -> None:
        counted = {name: getattr(self._traffic, name) + n for name, n in more.items()}
        self._traffic = replace(self._traffic, **counted)


def _bound(request: Request) -> Amount:
    """What the request can cost at most: a token is at least one byte of UTF-8."""
    size = sum(len((text.before + text.after).encode()) for text in request.texts)
    return Amount(1, len(request.texts), size + TEXT_OVERHEAD * len(request.texts))
