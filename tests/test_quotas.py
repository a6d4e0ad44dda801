"""The rules of `bdpl_providers.quotas`."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bdpl_async.records import Quota
from bdpl_providers.quotas import HORIZON, quotas, retry_after, wait

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def clock() -> float:
    return NOW


def asked(message: str = "", **headers: str) -> float | None:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return retry_after(named, message, clock)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20", 20.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("2m59.56s", 179.56),
        ("1h", 3600.0),
        ("5 minutes", 300.0),
        ("250 milliseconds", 0.25),
        ("1d2h", HORIZON),
        ("1e30", HORIZON),
        ("1800000030", 30.0),
        ("1800000030500", 30.5),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Friday, 15-Jan-27 08:00:30 GMT", 30.0),
        ("2027-01-15T08:00:30Z", 30.0),
        ("2027-01-15T10:00:30+02:00", 30.0),
        ("2027-01-15 08:00:30 UTC", 30.0),
    ],
)
def test_a_wait_is_read_in_every_spelling(text: str, seconds: float) -> None:
    """Seconds, durations, epochs in seconds and milliseconds, HTTP and ISO dates; a day at most."""
    assert wait(text, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-1",
        "-1s",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "1x",
        "s",
        "1s!",
        "0x10",
        "1s2",
        "None",
        "1700000000",
        "Fri, 15 Jan 2010 08:00:30 GMT",
        "Fri, 99 Jan 2027 08:00:30 GMT",
        "2027-13-99",
    ],
)
def test_a_wait_without_sense_is_none(text: str) -> None:
    """Garbage, what is not finite, negative or past is no wait."""
    assert wait(text, NOW) is None


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-z:., +\-]{0,40}", fullmatch=True))
@example("0001-01-01T00:00:00+23:59")
@example("Mon, 1 Jan 99999999999999999999 00:00:00 +9999")
def test_whatever_a_server_writes_is_a_wait_or_none(text: str) -> None:
    """No header value and no message raises; a wait is finite, not negative, a day at most."""
    for seconds in (
        wait(text, NOW),
        asked(text),
        asked(retry_after=text),
        asked(f"retry in {text}"),
    ):
        assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= HORIZON)
    headers = CIMultiDict({"x-ratelimit-remaining-requests": text, "date": text})
    assert len(quotas(headers, clock)) <= 1


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached on RPM: Limit 3, Used 3. Please try again in 20s. Visit x", 20.0),
        ("Please retry after 3 seconds.", 3.0),
        ("Please try again in 7m12s", 432.0),
        ("try again in 850ms", 0.85),
        ("Limit 5 per 60 s. Please retry your request after 2 minutes and 5 seconds", 125.0),
        ("Wait 1 minute", 60.0),
        ("Quota resets in 1h", 3600.0),
        ("Limit: 20 requests in 60 seconds", None),
        ("Limit resets at: 2026-11-23 10:45:06 UTC", None),  # that was two months ago
        ("Limit type: requests. Limit resets at: 2027-01-15 08:00:41 UTC", 41.0),
        ("Resets on 2027-01-15T08:00:05.5Z.", 5.5),
        ("the window reset at 2027-01-15T09:01:00+01:00, see there", 60.0),
        ("It resets 2027-01-15 08:02:00", 120.0),
        ("Limit resets at: 2027-01-25 08:00:00 UTC", HORIZON),
        ("Limit resets at: 2027-13-45 99:99:99 UTC", None),
        ("It was reset at 2027-01-15", None),
        ("presets at: 2027-01-15 08:00:41 UTC", None),
        ("You tried 3 times, retry later", None),
    ],
)
def test_a_wait_may_stand_in_the_message_only(message: str, seconds: float | None) -> None:
    """A duration counts where the words say to wait for it, not where they state the limit."""
    assert asked(message) == (None if seconds is None else pytest.approx(seconds))


def test_the_most_explicit_word_counts() -> None:
    """retry-after-ms goes before retry-after, that before the message, that before the resets."""
    resets = {"x_ratelimit_reset_requests": "5s"}
    assert asked("try again in 4s", **resets, retry_after="3", retry_after_ms="250") == 0.25
    assert asked("try again in 4s", **resets, retry_after="3") == 3.0
    assert asked("try again in 4s", **resets) == 4.0
    moment = "Limit resets at: 2027-01-15 08:00:41 UTC"
    assert asked(f"{moment}, try again in 4s", **resets) == 4.0
    assert asked(moment, **resets) == 41.0
    assert asked("no", **resets) == 5.0
    assert asked("no") is None


@pytest.mark.parametrize("useless", ["0", "-3", "nan", "soon", "Fri, 15 Jan 2010 08:00:30 GMT"])
def test_a_useless_hint_gives_way_to_the_next(useless: str) -> None:
    """Zero, past and garbage are passed over, so that back-off or another hint decides."""
    assert asked("try again in 4s", retry_after=useless, retry_after_ms=useless) == 4.0
    assert asked(retry_after=useless) is None


def test_the_limit_that_is_used_up_says_how_long() -> None:
    """Of several resets, that of an exhausted limit counts; without one, the soonest to come."""
    resets = {"x_ratelimit_reset_requests": "1s", "x_ratelimit_reset_tokens": "6m0s"}
    left = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_remaining_tokens": "9000"}
    assert asked(**resets, **left) == 1.0
    assert asked(**resets) == 1.0


def test_a_moment_in_the_message_is_by_the_servers_own_clock() -> None:
    """A minute that ends at 08:01 has 10 seconds left where the server's clock says so."""
    moment = "Limit resets at: 2027-01-15 08:01:00 UTC"
    assert asked(moment, date="Fri, 15 Jan 2027 08:00:50 GMT") == 10.0
    assert asked(moment) == 60.0


