"""Trying read-outs on a server with sample texts, before money is spent.

    Candidate --label ids, depth, list or single, temperature--> Fit, or why it does not work

Where all goes well that is one request for the label words' ids, one with the samples, and one
to see whether temperature matters. It knows no provider by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bdpl_async.errors import ProviderError, RequestFailed, ServerFault, UnusableAnswer
from bdpl_async.records import Quota, Score
from bdpl_async.scorer import Line
from bdpl_async.usable import LOW_MASS
from bdpl_providers.candidates import Candidate
from bdpl_providers.fit import (
    UNFIT,
    Bound,
    Fit,
    Piecewise,
    Seen,
    allowed_depth,
    decided,
    drift,
    said,
    sensible,
)
from bdpl_providers.labels import (
    LabelTokens,
    fetch_encodings,
    fetch_pieces,
    lacks_space,
    readable,
    resolve,
    shorter,
    spacing,
    tail_of,
)
from bdpl_providers.paths import Paths
from bdpl_providers.tokenizer import LocalTokenizer
from bdpl_providers.wire import Answer, Readout

__all__ = ["NOISE", "Trial"]

WARM = 2.0  # a temperature at which log-probabilities that depend on it look quite different
NOISE = 1e-3  # nats between two answers to one text that rounding in float32 does not explain
SCALED = 0.05  # nats that a busy GPU's rounding does not explain either
TOO_LONG = re.compile(r"context|too long|maximum length", re.IGNORECASE)


@dataclass(slots=True)
class Trial:
    """One task's label words and sample texts before one server.

    Attributes:
        name: the scorer's, for messages.
        model: its name on the server.
        transport: how requests travel.
        line: the counted way for each of them.
        labels: the label words.
        samples: texts as sent, at least one.
        most: texts per request that the user wants; None takes what the candidate likes.
        tokenizer: the model's own, if it is here.
        tokens: of the label words, once they are known.
        unknown: why they cannot be known.
        quotas: as the newest answer says.
        doubt: a sentence, where the tokenizer seems to be another model's.
        listless: why the server takes no lists of texts, once that was seen.
    """

    name: str
    model: str
    transport: Paths
    line: Line
    labels: tuple[str, ...]
    samples: tuple[str, ...]
    most: int | None = None
    tokenizer: LocalTokenizer | None = None
    tokens: LabelTokens | None = None
    unknown: str | None = None
    quotas: tuple[Quota, ...] = ()
    doubt: str | None = None
    listless: str | None = None

    async def fit(self, candidate: Candidate) -> Fit:
        """How to ask by `candidate`.

        Raises:
            LabelError: a label word cannot be read off this model.
            RequestFailed, ServerFault: this read-out does not work; another may.
            ProviderError: any other: the server cannot be used now, or at all.
        """
        ids = None
        if candidate.ids != "useless":
            await self.resolve_labels()
            ids = self.tokens.ids if self.tokens else None
        if candidate.ids == "needed" and ids is None:
            raise RequestFailed(self.unknown or "the label words' token ids are not known")
        try:
            return await self._deepest(candidate, ids)
        except UnusableAnswer:
            if candidate.ids != "wanted" or ids is None:
                raise
            return await self._deepest(candidate, None)  # the server names tokens by text alone

    async def resolve_labels(self) -> None:
        """Find the label words' tokens, once; afterwards `tokens` or `unknown` is set.

        Raises:
            LabelError: a label word cannot be read off this model.
            ProviderError: the server cannot be used now, or at all.
        """
        if self.tokens is not None or self.unknown is not None:
            return
        tail = tail_of(self.samples)
        strings = [tail, *(tail + label for label in self.labels)]
        found = await self._encoded(strings)
        if isinstance(found, str):
            self.unknown = found.replace(f"{self.name}: ", "")
            return
        tokens = resolve(self.name, self.labels, found[0], found[1:])
        if tokens.split:
            pieces, fewer = await self._pieces(tokens, tail), await self._fewer(tokens, tail)
            tokens = replace(tokens, pieces=pieces, fewer=fewer)
        self.tokens = tokens

    async def _encoded(self, strings: Sequence[str]) -> list[list[int]] | str:
        """The token ids of each string, or why they are not known."""
        if self.tokenizer is not None:
            return await self.tokenizer.encode(strings)
        return await fetch_encodings(self.transport, self.model, strings, self.line)

    async def _fewer(self, tokens: LabelTokens, tail: str) -> dict[str, int]:
        """Words in pieces that a leading space would make fewer tokens, and how many."""
        bare = [index for index in tokens.split if lacks_space(tokens.words[index], tail)]
        if not bare:
            return {}
        strings = [tail, *(f"{tail} {tokens.words[index]}" for index in bare)]
        found = await self._encoded(strings)
        return {} if isinstance(found, str) else shorter(tokens, bare, found[0], found[1:])

    async def _pieces(self, tokens: LabelTokens, tail: str) -> tuple[tuple[str, ...], ...]:
        if self.tokenizer is not None:
            return tuple(tuple(map(readable, self.tokenizer.pieces(ids))) for ids in tokens.tokens)
        return await fetch_pieces(self.transport, self.model, tokens, tail, self.line)

    async def _deepest(self, candidate: Candidate, ids: tuple[int, ...] | None) -> Fit:
        """The candidate with as many likely tokens as the server lists."""
        depths = list(candidate.depths)
        refusal: RequestFailed | None = None
        while depths:
            depth = depths.pop(0)
            readout = candidate.build(self.labels, ids, depth)
            try:
                fit = await self._settled(readout, self.most or candidate.batch)
            except UnusableAnswer:
                raise
            except RequestFailed as error:
                if TOO_LONG.search(error.args[0]):
                    raise
                refusal, allowed = error, allowed_depth(error)
                if allowed is not None and allowed < depth:
                    depths = [allowed, *(least for least in depths if least < allowed)]
            else:
                fit = replace(fit, depth=depth)
                if refusal is not None:
                    less = f"lists the top {depth} at most ({said(refusal, self.name)})"
                    fit = replace(fit, notes=(*fit.notes, f"{self.name}: {less}"))
                return await self._examined(candidate, fit)
        assert refusal is not None  # noqa: S101  there is at least one depth
        raise refusal

    async def _settled(self, readout: Readout, batch: int) -> Fit:
        """Samples answered, all in one list if the server takes lists."""
        if not readout.lists or batch == 1:
            return await self._single(readout)
        if self.listless is not None:
            return self._one_by_one(await self._single(readout))
        pair = self.samples if len(self.samples) > 1 else self.samples * 2
        try:
            seen = await self._ask(Bound(readout), pair)
        except (UnusableAnswer, RequestFailed, ServerFault) as error:
            if "logprob" in error.args[0] or isinstance(error, UnusableAnswer):
                raise  # not the list's fault
            return await self._unlisted(Bound(readout, batch), error)
        if seen.mangled is not None:
            return await self._unlisted(Bound(readout, batch), seen.mangled)
        return Fit(Bound(readout, batch), seen, lists=True)

    async def _unlisted(self, wanted: Bound, error: ProviderError) -> Fit:
        """After a list failed: because it is a list, or because of what stands in it?"""
        fit = await self._single(wanted.readout)
        shortest = min(self.samples, key=len)
        # A crash (500) or half an answer is the list's fault; a refusal (400) may be a text's.
        if isinstance(error, RequestFailed) and not isinstance(error, UnusableAnswer):
            try:
                again = await self._ask(wanted, (shortest, shortest))
            except UNFIT as refusal:
                error = refusal
            else:
                if again.mangled is None:
                    return replace(fit, bound=wanted, lists=True)
                error = again.mangled
        self.listless = said(error, self.name)
        return self._one_by_one(fit)

    def _one_by_one(self, fit: Fit) -> Fit:
        note = f"{self.name}: takes no list of texts ({self.listless}); one text a request"
        return replace(fit, lists=False, notes=(*fit.notes, note))

    async def _single(self, readout: Readout) -> Fit:
        """The first sample with a score; one may be too long, to one a model may say no label."""
        notes: list[str] = []
        *firsts, last = self.samples
        for text in firsts:
            try:
                return Fit(Bound(readout), await self._ask(Bound(readout), (text,)))
            except UnusableAnswer as error:
                if error.retryable:
                    raise
                flaw = f"gives no score to a sample text ({said(error, self.name)})"
            except RequestFailed as error:
                if "logprob" in error.args[0]:
                    raise
                flaw = f"refuses a sample text ({said(error, self.name)})"
            notes.append(f"{self.name}: {flaw}, so others may fail, too")
        seen = await self._ask(Bound(readout), (last,))
        return Fit(Bound(readout), seen, notes=tuple(notes))

    async def _ask(self, bound: Bound, texts: Sequence[str]) -> Seen:
        """One request.

        Raises:
            UnusableAnswer: not one text has a score.
        """
        body, path = bound.body(texts), bound.readout.path
        self.transport.check(path)

        async def exchange() -> Answer:
            return await self.transport.post(path, body)

        answer = await self.line(exchange, texts)
        self.quotas = answer.quotas or self.quotas
        await self._compare(path, texts, answer.usage.prompt_tokens)
        outcomes = [sensible(one) for one in bound.readout.scores(answer.document, len(texts))]
        flaws = tuple(one for one in outcomes if isinstance(one, UnusableAnswer))
        if len(flaws) == len(outcomes):
            raise flaws[0]
        pairs = zip(texts, outcomes, strict=True)
        scored = tuple((text, one) for text, one in pairs if isinstance(one, Score))
        return Seen(answer.document, scored, flaws)

    async def _compare(self, path: str, texts: Sequence[str], billed: int) -> None:
        """Whether the tokenizer that is here makes as many tokens as the server of one text."""
        if self.tokenizer is None or path != "/completions" or len(texts) > 1 or not billed:
            return
        (here,) = await self.tokenizer.count(texts)
        if here != billed:
            self.doubt = (
                f"{self.name}: {self.tokenizer.path} makes {here} tokens of a sample and the "
                f"server {billed}; label words may be read by wrong ids: is it this model's?"
            )

    async def _examined(self, candidate: Candidate, fit: Fit) -> Fit:
        """`fit` after a look at label words in pieces, temperature, and label mass."""
        notes = [*fit.notes, *self._in_pieces(fit)]
        fit = decided(fit)
        if candidate.weighs:
            fit = await self._warmed(fit)
        if self.doubt is not None:
            notes.append(self.doubt)
        if fit.bound.temperature is not None:
            notes.append(
                f"{self.name}: scales log-probabilities by temperature; asked at temperature 1"
            )
        elif fit.drift is not None and fit.drift > NOISE:
            notes.append(f"{self.name}: two answers to one text differ by {fit.drift:.2g} nats")
        if fit.mass is not None and fit.mass < LOW_MASS:
            share = (
                f"together get a probability of {fit.mass:.2g}" if fit.mass else "are not listed"
            )
            first = "" if candidate.frame else spacing(self.labels, tail_of(self.samples))
            remedy = f"{first}{candidate.remedy}"
            notes.append(f"{self.name}: on sample texts the label words {share}; {remedy}")
        return replace(fit, notes=tuple(notes))

    def _in_pieces(self, fit: Fit) -> tuple[str, ...]:
        """Warnings of label words that are several tokens."""
        readout = fit.bound.readout
        if readout.path == "/completions" and self.tokens is not None:
            return self.tokens.warnings(self.name)
        if not isinstance(readout, Piecewise):
            return ()
        return tuple(
            f"{self.name}: label word {word!r} is several tokens; only {piece!r} is read"
            for word, piece in readout.pieces(fit.seen.document).items()
        )

    async def _warmed(self, fit: Fit) -> Fit:
        """One text again at another temperature: what the model believes must not move."""
        (text, cold), readout = fit.seen.scored[0], fit.bound.readout
        if "temperature" not in readout.body((text,)):
            return fit
        try:
            warm = await self._ask(Bound(readout, temperature=WARM), (text,))
            moved = drift(cold, warm.scored[0][1])
            if moved is None or moved <= SCALED:
                return replace(fit, drift=moved)
            even = replace(fit.bound, temperature=1.0)
            return replace(fit, bound=even, seen=await self._ask(even, (text,)), drift=moved)
        except UNFIT:
            return fit  # it takes no other temperature, so none will be asked for
