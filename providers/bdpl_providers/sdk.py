"""OpenAI's own SDK, on its aiohttp backend, behind the same `Transport` protocol.

The SDK writes the headers that OpenAI wants and speaks to it as its makers mean it; statuses,
bodies and limits are read by our own `replies`. It is told neither to retry nor to follow
redirects. Replies are bounded as everywhere, before anything is decompressed. Needs the packages
``openai`` and ``aiohttp``. Two things are the backend's own: cookies that a server sets go back to
it, and a GET, which costs nothing, is sent a second time if its connection breaks.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiohttp
from yarl import URL

from bdpl_async.errors import BdplError
from bdpl_providers.border import across, proxy_to
from bdpl_providers.credentials import checked_url
from bdpl_providers.replies import LARGEST, Peer, answer, too_large
from bdpl_providers.transport import KEEP_ALIVE, connecting, encoded, root_of, secrets_of
from bdpl_providers.wire import Answer, Document

if TYPE_CHECKING:
    import httpx2
    import openai

__all__ = ["SdkTransport"]

PACKED = "bdpl_content_encoding"
"""Where the hook keeps a header that would make the SDK decompress without bounds."""


class SdkTransport:
    """A `Transport` of one server; an async context manager.

    Args:
        name: the scorer's name, for messages.
        base_url: http or https, as in ``https://api.openai.com/v1``.
        key: of the account; shown nowhere.
        timeout: seconds for one exchange in all.
        concurrency: connections at most.
        clock: seconds since 1970, for dates in headers.

    Raises:
        ConfigError: `base_url` is not an address.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str,
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
        self._concurrency = concurrency
        self._clock = clock
        self._client: openai.AsyncOpenAI | None = None

    def __repr__(self) -> str:
        state = "open" if self._client else "closed"
        return f"<SdkTransport {self.name} at {self.base_url}, {state}>"

    async def __aenter__(self) -> Self:
        import openai

        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self.base_url,
            max_retries=0,
            timeout=self._patience(),
            default_headers={"Accept-Encoding": "identity"},
            http_client=self._backend(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        """POST `body` as JSON.

        Raises:
            ProviderError: with its fate; the server's own words are in the message.
            ConfigError: the address cannot be used.
        """
        import httpx2

        asked = f"POST {path}"
        data = encoded(body, f"{self.name}: {asked}")
        url = root_of(self.base_url) + path if root else path
        return await self._exchange(
            self._open.post(url, cast_to=httpx2.Response, content=data), asked
        )

    async def get(self, path: str) -> Answer:
        """GET a JSON object, as from ``/models``; errors as those of `post`."""
        import httpx2

        return await self._exchange(self._open.get(path, cast_to=httpx2.Response), f"GET {path}")

    @property
    def _open(self) -> openai.AsyncOpenAI:
        if self._client is None:
            raise RuntimeError(f"{self!r} is used outside its `async with`")
        return self._client

    def _backend(self) -> httpx2.AsyncClient:
        import httpx2
        import openai

        proxy = proxy_to(URL(self.base_url))
        return openai.DefaultAioHttpClient(
            timeout=self._patience(),
            limits=httpx2.Limits(
                max_connections=self._concurrency,
                max_keepalive_connections=self._concurrency,
                keepalive_expiry=KEEP_ALIVE,
            ),
            follow_redirects=False,
            verify=ssl.create_default_context(),
            trust_env=False,  # `proxy_to` reads the environment
            proxy=str(proxy) if proxy else None,
            event_hooks={"response": [self._bound]},
        )

    def _patience(self) -> httpx2.Timeout:
        import httpx2

        return httpx2.Timeout(self._timeout, connect=connecting(self._timeout))

    async def _exchange(self, reply: Awaitable[httpx2.Response], asked: str) -> Answer:
        import httpx2
        import openai

        foreign = (openai.APIConnectionError, httpx2.HTTPError, httpx2.InvalidURL)
        problem: BdplError | None = None
        try:
            async with asyncio.timeout(self._timeout):  # the SDK's own are per read, not in all
                response = await reply
        except openai.APIStatusError as error:
            response = error.response
        except (*foreign, aiohttp.ClientError, OSError) as error:
            problem = self._ours(error, asked)
        if problem is not None:  # out here, where no foreign error hangs on it as its context
            raise problem
        return self._read(response, asked)

    def _read(self, response: httpx2.Response, asked: str) -> Answer:
        if packed := response.extensions.get(PACKED):
            response.headers["content-encoding"] = packed
        return answer(
            response.status_code,
            response.headers,
            self._peer.cleared(response.content),
            peer=self._peer,
            asked=asked,
            clock=self._clock,
        )

    async def _bound(self, response: httpx2.Response) -> None:
        """Read the body, unless it is too large, before the SDK does without bounds."""
        import httpx2

        if packed := response.headers.pop("content-encoding", None):
            response.extensions[PACKED] = packed
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101  the client is async
        declared = response.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() and len(declared) < 20 else 0
        body = bytearray()
        if size <= LARGEST:
            async for chunk in stream:
                body += chunk
                if len(body) > LARGEST:
                    break
        if max(size, len(body)) > LARGEST:
            request = response.request
            raise too_large(self.name, f"{request.method} {request.url.path}")
        await stream.aclose()
        response.stream = httpx2.ByteStream(self._peer.cleared(bytes(body)))

    def _ours(self, error: BaseException, asked: str) -> BdplError:
        """By what aiohttp said beneath: its backend calls every broken connection a time-out."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, aiohttp.ClientError | TimeoutError):
            cause = cause.__cause__
        return across(cause or error, f"{self.name}: {asked}", self.base_url, self._timeout)
