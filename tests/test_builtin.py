"""The model that ships: small, offline, one token a label word, and it follows its prompt."""

from __future__ import annotations

import statistics
import time
from typing import NoReturn

import pytest

import bdpl_async as bdpl
from bdpl_async.session import Session
from bdpl_providers import connect
from bdpl_providers.roberta import BUILTIN, Roberta

pytest.importorskip("torch", reason="the local model needs the extra: pip install '.[local]'")

LABEL_WORDS = (
    ("terrible", "great"),
    ("no", "maybe", "yes"),
    ("wrong", "right"),
    ("background", "comparison", "extension", "future", "motivation", "use"),
    ("comparison", "conjunction", "evaluation", "feature", "kind", "part", "function"),
    ("background", "conclusion", "method", "objective", "result", "other"),
    ("neutral", "biased"),
)
MANUAL = (
    "a film review:",
    "movie review sentiment",
    "what is the opinion of this review",
    "customer review rating",
)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


async def right(session: Session, prompt: str) -> float:
    """Accuracy of one prompt on all examples of `reviews`, train, dev and test together."""
    task = session.task
    examples = [*task.train.examples, *task.dev.examples, *task.test.examples]
    logprobs = (await session.logprobs([bdpl.Prompt.of(prompt)], examples))[0]
    hits = [int(row.argmax()) == e.label for row, e in zip(logprobs, examples, strict=True)]
    return statistics.mean(hits)


async def sends_nothing(exchange: object, texts: object) -> NoReturn:
    """A line that a model on this machine has no use for."""
    pytest.fail("a local probe asked for a request")


def test_the_shipped_model_is_small_and_safe() -> None:
    """At most 15 MB, safetensors and JSON, nothing that could run."""
    files = [path for path in BUILTIN.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 15_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".txt"}
    assert (BUILTIN / "README.md").is_file()


@pytest.mark.parametrize("words", LABEL_WORDS, ids=lambda words: words[0])
async def test_every_label_word_is_one_token(words: tuple[str, ...]) -> None:
    """The label words of all built-in tasks can be read off the built-in model."""
    async with Roberta("builtin") as scorer:
        labels = tuple(f" {word}" for word in words)
        await scorer.probe(bdpl.Request((bdpl.Text("It was ", "."),), labels), sends_nothing)


async def test_the_model_listens_to_the_prompt() -> None:
    """Asked for an opinion it reads reviews better than when it is asked nothing."""
    task = bdpl.Task.from_toml("reviews")
    async with connect("roberta/builtin") as scorer:
        session = await Session.open(task, scorer, task.config)
        empty = await right(session, "")
        asked = [await right(session, prompt) for prompt in MANUAL]
        opposite = await right(session, "the opposite of the review, reverse, contrary, not")
    assert statistics.mean(asked) >= empty + 0.04
    assert opposite < statistics.mean(asked) - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_the_main_job_learns(seed: int) -> None:
    """On `reviews` the learned prompt is 5 points above the empty one, within three minutes."""
    task = bdpl.Task.from_toml("reviews")
    began = time.monotonic()
    async with connect("roberta/builtin") as scorer:
        result = await bdpl.tune(task, scorer, seed=seed)
    assert result.test is not None
    assert result.baseline.test is not None
    assert result.test.score >= result.baseline.test.score + 0.05
    assert time.monotonic() - began < 180


@pytest.mark.slow
async def test_the_same_seed_learns_the_same_prompt_bit_for_bit() -> None:
    """Two runs with one seed on the real model agree in every loss."""
    task = bdpl.Task.from_toml("reviews")
    results = []
    for _ in range(2):
        async with connect("roberta/builtin") as scorer:
            results.append(await bdpl.tune(task, scorer, seed=0, steps=20))
    assert results[0].losses == results[1].losses
    assert results[0].prompt == results[1].prompt
    assert results[0].test == results[1].test


def test_the_example_data_is_there() -> None:
    """16 + 16 training and dev reviews, and a few hundred to test on, with balanced labels."""
    task = bdpl.Task.from_toml("reviews")
    assert [len(task.train), len(task.dev)] == [32, 32]
    assert len(task.test) >= 200
    for split in (task.train, task.dev, task.test):
        assert split.labels.mean() == 0.5
    texts = [e.columns["text"] for s in (task.train, task.dev, task.test) for e in s.examples]
    assert len(set(texts)) == len(texts)
