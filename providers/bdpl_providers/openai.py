"""OpenAI: chat log-probabilities, decisions, completions for those who still have them, or text.

    Server (read-outs, probe) --> Adapter (the model's manner) --> SdkTransport (HTTP)

Its models differ in what they take beside the common fields. The name gives a first guess; while a
probe lasts, a refusal that names a field teaches the rest, each lesson by one more request.

Not known here: whether a list of likely tokens is cut short of the k asked for (since GPT-5 it
holds only what has weight), what batch, flex, a region or a contract costs, and whether a chat is
billed for exactly the frame that is counted here.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypeVar

from bdpl_async.records import Billed, Request, Text
from bdpl_async.scorer import Capabilities, Line
from bdpl_providers.adapter import CHAT, Adapter, Relearned
from bdpl_providers.candidates import BY_ASKING, Candidate, chat, chosen, text, top_k
from bdpl_providers.credentials import checked_url, exposed, key_from
from bdpl_providers.decisions import GLAD, MOST_QUESTIONS, Decisions
from bdpl_providers.dialect import Dialect
from bdpl_providers.manner import first_guess
from bdpl_providers.prices import price_of
from bdpl_providers.said import TOKENS
from bdpl_providers.sdk import SdkTransport
from bdpl_providers.server import Server
from bdpl_providers.survey import Survey
from bdpl_providers.tokenizer import find_tokenizer
from bdpl_providers.tokens import TokenCounter
from bdpl_providers.wire import Document, Readout, Transport

if TYPE_CHECKING:
    from bdpl_providers import Connection

__all__ = ["OpenAI", "from_connection"]

PROVIDER = "openai"
HOME = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
AUTO = ("chat", "decisions", "text")
DECIDES = "gpt-6-luna"
PROBES = 6  # samples, temperature, a shorter list, and read-outs that do not work
FRAME = 4  # tokens around a message: three and its role
PRIMING = 3  # tokens that open the answer
LONGEST = 272_000  # tokens of a request from which some models cost more; ours are far below

Answer = TypeVar("Answer", bound=Billed)
Result = TypeVar("Result")


class OpenAI(Server):
    """A `Server` whose probe adapts to the model, and which knows prices and tokens.

    Args:
        dialect: the model and its read-outs.
        inner: how requests travel.
        at: the day whose prices count.
    """

    def __init__(self, dialect: Dialect, inner: Transport, at: datetime) -> None:
        super().__init__(dialect, inner)
        self._adapter = Adapter(dialect.name, first_guess(dialect.model), self._tape)
        self._transport = self._adapter
        price = price_of(PROVIDER, dialect.model, at, longest=LONGEST)
        manner = self._adapter.manner
        most = max(manner.written(1, listing=True), manner.written(TOKENS, listing=False))
        completion = most if manner.room else self.capabilities.completion
        self.capabilities = replace(
            self.capabilities, price=price, probes=PROBES, completion=completion
        )

    async def __aenter__(self) -> Self:
        """Open the transport, and load the vocabulary that counts tokens, or note why not."""
        await super().__aenter__()
        counter = self.dialect.counter
        if isinstance(counter, TokenCounter):
            await counter.ready()
            notes = () if counter.note is None else (counter.note,)
            notes = (*self.dialect.warnings, *notes)
            self.capabilities = replace(self.capabilities, exact=counter.note is None, notes=notes)
        return self

    async def probe(self, request: Request, line: Line) -> Capabilities:
        """As `Server.probe`, in the manner that the model turns out to want."""
        ask = super().probe
        found = await self._taught(lambda: ask(request, _patient(line)))
        completion = found.completion
        if self._chats(request.labels):
            listing = found.readout == "chat"
            completion = self._adapter.manner.written(completion, listing=listing)
        notes = (*found.notes, *self._remarks(found.readout))
        counter = self.dialect.counter
        exact = isinstance(counter, TokenCounter) and counter.note is None
        self.capabilities = replace(found, completion=completion, exact=exact, notes=notes)
        return self.capabilities

    async def survey(self, request: Request, line: Line) -> Survey:
        """As `Server.survey`, in the manner that the model turns out to want."""
        ask = super().survey
        return await self._taught(lambda: ask(request, _patient(line)))

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...] = ()) -> list[int]:
        """Prompt tokens of each text: of a chat its messages and their frames, else as `Server`."""
        counter = self.dialect.tokenizer or self.dialect.counter
        chats = [_contents(self._asking(text.causal, labels)) for text in texts]
        if counter is None or not all(chats):
            return await super().count(texts, labels)
        counts = iter(await counter.count([one for chat in chats for one in chat]))
        return [PRIMING + sum(FRAME + next(counts) for _ in chat) for chat in chats]

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        """What the answer to `text` depends on, the manner of asking included."""
        spelled = super().key(text, labels)
        if not self._chats(labels):
            return spelled
        return spelled[:-1] + b',"manner":' + self._adapter.manner.spelled() + b"}"

    async def _taught(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        self._adapter.learning = True
        try:
            return await ask()
        finally:
            self._adapter.learning = False  # or answers of one run would differ in how they came

    def _chats(self, labels: tuple[str, ...]) -> bool:
        bound = self._bound.get(labels)
        return bound is not None and bound.readout.path == CHAT

    def _remarks(self, readout: str | None) -> Sequence[str]:
        notes = list(dict.fromkeys(self._adapter.notes))
        if readout == "chat" and self.dialect.model.startswith(DECIDES):
            notes.append(
                f"{self.name}: --readout decisions gives the probabilities of all label words, "
                "none of them censored"
            )
        counter = self.dialect.counter
        if isinstance(counter, TokenCounter) and counter.note is not None:
            notes.append(counter.note)
        if self.capabilities.price is not None and self.dialect.base_url != HOME:
            notes.append(f"{self.name}: priced as by OpenAI; --price-in and --price-out override")
        return notes


def from_connection(
    connection: Connection,
    *,
    environ: Mapping[str, str] = os.environ,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> OpenAI:
    """The scorer of one of OpenAI's models.

    Raises:
        ConfigError: no key, no address, or no such read-out.
    """
    model = connection.model
    base_url = checked_url(connection.base_url or HOME)
    key = None
    if connection.sends:
        key = key_from(connection.api_key_env, KEY, required=True, environ=environ)
    readouts = candidates(model, connection.system, connection.ask)
    wanted = chosen(f"{PROVIDER}/{model}", connection.readout, readouts, AUTO)
    batch = connection.batch_prompts
    dialect = Dialect(
        PROVIDER,
        model,
        base_url,
        wanted,
        others=tuple(one for one in readouts if one not in wanted),
        batch_prompts=None if batch is None else min(batch, MOST_QUESTIONS),
        tokenizer=find_tokenizer(connection.tokenizer, ""),
        counter=TokenCounter(model),
        warnings=exposed(f"{PROVIDER}/{model}", base_url, connection.api_key_env, KEY, environ),
    )
    transport = SdkTransport(
        dialect.name,
        base_url,
        key or "none",  # the SDK wants one, even to send nothing
        timeout=connection.timeout,
        concurrency=connection.concurrency,
    )
    return OpenAI(dialect, transport, now())


def candidates(model: str, system: str | None, ask: str | None) -> tuple[Candidate, ...]:
    """All read-outs that one of OpenAI's models may have, the best first."""
    in_chat, plainly = text(model, system, ask)
    return (
        chat(model, system, ask),
        decisions(model, system, ask),
        top_k(model),
        in_chat,
        plainly,
    )


def decisions(model: str, system: str | None, ask: str | None) -> Candidate:
    """The probabilities that ``/decisions`` gives to the label words as choices."""

    def build(labels: tuple[str, ...], ids: tuple[int, ...] | None, depth: int) -> Readout:
        return Decisions(model, labels, system, ask)

    return Candidate(
        "decisions", build, "the probabilities of the label words as choices", BY_ASKING, batch=GLAD
    )


def _contents(body: Document) -> list[str]:
    """What the messages of a chat say."""
    messages = body.get("messages")
    return [message["content"] for message in messages] if isinstance(messages, list) else []


def _patient(line: Line) -> Line:
    """`line`, which asks again after a refusal that taught something; each request is counted."""

    async def again(exchange: Callable[[], Awaitable[Answer]], texts: Sequence[str]) -> Answer:
        while True:  # no lesson is learned twice, so this ends
            try:
                return await line(exchange, texts)
            except Relearned:
                continue

    return again
