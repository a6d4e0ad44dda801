"""What an answer is counted at: as it reports, or at its bound where that cannot be true. Pure."""

from __future__ import annotations

from bdpl_async.budget import Amount
from bdpl_async.records import GRAIN, Billed, Price, Usage

__all__ = ["billed"]

MOST_TOKENS = 1_000_000  # a text; a report above it is a mistake of the server's


def billed(
    bound: Amount, answer: Billed, usage: Usage, price: Price | None
) -> tuple[Amount, Usage]:
    """What the ledger counts, and the usage that goes with it.

    Args:
        bound: what was reserved.
        answer: says how many texts were answered, if not all.
        usage: as the answer reports it.
        price: of tokens, where the answer names no dollars.
    """
    prompts = bound.prompts if answer.answered is None else min(answer.answered, bound.prompts)
    tokens = usage.prompt_tokens + usage.completion_tokens
    usd = -(-usage.usd // GRAIN) * GRAIN if usage.usd else 0.0
    if prompts and not prompts <= tokens <= MOST_TOKENS * prompts:
        tokens, usd = bound.tokens, usd or bound.usd
        usage = Usage(prompt_tokens=tokens, usd=usd)
    elif not usd and price is not None:
        usd = price.usd(usage.prompt_tokens, usage.completion_tokens)
        usage = Usage(usage.prompt_tokens, usage.completion_tokens, usd)
    return Amount(1, prompts, tokens, usd), usage
