"""The rules of `bdpl_providers.transport` and `bdpl_providers.border`, on loopback servers."""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import json
import shutil
import ssl
import subprocess
import traceback
import tracemalloc
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from bdpl_async.errors import (
    BdplError,
    ConfigError,
    ProviderRefused,
    ProviderUnavailable,
    RequestFailed,
)
from bdpl_async.records import Quota, Usage
from bdpl_providers.border import proxy_to
from bdpl_providers.replies import LARGEST
from bdpl_providers.transport import HttpTransport
from tests.rawserver import GOOD, Script, Server, http, listening, says, serving

KEY = "sk-verysecretkey0123456789"
DRIP: list[bytes | float] = [b" ", 0.03] * 30
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def transport(url: str, *, timeout: float = 5.0, key: str | None = KEY) -> HttpTransport:
    return HttpTransport("vllm/tiny", url, key, timeout=timeout, concurrency=4)


async def failure(script: Script, within: float = 5.0) -> tuple[BdplError, Server]:
    """The error of one POST, and the server, which must have been asked once."""
    async with serving(script) as server, transport(server.url, timeout=within) as client:
        with pytest.raises(BdplError) as caught:
            await client.post("/completions", {"a": 1})
    assert len(server.heads) == 1
    return caught.value, server


async def test_a_request_goes_out_as_json_with_the_key() -> None:
    """POST and GET go below the base URL, `root` beside /v1; usage and quotas come back."""
    reply = http(GOOD, headers="x-ratelimit-remaining-requests: 7\r\nConnection: close\r\n")
    async with serving(says(reply)) as server, transport(server.url) as client:
        answer = await client.post("/completions", {"a": [1, "ä"]})
        await client.post("/tokenize", {}, root=True)
        await client.get("/models")
    assert answer.document == json.loads(GOOD)
    assert (answer.usage, answer.quotas) == (Usage(3, 1), (Quota("requests", None, 7.0),))
    lines = [head.split("\r\n", 1)[0] for head in server.heads]
    assert lines == [
        "POST /v1/completions HTTP/1.1",
        "POST /tokenize HTTP/1.1",
        "GET /v1/models HTTP/1.1",
    ]
    assert json.loads(server.bodies[0]) == {"a": [1, "ä"]}
    assert f"Authorization: Bearer {KEY}\r\n" in server.heads[0]
    assert "Content-Type: application/json\r\n" in server.heads[0]
    assert "Accept-Encoding: identity\r\n" in server.heads[0]


async def test_without_a_key_none_is_sent() -> None:
    """A server that wants no key is sent no header for one."""
    async with serving(says(http(GOOD))) as server, transport(server.url, key=None) as client:
        await client.get("/models")
    assert "authorization" not in server.heads[0].lower()


async def test_a_connection_is_used_again_and_replaced_when_closed() -> None:
    """Requests share a connection while it lives; one that the server closed is not used again."""
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(GOOD))
        writer.close()

    async with listening(talk) as port, transport(f"http://127.0.0.1:{port}/v1") as client:
        for _ in range(4):
            await client.get("/models")
            await asyncio.sleep(0.01)  # lets the close arrive
    assert connections == 2


async def test_no_cookies_are_kept() -> None:
    """What a server wants remembered is forgotten: requests do not depend on each other."""
    reply = http(GOOD, headers="Set-Cookie: a=b\r\nConnection: close\r\n")
    async with serving(says(reply)) as server:
        local = server.url.replace("127.0.0.1", "localhost")  # jars pass over bare addresses
        async with transport(local) as client:
            await client.get("/models")
            await client.get("/models")
    assert "cookie" not in server.heads[1].lower()


@pytest.mark.parametrize(
    "script",
    [
        says(),
        says(reset=True),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", 0.01, reset=True),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", 0.01),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n{}"),
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
        "chunk-short",
        "chunk-broken",
        "no-length",
        "no-http",
        "half-json",
        "html",
        "list",
        "empty",
        "encoding",
    ],
)
async def test_what_may_have_been_answered_is_of_unknown_fate(script: Script) -> None:
    """Once sent, a broken connection or body is unavailable and counts whole; never sent again."""
    error, _ = await failure(script)
    assert type(error) is ProviderUnavailable
    assert error.fate == "unknown"
    assert "vllm/tiny: POST /completions" in str(error)
    assert not isinstance(error.__context__, aiohttp.ClientError | OSError)  # may hold the key


