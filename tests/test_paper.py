"""The paper's own update, as the released scripts mean it; what it shares is in test_policy."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bdpl_async.config import Config
from bdpl_async.data.sampling import minibatch
from bdpl_async.events import Step
from bdpl_async.methods import Method, make_method
from bdpl_async.methods.policy_search import PolicySearch
from bdpl_async.paper import PaperPolicy
from bdpl_async.records import Prompt, Reply, Request, Score
from bdpl_async.run import Run
from bdpl_async.task import Task

Floats = NDArray[np.float64]


def test_equal_losses_leave_the_papers_first_step_uniform() -> None:
    """Weight decay pulls all tokens alike, so the projection puts a uniform row back."""
    policy = PaperPolicy(2, 4, lr=0.1)
    policy.tell(np.array([[0, 1], [2, 3]]), np.array([5.0, 5.0]))
    np.testing.assert_allclose(policy.probabilities, 0.25, rtol=0, atol=1e-16)


@dataclass
class Reference:
    """The paper's method in a few lines, sharing nothing with the code under test.

    Gradient of section 3.3 with the derivative spelled out, clip at norm 3, AdamW, projection.
    """

    p: Floats
    lr: float
    decay: float

    def __post_init__(self) -> None:
        self.m, self.v, self.t = np.zeros_like(self.p), np.zeros_like(self.p), 0

    def draw(self, uniform: Floats) -> list[list[int]]:
        """Samples (I, n): the first token whose cumulative probability exceeds the number."""
        sums = [list(accumulate(row)) for row in self.p.tolist()]
        return [[bisect_right(s, u) for s, u in zip(sums, us, strict=True)] for us in uniform]

    def gradient(self, samples: list[list[int]], losses: list[float]) -> Floats:
        """``1/(I-1) sum_k (L_k - L_avg) d log P / d p_j``: +1/p_j where j was drawn, else -1/p_j.

        Weights are whole numbers, so that what cancels, cancels: Adam would walk on a residue.
        Where p_j is zero, 1/p_j has no value, j is never drawn, and its derivative is zero.
        """
        count, scale = len(losses), 2**60
        whole = [int(loss * scale) for loss in losses]
        weights = [count * loss - sum(whole) for loss in whole]  # I 2^60 (L_k - L_avg)
        g = np.zeros_like(self.p)
        for i, j in np.ndindex(g.shape):
            drawn = zip(weights, samples, strict=True)
            signed = sum(w if sample[i] == j else -w for w, sample in drawn)
            if self.p[i, j] > 0:
                g[i, j] = signed / (count * (count - 1) * scale) / self.p[i, j]
        return g

    def tell(self, samples: list[list[int]], losses: list[float]) -> None:
        """One update of the probabilities."""
        g = self.gradient(samples, losses)
        g *= min(1.0, 3.0 / (np.sqrt((g**2).sum()) + 1e-6))
        self.t += 1
        self.m, self.v = 0.9 * self.m + 0.1 * g, 0.999 * self.v + 0.001 * g**2
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        p = self.p * (1 - self.lr * self.decay)
        self.p = bisected(p - self.lr * m / (np.sqrt(v) + 1e-8))


def bisected(p: Floats) -> Floats:
    """The nearest point of the simplex is max(p - t, 0), with t such that a row sums to one."""
    low, high = p.min(axis=1, keepdims=True) - 1, p.max(axis=1, keepdims=True)
    for _ in range(100):
        t = (low + high) / 2
        over = np.maximum(p - t, 0).sum(axis=1, keepdims=True) > 1
        low, high = np.where(over, t, low), np.where(over, high, t)
    nearest: Floats = np.maximum(p - high, 0)
    return nearest


@dataclass(frozen=True)
class Setting:
    """One of the released settings; `epochs` over 32 examples, 16 of each of two classes."""

    lr: float
    decay: float
    length: int
    size: int
    batch: int
    epochs: int

    @property
    def reference(self) -> Reference:
        return Reference(np.full((self.length, self.size), 1 / self.size), self.lr, self.decay)

    @property
    def policy(self) -> PaperPolicy:
        return PaperPolicy(self.length, self.size, lr=self.lr, weight_decay=self.decay)

    @property
    def steps(self) -> int:
        return self.epochs * (32 // min(self.batch, 32))


ROBERTA = Setting(lr=1e-4, decay=0.1, length=10, size=200, batch=128, epochs=30)
GPT = Setting(lr=2e-4, decay=0.0, length=20, size=50, batch=4, epochs=10)
SETTLING = Setting(lr=0.02, decay=0.1, length=3, size=6, batch=4, epochs=25)
SETTINGS = pytest.mark.parametrize(
    "setting", [ROBERTA, GPT, SETTLING], ids=["roberta", "gpt", "to zeros"]
)


def assert_close(actual: Floats, expected: Floats) -> None:
    """Equal but for rounding, which AdamW divides by no less than 1e-8 of a gradient."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-11)


@SETTINGS
def test_the_papers_policy_equals_a_plain_reference(setting: Setting) -> None:
    """Gradient, clip, AdamW with decoupled decay, projection: as in the paper, step after step."""
    rng, policy, reference = np.random.default_rng(7), setting.policy, setting.reference
    for _ in range(setting.steps):
        samples, losses = policy.ask(rng, 20), 0.5 + rng.random(20)
        policy.tell(samples, losses)
        reference.tell(samples.tolist(), losses.tolist())
        assert_close(policy.probabilities, reference.p)
    assert np.ptp(reference.p) > 10 * setting.lr
    assert (reference.p == 0).any() == (setting is SETTLING)


