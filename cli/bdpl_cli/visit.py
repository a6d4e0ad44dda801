"""One scorer, asked what it can do: first as a run would probe it, then by every read-out.

Everything goes through the gate's line, so that it is counted against the budget. It prints
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from bdpl_async.config import Config
from bdpl_async.errors import (
    BdplError,
    BudgetExhausted,
    BudgetTooSmall,
    LabelError,
    ProviderError,
    ProviderRefused,
)
from bdpl_async.gate import Gate
from bdpl_async.records import Request, Score, Text
from bdpl_async.scorer import Capabilities, Line, Probing, Scorer
from bdpl_async.usable import LOW_MASS
from bdpl_cli.findings import Findings
from bdpl_providers.survey import Attempt, LabelWord, Survey

__all__ = ["Visit"]

TAKES = "the probe of a run takes some 5 requests, trying every read-out some 10 more"
NONE_WORKS = "no usable read-out"
OWN = "own"  # the read-out of a scorer that names none
Words = tuple[str, ...]
Notes = tuple[str, ...]


@runtime_checkable
class _Surveying(Protocol):
    """A scorer that can try all its read-outs."""

    async def survey(self, request: Request, line: Line) -> Survey:
        """What every read-out gets, working or not."""
        ...


@dataclass(slots=True)
class Visit:
    """What is asked of whom.

    Attributes:
        scorer: the model.
        gate: the counted way to it.
        texts: samples.
        config: its settings.
        trouble: why a run could not use the model, once `findings` is there.
    """

    scorer: Scorer
    gate: Gate
    texts: tuple[Text, ...]
    config: Config
    trouble: BdplError | None = None

    async def findings(self, choices: Sequence[Words]) -> Findings:
        """Everything that can be found out.

        Args:
            choices: label words to take, the first that the model can read.

        Raises:
            LabelError: no label words can be read, and the scorer has nothing else to show.
            BudgetTooSmall: it does not hold what a run's own probe takes.
            ProviderError: the provider refuses, or is not there.
        """
        try:
            found, words, notes = await self._probed(choices)
        except BudgetExhausted as error:
            raise BudgetTooSmall(error.args[0], hint=TAKES) from None
        survey, more = await self._surveyed(words, found)
        notes += (*(found.notes if found is not None else ()), *more)
        local, trouble = self.gate.capabilities.local, self.trouble
        return Findings(
            survey=survey,
            capabilities=None if trouble is not None else found,
            samples=tuple(self._shown(text) for text in self.texts),
            usage=self.gate.totals(),
            price=self.gate.channel.terms.price,
            local=local,
            notes=tuple(dict.fromkeys(notes)),
            trouble=str(trouble.args[0]) if trouble is not None else "",
        )

    async def _probed(self, choices: Sequence[Words]) -> tuple[Capabilities | None, Words, Notes]:
        """How a run would ask, with which label words; None if it could not."""
        notes: Notes = ()
        for words in choices:
            if self.trouble is not None:
                instead = ", ".join(map(repr, words))
                notes += (f"asked with {instead} instead: {self.trouble.args[0]}",)
            try:
                found = await self._capabilities(words)
            except LabelError as error:
                self.trouble = error
            except ProviderRefused as error:
                self.trouble = error
                break
            else:
                self.trouble = None
                return found, words, notes
        return None, words, notes

    async def _capabilities(self, words: Words) -> Capabilities:
        before = self.gate.capabilities
        if not isinstance(self.scorer, Probing):
            return before
        found = await self.scorer.probe(Request(self.texts, words), self.gate.line)
        if before.local:
            found = replace(found, batch=before.batch)
        self.gate.adopt(found)
        return found

    async def _surveyed(self, words: Words, found: Capabilities | None) -> tuple[Survey, Notes]:
        """What every read-out gets; the only one of a scorer that has no survey."""
        trouble = self.trouble
        if isinstance(trouble, ProviderRefused) and NONE_WORKS not in trouble.args[0]:
            raise trouble  # of the server as such: every read-out would hear the same
        if isinstance(self.scorer, _Surveying):
            try:
                survey = await self.scorer.survey(Request(self.texts, words), self.gate.line)
            except (BudgetExhausted, ProviderError) as error:
                if self.trouble is None and found is not None:
                    attempt = Attempt(found.readout or OWN, "what a run would read", works=True)
                    rest = f"the other read-outs were not tried: {error.args[0]}"
                    return self._of(attempt, words), (rest,)
            else:
                self._explain(survey)
                return survey, ()
        if self.trouble is not None or found is None:
            raise self.trouble or LabelError("no label words")
        attempt = await self._scored(words, found)
        return self._of(attempt, words), ()

    def _explain(self, survey: Survey) -> None:
        """Say what to do where no read-out that was asked for works."""
        trouble = self.trouble
        if not isinstance(trouble, ProviderRefused) or NONE_WORKS not in trouble.args[0]:
            return
        works = dict.fromkeys(attempt.readout for attempt in survey.attempts if attempt.works)
        hint = "take a server that gives log-probabilities, or a chat model that says the words"
        if works:
            hint = f"what works: --readout {' or '.join(works)}"
        name = self.scorer.name
        self.trouble = ProviderRefused(f"{name}: {NONE_WORKS}", hint=hint, fate="refused")

    async def _scored(self, words: Words, found: Capabilities) -> Attempt:
        """The samples' scores."""
        gate = Gate(self.scorer, words, self.gate.channel, found)
        outcomes = await gate.score(self.texts)
        scores = [outcome for outcome in outcomes if isinstance(outcome, Score)]
        known = [score.mass for score in scores if score.mass is not None]
        mass, name = max(known, default=None), self.scorer.name
        flaw = "" if scores or gate.trouble is None else str(gate.trouble.args[0])
        if not scores:
            self.trouble = ProviderRefused(f"{name}: no usable answer to the samples: {flaw}")
        notes: Notes = ()
        if mass is not None and mass < LOW_MASS:
            share = f"the label words together get a probability of {mass:.2g} on the samples"
            notes = (f"{name}: {share}; take words that the model would say there",)
        return Attempt(
            found.readout or OWN,
            "the log-probabilities that it gives itself",
            works=bool(scores),
            detail=flaw,
            mass=mass,
            censored=sum(sum(score.censored) for score in scores),
            logprobs=tuple(score.logprobs for score in scores),
            notes=notes,
        )

    def _of(self, attempt: Attempt, words: Words) -> Survey:
        """A survey of nothing but `attempt`."""
        url = self.config.model.base_url or ""
        labels = tuple(map(LabelWord, words))
        return Survey(self.scorer.name, url, (), None, labels, "", (attempt,), ())

    def _shown(self, text: Text) -> str:
        causal = self.gate.capabilities.causal
        return text.causal if causal else f"{text.before}{{mask}}{text.after}"
