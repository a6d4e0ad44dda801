"""Where the CPU time of a request goes in the client, now and in an earlier release.

    python benchmarks/profiling.py --before COMMIT     both, and writes profile.md
    python benchmarks/profiling.py                     now, as a look

Each profile is of a process of its own, which sends single prompts to a loopback server: the CPU
time of its event loop's thread without a profiler, then with cProfile on that thread's own clock.
cProfile burdens small functions more than large ones, and its times are scaled so that all of them
add up to the time without it. So: the totals are measured, how they divide is close.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from engine import Engine, Rules, Texts
from loopback import served
from peers import Ask, bare
from sheet import machine

HERE = Path(__file__).parent
ARMS = ("bare aiohttp", "engine", "engine, cache and journal")
PLACES = ("bdpl_async", "bdpl_providers", "aiohttp", "asyncio", "all else, C too")
SHOWN = 20  # functions of a table
ROUNDS = 5
WAITING = "select.epoll"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one function costs a prompt.

    Attributes:
        name: of the function, with its file.
        own: microseconds in itself; `whole`, with all that it calls.
        calls: of it.
    """

    name: str
    own: float
    whole: float
    calls: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Of one arm.

    Attributes:
        cpu: microseconds a prompt in the thread of the event loop.
        calls: of all functions.
        places: own microseconds of all functions of a package, or of none.
        costs: dearest first.
    """

    arm: str
    cpu: float
    calls: float
    places: dict[str, float]
    costs: tuple[Cost, ...]


async def profiled(arm: str, concurrency: int, requests: int) -> Profile:
    """Ask for the same number of fresh texts without and with the profiler."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        ask = await _opened(stack, arm, stack.enter_context(served()).url, concurrency, folder)
        source = Texts()
        await ask(source.fresh(4 * concurrency))
        times = [await _timed(ask, source.fresh(requests)) for _ in range(ROUNDS)]
        profile, texts = cProfile.Profile(time.thread_time), source.fresh(requests)
        profile.enable()
        await ask(texts)
        profile.disable()
    return _read(arm, pstats.Stats(profile), median(times) / requests * 1e6, requests)


async def _opened(stack: AsyncExitStack, arm: str, url: str, concurrency: int, folder: Path) -> Ask:
    if arm == ARMS[0]:
        return await stack.enter_async_context(bare(url, concurrency))
    if arm == ARMS[1]:
        return await stack.enter_async_context(Engine(url, concurrency).open())
    cache = folder / "cache"
    cache.mkdir()
    rules = Rules(journal=folder / "run")
    return await stack.enter_async_context(
        Engine(url, concurrency, folder=cache, rules=rules).open()
    )


async def _timed(ask: Ask, texts: Sequence[str]) -> float:
    gc.collect()
    began = time.thread_time()
    await ask(texts)
    return time.thread_time() - began


def _read(arm: str, stats: pstats.Stats, cpu: float, requests: int) -> Profile:
    """What was profiled, in microseconds a prompt, scaled to what it takes unprofiled."""
    found = [(_named(key), *entry[1:4]) for key, entry in stats.stats.items()]  # type: ignore[attr-defined]
    found = [row for row in found if WAITING not in row[0]]
    scale = cpu / sum(own for _, _, own, _ in found)
    costs = [
        Cost(name, own * scale, whole * scale, calls / requests)
        for name, calls, own, whole in sorted(found, key=lambda row: -row[2])
    ]
    places = dict.fromkeys(PLACES, 0.0)
    for cost in costs:
        place = cost.name.partition("/")[0]
        places[place if place in PLACES else PLACES[-1]] += cost.own
    calls = sum(cost.calls for cost in costs)
    return Profile(arm, cpu, calls, places, tuple(costs[:SHOWN]))


