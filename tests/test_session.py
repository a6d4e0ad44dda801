"""A task before a model: probed with filled and empty prompts, measured or refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bdpl_async.errors import (
    BudgetTooSmall,
    ConfigError,
    ProviderError,
    ProviderRefused,
    RequestFailed,
    UnusableAnswer,
)
from bdpl_async.records import Example, Price, Prompt, Reply, Request, Score
from bdpl_async.scorer import Capabilities, Line
from bdpl_async.session import Session
from bdpl_async.task import Task
from tests.workbench import Length, write_task


class Silent(Length):
    """A scorer that answers only texts with an even number of characters."""

    async def score(self, request: Request) -> Reply:
        reply = await super().score(request)
        lengths = [len(text.before) for text in request.texts]
        failed = RequestFailed("too odd")
        pairs = zip(reply.scores, lengths, strict=True)
        return Reply([score if length % 2 == 0 else failed for score, length in pairs])


class Mute(Length):
    """A scorer that never answers."""

    async def score(self, request: Request) -> Reply:
        return Reply([RequestFailed("window too short") for _ in request.texts])


class Probed(Length):
    """A scorer that remembers what it was probed with."""

    seen: Request | None = None

    async def probe(self, request: Request, line: Line) -> Capabilities:
        self.seen = request
        return Capabilities(batch=7)


async def test_the_probe_sees_a_filled_and_an_empty_prompt(tmp_path: Path) -> None:
    """Label words must be readable with and without a prompt, so both are shown."""
    task, scorer = Task.from_toml(write_task(tmp_path)), Probed()
    session = await Session.open(task, scorer, task.config)
    assert scorer.seen is not None
    filled, empty = scorer.seen.texts
    assert filled.before.startswith("prompt prompt ")
    assert not empty.before.startswith("prompt")
    assert session.gate.capabilities.batch == 7


async def test_no_answer_at_all_is_a_refusal_and_no_score_of_zero(tmp_path: Path) -> None:
    """When every text fails the reason is told instead of a number."""
    task = Task.from_toml(write_task(tmp_path))
    session = await Session.open(task, Mute(), task.config)
    with pytest.raises(ProviderRefused, match="window too short"):
        await session.evaluate(Prompt(), task.dev)


async def test_unanswered_texts_are_counted_and_wrong(tmp_path: Path) -> None:
    """A text without an answer is a row of NaN, counts as wrong, and is told."""
    task = Task.from_toml(write_task(tmp_path))
    texts = [task.text(Prompt(), example) for example in task.dev.examples]
    odd = sum(len(text.before) % 2 for text in texts)
    session = await Session.open(task, Silent(), task.config)
    if odd in (0, len(texts)):
        pytest.fail("the rows of the workbench should be of odd and even length")
    found = await session.evaluate(Prompt(), task.dev)
    assert (found.unanswered, found.n) == (odd, len(texts))
    assert found.score <= 1 - odd / len(texts)


async def test_usd_without_a_price_is_refused_unless_the_model_is_local(tmp_path: Path) -> None:
    """A budget in USD needs a price; a model on this machine costs nothing."""
    task = Task.from_toml(write_task(tmp_path), overrides={"budget.usd": 1.0})
    scorer = Length()
    with pytest.raises(ConfigError, match=r"budget\.usd: no price is known"):
        await Session.open(task, scorer, task.config)
    assert scorer.requests == 0

    await Session.open(task, Local(), task.config)


class Local(Length):
    """A scorer on this machine."""

    capabilities = Capabilities(local=True)


class Causal(Length):
    """A scorer that reads up to the mask, and would like to be probed first."""

    capabilities = Capabilities(causal=True)
    probed = False

    async def probe(self, request: Request, line: Line) -> Capabilities:
        self.probed = True
        return self.capabilities


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{text} It was {mask}. {prompt}", r"\{prompt\} stands behind \{mask\}"),
        ("{prompt} It was {mask}. {text}", r"no column of the data stands before \{mask\}"),
    ],
)
async def test_what_a_causal_model_would_not_read_is_refused(
    tmp_path: Path, template: str, what: str
) -> None:
    """Prompt and data must stand before the mask; a masked model reads both sides."""
    task = Task.from_toml(write_task(tmp_path), overrides={"task.template": template})
    scorer = Causal()
    with pytest.raises(ConfigError, match=rf"task\.template: {what}"):
        await Session.open(task, scorer, task.config)
    assert (scorer.requests, scorer.probed) == (0, False)
    await Session.open(task, Length(), task.config)


async def test_the_users_price_wins(tmp_path: Path) -> None:
    """Both halves given are the price, zeros too; else what the provider knows."""

    class Priced(Length):
        capabilities = Capabilities(price=Price(1.0, 2.0))

    path = write_task(tmp_path)
    given = {"model.price_in": 0.0, "model.price_out": 8.0, "budget.usd": 1.0}
    for overrides, expected in (({"budget.usd": 1.0}, (1.0, 2.0)), (given, (0.0, 8.0))):
        task = Task.from_toml(path, overrides=overrides)
        session = Session.prepare(task, Priced(), task.config)
        assert session.gate.channel.terms.price == Price(*expected)


async def test_the_table_of_the_model_rules_the_requests(tmp_path: Path) -> None:
    """Limits, tries, time-out and texts per request are those of [model]."""
    asked = {"rpm": 60.0, "tpm": 1e5, "attempts": 3, "timeout": 9.0, "concurrency": 5}
    overrides = {f"model.{key}": value for key, value in {**asked, "batch_prompts": 4}.items()}
    task = Task.from_toml(write_task(tmp_path), overrides=overrides)
    gate = Session.prepare(task, Length(), task.config).gate
    terms = gate.channel.terms
    assert {key: getattr(terms, key) for key in asked} == asked
    assert gate.capabilities.batch == 4
    assert Session.prepare(task, Local(), task.config).gate.channel.terms.timeout is None


async def test_the_probe_is_planned_for_before_it_is_sent(tmp_path: Path) -> None:
    """What the probe would eat up is refused unsent; after the probe its true cost counts."""

    class Asking(Length):
        capabilities = Capabilities(probes=3)

        async def probe(self, request: Request, line: Line) -> Capabilities:
            await line(partial(self.score, request), [text.before for text in request.texts])
            return self.capabilities

    def prepared(requests: int) -> tuple[Session, Asking]:
        task = Task.from_toml(write_task(tmp_path), overrides={"budget.requests": requests})
        scorer = Asking()
        return Session.prepare(task, scorer, task.config), scorer

    session, scorer = prepared(26)
    with pytest.raises(BudgetTooSmall, match="in 27 requests"):
        session.plan()
    assert scorer.requests == 0
    session, scorer = prepared(27)
    session.plan()
    await session.probe()
    assert session.gate.ledger.used.requests == scorer.requests == 1
    session.plan()


async def test_what_a_run_cannot_do_is_refused_in_python_too(tmp_path: Path) -> None:
    """A setting without an effect is an error, also where no command line checks it."""
    file = write_task(tmp_path)
    file.write_text(file.read_text() + '\n[[models]]\nname = "simulated/demo"\n')
    task = Task.from_toml(file)
    with pytest.raises(ConfigError, match="several models are for compare"):
        await Session.open(task, Length(), task.config)


async def test_losses_are_calibrated_and_answers_are_not(tmp_path: Path) -> None:
    """A constant lean goes out of the losses by the texts asked beside; answers stay raw."""

    class Leaning(Length):
        seen: list[str] = []  # noqa: RUF012

        async def score(self, request: Request) -> Reply:
            self.seen += [text.before for text in request.texts]
            good = [
                2.0 * ("good" in text.before) - ("bad" in text.before) for text in request.texts
            ]
            return Reply([Score((-9.0, -5.0 + one)) for one in good])

    prompts = [Prompt(), Prompt.of("one two")]
    for kind in ("none", "batch", "contextual"):
        overrides = {"optimizer.calibration": kind}
        task, scorer = Task.from_toml(write_task(tmp_path), overrides=overrides), Leaning()
        session = await Session.open(task, scorer, task.config)
        scorer.seen.clear()
        rows = task.dev.examples[:4]
        losses = await session.losses(prompts, rows)
        assert losses.shape == (2, 4)
        assert len(scorer.seen) == 2 * (4 + 3 * (kind == "contextual"))
        assert (losses.mean() > 1.5) == (kind == "none")
        raw = await session.logprobs(prompts, rows)
        assert raw.max() == -3.0
        assert (await session.answers(prompts[0], task.dev)).logprobs.max() == -3.0


class Wordy(Length):
    """It says words and shows no probabilities; of some texts it says none of the labels."""

    capabilities = Capabilities(readout="text")

    async def score(self, request: Request) -> Reply:
        self.requests += 1
        return Reply([self.said(text.before) for text in request.texts])

    def said(self, text: str) -> Score | ProviderError:
        if "10" not in text:
            return RequestFailed("lost")
        if "104" in text:
            return UnusableAnswer("I would not know", retryable=False)
        return Score((-2.3, -0.1) if "good" in text else (-0.1, -2.3))


@pytest.mark.parametrize("loss", ["ce", "hinge"])
async def test_a_word_is_right_or_wrong(tmp_path: Path, loss: str) -> None:
    """Losses are 0 and 1; an answer without a label word is wrong, a lost one is none."""
    task = Task.from_toml(write_task(tmp_path), overrides={"optimizer.loss": loss})
    session = await Session.open(task, Wordy(), task.config)
    rows = [Example({"text": text}, label) for text, label in SAID.values()]
    found = dict(zip(SAID, (await session.losses([Prompt()], rows))[0], strict=True))
    assert (found["right"], found["also right"], found["wrong"], found["no label"]) == (0, 0, 1, 1)
    assert np.isnan(found["lost"])
    measured = await session.evaluate(Prompt(), task.dev)
    assert (measured.unanswered, measured.score) == (1, 7 / 8)


SAID = {
    "right": ("good 10", 1),
    "also right": ("bad 10", 0),
    "wrong": ("good 10", 0),
    "no label": ("good 104", 1),
    "lost": ("good 2", 1),
}


@pytest.mark.parametrize("key", ["calibration", "method"])
async def test_words_cannot_be_calibrated(tmp_path: Path, key: str) -> None:
    """It is refused unsent where it is known that words are read, else once the probe knows it."""
    value = {"calibration": "batch", "method": "calibration"}[key]

    class Found(Length):
        async def probe(self, request: Request, line: Line) -> Capabilities:
            return Capabilities(readout="text")

    for scorer, read in ((Wordy(), "auto"), (Length(), "text"), (Found(), "auto")):
        overrides = {f"optimizer.{key}": value, "model.readout": read}
        task = Task.from_toml(write_task(tmp_path), overrides=overrides)
        with pytest.raises(
            ConfigError, match=rf"optimizer\.{key} = '{value}': mine/length is read by"
        ):
            await Session.open(task, scorer, task.config)
        assert scorer.requests == 0


async def test_a_causal_model_reads_the_template_for_it(tmp_path: Path) -> None:
    """A task that has a template for causal models is asked by it where the model is one."""
    own = {"task.causal": "{prompt} {text} So it was {mask}"}
    task = Task.from_toml(write_task(tmp_path), overrides=own)
    row = task.dev.examples[0]
    for scorer, words in ((Causal(), "So it was"), (Length(), "It was")):
        session = Session.prepare(task, scorer, task.config)
        assert words in session.task.text(Prompt(), row).before


async def test_log_probabilities_stand_by_prompt_and_example(tmp_path: Path) -> None:
    """The array is (prompts, examples, labels), each cell that of its own text."""

    class Echo(Length):
        async def score(self, request: Request) -> Reply:
            return Reply([Score((-float(len(t.before)), -1000.0)) for t in request.texts])

    task = Task.from_toml(write_task(tmp_path))
    session = await Session.open(task, Echo(), task.config)
    prompts = [Prompt(), Prompt.of("one two"), Prompt.of("three")]
    array = await session.logprobs(prompts, task.dev.examples)
    assert array.shape == (3, len(task.dev), 2)
    for i, prompt in enumerate(prompts):
        for j, example in enumerate(task.dev.examples):
            assert array[i, j, 0] == -len(task.text(prompt, example).before)
