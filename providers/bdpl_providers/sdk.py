"""OpenAI's own SDK, over our own aiohttp session, behind the same `Transport` protocol.

The SDK writes the headers that OpenAI wants and speaks to it as its makers mean it; statuses,
bodies and limits are read by our own `replies`. It is told neither to retry nor to follow
redirects, and never learns the key: the session adds it when a request leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from yarl import URL

from bdpl_async.errors import BdplError
from bdpl_providers.border import FOREIGN, across, proxy_to
from bdpl_providers.credentials import checked_url
from bdpl_providers.disguises import disguises
from bdpl_providers.replies import Peer, answer
from bdpl_providers.sessions import connecting, opened
from bdpl_providers.transport import encoded, root_of
from bdpl_providers.wire import Answer, Document

if TYPE_CHECKING:
    import httpx2
    import openai

__all__ = ["SdkTransport"]

NO_KEY = "kept-by-the-session"
"""What the SDK takes for the account's key."""


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
        ConfigError: `base_url` is not an address, or the proxy to it cannot be used.
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
        self._peer = Peer(name, disguises(key))
        self._timeout = timeout
        self._concurrency = concurrency
        self._clock = clock
        proxy_to(URL(self.base_url))  # says now what could not be used later
        self._client: openai.AsyncOpenAI | None = None

    def __repr__(self) -> str:
        state = "open" if self._client else "closed"
        return f"<SdkTransport {self.name} at {self.base_url}, {state}>"

    async def __aenter__(self) -> Self:
        import openai

        self._client = openai.AsyncOpenAI(
            api_key=NO_KEY,
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

        from bdpl_providers.backend import Backend

        session = opened(
            self.base_url,
            self._key,
            {},
            timeout=self._timeout,
            concurrency=self._concurrency,
        )
        return httpx2.AsyncClient(
            transport=Backend(self.name, session, self._peer.cleared),
            timeout=self._patience(),
            follow_redirects=False,
            trust_env=False,  # `opened` reads the environment
        )

    def _patience(self) -> httpx2.Timeout:
        import httpx2

        return httpx2.Timeout(self._timeout, connect=connecting(self._timeout))

    async def _exchange(self, reply: Awaitable[httpx2.Response], asked: str) -> Answer:
        import httpx2
        import openai

        foreign = (openai.APIConnectionError, httpx2.HTTPError, httpx2.InvalidURL, *FOREIGN)
        problem: BdplError | None = None
        try:
            async with asyncio.timeout(self._timeout):  # the SDK's own are per read, not in all
                response = await reply
        except openai.APIStatusError as error:
            response = error.response
        except foreign as error:
            problem = self._ours(error, asked)
        if problem is not None:  # out here, where no foreign error hangs on it as its context
            raise problem
        return self._read(response, asked)

    def _read(self, response: httpx2.Response, asked: str) -> Answer:
        from bdpl_providers.backend import PACKED

        if packed := response.extensions.get(PACKED):
            response.headers["content-encoding"] = packed
        return answer(
            response.status_code,
            response.headers,
            response.content,
            peer=self._peer,
            asked=asked,
            clock=self._clock,
        )

    def _ours(self, error: BaseException, asked: str) -> BdplError:
        """By what lies beneath: the SDK calls everything an error of the connection."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, (BdplError, *FOREIGN)):
            cause = cause.__cause__
        if isinstance(cause, BdplError):
            return cause.with_traceback(None)
        return across(cause or error, f"{self.name}: {asked}", self.base_url, self._timeout)