def _named(key: tuple[str, int, str]) -> str:
    """File and function; nothing of where this machine keeps them."""
    file, _, function = key
    if file == "~":
        return function.strip("<>").removeprefix("built-in ")
    parts = Path(file).parts
    first = max((parts.index(place) for place in PLACES if place in parts), default=len(parts) - 2)
    return f"{'/'.join(parts[first:])} {function}"


@contextmanager
def release(commit: str) -> Iterator[str]:
    """The paths of its packages, for as long as they are needed."""
    git = ["git", "-C", str(HERE)]
    with TemporaryDirectory() as folder:
        tree = Path(folder, "release")
        add = [*git, "worktree", "add", "--quiet", "--detach", str(tree), commit]
        subprocess.run(add, check=True)  # noqa: S603
        try:
            yield os.pathsep.join(str(tree / part) for part in (".", "providers", "cli"))
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(tree)], check=True)  # noqa: S603


def elsewhere(arm: str, given: argparse.Namespace, paths: str | None) -> Profile:
    """The profile of a process that imports our packages from these paths."""
    words = [sys.executable, __file__, "--arm", arm]
    words += ["--concurrency", str(given.concurrency), "--requests", str(given.requests)]
    environment = os.environ if paths is None else {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
    told = json.loads(done.stdout)
    return Profile(**{**told, "costs": tuple(Cost(**cost) for cost in told["costs"])})


def summary(profiles: Mapping[str, Profile]) -> str:
    """One row a profile: what each place costs."""
    lines = [f"| us of CPU a prompt | all | calls | {' | '.join(PLACES)} |"]
    lines.append("|---" + "|--:" * (len(PLACES) + 2) + "|")
    for title, profile in profiles.items():
        places = " | ".join(f"{profile.places[place]:.1f}" for place in PLACES)
        lines.append(f"| {title} | {profile.cpu:.0f} | {profile.calls:.0f} | {places} |")
    return "\n".join([*lines, ""])


def table(profile: Profile, title: str) -> str:
    """One row a function."""
    lines = [f"## {title}: {profile.cpu:.0f} us", "", "| own, us | whole, us | calls | function |"]
    lines.append("|--:|--:|--:|---|")
    for cost in profile.costs:
        numbers = f"{cost.own:.1f} | {cost.whole:.1f} | {cost.calls:.2f}"
        lines.append(f"| {numbers} | `{cost.name}` |")
    return "\n".join([*lines, ""])


def page(given: argparse.Namespace) -> str:
    """Markdown: all arms, before and now."""
    before = "" if given.before is None else f" --before {given.before}"
    heads = [
        "# Where the CPU time of a request goes",
        "",
        f"By `python benchmarks/profiling.py{before}`: {given.concurrency} requests in flight,"
        f" {given.requests:,} prompts a profile, the thread of the event loop alone. The table"
        " is by package; below it stand the dearest functions of each arm, by what each costs in"
        " itself.",
        "",
        f"{machine()}.",
        "",
    ]
    profiles = {}
    with ExitStack() as stack:
        earlier = stack.enter_context(release(given.before)) if given.before else None
        for arm in ARMS:
            if earlier and arm != ARMS[0]:
                profiles[f"{arm}, before"] = elsewhere(arm, given, earlier)
            now = f"{arm}, now" if earlier and arm != ARMS[0] else arm
            profiles[now] = elsewhere(arm, given, None)
    tables = [table(profile, title) for title, profile in profiles.items()]
    return "\n".join([*heads, summary(profiles), *tables])


def main(words: Sequence[str]) -> int:
    """One profile as JSON, or the page of all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", metavar="COMMIT", help="of an earlier release")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--requests", type=int, default=6_000)
    parser.add_argument("--arm", choices=ARMS, help="this one only, as JSON")
    given = parser.parse_args(words)
    if given.arm:
        print(
            json.dumps(asdict(asyncio.run(profiled(given.arm, given.concurrency, given.requests))))
        )
        return 0
    text = page(given)
    print(text)
    if given.before:
        (HERE / "profile.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
