"""Models that say a label word and show no probabilities: honest rewards, from end to end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from bdpl_async.budget import Budget
from bdpl_async.errors import ProviderRefused, UnusableAnswer
from bdpl_async.events import Event, Finished, Note, Probed
from bdpl_async.intervals import wilson
from bdpl_async.records import Reply, Request, Score
from bdpl_async.scorer import Capabilities
from bdpl_async.task import Task
from bdpl_async.tuning import tune
from bdpl_providers.simulated import Simulated
from tests.faultserver import FaultServer, Manners
from tests.workbench import command, rows, write_task

Capsys = pytest.CaptureFixture[str]
WORDS = [f"w{n}" for n in range(24)]
PLANTED = {"w3": 1.5, "w11": 1.2, "w17": 1.0, "w5": -1.0, "w20": -1.5}


@dataclass
class Saying:
    """The simulated model, which keeps its probabilities to itself."""

    name: str = "test/saying"
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(batch=64, readout="text")
    )
    inner: Simulated = field(
        default_factory=lambda: Simulated(utility=lambda word: PLANTED.get(word, 0.0), bias=-3.0)
    )

    async def score(self, request: Request) -> Reply:
        reply = await self.inner.score(request)
        best = [
            score.logprobs.index(max(score.logprobs))
            for score in reply.scores
            if isinstance(score, Score)
        ]
        return Reply([Score((-0.1, -2.3) if one == 0 else (-2.3, -0.1)) for one in best])


def planted(folder: Path) -> Task:
    """A task whose candidates are mostly idle; its empty prompt gets half of the rows right."""
    path = write_task(folder, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"'))
    for name, count, offset in (("train", 100, 0), ("dev", 32, 200), ("test", 100, 300)):
        (folder / f"{name}.tsv").write_text(rows(count, offset))
    (folder / "words.txt").write_text("\n".join(WORDS))
    told: dict[str, str | int] = {"prompt.vocabulary": "words.txt", "prompt.length": 5}
    told |= {"optimizer.samples": 20, "optimizer.batch": 4, "optimizer.steps": 1000}
    return Task.from_toml(path, overrides=told)


async def test_a_run_learns_from_right_and_wrong(tmp_path: Path) -> None:
    """The planted words are found by rewards of 0 and 1 alone, and the run says what it had."""
    events: list[Event] = []
    task = planted(tmp_path)
    result = await tune(task, Saying(), budget=Budget(prompts=4000), on_event=events.append)
    assert result.test is not None
    assert result.baseline.test is not None
    assert result.baseline.test.score == 0.5
    assert result.test.score > 0.9
    assert all(loss * 20 * 4 == pytest.approx(round(loss * 20 * 4)) for loss in result.losses)
    assert min(result.losses) < max(result.losses)
    assert (result.calibration, result.chosen_from is not None) == (None, True)
    said = [event.message for event in events if isinstance(event, Note)]
    assert sum("every loss is 0 or 1" in message for message in said) == 1


async def test_the_interval_is_wilsons(tmp_path: Path) -> None:
    """What is scored by words has the interval that every accuracy has."""
    result = await tune(planted(tmp_path), Saying(), steps=2)
    for found in (result.dev, result.test, result.baseline.dev):
        assert found is not None
        assert found.ci95 == wilson(round(found.score * found.n), found.n)


@dataclass
class Picky:
    """It says a label word where the prompt holds one of its words, and else something else."""

    name: str = "test/picky"
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(batch=1, readout="text")
    )
    words: tuple[str, ...] = ("w3", "w11", "w17")

    async def score(self, request: Request) -> Reply:
        return Reply([self.said(text.before.split()) for text in request.texts])

    def said(self, text: list[str]) -> Score | UnusableAnswer:
        if not set(self.words) & set(text):
            return UnusableAnswer("well, hard to say", retryable=False)
        return Score((-2.3, -0.1) if "good" in text else (-0.1, -2.3))


async def test_a_prompt_that_gets_no_label_word_scores_nothing(tmp_path: Path) -> None:
    """Words that are no label are wrong answers and no fault of the model: a search ends them."""
    result = await tune(planted(tmp_path), Picky(), budget=Budget(prompts=3000), seed=1)
    assert result.baseline.test is not None
    assert result.test is not None
    assert (result.baseline.test.score, result.baseline.test.unanswered) == (0.0, 100)
    assert (result.test.score, result.stop_reason) == (1.0, "budget")


async def test_a_model_that_never_says_a_label_word_is_given_up(tmp_path: Path) -> None:
    """The budget is not spent on a model from which nothing was ever learned."""
    events: list[Event] = []
    with pytest.raises(ProviderRefused, match="no usable answer in 5 updates running"):
        await tune(
            planted(tmp_path),
            Picky(words=()),
            budget=Budget(prompts=3000),
            on_event=events.append,
        )
    assert isinstance(events[-1], Finished)
    assert events[-1].result.steps_done == 5


@pytest.mark.parametrize(
    ("name", "manners", "more"),
    [
        ("vllm/fake", Manners(), ("--readout", "text")),
        ("compatible/fake", Manners(logprobs=False), ()),
    ],
    ids=["asked for", "fallen back to"],
)
def test_a_server_that_only_writes(
    tmp_path: Path, capsys: Capsys, name: str, manners: Manners, more: tuple[str, ...]
) -> None:
    """A run against such a server ends well, is told what it is, and its losses are 0 or 1."""
    task = write_task(tmp_path)
    with FaultServer.in_thread(manners) as server:
        where = ("--model", name, "--base-url", server.url, "--cache", "none")
        out = tmp_path / "run"
        done = command(capsys, "run", task, *where, *more, "--out", out, "--ui", "plain")
        assert done.code == 0
        assert "every loss is 0 or 1" in " ".join((done.out + done.err).split())
        before = server.books.prompts
        bad = command(capsys, "run", task, *where, *more, "--set", "optimizer.calibration=batch")
    assert bad.code == 2
    assert "optimizer.calibration = 'batch'" in bad.err
    assert (server.books.prompts == before) == bool(more)  # a fall-back shows at the probe
    result = orjson.loads((out / "result.json").read_bytes())
    assert all(loss * 8 == round(loss * 8) for loss in result["losses"])
    lines = (out / "events.jsonl").read_text().splitlines()
    probed = [orjson.loads(line) for line in lines if '"probed"' in line]
    assert [event["readout"] for event in probed if event["type"] == Probed.type] == ["text"]
