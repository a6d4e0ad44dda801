"""How much of the wire each way to fill an update's end leaves idle: a simulation of slots.

    python benchmarks/wire.py
    python benchmarks/wire.py --updates 200 --seeds 20

An update is 80 requests, and the next one is drawn when all have answered. Latencies are
log-normal. At each update's end slots stand idle until the last straggler has answered, unless
one of these is done:

    lag L        the next L updates are under way meanwhile; nothing is sent twice or in vain
    hedge        what takes longer than 95 % of requests is sent once more; the first answer counts
    speculate    the next update is sent as the policy of before this one's answers would draw it,
                 with the same random numbers; what it draws otherwise was sent in vain

`speculate` needs to know how many of a step's prompts stay the same when the policy moves once:
that is measured on `bdpl_async.policy.Policy` with a known optimum, at the run's own step size.
"""

from __future__ import annotations

import argparse
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from statistics import mean, quantiles
from typing import Any

import numpy as np

from bdpl_async.policy import Policy, draw, max_kl_for

PROMPTS, TEXTS = 20, 4  # of an update
SIGMA = 0.5
LATE = math.exp(1.645 * SIGMA)  # of the median latency: the slowest twentieth


@dataclass
class Wire:
    """Slots and a clock; a request is one prompt's text of one update.

    Args:
        slots: requests in flight at most.
        latency: of the requests to come, in seconds.
    """

    slots: int
    latency: Iterator[float]
    now: float = 0.0
    sent: int = 0
    _flying: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def free(self) -> int:
        """Slots that stand idle."""
        return self.slots - len(self._flying)

    def send(self, update: int, key: int) -> None:
        """Send now."""
        heappush(self._flying, (self.now + next(self.latency), update, key))
        self.sent += 1

    def next(self) -> float:
        """When the next answer comes."""
        return self._flying[0][0] if self._flying else math.inf

    def wait(self) -> tuple[int, int]:
        """Go on to the next answer: which it is."""
        self.now, update, key = heappop(self._flying)
        return update, key


def lagging(wire: Wire, updates: int, lag: int) -> None:
    """An update is drawn as soon as the one `lag` + 1 before it has answered whole."""
    size = PROMPTS * TEXTS
    left, told = [size] * updates, 0
    queue: deque[int] = deque()
    begun = 0
    while told < updates:
        while begun < min(updates, told + lag + 1):
            queue.extend([begun] * size)
            begun += 1
        while queue and wire.free:
            wire.send(queue.popleft(), 0)
        update, _ = wire.wait()
        left[update] -= 1
        while told < updates and not left[told]:
            told += 1


def hedging(wire: Wire, updates: int) -> None:
    """Slots that would stand idle send what is late once more."""
    for update in range(updates):
        size = PROMPTS * TEXTS
        queue, due = deque(range(size)), deque[tuple[float, int]]()
        missing = set(range(size))
        while missing:
            while queue and wire.free:
                due.append((wire.now + LATE, queue[0]))
                wire.send(update, queue.popleft())
            if not queue and wire.free and due and due[0][0] < wire.next():
                when, key = due.popleft()
                wire.now = max(wire.now, when)
                if key in missing:
                    wire.send(update, key)
                continue
            of, key = wire.wait()
            if of == update:
                missing.discard(key)


