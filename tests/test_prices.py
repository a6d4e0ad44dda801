"""Prices: dated, never a guess, never below what is billed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.records import Price
from bdpl_providers.prices import price_of

NOW = date(2026, 11, 1)


def test_a_known_model_has_the_listed_price() -> None:
    """A price is USD per million tokens, as OpenAI lists it for plain requests."""
    assert price_of("openai", "gpt-4o-mini", NOW) == Price(0.15, 0.6)
    assert price_of("openai", "gpt-4o", NOW) == Price(2.5, 10.0)
    assert price_of("openai", "gpt-5.1-2025-11-13", NOW) == Price(1.25, 10.0)


def test_a_price_is_that_of_its_day() -> None:
    """The price is the one at the time passed in: o3 fell by four fifths on 2025-06-10."""
    assert price_of("openai", "o3", date(2025, 6, 9)) == Price(10.0, 40.0)
    assert price_of("openai", "o3", date(2025, 6, 10)) == Price(2.0, 8.0)
    assert price_of("openai", "o3", datetime(2025, 6, 9, 23, 59)) == Price(10.0, 40.0)
    west = timezone(timedelta(hours=-5))
    assert price_of("openai", "o3", datetime(2025, 6, 9, 20, tzinfo=west)) == Price(2.0, 8.0)
    assert price_of("openai", "o3", datetime(2026, 1, 1, tzinfo=UTC)) == Price(2.0, 8.0)


def test_tiers_count_at_the_highest_that_can_apply() -> None:
    """Long requests cost more a token, so without a known length the highest price stands."""
    long, short = price_of("openai", "gpt-5.4", NOW), price_of("openai", "gpt-5.4", NOW, longest=99)
    assert long == Price(5.0, 22.5)
    assert short == Price(2.5, 15.0)
    assert price_of("openai", "gpt-5.4", NOW, longest=272_000) == short
    assert price_of("openai", "gpt-5.4", NOW, longest=272_001) == long


def test_writing_the_prompt_cache_is_in_the_price() -> None:
    """A model that charges more for input that it caches costs that much from 1,024 tokens on."""
    assert price_of("openai", "gpt-6-luna", NOW, longest=1_023) == Price(0.1, 0.5)
    assert price_of("openai", "gpt-6-luna", NOW, longest=1_024) == Price(0.125, 0.5)


@given(st.integers(1, 400_000), st.sampled_from(["gpt-6-luna", "gpt-5.4", "gpt-4o", "o3"]))
def test_a_longer_bound_never_costs_less(longest: int, model: str) -> None:
    """The price without a known length is at least that of every length."""
    bounded = price_of("openai", model, NOW, longest=longest)
    above = price_of("openai", model, NOW)
    assert bounded is not None
    assert above is not None
    assert 0 < bounded.prompt <= above.prompt + 1e-9
    assert 0 < bounded.completion <= above.completion + 1e-9


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99-nonsense"),
        ("openai", ""),
        ("openai", "ft:gpt-4o-mini:mine"),  # nobody lists what one's own model costs
        ("vllm", "gpt-4o"),
        ("compatible", "gpt-4o"),
        ("openai", "whisper-1"),  # by the hour
        ("openai", "text-embedding-3-small"),  # writes nothing
        ("openai", "omni-moderation-latest"),  # no price at all, which is not zero
    ],
)
def test_what_nobody_knows_is_unknown(provider: str, model: str) -> None:
    """A price that is not known is None, never 0."""
    assert price_of(provider, model, NOW) is None


def test_the_tables_are_read_when_a_price_is_asked_for() -> None:
    """Importing the module imports no tables; asking for a foreign price does not either."""
    code = (
        "import sys, datetime; from bdpl_providers.prices import price_of; "
        "price_of('vllm', 'x', datetime.date(2026, 1, 1)); "
        "assert 'genai_prices' not in sys.modules"
    )
    path = [entry for entry in sys.path if entry]
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], check=True
    )
