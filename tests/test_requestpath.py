"""Whole runs against a server that breaks: budgets, paid answers, equal results, plain ends.

The engine, the provider and the bytes on the wire are the real ones; the server's own books are
what every rule is held against.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

import bdpl_async as bdpl
from bdpl_async.errors import BudgetTooSmall, ProviderError, ProviderRefused
from bdpl_async.events import Event, Note, Probed, Retry
from bdpl_async.overrides import Value
from bdpl_async.run import Run
from bdpl_async.task import Task
from bdpl_async.tuning import follow, opened
from bdpl_cli.connecting import connected
from tests.faults import PASSING, Faults
from tests.faultserver import Books, FaultServer, Manners
from tests.hasty import hasty
from tests.workbench import command, rows, write_task

ROOT = Path(__file__).parents[1]
Capsys = pytest.CaptureFixture[str]
TEST_SPLIT = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')
ENDLESS = ("steps = 2\n", "")
PRICE = (2.0, 10.0)
MIX = dict.fromkeys(PASSING, 0.3 / len(PASSING)) | {"oversized-stream": 0.002}  # a costly one
# Refusals that mean nothing teach the limiter rates that mean nothing: here a few are enough.
ROUGH = MIX | {kind: 0.002 for kind in MIX if kind.startswith("429")} | {"slow-down": 0.001}


@dataclass(frozen=True)
class Ran:
    """What a run left: its result, what it said, and the scoring requests of its probe."""

    result: bdpl.Result
    events: list[Event]
    probing: int

    def same(self) -> dict[str, Any]:
        """All of the result that must repeat bit for bit."""
        fields = asdict(self.result)
        kept = ("prompt", "tokens", "losses", "dev", "test", "baseline", "gain", "steps_done")
        return {name: fields[name] for name in kept}

    def said(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def task_in(folder: Path, server: FaultServer, *changes: tuple[str, str], **more: Value) -> Task:
    """The tiny task on `server`; keys of `more` have a double underscore for the dot."""
    (folder / "test.tsv").write_text(rows(8, 200))
    path = write_task(folder, TEST_SPLIT, *changes)
    told: dict[str, Value] = {
        "model.name": "vllm/fake",
        "model.base_url": server.url,
        "model.timeout": 10.0,
        "run.cache": "none",
    }
    told |= {key.replace("__", "."): value for key, value in more.items()}
    return Task.from_toml(path, overrides=told)


async def learn(server: FaultServer, task: Task, faults: Faults | None = None) -> Ran:
    """Tune by the loop's clock; `faults` begin once the model was probed."""
    events: list[Event] = []
    clock = asyncio.get_running_loop().time
    async with connected(task.config) as scorer, opened(task.config, scorer) as (cache, _):
        learning = await Run.open(task, scorer, cache=cache, clock=clock)
        probing = server.books.scoring
        server.manners.faults = faults or server.manners.faults
        result = await follow(learning, None, events.append)
    return Ran(result, events, probing)


def run(
    folder: Path,
    manners: Manners | None = None,
    *changes: tuple[str, str],
    faults: Faults | None = None,
    **more: Value,
) -> tuple[Ran, Books]:
    """One run against a server of its own, in hasty time."""

    async def work() -> tuple[Ran, Books]:
        async with FaultServer(manners) as server:
            return await learn(
                server, task_in(folder, server, *changes, **more), faults
            ), server.books

    return hasty(work())


@pytest.fixture(scope="module")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """What the tiny task gives when nothing goes wrong."""
    ran, books = run(tmp_path_factory.mktemp("faultless"))
    assert set(books.statuses) == {200}
    return ran


def test_the_ledger_is_the_servers_own_count(tmp_path: Path) -> None:
    """Where nothing goes wrong, requests, prompts, tokens and dollars agree with the server's."""
    ran, books = run(
        tmp_path, Manners(price=PRICE), model__price_in=PRICE[0], model__price_out=PRICE[1]
    )
    usage = ran.result.usage
    assert (usage.requests, usage.prompts) == (books.requests, books.prompts)
    assert usage.prompt_tokens + usage.completion_tokens == books.tokens
    assert usage.usd == pytest.approx(books.usd, rel=1e-6)
    assert (usage.retries, usage.failures) == (0, 0)


