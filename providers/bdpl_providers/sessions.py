"""One aiohttp session for one server: who it proves to be, who we are, how much is read.

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
from multidict import CIMultiDict
from yarl import URL

from bdpl_providers.border import FOREIGN, Broken, proxy_to
from bdpl_providers.certificates import trusting
from bdpl_providers.replies import LARGEST, too_large

__all__ = ["KEEP_ALIVE", "Introduction", "connecting", "opened", "received"]

KEEP_ALIVE = 4.0  # seconds; vLLM closes idle connections after 5, and we want to be first
CONNECT = 10.0  # seconds for a connection to come about, at most
LONGEST = 8_192  # bytes of one header
HEADERS = 128  # of one reply
AUTHORIZATION: Final = aiohttp.hdrs.AUTHORIZATION
PROXY_AUTHORIZATION: Final = aiohttp.hdrs.PROXY_AUTHORIZATION


class Introduction:
    """Says to the server, and to a proxy on the way, who we are; each hears its own part only.

    Args:
        key: of the account.
        proxy: its address, perhaps with a user and a password.
    """

    __slots__ = ("_basic", "_bearer")

    def __init__(self, key: str | None, proxy: URL | None) -> None:
        self._bearer = None if key is None else f"Bearer {key}"
        self._basic: str | None = None
        if proxy is not None and proxy.user is not None:
            self._basic = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add our headers; no more than once is anything sent."""
        if self._bearer is not None:
            request.headers[AUTHORIZATION] = self._bearer
        if self._basic is not None:
            if request.is_ssl():  # for the proxy; the server behind the tunnel must not have it
                request.proxy_headers = CIMultiDict({PROXY_AUTHORIZATION: self._basic})
            else:
                request.headers[PROXY_AUTHORIZATION] = self._basic
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
    proxy = proxy_to(URL(base_url))
    secure = base_url[:6].lower() == "https:"
    trusted: ssl.SSLContext | bool = trusting() if secure else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=concurrency, keepalive_timeout=KEEP_ALIVE, ssl=trusted
        ),
        headers=headers,
        # The caller keeps the total: aiohttp would set a timer for each request.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connecting(timeout)),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # `replies.answer` does it, within bounds
        max_line_size=LONGEST,
        max_field_size=LONGEST,
        max_headers=HEADERS,
        trust_env=False,
        proxy=None if proxy is None else proxy.with_user(None),
        middlewares=(Introduction(key, proxy),),
    )


def connecting(timeout: float) -> float:
    """Seconds for a connection to come about: so few that we know that nothing was sent."""
    return min(CONNECT, 0.9 * timeout)


async def received(response: aiohttp.ClientResponse, name: str, asked: str) -> bytes:
    """The body, unless it is too large; then the connection is closed.

    Raises:
        ProviderUnavailable: it is larger than `LARGEST`.
    """
    try:
        return await _read(response, name, asked)
    except BaseException as error:
        # aiohttp keeps its errors, and they the frames that hold megabytes of what was read.
        raise error.with_traceback(None)  # noqa: B904


async def _read(response: aiohttp.ClientResponse, name: str, asked: str) -> bytes:
    length = response.content_length
    if length is not None and length <= LARGEST:
        return await response.read()
    chunks: list[bytes] = []
    size = 0 if length is None else length
    while size <= LARGEST and (chunk := await response.content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    if size > LARGEST:
        response.close()
        raise too_large(name, asked)
    return b"".join(chunks)
