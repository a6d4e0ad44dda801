"""A loopback server that speaks vLLM's and OpenAI's dialects, breaks on purpose, and keeps books.

    async with FaultServer(Manners(latency=0.01)) as server:
        ...                                   # ask server.url
        assert server.books.prompts <= 100

It writes HTTP by hand, so that any byte can be wrong. Truth comes from `ToyModel`, so two servers
give the same answers; `in_thread` serves beside code that has an event loop of its own.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from tests.dialect import CHAT, COMPLETIONS, Manners, Refused, Work, flat, understood
from tests.faults import OVERSIZE, Sent, error, limited, spoil
from tests.toymodel import ToyModel

__all__ = ["Books", "FaultServer", "Manners"]

Json = dict[str, Any]
SCORING = (COMPLETIONS, CHAT)
BLANKS = b" " * 65536
MESSAGE = re.compile(rb'"(?:message|error|detail|msg)": "')


@dataclass(slots=True)
class Books:
    """What happened, by the server's own count.

    Attributes:
        requests: everything that arrived, on every path.
        scoring: of these, the ones that ask for label words.
        prompts: texts that it answered and bills; tokens and `usd` likewise.
        answered: text -> usable answers that were sent whole.
        most: scoring requests that were under way at the same time.
        arrivals: when each scoring request arrived, and the status sent; 0 for none.
        keys: Authorization headers that it saw.
        struck: faults by kind.
    """

    requests: int = 0
    scoring: int = 0
    prompts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    most: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens billed."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class _Call:
    """One request as it arrived, and the connection it came on."""

    method: str
    path: str
    key: str
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self.reader.at_eof() or self.writer.is_closing()


class FaultServer:
    """Serves on a free port of this machine while its context is open.

    Attributes:
        url: the base URL, with ``/v1``.
        books: its own count of everything.
    """

    def __init__(self, manners: Manners | None = None, model: ToyModel | None = None) -> None:
        self.manners = manners or Manners()
        self.model = model or ToyModel()
        self.books = Books()
        self.url = ""
        self._under_way = 0
        self._shut_until = 0.0
        self._window: list[float] = []
        self._noise = random.Random(0)
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=2048)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @classmethod
    @contextmanager
    def in_thread(cls, manners: Manners | None = None) -> Iterator[Self]:
        """The server on an event loop in a thread of its own."""
        server, ready = cls(manners), threading.Event()
        loop = asyncio.new_event_loop()
        end = asyncio.Event()

        async def serve() -> None:
            async with server:
                ready.set()
                await end.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
        thread.start()
        try:
            assert ready.wait(60)
            yield server
        finally:
            loop.call_soon_threadsafe(end.set)
            thread.join(60)
            loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (call := await _read(reader, writer)) is not None:
                await self._serve(call)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the server closes
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, call: _Call) -> None:
        self.books.requests += 1
        self.books.keys.add(call.key)
        scoring = call.path in SCORING
        self._under_way += scoring
        self.books.most = max(self.books.most, self._under_way)
        arrived = asyncio.get_running_loop().time()
        try:
            sent = await self._replied(call, scoring)
            status = 0 if sent.after in ("never", "reset") else sent.status
            self.books.statuses[status] += 1
            if scoring:
                self.books.arrivals.append((arrived, status))
            await self._send(call, self._echoed(call, sent))
        finally:
            self._under_way -= scoring

    async def _replied(self, call: _Call, scoring: bool) -> Sent:
        try:
            return await (self._scored(call) if scoring else self._other(call))
        except Refused as refusal:
            return refusal.sent

    def _echoed(self, call: _Call, sent: Sent) -> Sent:
        """The same reply with the client's key in its words and headers, if that is our manner."""
        good = sent.status < 400 and sent.content == "application/json"
        if good or not self.manners.echo:
            return sent
        key = call.key.encode()
        body, found = MESSAGE.subn(lambda match: match[0] + key + b" ", sent.body)
        return replace(
            sent,
            body=body if found else sent.body + b" " + key,
            headers=(*sent.headers, ("X-Echo", call.key)),
        )

    async def _other(self, call: _Call) -> Sent:
        """Everything that is no scoring: models, tokens, and paths that are not there."""
        self._let_in(call)
        manners = self.manners
        if call.path == "/v1/models":
            card = {"id": manners.model, "object": "model", "owned_by": "vllm", "created": 0}
            window = {"root": manners.model, "parent": None, "max_model_len": manners.window}
            return _good({"object": "list", "data": [{**card, **window}]})
        if call.path == "/tokenize" and manners.tokenizes and call.method == "POST":
            body = _parsed(call)
            text = body.get("prompt")
            if text is None:
                text = flat(body["messages"])
            ids = self.model.encode(text, special=body.get("add_special_tokens", True))
            strings = [self.model.decode([i]) for i in ids]
            given = strings if body.get("return_token_strs") else None
            shape = {"count": len(ids), "max_model_len": manners.window}
            return _good({**shape, "tokens": ids, "token_strs": given})
        if call.path == "/version":
            return _good({"version": "0.32.0"})
        return error(404, "Not Found", "detail")

    def _let_in(self, call: _Call) -> None:
        wanted = self.manners.key
        if wanted is not None and call.key != f"Bearer {wanted}":
            raise Refused(error(401, "Unauthorized", "string"))

    async def _scored(self, call: _Call) -> Sent:
        """Limits, latency, then the fault of the day or a good answer; then the bill."""
        self.books.scoring += 1
        self._let_in(call)
        self._limit()
        work = understood(_parsed(call), call.path, self.manners, self.model)
        manners = self.manners
        if manners.latency:
            factor = self._noise.lognormvariate(0.0, manners.noise) if manners.noise else 1.0
            await asyncio.sleep(manners.latency * factor)
        kind = manners.faults.strike(work.texts)
        if kind is None:
            good = tuple(range(len(work.texts)))
            sent = Sent(body=json.dumps(work.document).encode(), billed=True, good=good)
        else:
            self.books.struck[kind] += 1
            sent = spoil(kind, work.document, work.texts, manners.faults.wait, manners.elsewhere)
        if sent.billed:
            self._bill(work)
        if not call.gone:
            self.books.answered.update(work.texts[i] for i in sent.good)
        return sent

    def _bill(self, work: Work) -> None:
        """Each text costs its tokens and one more."""
        read, written = sum(map(len, work.ids)), len(work.ids)
        self.books.prompts += len(work.ids)
        self.books.prompt_tokens += read
        self.books.completion_tokens += written
        per_read, per_written = self.manners.price
        self.books.usd += (read * per_read + written * per_written) / 1e6

    def _limit(self) -> None:
        """Refuse what is too much at once, or too much in the window."""
        manners, now = self.manners, asyncio.get_running_loop().time()
        if manners.shut is not None and self.books.scoring == manners.shut[0]:
            self._shut_until = now + manners.shut[1]
        if now < self._shut_until:
            raise Refused(limited(self._shut_until - now, manners.hint))
        if manners.parallel is not None and self._under_way > manners.parallel:
            raise Refused(error(429, "Max parallel request limit reached.", "string code"))
        if manners.rate is not None:
            most, seconds = manners.rate
            self._window = [when for when in self._window if when > now - seconds]
            if len(self._window) >= most:
                raise Refused(limited(self._window[0] + seconds - now, manners.hint))
            self._window.append(now)

    async def _send(self, call: _Call, sent: Sent) -> None:
        """Write the reply, or what the fault leaves of it."""
        if sent.after == "never":
            await call.reader.read(1)  # until the client leaves
        if sent.after in ("never", "reset"):
            return _reset(call.writer)
        length = len(sent.body) if sent.announced is None else sent.announced
        streamed = sent.after == "flood" and sent.announced is None
        size = "Transfer-Encoding: chunked" if streamed else f"Content-Length: {length}"
        headers = "".join(f"{name}: {value}\r\n" for name, value in sent.headers)
        head = (
            f"HTTP/1.1 {sent.status} X\r\nContent-Type: {sent.content}\r\n{headers}{size}\r\n\r\n"
        )
        half = sent.after == "midway"
        call.writer.write(head.encode() + (sent.body[: length // 2] if half else sent.body))
        await call.writer.drain()
        if half:
            await asyncio.sleep(0.005)  # so that the client has it before it learns of the reset
            _reset(call.writer)
        elif sent.after == "flood":
            await _flood(call, streamed)
        return None


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Call | None:
    """The next request of a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return _Call(method, path, headers.get("authorization", ""), body, reader, writer)


def _parsed(call: _Call) -> Json:
    found = json.loads(call.body)
    assert isinstance(found, dict)
    return found


def _good(document: Json) -> Sent:
    return Sent(body=json.dumps(document).encode())


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side is told of a reset, not of an end."""
    connection = writer.get_extra_info("socket")
    if not writer.is_closing():
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _flood(call: _Call, streamed: bool) -> None:
    """Blanks until the client leaves, or until there were too many for any buffer."""
    chunk = b"%x\r\n%b\r\n" % (len(BLANKS), BLANKS) if streamed else BLANKS
    for _ in range(OVERSIZE // len(BLANKS)):
        if call.gone:
            break
        call.writer.write(chunk)
        await call.writer.drain()
    _reset(call.writer)
