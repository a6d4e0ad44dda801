"""What the SDK's HTTP library sends requests by: our own aiohttp session, and nothing of its own.

A reply comes back read whole, within bounds, and still packed as it came.
"""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import httpx2
from yarl import URL

from bdpl_providers.sessions import received

__all__ = ["PACKED", "Backend"]

PACKED = "bdpl_content_encoding"
"""The extension that holds a header by which the SDK would unpack a body without bounds."""

OURS = frozenset({"authorization", "connection", "content-length", "host", "transfer-encoding"})
"""Headers that the session writes itself."""


class Backend(httpx2.AsyncBaseTransport):
    """Requests of the SDK by `session`.

    Args:
        name: the scorer's name, for messages.
        session: closed with the SDK's client.
        cleared: takes out of a body of a status what nobody may see.
    """

    def __init__(
        self, name: str, session: aiohttp.ClientSession, cleared: Callable[[bytes, int], bytes]
    ) -> None:
        self._name = name
        self._session = session
        self._cleared = cleared

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request once.

        Raises:
            ProviderUnavailable: the reply is too large.
        """
        asked = f"{request.method} {request.url.path}"
        async with self._session.request(
            request.method,
            URL(str(request.url), encoded=True),
            headers=[(name, value) for name, value in request.headers.items() if name not in OURS],
            data=request.content or None,
            allow_redirects=False,
        ) as response:
            body = await received(response.content, response.headers, self._name, asked)
            body = self._cleared(body, response.status)
        packed = response.headers.get("content-encoding")
        return httpx2.Response(
            response.status,
            headers=[pair for pair in response.raw_headers if pair[0].lower() not in UNPACKED],
            content=body,
            extensions={} if packed is None else {PACKED: packed},
        )

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.close()


UNPACKED = (b"content-encoding", b"content-length", b"transfer-encoding")
"""Headers that speak of the body as it was sent."""
