"""The rules of `bdpl_providers.replies` and `bdpl_providers.complaints`."""

from __future__ import annotations

import gzip
import json
import math
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bdpl_async.errors import (
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    RequestFailed,
    ServerFault,
)
from bdpl_async.records import Quota, Usage
from bdpl_providers.complaints import excerpt
from bdpl_providers.replies import LARGEST, Peer, answer, usage
from bdpl_providers.wire import Answer

KEY = "sk-verysecretkey0123456789"
NO_COUNTS: list[object] = [-1, "3", None, 3.0, True, math.nan, [], {}]
PEER = Peer("vllm/tiny", (KEY,))
LITELLM_429 = (
    "Rate limit exceeded for api_key: 4a5a7d65. Limit type: {}. Current limit: 20, "
    "Remaining: 0. Limit resets at: 2026-11-23 10:45:06 UTC"
)
LITELLM_UNKNOWN = "/chat/completions: Invalid model name passed in model=nosuch. Call `/v1/models`"
VLLM_LONG = "This model's maximum context length is 256 tokens. However, you requested 300 tokens"


def told(status: int, body: object = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = CIMultiDict({name.replace("__", "-"): value for name, value in headers.items()})
    return answer(status, named, raw, peer=PEER, asked="POST /x", clock=lambda: 1.8e9)


def failure(status: int, body: object = b"", **headers: str) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        told(status, body, **headers)
    return caught.value


def error(message: str = "no", **more: object) -> dict[str, object]:
    return {"error": {"message": message, **more}}


def test_a_good_reply_is_an_answer() -> None:
    """The object, its usage and what is left of the limits; an error of null is none."""
    document: dict[str, object] = {
        "choices": [],
        "error": None,
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    reply = told(200, document, x__ratelimit__remaining__requests="7")
    assert reply == Answer(document, Usage(3, 1), (Quota("requests", None, 7.0),))


@pytest.mark.parametrize(
    ("status", "kind", "fate"),
    [
        (301, ProviderRefused, "refused"),
        (307, ProviderRefused, "refused"),
        (400, RequestFailed, "refused"),
        (401, ProviderRefused, "refused"),
        (402, ProviderRefused, "refused"),
        (403, ProviderRefused, "refused"),
        (404, RequestFailed, "refused"),
        (405, RequestFailed, "refused"),
        (408, ProviderUnavailable, "unknown"),
        (409, ProviderUnavailable, "refused"),
        (413, RequestFailed, "refused"),
        (418, RequestFailed, "refused"),
        (422, RequestFailed, "refused"),
        (425, ProviderUnavailable, "refused"),
        (429, RateLimited, "refused"),
        (500, ServerFault, "refused"),
        (501, RequestFailed, "refused"),
        (502, ProviderUnavailable, "unknown"),
        (503, ProviderUnavailable, "refused"),
        (504, ProviderUnavailable, "unknown"),
        (524, ProviderUnavailable, "unknown"),
        (529, ProviderUnavailable, "refused"),
        (999, ProviderUnavailable, "unknown"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", error()], ids=["empty", "html", "object"])
def test_a_status_says_whose_fault_it_is(
    status: int, kind: type[ProviderError], fate: str, body: object
) -> None:
    """Each status has its class and fate whatever its body; the request is named."""
    found = failure(status, body)
    assert (type(found), found.fate) == (kind, fate)
    assert str(found).startswith(f"vllm/tiny: POST /x brought {status}: ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "words", "type": "x", "code": 400}}, "words"),
        ({"error": {"message": "words", "code": "bad"}}, "words"),
        ({"error": "words"}, "words"),
        ({"detail": "words"}, "words"),
        ({"detail": {"error": "words"}}, "words"),
        (
            {"detail": [{"loc": ["body", "n"], "msg": "words"}, {"msg": "more"}]},
            "body.n: words; more",
        ),
        ({"object": "error", "message": "words"}, "words"),
        ([{"error": {"message": "words"}}], "words"),
        ({"errors": [{"message": "words"}]}, "words"),
        ("words", "words"),
        (b"words", "words"),
        (b"\n<!DOCTYPE html><html><head><title>words &amp; more</title></head>", "words & more"),
        (b"<html><body><h1>words</h1></body></html>", "words"),
        ({"error": {}}, "Bad Request"),
        ({"error": {"message": None}}, "Bad Request"),
        ({"error": {"message": 5}}, "Bad Request"),
        (b"", "Bad Request"),
        ([], "[]"),
        (b"wor\x00d\x1b[31ms\r\n", "wor d [31ms"),
        (b"w\xffrds", "w\ufffdrds"),
    ],
)
def test_the_servers_words_are_found_in_every_form(body: object, words: str) -> None:
    """Objects, strings, lists, text and HTML give their words, on one printable line."""
    assert str(failure(400, body)).splitlines()[0] == f"vllm/tiny: POST /x brought 400: {words}"


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "message", "code", "type", "detail", "loc", "usage", "object"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([200, 400, 404, 429, 500, 503]),
)
def test_no_body_breaks_the_reading(body: bytes, status: int) -> None:
    """Whatever bytes a server sends are an answer or one of our errors, of one printable line."""
    try:
        told(status, body)
    except ProviderError as caught:
        first, *rest = str(caught).split("\n")
        assert first.isprintable()
        assert len(first) < 400
        assert len(rest) <= 1


def test_long_words_are_cut() -> None:
    """A message holds some 300 characters of the server's, however long it goes on."""
    found = str(failure(400, error("long " * 50_000))).splitlines()[0]
    assert len(found) < 350
    assert found.endswith("...")


@pytest.mark.parametrize(
    "body",
    [
        error(f"Incorrect API key provided: {KEY}."),
        f"key {KEY}".encode(),
        f"<html><title>{KEY}</title>".encode(),
        f"<html><b>{KEY[:9]}</b>{KEY[9:]} {KEY}".encode(),
        ("x" * 16_375 + KEY).encode(),
        {"detail": [{"loc": [KEY], "msg": KEY}]},
        error("y" * 290 + KEY),
        error(" " * 5_985 + KEY),
        error(KEY * 100),
        {KEY: KEY},
    ],
)
def test_an_echoed_key_is_never_repeated(body: object) -> None:
    """The key becomes *** wherever a server echoes it, whole and also where words are cut."""
    for found in (failure(401, body), failure(302, body, location=f"http://h/{KEY}")):
        assert KEY not in str(found)
        assert KEY[:12] not in str(found)
    assert "***" in str(failure(302, location=f"http://h/{KEY}"))


def test_a_peer_does_not_show_its_secrets() -> None:
    """What is there to hide the key does not show it."""
    assert KEY not in repr(PEER)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, error("The model `x` does not exist.", type="NotFoundError", code=404)),
        (404, error("no access", code="model_not_found")),
        (404, error("model 'x' not found, try pulling it first")),
        (400, error(LITELLM_UNKNOWN, type="None", param="None", code="400")),
        (400, error("Model Not Exist")),
    ],
)
def test_an_unknown_model_is_refused_for_good(status: int, body: object) -> None:
    """A model that the server does not have stops the provider and says which name to check."""
    found = failure(status, body)
    assert type(found) is ProviderRefused
    assert "model.name" in str(found)