BUDGETS: dict[str, float] = {"requests": 300, "prompts": 900, "tokens": 15_000, "usd": 0.04}
SPENT: dict[str, Callable[[Books], float]] = {
    "requests": lambda books: books.requests,
    "prompts": lambda books: books.prompts,
    "tokens": lambda books: books.tokens,
    "usd": lambda books: books.usd,
}


@pytest.mark.parametrize("concurrency", [1, 64, 512])
@pytest.mark.parametrize("kind", BUDGETS)
def test_no_budget_is_exceeded_whatever_goes_wrong(
    kind: str, concurrency: int, tmp_path: Path
) -> None:
    """The server never counts more than was granted, and never more than the ledger knows of."""
    ran, books = run(
        tmp_path,
        Manners(latency=0.01, noise=0.5, price=PRICE),
        ENDLESS,
        faults=Faults(rates=ROUGH, at_most=100, seed=concurrency),
        **{f"budget__{kind}": int(BUDGETS[kind]) if kind != "usd" else BUDGETS[kind]},
        model__price_in=PRICE[0],
        model__price_out=PRICE[1],
        model__concurrency=concurrency,
        model__batch_prompts=4 if kind != "prompts" else 1,
        optimizer__samples=16,
        optimizer__batch=12,
    )
    usage = ran.result.usage
    spent = {
        "requests": usage.requests,
        "prompts": usage.prompts,
        "tokens": usage.prompt_tokens + usage.completion_tokens,
        "usd": usage.usd,
    }
    assert SPENT[kind](books) <= BUDGETS[kind]
    assert books.requests <= spent["requests"]
    assert books.prompts <= spent["prompts"]
    assert books.usd <= spent["usd"] * (1 + 1e-9)
    assert books.tokens <= spent["tokens"]
    assert spent[kind] <= BUDGETS[kind] * (1 + 1e-9)
    assert sum(books.struck.values()) > 10


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("kind", BUDGETS)
def test_a_budget_is_used_and_ends_with_a_scored_prompt(
    kind: str, rate: float, tmp_path: Path
) -> None:
    """Four fifths are used where nothing goes wrong; the dev score is there whatever does."""
    chances = {each: rate / 3 for each in ("503", "truncated", "null")}
    ran, books = run(
        tmp_path,
        Manners(price=PRICE),
        ENDLESS,
        faults=Faults(rates=chances, at_most=100),
        **{f"budget__{kind}": int(BUDGETS[kind]) if kind != "usd" else BUDGETS[kind]},
        model__price_in=PRICE[0],
        model__price_out=PRICE[1],
        model__batch_prompts=4,
        optimizer__samples=16,
        optimizer__batch=12,
    )
    assert ran.result.dev is not None
    assert ran.result.stop_reason == "budget"
    assert SPENT[kind](books) <= BUDGETS[kind]
    assert rate or SPENT[kind](books) >= 0.8 * BUDGETS[kind]


WAYS: dict[str, dict[str, Value]] = {
    "calibrated": {"optimizer__calibration": "contextual"},
    "greedy": {"optimizer__calibration": "contextual", "optimizer__method": "greedy"},
    "text": {"model__readout": "text"},
}


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("kind", BUDGETS)
@pytest.mark.parametrize("way", WAYS)
def test_budgets_hold_however_one_learns(way: str, kind: str, rate: float, tmp_path: Path) -> None:
    """Texts to calibrate by, other methods and words alone: kept, used, and scored at the end."""
    chances = {each: rate / 3 for each in ("503", "truncated", "null")}
    ran, books = run(
        tmp_path,
        Manners(price=PRICE),
        ENDLESS,
        faults=Faults(rates=chances, at_most=100),
        **{f"budget__{kind}": int(BUDGETS[kind]) if kind != "usd" else BUDGETS[kind]},
        model__price_in=PRICE[0],
        model__price_out=PRICE[1],
        model__batch_prompts=4,
        optimizer__samples=16,
        optimizer__batch=12,
        **WAYS[way],
    )
    assert ran.result.dev is not None
    assert ran.result.stop_reason == "budget"
    assert SPENT[kind](books) <= BUDGETS[kind]
    if not rate and kind != "usd":  # dollars are kept for eight words a text where one is said
        assert SPENT[kind](books) >= 0.8 * BUDGETS[kind]


