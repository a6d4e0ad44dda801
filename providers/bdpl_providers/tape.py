"""A transport that keeps what a probe was answered, and can answer the same probe again.

So a run whose answers are all in the cache sends nothing, not even a probe. Outside of recording
and playing it passes everything through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from types import TracebackType
from typing import Self

import orjson

from bdpl_async.errors import ProviderError, ProviderRefused, RequestFailed, ServerFault
from bdpl_providers.replies import usage
from bdpl_providers.wire import Answer, Document, Exchanging, Transport

__all__ = ["Tape", "Unrecorded"]

ERRORS: dict[str, type[ProviderError]] = {
    kind.__name__: kind for kind in (ProviderRefused, RequestFailed, ServerFault)
}


class Unrecorded(Exception):
    """Raised when a tape is asked for what is not on it."""


class Tape:
    """A `Transport` before another one; an async context manager.

    Args:
        inner: what sends; entered and left with this if it is a context manager.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._stack = AsyncExitStack()
        self._recorded: dict[str, Document] | None = None
        self._playing: Document | None = None

    async def __aenter__(self) -> Self:
        if isinstance(self._inner, AbstractAsyncContextManager):
            await self._stack.enter_async_context(self._inner)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @contextmanager
    def recording(self) -> Iterator[dict[str, Document]]:
        """Keep what is answered meanwhile; what comes out is JSON."""
        self._recorded = {}
        try:
            yield self._recorded
        finally:
            self._recorded = None

    @contextmanager
    def playing(self, recorded: Document) -> Iterator[None]:
        """Answer from a recording meanwhile, and send nothing."""
        self._playing = recorded
        try:
            yield
        finally:
            self._playing = None

    def post(self, path: str, body: Document, *, root: bool = False) -> Exchanging:
        """POST, or what it was answered before; await what comes back."""
        if self._playing is None and self._recorded is None:
            return self._inner.post(path, body, root=root)
        asked = orjson.dumps([path, body, root], option=orjson.OPT_SORT_KEYS).decode()
        return self._through(asked, lambda: self._inner.post(path, body, root=root))

    async def get(self, path: str) -> Answer:
        """GET, or what it was answered before."""
        return await self._through(path, lambda: self._inner.get(path))

    async def _through(self, asked: str, send: Callable[[], Awaitable[Answer]]) -> Answer:
        if self._playing is not None:
            return _played(self._playing.get(asked))
        if self._recorded is None:
            return await send()
        try:
            answer = await send()
        except ProviderError as error:
            if type(error).__name__ in ERRORS:
                self._recorded[asked] = _spelled(error)
            raise
        self._recorded[asked] = {"document": answer.document}
        return answer


def _spelled(error: ProviderError) -> Document:
    return {
        "error": type(error).__name__,
        "message": str(error.args[0]),
        "hint": error.hint,
        "fate": error.fate,
    }


def _played(found: object) -> Answer:
    """The answer or the error that a recording holds.

    Raises:
        Unrecorded: it holds neither.
    """
    match found:
        case {"document": dict(document)}:
            return Answer(document, usage(document))
        case {"error": str(kind), "message": str(message), "hint": hint} if kind in ERRORS:
            shown = hint if isinstance(hint, str) else None
            raise ERRORS[kind](message, hint=shown, fate="refused")
        case _:
            raise Unrecorded
