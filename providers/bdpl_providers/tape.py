"""A transport that keeps what a probe was answered, and can answer the same probe again.

So a run whose answers are all in the cache sends nothing, not even a probe, and a probe that was
cut off goes on where it was. Outside of recording and playing it passes everything through.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from types import TracebackType
from typing import Self, TypeVar

import orjson

from bdpl_async.errors import ProviderError, ProviderRefused, RequestFailed, ServerFault
from bdpl_async.records import Billed
from bdpl_async.scorer import Capabilities, Keep, Line, nothing
from bdpl_providers.replies import usage
from bdpl_providers.wire import Answer, Document, Exchanging, Transport

__all__ = ["Recording", "Tape", "Unrecorded"]

ERRORS: dict[str, type[ProviderError]] = {
    kind.__name__: kind for kind in (ProviderRefused, RequestFailed, ServerFault)
}
OVER = b'{"over":true}'
"""A piece: the probe of all pieces before it came to its end, so they count no more."""

B = TypeVar("B", bound=Billed)


class Unrecorded(Exception):
    """Raised when a tape is asked for what is not on it."""


class Recording:
    """The exchanges of one probe: what an earlier one left is played, what is new comes in.

    Args:
        earlier: pieces of probes that were cut off; damaged ones are left out.
        keep: gets each new exchange as a piece, as soon as it is decided.

    Attributes:
        exchanges: what was asked -> what came back, as JSON; all that this probe went through.
        played: something came from `earlier`.
        sent: something did not.
    """

    def __init__(self, earlier: Sequence[bytes] = (), keep: Keep = nothing) -> None:
        self.exchanges: dict[str, Document] = {}
        self.played = self.sent = False
        self._left = _exchanges(earlier)
        self._keep = keep
        self._playing = False
        self._doubt: tuple[str, Document] | None = None  # a fault that may be gone the next time
        self._trouble: Exception | None = None  # of keeping

    def line(self, line: Line) -> Line:
        """`line` for what is not in `earlier`; what is there goes over none, for it was counted."""

        async def going_on(exchange: Callable[[], Awaitable[B]], texts: Sequence[str]) -> B:
            self._playing = bool(self._left)
            try:
                if self._playing:
                    return await exchange()
            except Unrecorded:
                pass
            finally:
                self._playing = False
            return await self._over(line, exchange, texts)

        return going_on

    async def through(self, asked: str, send: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `asked` brings, from the earlier probe or by `send`."""
        if self._playing:
            return self._repeated(asked)
        try:
            answer = await send()
        except ProviderError as error:
            self._hear(asked, error)
            raise
        self._write(asked, _written(answer.document))
        return answer

    def _repeated(self, asked: str) -> Answer:
        found = self._left.get(asked)
        if not found:
            raise Unrecorded
        self.played = True
        self.exchanges[asked] = found.popleft()
        return _played(self.exchanges[asked])

    async def _over(
        self, line: Line, exchange: Callable[[], Awaitable[B]], texts: Sequence[str]
    ) -> B:
        self.sent, self._doubt = True, None
        try:
            answer = await line(exchange, texts)
        except Exception as error:
            if isinstance(error, ServerFault) and self._doubt is not None:
                self._write(*self._doubt)  # the line tries no more
            if self._trouble is None:
                raise
        else:
            if self._trouble is None:
                return answer
        raise self._trouble

    def _hear(self, asked: str, error: ProviderError) -> None:
        if type(error).__name__ not in ERRORS:
            return
        spelled = _spelled(error)
        if error.retryable:
            self.exchanges[asked] = spelled
            self._doubt = asked, spelled
        else:
            self._write(asked, spelled)

    def _write(self, asked: str, found: Document) -> None:
        """Keep an exchange. It may fail; the line hears the answer, which it must count, first."""
        self.exchanges[asked] = found
        if not found:
            return
        try:
            self._keep(orjson.dumps({"asked": asked, "brought": found}))
        except Exception as error:
            self._trouble = error


