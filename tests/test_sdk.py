"""The rules of `bdpl_providers.sdk`: the same as of our own transport, on loopback servers."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import traceback

import aiohttp
import pytest

from bdpl_async.errors import (
    BdplError,
    ConfigError,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    RequestFailed,
)
from bdpl_async.records import Quota, Usage
from bdpl_providers.replies import LARGEST
from bdpl_providers.sdk import SdkTransport
from tests.rawserver import GOOD, Script, Server, http, says, serving

KEY = "sk-verysecretkey0123456789"
DRIP: list[bytes | float] = [b" ", 0.03] * 30


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def transport(url: str, *, timeout: float = 5.0) -> SdkTransport:
    return SdkTransport("openai/gpt", url, KEY, timeout=timeout, concurrency=4)


async def failure(script: Script, within: float = 5.0) -> tuple[BdplError, Server]:
    """The error of one POST, and the server, which must have been asked once."""
    async with serving(script) as server, transport(server.url, timeout=within) as client:
        with pytest.raises(BdplError) as caught:
            await client.post("/chat/completions", {"a": 1})
    assert len(server.heads) == 1
    return caught.value, server


async def test_a_request_goes_out_as_json_with_the_key() -> None:
    """POST and GET go below the base URL, `root` beside /v1; usage and quotas come back."""
    reply = http(GOOD, headers="x-ratelimit-remaining-requests: 7\r\nConnection: close\r\n")
    async with serving(says(reply)) as server, transport(server.url) as client:
        answer = await client.post("/chat/completions", {"a": [1, "ä"]})
        await client.post("/tokenize", {}, root=True)
        await client.get("/models")
    assert answer.document == json.loads(GOOD)
    assert (answer.usage, answer.quotas) == (Usage(3, 1), (Quota("requests", None, 7.0),))
    lines = [head.split("\r\n", 1)[0] for head in server.heads]
    assert lines == [
        "POST /v1/chat/completions HTTP/1.1",
        "POST /tokenize HTTP/1.1",
        "GET /v1/models HTTP/1.1",
    ]
    assert json.loads(server.bodies[0]) == {"a": [1, "ä"]}
    head = server.heads[0].lower()
    assert f"authorization: bearer {KEY}\r\n" in head
    assert "content-type: application/json\r\n" in head
    assert "accept-encoding: identity\r\n" in head


@pytest.mark.parametrize(
    "script",
    [
        says(),
        says(reset=True),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", 0.01, reset=True),
        says(b"SSH-2.0-OpenSSH\r\n"),
        says(http(b'{"choices": [{"te', length=False)),
        says(http(b"<html><title>Sign in</title></html>")),
        says(http(b"[]")),
        says(http(b"")),
        says(http(b"{}", headers="Content-Encoding: br\r\n")),
    ],
    ids=[
        "closed",
        "reset",
        "short",
        "short-reset",
        "no-http",
        "half",
        "html",
        "list",
        "empty",
        "br",
    ],
)
async def test_what_may_have_been_answered_is_of_unknown_fate(script: Script) -> None:
    """A connection that broke once the request was out is no time-out of connecting."""
    error, _ = await failure(script)
    assert type(error) is ProviderUnavailable
    assert error.fate == "unknown"
    assert "openai/gpt: POST /chat/completions" in str(error)
    assert not isinstance(error.__context__, aiohttp.ClientError | OSError)  # may hold the key


@pytest.mark.parametrize(
    "script",
    [says(1.0), says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *DRIP)],
    ids=["mute", "drip"],
)
async def test_no_answer_takes_longer_than_the_time_out(script: Script) -> None:
    """The time-out is of the whole exchange, though the SDK counts each read by itself."""
    began = asyncio.get_running_loop().time()
    error, _ = await failure(script, within=0.1)
    assert type(error) is ProviderUnavailable
    assert (error.fate, "within 0.1 s" in str(error)) == ("unknown", True)
    assert asyncio.get_running_loop().time() - began < 0.6


@pytest.mark.parametrize(
    "script",
    [
        says(http(b"").replace(b"Length: 0", f"Length: {LARGEST + 1}".encode())),
        says(b"HTTP/1.1 200 OK\r\n\r\n", *[b" " * 2**20] * (LARGEST // 2**20 + 3)),
        says(b"HTTP/1.1 500 Oops\r\n\r\n", *[b" " * 2**20] * (LARGEST // 2**20 + 3)),
        says(http(gzip.compress(b" " * (LARGEST + 1)), headers="Content-Encoding: gzip\r\n")),
    ],
    ids=["declared", "endless", "endless-error", "bomb"],
)
async def test_an_oversized_reply_is_not_read(script: Script) -> None:
    """Beyond the bound, declared, undeclared or once unpacked, the reply is dropped."""
    error, _ = await failure(script)
    assert type(error) is ProviderUnavailable
    assert (error.fate, "32 MiB" in str(error)) == ("unknown", True)


async def test_a_reply_packed_unasked_is_read() -> None:
    """Gzip that nobody asked for is unpacked by us, within bounds, once."""
    reply = http(gzip.compress(GOOD), headers="Content-Encoding: gzip\r\n")
    async with serving(says(reply)) as server, transport(server.url) as client:
        assert (await client.post("/x", {})).usage == Usage(3, 1)


async def test_a_redirect_is_not_followed() -> None:
    """The place that a redirect names is never asked, so that the key stays with its server."""
    async with serving(says(http(GOOD))) as other:
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            target = f"Location: {other.url}/completions\r\n"
            error, _ = await failure(says(http(b"", status, target)))
            assert type(error) is ProviderRefused
    assert other.heads == []


@pytest.mark.parametrize("status", ["408 T", "409 C", "429 R", "500 I", "503 S", "529 O"])
async def test_the_sdk_does_not_retry(status: str) -> None:
    """Each failure is one request; the wait that the server asks for is the gate's business."""
    headers = "Retry-After: 7\r\nx-should-retry: true\r\n"
    error, _ = await failure(says(http(b'{"error": {"message": "later"}}', status, headers)))
    assert isinstance(error, ProviderUnavailable)
    assert (error.retry_after, "later" in str(error)) == (7.0, True)
    assert isinstance(error, RateLimited) == status.startswith("429")


