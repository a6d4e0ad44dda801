"""What a prompt does, found out by asking: without each of its tokens, and beside plain phrases.

    effects   score and loss of the prompt without token i, less those of the whole prompt
    phrases   whose label distributions come nearest to the learned prompt's on the same examples

A near phrase makes the model answer alike on these examples. That is nearness of behaviour, and
says nothing about what the tokens mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from bdpl_async.answers import Answers
from bdpl_async.calibration import Offsets
from bdpl_async.evaluation import Evaluation, Gain, predictions
from bdpl_async.losses import log_softmax
from bdpl_async.metrics import METRICS
from bdpl_async.plan import Ask
from bdpl_async.records import Prompt
from bdpl_async.session import Session
from bdpl_async.task import Split

__all__ = ["Dissection", "Effect", "Likeness", "Questions", "Shift", "dissect", "likeness"]

RESAMPLES = 2000
CHUNK = 100  # resamples drawn at a time, so that many examples do not fill the memory
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shift:
    """A mean difference and its 95 % bootstrap interval; both None where nothing was answered."""

    mean: float | None
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What leaving one token out does.

    Attributes:
        position: from 1.
        prompt: what is left.
        score: of what is left.
        gain: its score less the whole prompt's: below 0 where the token helps.
        loss: its mean loss less the whole prompt's: above 0 where the token helps.
        changed: on how many examples the prediction is another.
    """

    position: int
    token: str
    prompt: str
    score: float
    gain: Gain
    loss: Shift
    changed: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a phrase and the learned prompt make the model answer.

    Attributes:
        divergence: mean Jensen-Shannon divergence of the label distributions, nats, 0 to log 2.
        agreement: per cent of the examples with the same prediction.
        n: examples that both got an answer to.
    """

    phrase: str
    divergence: float
    agreement: float
    n: int


@dataclass(frozen=True, slots=True)
class Dissection:
    """The whole prompt's score and mean loss, and what was found; phrases, the nearest first."""

    full: Evaluation
    loss: float | None
    effects: tuple[Effect, ...]
    phrases: tuple[Likeness, ...]


@dataclass(frozen=True, slots=True)
class Questions:
    """Which prompts have to be asked about one learned prompt.

    Attributes:
        offsets: what its run takes off its answers. They are taken off all answers here: what is
            told is the run's own score, and what becomes of it where the prompt alone is changed.
    """

    learned: Prompt
    phrases: tuple[str, ...] = ()
    offsets: Offsets | None = None

    @property
    def shortened(self) -> list[Prompt]:
        """The learned prompt without each of its tokens in turn."""
        tokens = self.learned.tokens
        return [Prompt(tokens[:i] + tokens[i + 1 :]) for i in range(len(tokens))]

    @property
    def foreign(self) -> list[Prompt]:
        """The phrases that are not the learned prompt itself."""
        return [Prompt.of(phrase) for phrase in self.phrases if phrase != self.learned.text]

    @property
    def prompts(self) -> list[Prompt]:
        """All of them, the learned one first."""
        return [self.learned, *self.shortened, *self.foreign]

    def asks(self, split: str, count: int) -> list[Ask]:
        """What `dissect` asks of `count` examples of a split; equal texts are sent once."""
        texts = {prompt.text for prompt in self.prompts}
        bare = [Ask(count, split, filled=False)] if "" in texts else []
        return [Ask(len(texts - {""}) * count, split), *bare]


async def dissect(session: Session, questions: Questions, examples: Split) -> Dissection:
    """Ask all questions on the same examples.

    Raises:
        ProviderRefused: the learned prompt got no usable answer at all.
        BudgetExhausted: failures took more of the budget than was foreseen.
    """
    count, offsets = len(questions.shortened), questions.offsets
    found = await session.logprobs(questions.prompts, examples.examples)
    if offsets is not None:
        found = offsets.applied(found)
    learned, shortened, foreign = found[0], found[1 : count + 1], found[count + 1 :]
    losses = session.loss(found[: count + 1], examples.labels)
    alike = (
        likeness(prompt.text, learned, other)
        for prompt, other in zip(questions.foreign, foreign, strict=True)
    )
    return Dissection(
        full=session.measure(Answers(examples.labels, learned)),
        loss=float(np.nanmean(losses[0])) if np.isfinite(losses[0]).any() else None,
        effects=_effects(session, questions, examples.labels, (learned, shortened, losses)),
        phrases=tuple(
            sorted((one for one in alike if one is not None), key=lambda one: one.divergence)
        ),
    )


def _effects(
    session: Session,
    questions: Questions,
    labels: NDArray[np.int64],
    found: tuple[Floats, Floats, Floats],
) -> tuple[Effect, ...]:
    learned, shortened, losses = found
    whole, tokens = Answers(labels, learned), questions.learned.tokens
    shifts = _shifts(losses[1:] - losses[0], session.config.run.seed)
    effects = []
    for i, prompt in enumerate(questions.shortened):
        left = Answers(labels, shortened[i])
        effects.append(
            Effect(
                position=i + 1,
                token=tokens[i],
                prompt=prompt.text,
                score=METRICS[session.task.metric](left.predictions, labels),
                gain=session.gain(left, whole),
                loss=shifts[i],
                changed=int((left.predictions != whole.predictions).sum()),
            )
        )
    return tuple(effects)


def likeness(phrase: str, learned: Floats, other: Floats) -> Likeness | None:
    """Compare (n, C) answers to the learned prompt and to a phrase; None if no row has both."""
    mine, theirs = predictions(learned), predictions(other)
    both = (mine >= 0) & (theirs >= 0)
    if not both.any():
        return None
    apart = float(_jensen_shannon(learned[both], other[both]).mean())
    agreement = 100 * float((mine == theirs)[both].mean())
    return Likeness(phrase, min(max(apart, 0.0), log(2)), agreement, int(both.sum()))


def _jensen_shannon(first: Floats, second: Floats) -> Floats:
    """(n,) nats between the label distributions of two (n, C) arrays; none has a NaN."""
    sides = log_softmax(first), log_softmax(second)
    middle = np.logaddexp(*sides) - log(2)
    parts = [(np.exp(side) * (side - middle)).sum(axis=1) for side in sides]
    halves: Floats = (parts[0] + parts[1]) / 2
    return halves


def _shifts(differences: Floats, seed: int) -> list[Shift]:
    """Means of (T, n) paired differences, all on the same resamples; a NaN is left out."""
    known = np.isfinite(differences)
    filled = np.where(known, differences, 0.0)
    count = differences.shape[1]
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES // CHUNK):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=CHUNK).astype(np.float64)
        with np.errstate(invalid="ignore"):  # a resample without a single answer
            means.append((weights @ filled.T) / (weights @ known.T))
    draws = np.concatenate(means)
    return [
        _shift(filled[t].sum() / known[t].sum(), draws[:, t])
        if known[t].any()
        else Shift(None, None)
        for t in range(len(differences))
    ]


def _shift(mean: float, draws: Floats) -> Shift:
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return Shift(float(mean), (min(float(low), float(mean)), max(float(high), float(mean))))