def test_dates_are_by_the_servers_own_clock() -> None:
    """A wait until a date counts from the reply's own Date: our clock may be wrong."""
    later = "Fri, 15 Jan 2027 09:00:30 GMT"
    assert asked(retry_after=later, date="Fri, 15 Jan 2027 09:00:00 GMT") == 30.0
    assert asked(retry_after=later, date="garbage") == 3630.0


def test_the_gateways_backend_may_say_it() -> None:
    """LiteLLM hands on its backend's Retry-After under a name of its own."""
    headers = CIMultiDict({"llm_provider-retry-after": "60"})
    assert retry_after(headers, "Model rate limit exceeded. RPM limit=30", clock) == 60.0


@pytest.mark.parametrize(
    "pattern",
    [
        "X-RateLimit-{}-{}s",
        "anthropic-ratelimit-{1}s-{0}",
        "x-ratelimit-api_key-{}-{}s",
        "x-ratelimit-team-{}-{}s",
        "x-ratelimit-model_per_key-{}-{}s",
    ],
)
def test_both_limits_are_read_under_every_name(pattern: str) -> None:
    """Limit, remaining and reset of requests and tokens, in any case."""
    headers = CIMultiDict(
        {
            pattern.format(what, unit): value
            for unit, values in {"request": "60 59 1s", "token": "1000 0 6m0s"}.items()
            for what, value in zip(("limit", "remaining", "reset"), values.split(), strict=True)
        }
    )
    assert quotas(headers, clock) == (
        Quota("requests", 60.0, 59.0, 1.0),
        Quota("tokens", 1000.0, 0.0, 360.0),
    )


@pytest.mark.parametrize("prefix", ["X-RateLimit", "RateLimit"])
def test_names_without_a_unit_mean_requests(prefix: str) -> None:
    """The plain names count requests; a list of policies counts by its first number."""
    headers = CIMultiDict(
        {f"{prefix}-Limit": "100, 100;w=60", f"{prefix}-Remaining": "7", f"{prefix}-Reset": "30"}
    )
    assert quotas(headers, clock) == (Quota("requests", 100.0, 7.0, 30.0),)


def test_the_tightest_of_several_limits_counts() -> None:
    """A key's and a team's limit of the same unit become one: that with the least left."""
    headers = CIMultiDict(
        {
            "x-ratelimit-limit-requests": "30",
            "x-ratelimit-api_key-remaining-requests": "9",
            "x-ratelimit-team-remaining-requests": "4",
        }
    )
    assert quotas(headers, clock) == (Quota("requests", None, 4.0, None),)


@pytest.mark.parametrize("nonsense", ["-1", "nan", "inf", "None", "", "many", "\udcff"])
def test_a_limit_without_sense_is_none(nonsense: str) -> None:
    """Minus one, which some write for no limit, and garbage leave the quota unsaid."""
    names = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests")
    assert quotas(CIMultiDict(dict.fromkeys(names, nonsense)), clock) == ()
    assert quotas(CIMultiDict({"date": nonsense}), clock) == ()


def test_headers_without_limits_ask_no_clock() -> None:
    """A reply that speaks of no limit costs no more than the look for one."""

    def never() -> float:
        raise AssertionError("the clock was asked")

    assert quotas(CIMultiDict({"Content-Type": "application/json"}), never) == ()