@pytest.mark.parametrize(
    "message", ["the model does not support logprobs", "Not Found", "prompt not found in model x"]
)
def test_not_every_not_found_is_a_model(message: str) -> None:
    """Words that name no missing model fail the request alone."""
    assert type(failure(404, error(message))) is RequestFailed


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error(VLLM_LONG, type="BadRequestError", code=400)),
        (400, error("long", code="context_length_exceeded")),
        (400, error("litellm.ContextWindowExceededError: litellm.BadRequestError: long")),
        (500, error("Requested tokens (300) exceed context window of 256", type="server_error")),
    ],
)
def test_a_text_that_is_too_long_fails_alone_with_advice(status: int, body: object) -> None:
    """It is never sent again, though a 500 may say it, and the hint is to shorten."""
    found = failure(status, body)
    assert type(found) is RequestFailed
    assert "shorten" in str(found)


@pytest.mark.parametrize("status", [400, 403, 429])
@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_an_empty_account_is_refused_for_good(status: int, code: str) -> None:
    """No wait fills an account: its codes never count as a rate limit."""
    assert type(failure(status, error("You exceeded your current quota", code=code))) is (
        ProviderRefused
    )
    assert type(failure(status, error("stop", type=code))) is ProviderRefused


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (429, error("Rate limit reached", code="rate_limit_exceeded"), {}, "rate"),
        (429, b"", {}, "rate"),
        (429, error("less", code="slow_down"), {}, "slow_down"),
        (503, error("Slow down", type="x"), {}, "slow_down"),
        (429, error(LITELLM_429.format("requests"), type="throttling_error"), {}, "rate"),
        (429, error(LITELLM_429.format("tokens"), type="throttling_error"), {}, "rate"),
        (429, error(LITELLM_429.format("max_parallel_requests")), {}, "parallel"),
        (429, b"", {"rate_limit_type": "max_parallel_requests"}, "parallel"),
        (429, error("Too many concurrent requests"), {}, "parallel"),
    ],
)
def test_a_limit_is_of_a_kind(
    status: int, body: object, headers: dict[str, str], kind: str
) -> None:
    """Too many in a window, too fast, or too many at a time, by code, words or header."""
    found = failure(status, body, **headers)
    assert isinstance(found, RateLimited)
    assert (found.kind, found.fate) == (kind, "refused")


