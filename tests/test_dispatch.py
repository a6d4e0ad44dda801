"""The rules of `bdpl_async.dispatch` over a kill: what was parted, tried and told counts on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bdpl_async.budget import Budget, Ledger
from bdpl_async.channel import Channel
from bdpl_async.dispatch import UNUSABLE_TRIES
from bdpl_async.errors import ProviderRefused, RequestFailed, UnusableAnswer
from bdpl_async.gate import Gate
from bdpl_async.records import Reply, Request, Score, Text, Usage
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.journal import Journal
from bdpl_async.scorer import Capabilities
from bdpl_async.terms import Terms

LABELS = (" bad", " good")
Outcome = Score | UnusableAnswer


class Killed(BaseException):
    """Ends a process, in effect: nobody catches it."""


@dataclass
class Fragile:
    """A scorer that is killed at its so-manieth request.

    Attributes:
        breaks: texts that make their request fail.
        mute: texts that get no usable numbers.
        odd: texts whose answer names no label.
        alive: requests until it is killed.
        sent: what stood in each request.
    """

    breaks: str = ""
    mute: str = ""
    odd: str = ""
    alive: int = 10**9
    name: str = "test/fragile"
    sent: list[str] = field(default_factory=list)

    async def score(self, request: Request) -> Reply:
        names = "".join(text.before for text in request.texts)
        self.sent.append(names)
        if len(self.sent) > self.alive:
            raise Killed
        if set(names) & set(self.breaks):
            raise RequestFailed("it breaks", fate="refused")
        return Reply([self._score(name) for name in names], Usage(prompt_tokens=len(names)))

    def _score(self, name: str) -> Outcome:
        if name in self.mute:
            return UnusableAnswer("nothing said")
        if name in self.odd:
            return UnusableAnswer("no label", retryable=False)
        return Score((-1.0 - ord(name), -2.0))


def texts(names: str) -> list[Text]:
    return [Text(name) for name in names]


class Process:
    """One process of a run that asks once; the next one goes on with what it wrote."""

    def __init__(self, path: Path, scorer: Fragile, *, batch: int = 4) -> None:
        known = list(Journal.read(path)) if path.exists() else []
        self.journal = Journal(path, known[-1][1] if known else 0)
        diary = Diary()
        diary.open(self.journal, 2000)
        diary.continues([record for record, _ in known])
        channel = Channel(scorer.name, Ledger(Budget()), Terms(concurrency=1), diary=diary)
        self.gate = Gate(scorer, LABELS, channel, Capabilities(batch=batch))

    async def ask(self, names: str) -> list[object] | None:
        """What became of each text, in words; None if it was killed."""
        try:
            return list(map(_told, await self.gate.score(texts(names))))
        except Killed:
            return None
        finally:
            self.journal.close()  # what comes later is lost, as with the process


def _told(outcome: object) -> object:
    return outcome if isinstance(outcome, Score) else (type(outcome), str(outcome))


CASES: dict[str, Callable[[int], Fragile]] = {
    "nothing fails": lambda alive: Fragile(alive=alive),
    "one breaks its list": lambda alive: Fragile(breaks="c", alive=alive),
    "several break theirs": lambda alive: Fragile(breaks="adh", alive=alive),
    "one is mute": lambda alive: Fragile(mute="b", alive=alive),
    "a list is mute": lambda alive: Fragile(mute="efgh", alive=alive),
    "one names no label": lambda alive: Fragile(odd="bg", alive=alive),
    "everything": lambda alive: Fragile(breaks="f", mute="bc", odd="d", alive=alive),
}


@pytest.mark.parametrize("case", CASES)
async def test_killed_at_every_request(case: str, tmp_path: Path) -> None:
    """The requests that are left are those that a run never stopped would have sent by then."""
    make, names = CASES[case], "abcdefghi"
    whole = make(10**9)
    one = Process(tmp_path / "whole", whole)
    outcomes = await one.ask(names)
    for alive in range(len(whole.sent)):
        path = tmp_path / str(alive)
        first, second = make(alive), make(10**9)
        assert await Process(path, first).ask(names) is None
        assert first.sent == whole.sent[: alive + 1]
        again = Process(path, second)
        assert await again.ask(names) == outcomes
        assert sorted(second.sent) == sorted(whole.sent[alive:])
        assert again.gate.ledger.used == one.gate.ledger.used
        assert again.gate.ledger.crashed.requests == 1
        assert again.gate.channel.traffic.retries <= one.gate.channel.traffic.retries


async def test_killed_at_every_other_request(tmp_path: Path) -> None:
    """However often: nothing is forgotten in between."""
    make, names, sent = CASES["everything"], "abcdefghi", list[str]()
    whole = make(10**9)
    outcomes = await Process(tmp_path / "whole", whole).ask(names)
    found, kills = None, 0
    while found is None:
        scorer = make(1)
        found = await Process(tmp_path / "log", scorer).ask(names)
        sent += scorer.sent[:1]
        kills += found is None
    assert found == outcomes
    assert kills > 5
    assert sorted(sent) == sorted(whole.sent)


async def test_an_answer_without_numbers_is_asked_for_so_often(tmp_path: Path) -> None:
    """And no more, over all processes."""
    for alive in range(UNUSABLE_TRIES):
        path, scorer = tmp_path / str(alive), Fragile(mute="a", alive=alive)
        assert await Process(path, scorer, batch=1).ask("a") is None
        rest = Fragile(mute="a")
        assert await Process(path, rest, batch=1).ask("a") == [(UnusableAnswer, "nothing said")]
        assert len(rest.sent) == UNUSABLE_TRIES - alive


async def test_a_bad_stretch_after_good_answers_is_no_end(tmp_path: Path) -> None:
    """What an earlier process was told speaks for the provider: twelve bad texts are only that."""
    names, bad = "abcdefghijklmnopqrstuvwx", "mnopqrstuvwx"
    whole = await Process(tmp_path / "whole", Fragile(breaks=bad), batch=1).ask(names)
    path = tmp_path / "log"
    assert await Process(path, Fragile(breaks=bad, alive=12), batch=1).ask(names) is None
    assert await Process(path, Fragile(breaks=bad), batch=1).ask(names) == whole


async def test_failures_of_an_earlier_process_do_not_speak_for_the_provider(
    tmp_path: Path,
) -> None:
    """One that never answered is given up, also by a run that goes on."""
    path, names = tmp_path / "log", "abcdefghijklmnopqrstuvwx"
    assert await Process(path, Fragile(breaks=names, alive=5), batch=1).ask(names) is None
    with pytest.raises(ProviderRefused, match="10 requests running brought nothing usable"):
        await Process(path, Fragile(breaks=names), batch=1).ask(names)


async def test_all_of_an_answer_is_kept_at_once(tmp_path: Path) -> None:
    """Numbers and the lack of them: what was paid for together stands in one line."""
    path = tmp_path / "log"
    await Process(path, Fragile(mute="b", odd="c")).ask("abcd")
    lines: dict[int, list[str]] = {}
    for record, end in Journal.read(path):
        lines.setdefault(end, []).append(record[0])
    first = next(kinds for kinds in lines.values() if "paid" in kinds)
    assert first[:4] == ["paid", "tell", "vain", "text"]  # and what leaves at that moment
    assert all("text" in kinds for kinds in lines.values() if "paid" in kinds)
