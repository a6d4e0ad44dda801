"""The rules of `bdpl_providers.sessions` and `certificates`, for both transports, on loopback."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bdpl_async.errors import BdplError, ConfigError, ProviderRefused, ProviderUnavailable
from bdpl_async.records import Usage
from bdpl_providers.certificates import trusting
from bdpl_providers.sdk import SdkTransport
from bdpl_providers.transport import HttpTransport
from tests.authority import Authority
from tests.rawserver import GOOD, Script, http, listening, says, serving

KEY = "Zq7w.Kobold~Marzipan-4711"
PASSWORD = "hunter2hunter2"  # noqa: S105  of nobody
BASIC = "Basic bWU6aHVudGVyMmh1bnRlcjI="
FAR = "https://far.example/v1"
CLOSES = "Connection: close\r\n"

Open = Callable[..., HttpTransport | SdkTransport]


@pytest.fixture(params=[HttpTransport, SdkTransport], ids=["own", "sdk"])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Makes one of the two transports, with the key, in an environment without proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)

    def make(url: str, timeout: float = 5.0) -> HttpTransport | SdkTransport:
        made: HttpTransport | SdkTransport = request.param(
            "some/model", url, KEY, timeout=timeout, concurrency=4
        )
        return made

    return make


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def answering(heads: list[bytes]) -> Script:
    """Notes what it is asked and gives a good answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http(GOOD, headers=CLOSES))
        await writer.drain()

    return talk


