"""What a provider must be: a name and one coroutine. Two more, `probe` and `count`, are welcome.

A scorer of one's own is a dozen lines:

    from bdpl_async import Reply, Score

    class Length:
        name = "mine/length"

        async def score(self, request):
            return Reply([Score(logprobs=(-len(t.before), 0.0)) for t in request.texts])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from bdpl_async.records import Reply, Request, Text

__all__ = ["Capabilities", "Counting", "Probing", "Scorer", "capabilities_of"]


class Scorer(Protocol):
    """A model that shows only label log-probabilities."""

    @property
    def name(self) -> str:
        """PROVIDER/MODEL, as in ``roberta/builtin``; stands in results and cache keys."""
        ...

    async def score(self, request: Request) -> Reply:
        """Weigh the label words at the mask of each text; raise `ProviderError` if all fail."""
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """How a scorer likes to be asked.

    Attributes:
        batch: texts per request that it takes gladly.
        order: `prompt` keeps texts with the same prompt together (a server's prefix cache);
            `length` sorts by length (a local model pads each batch to its longest text).
        concurrency: requests that it can have in flight; None leaves it to the user.
        local: runs on this machine, so that an answer costs nothing but time.
    """

    batch: int = 1
    order: Literal["prompt", "length"] = "prompt"
    concurrency: int | None = None
    local: bool = False


@runtime_checkable
class Probing(Protocol):
    """A scorer that can check a task before money is spent."""

    async def probe(self, request: Request) -> Capabilities:
        """Resolve the label words, look at a sample text, say how to ask.

        Raises:
            LabelError: a label word cannot be read off this model, or two share a token.
            ProviderRefused: the model cannot be used at all.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """A scorer that knows its tokenizer, so that a token budget is held tight."""

    async def count(self, texts: Sequence[Text]) -> list[int]:
        """The most tokens that each text can be billed for, sending nothing."""
        ...


def capabilities_of(scorer: Scorer) -> Capabilities:
    """What `scorer` says of itself in an attribute ``capabilities``, or the modest default."""
    found = getattr(scorer, "capabilities", None)
    return found if isinstance(found, Capabilities) else Capabilities()
