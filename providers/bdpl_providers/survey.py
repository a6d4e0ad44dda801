"""What a server can do for a task's label words: every read-out tried, for a person to read.

All records turn into JSON by `dataclasses.asdict`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bdpl_async.errors import LabelError, ProviderRefused
from bdpl_async.records import Quota
from bdpl_providers.candidates import Candidate
from bdpl_providers.fit import UNFIT, Fit, said
from bdpl_providers.labels import LabelTokens
from bdpl_providers.trial import NOISE, Trial
from bdpl_providers.wire import Document

__all__ = ["Attempt", "LabelWord", "Survey", "survey"]


@dataclass(frozen=True, slots=True)
class LabelWord:
    """One label word behind the words before the mask.

    Attributes:
        word: with its leading space.
        ids: its token ids, the first of which is read; empty where the server does not tell.
        pieces: its tokens as text, where they are known.
        single: whether it is one token; None where that is not known.
    """

    word: str
    ids: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()
    single: bool | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One read-out.

    Attributes:
        readout: its name in the configuration.
        reads: what it reads.
        works: whether it gives usable answers.
        detail: why not; empty where it works.
        depth: likely tokens that the server lists; 0 where it lists none.
        lists: whether it takes several texts in a request; None if that was not tried.
        temperature_ignored: whether log-probabilities stay at another temperature; None if that
            is not known.
        mass: the largest probability of all label words together on a sample, if known.
        censored: labels that were not listed, over all samples.
        logprobs: per sample that was answered, those of the label words.
        notes: what a person should know, a sentence each.
    """

    readout: str
    reads: str
    works: bool
    detail: str = ""
    depth: int = 0
    lists: bool | None = None
    temperature_ignored: bool | None = None
    mass: float | None = None
    censored: int = 0
    logprobs: tuple[tuple[float, ...], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """All that was seen.

    Attributes:
        name: PROVIDER/MODEL.
        base_url: of the server.
        models: what it serves, by its own account; empty where it does not say.
        max_model_len: tokens of the model's window, if the server says so.
        labels: the label words' tokens.
        trouble: why a label word cannot be read, or its tokens are not known; else empty.
        attempts: one per read-out, best first.
        quotas: the limits that the newest answer named.
    """

    name: str
    base_url: str
    models: tuple[str, ...]
    max_model_len: int | None
    labels: tuple[LabelWord, ...]
    trouble: str
    attempts: tuple[Attempt, ...]
    quotas: tuple[Quota, ...]

    @property
    def best(self) -> str | None:
        """The first read-out that works."""
        return next((attempt.readout for attempt in self.attempts if attempt.works), None)


async def survey(trial: Trial, base_url: str, candidates: Sequence[Candidate]) -> Survey:
    """Try every candidate; one that does not work is an `Attempt` that says why.

    Raises:
        ProviderRefused: the server refuses as such: key, unknown model.
        ProviderUnavailable: the server does not answer now.
    """
    models, window = await _served(trial)
    try:
        await trial.resolve_labels()
    except LabelError as error:
        trial.unknown = said(error, trial.name)
    attempts = [await _attempt(trial, candidate) for candidate in candidates]
    return Survey(
        name=trial.name,
        base_url=base_url,
        models=models,
        max_model_len=window,
        labels=_words(trial.labels, trial.tokens),
        trouble=trial.unknown or "",
        attempts=tuple(attempts),
        quotas=trial.quotas,
    )


async def _attempt(trial: Trial, candidate: Candidate) -> Attempt:
    try:
        fit = await trial.fit(candidate)
    except (*UNFIT, LabelError) as error:
        return Attempt(
            candidate.name,
            candidate.reads.format(k=candidate.depths[0]),
            works=False,
            detail=said(error, trial.name),
        )
    return Attempt(
        candidate.name,
        candidate.reads.format(k=fit.depth),
        works=True,
        depth=fit.depth,
        lists=fit.lists,
        temperature_ignored=_ignored(fit),
        mass=fit.mass,
        censored=fit.censored,
        logprobs=tuple(score.logprobs for _, score in fit.seen.scored),
        notes=fit.notes,
    )


def _ignored(fit: Fit) -> bool | None:
    if fit.drift is None:
        return None
    return fit.bound.temperature is None and fit.drift <= NOISE


def _words(labels: tuple[str, ...], found: LabelTokens | None) -> tuple[LabelWord, ...]:
    if found is None:
        return tuple(map(LabelWord, labels))
    pairs = list(zip(found.words, found.tokens, strict=True))
    pieces = found.pieces or [(word,) if len(ids) == 1 else () for word, ids in pairs]
    return tuple(
        LabelWord(word, ids, shown, single=len(ids) == 1)
        for (word, ids), shown in zip(pairs, pieces, strict=True)
    )


async def _served(trial: Trial) -> tuple[tuple[str, ...], int | None]:
    """The models that the server lists, and the window of the one in question."""
    try:
        answer = await trial.line(lambda: trial.transport.get("/models"), ())
    except (*UNFIT, ProviderRefused):
        return (), None  # a key may be good for the model and not for the list of models
    return _listed(answer.document, trial.model)


def _listed(document: Document, model: str) -> tuple[tuple[str, ...], int | None]:
    data = document.get("data")
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    names = tuple(str(entry["id"]) for entry in entries if isinstance(entry.get("id"), str))
    window = next((entry.get("max_model_len") for entry in entries if entry.get("id") == model), 0)
    return names, window if isinstance(window, int) and window > 0 else None
