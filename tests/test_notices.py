"""The rules of `bdpl_async.notices`: what happened underneath is told, once, in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from bdpl_async.budget import Budget, Ledger
from bdpl_async.caching.cache import MemoryCache
from bdpl_async.channel import Channel
from bdpl_async.errors import ProviderUnavailable
from bdpl_async.events import Event, Note, Probed, Retry, Started
from bdpl_async.gate import Gate
from bdpl_async.notices import FEWEST, Notices, opening
from bdpl_async.records import Reply, Request, Score, Text, Usage
from bdpl_async.run import Run
from bdpl_async.scorer import Capabilities, Line
from bdpl_async.session import Session
from bdpl_async.task import Task
from bdpl_async.terms import Terms
from bdpl_async.usable import LOW_MASS
from tests.workbench import Length, write_task


class Shy:
    """A scorer that puts so much of its belief on the label words, and breaks when told to."""

    name = "mine/shy"

    def __init__(self, mass: float | None = None) -> None:
        self.mass = mass
        self.breaks: list[str] = []

    async def score(self, request: Request) -> Reply:
        if self.breaks:
            raise ProviderUnavailable(self.breaks.pop(0), fate="refused")
        scores = [Score((-1.0, -2.0), mass=self.mass) for _ in request.texts]
        return Reply(scores, Usage(prompt_tokens=len(scores)))

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        return text.before.encode()


class Bench:
    """Notices beside the gate that they watch; a second passes with every wait."""

    def __init__(self, mass: float | None = None) -> None:
        self.now = 0.0
        self.scorer = Shy(mass)
        self.cache: MemoryCache[bytes] = MemoryCache()
        channel = Channel(
            self.scorer.name, Ledger(Budget()), Terms(), clock=self.clock, sleep=self.sleep
        )
        gate = Gate(self.scorer, (" bad", " good"), channel, Capabilities(), self.cache)
        self.gate, self.notices = gate, Notices(gate)
        self.asked = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += 1.0

    async def ask(self, count: int = 1) -> None:
        """So many texts that nobody asked before."""
        first, self.asked = self.asked, self.asked + count
        await self.gate.score([Text(f"text {n}") for n in range(first, self.asked)])

    def new(self) -> list[Event]:
        """What has not been told yet."""
        return self.notices.new(self.now)

    def said(self) -> list[str]:
        """The messages of the notes that are new."""
        return [event.message for event in self.new() if isinstance(event, Note)]


def kinds(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events]


async def test_a_quiet_run_has_nothing_to_say() -> None:
    """Without trouble there is no notice."""
    bench = Bench(mass=0.9)
    assert bench.new() == []
    await bench.ask(2 * FEWEST)
    assert bench.new() == []


async def test_retries_are_told_once_oldest_first() -> None:
    """Each request that is sent again is an event, with its reason, in the order of time."""
    bench = Bench()
    bench.scorer.breaks = ["first", "second", "third"]
    await bench.ask()
    told = bench.new()
    assert [event.reason for event in told if isinstance(event, Retry)] == [
        "first",
        "second",
        "third",
    ]
    assert kinds(told) == ["retry"] * 3
    assert [event.t for event in told] == [0.0, 1.0, 2.0]
    assert bench.new() == []
    bench.scorer.breaks = ["fourth"]
    await bench.ask()
    assert [event.reason for event in bench.new() if isinstance(event, Retry)] == ["fourth"]


async def test_a_cache_in_trouble_is_told_once() -> None:
    """The same trouble is not repeated with every step, nor when it comes back; another is new."""
    bench = Bench()
    bench.cache.trouble = "the disk is full"
    assert bench.said() == ["the disk is full"]
    assert bench.said() == []
    bench.cache.trouble = None
    assert bench.said() == []
    bench.cache.trouble = "the disk is full"
    assert bench.said() == []
    bench.cache.trouble = "the disk is slow"
    assert bench.said() == ["the disk is slow"]


async def test_what_happened_to_the_cache_is_told_once() -> None:
    """Notes of the cache come in their order, and only those that are new."""
    bench = Bench()
    bench.cache.notes = ("set aside",)
    assert bench.said() == ["set aside"]
    bench.cache.notes = ("set aside", "begun anew", "mended")
    assert bench.said() == ["begun anew", "mended"]
    assert bench.said() == []


async def test_a_low_label_mass_is_told_once() -> None:
    """A model that expects other words than the labels is named, with what to do, one time."""
    bench = Bench(mass=LOW_MASS / 2)
    await bench.ask(FEWEST)
    (message,) = bench.said()
    assert "mine/shy gives the label words only 0.05 of its probability" in message
    assert "choose words" in message
    await bench.ask(FEWEST)
    assert bench.said() == []


async def test_label_mass_is_judged_after_enough_answers() -> None:
    """A handful of odd texts is no verdict."""
    bench = Bench(mass=LOW_MASS / 2)
    await bench.ask(FEWEST - 1)
    assert bench.said() == []
    await bench.ask(1)
    assert len(bench.said()) == 1


async def test_label_mass_is_judged_once() -> None:
    """A verdict that was good stands, so that a later mean does not alarm anybody."""
    bench = Bench(mass=0.5)
    await bench.ask(FEWEST)
    assert bench.said() == []
    bench.scorer.mass = 0.0
    await bench.ask(20 * FEWEST)
    assert bench.said() == []


async def test_a_model_that_tells_no_mass_is_not_accused() -> None:
    """Unknown is not low."""
    bench = Bench(mass=None)
    await bench.ask(2 * FEWEST)
    assert bench.said() == []


async def test_notes_stand_at_the_event_that_they_come_before() -> None:
    """What was noticed until an event happened is told at its time, however late it is told."""
    bench = Bench(mass=LOW_MASS / 2)
    bench.scorer.breaks = ["first"]
    bench.cache.notes = ("set aside",)
    await bench.ask(FEWEST)
    happened, bench.now = bench.now, 50.0
    told = bench.notices.new(happened)
    assert kinds(told) == ["retry", "note", "note"]
    assert [event.t for event in told] == [0.0, happened, happened]


async def test_the_opening_tells_what_was_found(tmp_path: Path) -> None:
    """Started and probed come first, then each note of the probe, then each of the plan."""

    class Found(Length):
        capabilities = Capabilities(batch=3, readout="logprobs", notes=("no token ids", "top 20"))

    task = Task.from_toml(write_task(tmp_path), overrides={"budget.prompts": 24})
    session = Session.prepare(task, Found(), task.config)
    plan = session.plan()
    started, probed, *notes = opening(session, plan, 7)
    assert isinstance(started, Started)
    assert (started.steps, started.dev, started.model) == (7, plan.dev, "mine/length")
    assert isinstance(probed, Probed)
    assert (probed.batch, probed.readout, probed.labels) == (3, "logprobs", task.words)
    said = [note.message for note in notes if isinstance(note, Note)]
    assert said == ["no token ids", "top 20", *plan.notes]


class Ticking:
    """A clock that no two looks find the same."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("mass", [0.01, 0.9])
