"""How the texts of a column usually look, as a small regular expression that cannot run away.

Two data sets may share columns and label values and yet be told apart at a glance: one is in lower
case, the other asks questions. A look says so. Python's expressions can take exponential time, so
only those are let in that cannot: no groups but lookaheads, and two repeats at most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Look"]

LONGEST = 200  # characters of an expression
REPEATS = 2  # each multiplies the time by the length of a text
READ = 1000  # characters of a text that are looked at
SAMPLED = 200  # rows, spread over the file
SHARE = 0.5  # of the rows must look so

_COMMENT = re.compile(r"\(\?#([^)]*)\)")
_PLAIN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""An escaped character or a class: nothing in it repeats or groups."""


@dataclass(frozen=True, slots=True)
class Look:
    """One column's expression, and what it means in words."""

    pattern: re.Pattern[str]
    words: str

    @classmethod
    def parse(cls, text: str) -> Look:
        """Read an expression; its comment, ``(?#...)``, says in words what it expects.

        It is matched from the start of a text; a dot stands for any character.

        Raises:
            ValueError: it is no regular expression, or one that may take for ever.
        """
        if len(text) > LONGEST:
            raise ValueError(f"longer than {LONGEST} characters")
        comment = _COMMENT.search(text)
        bare = _COMMENT.sub("", text)
        _refuse_slow(bare)
        try:
            pattern = re.compile(bare, re.DOTALL)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return cls(pattern, comment[1].strip() if comment else f"as in {bare!r}")

    def miss(self, texts: Sequence[str]) -> tuple[int, int, int] | None:
        """How many of how many texts look so and the index of the first that does not.

        None where at least half of them do. Of many texts a sample is looked at.
        """
        step = max(1, -(-len(texts) // SAMPLED))
        places = range(0, len(texts), step)
        odd = [i for i in places if not self.pattern.match(texts[i][:READ])]
        right = len(places) - len(odd)
        return (right, len(places), odd[0]) if right < SHARE * len(places) else None


def _refuse_slow(text: str) -> None:
    bare = _PLAIN.sub("x", text)
    if re.search(r"\((?!\?[=!])", bare):
        raise ValueError("only lookaheads, (?=...) and (?!...), may stand in brackets")
    if re.search(r"\)[*+?{]", bare):
        raise ValueError("a group must not repeat")
    repeats = len(re.findall(r"[*+{]|(?<!\()\?", bare))
    if repeats > REPEATS:
        raise ValueError(f"{repeats} repeats, and more than {REPEATS} may take for ever")
