"""HTTP/1.1 over aiohttp's connections: a request leaves in one piece, its reply is read whole.

    Pipes.exchange(method, url, data) --connection--> Reply(status, headers, body)

aiohttp's connector sees to names, TLS, proxies and what is kept alive, and its parser reads the
replies. Its session is left out: it serves cookies, redirects, traces and bodies that come bit by
bit, and needs twice the CPU of all the rest for it. So nothing here is ever sent twice.

It knows no JSON, no status, and not how long an exchange may take in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from bdpl_providers.quotas import Headers
from bdpl_providers.sessions import (
    HEADERS,
    LONGEST,
    Introduction,
    connecting,
    connections,
    received,
)

__all__ = ["Pipes", "Reply"]

FINAL, SWITCHING = 200, 101
"""The least status after which no other comes, and the one below it of which the same is true."""


class Reply(NamedTuple):
    """What came back; the body is still packed as it came."""

    status: int
    headers: Headers
    body: bytes


class _Form:
    """All of a request but its body. No dataclass: the key must not stand in its repr."""

    __slots__ = ("_head", "route")

    def __init__(
        self, method: str, url: URL, headers: Mapping[str, str], introduction: Introduction
    ) -> None:
        proxy = introduction.proxy
        self.route = aiohttp.ClientRequest("GET", url, headers=headers, proxy=proxy)
        introduction.sign(self.route)
        whole = proxy is not None and not self.route.is_ssl()  # a proxy must know the server
        lines = [f"{method} {url if whole else url.raw_path_qs} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.route.headers.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header or an address holds a line break")
        self._head = "\r\n".join([*lines, ""]).encode()

    def filled(self, data: bytes | None) -> bytes:
        """The request as it is sent."""
        if data is None:
            return self._head + b"\r\n"
        return b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(data), data)


class Pipes:
    """Connections to one server; made while an event loop runs, and closed in the end.

    Args:
        url: of the server; decides on TLS.
        introduction: who we are, and to which proxy.
        headers: of every request; a proxy sees them, so nothing secret may be among them.
        name: of the server, for messages.
        timeout: seconds for one exchange, of which a connection may take a part.
        concurrency: connections at most.

    Raises:
        ConfigError: certificates of the environment that cannot be used.
    """

    def __init__(
        self,
        url: URL,
        introduction: Introduction,
        headers: Mapping[str, str],
        *,
        name: str,
        timeout: float,
        concurrency: int,
    ) -> None:
        self._connector = connections(url, concurrency)
        self._introduction = introduction
        self._headers = headers
        self._name = name
        self._patience = aiohttp.ClientTimeout(total=None, sock_connect=connecting(timeout))
        self._forms: dict[tuple[str, URL], _Form] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._connector.close()

    async def exchange(self, method: str, url: URL, data: bytes | None, asked: str) -> Reply:
        """Send one request, once, and read what comes back.

        Args:
            method: GET or POST.
            url: of this server.
            data: the body.
            asked: the request, for messages.

        Raises:
            ProviderUnavailable: the reply is too large.
            Exception: one of `border.FOREIGN`.
        """
        form = self._forms.get((method, url)) or self._formed(method, url)
        try:
            connection = await self._connector.connect(form.route, [], self._patience)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None
        try:
            reply = await self._over(connection, form, data, asked)
        except BaseException:
            if connection.protocol is not None:
                connection.protocol.abort()  # else it would wait until all is sent
            connection.close()
            raise
        connection.release()
        return reply

    def _formed(self, method: str, url: URL) -> _Form:
        form = _Form(method, url, self._headers, self._introduction)
        self._forms[method, url] = form
        return form

    async def _over(
        self, connection: Connection, form: _Form, data: bytes | None, asked: str
    ) -> Reply:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ClientConnectionResetError
        protocol.set_response_params(
            read_until_eof=True,
            auto_decompress=False,  # `replies.answer` does it, within bounds
            max_line_size=LONGEST,
            max_field_size=LONGEST,
            max_headers=HEADERS,
        )
        transport.write(form.filled(data))
        status = 0
        while status < FINAL and status != SWITCHING:
            message, content = await protocol.read()
            status = message.code
        body = await received(content, message.headers, self._name, asked)
        if status == SWITCHING or transport.get_write_buffer_size():
            protocol.abort()  # it speaks something else now, or answered before all was sent
        return Reply(status, message.headers, body)
