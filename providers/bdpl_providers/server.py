"""A model behind a server that speaks the OpenAI dialect, whichever of its read-outs works.

    Request --causal texts--> Bound.body --Transport.post--> Readout.scores --> Reply

One `score` is one HTTP request and is never sent again from here. Which read-out is bound to the
label words is decided by the probe. It knows no HTTP and no provider by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import orjson

from bdpl_async.errors import BdplError, ProviderError, ProviderRefused, RequestFailed, UsageError
from bdpl_async.records import Billed, Reply, Request, Score, Text
from bdpl_async.scorer import Capabilities, Keep, Line, nothing
from bdpl_providers.candidates import Candidate
from bdpl_providers.dialect import Dialect
from bdpl_providers.fit import UNFIT, Bound, Fit, said
from bdpl_providers.paths import Paths, address_hint
from bdpl_providers.survey import Survey, survey
from bdpl_providers.tape import Tape, Unrecorded
from bdpl_providers.trial import Trial
from bdpl_providers.wire import Document, Transport, frame

__all__ = ["Server"]

MARGIN = 8  # tokens that a tokenizer may put around a text
STANDIN = "\0text\0"  # where a key's text goes; nobody has such a word
HINT = (
    "'bdpl-async probe' shows what each read-out gets; take a server that gives log-probabilities, "
    "or a chat model for --readout text"
)

B = TypeVar("B", bound=Billed)


class Server:
    """A `Scorer` for whatever `dialect` describes, over `transport`.

        async with Server(dialect, transport) as scorer:
            reply = await scorer.score(request)

    Args:
        dialect: the model and its read-outs.
        transport: entered and left with the scorer if it is a context manager.

    Attributes:
        name: PROVIDER/MODEL.
        capabilities: as expected before the probe, as found afterwards.
    """

    def __init__(self, dialect: Dialect, transport: Transport) -> None:
        self.name = dialect.name
        self.dialect = dialect
        self.warnings = dialect.warnings  # for whoever is asked before anything is sent
        self.capabilities = dialect.expected()
        self._tape = Tape(transport)
        self._transport: Transport = self._tape
        self._stack = AsyncExitStack()
        self._bound: dict[tuple[str, ...], Bound] = {}
        self._binding = asyncio.Lock()
        self._spellings: dict[tuple[str, ...], list[bytes]] = {}  # what keys have around a text
        self._frames: dict[tuple[str, ...], int] = {}  # tokens around a text

    async def __aenter__(self) -> Self:
        """Open the transport."""
        await self._stack.enter_async_context(self._tape)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the transport."""
        await self._stack.aclose()

    async def score(self, request: Request) -> Reply:
        """Weigh the label words after each text, by exactly one HTTP request.

        Nothing is sent for a text that is empty; it stands as its `RequestFailed`. Label words
        that were not probed are probed first, by requests of their own.

        Raises:
            UsageError: several texts for a read-out that takes one.
            ProviderError: no text got an answer.
        """
        bound = self._bound.get(request.labels) or await self._bind(request)
        texts = [_sendable(text) for text in request.texts]
        sent = [text for text in texts if text]
        readout = bound.readout
        if len(sent) > 1 and not readout.lists:
            raise UsageError(
                f"{self.name}: read-out {readout.name!r} takes one text a request, not {len(sent)}",
                hint="leave out --batch-prompts",
            )
        if not sent:
            return Reply([self._empty() for _ in texts])
        answer = await self._transport.post(readout.path, bound.body(sent))
        scores: Sequence[Score | ProviderError] = readout.scores(answer.document, len(sent))
        if len(sent) < len(texts):
            filled = iter(scores)
            scores = [next(filled) if text else self._empty() for text in texts]
        return Reply(scores, answer.usage, answer.quotas)

    async def probe(self, request: Request, line: Line) -> Capabilities:
        """Bind the best read-out that works for the label words.

        Raises:
            LabelError: a label word cannot be read off this model.
            ProviderRefused: no read-out works, or the server refuses as such.
            ProviderUnavailable: the server does not answer now.
        """
        trial = self._trial(request, line)
        reasons: list[str] = []
        notes: list[str] = []
        for index, candidate in enumerate(self.dialect.candidates):
            try:
                fit = await trial.fit(candidate)
            except UNFIT as error:
                reasons.append(f"{candidate.name}: {said(error, self.name)}")
                continue
            if index:
                reads = candidate.reads.format(k=fit.depth)
                why = "; ".join(reasons)
                notes.append(f"{self.name}: cannot be read by {why}; falling back to {reads}")
            return await self._settle(request.labels, fit, (*notes, *fit.notes))
        raise ProviderRefused(
            f"{self.name}: no usable read-out ({'; '.join(reasons)})",
            hint=_advice(reasons, self.dialect),
            fate="refused",
        )

    def circumstances(self, request: Request) -> bytes:
        """What a probe by `request` depends on, spelled out; no key of an account."""
        dialect = self.dialect
        tokenizer = dialect.tokenizer
        spelled = {
            "probe": dialect.name,
            "base_url": dialect.base_url,
            "candidates": [_described(one, request.labels) for one in dialect.candidates],
            "batch": dialect.batch_prompts,
            "tokenizer": None if tokenizer is None else tokenizer.fingerprint,
            "texts": [_sendable(text) for text in request.texts],
            "labels": request.labels,
        }
        return orjson.dumps(spelled, option=orjson.OPT_SORT_KEYS)

    async def recorded(
        self, request: Request, line: Line, *, earlier: Sequence[bytes] = (), keep: Keep = nothing
    ) -> tuple[Capabilities, bytes]:
        """`probe`, and a record from which `recall` repeats it; as of `Recalling`."""
        probe = partial(self.probe, request)
        return await self._tape.recorded(probe, line, earlier, keep)

    async def recall(self, request: Request, record: bytes) -> Capabilities | None:
        """What a probe found according to its record, sending nothing; None if it does not tell."""
        try:
            with self._tape.playing(orjson.loads(record)):
                return await self.probe(request, _alone)
        except (Unrecorded, ProviderError, ValueError):
            return None

    async def survey(self, request: Request, line: Line) -> Survey:
        """What every read-out gets from this server, working or not.

        Raises:
            ProviderRefused: the server refuses as such: key, unknown model.
            ProviderUnavailable: the server does not answer now.
        """
        candidates = (*self.dialect.candidates, *self.dialect.others)
        return await survey(self._trial(request, line), self.dialect.base_url, candidates)

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        """What the answer to `text` depends on, spelled out.

        Raises:
            UsageError: the label words were not probed, so the read-out is not decided.
        """
        around = self._spellings.get(labels) or self._spelled(labels)
        return orjson.dumps(_sendable(text))[1:-1].join(around)

    def _spelled(self, labels: tuple[str, ...]) -> list[bytes]:
        """What stands around a text in its key: ids, pieces and depth of the read-out as well."""
        bound = self._bound.get(labels)
        if bound is None:
            raise UsageError(f"{self.name}: the label words {labels} were not probed")
        spelled = {
            "dialect": self.dialect.provider,
            "base_url": self.dialect.base_url,
            "model": self.dialect.model,
            "readout": repr(bound.readout),
            "body": bound.body([STANDIN]),
            "labels": labels,
        }
        key = orjson.dumps(spelled, option=orjson.OPT_SORT_KEYS)
        self._spellings[labels] = key.split(orjson.dumps(STANDIN)[1:-1])
        return self._spellings[labels]

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...] = ()) -> list[int]:
        """Prompt tokens of each text: exact by a tokenizer, else bounded by UTF-8 bytes."""
        if labels not in self._frames:
            around = frame(self._asking("x", labels))
            self._frames[labels] = sum(await self._counted(around)) + MARGIN * len(around)
        strings = [_sendable(text) for text in texts]
        return [count + self._frames[labels] for count in await self._counted(strings)]

    def _asking(self, text: str, labels: tuple[str, ...]) -> Document:
        """The body that asks for one text, as it is bound or, before that, as it is expected."""
        if (bound := self._bound.get(labels)) is not None:
            return bound.body([text])
        first, ids = self.dialect.candidates[0], tuple(range(len(labels)))
        return first.build(labels, ids, first.depths[0]).body([text])

    async def _counted(self, strings: Sequence[str]) -> list[int]:
        counter = self.dialect.tokenizer or self.dialect.counter
        if counter is not None:
            return await counter.count(strings)
        return [len(string.encode()) + MARGIN for string in strings]

    async def _bind(self, request: Request) -> Bound:
        async with self._binding:
            if request.labels not in self._bound:
                await self.probe(request, _alone)
        return self._bound[request.labels]

    def _trial(self, request: Request, line: Line) -> Trial:
        samples = tuple(dict.fromkeys(filter(None, map(_sendable, request.texts))))
        if not samples:
            raise UsageError(
                f"{self.name}: nothing stands before the mask",
                hint="a causal model reads the template up to {mask}; put some words there",
            )
        if len(samples) > 2:
            samples = max(samples, key=len), min(samples, key=len)
        dialect = self.dialect
        return Trial(
            self.name,
            dialect.model,
            Paths(self.name, dialect.base_url, self._transport),
            line,
            request.labels,
            samples,
            dialect.batch_prompts,
            dialect.tokenizer,
        )

    async def _settle(
        self, labels: tuple[str, ...], fit: Fit, notes: tuple[str, ...]
    ) -> Capabilities:
        """Bind what was found, and say how to ask."""
        bound, readout = fit.bound, fit.bound.readout
        self._bound[labels] = bound
        around = frame(bound.body(["x"]))
        self._frames.pop(labels, None)
        self._spellings.pop(labels, None)
        if not readout.lists and (self.dialect.batch_prompts or 1) > 1:
            notes += (f"{self.name}: {readout.name} takes one text a request",)
        self.capabilities = replace(
            self.capabilities,
            batch=bound.batch,
            readout=readout.name,
            completion=readout.completion,
            exact=self.dialect.tokenizer is not None and not around,
            notes=(*self.dialect.warnings, *notes),
        )
        return self.capabilities

    def _empty(self) -> RequestFailed:
        return RequestFailed(
            f"{self.name}: nothing stands before the mask, so there is nothing to send",
            hint="a causal model reads the template up to {mask}; put some words there",
            fate="unsent",
        )


def _advice(reasons: Sequence[str], dialect: Dialect) -> str:
    """What to do about read-outs none of which works."""
    if all(" brought 404" in reason for reason in reasons):
        return address_hint(dialect.base_url)
    if all(" brought 500" in reason for reason in reasons):
        return "the server breaks on every request: see its log"
    return f"take --readout auto; {HINT}" if dialect.insists else HINT


def _described(candidate: Candidate, labels: tuple[str, ...]) -> str:
    """A read-out as it would be built; token ids follow from model and words."""
    try:
        return repr(candidate.build(labels, tuple(range(len(labels))), 1))
    except BdplError as error:
        return f"{candidate.name}: {error}"


def _sendable(text: Text) -> str:
    """The words before the mask, in what UTF-8 can hold: JSON can smuggle in half a character."""
    words = text.causal
    return words if words.isascii() else words.encode("utf-8", "replace").decode("utf-8")


async def _alone(exchange: Callable[[], Awaitable[B]], texts: Sequence[str]) -> B:
    """The line of a probe that nobody counts."""
    return await exchange()
