"""What can go wrong on the way back from a server: each kind by name, and when it strikes.

    good document --spoil(kind)--> Sent, the bytes and manners of what goes over the wire

Billing is as harsh as real servers are: whatever may have been computed is billed, also where the
client never learns it.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from math import ceil, nan
from time import time
from typing import Any, Literal

__all__ = ["LIES", "PASSING", "REFUSALS", "SPOILT", "Faults", "Sent", "error", "limited", "spoil"]

Json = dict[str, Any]
OVERSIZE = 33 * 2**20  # bytes
FORMS = ("int code", "string code", "string", "detail", "details", "plain", "html")


@dataclass(frozen=True, slots=True)
class Sent:
    """What goes over the wire, and what the server writes into its books.

    Attributes:
        after: what becomes of the connection: `keep`; `never` answers; `reset` at once;
            `midway` resets after half of the body; `flood` streams blanks until the client leaves.
        billed: whether the texts are billed.
        good: the texts, by their place in the request, that got a usable answer.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content: str = "application/json"
    after: Literal["keep", "never", "reset", "midway", "flood"] = "keep"
    announced: int | None = None
    billed: bool = False
    good: tuple[int, ...] = ()


@dataclass(slots=True)
class Faults:
    """When which kind strikes a scoring request.

    Attributes:
        rates: kind -> chance per request.
        every: kind -> each so-manieth request.
        first: kinds for the first requests, one each.
        texts: part of a text -> kind; always, however often it is sent.
        at_most: times that one text is struck by `rates` and `every`, so that answers arrive.
        wait: seconds that a 429 or 503 asks for.
        seed: of chance.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    every: Mapping[str, int] = field(default_factory=dict)
    first: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    at_most: int = 2
    wait: float = 0.02
    seed: int = 0
    _number: int = 0
    _struck: Counter[str] = field(default_factory=Counter)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def strike(self, texts: Sequence[str]) -> str | None:
        """The kind that strikes this request, if any; each call is one request."""
        self._number += 1
        for part, kind in self.texts.items():
            if any(part in text for text in texts):
                return kind
        if self._number <= len(self.first):
            return self.first[self._number - 1]
        drawn = self._drawn()
        if drawn is None or any(self._struck[text] >= self.at_most for text in texts):
            return None
        self._struck.update(texts)
        return drawn

    def _drawn(self) -> str | None:
        for kind, each in self.every.items():
            if self._number % each == 0:
                return kind
        draw = self._chance.random()
        for kind, rate in self.rates.items():
            if draw < rate:
                return kind
            draw -= rate
        return None


def spoil(kind: str, document: Json, texts: Sequence[str], wait: float, elsewhere: str) -> Sent:
    """What the server sends instead of `document`, its good answer to `texts`.

    Args:
        kind: one of `REFUSALS`, `SPOILT`, `LIES`, or ``context``, ``400``, ``quota``, ``redirect``.
        wait: seconds that it asks the client to wait, if the kind does that.
        elsewhere: where a redirect points to.
    """
    if kind in LIES:
        return _lie(kind, document, len(texts))
    if kind in SPOILT:
        return SPOILT[kind](json.loads(json.dumps(document)))
    form = zlib.crc32("".join(texts).encode("utf-8", "replace"))  # the same text, the same words
    if kind == "redirect":
        return Sent(307, headers=(("Location", elsewhere),))
    if kind.startswith("429"):
        return limited(wait, kind.partition("-")[2] or "seconds")
    return _refusal(kind, FORMS[form % len(FORMS)], wait)


def limited(wait: float, hint: str) -> Sent:
    """A 429 that says how long to wait: in `seconds`, `ms`, as a `date`, in the `message`; `bare`
    says nothing."""
    headers = {
        "seconds": (("Retry-After", f"{wait:g}"),),
        "ms": (("retry-after-ms", f"{wait * 1000:g}"),),
        "date": (("Retry-After", formatdate(ceil(time() + wait), usegmt=True)),),
    }.get(hint, ())
    told = f" Please try again in {wait * 1000:g}ms." if hint == "message" else ""
    message = f"Rate limit reached for requests.{told}"
    return error(429, message, "string code", code="rate_limit_exceeded", headers=headers)


def error(
    status: int,
    message: str,
    form: str = "int code",
    *,
    code: str = "server_error",
    headers: tuple[tuple[str, str], ...] = (),
) -> Sent:
    """An error reply in one of the `FORMS` that real servers use."""
    inner: Json = {"message": message, "type": code, "param": None}
    documents: dict[str, Json] = {
        "int code": {"error": {**inner, "code": status}},
        "string code": {"error": {**inner, "code": code}},
        "string": {"error": message},
        "detail": {"detail": message},
        "details": {"detail": [{"loc": ["body"], "msg": message, "type": code}]},
    }
    if form in documents:
        return Sent(status, json.dumps(documents[form]).encode(), headers)
    if form == "plain":
        return Sent(status, message.encode(), headers, "text/plain; charset=utf-8")
    page = f"<html><head><title>{status}</title></head><body><h1>{message}</h1></body></html>"
    return Sent(status, page.encode(), headers, "text/html")


def _refusal(kind: str, form: str, wait: float) -> Sent:
    asks = (("Retry-After", f"{wait:g}"),)
    match kind:
        case "slow-down":
            return error(429, "Slow down.", "string code", code="slow_down", headers=asks)
        case "quota":
            told = "You exceeded your current quota, please check your plan and billing details."
            return error(429, told, "string code", code="insufficient_quota")
        case "context":
            told = "This model's maximum context length is 64 tokens. However, you requested more."
            return error(400, told, code="BadRequestError")
        case "503":
            return error(503, "The server is overloaded.", form, headers=asks)
    return error(int(kind), f"it broke ({kind})", form)


def _good(document: Json, *spoilt: int) -> Sent:
    """`document` as it stands, with the bare token NaN where there is one."""
    kept = tuple(i for i in range(len(document["choices"])) if i not in spoilt)
    return Sent(body=json.dumps(document).encode(), billed=True, good=kept)


def _cut(document: Json) -> Sent:
    body = json.dumps(document).encode()
    return Sent(body=body[: len(body) * 2 // 3], billed=True)


def _midway(document: Json) -> Sent:
    return Sent(body=json.dumps(document).encode(), after="midway", billed=True)


def _no_numbers(document: Json) -> Sent:
    document["choices"][0]["logprobs"] = None
    return _good(document, 0)


def _nan(document: Json) -> Sent:
    _each_number(document, lambda key, value: nan)
    return _good(document, 0)


def _missing_ids(document: Json) -> Sent:
    """The first text's numbers stand under names that nobody asked for."""
    _each_number(document, lambda key, value: None)
    return _good(document, 0)


