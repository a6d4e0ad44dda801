"""What became of a text, as it stands in a journal, and back, bit for bit.

An answer is a list of its name, its label log-probabilities, mass, censored flags and tokens; a
failure is a list of its name, the error's class, what it said, and the request's fate.
"""

from __future__ import annotations

import math
from typing import Any, Final

from bdpl_async.caching.cache import Entry
from bdpl_async.errors import ProviderError, RequestFailed, ServerFault, UnusableAnswer
from bdpl_async.records import Score

__all__ = ["LASTING", "Found", "found", "row", "size"]

Found = Entry | ProviderError
"""A paid answer, or why there is none."""

MESSAGE: Final = 300  # bytes of what an error said, and of its hint
SPELLED: Final = {code: "?" for code in range(32) if chr(code) not in "\b\t\n\f\r"}
"""Characters that JSON spells with six others."""
KINDS: Final = {kind.__name__: kind for kind in (UnusableAnswer, ServerFault, RequestFailed)}
LASTING: Final = tuple(KINDS.values())
"""Failures of a text itself; that a server could not be reached is none."""


def size(labels: int) -> int:
    """Bytes of a row, at most, and of the names of its text beside."""
    return 4 * MESSAGE + 300 + 26 * labels


def row(name: bytes, outcome: Found) -> list[Any]:
    """The row of one text."""
    if isinstance(outcome, Entry):
        score = outcome.score
        censored = "".join(["01"[flag] for flag in score.censored]) if score.censored else ""
        tokens = outcome.prompt_tokens, outcome.completion_tokens
        return [name.hex(), score.logprobs, score.mass, censored, *tokens]
    kind = next(name for name, kind in KINDS.items() if isinstance(outcome, kind))
    hint = None if outcome.hint is None else _short(outcome.hint)
    return [name.hex(), kind, _short(str(outcome.args[0])), hint, outcome.fate, outcome.retryable]


def found(stands: list[Any]) -> tuple[bytes, Found]:
    """What a row says.

    Raises:
        TypeError, ValueError, KeyError: it is none.
    """
    name, second, *rest = stands
    if isinstance(second, str):
        return bytes.fromhex(name), _error(second, *rest)
    mass, censored, prompt, completion = rest
    logprobs = tuple([-math.inf if number is None else float(number) for number in second])
    flags = tuple([flag == "1" for flag in censored])
    return bytes.fromhex(name), Entry(Score(logprobs, mass, flags), int(prompt), int(completion))


def _short(said: str) -> str:
    """As much of it as JSON spells in twice `MESSAGE` bytes."""
    spelled = said.translate(SPELLED).encode("utf-8", "replace")
    return spelled[:MESSAGE].decode("utf-8", "ignore")


def _error(
    kind: str, message: str, hint: str | None, fate: str, retryable: object
) -> ProviderError:
    if kind == UnusableAnswer.__name__:
        return UnusableAnswer(message, hint=hint, retryable=bool(retryable))
    made = {"RequestFailed": RequestFailed, "ServerFault": ServerFault}[kind]
    match fate:
        case "unsent" | "refused" | "unknown":
            return made(message, hint=hint, fate=fate)
        case _:
            raise ValueError(fate)