async def refusal(client: HttpTransport | SdkTransport) -> BdplError:
    async with client:
        with pytest.raises(BdplError) as caught:
            await client.post("/completions", {"a": 1})
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert PASSWORD not in shown
    return caught.value


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_the_environment_names_whom_to_trust(
    opened: Open, authority: Authority, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's own authority is trusted once its file, or its folder, is named."""
    place = authority.file if variable == "SSL_CERT_FILE" else authority.hashed()
    monkeypatch.setenv(variable, str(place))
    heads: list[bytes] = []
    async with (
        listening(answering(heads), authority.server("IP:127.0.0.1")) as port,
        opened(f"https://127.0.0.1:{port}/v1") as client,
    ):
        assert (await client.post("/completions", {})).usage == Usage(3, 1)
    assert f"Authorization: Bearer {KEY}".lower() in heads[0].decode().lower()


@pytest.mark.parametrize(
    ("made", "trusted", "said"),
    [
        (("IP:127.0.0.1", 2), False, ("unable to get local issuer", "export SSL_CERT_FILE=")),
        (("IP:127.0.0.1", -1), True, ("expired", "renew")),
        (("DNS:other.example", 2), True, ("mismatch", "give as base_url the name")),
    ],
    ids=["unknown", "expired", "anothers"],
)
async def test_a_certificate_that_does_not_hold_is_refused(
    opened: Open,
    authority: Authority,
    made: tuple[str, int],
    trusted: bool,
    said: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For good, naming server and cure, before any of the request is sent."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    heads: list[bytes] = []
    async with listening(answering(heads), authority.server(*made)) as port:
        error = await refusal(opened(f"https://127.0.0.1:{port}/v1"))
    assert type(error) is ProviderRefused
    assert (error.fate, heads) == ("unsent", [])
    assert f"the certificate of https://127.0.0.1:{port}/v1" in str(error)
    assert said[0] in str(error)
    assert said[1] in str(error.hint)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there_are_said(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL would trust nobody in silence: the variable and the place are named instead."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert trusting({}).verify_mode == ssl.CERT_REQUIRED
    assert trusting({}).check_hostname
    (tmp_path / "notes").write_text("no certificate")
    for place in ("gone", "notes"):
        with pytest.raises(ConfigError, match=variable) as caught:
            trusting({variable: str(tmp_path / place)})
        assert place in str(caught.value)


@pytest.mark.parametrize("url", [FAR, "http://far.example/v1"])
async def test_a_proxy_without_a_password_never_gets_the_key(
    opened: Open, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What proves who we are to the server is no `Proxy-Authorization`, nor in a CONNECT at all."""
    async with serving(says(http(b"", "502 Bad Gateway"))) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        await refusal(opened(url))
    assert "proxy-authorization" not in proxy.heads[0].lower()
    assert proxy.heads[0].startswith("CONNECT") == (KEY not in proxy.heads[0])


@asynccontextmanager
async def tunnel(to: int, heads: list[bytes]) -> AsyncIterator[int]:
    """A proxy that leads every CONNECT to a port here."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        inner, outer = await asyncio.open_connection("127.0.0.1", to)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(pump(reader, outer), pump(inner, writer))
        finally:
            outer.close()

    async with listening(talk) as port:
        yield port


async def test_a_proxy_is_told_its_password_and_the_server_the_key(
    opened: Open, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By CONNECT each hears its own part; TLS is verified through the tunnel as without it."""
    to_server: list[bytes] = []
    to_proxy: list[bytes] = []
    context = authority.server("DNS:far.example")
    async with listening(answering(to_server), context) as port, tunnel(port, to_proxy) as through:
        monkeypatch.setenv("https_proxy", f"http://me:{PASSWORD}@127.0.0.1:{through}")
        error = await refusal(opened(FAR))
        assert "certificate" in str(error)
        assert to_server == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        async with opened(FAR) as client:
            for _ in range(2):
                assert (await client.post("/completions", {})).usage == Usage(3, 1)
    for head in map(bytes.decode, to_proxy):
        assert head.startswith("CONNECT far.example:443 ")
        assert f"Proxy-Authorization: {BASIC}\r\n" in head
        assert KEY not in head
    assert len(to_server) == 2
    for head in map(bytes.decode, to_server):
        assert f"authorization: bearer {KEY}\r\n".lower() in head.lower()
        assert BASIC not in head


async def test_a_proxy_for_plain_http_is_told_its_password(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request goes to it whole, and the credentials of its URL as its own header."""
    async with serving(says(http(GOOD, headers=CLOSES))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
        async with opened("http://far.example/v1") as client:
            await client.get("/models")
    assert proxy.heads[0].startswith("GET http://far.example/v1/models ")
    assert f"Proxy-Authorization: {BASIC}\r\n" in proxy.heads[0]


async def test_a_proxy_that_refuses_is_named(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 407 ends the run and says which variable wants a password; others may pass."""
    for url in (FAR, "http://far.example/v1"):
        async with serving(says(http(b"", "407 Proxy Authentication Required"))) as proxy:
            monkeypatch.setenv("ALL_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
            error = await refusal(opened(url))
        assert type(error) is ProviderRefused
        assert "and an @, before" in str(error.hint)
    async with serving(says(http(b"", "503 Busy"))) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        error = await refusal(opened(FAR))
    assert type(error) is ProviderUnavailable
    assert (error.fate, "NO_PROXY" in str(error)) == ("unsent", True)


async def test_a_dead_proxy_is_named(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent; its address and the variables are said, its password is not."""
    async with serving(says()) as proxy:
        pass
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
    error = await refusal(opened(FAR))
    assert type(error) is ProviderUnavailable
    assert error.fate == "unsent"
    assert f"the proxy at 127.0.0.1:{proxy.port}" in str(error)
    assert "HTTPS_PROXY" in str(error.hint)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "sub.localhost", "LOCALHOST"])
async def test_this_machine_is_never_behind_a_proxy(
    opened: Open, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says of proxies, a server here is asked itself."""
    async with serving(says(http(GOOD, headers=CLOSES))) as server:
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        if name != "sub.localhost":  # not every resolver knows it
            async with opened(f"http://{name}:{server.port}/v1") as client:
                await client.get("/models")
            assert len(server.heads) == 1
    opened(f"http://{name}:9/v1")


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_redirect_is_followed(opened: Open, status: str, method: str) -> None:
    """Neither to another host, nor to another port, nor from https to http; the cure is said."""
    async with serving(says(http(GOOD))) as other:
        redirect = http(b"", status, f"Location: {other.url}/models\r\n")
        async with serving(says(redirect)) as server, opened(server.url) as client:
            sent = client.get("/models") if method == "GET" else client.post("/completions", {})
            with pytest.raises(ProviderRefused) as caught:
                await sent
        assert (len(server.heads), other.heads) == (1, [])
    assert other.url in str(caught.value)
    assert "base_url" in str(caught.value.hint)


@pytest.mark.parametrize("status", ["200 OK", "408 Request Timeout", "103 Early Hints"])
async def test_what_nobody_asked_for_answers_nobody(opened: Open, status: str) -> None:
    """A reply that comes between two requests is dropped, and its connection is used no more."""
    asked: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            asked.append(len(asked))
            writer.write(http(b'{"n": %d}' % asked[-1]))
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(http(b'{"n": 666}', status))

    async with listening(talk) as port, opened(f"http://127.0.0.1:{port}/v1") as client:
        for count in range(3):
            assert (await client.get("/models")).document == {"n": count}
            await asyncio.sleep(0.03)
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("packed", [False, True])
async def test_a_key_that_a_server_sends_back_is_hidden(opened: Open, packed: bool) -> None:
    """In an answer as in a refusal, be they compressed or not."""
    said = b'{"error": {"message": "%b"}}' % KEY.encode()
    for body, status in ((b'{"id": "%b"}' % KEY.encode(), "200 OK"), (said, "400 Bad Request")):
        coding = "Content-Encoding: gzip\r\n" if packed else ""
        reply = http(gzip.compress(body) if packed else body, status, coding)
        async with serving(says(reply)) as server, opened(server.url) as client:
            try:
                told = str((await client.get("/models")).document)
            except BdplError as error:
                told = str(error)
        assert "***" in told
        assert KEY not in told


@pytest.mark.parametrize("coding", ["br", "gzip"])
async def test_an_error_that_cannot_be_unpacked_keeps_its_status(opened: Open, coding: str) -> None:
    """A refusal is one whatever its body holds; it is not asked again as if nobody had answered."""
    reply = http(b"no gzip", "401 Unauthorized", f"Content-Encoding: {coding}\r\n")
    async with serving(says(reply)) as server:
        error = await refusal(opened(server.url))
    assert type(error) is ProviderRefused
    assert (error.fate, "401: Unauthorized" in str(error)) == ("refused", True)


@pytest.mark.parametrize("host", ["far..example", "a" * 64 + ".example", ".", "xn--", "xn--a"])
async def test_a_name_that_no_host_can_have_is_said(
    opened: Open, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the server or of the proxy, at once; the lookup would raise what is no error of ours."""
    with pytest.raises(ConfigError, match=r"model\.base_url") as caught:
        opened(f"http://{host}/v1")
    assert host in str(caught.value)
    monkeypatch.setenv("ALL_PROXY", f"http://me:{PASSWORD}@{host}:9")
    with pytest.raises(ConfigError, match="proxy") as caught:
        opened(FAR)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "script",
    [
        says(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 100_000 + b"\r\n"),
        says(b"HTTP/1.1 200 " + b"a" * 2_000_000),
        says(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
            *[b"X: a\r\n" * 1000] * 200,
        ),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;" + b"a" * 2_000_000),
    ],
    ids=["one", "many", "reason", "trailers", "extension"],
)
async def test_headers_without_end_are_not_read(opened: Open, script: Script) -> None:
    """One long header, many, an endless reason or trailers: the reply is dropped."""
    async with serving(script) as server:
        error = await refusal(opened(server.url))
    assert type(error) is ProviderUnavailable
    assert error.fate == "unknown"


@pytest.mark.parametrize(
    "drops",
    [
        [b"HTTP/1.1 100 Continue\r\n\r\n", 0.02] * 40,
        [b"HTTP/1.1 200 OK\r\n", *[b"X: a\r\n", 0.02] * 40],
    ],
    ids=["interim", "headers"],
)
async def test_headers_by_drops_end_with_the_time_out(
    opened: Open, drops: list[bytes | float]
) -> None:
    """Interim replies and headers that trickle in are no answer within the total time."""
    async with serving(says(*drops)) as server:
        error = await refusal(opened(server.url, timeout=0.2))
    assert "within 0.2 s" in str(error)


class _Bug(Exception):
    """Nothing that we raise."""


@pytest.mark.parametrize("url", [FAR, "http://far.example/v1"])
async def test_a_traceback_with_local_variables_shows_no_secret(
    opened: Open, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error beneath us may be printed with all there is in its frames."""

    async def broken(*arguments: object, **named: object) -> object:
        raise _Bug

    monkeypatch.setenv("ALL_PROXY", f"http://me:{PASSWORD}@127.0.0.1:9")
    monkeypatch.setattr(aiohttp.TCPConnector, "connect", broken)
    told = ""
    async with opened(url) as client:
        for sent in (client.post("/completions", {"a": 1}), client.get("/models")):
            try:
                await sent
            except (_Bug, BdplError) as error:
                found = traceback.TracebackException.from_exception(error, capture_locals=True)
                told += "".join(found.format())
            else:
                pytest.fail("nothing was raised")
    if isinstance(client, HttpTransport):  # the SDK makes a broken connection of anything
        assert "in exchange" in told
    for secret in (KEY, PASSWORD, BASIC):
        assert [line for line in told.splitlines() if secret in line] == []