@pytest.mark.parametrize(
    "script",
    [
        says(1.0),
        says(b"HTTP/1.1 200 OK\r\n", 1.0),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", 1.0),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *DRIP),
    ],
    ids=["mute", "head", "body", "drip"],
)
async def test_no_answer_takes_longer_than_the_time_out(script: Script) -> None:
    """A server that hangs, before, in or drop by drop through its answer, is left in total time."""
    began = asyncio.get_running_loop().time()
    error, _ = await failure(script, within=0.1)
    assert type(error) is ProviderUnavailable
    assert error.fate == "unknown"
    assert "within 0.1 s" in str(error)
    assert asyncio.get_running_loop().time() - began < 0.6


@pytest.mark.parametrize(
    "script",
    [
        says(http(b"", headers="").replace(b"Length: 0", f"Length: {LARGEST + 1}".encode())),
        says(http(b"", headers="").replace(b"Length: 0", b"Length: 999999999999999")),
        says(b"HTTP/1.1 200 OK\r\n\r\n", *[b" " * 2**20] * (LARGEST // 2**20 + 3)),
        says(http(gzip.compress(b" " * (LARGEST + 1)), headers="Content-Encoding: gzip\r\n")),
    ],
    ids=["declared", "absurd", "endless", "bomb"],
)
async def test_an_oversized_reply_is_not_read(script: Script) -> None:
    """Beyond the bound, declared, undeclared or once unpacked, the reply is dropped."""
    error, _ = await failure(script)
    assert type(error) is ProviderUnavailable
    assert (error.fate, "32 MiB" in str(error)) == ("unknown", True)
    assert held(error) < LARGEST / 8


def held(error: BaseException) -> int:
    """Bytes in the variables of our own functions that the error passed through."""
    found: list[object] = []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "bdpl_providers" in frame.f_code.co_filename:
            for value in frame.f_locals.values():
                found += value if isinstance(value, list) else [value]
    return sum(len(value) for value in found if isinstance(value, bytes))


@pytest.mark.parametrize("declared", [True, False])
async def test_what_was_read_of_a_broken_reply_is_let_go(declared: bool) -> None:
    """At once, not when the collector of cycles comes by: megabytes of several would add up."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 33000000\r\n\r\n"
    if not declared:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n"
    megabytes = [b" " * 2**20] * 6
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        error, _ = await failure(says(head, *megabytes))
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert "broke off" in str(error)
    assert most > 6e6
    assert left < 1e6


async def test_a_reply_in_chunks_or_packed_is_read() -> None:
    """No length declared, chunks, and gzip though nobody asked for it, are all answers."""
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (GOOD[:9], GOOD[9:], b""))
    replies = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces,
        http(GOOD, length=False),
        http(gzip.compress(GOOD), headers="Content-Encoding: gzip\r\n"),
        http(GOOD, headers="X-Odd: \xe4\xff\r\n"),
    ]
    for reply in replies:
        async with serving(says(reply)) as server, transport(server.url) as client:
            assert (await client.post("/x", {})).usage == Usage(3, 1)


async def test_an_answer_before_the_question_is_read_counts() -> None:
    """A server that refuses a large body without reading it is understood."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b'{"detail": "too large"}', "413 Too Large", "Connection: close\r\n"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    async with listening(talk) as port, transport(f"http://127.0.0.1:{port}/v1") as client:
        with pytest.raises(RequestFailed, match="413: too large"):
            await client.post("/x", {"a": "b" * 8_000_000})


async def test_a_redirect_is_not_followed() -> None:
    """The place that a redirect names is never asked, so that the key stays with its server."""
    async with serving(says(http(GOOD))) as other:
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            target = f"Location: {other.url}/completions\r\n"
            error, _ = await failure(says(http(b"", status, target)))
            assert type(error) is ProviderRefused
            assert other.url in str(error)
    assert other.heads == []


async def test_a_get_is_sent_once() -> None:
    """Nothing beneath us repeats a request that the ledger counts once, not even a GET."""
    async with serving(says(reset=True)) as server, transport(server.url) as client:
        with pytest.raises(ProviderUnavailable) as caught:
            await client.get("/models")
    assert caught.value.fate == "unknown"
    assert len(server.heads) == 1


async def test_where_nobody_listens_nothing_was_sent() -> None:
    """A refused connection and an unknown host count no tokens, and say where we looked."""
    async with serving(says()) as server:
        pass
    for url in (server.url, "http://no-such-host.invalid/v1"):
        async with transport(url) as client:
            for exchange in (client.post("/x", {}), client.get("/x")):
                with pytest.raises(ProviderUnavailable, match=url) as caught:
                    await exchange
                assert caught.value.fate == "unsent"


async def test_a_connection_that_does_not_come_about_was_not_used() -> None:
    """Time that runs out in the handshake, before the request could be sent, counts no tokens."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.0)

    async with (
        listening(mute) as port,
        transport(f"https://127.0.0.1:{port}/v1", timeout=0.2) as client,
    ):
        with pytest.raises(ProviderUnavailable, match="no connection") as caught:
            await client.post("/x", {})
    assert caught.value.fate == "unsent"


async def test_a_body_that_cannot_be_written_is_not_sent() -> None:
    """Half a surrogate pair in a text fails that request alone, before anything is sent."""
    async with serving(says(http(GOOD))) as server, transport(server.url) as client:
        with pytest.raises(RequestFailed) as caught:
            await client.post("/x", {"prompt": "\ud800"})
    assert caught.value.fate == "unsent"
    assert server.heads == []


async def test_cancelling_cancels() -> None:
    """Who cancels a request gets the cancellation, not an error of ours, and no warning."""
    async with serving(says(5.0)) as server, transport(server.url) as client:
        task = asyncio.create_task(client.post("/x", {}))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "500 Oops", "302 Found"])
async def test_the_key_is_in_no_error(status: str) -> None:
    """A server that echoes the key finds it in no message, repr or traceback of ours."""
    echo = http(f"your key is {KEY}".encode(), status, f"Location: http://h/{KEY}\r\n")
    for script in (says(echo), says(reset=True)):
        error, server = await failure(script)
        assert KEY in server.heads[0]
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        assert KEY not in shown
        assert error.__cause__ is None
    assert KEY not in repr(transport("http://localhost/v1"))


async def test_the_digest_by_which_a_gateway_calls_the_key_is_hidden() -> None:
    """Gateways name a key by its SHA-256, which gives a weak key away: it is not repeated."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    body = json.dumps({"error": {"message": f"Rate limit exceeded for api_key: {digest}."}})
    error, _ = await failure(says(http(body.encode(), "429 Too Many Requests")))
    assert "api_key: ***." in str(error)


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "http://user:pass@host/v1"])
def test_what_is_no_address_is_a_matter_of_configuration(url: str) -> None:
    """A base URL that cannot be used is found before anything is sent."""
    with pytest.raises(ConfigError, match="base_url"):
        transport(url)


