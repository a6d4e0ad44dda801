"""A run in this process whose RUN_DIR is copied as it goes, and resumed from the copies.

    trial = Trial(folder, task)
    whole = await trial.whole()          # copies after events and while requests are in flight
    for moment in whole.moments:
        check_resumed(whole, moment, await trial.resumed(moment))

A copy is what a kill at that moment leaves: whatever the files had taken, and no more.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bdpl_async.caching.cache import Cache
from bdpl_async.errors import BdplError, RequestFailed, UnusableAnswer
from bdpl_async.events import Event, Step
from bdpl_async.records import Price, Reply, Request, Text, Usage
from bdpl_async.result import Result
from bdpl_async.run import Run
from bdpl_async.rundir import RunDir
from bdpl_async.scorer import Capabilities
from bdpl_async.task import Task
from bdpl_async.tuning import follow
from bdpl_async.usable import may_improve
from bdpl_providers.simulated import Simulated

__all__ = ["PACE", "Ended", "Moment", "Remote", "Trial", "check_paid", "check_resumed", "same"]

FREE = ("usage", "latency", "spending")
"""What a kill may change: what was in flight counts, and time went by."""
PACE = 0.01  # seconds of the fake clock that an answer takes


@dataclass
class Remote:
    """The simulated model as if it were far away, with books of its own.

    Attributes:
        batch: texts in a request.
        bad: of so many texts one makes its request fail, whenever it is sent.
        mute: of so many texts one gets an answer without usable numbers.
        hook: called while a request is in flight.
        sent: requests; `texts`, what stood in them; `answered`, what was answered, as soon as a
            kill takes it from nobody any more.
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
        told = [text for text, score in pairs if not may_improve(score)]
        # Who hears it writes it down before the loop's next turn but one.
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: loop.call_soon(self.answered.update, told))
        tokens = sum(await self._inner.count(request.texts))
        return Reply(scores, Usage(prompt_tokens=tokens))


def _falls(text: Text, one_of: int, salt: str) -> bool:
    """Whether the text is one of these, the same whenever it is asked."""
    return bool(one_of) and random.Random(f"{salt} {text.before}").randrange(one_of) == 0


@dataclass(frozen=True)
class Moment:
    """A copy of RUN_DIR, what was told by then, and the scorer's books."""

    name: str
    kind: str
    path: Path
    steps: int
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
    """One task, run in `folder`.

    Attributes:
        make: a fresh scorer.
        cache: a fresh cache, or one that is shared, or none.
        share: of all moments that are copied; each kind's first one is.
    """

    folder: Path
    task: Task
    make: Callable[[], Remote] = Remote
    cache: Callable[[], Cache | None] = lambda: None
    share: float = 0.05

    async def whole(self) -> Ended:
        """The run that nobody stops."""
        folder = RunDir(self.folder / "whole", self.task.config)
        return await self._run(folder, self.make(), random.Random(0))

    async def resumed(self, moment: Moment) -> Ended:
        """The run that goes on from a copy, and is copied as well."""
        scorer = self.make()
        scorer.now = moment.now + 7.0  # while nothing ran
        folder = RunDir(moment.path, self.task.config, resumed=True)
        return await self._run(folder, scorer, random.Random(moment.name), moment)

    async def _run(
        self, folder: RunDir, scorer: Remote, chance: random.Random, after: Moment | None = None
    ) -> Ended:
        moments: list[Moment] = []
        names: Counter[str] = Counter()
        sent = after.sent if after else 0

        def keep(name: str) -> None:
            names[name] += 1
            if (names[name] > 1 and chance.random() > self.share) or not folder.path.exists():
                return
            copy = folder.path.with_name(f"{folder.path.name}-{len(moments)}")
            _copied(folder.path, copy)
            books = sent + scorer.sent, scorer.texts.copy(), scorer.answered.copy(), scorer.now
            moments.append(Moment(f"{copy.name} {name}", name, copy, names[Step.type], *books))

        scorer.hook = lambda: keep("in flight")
        return Ended(await self._through(folder, scorer, lambda e: keep(e.type)), scorer, moments)

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
    """The checkpoint last, which a thread writes; journals that only older ones need may vanish."""
    copy.mkdir()
    for file in sorted(path.iterdir(), key=lambda file: file.name == "checkpoint.json"):
        if file.name.startswith(".") or not file.is_file():
            continue
        with suppress(FileNotFoundError):
            content = file.read_bytes()
            (copy / file.name).write_bytes(
                content.rstrip(b"\0") if file.suffix == ".log" else content
            )


def same(result: Result | BdplError) -> dict[str, str]:
    """All that must be the same, however often the run was stopped."""
    if isinstance(result, BdplError):
        return {"error": str(result)}
    document = result.to_json()
    return {name: repr(value) for name, value in document.items() if name not in FREE}  # NaN too


def check_resumed(whole: Ended, moment: Moment, after: Ended) -> None:
    """It ended as if it had never been stopped, and paid for nothing that was answered."""
    assert same(after.result) == same(whole.result), moment.name
    check_paid(moment, after)


def check_paid(moment: Moment, after: Ended) -> None:
    """Nothing was asked that was answered, and all that was sent was counted."""
    assert not after.scorer.texts.keys() & moment.answered.keys(), moment.name
    assert isinstance(after.result, Result), moment.name
    assert after.result.usage.requests == moment.sent + after.scorer.sent, moment.name