@pytest.mark.parametrize("kind", ["usage-tiny", "usage-huge"])
def test_usage_that_cannot_be_true_breaks_no_budget(kind: str, tmp_path: Path) -> None:
    """A report of one token, or of a billion, neither overruns a budget nor ends a run early."""
    faults = Faults(rates={kind: 0.3}, at_most=100)
    ran, books = run(
        tmp_path, Manners(), ENDLESS, faults=faults, budget__tokens=6000, model__batch_prompts=4
    )
    assert 0.5 * 6000 <= books.tokens <= 6000
    assert ran.result.stop_reason == "budget"


def test_faults_while_probing_cost_no_more_than_the_budget(tmp_path: Path) -> None:
    """What fails for now before the first score is sent again, and counted."""
    first = ["503", "429", "reset", "truncated", "html", "502"]
    ran, books = run(tmp_path, Manners(faults=Faults(first=first)), budget__requests=400)
    assert ran.result.usage.requests == books.requests <= 400
    assert sum(books.struck.values()) == len(first)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", [*PASSING, "all"])
def test_results_do_not_tell_what_went_wrong(
    kind: str, batch: int, tmp_path: Path, faultless: Ran
) -> None:
    """Wherever all answers arrive in the end, the result is the faultless one, bit for bit."""
    faults = Faults(rates=MIX if kind == "all" else {kind: 0.3})
    ran, books = run(tmp_path, faults=faults, model__batch_prompts=batch)
    assert ran.same() == faultless.same()
    assert sum(books.struck.values()) > 0


@pytest.mark.parametrize(
    "manners",
    [Manners(ids=False), Manners(lists=False), Manners(tokenizes=False), Manners(window=64)],
    ids=["no ids", "no lists", "no tokenizer", "narrow"],
)
def test_a_server_that_can_less_gives_the_same_numbers(
    manners: Manners, tmp_path: Path, faultless: Ran
) -> None:
    """Each fall-back reads the same log-probabilities, within the rounding of a sum."""
    ran, _ = run(tmp_path, manners)
    assert ran.same() == faultless.same()


def test_a_fall_back_is_said_aloud(tmp_path: Path) -> None:
    """A server without any log-probabilities is read by its words, and the run says so."""
    ran, _ = run(tmp_path, Manners(logprobs=False))
    assert ran.result.dev is not None
    assert ran.said(Note)


def test_every_paid_answer_is_kept(tmp_path: Path) -> None:
    """A usable answer that was sent whole is never paid for again, in this run or the next."""

    async def work() -> None:
        async with FaultServer(Manners()) as server:
            settings: dict[str, Value] = {"model__batch_prompts": 4}
            settings["run__cache"] = str(tmp_path / "cache.db")
            task = task_in(tmp_path, server, **settings)
            faults = Faults(rates=MIX, at_most=100)
            first = await learn(server, task, faults)
            paid = set(server.books.answered)
            server.manners.faults = Faults()
            second = await learn(server, task)
            again = {text: n for text, n in server.books.answered.items() if n > 1}
            assert first.result.usage.failures > 0
            assert second.result.usage.cache_hits > 0
            probes = first.probing + second.probing
            assert sum(n - 1 for n in again.values()) <= 4 * probes  # only a probe asks again
            assert len(paid) > 20

    hasty(work())


def test_latency_and_concurrency_never_show(tmp_path: Path) -> None:
    """The same seed gives the same losses and prompt one by one and at 256 in flight."""
    found = []
    for concurrency in (1, 256):
        ran, books = run(
            tmp_path,
            Manners(latency=0.02, noise=1.0),
            model__concurrency=concurrency,
            model__batch_prompts=1,
            optimizer__samples=24,
            optimizer__batch=12,
        )
        assert books.most <= concurrency
        found.append((ran.same(), books.most))
    assert found[0][0] == found[1][0]
    assert found[0][1] == 1
    assert found[1][1] > 16