async def test_where_nobody_listens_nothing_was_sent() -> None:
    """A refused connection and an unknown host count no tokens, and say where we looked."""
    async with serving(says()) as server:
        pass
    for url in (server.url, "http://no-such-host.invalid/v1"):
        async with transport(url) as client:
            with pytest.raises(ProviderUnavailable, match=url) as caught:
                await client.post("/x", {})
            assert caught.value.fate == "unsent"


async def test_a_body_that_cannot_be_written_is_not_sent() -> None:
    """Half a surrogate pair in a text fails that request alone, before anything is sent."""
    async with serving(says(http(GOOD))) as server, transport(server.url) as client:
        with pytest.raises(RequestFailed):
            await client.post("/x", {"prompt": "\ud800"})
    assert server.heads == []


async def test_cancelling_cancels() -> None:
    """Who cancels a request gets the cancellation, not an error of ours, and no warning."""
    async with serving(says(5.0)) as server, transport(server.url) as client:
        task = asyncio.create_task(client.post("/x", {}))
        while not server.heads:  # noqa: ASYNC110  the server has no event to wait for
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "302 Found"])
async def test_the_key_is_in_no_error_and_no_log(
    status: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that echoes the key finds it in no message, repr, traceback or log record."""
    caplog.set_level(logging.DEBUG)
    echo = http(f"your key is {KEY}".encode(), status, f"Location: http://h/{KEY}\r\n")
    for script in (says(echo), says(reset=True)):
        error, server = await failure(script)
        assert KEY in server.heads[0]
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        assert KEY not in shown
        assert error.__cause__ is None
    assert KEY not in caplog.text
    assert KEY not in repr(transport("http://localhost/v1"))


async def test_a_closed_transport_says_so() -> None:
    """Using it outside its block is the caller's mistake; what is no address is configuration."""
    client = transport("http://localhost/v1")
    with pytest.raises(RuntimeError, match="async with"):
        await client.get("/models")
    with pytest.raises(ConfigError, match="base_url"):
        transport("localhost/v1")


async def test_a_proxy_is_asked_in_the_servers_stead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy gets the request for a far server; for one here it never does."""
    async with serving(says(http(GOOD))) as proxy, serving(says(http(GOOD))) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with transport("http://far.invalid/v1") as client:
            await client.get("/models")
        async with transport(server.url) as client:
            await client.get("/models")
    assert proxy.heads[0].startswith("GET http://far.invalid/v1/models ")
    assert (len(proxy.heads), len(server.heads)) == (1, 1)
