"""Faults of the model's side: each kind that `tests/faults.py` knows, and a server that dies."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from faultcases import CALM, Bench, Books, Faults, Lethal, Manners, Row, ended, seen

from tests.faults import LIES, REFUSALS, SPOILT

__all__ = ["answers", "deaths", "refusals"]

NAMES = {
    "429": "429 with Retry-After in seconds",
    "429-ms": "429 with retry-after-ms",
    "429-date": "429 with Retry-After as a date",
    "429-message": "429 with the wait in its message",
    "429-bare": "429 without a hint",
    "slow-down": "429 `slow_down`",
    "500": "500",
    "502": "502, some of them HTML",
    "503": "503 with Retry-After, some of them HTML",
    "hang": "no answer at all",
    "reset": "the connection is reset before the answer",
    "reset-midway": "the connection is reset in the middle of the answer",
    "truncated": "200, and the body is cut off",
    "html": "200, and a page of HTML",
    "no-choices": "200, and no choices",
    "null": "200, and `logprobs` is null",
    "nan": "200, and a log-probability is NaN",
    "missing-ids": "200, and the label words are missing",
    "index-wrong": "200, and an index that was not asked for",
    "index-negative": "200, and a negative index",
    "index-doubled": "200, and an index twice",
    "oversized": "200, and a body of 33 MiB",
    "oversized-stream": "200, and a body without end",
    "shuffled": "200, choices in another order",
    "usage-zero": "200, usage says 0 tokens",
    "usage-negative": "200, usage says -5 tokens",
    "usage-string": "200, usage says a word",
    "usage-tiny": "200, usage says 1 token",
    "usage-huge": "200, usage says 10^9 tokens",
}
QUIET = "nothing: it needs no attention"


def answers(bench: Bench) -> Iterator[Row]:
    """Every fifth request goes wrong, in each way that passes."""
    for kind in (*REFUSALS, *SPOILT, *LIES):
        wait = 1.0 if kind == "429-date" else 0.05
        faults = Faults(every={kind: 5}, at_most=1, wait=wait)
        bench.server.manners = replace(CALM, faults=faults)
        row, out = Row(NAMES[kind]), bench.name()
        done = bench.run(out)
        bench.judge(row, out, done)
        row.checks["it happened"] = bench.server.books.struck[kind] > 0
        row.said = seen(done, r"again in|^note:") or QUIET
        yield row
    bench.server.manners = replace(CALM, latency=0.4)
    row, out = Row("every answer takes half a second"), bench.name()
    done = bench.run(out)
    bench.judge(row, out, done)
    row.said = seen(done, r"again in|^note:") or QUIET
    yield row


def refusals(bench: Bench) -> Iterator[Row]:
    """What no further try would change: exit 3 after a few requests."""
    cases = {
        "wrong key (401)": Manners(key="another"),
        "wrong key, and the server repeats it": Manners(key="another", echo=True),
        "no quota left (429)": Manners(faults=Faults(rates={"quota": 1.0}, at_most=9999)),
        "no such model (404)": Manners(model="other"),
        "redirect to another host": Manners(
            faults=Faults(rates={"redirect": 1.0}, at_most=9999), elsewhere="https://example.com/v1"
        ),
    }
    for fault, manners in cases.items():
        bench.server.manners = manners
        row, out = Row(fault), bench.name()
        done = bench.run(out)
        bench.judge(row, out, done, code=3, same=False)
        row.checks["at most 9 requests"] = 1 <= bench.server.books.requests < 10
        row.said = seen(done, "^bdpl-async: vllm")
        yield row
    bench.server.manners = replace(CALM)
    yield _quota_later(bench)
    yield _no_key(bench)


def _quota_later(bench: Bench) -> Row:
    row, out = Row("the quota ends in the middle, and is raised later"), bench.name()

    def strike() -> None:
        faults = Faults(rates={"quota": 1.0}, at_most=9999)
        bench.server.manners = replace(CALM, faults=faults)

    bench.server.doom(20, strike, 0.0)
    done = bench.finished(bench.words(out))
    bench.server.manners = replace(CALM)
    row.checks["exit 3"] = done.returncode == 3
    bench.judge(row, out, bench.resume(out))
    row.said = seen(done, "^bdpl-async: vllm")
    return row


def _no_key(bench: Bench) -> Row:
    row, out = Row("the key is missing"), bench.name()
    bench.server.books = Books()
    words = bench.words(out)
    words[words.index("--model") + 1] = "openai/gpt-4o-mini"
    done = bench.finished(words, OPENAI_API_KEY="")
    bench.judge(row, out, done, code=2, same=False)
    row.checks["nothing sent"] = bench.server.books.requests == 0
    row.said = seen(done, "^bdpl-async: ")
    return row


class Fixed(Lethal):
    """A server on a port of one's choice, that can stop, begin again, and keep its books."""

    port = 0

    async def __aenter__(self) -> Fixed:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, backlog=2048
        )
        type(self).port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self


def deaths(bench: Bench) -> Iterator[Row]:
    """The server dies in the middle; it comes back, late or too late."""
    for fault, away in (
        ("the server dies and is back after 5 s", 5.0),
        ("the server dies and stays away; resumed when it is back", None),
    ):
        row = Row(fault)
        _dying(bench, row, away)
        yield row


def _dying(bench: Bench, row: Row, away: float | None) -> None:
    """One run whose server dies at its twentieth request."""
    Fixed.port, calm = 0, bench.server
    out, died = bench.name(), threading.Event()
    more = () if away else ("--set", "model.attempts=3")
    try:
        with Fixed.in_thread(replace(CALM)) as first:
            bench.server = bench.place.server = first
            first.doom(20, died.set, 0.0)
            process = bench.start(out, *more)
            row.checks["it died in the middle"] = died.wait(20)
        if away is None:
            gone = ended(process)
            row.checks["exit 3"] = gone.returncode == 3
            bench.harmless(row, gone)
        else:
            time.sleep(away)
        with Fixed.in_thread(replace(CALM)) as second:
            second.books = first.books
            bench.server = bench.place.server = second
            done = bench.resume(out) if away is None else ended(process)
            bench.judge(row, out, done, paid=8 * 4)  # texts in flight at its death
            row.said = seen(gone if away is None else done, r"^bdpl-async: vllm|again in")
    finally:
        bench.server = bench.place.server = calm