WARM: dict[str, dict[str, Value]] = {
    "steps": {},
    "prompts": {"budget__prompts": 500},
    "requests": {"budget__requests": 90},
    "tokens": {"budget__tokens": 9000},
    "usd": {"budget__usd": 0.02},
}
PRICED: dict[str, Value] = {"model__price_in": PRICE[0], "model__price_out": PRICE[1]}


def lengthened(folder: Path, split: str) -> None:
    """Give the rows of a split many words more."""
    path = folder / f"{split}.tsv"
    head, *lines = path.read_text().splitlines()
    more = "and so it went on and on " * 8
    path.write_text("\n".join([head, *(f"{more}{line}" for line in lines), ""]))


@pytest.mark.parametrize("long", [None, "train", "dev", "test"])
@pytest.mark.parametrize("kind", WARM)
def test_a_warm_cache_sends_nothing(kind: str, long: str | None, tmp_path: Path) -> None:
    """A second run sends nothing at all and is the first one again, whatever limits it.

    Tokens are counted by their bytes here, far from what the server bills; rows of one split may
    be much longer than those of the others. Four fifths of a budget are used, dev and test scored.
    """

    async def work() -> None:
        async with FaultServer(Manners(price=PRICE)) as server:
            changes = () if kind == "steps" else (ENDLESS,)
            settings = WARM[kind] | PRICED | {"run__cache": str(tmp_path / "cache.db")}
            settings |= {"model__batch_prompts": 4, "optimizer__share": 0.0}  # or it settles early
            task = task_in(tmp_path, server, *changes, **settings)
            if long is not None:
                lengthened(tmp_path, long)
                task = Task.from_config(task.config, tmp_path)
            first = await learn(server, task)
            books, server.books = server.books, Books()
            second = await learn(server, task)
            assert (server.books.requests, second.probing) == (0, 0)
            assert second.same() == first.same()
            assert second.result.stop_reason == first.result.stop_reason
            assert second.result.usage.cache_hits >= first.result.usage.prompts - 8
            for ran in (first, second):
                assert ran.result.dev is not None
                assert ran.result.test is not None
            if kind != "steps":
                limit = float(str(next(iter(WARM[kind].values()))))
                assert 0.8 * limit <= SPENT[kind](books) <= limit

    hasty(work())


@pytest.mark.parametrize("kind", ["500", "400", "null", "nan", "truncated"])
def test_a_text_that_always_fails_fails_alone(kind: str, tmp_path: Path) -> None:
    """One dev example without an answer is counted as such; its neighbours and the run go on."""

    async def work() -> tuple[Ran, Books]:
        faults = Faults(texts={"poison": kind})
        async with FaultServer(Manners(faults=faults)) as server:
            task_in(tmp_path, server)
            with (tmp_path / "dev.tsv").open("a") as dev:
                dev.write("a cup of poison good 1\t1\n")
            task = Task.from_toml(
                tmp_path / "task.toml",
                overrides={
                    "model.name": "vllm/fake",
                    "model.base_url": server.url,
                    "model.batch_prompts": 1
                    if kind in ("null", "nan")
                    else 4,  # these hit one text
                    "model.timeout": 10.0,
                    "run.cache": "none",
                },
            )
            return await learn(server, task), server.books

    ran, books = hasty(work())
    assert ran.result.dev is not None
    assert (ran.result.dev.n, ran.result.dev.unanswered) == (9, 1)
    assert books.struck[kind] <= 9 * 3 * 8  # 9 prompts at most, 8 tries in lists of 4, 2 and 1


def test_one_text_that_is_too_long_does_not_sink_its_list(tmp_path: Path) -> None:
    """Of a list that the server refuses whole for one text, all others are answered."""

    async def work() -> tuple[Ran, Books]:
        async with FaultServer(Manners(window=64)) as server:
            task_in(tmp_path, server)
            with (tmp_path / "dev.tsv").open("a") as dev:
                dev.write("soup and " * 60 + "good\t1\n")
            overrides: dict[str, Value] = {"model.name": "vllm/fake", "model.base_url": server.url}
            overrides |= {"model.batch_prompts": 8, "run.cache": "none"}
            task = Task.from_toml(tmp_path / "task.toml", overrides=overrides)
            return await learn(server, task), server.books

    ran, books = hasty(work())
    assert ran.result.dev is not None
    assert (ran.result.dev.n, ran.result.dev.unanswered) == (9, 1)
    assert books.statuses[400] <= 9 * 4  # 9 prompts on dev at most, each found by halving 8 texts


