"""What a request costs the client, against bare aiohttp and other clients; all on the loopback.

    python benchmarks/client.py
    python benchmarks/client.py cpu --rounds 9 --litellm ~/litellm/bin/python

The engine is the whole of it: gate, cache, ledger, limiter, `vllm` scorer and transport. The arms
take turns, so that what else the machine does falls on all of them; figures are medians of the
rounds, ratios those of each round. The last line is all of it as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from engine import Engine, Texts
from loopback import delays, everything_open, ideal, serving
from peers import Ask, LiteLLM, bare, openai

from bdpl_async.caching.file import CacheFile
from bdpl_async.records import Text

LIST = 32  # prompts a request where they travel together
Figures = dict[str, float]


async def spent(ask: Ask, texts: Sequence[str], warmth: int) -> float:
    """CPU seconds of this process, all threads, after a few texts to warm the connections up."""
    await ask(texts[:warmth])
    gc.collect()
    began = time.process_time()
    await ask(texts[warmth:])
    return time.process_time() - began


async def cpu(arguments: argparse.Namespace) -> Figures:
    """CPU microseconds a prompt, of each arm at each number of requests in flight."""
    figures: Figures = {}
    lite = LiteLLM.found_by(arguments.litellm)
    for concurrency in arguments.concurrency:
        with serving() as base_url, TemporaryDirectory() as folder:
            async with AsyncExitStack() as stack:
                arms = await _arms(stack, base_url, concurrency, Path(folder))
                litellm = LiteLLM(arguments.litellm, base_url) if lite else None
                rounds = []
                for _ in range(arguments.rounds + 1):
                    found = await _round(arms, arguments.requests, concurrency)
                    if litellm is not None:
                        texts = Texts().fresh(arguments.requests // 10)
                        found["litellm"] = litellm.cpu(texts, concurrency) / len(texts) * 1e6
                    rounds.append(found)
                if litellm is not None:
                    litellm.close()
            figures |= _table(rounds[1:], concurrency)
    return figures


async def _arms(
    stack: AsyncExitStack, base_url: str, concurrency: int, folder: Path
) -> dict[str, tuple[Ask, int]]:
    """How each arm asks, and what part of the requests it gets: the slow ones few."""
    enter, engine = stack.enter_async_context, partial(Engine, base_url, concurrency)
    return {
        "bare": (await enter(bare(base_url, concurrency)), 1),
        "engine": (await enter(engine().open()), 1),
        "engine, cache": (await enter(engine(folder=_made(folder / "one")).open()), 1),
        "engine, sdk": (await enter(engine(by_sdk=True).open()), 4),
        "openai, aiohttp": (await enter(openai(base_url, concurrency, backend="aiohttp")), 4),
        "openai": (await enter(openai(base_url, concurrency)), 4),
        "bare, lists": (await enter(bare(base_url, concurrency, LIST)), 1),
        "engine, lists": (await enter(engine(LIST).open()), 1),
        "engine, cache, lists": (await enter(engine(LIST, _made(folder / "many")).open()), 1),
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _round(arms: dict[str, tuple[Ask, int]], requests: int, concurrency: int) -> Figures:
    """CPU microseconds a prompt of each arm, once."""
    source, found = Texts(), {}
    for name, (ask, part) in arms.items():
        listed = LIST if name.endswith("lists") else 1
        warmth, count = concurrency * listed, requests * min(listed, 4) // part
        seconds = await spent(ask, source.fresh(warmth + count), warmth)
        found[name] = seconds / count * 1e6
    return found


def _table(rounds: list[Figures], concurrency: int) -> Figures:
    """Print and give back medians, and ratios to bare aiohttp, in lists to one by one."""
    print(f"\n{concurrency} in flight        us CPU a prompt   of bare aiohttp   of one by one")
    figures = {}
    for name in rounds[0]:
        single = name.removesuffix(", lists")
        base = "bare" if name == single else "bare, lists"
        us = figures[f"{name} @{concurrency}: us"] = median(one[name] for one in rounds)
        ratio = median(one[name] / one[base] for one in rounds)
        figures[f"{name} @{concurrency}: of bare"] = ratio
        line = f"{name:22}{us:15.1f}{ratio:17.2f}x"
        if single != name:
            part = median(one[name] / one[single] for one in rounds)
            figures[f"{name} @{concurrency}: of one by one"] = part
            line += f"{part:15.3f}x"
        print(line)
    return figures


async def rate(arguments: argparse.Namespace) -> Figures:
    """Prompts a second, of the ideal, with 1,024 prompts in flight at 50 ms."""
    figures: Figures = {}
    delay, flying, size, source = 0.05, 1_024, 16, Texts()
    with serving(delay) as base_url:
        requests = flying // size
        ways = {
            "engine, 64 lists of 16": Engine(base_url, requests, size).open(),
            "bare, 64 lists of 16": bare(base_url, requests, size),
            "openai, aiohttp, one by one": openai(base_url, flying, backend="aiohttp"),
        }
        print(f"\nprompts/s of {flying / delay:,.0f}, {flying} in flight at 50 ms")
        for name, way in ways.items():
            async with way as ask:
                await ask(source.fresh(4 * flying))
                rates = []
                for _ in range(arguments.rounds):
                    texts = source.fresh((20 if "lists" in name else 4) * flying)
                    began = time.perf_counter()
                    await ask(texts)
                    rates.append(len(texts) / (time.perf_counter() - began))
            figures[f"{name}: prompts/s"] = median(rates)
            share = figures[f"{name}: of ideal"] = median(rates) / (flying / delay)
            print(f"{name:30}{median(rates):10,.0f}{share:8.2f}")
    return figures


async def replay(arguments: argparse.Namespace) -> Figures:
    """Scores a second from a warm cache, in asks of 80, and what was sent for them."""
    count, texts = 8_000, [Text(text) for text in Texts().fresh(8_000)]
    with serving() as base_url, TemporaryDirectory() as folder:
        engine = Engine(base_url, 64)
        async with engine.open():
            rates, totals = [], []
            for _ in range(arguments.rounds + 1):
                cache = CacheFile(Path(folder) / "warm.db")
                gate, before = engine.gate(cache), engine.channel.ledger.spent.requests
                began = time.perf_counter()
                for start in range(0, count, 80):
                    await gate.score(texts[start : start + 80])
                rates.append(count / (time.perf_counter() - began))
                totals.append(gate.totals().requests - before)
                await cache.close()
    figures = {"replay: scores/s": median(rates[1:]), "replay: requests": sum(totals[1:])}
    print(f"\nreplay of {totals[0]:,} requests: {figures['replay: requests']} requests,", end=" ")
    print(f"{figures['replay: scores/s']:,.0f} scores/s")
    return figures


async def tuning(arguments: argparse.Namespace) -> Figures:
    """Wall clock of updates and an evaluation one after the other, against log-normal replies."""
    mean, sigma, concurrency = 0.05, 0.5, 32
    asks, source, figures = [80] * 40 + [300], Texts(), {}
    print(f"\n{len(asks)} asks of 80 and 300 requests, {concurrency} in flight, {sigma=}")
    for name in ("bare", "engine, cache"):
        with serving(mean, sigma) as base_url, TemporaryDirectory() as folder:
            async with AsyncExitStack() as stack:
                ask, drawn = await stack.enter_async_context(bare(base_url, concurrency)), 0
                if name != "bare":
                    ask, drawn = await _tuner(stack, base_url, concurrency, Path(folder))
                batches = [source.fresh(count) for count in asks]
                began = time.perf_counter()
                for texts in batches:
                    await ask(texts)
                seconds = time.perf_counter() - began
        best = ideal(islice(delays(mean, sigma), drawn, None), asks, concurrency)
        figures[f"tuning, {name}: of ideal"] = best / seconds
        print(f"{name:15} {seconds:.2f} s, ideal {best:.2f} s: {best / seconds:.3f}")
    return figures


async def _tuner(
    stack: AsyncExitStack, base_url: str, concurrency: int, folder: Path
) -> tuple[Ask, int]:
    """How a run asks, with one gate and one cache throughout, and how often the probe did."""
    engine = Engine(base_url, concurrency)
    await stack.enter_async_context(engine.open())
    cache = CacheFile(folder / "answers.db")
    stack.push_async_callback(cache.close)
    gate = engine.gate(cache)

    async def ask(texts: Sequence[str]) -> None:
        await gate.score([Text(text) for text in texts])

    return ask, engine.channel.ledger.spent.requests


PARTS = {"cpu": cpu, "rate": rate, "replay": replay, "tuning": tuning}


async def main(arguments: argparse.Namespace) -> None:
    """Measure the parts asked for."""
    everything_open()
    figures: Figures = {}
    for part in arguments.parts:
        figures |= await PARTS[part](arguments)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[*PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=2_000, help="of a round, one prompt each")
    parser.add_argument("--concurrency", type=int, nargs="*", default=[32, 256])
    parser.add_argument("--litellm", metavar="PYTHON", help="one that can import litellm")
    asyncio.run(main(parser.parse_args()))
