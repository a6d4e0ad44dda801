"""From an HTTP reply to an `Answer`, or to the error that says whose fault it is.

    status, headers, body --answer()--> Answer
                            `---------> ProviderRefused | RequestFailed | RateLimited | ...

Pure: it knows no transport and sends nothing. What a server writes is never trusted, and what it
echoes of our key is never repeated.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, NamedTuple

from multidict import istr

from bdpl_async.errors import (
    Fate,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    RequestFailed,
    ServerFault,
)
from bdpl_async.records import Usage
from bdpl_providers.complaints import Complaint, complaint, excerpt, parsed
from bdpl_providers.quotas import Headers, quotas, retry_after
from bdpl_providers.wire import Answer, Document

__all__ = ["LARGEST", "Peer", "answer", "too_large", "usage"]

LARGEST = 32 * 2**20
"""Bytes of one reply that are read at most, also once it is decompressed."""

ENCODING = istr("content-encoding")
PLAUSIBLE = 10**9  # tokens; who reports more for one request reports nonsense

MODEL_UNKNOWN = re.compile(
    r"model_not_found|invalid model name|unknown model|no such model|model not exist|"
    r"\bmodel [`'\"]?\S{1,200} (?:is |was |could |can)?(?:not (?:be )?found|does not exist)"
)
TOO_LONG = re.compile(
    r"maximum context length|context_length_exceeded|context ?window|maximum model length|"
    r"max_model_len|prompt is too long"
)
NO_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|fund)|billing[_ ](?:hard[_ ]limit|not[_ ]active)"
)
SPENT = re.compile(r"exceeded your current quota")  # some mean the minute, and say how long
GOOD, LIKELY = 200, 2
SECRET = 12  # characters of a key that is worth hiding in answers
SPELLED = re.compile(rb"\\u00[2-7]")  # a character of ASCII that JSON needed not to spell
PARALLEL = re.compile(r"parallel|concurren")
SLOW_DOWN = re.compile(r"\bslow[_ ]down\b")

NAMED = {
    "rate_limit_exceeded": 429, "rate_limit_error": 429, "throttling_error": 429,
    "insufficient_quota": 429, "slow_down": 429, "invalid_request_error": 400,
    "badrequesterror": 400, "context_length_exceeded": 400, "authentication_error": 401,
    "auth_error": 401, "invalid_api_key": 401, "permission_error": 403, "not_found_error": 404,
    "notfounderror": 404, "model_not_found": 404, "server_error": 500, "api_error": 500,
    "internal_server_error": 500, "internalservererror": 500, "overloaded_error": 529,
}  # fmt: skip
"""The status that an error in a reply of status 200 would have had, by its code or type."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who answers: its name in messages, and what no message may repeat."""

    name: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    _plain: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = tuple(secret.encode() for secret in self.secrets if len(secret) >= SECRET)
        object.__setattr__(self, "_plain", plain)

    def cleared(self, body: bytes, status: int = 0) -> bytes:
        """`body` without what no message may repeat, should the server send it back.

        Of a good answer, of which there are many, only the likeliest forms are looked for. A short
        key is a dummy, and might stand anywhere.
        """
        for plain in self._plain[:LIKELY] if status == GOOD else self._plain:
            if plain in body:
                body = body.replace(plain, b"***")
        if b"\\u00" in body and SPELLED.search(body):
            for plain in self._plain:
                body = re.sub(_spelled(plain), b"***", body)
        return body


class Verdict(NamedTuple):
    """What an error status means: the class to raise, the fate of the request, what to do."""

    error: type[ProviderError]
    fate: Fate = "refused"
    hint: str | None = None


PATIENCE = "lower --concurrency, or see how the server is doing"
LIMITS = "lower --rpm, --tpm or --concurrency to what the account allows"
ADDRESS = "check base_url: most servers want /v1 at its end"
CREDIT = "see to the account's credit or spending limit; what was paid for is in the cache"
PROXY = "the proxy wants a user and a password: write them, and an @, before its host"
SHORTER = "shorten the prompt or the template, or take a model with a longer window"
NAME = "check the name after the provider in model.name; the server lists its models at /models"
ELSEWHERE = "redirects are never followed, so that the key stays here: give the final base_url"

STATUSES = {
    401: Verdict(ProviderRefused, hint="check the key and that it belongs to this server"),
    402: Verdict(ProviderRefused, hint=CREDIT),
    403: Verdict(ProviderRefused, hint="the key may not use this model, endpoint or region"),
    404: Verdict(RequestFailed, hint=ADDRESS),
    405: Verdict(RequestFailed, hint=ADDRESS),
    407: Verdict(ProviderRefused, hint=PROXY),
    408: Verdict(ProviderUnavailable, "unknown", PATIENCE),
    409: Verdict(ProviderUnavailable),
    421: Verdict(ProviderUnavailable),
    425: Verdict(ProviderUnavailable),
    429: Verdict(RateLimited, hint=LIMITS),
    499: Verdict(ProviderUnavailable, "unknown", PATIENCE),
    500: Verdict(ServerFault),
    501: Verdict(RequestFailed, hint=ADDRESS),
    503: Verdict(ProviderUnavailable, hint=PATIENCE),
    521: Verdict(ProviderUnavailable),
    522: Verdict(ProviderUnavailable),
    523: Verdict(ProviderUnavailable),
    529: Verdict(ProviderUnavailable, hint=PATIENCE),
}

SAID = (
    (range(400, 500), NO_CREDIT, Verdict(ProviderRefused, hint=CREDIT)),
    ((400, 404), MODEL_UNKNOWN, Verdict(ProviderRefused, hint=NAME)),
    ((400, 413, 422, 500), TOO_LONG, Verdict(RequestFailed, hint=SHORTER)),
    ((503,), SLOW_DOWN, Verdict(RateLimited, hint=LIMITS)),
)
"""What the words of a reply turn its status into; the first that fits counts."""


