"""A run in this process whose RUN_DIR is copied as it goes, and resumed from every copy.

    trial = Trial(folder, TASK, settings)
    whole = await trial.whole()                  # copies at events and while requests are in flight
    for moment in whole.moments:
        await trial.check(moment, whole)

A copy is what a kill at that moment leaves: whatever `os.pwrite` had taken, and no more.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bdpl_async.budget import Budget
from bdpl_async.caching.cache import Cache
from bdpl_async.errors import BdplError, RequestFailed, UnusableAnswer
from bdpl_async.events import Event, Finished
from bdpl_async.records import Price, Reply, Request, Text, Usage
from bdpl_async.result import Result
from bdpl_async.run import Run
from bdpl_async.rundir import RunDir
from bdpl_async.saving.journal import Journal
from bdpl_async.scorer import Capabilities
from bdpl_async.task import Task
from bdpl_async.tuning import follow
from bdpl_async.usable import may_improve
from bdpl_providers.simulated import Simulated

__all__ = ["Ended", "Moment", "Remote", "Trial", "same"]

Value = str | int | float | bool | None
PACE = 0.01  # seconds of the fake clock that an answer takes


@dataclass
class Remote:
    """The simulated model as if it were far away, with books of its own.

    Attributes:
        batch: texts in a request.
        bad: of so many texts one makes its request fail, whenever it is sent.
        mute: of so many texts one gets an answer without usable numbers.
        hook: called while a request is in flight.
        sent: requests; `texts`, what stood in them; `answered`, what was answered.
    """

    batch: int = 1
    bad: int = 0
    mute: int = 0
    seed: int = 0
    name: str = "test/remote"
    hook: Callable[[], None] = lambda: None
    sent: int = 0
    texts: Counter[Text] = field(default_factory=Counter)
    answered: Counter[Text] = field(default_factory=Counter)
    now: float = 0.0

    def __post_init__(self) -> None:
        self._inner = Simulated("far")
        self._chance = random.Random(self.seed)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(batch=self.batch, price=Price(1.0, 1.0))

    def clock(self) -> float:
        return self.now

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        return repr((text, labels)).encode()

    async def score(self, request: Request) -> Reply:
        self.sent += 1
        self.texts.update(request.texts)
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        self.hook()
        self.now += PACE
        if any(_falls(text, self.bad, "bad") for text in request.texts):
            raise RequestFailed("test/remote: what stands here breaks it", fate="refused")
        found = await self._inner.score(request)
        scores = [
            UnusableAnswer("test/remote: it said nothing", retryable=_falls(text, 2, "again"))
            if _falls(text, self.mute, "mute")
            else score
            for text, score in zip(request.texts, found.scores, strict=True)
        ]
        pairs = zip(request.texts, scores, strict=True)
        self.answered.update(text for text, score in pairs if not may_improve(score))
        tokens = sum(await self._inner.count(request.texts))
        return Reply(scores, Usage(prompt_tokens=tokens))


def _falls(text: Text, one_of: int, salt: str) -> bool:
    """Whether the text is one of these, the same whenever it is asked."""
    return bool(one_of) and random.Random(f"{salt} {text.before}").randrange(one_of) == 0


@dataclass(frozen=True)
class Moment:
    """A copy of RUN_DIR, and the scorer's books at that time."""

    name: str
    path: Path
    sent: int
    texts: Counter[Text]
    answered: Counter[Text]
    now: float


@dataclass(frozen=True)
class Ended:
    """A run that came to its end."""

    result: Result | BdplError
    scorer: Remote
    moments: list[Moment]


@dataclass
class Trial:
    """One task with its settings, run in `folder`.

    Attributes:
        make: a fresh scorer.
        cache: a fresh cache, or one that is shared, or none.
    """

    folder: Path
    task: Task
    make: Callable[[], Remote] = Remote
    cache: Callable[[], Cache | None] = lambda: None
    most: int = 8  # moments of each kind

    async def whole(self) -> Ended:
        """The run that nobody stops."""
        moments: list[Moment] = []
        scorer, path = self.make(), self.folder / "whole"

        def keep(name: str) -> None:
            number = f"{len(moments)}-{name}"
            copy = self.folder / f"copy-{number}"
            if path.exists():
                _copied(path, copy)
            moments.append(
                Moment(
                    number, copy, scorer.sent, scorer.texts.copy(), scorer.answered.copy(),
                    scorer.now,
                )
            )

        scorer.hook = lambda: keep("flying")
        run = RunDir(path, self.task.config)
        result = await self._through(run, scorer, lambda event: keep(event.type))
        return Ended(result, scorer, moments)

    async def resumed(self, moment: Moment) -> Ended:
        """The run that goes on from a copy."""
        scorer = self.make()
        scorer.now = 7.0 + moment.now
        run = RunDir(moment.path, self.task.config, resumed=True)
        return Ended(await self._through(run, scorer, lambda event: None), scorer, [])

    async def _through(
        self, folder: RunDir, scorer: Remote, hear: Callable[[Event], None]
    ) -> Result | BdplError:
        with folder:
            try:
                run = await Run.open(
                    self.task, scorer, cache=self.cache(), folder=folder, clock=scorer.clock
                )
                return await follow(run, folder, hear)
            except BdplError as error:
                return error


def _copied(path: Path, copy: Path) -> None:
    """Journals first: the checkpoint of any later moment fits to them."""
    copy.mkdir()
    for file in sorted(path.iterdir(), key=lambda file: file.name == "checkpoint.json"):
        if file.suffix == ".log":
            content = file.read_bytes().rstrip(b"\0")
        elif file.name.startswith(".") or not file.is_file():
            continue
        else:
            content = file.read_bytes()
        (copy / file.name).write_bytes(content)


def same(result: Result | BdplError) -> Mapping[str, Any]:
    """All that must be the same, however often the run was stopped."""
    if isinstance(result, BdplError):
        return {"error": str(result)}
    document = result.to_json()
    for name in ("usage", "latency", "spending"):
        del document[name]
    return {name: repr(value) for name, value in document.items()}  # NaN is equal to NaN
