"""What travels to a server and back, and the two halves of asking: a transport and a read-out.

    texts --Readout.body--> JSON --Transport.post--> Answer --Readout.scores--> Score, ...

A transport knows HTTP and no labels; a read-out knows labels and no HTTP.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bdpl_async.errors import UnusableAnswer
from bdpl_async.records import Quota, Score, Usage

__all__ = ["Answer", "Document", "Exchanging", "Readout", "Transport", "frame"]

Document = Mapping[str, object]
"""A JSON object as parsed; whoever reads it trusts nothing in it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx reply: its JSON object, the usage that it reports, what is left of the limits."""

    document: Document
    usage: Usage = field(default_factory=Usage)
    quotas: tuple[Quota, ...] = ()

    @property
    def answered(self) -> int | None:
        """All that were sent."""
        return None


Exchanging = Coroutine[Any, Any, Answer]
"""What an ``async def`` gives that is called and not awaited yet."""


class Transport(Protocol):
    """Sends one request and gives back one answer; never retries, never follows a redirect."""

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        """POST `body` as JSON.

        Args:
            path: below the base URL, as in ``/completions``.
            body: a JSON object.
            root: `path` counts from the server's root, beside ``/v1``, as ``/tokenize`` does.

        Raises:
            ProviderError: with its fate; the server's own words are in the message.
        """
        ...

    async def get(self, path: str) -> Answer:
        """GET a JSON object, as from ``/models``."""
        ...


class Readout(Protocol):
    """One way to read the label words' probabilities off a server, bound to model and labels.

    Pure: it writes bodies and reads documents.
    """

    @property
    def name(self) -> str:
        """As in the configuration: token-ids, logprobs, chat, decisions or text."""
        ...

    @property
    def path(self) -> str:
        """Where to post, below the base URL."""
        ...

    @property
    def lists(self) -> bool:
        """Whether one body holds several texts."""
        ...

    @property
    def completion(self) -> int:
        """Tokens that the model writes for one text, at most."""
        ...

    def body(self, texts: Sequence[str]) -> dict[str, object]:
        """The JSON object that asks for these texts; exactly one text unless `lists`.

        Each stands in it whole and as it is, perhaps amid other words, and decides nothing else.
        """
        ...

    def scores(self, document: Document, count: int) -> list[Score | UnusableAnswer]:
        """One outcome per text, in the order of the body, whatever the document holds."""
        ...


def frame(body: object) -> list[str]:
    """The strings of a body that frames its text with words of its own; none of a plain prompt."""
    if isinstance(body, dict):
        if "prompt" in body:
            return []
        return [part for key, value in body.items() if key != "model" for part in frame(value)]
    if isinstance(body, list):
        return [part for value in body for part in frame(value)]
    return [body] if isinstance(body, str) else []
