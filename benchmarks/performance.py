"""All that is measured of the speed of this program, and of others beside it.

    python benchmarks/performance.py                          everything, about 20 minutes
    python benchmarks/performance.py --quick                  a look at everything, 2 minutes
    python benchmarks/performance.py cpu replay --rounds 5    some parts

Rounds of all parts take turns, so that what else the machine does falls on all of them; figures
are medians and quartiles of the rounds. With all parts, `benchmarks/performance.md` and `.json`
are written anew. Peers that want a Python of their own are found by `--peer-python`, which may be
given several times. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from capacity import capacity
from client import cpu
from commands import cold, memory, tuned
from figures import FULL, QUICK, Part, Round, Setting, Sizes
from learner import policy, vocabulary
from limited import limited
from loopback import everything_open
from roberta import roberta
from sheet import machine, table
from stores import files, replay
from waiting import latency, lists, steps

from bdpl_async.errors import BdplError

HERE = Path(__file__).parent
PARTS = {
    "server": Part("whether the server is the bottleneck", capacity, 0.6),
    "cpu": Part("CPU time of a request in the client", cpu),
    "latency": Part("one ask while replies take their time", latency, 0.4),
    "lists": Part("1,024 prompts in flight in lists", lists, 0.6),
    "steps": Part("asks one after the other", steps, 0.4),
    "run": Part("a whole run while replies take their time", tuned, 0.4),
    "limits": Part("requests and tokens a minute", limited, 0.3),
    "replay": Part("a warm replay", replay),
    "files": Part("the cache's file", files),
    "policy": Part("a step of the policy", policy),
    "vocabulary": Part("the vocabulary of a large text", vocabulary, 0.3),
    "help": Part("the command's first words", cold, 0.4),
    "memory": Part("memory of a long run", memory, 0.4),
    "roberta": Part("the local model against the paper's loop", roberta, 0.4),
}
FAILURES = (AssertionError, BdplError, OSError, RuntimeError, ValueError)
Found = dict[str, dict[str, list[float]]]


async def measured(parts: Sequence[str], setting: Setting) -> Found:
    """Every figure's values by part; a part that fails is told, and left out from there on."""
    found: Found = {name: {} for name in parts}
    opened: dict[str, Round] = {}
    for name in parts:
        print(f"{name}: {PARTS[name].about}", file=sys.stderr, flush=True)
        try:
            opened[name] = await PARTS[name].open(setting)
        except FAILURES as error:
            setting.remark(f"{name} failed: {type(error).__name__}: {error}")
    gc.collect()
    gc.freeze()  # what one part keeps open is no garbage for another to look through
    most = setting.sizes.rounds
    for turn in range(most):
        for name in [name for name in opened if PARTS[name].due(turn, most)]:
            began = time.monotonic()
            try:
                figures = await opened[name]()
            except FAILURES as error:
                setting.remark(f"{name} failed: {type(error).__name__}: {error}")
                del opened[name]
                continue
            for figure, value in figures.items():
                found[name].setdefault(figure, []).append(value)
            took = f"{time.monotonic() - began:.1f} s"
            print(f"turn {turn + 1} of {most}: {name} {took}", file=sys.stderr, flush=True)
    return found


def page(found: Found, setting: Setting, head: Sequence[str]) -> str:
    """Markdown."""
    lines = ["# Performance", "", *head, ""]
    for name, figures in found.items():
        if figures:
            lines += [f"## {name}: {PARTS[name].about}", "", table(figures), ""]
    if setting.remarks:
        lines += ["## Left out", "", *[f"- {remark}" for remark in setting.remarks], ""]
    return "\n".join(lines)


def sizes_of(given: argparse.Namespace) -> Sizes:
    """What the options say."""
    sizes = QUICK if given.quick else FULL
    if given.minute is not None:
        sizes = replace(sizes, minute=given.minute)
    if given.requests is not None:
        sizes = replace(sizes, requests=given.requests)
    if given.concurrency:
        sizes = replace(sizes, concurrency=tuple(given.concurrency))
    return replace(sizes, rounds=given.rounds or sizes.rounds)


async def benchmark(given: argparse.Namespace, parts: Sequence[str]) -> Found:
    """Measure, print, and write where it was asked for."""
    everything_open()
    began, load = time.monotonic(), os.getloadavg()[0]
    print(machine(), flush=True)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        setting = Setting(stack, folder, sizes_of(given), tuple(given.peer_python))
        found = await measured(parts, setting)
    head = [
        f"By `python benchmarks/performance.py{' --quick' if given.quick else ''}` in"
        f" {(time.monotonic() - began) / 60:.0f} minutes: medians of the rounds and their"
        " quartiles, lowest and highest of three rounds or fewer. [README.md](README.md) says what"
        " stands behind each.",
        "",
        f"{machine()}; load before it began: {load:.1f}.",
    ]
    text = page(found, setting, head)
    print(text)
    if given.out is not None:
        given.out.write_text(text)
        told = {"machine": machine(), "sizes": asdict(setting.sizes), "remarks": setting.remarks}
        document = json.dumps({**told, "figures": found}, indent=1)
        given.out.with_suffix(".json").write_text(document + "\n")
    return found


def options() -> argparse.ArgumentParser:
    """Of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="small sizes, two rounds")
    parser.add_argument("--rounds", type=int, help=f"({FULL.rounds})")
    parser.add_argument("--requests", type=int, help="of a round of CPU time")
    parser.add_argument("--concurrency", type=int, nargs="*", help="where CPU time is measured")
    parser.add_argument("--minute", type=float, help="seconds that one lasts in `limits`")
    parser.add_argument("--peer-python", action="append", default=[], metavar="PYTHON")
    parser.add_argument("--out", type=Path, help="the page; its JSON goes beside it")
    return parser


def main(words: Sequence[str]) -> int:
    """Measure the parts asked for."""
    parser = options()
    given = parser.parse_args(words)
    parts = given.parts or [*PARTS]
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if given.out is None and not given.parts and not given.quick:
        given.out = HERE / "performance.md"
    asyncio.run(benchmark(given, parts))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    sys.exit(main(sys.argv[1:]))
