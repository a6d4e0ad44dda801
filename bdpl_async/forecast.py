"""What asks will cost, by what the answers so far have cost.

Plans and "does one more update fit" are decided here; the ledger alone decides what may be sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from math import ceil, sqrt

from bdpl_async.budget import Amount
from bdpl_async.channel import Channel
from bdpl_async.records import Text
from bdpl_async.scorer import Capabilities, Counting, Scorer

__all__ = ["Forecast", "most_tokens"]

UNLUCKY = 2.0  # standard deviations of what is lost that are reckoned with
MARGIN = 1.1  # on mean tokens: prompts to come may be longer than those of the sample
LONG = 2.0  # times the mean: the longest text that the end of a budget must have room for
BARE_MARGIN = 1.02  # on the tokens of rows without a prompt, which are known
BYTES_PER_TOKEN = 4.0  # of English; only until the model's side has said how many it counts
FEW = 16  # answers by which the failures of the first few are watered down
CHANCE = 1.5  # failures to come may be more than those seen
NOTHING = Amount()
Kind = tuple[str, bool]  # split, with a prompt or without
TEXT_OVERHEAD = 8  # special tokens and a chat's frame, for the upper bound of a text's tokens


class Forecast:
    """Prices asks ahead.

    Args:
        channel: what went through so far.
        scorer: may know its tokenizer.
        labels: the label words, which a chat's frame names.
        capabilities: how the scorer is asked.

    Attributes:
        channel: as given.
        limited: tokens fill a budget.
    """

    def __init__(
        self, channel: Channel, scorer: Scorer, labels: tuple[str, ...], capabilities: Capabilities
    ) -> None:
        self.capabilities = capabilities
        self.channel = channel
        self._ledger = channel.ledger
        self._counted = scorer if isinstance(scorer, Counting) else None
        self._labels = labels
        budget = channel.ledger.budget
        self.limited = budget.tokens is not None or budget.usd is not None
        self._counts = self.limited or channel.terms.tpm is not None
        self._sizes: dict[Kind, float] = {}  # tokens of a text by the count that bounds requests
        self._stretch = 1.0  # on counts that turned out to be too low
        self._bounded = self._billed = 0  # tokens: what requests were bound by, what they took

    def pace(self) -> float:
        """Prompts answered a second so far, less a sixth for what may go slower."""
        return self._ledger.used.prompts / max(self.channel.elapsed, 1e-9) / 1.2

    def affords(self, amount: Amount, reserve: Amount = NOTHING) -> bool:
        """Whether so much more, by `cost`, still fits, with room for a bound's excess.

        Args:
            amount: what is to come.
            reserve: what is to be left beside for what kills may cost. What they have cost already
                is taken off it, so that the answer is the same whether the run was killed or not.
        """
        limit, pace = self._ledger.budget.seconds, self.pace()
        if limit is not None and pace and self.channel.elapsed + amount.prompts / pace > limit:
            return False
        price, excess = self.channel.terms.price, self._excess()
        usd = price.usd(excess, 0) if price is not None else 0.0
        kept = _above(reserve, self._ledger.crashed)
        more = amount + Amount(tokens=excess, usd=usd)
        group = self.channel.group
        return self._ledger.fits(more + kept) and (group is None or group.fits(more))

    def held(self, requests: int, prompts: int) -> Amount:
        """What requests under way are reserved at, with so many texts of the longest kind in all.

        By their bounds, since nobody knows what a request that was cut off took. Few texts may all
        be long ones.
        """
        mean = max(self._sizes.values(), default=0.0) * self._stretch
        tokens = ceil(mean * (prompts + (LONG - 1.0) * sqrt(prompts)))
        return Amount(requests, prompts, tokens, self._usd(prompts, tokens))

    def _excess(self) -> int:
        """How far the bound of one text may lie above its price; a request is parted to fit."""
        each = (LONG * size - self._tokens_each(*kind) for kind, size in self._sizes.items())
        return max(0, ceil(max(each, default=0.0) * self._stretch))

    def cost(self, prompts: int, split: str = "train", *, filled: bool = True) -> Amount:
        """What one ask of so many texts will take: a forecast with a margin, not a bound.

        Where requests have failed, some more are expected to.

        Args:
            prompts: texts, all of them new.
            split: where their rows come from; rows of another split may be longer.
            filled: they have a prompt.
        """
        failed, lost = self._failing()
        requests = ceil(-(-prompts // self.capabilities.batch) * failed)
        extra = prompts * (lost - 1.0)
        prompts += ceil(extra + UNLUCKY * sqrt(extra))
        tokens = ceil(prompts * self._tokens_each(split, filled))
        return Amount(requests, prompts, tokens, self._usd(prompts, tokens))

    def learn(self, bounded: int, billed: int) -> None:
        """Hear by how many tokens a request was bound, and how many it took."""
        self.channel.books.diary.wait("tell", bounded, billed)
        self.hear(bounded, billed)

    def hear(self, bounded: int, billed: int) -> None:
        """`learn`, of a request of which an earlier process wrote it down."""
        self._bounded += bounded
        self._billed += billed
        if billed > bounded > 0:  # a tokenizer of another model, a chat's own system prompt
            self._stretch = max(self._stretch, billed / bounded)

    @property
    def learned(self) -> tuple[int, int]:
        """All that `learn` heard."""
        return self._bounded, self._billed

    def snapshot(self) -> list[float]:
        """All that was learned, as JSON."""
        return [self._bounded, self._billed, self._stretch]

    def restore(self, snapshot: Sequence[float]) -> None:
        """Be as at `snapshot`.

        Raises:
            TypeError, ValueError: it is none.
        """
        bounded, billed, stretch = snapshot
        self._bounded, self._billed, self._stretch = int(bounded), int(billed), float(stretch)

    async def expect(self, samples: Mapping[Kind, Sequence[Text]]) -> None:
        """See how many tokens texts of each kind have, as far as that can be counted here."""
        for kind, sample in samples.items():
            if sample:
                counts = await self._tokens(sample)
                self._sizes[kind] = sum(counts) / len(counts) + self.capabilities.completion

    def _failing(self) -> tuple[float, float]:
        """Requests, and texts paid for, per one that was answered; 1 where none failed."""
        traffic = self.channel.traffic
        if not traffic.answers:
            return 1.0, 1.0
        chance = CHANCE / (traffic.answers + FEW)
        return 1.0 + chance * traffic.failed, 1.0 + chance * traffic.lost

    def _tokens_each(self, split: str, filled: bool) -> float:
        """Tokens of a text, by its sample, and by how far counts have been from what was billed."""
        used = self._ledger.used
        size = self._sizes.get((split, filled))
        if size is None:
            return MARGIN * used.tokens / used.prompts if used.prompts else 0.0
        if self._bounded:
            size *= self._billed / self._bounded
        elif not self.capabilities.exact:
            size /= BYTES_PER_TOKEN
        return size * (MARGIN if filled else BARE_MARGIN)

    async def bound(self, texts: Sequence[Text]) -> Amount:
        """What a request of these texts can cost at most; tokens are exact where they matter."""
        return self.rough_bound(texts) or self._amount(sum(await self._tokens(texts)), len(texts))

    def rough_bound(self, texts: Sequence[Text]) -> Amount | None:
        """`bound` by the bytes, at once; None where tokens matter and can be counted."""
        if self._counted is not None and (self._counts or self.channel.terms.price is not None):
            return None
        return self._amount(sum(map(most_tokens, texts)), len(texts))

    def _amount(self, counted: int, texts: int) -> Amount:
        prompt_tokens = ceil(counted * self._stretch)
        completion, price = self.capabilities.completion * texts, self.channel.terms.price
        usd = price.usd(prompt_tokens, completion) if price is not None else 0.0
        return Amount(1, texts, prompt_tokens + completion, usd)

    async def _tokens(self, texts: Sequence[Text]) -> list[int]:
        """By the scorer's own tokenizer, or by the bytes: a token is at least one."""
        if self._counted is not None:
            return await self._counted.count(texts, self._labels)
        return [most_tokens(text) for text in texts]

    def _usd(self, prompts: int, tokens: int) -> float:
        price = self.channel.terms.price
        if price is None:
            return 0.0
        written = prompts * self.capabilities.completion
        return price.usd(max(0, tokens - written), written)


def _above(amount: Amount, other: Amount) -> Amount:
    """How much more of each thing `amount` is; nothing where it is less."""
    more = astuple(amount - other)
    return Amount(*(max(0, number) for number in more))


def most_tokens(text: Text) -> int:
    """An upper bound of the tokens of a text, by its bytes: a token is at least one."""
    both = text.before + text.after
    size = len(both) if both.isascii() else len(both.encode("utf-8", "replace"))
    return TEXT_OVERHEAD + size
