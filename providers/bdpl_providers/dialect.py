"""What sets one server apart from another, as far as it is known before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bdpl_async.scorer import Capabilities
from bdpl_providers.candidates import Candidate
from bdpl_providers.said import TOKENS
from bdpl_providers.tokenizer import LocalTokenizer

__all__ = ["Counter", "Dialect"]

PROBES = 4  # label ids, samples, temperature, and one that went wrong


class Counter(Protocol):
    """Counts tokens as the model does, or bounds their number."""

    async def count(self, strings: Sequence[str]) -> list[int]:
        """Tokens of each string, at most."""
        ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """What sets one server apart from another.

    Attributes:
        provider: stands before the slash in the scorer's name.
        model: its name on the server.
        base_url: part of what an answer depends on.
        candidates: the read-outs to try, best first.
        others: read-outs that it could have beside them, tried by a survey only.
        batch_prompts: texts per request that the user wants; None leaves it to the candidate.
        tokenizer: the model's own, where it is here.
        counter: counts prompt tokens where there is no such tokenizer; None counts bytes.
        warnings: what a person should know before anything is sent, a sentence each.
    """

    provider: str
    model: str
    base_url: str
    candidates: tuple[Candidate, ...]
    others: tuple[Candidate, ...] = ()
    batch_prompts: int | None = None
    tokenizer: LocalTokenizer | None = None
    counter: Counter | None = None
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """PROVIDER/MODEL."""
        return f"{self.provider}/{self.model}"

    @property
    def insists(self) -> bool:
        """Whether the user wants one read-out and no other, of several that there are."""
        names = {candidate.name for candidate in self.candidates}
        return len(names) == 1 and bool(self.others)

    def expected(self) -> Capabilities:
        """How to ask, as far as the dialect tells before the probe."""
        first = self.candidates[0]
        single = first.frame > 0  # a conversation holds one text
        return Capabilities(
            batch=1 if single else self.batch_prompts or first.batch,
            causal=True,
            readout=first.name,
            completion=TOKENS if first.name == "text" else 1,
            exact=self.tokenizer is not None and not first.frame,
            probes=PROBES,
            notes=self.warnings,
            timed=True,
        )
