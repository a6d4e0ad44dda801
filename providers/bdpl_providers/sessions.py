"""aiohttp for one server: who it proves to be, who we are, how much is read.

    opened(...) --request--> Introduction --> server

What opens a door is put on a request at the last moment. As a header of the session it would go
to a proxy too, as its ``Proxy-Authorization``, in the clear; and it would stand among the local
variables of a traceback.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from multidict import CIMultiDict
from yarl import URL

from bdpl_providers.border import FOREIGN, Broken, proxy_to
from bdpl_providers.certificates import trusting
from bdpl_providers.quotas import Headers
from bdpl_providers.replies import LARGEST, too_large

__all__ = [
    "HEADERS",
    "KEEP_ALIVE",
    "LONGEST",
    "Introduction",
    "connecting",
    "connections",
    "opened",
    "received",
]

KEEP_ALIVE = 4.0  # seconds; vLLM closes idle connections after 5, and we want to be first
CONNECT = 10.0  # seconds for a connection to come about, at most
LONGEST = 8_192  # bytes of one header
HEADERS = 128  # of one reply
HOST: Final = aiohttp.hdrs.HOST
AUTHORIZATION: Final = aiohttp.hdrs.AUTHORIZATION
PROXY_AUTHORIZATION: Final = aiohttp.hdrs.PROXY_AUTHORIZATION
LENGTH: Final = aiohttp.hdrs.CONTENT_LENGTH


class Introduction:
    """Says to the server, and to a proxy on the way, who we are.

    The server never hears what is for the proxy; the proxy hears what is for the server only over
    plain http, where all is open to it.

    Args:
        key: of the account.
        proxy: its address, perhaps with a user and a password.

    Attributes:
        proxy: its address, without them.
    """

    __slots__ = ("_basic", "_bearer", "proxy")

    def __init__(self, key: str | None, proxy: URL | None) -> None:
        self.proxy = None if proxy is None else proxy.with_user(None)
        self._bearer = None if key is None else f"Bearer {key}"
        self._basic: str | None = None
        if proxy is not None and proxy.user is not None:
            self._basic = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")

    def sign(self, request: aiohttp.ClientRequest) -> None:
        """Add our headers."""
        if self._bearer is not None:
            request.headers[AUTHORIZATION] = self._bearer
        if self._basic is not None:
            if request.is_ssl():  # for the proxy; the server behind the tunnel must not have it
                host = request.headers[HOST]  # aiohttp adds it, and tells connections apart by it
                said = {HOST: host, PROXY_AUTHORIZATION: self._basic}
                request.proxy_headers = CIMultiDict(said)
            else:
                request.headers[PROXY_AUTHORIZATION] = self._basic

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Sign a session's request; no more than once is anything sent."""
        self.sign(request)
        if request.method != "GET":
            return await handler(request)
        try:
            return await handler(request)
        except FOREIGN as error:
            # aiohttp would send a GET a second time on its own, and the ledger not know it.
            broken = Broken(error)
        raise broken


def opened(
    base_url: str,
    key: str | None,
    headers: Mapping[str, str],
    *,
    timeout: float,
    concurrency: int,
) -> aiohttp.ClientSession:
    """A session that follows no redirect by itself, keeps no cookies and trusts no netrc.

    Args:
        base_url: of the server; decides on TLS and on the proxy.
        key: of the account.
        headers: of every request; a proxy sees them, so nothing secret may be among them.
        timeout: seconds for one exchange, of which a connection may take a part.
        concurrency: connections at most.

    Raises:
        ConfigError: a proxy or certificates of the environment that cannot be used.
    """
    url = URL(base_url)
    introduction = Introduction(key, proxy_to(url))
    return aiohttp.ClientSession(
        connector=connections(url, concurrency),
        headers=headers,
        # The caller keeps the total: aiohttp would set a timer for each request.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connecting(timeout)),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # `replies.answer` does it, within bounds
        max_line_size=LONGEST,
        max_field_size=LONGEST,
        max_headers=HEADERS,
        trust_env=False,
        proxy=introduction.proxy,
        middlewares=(introduction,),
    )


class _Connections(aiohttp.TCPConnector):
    """Connections of which none is used again once its server said what nobody had asked."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  as aiohttp has it
    ) -> Connection:
        """As aiohttp, which would take such words for the reply to the next request."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if not connection.protocol:  # its length is the number of replies that wait in it
                return connection
            connection.close()


def connections(url: URL, concurrency: int) -> aiohttp.TCPConnector:
    """At most so many connections to the server at `url`, with TLS verified.

    Raises:
        ConfigError: certificates of the environment that cannot be used.
    """
    trusted: ssl.SSLContext | bool = trusting() if url.scheme == "https" else True
    return _Connections(limit=concurrency, keepalive_timeout=KEEP_ALIVE, ssl=trusted)


def connecting(timeout: float) -> float:
    """Seconds for a connection to come about: so few that we know that nothing was sent."""
    return min(CONNECT, 0.9 * timeout)


async def received(content: aiohttp.StreamReader, headers: Headers, name: str, asked: str) -> bytes:
    """The body of a reply, unless it is too large; then the connection is of no more use.

    Raises:
        ProviderUnavailable: it is larger than `LARGEST`.
    """
    try:
        return await _read(content, int(headers.get(LENGTH, -1)), name, asked)
    except BaseException as error:
        # aiohttp keeps its errors, and they the frames that hold megabytes of what was read.
        raise error.with_traceback(None)  # noqa: B904


async def _read(content: aiohttp.StreamReader, length: int, name: str, asked: str) -> bytes:
    if 0 <= length <= LARGEST:
        return await content.read()
    chunks: list[bytes] = []
    size = max(0, length)
    while size <= LARGEST and (chunk := await content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    if size > LARGEST:
        raise too_large(name, asked)
    return b"".join(chunks)
