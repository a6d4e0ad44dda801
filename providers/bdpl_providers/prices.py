"""What a token costs, by the tables of genai-prices as installed: offline, dated, never updated.

A price here is an upper bound: the discount for cached input is left out, the surcharge for
writing that cache is in. Not known are the discounts of the batch and flex tiers and the surcharge
of the priority tier (plain requests are meant), surcharges for a region, and anybody's contract.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from bdpl_async.records import Price

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

__all__ = ["price_of"]

SELLERS = {"openai": "openai"}  # our provider: whose price list
ENDLESS = 10**9  # tokens, beyond the start of every tier: prices rise with a request's length
MILLION = 1_000_000
CACHED = 1024  # tokens; no shorter prompt is written to the prompt cache


def price_of(
    provider: str, model: str, at: date | datetime, *, longest: int = ENDLESS
) -> Price | None:
    """USD per million tokens of `model` at that time, at most; None where nobody knows.

    Args:
        provider: ours, as in ``openai``; a server of one's own has no public price.
        model: as the provider calls it.
        at: when; a naive datetime is UTC, a date its first moment in UTC.
        longest: tokens that one request holds at most; prices that begin beyond do not apply.
    """
    seller = SELLERS.get(provider)
    if seller is None:
        return None
    try:
        plain = _priced(seller, model, at, longest)
        written = _priced(seller, model, at, longest, written=longest)
    except (LookupError, ValueError):  # ValueError: a price of a shape that the tables cannot use
        return None
    if not _by_the_token(plain):
        return None
    prompt = max(plain.input_price, written.input_price if longest >= CACHED else 0)
    return Price(float(prompt * MILLION / longest), float(plain.output_price * MILLION / longest))


def _priced(
    seller: str, model: str, at: date | datetime, tokens: int, *, written: int = 0
) -> PriceCalculation:
    """What a request of so many tokens in and as many out costs; `written` of them to the cache."""
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=tokens, output_tokens=tokens, cache_write_tokens=written)
    return calc_price(usage, model, provider_id=seller, genai_request_timestamp=_moment(at))


def _by_the_token(found: PriceCalculation) -> bool:
    """Whether tokens in and out have a price each and nothing else is charged for.

    Models that are billed by the hour or by the request would otherwise seem cheap or free.
    """
    prices = found.model_price
    if prices.input_mtok is None or prices.output_mtok is None:
        return False
    return found.input_price + found.output_price == found.total_price


def _moment(at: date | datetime) -> datetime:
    moment = at if isinstance(at, datetime) else datetime.combine(at, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
