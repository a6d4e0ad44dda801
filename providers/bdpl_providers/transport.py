"""HTTP by aiohttp and JSON by orjson: one request, one answer, as cheaply as Python allows.

    async with HttpTransport("vllm/tiny", url, key, timeout=60, concurrency=64) as transport:
        answer = await transport.post("/completions", body)

It never retries and never follows a redirect, so that every request is counted and the key goes to
one server only. It does not know what stands in a body.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from io import BytesIO
from types import TracebackType
from typing import Self

import aiohttp
import orjson
from yarl import URL

from bdpl_async import __version__
from bdpl_async.errors import BdplError, ConfigError, RequestFailed
from bdpl_async.limits.deadline import Deadlines
from bdpl_providers.border import across, proxy_to
from bdpl_providers.credentials import checked_url
from bdpl_providers.replies import LARGEST, Peer, answer, too_large
from bdpl_providers.wire import Answer, Document, Exchanging

__all__ = ["KEEP_ALIVE", "HttpTransport", "connecting", "encoded", "root_of", "secrets_of"]

AGENT = f"bdpl-async/{__version__}"
KEEP_ALIVE = 4.0  # seconds; vLLM closes idle connections after 5, and we want to be first
CONNECT = 10.0  # seconds for a connection to come about, at most
LARGE = 2**20  # bytes of a request from which on aiohttp wants to send it piece by piece
FOREIGN = (aiohttp.ClientError, TimeoutError, OSError)


class HttpTransport:
    """A `Transport` of one server; an async context manager.

    Proxies are taken from the environment (``HTTPS_PROXY``, ``NO_PROXY``), but never for this
    machine itself. TLS is always verified; ``SSL_CERT_FILE`` names further authorities. No cookies.

    Args:
        name: the scorer's name, for messages.
        base_url: http or https, as in ``http://localhost:8000/v1``.
        key: of the account; sent to this server as a bearer token and shown nowhere.
        timeout: seconds for one exchange in all, waiting for a free connection included.
        concurrency: connections at most.
        clock: seconds since 1970, for dates in headers.

    Raises:
        ConfigError: `base_url` is not an address.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str | None,
        *,
        timeout: float,
        concurrency: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.base_url = checked_url(base_url)
        self._key = key
        self._peer = Peer(name, secrets_of(key))
        self._timeout = timeout
        self._deadlines = Deadlines(timeout)
        self._concurrency = concurrency
        self._clock = clock
        self._urls: dict[tuple[str, bool], URL] = {}
        self._proxy = proxy_to(self._url("", root=False))
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        state = "open" if self._session else "closed"
        return f"<HttpTransport {self.name} at {self.base_url}, {state}>"

    async def __aenter__(self) -> Self:
        headers = {
            "User-Agent": AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        secure = self.base_url.startswith("https:")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._concurrency,
                keepalive_timeout=KEEP_ALIVE,
                ssl=ssl.create_default_context() if secure else True,
            ),
            headers=headers,
            # `Deadlines` keeps the total: aiohttp would set a timer for each request.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connecting(self._timeout)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # `answer` does it, within bounds
            trust_env=False,
            proxy=self._proxy,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def post(self, path: str, body: Document, *, root: bool = False) -> Exchanging:
        """POST `body` as JSON; await what comes back.

        Raises:
            ProviderError: with its fate; the server's own words are in the message.
            ConfigError: the address cannot be used.
        """
        data = encoded(body, f"{self.name}: POST {path}")
        return self._exchange("POST", path, self._url(path, root=root), data)

    async def get(self, path: str) -> Answer:
        """GET a JSON object, as from ``/models``; errors as those of `post`."""
        return await self._exchange("GET", path, self._url(path, root=False), None)

    def _url(self, path: str, *, root: bool) -> URL:
        url = self._urls.get((path, root))
        if url is None:
            base = root_of(self.base_url) if root else self.base_url
            try:
                url = self._urls[path, root] = URL(base + path)
            except ValueError:
                raise ConfigError(f"model.base_url: {base}{path} is not an address") from None
        return url

    async def _exchange(self, method: str, path: str, url: URL, data: bytes | None) -> Answer:
        if self._session is None:
            raise RuntimeError(f"{self!r} is used outside its `async with`")
        asked = f"{method} {path}"
        mark = self._deadlines.begin()
        try:
            async with self._session.request(
                method,
                url,
                data=data if data is None or len(data) < LARGE else BytesIO(data),
                allow_redirects=False,
                # aiohttp would send a GET a second time on its own, and the ledger not know it.
                middlewares=() if data is not None else (self._once,),
            ) as response:
                body = self._peer.cleared(await self._read(response, asked))
        except FOREIGN as error:
            problem = self._ours(error, asked)
        except asyncio.CancelledError:
            if not self._deadlines.passed(mark):
                raise
            problem = self._ours(TimeoutError(), asked)
        else:
            peer, clock = self._peer, self._clock
            return answer(
                response.status, response.headers, body, peer=peer, asked=asked, clock=clock
            )
        finally:
            self._deadlines.end(mark)
        raise problem  # out here, where no foreign error hangs on it as its context

    async def _once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except FOREIGN as error:
            problem = self._ours(error, f"{request.method} {request.url.path}")
        raise problem

    async def _read(self, response: aiohttp.ClientResponse, asked: str) -> bytes:
        """The body, unless it is too large; then the connection is closed."""
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
            raise too_large(self.name, asked)
        return b"".join(chunks)

    def _ours(self, error: BaseException, asked: str) -> BdplError:
        return across(error, f"{self.name}: {asked}", self.base_url, self._timeout)


def encoded(body: Document, what: str) -> bytes:
    """`body` as JSON.

    Raises:
        RequestFailed: something in it cannot be written, such as half a surrogate pair.
    """
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise RequestFailed(
            f"{what}: the request cannot be written as JSON: {error}",
            hint="mend the text of this example or prompt",
            fate="unsent",
        ) from None


def connecting(timeout: float) -> float:
    """Seconds for a connection to come about: so few that we know that nothing was sent."""
    return min(CONNECT, 0.9 * timeout)


def root_of(base_url: str) -> str:
    """Beside ``/v1``: where servers keep what is not OpenAI's."""
    return base_url.removesuffix("/v1")


def secrets_of(key: str | None) -> tuple[str, ...]:
    """What no message repeats: the key, and its digest, by which gateways call it."""
    return (key, hashlib.sha256(key.encode()).hexdigest()) if key else ()
