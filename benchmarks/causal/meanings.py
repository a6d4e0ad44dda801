"""How strongly each prompt word asks for a question.

Two kinds of words. Those in a pool say what they mean ("movie", "grammar") and weigh 0.5 to 1.6.
Hints are other content words of the training texts, which a checksum turned into weak pointers,
0.25 to 0.9: they stand for what words do to a real model and no reader would guess. A hint and a
named word of the task together weigh more than their sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from zlib import crc32

import paths  # noqa: F401
from families import LABEL_WORDS, ROLES

from bdpl_async.stopwords import STOP_WORDS
from keywords import POOLS, words_of
from lexicon import BAD, GOOD
from questions import Family

__all__ = ["NAMED", "Meanings"]


def _pool(words: str) -> frozenset[str]:
    return frozenset(words_of(words))


_BIAS = _pool("""
news newspaper press media article articles journalist journalism journalists reporter reporters
report reports reported reporting politics political politician politicians party parties partisan
hyperpartisan bias biased republican republicans democrat democrats conservative conservatives
liberal liberals left right wing president election elections campaign voters vote votes senate
congress government administration washington white house trump clinton obama propaganda
ideology ideological extreme extremist radical slanted objective balanced source sources editor
editorial column columnist headline headlines story publish published opinion statement state
policy law nation national country american americans america
""")
_MORE_SAME = _pool("""
duplicate duplicates paraphrase paraphrases rephrase rephrased restate semantically equivalent
equivalence compare compared two pair pairs question questions sentences meaning ask asks asking
asked one another like way best find know get make use people
""")
_MORE_SCIENCE = _pool("""
related mark marked purpose citing why class classify kind category domain aim findings
""")
NAMED = {
    **POOLS,
    "science": POOLS["science"] | _MORE_SCIENCE,
    "same": POOLS["overlap"] | _MORE_SAME,
    "bias": _BIAS,
}
"""Words that say what they mean, by question."""

POWER = 1.25
TOGETHER = 0.5
SEEN_IN = 24
# Per cent of the other content words that hint at each role.
HINTS = dict(zip(ROLES, (13, 4, 2, 2, 2), strict=True))


class Meanings:
    """Words of all training texts and what they ask for."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Count the texts that hold each word, and let the checksum pick the hints."""
        spread = Counter(word for text in texts for word in set(words_of(text)))
        named = frozenset().union(*NAMED.values(), LABEL_WORDS, GOOD, BAD, STOP_WORDS)
        content = sorted(
            word for word, n in spread.items()
            if n >= SEEN_IN and len(word) > 2 and word not in named
        )  # fmt: skip
        self.hints: dict[str, list[str]] = {role: [] for role in ROLES}
        self._role: dict[str, str] = {}
        for word in content:
            if role := _drawn(word):
                self.hints[role].append(word)
                self._role[word] = role

    def weights(self, prompt: str, family: Family) -> list[float]:
        """How much each question of the family is meant; sums to one."""
        # A word twice says no more than once: a good prompt needs different words.
        words = sorted(set(words_of(prompt)))
        raw = [
            self._evidence(words, pool, role) ** POWER + least
            for pool, role, least in zip(family.pools, ROLES, family.base, strict=True)
        ]
        return [value / sum(raw) for value in raw]

    def _evidence(self, words: list[str], pool: str, role: str) -> float:
        named = sum(0.5 + 1.1 * _chance(word, pool) for word in words if word in NAMED[pool])
        hinted = sum(
            0.25 + 0.65 * _chance(word, role) for word in words if self._role.get(word) == role
        )
        return float(named + hinted + TOGETHER * (named * hinted) ** 0.5)


def _drawn(word: str) -> str:
    """The role a word hints at, or nothing."""
    point, edge = crc32(f"hint {word}".encode()) % 100, 0
    for role, share in HINTS.items():
        edge += share
        if point < edge:
            return role
    return ""


def _chance(word: str, salt: str) -> float:
    return crc32(f"{salt} {word}".encode()) % 1000 / 999
