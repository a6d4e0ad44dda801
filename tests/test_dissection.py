"""The rules of `bdpl_async.studies.dissection`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bdpl_async.errors import ProviderRefused, RequestFailed
from bdpl_async.plan import total
from bdpl_async.records import Example, Prompt, Reply, Request, Score
from bdpl_async.session import Session
from bdpl_async.studies.dissection import Questions, dissect, likeness
from bdpl_async.task import Split, Task
from tests.workbench import write_task

NAN = float("nan")


class Marked:
    """Says the second label where "key" stands in the text, else the first; and how surely."""

    name = "mine/marked"

    def __init__(self, mute: str = "no such word") -> None:
        self.texts: list[str] = []
        self._mute = mute

    async def score(self, request: Request) -> Reply:
        """Answer, or not where the text has the mute word."""
        self.texts += [text.before for text in request.texts]
        scores = [
            RequestFailed("mute")
            if self._mute in text.before
            else Score((-2.0, -0.1) if "key" in text.before else (-0.5, -1.5))
            for text in request.texts
        ]
        return Reply(scores)


async def opened(tmp_path: Path, scorer: Marked, *more: tuple[str, str]) -> Session:
    task = Task.from_toml(write_task(tmp_path, *more))
    return await Session.open(task, scorer, task.config)


async def test_the_token_that_matters_is_found(tmp_path: Path) -> None:
    """Without it predictions, score and loss change; without an idle one nothing does."""
    session = await opened(tmp_path, Marked())
    found = await dissect(session, Questions(Prompt(("idle", "key"))), session.task.dev)
    idle, key = found.effects
    assert (idle.prompt, key.prompt) == ("key", "idle")
    assert (idle.changed, idle.gain.score, idle.loss.mean) == (0, 0.0, 0.0)
    assert key.changed == len(session.task.dev) == 8
    assert (found.full.score, key.score) == (0.5, 0.5)  # half of the labels are ones
    losses = [math.log(1 + math.exp(x)) for x in (-1.9, 1.9, 1.0, -1.0)]
    assert found.loss == pytest.approx((losses[0] + losses[1]) / 2)
    assert key.loss.mean == pytest.approx((losses[2] + losses[3] - losses[0] - losses[1]) / 2)
    assert key.loss.ci95 is not None
    assert key.loss.ci95[0] < (key.loss.mean or 0.0) < key.loss.ci95[1]


async def test_each_text_is_asked_once_and_counted_before(tmp_path: Path) -> None:
    """n + 1 prompts and the phrases, equal ones once; the asks foretell what is sent."""
    scorer = Marked()
    session = await opened(tmp_path, scorer)
    questions = Questions(Prompt(("key", "key")), ("a phrase", "key key", "key"))
    cost = total(session.gate.forecast.cost, questions.asks("dev", 8))
    before = session.gate.ledger.used.prompts
    await dissect(session, questions, session.task.dev)
    assert session.gate.ledger.used.prompts - before == cost.prompts == 3 * 8
    assert len(set(scorer.texts)) == len(scorer.texts)


async def test_a_single_token_is_compared_with_no_prompt(tmp_path: Path) -> None:
    """What is left of it is the empty prompt; a prompt without tokens has no effects."""
    session = await opened(tmp_path, Marked())
    one = Questions(Prompt(("key",)))
    assert [ask.filled for ask in one.asks("dev", 8)] == [True, False]
    (effect,) = (await dissect(session, one, session.task.dev)).effects
    assert (effect.prompt, effect.changed) == ("", 8)
    none = await dissect(session, Questions(Prompt(), ("key",)), session.task.dev)
    assert none.effects == ()
    assert none.phrases[0].agreement == 0.0
    cost = total(session.gate.forecast.cost, Questions(Prompt()).asks("dev", 8))
    assert (cost.requests, cost.prompts) == (8, 8)


async def test_phrases_are_sorted_by_nearness_of_behaviour(tmp_path: Path) -> None:
    """The one that makes the model answer the same comes first; the prompt itself is no phrase."""
    session = await opened(tmp_path, Marked())
    questions = Questions(Prompt(("key",)), ("far away", "a key", "key"))
    found = (await dissect(session, questions, session.task.dev)).phrases
    assert [(one.phrase, one.agreement) for one in found] == [("a key", 100.0), ("far away", 0.0)]
    assert found[0].divergence == pytest.approx(0.0, abs=1e-12)
    assert 0.1 < found[1].divergence < math.log(2)


async def test_what_got_no_answer_is_left_out_of_losses(tmp_path: Path) -> None:
    """The mean is over examples that both prompts got an answer to, and unknown without any."""
    scorer = Marked(mute="mute chair")
    session = await opened(tmp_path, scorer)
    texts = ("chair", "soup", "chair", "soup")
    split = Split(tuple(Example({"text": t}, i % 2) for i, t in enumerate(texts)))
    first, second = (await dissect(session, Questions(Prompt(("key", "mute"))), split)).effects
    assert first.loss.mean is not None  # "mute chair" is never answered, "mute soup" is
    assert second.loss.mean == pytest.approx(0.0)
    assert second.changed == 2
    silent = Split(split.examples[::2])
    _, other = (await dissect(session, Questions(Prompt(("mute", "key"))), silent)).effects
    assert (other.loss.mean, other.loss.ci95) == (None, None)


async def test_a_prompt_without_any_answer_is_refused(tmp_path: Path) -> None:
    """There is nothing to take apart; a phrase without one is just not among the phrases."""
    session = await opened(tmp_path, Marked(mute="mute"))
    questions = Questions(Prompt(("key",)), ("mute",))
    assert (await dissect(session, questions, session.task.dev)).phrases == ()
    with pytest.raises(ProviderRefused, match="no usable answer"):
        await dissect(session, Questions(Prompt(("mute",))), session.task.dev)


def test_divergence_is_of_the_label_distributions_alone() -> None:
    """0 for equal shares whatever their mass, log 2 for opposite ones, symmetric between."""
    near = likeness("x", np.array([[-1.0, -2.0]]), np.array([[-5.0, -6.0]]))
    assert near is not None
    assert near.divergence == pytest.approx(0.0, abs=1e-12)
    ends = np.array([[0.0, -np.inf]]), np.array([[-np.inf, 0.0]])
    far = likeness("x", *ends)
    assert far is not None
    assert far.divergence == pytest.approx(math.log(2))
    assert far.agreement == 0.0
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 20, 3))
    forth, back = likeness("x", one, other), likeness("x", other, one)
    assert forth is not None
    assert back is not None
    assert forth.divergence == pytest.approx(back.divergence)


def test_divergence_is_the_mean_of_two_kullback_leibler_divergences() -> None:
    """By its definition, of shares 3:1 and 1:1."""
    p, q = np.array([0.75, 0.25]), np.array([0.5, 0.5])
    m = (p + q) / 2
    expected = (float((p * np.log(p / m)).sum()) + float((q * np.log(q / m)).sum())) / 2
    found = likeness("x", np.log(p)[None], np.log(q)[None])
    assert found is not None
    assert found.divergence == pytest.approx(expected)


def test_rows_without_an_answer_are_not_compared() -> None:
    """They count neither for agreement nor for divergence; without any other row there is none."""
    one = np.array([[-1.0, -2.0], [NAN, NAN], [-1.0, -2.0]])
    other = np.array([[-1.0, -2.0], [-2.0, -1.0], [NAN, NAN]])
    found = likeness("x", one, other)
    assert found is not None
    assert (found.n, found.agreement) == (1, 100.0)
    assert likeness("x", one[1:2], other[1:2]) is None