def _each_number(document: Json, change: Callable[[str, float], float | None]) -> None:
    """Change the first choice's log-probabilities; None drops one."""
    numbers = document["choices"][0]["logprobs"]
    if "content" in numbers:
        for token in numbers["content"]:
            changed = [(t, change(t["token"], t["logprob"])) for t in token["top_logprobs"]]
            token["top_logprobs"] = [{**t, "logprob": v} for t, v in changed if v is not None]
        return
    top = numbers["top_logprobs"]
    pairs = [[(key, change(key, value)) for key, value in place.items()] for place in top]
    numbers["top_logprobs"] = [{k: v for k, v in place if v is not None} for place in pairs]


def _index(document: Json, value: int) -> Sent:
    """The last choice says another index. Nothing tells who is meant by a doubled one."""
    last = len(document["choices"]) - 1
    document["choices"][last]["index"] = value
    return _good(document, last, value)


def _lie(kind: str, document: Json, count: int) -> Sent:
    """A good answer that says something wrong or odd beside it."""
    document = json.loads(json.dumps(document))
    if kind == "shuffled":
        document["choices"].reverse()
        return _good(document)
    value = {"zero": 0, "negative": -5, "string": "many", "tiny": 1, "huge": 10**9}[kind[6:]]
    document["usage"] = {
        "prompt_tokens": value,
        "completion_tokens": 0,
        "total_tokens": value,
    }
    return _good(document)


REFUSALS = (
    "429",
    "429-ms",
    "429-date",
    "429-message",
    "429-bare",
    "slow-down",
    "500",
    "502",
    "503",
)
"""Answered with an error, never billed, gone the next time."""

SPOILT: Mapping[str, Callable[[Json], Sent]] = {
    "hang": lambda document: Sent(after="never", billed=True),
    "reset": lambda document: Sent(after="reset", billed=True),
    "reset-midway": _midway,
    "truncated": _cut,
    "html": lambda document: Sent(body=b"<html>busy</html>", content="text/html", billed=True),
    "no-choices": lambda document: Sent(
        body=json.dumps({**document, "choices": []}).encode(), billed=True
    ),
    "null": _no_numbers,
    "nan": _nan,
    "missing-ids": _missing_ids,
    "index-wrong": lambda document: _index(document, 4711),
    "index-negative": lambda document: _index(document, -1),
    "index-doubled": lambda document: _index(document, max(0, len(document["choices"]) - 2)),
    "oversized": lambda document: Sent(after="flood", announced=OVERSIZE, billed=True),
    "oversized-stream": lambda document: Sent(after="flood", billed=True),
}
"""Billed, and some or all of the texts without a usable answer."""

LIES = ("shuffled", "usage-zero", "usage-negative", "usage-string", "usage-tiny", "usage-huge")
"""Billed, and every text with a usable answer."""

PASSING = (*REFUSALS, *SPOILT, "shuffled", "usage-zero", "usage-negative", "usage-string")
"""After which, sooner or later, the same answers arrive."""
