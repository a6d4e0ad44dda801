"""CPU time of a request in the client's process: the engine, bare aiohttp and other clients.

    python benchmarks/client.py      the part `cpu` of performance.py

The engine is the whole of it: gate, ledger, limiter, `vllm` scorer and transport; then with the
cache's file, with the journal of a RUN_DIR, and with both, as a run has it. The arms take turns, in
another order each round; what is under way is the same for all of them.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from functools import partial
from random import Random

from engine import Engine, Rules, Texts
from figures import Figures, Round, Setting
from foreign import PEERS, Foreign
from loopback import served
from peers import Ask, bare, openai

LIST = 32  # prompts a request where they travel together
SLOW = 4  # the part of the requests that slow clients get
FOREIGN = 10  # and those in another process
Arms = dict[str, tuple[Ask, int]]


async def spent(ask: Ask, texts: Sequence[str], warmth: int) -> float:
    """CPU seconds of this process, all threads, after a few texts to warm the connections up."""
    await ask(texts[:warmth])
    gc.collect()
    began = time.process_time()
    await ask(texts[warmth:])
    return time.process_time() - began


async def cpu(setting: Setting) -> Round:
    """CPU microseconds a prompt, of each arm at each number of requests in flight."""
    found_pythons = {peer: python for peer in PEERS if (python := Foreign.found(peer, setting))}
    rounds = []
    for concurrency in setting.sizes.concurrency:
        server = setting.stack.enter_context(served())
        arms = await _arms(setting, server.url, concurrency)
        peers = {
            peer: setting.stack.enter_context(Foreign(peer, python, server.url))
            for peer, python in found_pythons.items()
        }
        rounds.append(partial(_round, arms, peers, setting.sizes.requests, concurrency))
        await rounds[-1](Random(0))  # the first one pays for imports and compiled templates
    random = Random(1)

    async def once() -> Figures:
        figures: Figures = {}
        for one, concurrency in zip(rounds, setting.sizes.concurrency, strict=True):
            figures |= compared(await one(random), concurrency)
        return figures

    return once


async def _arms(setting: Setting, url: str, concurrency: int) -> Arms:
    """How each arm asks, and what part of the requests it gets: the slow ones few."""
    enter, engine = setting.stack.enter_async_context, partial(Engine, url, concurrency)
    made, here = setting.made, f"cpu-{concurrency}"
    journal, both = Rules(journal=made(f"{here}/run")), Rules(journal=made(f"{here}/whole"))
    found: Arms = {
        "bare aiohttp": (await enter(bare(url, concurrency)), 1),
        "engine": (await enter(engine().open()), 1),
        "engine, cache": (await enter(engine(folder=made(f"{here}/1")).open()), 1),
        "engine, journal": (await enter(engine(rules=journal).open()), 1),
        "engine, cache and journal": (
            await enter(engine(folder=made(f"{here}/2"), rules=both).open()),
            1,
        ),
        "engine over the openai SDK": (await enter(engine(by_sdk=True).open()), SLOW),
        "openai SDK, aiohttp": (await enter(openai(url, concurrency, backend="aiohttp")), SLOW),
        "openai SDK": (await enter(openai(url, concurrency)), SLOW),
        "bare aiohttp, lists": (await enter(bare(url, concurrency, LIST)), 1),
        "engine, lists": (await enter(engine(LIST).open()), 1),
        "engine, cache, lists": (await enter(engine(LIST, made(f"{here}/3")).open()), 1),
    }
    return found


async def _round(
    arms: Arms, peers: dict[str, Foreign], requests: int, concurrency: int, random: Random
) -> Figures:
    """CPU microseconds a prompt of each arm, once."""
    source, found = Texts(), {}
    for name in random.sample([*arms, *peers], len(arms) + len(peers)):
        if name in peers:
            texts = source.fresh(max(concurrency, requests // FOREIGN))
            found[name] = peers[name].cpu(texts, concurrency) / len(texts) * 1e6
            continue
        ask, part = arms[name]
        listed = LIST if name.endswith("lists") else 1
        warmth, count = concurrency * listed, requests * min(listed, 4) // part
        seconds = await spent(ask, source.fresh(warmth + count), warmth)
        found[name] = seconds / count * 1e6
    return {name: found[name] for name in (*arms, *peers)}


def compared(found: Figures, concurrency: int) -> Figures:
    """With ratios to bare aiohttp, and of lists to one by one."""
    figures: Figures = {}
    for name, value in found.items():
        single = name.removesuffix(", lists")
        row = f"{name}, {concurrency} in flight"
        figures[f"{row} | us CPU a prompt"] = value
        base = "bare aiohttp" if name == single else "bare aiohttp, lists"
        if name != base:
            figures[f"{row} | times bare aiohttp"] = value / found[base]
        if single != name:
            figures[f"{row} | of one by one"] = value / found[single]
    return figures


if __name__ == "__main__":
    from performance import main

    sys.exit(main(["cpu", *[word for word in sys.argv[1:] if word != "cpu"]]))
