"""HTTP by aiohttp and JSON by orjson: one request, one answer, as cheaply as Python allows.

    async with HttpTransport("vllm/tiny", url, key, timeout=60, concurrency=64) as transport:
        answer = await transport.post("/completions", body)

It never retries and never follows a redirect, so that every request is counted and the key goes to
one server only. It does not know what stands in a body.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import orjson
from yarl import URL

from bdpl_async import __version__
from bdpl_async.errors import BdplError, ConfigError, RequestFailed
from bdpl_async.limits.deadline import Deadlines
from bdpl_providers.border import FOREIGN, across, proxy_to
from bdpl_providers.credentials import checked_url
from bdpl_providers.disguises import disguises
from bdpl_providers.pipes import Pipes
from bdpl_providers.replies import Peer, answer
from bdpl_providers.sessions import Introduction
from bdpl_providers.wire import Answer, Document, Exchanging

__all__ = ["HttpTransport", "encoded", "root_of"]

HEADERS = {
    "User-Agent": f"bdpl-async/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}


class HttpTransport:
    """A `Transport` of one server; an async context manager.

    Proxies are taken from the environment (``HTTPS_PROXY``, ``NO_PROXY``), but never for this
    machine itself. TLS is always verified, by `certificates.trusting`. No cookies.

    Args:
        name: the scorer's name, for messages.
        base_url: http or https, as in ``http://localhost:8000/v1``.
        key: of the account; sent to this server as a bearer token and shown nowhere.
        timeout: seconds for one exchange in all, waiting for a free connection included.
        concurrency: connections at most.
        clock: seconds since 1970, for dates in headers.

    Raises:
        ConfigError: `base_url` is not an address, or the proxy to it cannot be used.
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
        self._peer = Peer(name, disguises(key))
        self._timeout = timeout
        self._deadlines = Deadlines(timeout)
        self._concurrency = concurrency
        self._clock = clock
        self._urls: dict[tuple[str, bool], URL] = {}
        proxy_to(self._url("", root=False))  # says now what could not be used later
        self._pipes: Pipes | None = None

    def __repr__(self) -> str:
        state = "open" if self._pipes else "closed"
        return f"<HttpTransport {self.name} at {self.base_url}, {state}>"

    async def __aenter__(self) -> Self:
        url = self._url("", root=False)
        self._pipes = Pipes(
            url,
            Introduction(self._key, proxy_to(url)),
            HEADERS,
            name=self.name,
            timeout=self._timeout,
            concurrency=self._concurrency,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pipes, self._pipes = self._pipes, None
        if pipes is not None:
            await pipes.close()

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
        if self._pipes is None:
            raise RuntimeError(f"{self!r} is used outside its `async with`")
        asked = f"{method} {path}"
        mark = self._deadlines.begin()
        try:
            status, headers, body = await self._pipes.exchange(method, url, data, asked)
        except FOREIGN as error:
            problem = self._ours(error, asked)
        except asyncio.CancelledError:
            if not self._deadlines.passed(mark):
                raise
            problem = self._ours(TimeoutError(), asked)
        else:
            peer, clock = self._peer, self._clock
            body = peer.cleared(body, status)
            return answer(status, headers, body, peer=peer, asked=asked, clock=clock)
        finally:
            self._deadlines.end(mark)
        raise problem  # out here, where no foreign error hangs on it as its context

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


def root_of(base_url: str) -> str:
    """Beside ``/v1``: where servers keep what is not OpenAI's."""
    return base_url.removesuffix("/v1")