def speculating(wire: Wire, updates: int, same: float, random: Random) -> None:
    """Slots that would stand idle send what the next update will probably be."""
    ahead: set[int] = set()  # of this update: sent before it was drawn
    answered: set[int] = set()
    for update in range(updates):
        kept = {prompt for prompt in range(PROMPTS) if random.random() < same}
        ahead = {key for key in ahead if key // TEXTS in kept}
        missing = set(range(PROMPTS * TEXTS)) - (answered & ahead)
        queue = deque(sorted(missing - ahead))
        ahead, answered, guesses = set(), set(), deque(range(PROMPTS * TEXTS))
        while missing:
            while wire.free and (queue or guesses):
                if queue:
                    wire.send(update, queue.popleft())
                else:
                    ahead.add(guesses[0])
                    wire.send(update + 1, guesses.popleft())
            of, key = wire.wait()
            if of == update:
                missing.discard(key)
            elif of == update + 1:
                answered.add(key)


def unchanged(updates: int, size: int = 200, length: int = 10) -> float:
    """Share of a step's prompts that the policy of one step earlier would have drawn as well."""
    policy = Policy(length, size, max_kl=max_kl_for(updates, size), share=3.0)
    worth = np.random.default_rng(0).normal(size=size)
    same = []
    for step in range(updates):
        before = policy.probabilities
        noise = np.random.default_rng([1, step])
        samples = policy.ask(np.random.default_rng([0, step]), PROMPTS)
        policy.tell(samples, -worth[samples].sum(axis=1) + noise.normal(size=PROMPTS))
        ahead = np.random.default_rng([0, step + 1])
        guess = draw(before, ahead, PROMPTS)
        drawn = draw(policy.probabilities, np.random.default_rng([0, step + 1]), PROMPTS)
        same.append((guess == drawn).all(axis=1).mean())
    return float(np.mean(same))


def learned(updates: int, lag: int, seed: int, size: int = 200, length: int = 10) -> float:
    """Worth of the best guess after so many updates, 1 for the best prompt that there is.

    A token is worth as much wherever it stands, plus what it is worth at its place; a minibatch
    adds noise as large as the spread of random prompts.
    """
    random = np.random.default_rng([2, seed])
    worth = random.normal(size=(1, size)) + 0.5 * random.normal(size=(length, size))
    policy = Policy(length, size, max_kl=max_kl_for(updates, size), share=3.0)
    places, spread = np.arange(length), float(np.sqrt(1.25 * length))
    asked = deque[np.ndarray[Any, Any]]()
    for step in range(updates + lag):
        if step < updates:
            asked.append(policy.ask(random, PROMPTS))
        if step >= lag:
            samples = asked.popleft()
            noise = spread * random.normal(size=PROMPTS)
            policy.tell(samples, -worth[places, samples].sum(axis=1) + noise)
    best = policy.probabilities.argmax(axis=1)
    return float(worth[places, best].sum() / worth.max(axis=1).sum())


def latencies(seed: int) -> Iterator[float]:
    """Seconds, with a median of one."""
    random = Random(seed)
    while True:
        yield random.lognormvariate(0.0, SIGMA)


def share(way: str, slots: int, updates: int, seed: int, same: float) -> tuple[float, float]:
    """The ideal wall clock for what had to be sent, of the one it took; requests over those."""
    wire = Wire(slots, latencies(seed))
    if way == "hedge":
        hedging(wire, updates)
    elif way == "speculate":
        speculating(wire, updates, same, Random(seed))
    else:
        lagging(wire, updates, int(way.removeprefix("lag ")))
    needed = updates * PROMPTS * TEXTS
    ideal = needed * math.exp(SIGMA * SIGMA / 2) / slots
    return ideal / wire.now, wire.sent / needed - 1.0


def costs(seeds: int) -> None:
    """A table of what a lag costs in learning, at the same number of updates."""
    lengths = (10, 25, 50, 100, 200)
    print("| | " + " | ".join(f"{updates} updates" for updates in lengths) + " |")
    print("|---|" + "---|" * len(lengths))
    base = {n: np.array([learned(n, 0, seed) for seed in range(seeds)]) for n in lengths}
    print("| lag 0 | " + " | ".join(f"{base[n].mean():.3f}" for n in lengths) + " |")
    for lag in (1, 2, 4, 8):
        cells = []
        for n in lengths:
            more = np.array([learned(n, lag, seed) for seed in range(seeds)]) - base[n]
            cells.append(f"{more.mean():+.3f} ± {1.96 * more.std(ddof=1) / seeds**0.5:.3f}")
        print(f"| lag {lag} | " + " | ".join(cells) + " |")


def main(updates: int, seeds: int) -> None:
    """A table of all ways, and one of what a lag costs."""
    same = unchanged(updates)
    print(f"{same:.1%} of a step's prompts are drawn alike one step earlier\n")
    print("| | " + " | ".join(f"{slots} in flight" for slots in SLOTS) + " | sent in vain |")
    print("|---|" + "---|" * (len(SLOTS) + 1))
    for way in WAYS:
        cells, vain = [], 0.0
        for slots in SLOTS:
            found = [share(way, slots, updates, seed, same) for seed in range(seeds)]
            ideal = [one[0] for one in found]
            low, _, high = quantiles(ideal, n=4) if seeds > 1 else (ideal[0],) * 3
            cells.append(f"{mean(ideal):.3f} ({low:.3f}-{high:.3f})")
            vain = max(vain, mean(one[1] for one in found))
        print(f"| {way} | " + " | ".join(cells) + f" | up to {vain:.1%} |")
    print()
    costs(10 * seeds)


WAYS = ("lag 0", "lag 1", "lag 2", "lag 4", "hedge", "speculate")
SLOTS = (8, 32, 64, 128, 256)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    main(**vars(parser.parse_args()))