async def test_a_run_passes_notices_on_in_order(tmp_path: Path, mass: float) -> None:
    """Notices stand in the stream of events where their time belongs."""
    overrides = {"optimizer.batch": 8, "optimizer.samples": 8, "optimizer.steps": 4}
    task = Task.from_toml(write_task(tmp_path), overrides=overrides)
    run = await Run.open(task, Shy(mass), clock=Ticking())
    events = [event async for event in run.events()]
    assert kinds(events).count("note") == (mass < LOW_MASS)
    assert [event.t for event in events] == sorted(event.t for event in events)


class Hesitant(Shy):
    """Its probe is not answered at once, and nothing is from some request on."""

    capabilities = Capabilities(batch=4)

    def __init__(self, last: float) -> None:
        super().__init__()
        self.last, self.sent = last, 0

    async def score(self, request: Request) -> Reply:
        self.sent += 1
        if self.sent == 1 or self.sent > self.last:
            raise ProviderUnavailable("not yet", fate="refused")
        return await super().score(request)

    async def probe(self, request: Request, line: Line) -> Capabilities:
        for _ in range(4):
            await line(partial(self.score, request), [text.before for text in request.texts])
        return self.capabilities


@pytest.mark.parametrize("last", [float("inf"), 33], ids=["goes on", "ends"])
async def test_events_are_in_order_of_time_whatever_happens(
    tmp_path: Path, last: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retries while probing, and before the budget's end is told, are no exception."""
    monkeypatch.setattr("bdpl_async.again.wait", lambda *_: 0.0)
    task = Task.from_toml(
        write_task(tmp_path), overrides={"budget.requests": 40, "optimizer.steps": 100}
    )
    run = await Run.open(task, Hesitant(last), clock=Ticking())
    events = [event async for event in run.events()]
    assert run.result().stop_reason == "budget"
    assert kinds(events).count("retry") >= (1 if last > 40 else 2)
    assert [event.t for event in events] == sorted(event.t for event in events)


async def test_a_search_by_words_alone_is_warned_of(tmp_path: Path) -> None:
    """A model without probabilities is named before the search, with what helps; once."""

    class Wordy(Length):
        capabilities = Capabilities(readout="text")

    for method, times in (("bdpl", 1), ("empty", 0)):  # what does not search is not slow
        task = Task.from_toml(write_task(tmp_path), overrides={"optimizer.method": method})
        session = Session.prepare(task, Wordy(), task.config)
        notes = [one for one in opening(session, session.plan(), 1) if isinstance(one, Note)]
        found = [note.message for note in notes if "every loss is 0 or 1" in note.message]
        assert len(found) == times
        assert all("mine/length" in one and "--readout" in one for one in found)
