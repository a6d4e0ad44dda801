"""What hostile input is made of, how much of it is tried, and what may reach a terminal.

`BDPL_FUZZ=N` in the environment tries N times as many examples, other ones each time; without it
a suite tries a few, always the same.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["ALL", "BIDI", "MARKS", "SPELLS", "TEXTS", "examples", "mutated", "obeyed", "plain"]

TIMES: Final = max(1, int(os.environ.get("BDPL_FUZZ") or 1))
BIDI: Final = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
MARKS: Final = "\u061c\u200e\u200f\ufeff\u2028\u2029"
"""They turn the direction, vanish, or end a line where nobody expects it."""

SPELLS: Final = (
    "\x1b[2J\x1b[H",
    "\x1b]8;;https://example.org\x07click\x1b]8;;\x07",
    "\x1b]52;c;cm0gLXJmIC8=\x1b\\",
    "\x9b31m\x90q\x9c",
    "\u202egnp.exe\u2066",
    "\u2028bdpl-async: all is well\u2029\x85\x0b\x0c",
    "\r\nbdpl-async: forged",
    "\x07\x08\x08\x7f\ufeff",
    "{prompt}",
    "{mask}",
    "{{}}",
    "{0.__class__}",
    "{text!r:>1000000000}",
    "%s%n%(x)s $HOME `id` $(id)",
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\uff1d1",
    " =1",
    "</script><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "[bold red]x[/] [/]",
    "javascript:alert(1)",
    "-->]]>&lt;&#0;",
    "e\u0301\u0327\U0001f468\u200d\U0001f469\u200d\U0001f467\ufe0f",
    "\U000e0041\ufff9\ufffe\U0010ffff",
    "\xdf\u0130\u0131\ufb03",
    "",
    " ",
    "\u00a0\u3000",
    "x" * 300,
    "None",
    "../../etc/passwd",
)
ALL: Final = "".join(SPELLS)

TEXTS: Final = st.lists(st.sampled_from(SPELLS) | st.text(max_size=6), min_size=1, max_size=3).map(
    "".join
)
"""Texts of every kind of character but half surrogate pairs, which UTF-8 cannot spell."""


def examples(count: int) -> settings:
    """So many examples, times `BDPL_FUZZ`; what they write goes into one folder, over and over."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
        ],
    )


@st.composite
def mutated(draw: st.DrawFn, good: bytes, pieces: st.SearchStrategy[bytes]) -> bytes:
    """`good` with some stretches replaced by pieces, doubled, or cut off."""
    raw = good
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 12)))
        raw = raw[:start] + draw(pieces) + raw[end:]
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 9)) == 0 else raw


def obeyed(text: str) -> list[str]:
    """The characters of `text` that a terminal obeys, or that turn or break a line unseen."""
    return [one for one in text if one != "\n" and _obeyed(one)]


def _obeyed(one: str) -> bool:
    kind = unicodedata.category(one)
    return kind in ("Cc", "Cs") or one in MARKS or unicodedata.bidirectional(one) in BIDI


def plain(said: str, *, lines: int = 8, longest: int = 520) -> bool:
    """Whether a message is a few lines of printable text and no Python of ours."""
    told = said.split("\n")
    short = len(told) <= lines + 1 and all(len(line) <= longest for line in told)
    return short and not obeyed(said) and "Traceback" not in said