class Tape:
    """A `Transport` before another one; an async context manager.

    Args:
        inner: what sends; entered and left with this if it is a context manager.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._stack = AsyncExitStack()
        self._recording: Recording | None = None
        self._playing: Document | None = None
        self._refusals: dict[str, Document] = {}  # what they taught is not asked again

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

    async def recorded(
        self,
        probe: Callable[[Line], Awaitable[Capabilities]],
        line: Line,
        earlier: Sequence[bytes] = (),
        keep: Keep = nothing,
    ) -> tuple[Capabilities, bytes]:
        """What `probe` finds, and its record; the other arguments as of `Recalling.recorded`.

        The record tells it all to somebody who was never taught anything by a refusal.
        """
        recording, taught = Recording(earlier, keep), dict(self._refusals)
        try:
            with self.recording(recording):
                found = await probe(recording.line(line))
            return found, orjson.dumps(taught | recording.exchanges)
        except ProviderRefused:
            if recording.sent or not recording.played:
                raise
        # The earlier probe was not cut off: it came to this end, and the server may be mended.
        keep(OVER)
        return await self.recorded(probe, line, (), keep)

    @contextmanager
    def recording(self, recording: Recording) -> Iterator[None]:
        """Let all that is asked meanwhile go through `recording`."""
        self._recording = recording
        try:
            yield
        finally:
            self._recording = None
            for asked, found in recording.exchanges.items():
                self._learn(asked, found)

    @contextmanager
    def playing(self, recorded: Document) -> Iterator[None]:
        """Answer from the exchanges of a recording meanwhile, and send nothing."""
        self._playing = recorded
        try:
            yield
        finally:
            self._playing = None

    def post(self, path: str, body: Document, *, root: bool = False) -> Exchanging:
        """POST, or what it was answered before; await what comes back."""
        if self._playing is None and self._recording is None:
            return self._inner.post(path, body, root=root)
        asked = orjson.dumps([path, body, root], option=orjson.OPT_SORT_KEYS).decode()
        return self._through(asked, lambda: self._inner.post(path, body, root=root))

    async def get(self, path: str) -> Answer:
        """GET, or what it was answered before."""
        return await self._through(path, lambda: self._inner.get(path))

    async def _through(self, asked: str, send: Callable[[], Awaitable[Answer]]) -> Answer:
        if self._playing is not None:
            found = self._playing.get(asked)
            self._learn(asked, found)
            return _played(found)
        return await (send() if self._recording is None else self._recording.through(asked, send))

    def _learn(self, asked: str, found: object) -> None:
        if isinstance(found, dict) and "error" in found:
            self._refusals[asked] = found


def _exchanges(pieces: Sequence[bytes]) -> dict[str, deque[Document]]:
    """What was asked -> what came back, each time that it was asked."""
    found: dict[str, deque[Document]] = {}
    for piece in pieces:
        try:
            read = orjson.loads(piece)
        except ValueError:
            continue
        match read:
            case {"over": True}:
                found.clear()
            case {"asked": str(asked), "brought": dict(brought)} if _tells(brought):
                found.setdefault(asked, deque()).append(brought)
    return found


def _spelled(error: ProviderError) -> Document:
    return {
        "error": type(error).__name__,
        "message": str(error.args[0]),
        "hint": error.hint,
        "fate": error.fate,
    }


def _written(document: Document) -> Document:
    """An answer as it is kept; empty if JSON cannot hold it."""
    try:
        nested = [[[document]]]  # as deep as it will stand
        if orjson.loads(orjson.dumps(nested)) == nested:
            return {"document": document}
    except (TypeError, ValueError, RecursionError):
        pass
    try:  # NaN or half a character, which Python's own JSON takes
        return {"spelled": json.dumps(document)}
    except RecursionError:
        return {}


def _read(spelled: str) -> object:
    try:
        return json.loads(spelled)
    except (ValueError, RecursionError):
        return None


def _tells(found: Document) -> bool:
    """Whether it can be played."""
    try:
        _played(found)
    except Unrecorded:
        return False
    except ProviderError:
        return True
    return True


def _played(found: object) -> Answer:
    """The answer or the error that a recording holds.

    Raises:
        Unrecorded: it holds neither.
    """
    match found:
        case {"spelled": str(spelled)}:
            return _played({"document": _read(spelled)})
        case {"document": dict(document)}:
            return Answer(document, usage(document))
        case {"error": str(kind), "message": str(message), "hint": hint} if kind in ERRORS:
            shown = hint if isinstance(hint, str) else None
            raise ERRORS[kind](message, hint=shown, fate="refused")
        case _:
            raise Unrecorded
