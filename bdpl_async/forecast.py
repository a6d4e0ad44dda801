"""What asks will cost, by what the answers so far have cost.

Plans and "does one more update fit" are decided here; the ledger alone decides what may be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from bdpl_async.budget import Amount
from bdpl_async.channel import Channel
from bdpl_async.records import Text
from bdpl_async.scorer import Capabilities, Counting, Scorer

__all__ = ["Forecast", "most_tokens"]

MARGIN = 1.1  # on mean tokens: prompts to come may be longer than those answered
BYTES_PER_TOKEN = 4.0  # of English; only until the model's side has said how many it counts
CHANCE = 1.5  # failures to come may be more than those seen
TEXT_OVERHEAD = 8  # special tokens and a chat's frame, for the upper bound of a text's tokens


class Forecast:
    """Prices asks ahead.

    Args:
        channel: what went through so far.
        scorer: may know its tokenizer.
        labels: the label words, which a chat's frame names.
        capabilities: how the scorer is asked.
    """

    def __init__(
        self, channel: Channel, scorer: Scorer, labels: tuple[str, ...], capabilities: Capabilities
    ) -> None:
        self.capabilities = capabilities
        self._channel = channel
        self._ledger = channel.ledger
        self._counted = scorer if isinstance(scorer, Counting) else None
        self._labels = labels
        self._limited = channel.ledger.budget.tokens is not None or channel.terms.tpm is not None
        self._expected = 0.0  # tokens a text, before the first answer

    def pace(self) -> float:
        """Prompts answered a second so far, less a sixth for what may go slower."""
        return self._ledger.used.prompts / max(self._channel.elapsed, 1e-9) / 1.2

    def affords(self, amount: Amount) -> bool:
        """Whether so much more, by `cost`, still fits, with room for a bound's excess."""
        limit, pace = self._ledger.budget.seconds, self.pace()
        if limit is not None and pace and self._channel.elapsed + amount.prompts / pace > limit:
            return False
        price, slack = self._channel.terms.price, self._channel.slack
        usd = price.usd(slack, 0) if price is not None else 0.0
        return self._ledger.fits(amount + Amount(tokens=slack, usd=usd))

    def cost(self, prompts: int) -> Amount:
        """An upper bound of what one ask of so many texts takes, by the tokens seen so far.

        Where requests have failed, as many more are expected to.
        """
        waste = self._waste()
        requests = ceil(-(-prompts // self.capabilities.batch) * waste)
        prompts = ceil(prompts * waste)
        tokens = round(prompts * self.tokens_per_prompt)
        return Amount(requests, prompts, tokens, self._usd(prompts, tokens))

    def _waste(self) -> float:
        """Requests spent for one that was answered, and what chance may add; 1 without failures."""
        spent, answers = self._ledger.spent.requests, self._channel.traffic.answers
        failed = max(0, spent - answers)
        return 1.0 + CHANCE * failed / answers if answers else 1.0

    @property
    def tokens_per_prompt(self) -> float:
        """Mean tokens of the texts answered so far, else as expected; with a tenth on top."""
        used = self._ledger.used
        return MARGIN * (used.tokens / used.prompts if used.prompts else self._expected)

    async def expect(self, sample: Sequence[Text]) -> None:
        """Price texts by a sample until there are answers; a count that is a bound is cut down."""
        mean = sum(await self._tokens(sample)) / len(sample)
        self._expected = mean if self.capabilities.exact else mean / BYTES_PER_TOKEN

    async def bound(self, texts: Sequence[Text]) -> Amount:
        """What a request of these texts can cost at most; tokens are exact where they matter."""
        return self.rough_bound(texts) or self._amount(sum(await self._tokens(texts)), len(texts))

    def rough_bound(self, texts: Sequence[Text]) -> Amount | None:
        """`bound` by the bytes, at once; None where tokens matter and can be counted."""
        if self._counted is not None and (self._limited or self._channel.terms.price is not None):
            return None
        return self._amount(sum(map(most_tokens, texts)), len(texts))

    def _amount(self, prompt_tokens: int, texts: int) -> Amount:
        completion, price = self.capabilities.completion * texts, self._channel.terms.price
        usd = price.usd(prompt_tokens, completion) if price is not None else 0.0
        return Amount(1, texts, prompt_tokens + completion, usd)

    async def _tokens(self, texts: Sequence[Text]) -> list[int]:
        """By the scorer's own tokenizer, or by the bytes: a token is at least one."""
        if self._counted is not None:
            return await self._counted.count(texts, self._labels)
        return [most_tokens(text) for text in texts]

    def _usd(self, prompts: int, tokens: int) -> float:
        price = self._channel.terms.price
        if price is None:
            return 0.0
        written = prompts * self.capabilities.completion
        return price.usd(max(0, tokens - written), written)


def most_tokens(text: Text) -> int:
    """An upper bound of the tokens of a text, by its bytes: a token is at least one."""
    both = text.before + text.after
    size = len(both) if both.isascii() else len(both.encode("utf-8", "replace"))
    return TEXT_OVERHEAD + size