def answer(
    status: int,
    headers: Headers,
    body: bytes,
    *,
    peer: Peer,
    asked: str,
    clock: Callable[[], float],
) -> Answer:
    """What a reply says, if it says it well.

    Args:
        status: of HTTP.
        headers: of the reply.
        body: as received, perhaps compressed; otherwise `Peer.cleared`.
        peer: who answered.
        asked: the request, for messages, as in ``POST /completions``.
        clock: seconds since 1970, for headers that name dates.

    Raises:
        ProviderError: of the class that fits; its fate is `unknown` where a 200 is not readable.
    """
    good = 200 <= status < 300
    if ENCODING in headers:
        try:
            body = peer.cleared(_inflated(body, headers[ENCODING], peer.name, asked), status)
        except ProviderUnavailable:
            if good:
                raise
            body = b""  # the status says enough
    document = parsed(body)
    if good and isinstance(document, dict) and not _complains(document):
        return Answer(document, usage(document), quotas(headers, clock))
    said = complaint(document, body, peer.secrets)
    if good and not isinstance(document, dict):
        raise ProviderUnavailable(
            f"{peer.name}: {asked} brought {status} and no JSON object: {said.words or 'nothing'}",
            hint=ADDRESS,
        )
    if good:
        status = said.code or next((NAMED[mark] for mark in said.marks if mark in NAMED), status)
    raise _failure(status, headers, said, f"{peer.name}: {asked} brought {status}", peer, clock)


def usage(document: Document) -> Usage:
    """The tokens that a reply reports; zero for each number that cannot be one."""
    told = document.get("usage")
    if not isinstance(told, dict):
        return Usage()
    prompt = _tokens(told.get("prompt_tokens", told.get("input_tokens")))
    completion = _tokens(told.get("completion_tokens", told.get("output_tokens")))
    # Some servers give the sum alone.
    return Usage(prompt or max(0, _tokens(told.get("total_tokens")) - completion), completion)


def too_large(name: str, asked: str) -> ProviderUnavailable:
    """The error for a reply of more than `LARGEST` bytes."""
    return ProviderUnavailable(
        f"{name}: {asked} brought more than {LARGEST // 2**20} MiB, which is not read",
        hint="ask for fewer texts a request by --batch-prompts, or check base_url",
    )


def _spelled(secret: bytes) -> bytes:
    """Matches `secret`, of ASCII, where JSON spells any of its characters by number."""
    signs = (rf"(?:{re.escape(sign)}|\\u(?i:{ord(sign):04x}))" for sign in secret.decode())
    return "".join(signs).encode()


def _tokens(value: object) -> int:
    # A bool is an int in Python, hence the exact type.
    return value if type(value) is int and 0 <= value <= PLAUSIBLE else 0


def _complains(document: Document) -> bool:
    """Whether a reply of status 200 is an error all the same."""
    return bool(document.get("error")) or document.get("object") == "error"


def _failure(
    status: int,
    headers: Headers,
    said: Complaint,
    what: str,
    peer: Peer,
    clock: Callable[[], float],
) -> ProviderError:
    told = " ".join([said.words.lower(), *sorted(said.marks)])
    asked = retry_after(headers, said.words, clock)
    verdict = _verdict(status, told)
    if status == 429 and asked is None and SPENT.search(told):
        verdict = _verdict(status, "insufficient_quota")
    words = said.words or _phrase(status)
    if 300 <= status < 400 and "location" in headers:
        words = f"{words}, to {excerpt(headers['location'], peer.secrets, 120)}"
    error = verdict.error(
        f"{what}: {words}",
        hint=verdict.hint,
        retry_after=asked if verdict.error.retryable else None,
        fate=verdict.fate,
        quotas=quotas(headers, clock),
    )
    if isinstance(error, RateLimited):
        error.kind = _kind(headers, told)
    return error


def _verdict(status: int, told: str) -> Verdict:
    """By the words where they say more than the status, else by the status."""
    for statuses, pattern, verdict in SAID:
        if status in statuses and pattern.search(told):
            return verdict
    if status in STATUSES:
        return STATUSES[status]
    if 300 <= status < 400:
        return Verdict(ProviderRefused, hint=ELSEWHERE)
    if 400 <= status < 500:
        return Verdict(RequestFailed)
    return Verdict(ProviderUnavailable, "unknown")


def _kind(headers: Headers, told: str) -> Literal["rate", "slow_down", "parallel"]:
    if PARALLEL.search(told) or PARALLEL.search(headers.get("rate_limit_type", "")):
        return "parallel"
    return "slow_down" if SLOW_DOWN.search(told) else "rate"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "without a word"


def _inflated(body: bytes, encoding: str, peer: str, asked: str) -> bytes:
    """`body` decompressed, though we asked for none, up to `LARGEST`.

    Raises:
        ProviderUnavailable: it is larger, broken, or compressed in a way that nobody asked for.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    try:
        if name not in ("gzip", "x-gzip", "deflate"):
            raise ValueError(f"unknown encoding {excerpt(name, (), 40)!r}")
        inflater = zlib.decompressobj(wbits=47)  # of either kind, as its first bytes say
        plain = inflater.decompress(body, LARGEST)
    except (ValueError, zlib.error) as error:
        raise ProviderUnavailable(f"{peer}: {asked} brought a broken body: {error}") from None
    if inflater.unconsumed_tail:
        del plain  # the error keeps this frame for as long as it lives
        raise too_large(peer, asked)
    return plain