async def test_a_closed_transport_says_so() -> None:
    """Using it outside its block is the caller's mistake; opening it again is fine."""
    async with serving(says(http(GOOD))) as server:
        client = transport(server.url)
        for _ in range(2):
            async with client:
                await client.get("/models")
            with pytest.raises(RuntimeError, match="async with"):
                await client.get("/models")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subject = ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(
        [*made, "-nodes", "-keyout", f"{file}.key", "-out", str(file), *subject],
        check=True,
        capture_output=True,
    )
    file.write_text(Path(f"{file}.key").read_text() + file.read_text())
    return file


async def test_a_certificate_is_verified(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody vouches for is refused for good; SSL_CERT_FILE vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http(GOOD, headers="Connection: close\r\n"))
        writer.close()

    async with listening(talk, context) as port:
        url = f"https://127.0.0.1:{port}/v1"
        async with transport(url) as client:
            with pytest.raises(ProviderRefused, match="certificate") as caught:
                await client.get("/models")
        assert (caught.value.fate, seen) == ("unsent", [])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with transport(url) as client:
            assert (await client.get("/models")).usage == Usage(3, 1)


async def test_plain_http_behind_https_was_not_sent() -> None:
    """A server that speaks no TLS never saw the request; the hint is to say http."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(http(b"", "400 Bad Request"))
        writer.close()

    async with listening(talk) as port, transport(f"https://127.0.0.1:{port}/v1") as client:
        with pytest.raises(ProviderUnavailable, match="http://") as caught:
            await client.post("/x", {})
    assert caught.value.fate == "unsent"


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


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://far/v1", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://far/v1", {"HTTP_PROXY": "p:1"}, "http://p:1"),
        ("https://far/v1", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("https://far/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://far/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "far"}, None),
        ("http://localhost/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://127.1.2.3/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::1]/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://far/v1", {}, None),
    ],
)
def test_the_environment_names_the_proxy(
    url: str, environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By scheme, ALL_PROXY for every one, NO_PROXY excepted, and this machine always excepted."""
    for name, value in environment.items():
        monkeypatch.setenv(name.lower(), value)
    assert proxy_to(URL(url)) == (None if proxy is None else URL(proxy))


@pytest.mark.parametrize("proxy", ["socks5://me:hunter2@p:1", "http://", "http://p:99999"])
def test_a_proxy_that_is_not_http_is_refused(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What we cannot speak to is said before anything is sent, without the proxy's password."""
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        proxy_to(URL("https://far/v1"))
    assert "hunter2" not in str(caught.value)
