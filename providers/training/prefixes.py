"""Prefixes: short word sets that name a question, mixed with noise, often missing."""

from __future__ import annotations

from random import Random

from keywords import POOLS, count, words_of

EMPTY = 0.22
MAX_WORDS = 14
POWER = 1.5
CLOSERS = ("",) * 12 + (":", ":", ".", "?")


class PrefixMaker:
    """Draws prefixes for a family of questions, noise taken from the corpus itself."""

    def __init__(self, texts: list[str]) -> None:
        """Cut ``texts`` into words; one-word and two-word noise is drawn from them."""
        self._lines = [words for words in map(words_of, texts) if len(words) > 2]
        self._pools = {name: sorted(pool) for name, pool in POOLS.items()}

    def draw(self, rng: Random, pools: tuple[str, ...]) -> str:
        """One prefix, perhaps empty, mostly about one of ``pools``."""
        if rng.random() < EMPTY:
            return ""
        size = rng.randint(1, MAX_WORDS)
        about = rng.randint(0, min(size, rng.choice((1, 2, 4, 8, 14))))
        main = rng.choice(pools) if rng.random() < 0.6 else pools[0]
        words: list[str] = []
        while len(words) < about:
            pool = main if rng.random() < 0.8 else rng.choice(pools)
            words.append(rng.choice(self._pools[pool]))
        while len(words) < size:
            words.extend(self._noise(rng))
        rng.shuffle(words)
        return _dress(rng, " ".join(words))

    def _noise(self, rng: Random) -> list[str]:
        if rng.random() < 0.08:
            return [rng.choice(self._pools[rng.choice(list(self._pools))])]
        line = rng.choice(self._lines)
        start = rng.randrange(len(line))
        return [" ".join(line[start : start + rng.choice((1, 1, 2))])]


def weights(prefix: str, pools: tuple[str, ...], base: tuple[float, ...]) -> list[float]:
    """How much each question is meant: a soft function of its words in the prefix.

    The questions' bases keep a lone keyword from settling the matter, so that a search
    sees accuracy rise word by word and not in one step.
    """
    raw = [hits**POWER + least for hits, least in zip(count(prefix, pools), base, strict=True)]
    return [value / sum(raw) for value in raw]


def _dress(rng: Random, prefix: str) -> str:
    if rng.random() < 0.15:
        prefix = prefix[:1].upper() + prefix[1:]
    return prefix + rng.choice(CLOSERS)
