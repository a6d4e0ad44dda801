"""What learns and what it learns with: a policy's step, and the vocabulary of a large text.

    python benchmarks/learner.py 100      the vocabulary of 100 MB in a process of its own, as JSON

The text is made of our own words: pseudo-words as frequent as a language's, in short sentences.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import median

import numpy as np
from figures import Figures, Round, Setting
from places import environment

from bdpl_async.paper import PaperPolicy
from bdpl_async.policy import Policy, PromptPolicy
from bdpl_async.vocabulary import pmi_vocabulary

LENGTH, SIZE, SAMPLES = 75, 2_000, 20  # n, N, I: the paper's largest
SHARE = 3.0  # as runs have it
KNOWN = 50_000  # words
LONG = 120  # words a text


async def policy(setting: Setting) -> Round:
    """Milliseconds of `ask` and `tell` together."""
    makers: dict[str, Callable[[], PromptPolicy]] = {
        "policy": lambda: Policy(LENGTH, SIZE, share=SHARE),
        "policy of the paper": lambda: PaperPolicy(LENGTH, SIZE),
    }

    async def once() -> Figures:
        row = f"one step, n={LENGTH}, N={SIZE:,}, I={SAMPLES} | ms"
        return {
            f"{name}, {row}": _step(make(), setting.sizes.steps) for name, make in makers.items()
        }

    await once()
    return once


def _step(policy: PromptPolicy, steps: int) -> float:
    """Milliseconds, the median; CPU time would count what NumPy's threads wait for each other."""
    rng, found = np.random.default_rng(0), []
    for _ in range(steps):
        losses = rng.normal(size=SAMPLES)
        began = time.perf_counter()
        samples = policy.ask(rng, SAMPLES)
        policy.tell(samples, losses)
        found.append((time.perf_counter() - began) * 1e3)
    return median(found)


async def vocabulary(setting: Setting) -> Round:
    """200 candidates of so many MB."""

    async def once() -> Figures:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, str(setting.sizes.megabytes)),
            stdout=asyncio.subprocess.PIPE,
            env=environment(),
        )
        said, _ = await process.communicate()
        found = json.loads(said)
        row = f"vocabulary of {setting.sizes.megabytes:g} MB of text"
        return {
            f"{row} | s CPU": found["seconds"],
            f"{row} | MB/s": found["megabytes"] / found["seconds"],
            f"{row} | MB in memory at most": found["peak"],
            f"{row} | MB in memory before": found["before"],
        }

    return once


def texts(megabytes: float) -> list[str]:
    """So many MB; a third of the words stand in front of a full stop or a comma."""
    random, found, size = Random(0), [], 0.0
    words = ["".join(random.choices("aeioulnrstmdkp", k=2 + n % 9)) for n in range(KNOWN)]
    weights = list(accumulate(1 / (rank + 2.7) for rank in range(KNOWN)))
    while size < megabytes * 1e6:
        drawn = random.choices(words, cum_weights=weights, k=100 * LONG)
        for start in range(0, len(drawn), LONG):
            parts = [" ".join(drawn[at : at + 20]) for at in range(start, start + LONG, 20)]
            found.append(", ".join(parts[:3]) + ". " + ", ".join(parts[3:]) + ".")
            size += len(found[-1])
    return found


def _peak() -> float:
    """MB in memory at most until now; `getrusage` would count what the parent had."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def measured(megabytes: float) -> dict[str, float]:
    """Seconds, and MB in memory before and at most."""
    given = texts(megabytes)
    before = _peak()
    began = time.process_time()
    assert len(pmi_vocabulary(given, 200)) == 200
    seconds = time.process_time() - began
    peak = _peak()
    size = sum(map(len, given)) / 1e6
    return {"seconds": seconds, "megabytes": size, "before": before, "peak": peak}


if __name__ == "__main__":
    print(json.dumps(measured(float(sys.argv[1]))))
