"""What a provider must be: a name and one coroutine. Two more, `probe` and `count`, are welcome.

A scorer of one's own is a dozen lines:

    from bdpl_async import Reply, Score

    class Length:
        name = "mine/length"

        async def score(self, request):
            return Reply([Score(logprobs=(-len(t.before), 0.0)) for t in request.texts])
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from bdpl_async.records import Billed, Price, Reply, Request, Text

__all__ = [
    "Capabilities",
    "Counting",
    "Keep",
    "Keyed",
    "Line",
    "Probing",
    "Recalling",
    "Scorer",
    "capabilities_of",
    "nothing",
]

Answer = TypeVar("Answer", bound=Billed)
Keep = Callable[[bytes], None]
"""Takes a piece of a probe's record: UTF-8 JSON of one exchange; no key of an account."""


def nothing(piece: bytes) -> None:
    """Keep no piece."""


class Scorer(Protocol):
    """A model that shows only label log-probabilities."""

    @property
    def name(self) -> str:
        """PROVIDER/MODEL, as in ``roberta/builtin``; stands in results and cache keys."""
        ...

    async def score(self, request: Request) -> Reply:
        """Weigh the label words at the mask of each text, by one request to the model.

        Raises:
            ProviderError: no text of the request got an answer. Whether it is sent again is the
                caller's business: a scorer never retries.
        """
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
        causal: reads only what stands before the mask.
        readout: how label probabilities are read, by its name in the configuration.
        completion: tokens that the model writes for one text, at most.
        exact: `Counting.count` counts as the model's tokenizer does, it is no mere bound.
        probes: requests that `probe` sends, at most, retries aside.
        timed: ends each request itself when its time is over.
        price: USD per million tokens, if it is known.
        notes: what a person should know: each fall-back, each warning, a sentence each.
    """

    batch: int = 1
    order: Literal["prompt", "length"] = "prompt"
    concurrency: int | None = None
    local: bool = False
    causal: bool = False
    readout: str | None = None
    completion: int = 0
    exact: bool = False
    probes: int = 0
    timed: bool = False
    price: Price | None = None
    notes: tuple[str, ...] = ()

    @property
    def decides(self) -> bool:
        """It says a label word and shows no probabilities: its scores order labels, no more."""
        return self.readout == "text"


class Line(Protocol):
    """A counted way to the model, which the gate lends to a probe."""

    async def __call__(
        self, exchange: Callable[[], Awaitable[Answer]], texts: Sequence[str]
    ) -> Answer:
        """``await exchange()``, one request, reserved for, retried where that helps, and counted.

        Args:
            exchange: sends the request anew whenever it is called.
            texts: what stands in it for the model to answer; none for a request that the model
                itself does not see, such as one to a tokenizer.
        """
        ...


@runtime_checkable
class Probing(Protocol):
    """A scorer that can check a task before money is spent."""

    async def probe(self, request: Request, line: Line) -> Capabilities:
        """Resolve the label words, try sample texts, say how to ask.

        Args:
            request: sample texts with the task's label words.
            line: the only way to send anything, so that probing is counted like all else.

        Raises:
            LabelError: a label word cannot be read off this model, or two share a token.
            ProviderRefused: the model cannot be used at all.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """A scorer that knows its tokenizer, so that a token budget is held tight."""

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...]) -> list[int]:
        """The most prompt tokens that each text can be billed for, sending nothing."""
        ...


@runtime_checkable
class Keyed(Protocol):
    """A scorer whose answers may be kept for later runs."""

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        """What the answer depends on, spelled out: the same bytes, the same answer.

        Canonical JSON of dialect, endpoint, model and revision, the body as if this text were
        sent alone, and the label words. It holds no key of an account.
        """
        ...


@runtime_checkable
class Recalling(Protocol):
    """A scorer that can repeat a probe from a record of it, sending nothing."""

    def circumstances(self, request: Request) -> bytes:
        """What a probe by `request` depends on, spelled out; no key of an account."""
        ...

    async def recorded(
        self, request: Request, line: Line, *, earlier: Sequence[bytes] = (), keep: Keep = nothing
    ) -> tuple[Capabilities, bytes]:
        """`Probing.probe`, and its record; what a probe that was cut off was told counts.

        Args:
            request: as of `Probing.probe`.
            line: likewise; what stands in `earlier` does not go over it, for it was counted.
            earlier: pieces that were kept of probes by the same request, in their order. One that
                is damaged is left out, so its exchange is sent again. Where they tell of a whole
                probe that ended in a refusal, all is sent again: the server may be mended.
            keep: gets a piece as soon as an exchange is decided, before anything else happens.

        Raises:
            Exception: what `keep` raised; the answer in question is counted by then.
        """
        ...

    async def recall(self, request: Request, record: bytes) -> Capabilities | None:
        """What the recorded probe found; None if the record does not tell."""
        ...


def capabilities_of(scorer: Scorer) -> Capabilities:
    """What `scorer` says of itself in an attribute ``capabilities``, or the modest default."""
    found = getattr(scorer, "capabilities", None)
    return found if isinstance(found, Capabilities) else Capabilities()
