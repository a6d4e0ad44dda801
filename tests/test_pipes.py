"""The rules of `bdpl_providers.pipes`: what goes over a connection, and when it is used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from bdpl_providers.pipes import Pipes, Reply
from bdpl_providers.sessions import Introduction
from tests.rawserver import GOOD, Script, http, listening

KEY = "sk-verysecretkey0123456789"
LARGE = b"x" * 30_000_000  # more than the buffers of two sockets hold


@asynccontextmanager
async def piped(talk: Script, key: str = KEY) -> AsyncIterator[tuple[Pipes, URL]]:
    """Pipes to a server that talks so on each connection, and its address."""
    async with listening(talk) as port:
        url = URL(f"http://127.0.0.1:{port}/v1/x")
        introduction = Introduction(key, None)
        pipes = Pipes(url, introduction, {"X-Ours": "1"}, name="n", timeout=5.0, concurrency=2)
        try:
            yield pipes, url
        finally:
            await pipes.close()


async def test_a_request_is_one_piece_of_http() -> None:
    """Head and body are written together, each header once; a GET has neither length nor body."""
    read: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            read.append(data)
            writer.write(http(GOOD))

    async with piped(talk) as (pipes, url):
        assert (await pipes.exchange("POST", url, b"{}", "POST /x")).body == GOOD
        assert (await pipes.exchange("GET", url, None, "GET /x")).status == 200
    posted, got = (part.decode().split("\r\n") for part in read)
    assert (posted[0], got[0]) == ("POST /v1/x HTTP/1.1", "GET /v1/x HTTP/1.1")
    assert posted[-1] == "{}"
    assert {f"Host: 127.0.0.1:{url.port}", "X-Ours: 1", "Content-Length: 2"} < {*posted}
    assert f"Authorization: Bearer {KEY}" in posted
    names = [line.partition(":")[0].lower() for line in posted[1:-2]]
    assert len({*names}) == len(names)
    assert "content-length" not in str(got).lower()


@pytest.mark.parametrize(
    ("before", "status", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n", 200, GOOD),
        (b"HTTP/1.1 101 Switched\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101, b""),
    ],
    ids=["interim", "switching"],
)
async def test_what_comes_before_a_reply_is_passed_over(
    before: bytes, status: int, body: bytes
) -> None:
    """Replies below 200 are none, but for 101, after which no other comes in HTTP."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(before + http(GOOD))
        await reader.read()

    async with piped(talk) as (pipes, url):
        reply = await pipes.exchange("GET", url, None, "GET /x")
    assert (reply.status, reply.body) == (status, body)


async def test_a_connection_that_switched_is_used_no_more() -> None:
    """It may speak another protocol now, though it never said which; the next one is new."""
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 101 Switched\r\n\r\n")

    async with piped(talk) as (pipes, url):
        for _ in range(2):
            assert (await pipes.exchange("GET", url, None, "GET /x")).status == 101
    assert connections == 2


async def _ends(reader: asyncio.StreamReader) -> bool:
    """Whether all of a large request comes, or its connection breaks off before."""
    count = 0
    try:
        while data := await reader.read(2**20):
            count += len(data)
    except ConnectionError:
        pass
    return count >= len(LARGE)


@pytest.mark.parametrize("answered", [True, False])
async def test_what_nobody_waits_for_is_sent_no_further(answered: bool) -> None:
    """A body that was answered early, or given up, is cut off, and its connection with it."""
    whole: list[bool] = []
    told = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answered:
            writer.write(http(GOOD, "413 Too Large"))
            await writer.drain()
        await asyncio.sleep(0.1)
        whole.append(await _ends(reader))
        told.set()

    async with piped(talk) as (pipes, url):
        exchange = asyncio.create_task(pipes.exchange("POST", url, LARGE, "POST /x"))
        if answered:
            assert (await exchange).status == 413
        else:
            await asyncio.sleep(0.05)
            exchange.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exchange
        await asyncio.wait_for(told.wait(), 5.0)
    assert whole == [False]


async def test_connections_are_used_again_and_no_more_than_allowed() -> None:
    """Two at a time for any number of requests; who comes third waits for one."""
    connections = most = flying = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections, most, flying
        connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0.002)
            flying -= 1
            writer.write(http(GOOD))

    async with piped(talk) as (pipes, url):
        many = [pipes.exchange("GET", url, None, "GET /x") for _ in range(20)]
        replies: list[Reply] = await asyncio.gather(*many)
    assert {reply.body for reply in replies} == {GOOD}
    assert (connections, most) == (2, 2)


async def test_a_header_is_one_line() -> None:
    """What would smuggle in another header is never sent, and not repeated."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("something was sent")

    async with piped(talk, "secret\r\nY: 1") as (pipes, url):
        with pytest.raises(ValueError, match="line break") as caught:
            await pipes.exchange("GET", url, None, "GET /x")
    assert "secret" not in str(caught.value)