REFUSED: dict[str, Manners] = {
    "key": Manners(key="another"),
    "quota": Manners(faults=Faults(rates={"quota": 1.0}, at_most=10_000)),
    "model": Manners(model="other"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_refusal_for_good_stops_at_once(reason: str, tmp_path: Path) -> None:
    """Wrong key, no quota, no such model: a few requests, and the end."""

    async def work() -> Books:
        async with FaultServer(REFUSED[reason]) as server:
            with pytest.raises(ProviderRefused):
                await learn(server, task_in(tmp_path, server))
            return server.books

    assert 1 <= hasty(work()).requests < 10


def test_a_quota_that_ends_on_the_way_stops_what_is_not_in_flight(tmp_path: Path) -> None:
    """After the first refusal nothing more is sent; the run says why it ended."""

    async def work() -> Books:
        async with FaultServer(Manners(latency=0.05)) as server:
            quota = Faults(rates={"quota": 1.0}, at_most=10_000)
            task = task_in(tmp_path, server, model__concurrency=16, optimizer__samples=50)
            with pytest.raises(ProviderRefused, match="quota"):
                await learn(server, task, quota)
            return server.books

    books = hasty(work())
    assert books.statuses[429] <= 16


def test_a_redirect_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key never travels to where a server points."""
    monkeypatch.setenv("VLLM_API_KEY", "given")

    async def work() -> tuple[Books, Books]:
        async with FaultServer() as elsewhere:
            faults = Faults(rates={"redirect": 1.0}, at_most=10_000)
            manners = Manners(elsewhere=elsewhere.url + "/completions", faults=faults)
            async with FaultServer(manners) as server:
                with pytest.raises(ProviderError):
                    await learn(server, task_in(tmp_path, server))
                return server.books, elsewhere.books

    books, elsewhere = hasty(work())
    assert books.keys == {"Bearer given"}
    assert elsewhere.requests == 0


@pytest.mark.parametrize("reason", REFUSED)
def test_the_command_says_a_refusal_in_a_few_lines(
    reason: str, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, no traceback, and what to do."""
    monkeypatch.chdir(tmp_path)
    with FaultServer.in_thread(REFUSED[reason]) as server:
        task_in(tmp_path, server)
        told = ("--model", "vllm/fake", "--base-url", server.url, "--cache", "none")
        outcome = command(capsys, "run", "task.toml", *told, "--ui", "none")
    assert outcome.code == 3
    assert "Traceback" not in outcome.err
    assert 1 <= len(outcome.err.splitlines()) <= 6
    assert server.books.requests < 10


def test_a_budget_too_small_sends_nothing(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4, and the server was never asked anything."""
    monkeypatch.chdir(tmp_path)
    with FaultServer.in_thread() as server:
        task_in(tmp_path, server)
        told = ("--model", "vllm/fake", "--base-url", server.url, "--cache", "none")
        for budget in ("--max-requests", "--max-prompts", "--max-tokens"):
            outcome = command(capsys, "run", "task.toml", *told, budget, "3", "--ui", "none")
            assert outcome.code == 4, outcome.err
    assert server.books.requests == 0


def test_a_budget_of_dollars_too_small_sends_nothing(tmp_path: Path) -> None:
    """Money is planned with before anything is sent, like everything else."""

    async def work() -> Books:
        async with FaultServer() as server:
            prices: dict[str, Value] = {"model__price_in": 2.0, "model__price_out": 10.0}
            with pytest.raises(BudgetTooSmall):
                await learn(server, task_in(tmp_path, server, budget__usd=1e-5, **prices))
            return server.books

    assert hasty(work()).requests == 0


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """The time-out is total: the run ends, and every hanging request was counted whole."""

    async def work() -> Books:
        async with FaultServer() as server:
            hang = Faults(rates={"hang": 1.0}, at_most=10_000)
            more: dict[str, Value] = {"model__timeout": 0.5, "model__attempts": 2}
            with pytest.raises(ProviderError, match="no answer"):
                await learn(server, task_in(tmp_path, server, **more), hang)
            return server.books

    assert hasty(work()).struck["hang"] > 0


@pytest.mark.parametrize("hint", ["seconds", "ms", "message"])
def test_retry_after_is_kept_to(hint: str, tmp_path: Path) -> None:
    """While the server says wait, only what was under way arrives; then the answers come."""
    shut, concurrency = 0.5, 16

    async def work() -> list[tuple[float, int]]:
        async with FaultServer(Manners(latency=0.02, hint=hint)) as server:
            more: dict[str, Value] = {"model__concurrency": concurrency, "model__batch_prompts": 1}

            def begin(event: Event) -> None:
                if isinstance(event, Probed):
                    server.manners.shut = (server.books.scoring + 30, shut)

            task = task_in(tmp_path, server, **more)
            async with connected(task.config) as scorer:
                await bdpl.tune(task, scorer, on_event=begin)
            return sorted(server.books.arrivals)

    arrivals = asyncio.run(work())  # `tune` goes by the real clock
    refused = [when for when, status in arrivals if status == 429]
    assert 1 <= len(refused) <= concurrency
    assert refused[-1] - refused[0] < 0.2 * shut
    later = [when for when, _ in arrivals if when > refused[-1]]
    assert later[0] - refused[0] >= shut - 0.01


def test_a_rate_limit_is_learned(tmp_path: Path) -> None:
    """Against a limit that nobody told us, every text is answered and refusals stay few."""

    async def work() -> tuple[Ran, Books]:
        async with FaultServer(Manners(latency=0.01, rate=(40, 1.0))) as server:
            task = task_in(tmp_path, server, model__batch_prompts=1, model__concurrency=32)
            return await learn(server, task), server.books

    ran, books = hasty(work())
    assert ran.result.dev is not None
    assert ran.result.dev.unanswered == 0
    assert books.statuses[429] <= 0.5 * books.statuses[200]


def test_each_retry_is_an_event(tmp_path: Path) -> None:
    """Every attempt beyond the first is seen, with its wait and its reason."""
    ran, _ = run(tmp_path, faults=Faults(rates={"503": 0.3}))
    retries = ran.said(Retry)
    assert len(retries) == ran.result.usage.retries > 0
    assert all(isinstance(event, Retry) and "503" in event.reason for event in retries)


def test_an_answer_at_the_second_try_is_no_wrong_one(tmp_path: Path) -> None:
    """That a text counts as wrong is said where it does, not where it was asked again."""
    for texts, said in (({}, False), ({"soup": "null"}, True)):
        faults = Faults(rates={"null": 0.3}, texts=texts)
        ran, books = run(tmp_path, faults=faults, model__batch_prompts=1)
        assert books.struck["null"] or texts
        notes = [event.message for event in ran.said(Note) if isinstance(event, Note)]
        assert any("counts as wrong" in note for note in notes) is said


def test_an_interrupt_saves_what_was_paid(tmp_path: Path) -> None:
    """Ctrl-C while requests hang: within seconds exit 130, the result written, no traceback."""
    with FaultServer.in_thread(Manners(latency=0.02)) as server:
        task_in(tmp_path, server, ("steps = 2", "steps = 1000"))
        folders = [ROOT, ROOT / "providers", ROOT / "cli"]
        told = ["--model", "vllm/fake", "--base-url", server.url, "--out", "out", "--ui", "plain"]
        process = subprocess.Popen(
            [sys.executable, "-m", "bdpl_cli", "run", "task.toml", *told, "--cache", "cache.db"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until(lambda: server.books.scoring > 6, process)  # past the probe
            server.manners.faults = Faults(every={"hang": 2}, at_most=10_000)
            until(lambda: server.books.struck["hang"] > 0, process)
            pressed = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert time.monotonic() - pressed < 7
    assert "Traceback" not in err
    result = orjson.loads((tmp_path / "out" / "result.json").read_bytes())
    assert result["stop_reason"] == "interrupted"


def until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for another process to come so far."""
    end = time.monotonic() + 20.0
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
