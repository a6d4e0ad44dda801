"""Greedy coordinate search: find the tokens that help, then place them one at a time.

Influence pruning  every candidate is tried as a prompt of one token; what it changes the loss by is
                   its influence (ClaPS: Zhou et al. 2023, arXiv 2310.12774); the better half stays
Coordinate search  the prompt grows from empty, its tokens are replaced, position by position; once
                   none gains by the pool any more, the other candidates get their turn again

A minibatch is judged against itself alone: the incumbent is in every ask, and what counts is the
excess over it. A token takes a place when its mean excess lies `SURE` standard errors below zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bdpl_async.methods.method import known
from bdpl_async.policy import Indices, Snapshot
from bdpl_async.records import Prompt

__all__ = ["GreedySearch"]

SHARE = 1 / 3  # of the planned updates, at most, for influence; a random part of more candidates
KEPT = 0.5  # of the candidates looked at
SURE = 2.5  # standard errors; the best of many looks good by chance
CHANCE = 4  # one proposal in so many is drawn from the rest of the pool: no search in circles
TRIES = 1.5  # at least, so that no token is placed on the one minibatch that singled it out
FADE = 0.5  # what a trial still counts after the prompt around it has changed
ROUNDS = 8  # minibatches for a position that nothing improves, before the next one's turn
REMEMBERED = 64  # former incumbents
OPEN = -1

Floats = NDArray[np.float64]


class GreedySearch:
    """The rival that changes one token at a time.

    Args:
        length: n, the most positions filled; a prompt that nothing improves stays shorter.
        vocabulary: N candidates.
        updates: planned, to share between influence and search.
    """

    def __init__(self, length: int, vocabulary: tuple[str, ...], updates: int) -> None:
        size = len(vocabulary)
        self._vocabulary = vocabulary
        self._looks = max(1, int(SHARE * updates))
        self._row: Indices = np.full(length, OPEN, np.int64)
        self._former: Indices = np.zeros((0, length), np.int64)
        self._order: Indices = np.zeros(0, np.int64)  # in which candidates are looked at
        self._pool: Indices = np.zeros(0, np.int64)  # candidates kept; none: still looking
        self._asked: Indices = np.zeros(0, np.int64)
        self._total: Floats = np.zeros(size)  # of what each token was worth, less is better
        self._tries: Floats = np.zeros(size)
        self._noise: Floats = np.zeros(2)  # squared surprises, and how many
        self._steps = self._looked = self._place = self._round = 0
        self._still = 0  # positions left as they were, one after another

    def ask(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """The incumbent, and up to `count` - 1 prompts that differ from it at one position."""
        if not len(self._order):
            self._order = rng.permutation(len(self._vocabulary))
        if len(self._pool):
            self._asked = self._proposed(rng, count - 1)
        else:
            self._asked = self._order[self._looked : self._looked + count - 1]
        return [self.best(), *(self._prompt(self._changed(j)) for j in self._asked)]

    def tell(self, losses: Floats) -> float:
        """Count what every answered pair says; nothing without the incumbent's loss. KL: none."""
        if not known(losses).any():
            return 0.0
        self._steps += 1
        excess = losses[1:] - losses[0]
        heard = np.isfinite(excess)
        tokens, values = self._asked[heard], excess[heard] + self._worth(self._row[self._place])
        self._learn(tokens, values)
        if len(self._pool):
            self._round += len(tokens) > 0
            self._decide(tokens)
            return 0.0
        self._looked += len(self._asked)
        if self._looked == len(self._vocabulary) or self._steps >= self._looks:
            keep = max(2, int(np.ceil(KEPT * self._looked)))
            self._pool = self._ranked(np.arange(len(self._vocabulary)))[:keep]
        return 0.0

    def best(self) -> Prompt:
        """The incumbent; empty until a token has proved itself."""
        return self._prompt(self._row)

    def entropy(self) -> float:
        """There is no distribution."""
        return 0.0

    def finalists(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """The incumbent, those before it, newest first, then its most promising neighbours."""
        rows = [self._row, *self._former[::-1][: count // 2]]
        tokens = self._ranked(np.arange(len(self._vocabulary)))[: 2 * count]  # more than are needed
        for step in range(self._reach):
            place = (self._place + step) % self._reach
            rows += [self._changed(j, place) for j in tokens]
        return list(dict.fromkeys(map(self._prompt, rows)))[:count]

    def snapshot(self) -> Snapshot:
        """All state as arrays that later updates do not touch."""
        counters = [self._steps, self._looked, self._place, self._round, self._still]
        return {
            "row": self._row.astype(np.float64),
            "former": self._former.astype(np.float64),
            "order": self._order.astype(np.float64),
            "pool": self._pool.astype(np.float64),
            "total": self._total.copy(),
            "tries": self._tries.copy(),
            "noise": self._noise.copy(),
            "counters": np.array(counters, np.float64),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Be exactly as at `snapshot`."""
        self._row = snapshot["row"].astype(np.int64)
        self._former = snapshot["former"].astype(np.int64)
        self._order = snapshot["order"].astype(np.int64)
        self._pool = snapshot["pool"].astype(np.int64)
        self._total = snapshot["total"].copy()
        self._tries = snapshot["tries"].copy()
        self._noise = snapshot["noise"].copy()
        counters = map(int, snapshot["counters"])
        self._steps, self._looked, self._place, self._round, self._still = counters

    def _worth(self, token: int) -> float:
        """What a token changes the loss by, shrunk to zero by one trial; an open place: nothing."""
        return 0.0 if token == OPEN else float(self._total[token] / (self._tries[token] + 1))

    def _ranked(self, tokens: Indices) -> Indices:
        """`tokens` without the one that stands at the place now, most useful first."""
        others = tokens[tokens != self._row[self._place]]
        worth = self._total[others] / (self._tries[others] + 1)
        ranked: Indices = others[np.argsort(worth, kind="stable")]
        return ranked

    def _proposed(self, rng: np.random.Generator, count: int) -> Indices:
        """The most useful of the pool, and some of its others by chance."""
        ranked = self._ranked(self._pool)
        sure = max(1, count - max(1, count // CHANCE))
        return np.concatenate([ranked[:sure], rng.permutation(ranked[sure:])])[:count]

    @property
    def _deviation(self) -> float:
        """Of one trial, from how far repeated ones disagree."""
        return float(np.sqrt(self._noise[0] / max(self._noise[1], 1.0)))

    def _learn(self, tokens: Indices, values: Floats) -> None:
        """Add a trial of each token; how far repeated ones disagree is the noise."""
        tries = self._tries[tokens]
        surprise = values - self._total[tokens] / np.where(tries > 0, tries, 1.0)
        self._noise[0] += (surprise**2 * tries / (tries + 1)).sum()
        self._noise[1] += (tries > 0).sum()
        self._total[tokens] += values
        self._tries[tokens] += 1

    def _decide(self, tokens: Indices) -> None:
        """Give the place to the surest improvement among `tokens`, or move on after a while."""
        tokens = tokens[self._tries[tokens] >= TRIES]
        tries = self._tries[tokens]
        margin = SURE * self._deviation / np.sqrt(tries)
        bound = self._total[tokens] / tries + margin - self._worth(self._row[self._place])
        if len(tokens) and bound.min() < 0:
            self._former = np.vstack([self._former, self._row])[-REMEMBERED:]
            self._row = self._changed(tokens[np.argmin(bound)])
            self._total *= FADE
            self._tries *= FADE
            self._still = 0
        elif self._round < ROUNDS:
            return
        else:
            self._still += 1
        if self._still == self._reach:  # no position gains by the pool
            self._pool = np.arange(len(self._vocabulary))
        self._place = (self._place + 1) % self._reach
        self._round = 0

    @property
    def _reach(self) -> int:
        """Positions to work on: those filled, and the next one."""
        return min(int((self._row != OPEN).sum()) + 1, len(self._row))

    def _changed(self, token: int, place: int | None = None) -> Indices:
        row = self._row.copy()
        row[self._place if place is None else place] = token
        return row

    def _prompt(self, row: Indices) -> Prompt:
        return Prompt(tuple(self._vocabulary[j] for j in row if j != OPEN))