def test_a_failure_carries_what_the_limiter_learns() -> None:
    """The wait and the quotas of an error reply travel on the error; a refusal asks no wait."""
    headers = {"Retry__After": "60", "x__ratelimit__limit__requests": "20"}
    for status in (429, 500, 503):
        found = failure(status, error(LITELLM_429.format("requests"), code="429"), **headers)
        assert found.retry_after == 60.0
        assert found.quotas == (Quota("requests", 20.0),)
    assert failure(401, **headers).retry_after is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, RateLimited),
        ("429", RateLimited),
        ("rate_limit_exceeded", RateLimited),
        ("invalid_api_key", ProviderRefused),
        ("model_not_found", ProviderRefused),
        (400, RequestFailed),
        ("context_length_exceeded", RequestFailed),
        ("server_error", ServerFault),
        (502, ProviderUnavailable),
    ],
)
def test_an_error_in_a_200_counts_by_its_code(code: object, kind: type[ProviderError]) -> None:
    """A reply of status 200 that is an error is the error that its code names."""
    assert type(failure(200, error(code=code))) is kind
    assert type(failure(200, {"object": "error", "message": "no", "code": code})) is kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>Sign in</title>",
        b'{"choices": [{"text": "a"',
        b"[]",
        b"null",
        b"5",
        b"[" * 100_000,
        b"\xff\xfe\xfd",
        error(code="strange"),
        {"error": "strange"},
    ],
)
def test_a_200_that_cannot_be_read_may_have_been_billed(body: object) -> None:
    """HTML, half a JSON, no object, or an error without a known code: retried, and counts whole."""
    found = failure(200, body)
    assert type(found) is ProviderUnavailable
    assert found.fate == "unknown"


def test_json_as_python_writes_it_is_read() -> None:
    """NaN, infinities and half a surrogate pair, which strict JSON lacks, do not lose an answer."""
    document = told(200, b'{"a": NaN, "b": -Infinity, "c": "\\ud800"}').document
    assert isinstance(document["a"], float)
    assert math.isnan(document["a"])
    assert (document["b"], document["c"]) == (-math.inf, "\ud800")


@pytest.mark.parametrize(
    ("told_usage", "read"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 1}, Usage(3, 1)),
        ({"input_tokens": 3, "output_tokens": 1}, Usage(3, 1)),
        ({"total_tokens": 4}, Usage(4, 0)),
        ({"total_tokens": 4, "completion_tokens": 1}, Usage(3, 1)),
        ({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 99}, Usage(3, 1)),
        ({"total_tokens": 1, "completion_tokens": 5}, Usage(0, 5)),
        ({"prompt_tokens": 10**9 + 1, "completion_tokens": 2**70}, Usage()),
        (None, Usage()),
        ([], Usage()),
        ("3", Usage()),
        *(
            ({"prompt_tokens": wrong, "completion_tokens": wrong, "total_tokens": wrong}, Usage())
            for wrong in NO_COUNTS
        ),
    ],
)
def test_usage_is_read_with_distrust(told_usage: object, read: Usage) -> None:
    """A count is a plausible integer that is not negative; everything else is zero."""
    assert usage({"usage": told_usage}) == read
    assert usage({}) == Usage()


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate", "identity", ""])
def test_a_reply_compressed_unasked_is_read(encoding: str) -> None:
    """A server that compresses though we ask it not to does not cost us a paid answer."""
    plain = b'{"a": 1}'
    pack = gzip.compress if "gzip" in encoding.lower() else zlib.compress
    body = pack(plain) if encoding.lower() not in ("identity", "") else plain
    assert told(200, body, content__encoding=encoding).document == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b" " * (LARGEST + 1))),
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b'{"a": "' + b"b" * 999 + b'"}')[:-30]),
        ("br", b"{}"),
        ("zstd, gzip", b"{}"),
    ],
    ids=["bomb", "garbage", "truncated", "br", "several"],
)
def test_a_body_that_cannot_be_unpacked_is_lost(encoding: str, body: bytes) -> None:
    """Beyond the bound, broken or packed otherwise: unavailable, of unknown fate."""
    found = failure(200, body, content__encoding=encoding)
    assert type(found) is ProviderUnavailable
    assert found.fate == "unknown"


def test_an_excerpt_hides_what_its_cleaning_brings_together() -> None:
    """A secret is looked for again in the text as shown."""
    assert excerpt("a\tb", ("a b",)) == "***"