def margin(tokens: Sequence[int], row: int) -> float:
    """How far the scripted model leans to " yes" (nats), by the prompt and the number of a text."""
    return math.fsum(math.sin(3 * j + i) + 0.3 * math.cos(j * row) for i, j in enumerate(tokens))


class Scripted:
    """A model that answers by `margin`; its texts are ``w3 w1 ... text 17 means``."""

    name = "test/scripted"

    async def score(self, request: Request) -> Reply:
        return Reply([self._score(text.before.split()) for text in request.texts])

    def _score(self, words: list[str]) -> Score:
        x = margin([int(word[1:]) for word in words[:-3]], int(words[-2]))
        return Score((-math.log1p(math.exp(x)), -math.log1p(math.exp(-x))))


def loss(tokens: Sequence[int], rows: Sequence[int]) -> float:
    """Mean cross-entropy of the scripted model; odd texts are " yes"."""
    signed = [margin(tokens, row) * (1 if row % 2 else -1) for row in rows]
    return math.fsum(math.log1p(math.exp(-x)) for x in signed) / len(rows)


def scripted_task(folder: Path, setting: Setting) -> Task:
    """32 texts to learn from and 32 others to choose on, at a setting."""
    for name, first in (("train", 0), ("dev", 32)):
        rows = (f"text {n}\t{n % 2}" for n in range(first, first + 32))
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows, ""]))
    (folder / "words.txt").write_text("\n".join(f"w{j}" for j in range(setting.size)))
    (folder / "task.toml").write_text(
        f"""
        [task]
        name = "t"
        train = "train.tsv"
        dev = "dev.tsv"
        template = "{{prompt}} {{text}} means {{mask}}"
        labels = {{ 0 = "no", 1 = "yes" }}
        [prompt]
        length = {setting.length}
        vocabulary = "words.txt"
        vocabulary_size = {setting.size}
        [optimizer]
        method = "bdpl-paper"
        samples = 20
        batch = {setting.batch}
        steps = {setting.steps}
        lr = {setting.lr}
        finalists = 1
        """
    )
    return Task.from_toml(folder / "task.toml", seed=SEED)


SEED = 3
STEP = 1  # names the random stream of the updates in a run


@SETTINGS
async def test_a_run_at_the_released_settings_follows_the_reference(
    tmp_path: Path, setting: Setting
) -> None:
    """Losses, probabilities and best prompt of a whole run are the reference's, step by step.

    A run decays weights as the RoBERTa scripts do; the GPT scripts' Adam is handed in.
    """
    task, reference = scripted_task(tmp_path, setting), setting.reference
    methods: list[Method] = []

    def make(config: Config, words: tuple[str, ...], updates: int, start: Prompt | None) -> Method:
        released = make_method(config, words, updates, start)
        handed = PolicySearch(setting.policy, words)
        methods.append(released if setting.decay else handed)
        return methods[-1]

    run = await Run.open(task, Scripted(), make=make)
    number = 0
    async for event in run.events():
        if not isinstance(event, Step):
            continue
        batch = minibatch(task.train.labels.tolist(), min(setting.batch, 32), number, SEED)
        rows = [int(task.train.examples[i].columns["text"].split()[1]) for i in batch]
        uniform = np.random.default_rng([SEED, STEP, number]).random((20, setting.length))
        samples = reference.draw(uniform)
        losses = [loss(tokens, rows) for tokens in samples]
        reference.tell(samples, losses)
        number += 1
        assert event.loss == pytest.approx(np.mean(losses), rel=1e-12)
        live = methods[-1]
        assert isinstance(live, PolicySearch)
        assert_close(live.probabilities, reference.p)
        best = [int(word[1:]) for word in event.prompt.split()]
        likeliest = reference.p.max(axis=1)  # Adam's first steps are all alike: there are ties
        assert_close(reference.p[range(setting.length), best], likeliest)
    result = run.result()
    assert (number, result.steps_done, result.stop_reason) == (setting.steps, number, "steps")
    assert result.tokens == tuple(f"w{j}" for j in reference.p.argmax(axis=1))


def test_a_settled_row_stays_finite_where_the_released_code_divides_by_zero() -> None:
    """Rows with zeros in them, drawn from again and again, never give NaN or infinity."""
    policy = PaperPolicy(2, 3, lr=0.5)
    rng = np.random.default_rng(0)
    for _ in range(300):
        samples = policy.ask(rng, 4)
        policy.tell(samples, -(samples == 1).sum(axis=1).astype(np.float64) + 0.01 * rng.random(4))
        assert np.isfinite(policy.probabilities).all()
        np.testing.assert_allclose(policy.probabilities.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert (policy.probabilities == 0).any()


def test_at_the_released_learning_rate_a_row_hardly_moves() -> None:
    """At 1e-4 a hundred updates take a token of 200 from 0.005 to 0.015 at the very most."""
    policy = PaperPolicy(1, 200)
    samples = np.arange(20)[:, None]
    for _ in range(100):
        policy.tell(samples, np.arange(20, dtype=np.float64))
    assert 0.005 < policy.probabilities.max() <= 0.005 + 100 * 1.1e-4
