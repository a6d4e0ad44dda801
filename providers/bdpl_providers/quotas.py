"""What a reply's headers say of waiting and of limits, in every spelling that servers use.

    Retry-After, x-ratelimit-reset-*, "Please try again in 20s"  -->  seconds
    x-ratelimit-*, anthropic-ratelimit-*, ratelimit-*            -->  Quota, at most one per unit

Pure: a clock is passed in. Nothing that a server writes can raise here; what makes no sense is
ignored. It does not know why a reply failed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

from multidict import istr

from bdpl_async.records import Quota

__all__ = ["Headers", "quotas", "retry_after", "wait"]

Headers = Mapping[str, str]
"""Names in any case, as every HTTP library gives them."""

HORIZON = 86_400.0
"""The longest wait that is believed, seconds; who asks for more is taken to mean a day."""

EPOCH = 1e9  # a plain number from here on is a date, in seconds; from EPOCH_MS on in milliseconds
EPOCH_MS = 1e11

LONGEST = 2_000  # characters of a message that are searched, and 64 of a header's value
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": HORIZON}  # by the first letter, once "ms" is out
NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
MILLI = r"ms|milliseconds?"
UNIT = rf"(?:{MILLI}|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
PART = re.compile(rf"({NUMBER})\s*({UNIT})")
DURATION = rf"{NUMBER}\s*{UNIT}(?:[\s,]*(?:and\s+)?{NUMBER}\s*{UNIT})*"
WHOLE = re.compile(DURATION)
FILLER = r"(?:[\s:,~]|again|your|this|the|request|in|after|for|at least|about|another){0,12}"
DAY, TIME = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d:\d\d(?:\.\d{1,9})?"
ZONE = r" ?utc|z|[+-]\d\d:\d\d"
MOMENT = re.compile(rf"\bresets?(?: at| on)?:? ({DAY}[t ]{TIME}(?:{ZONE})?)")
ADVICE = re.compile(rf"\b(?:try|retry|retrying|wait|resets?|available)\b{FILLER}({DURATION})")


class Family(NamedTuple):
    """The headers in which one kind of server speaks of one limit."""

    unit: Literal["requests", "tokens"]
    limit: istr
    remaining: istr
    reset: istr


def _family(unit: Literal["requests", "tokens"], pattern: str) -> Family:
    names = (istr(pattern.format(what=what)) for what in ("limit", "remaining", "reset"))
    return Family(unit, *names)


FAMILIES = (
    _family("requests", "x-ratelimit-{what}-requests"),  # OpenAI, Groq, vLLM behind most gateways
    _family("tokens", "x-ratelimit-{what}-tokens"),
    _family("requests", "anthropic-ratelimit-requests-{what}"),
    _family("tokens", "anthropic-ratelimit-tokens-{what}"),
    _family("requests", "x-ratelimit-api_key-{what}-requests"),  # LiteLLM, by scope
    _family("tokens", "x-ratelimit-api_key-{what}-tokens"),
    _family("requests", "x-ratelimit-team-{what}-requests"),
    _family("tokens", "x-ratelimit-team-{what}-tokens"),
    _family("requests", "x-ratelimit-model_per_key-{what}-requests"),
    _family("tokens", "x-ratelimit-model_per_key-{what}-tokens"),
    _family("requests", "x-ratelimit-{what}"),
    _family("requests", "ratelimit-{what}"),
)
SIGNS = tuple(name for family in FAMILIES for name in (family.remaining, family.limit))


def quotas(headers: Headers, clock: Callable[[], float]) -> tuple[Quota, ...]:
    """What is left of the limits; of several that count the same, the one with the least left.

    Args:
        headers: of the reply.
        clock: seconds since 1970, asked only where a header names a date.
    """
    for name in SIGNS:  # no server without limits pays for more than this loop
        if name in headers:
            break
    else:
        return ()
    now = _now(headers, clock)
    found: dict[str, Quota] = {}
    for family in FAMILIES:
        quota = _quota(family, headers, now)
        if quota and (family.unit not in found or _left(quota) < _left(found[family.unit])):
            found[family.unit] = quota
    return tuple(found.values())


def retry_after(headers: Headers, message: str, clock: Callable[[], float]) -> float | None:
    """Seconds that the other side asks us to wait, or None if it does not say so.

    The most explicit word counts: ``retry-after-ms``, then ``retry-after`` (its own or its
    backend's), then the message, then when the limits are whole again. Zero is no wait, and so no
    answer: the caller's own back-off is better than none.

    Args:
        headers: of the reply.
        message: the server's words.
        clock: seconds since 1970.
    """
    now = _now(headers, clock)
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds:
        return min(milliseconds / 1000, HORIZON)
    for name in ("retry-after", "llm_provider-retry-after"):
        if asked := wait(headers.get(name, ""), now):
            return asked
    advice = ADVICE.search(message[:LONGEST].lower())
    if advice and (asked := wait(advice.group(1), now)):
        return asked
    moment = MOMENT.search(message[:LONGEST].lower())
    if moment and (asked := wait(moment.group(1).upper(), now)):
        return asked
    return _reset(headers, now)


def wait(text: str, now: float) -> float | None:
    """The seconds from `now` that a header's value means: number, ``6m0s``, ``120ms``, or date.

    None for what is in the past, negative, not finite or no time at all.
    """
    text = text[:64].strip()
    number = _number(text)
    if number is not None and number >= EPOCH:
        return _bounded((number / 1000 if number >= EPOCH_MS else number) - now)
    if number is not None:
        return _bounded(number)
    if WHOLE.fullmatch(text.lower()):
        return _bounded(sum(_seconds(*part) for part in PART.findall(text.lower())))
    moment = _moment(text)
    return None if moment is None else _bounded(moment - now)


def _bounded(seconds: float) -> float | None:
    return min(seconds, HORIZON) if seconds >= 0 else None


def _seconds(number: str, unit: str) -> float:
    return float(number) * (0.001 if re.fullmatch(MILLI, unit) else UNITS[unit[0]])


def _number(text: str | None) -> float | None:
    """A finite number that is not negative: some servers write -1 for "no limit"."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _moment(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date or an ISO one; without a zone it is UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text.removesuffix(" UTC"))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, LookupError, OverflowError):
            continue
    return None


def _now(headers: Headers, clock: Callable[[], float]) -> float:
    """The server's own clock if it tells: its dates are by it, and ours may be minutes off."""
    said = _moment(headers.get("date", "")[:64].strip())
    return clock() if said is None else said


def _quota(family: Family, headers: Headers, now: float) -> Quota | None:
    limit = _first(headers.get(family.limit))
    remaining = _first(headers.get(family.remaining))
    if limit is None and remaining is None:
        return None
    return Quota(family.unit, limit or None, remaining, wait(headers.get(family.reset, ""), now))


def _first(value: str | None) -> float | None:
    """The number that opens ``100, 100;w=60``."""
    return _number(re.split("[,;]", value, maxsplit=1)[0]) if value else None


def _left(quota: Quota) -> float:
    return math.inf if quota.remaining is None else quota.remaining


def _reset(headers: Headers, now: float) -> float | None:
    """When the limits that are used up are whole again; all of them if none says what is left."""
    told = [
        (_first(headers.get(family.remaining)), wait(headers.get(family.reset, ""), now))
        for family in FAMILIES
    ]
    waits = [(left, asked) for left, asked in told if asked]
    spent = [asked for left, asked in waits if left == 0]
    return max(spent) if spent else min((asked for _, asked in waits), default=None)
