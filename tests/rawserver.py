"""A loopback server that says exactly the bytes a test gives it, and counts who asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["GOOD", "Script", "Server", "http", "listening", "says", "serving"]

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD = b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}'


@dataclass(slots=True)
class Server:
    """Where it listens, and each request it read: head and body."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def http(body: bytes, status: str = "200 OK", headers: str = "", *, length: bool = True) -> bytes:
    """A whole reply; without `length` it ends where the connection does."""
    framing = f"Content-Length: {len(body)}\r\n" if length else "Connection: close\r\n"
    return f"HTTP/1.1 {status}\r\n{framing}{headers}\r\n".encode() + body


def says(*parts: bytes | float, reset: bool = False) -> Script:
    """Write these bytes, waiting where a number stands; then close, or reset, the connection."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)
        if reset:
            writer.transport.abort()

    return script


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Server]:
    """Each connection: read one request, play the script, close."""
    server = Server()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        server.heads.append(head)
        fields = (line.lower().partition(":") for line in head.split("\r\n"))
        length = next((int(value) for name, _, value in fields if name == "content-length"), 0)
        server.bodies.append(await reader.readexactly(length))
        await script(reader, writer)

    async with listening(talk) as server.port:
        yield server


@asynccontextmanager
async def listening(talk: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Any conversation at all, with TLS if there is a context; gives the port.

    At the end every conversation is cut off, however far it is.
    """
    running: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client left first
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.create_task(converse(reader, writer)))

    listener = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0.01)  # the transports close on the next turn of the loop
