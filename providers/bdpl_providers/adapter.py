"""A transport that puts each chat in the manner of the model, and learns that manner if told to.

    body --Manner--> body as the model takes it --inner transport--> Answer
                       ^--------- a refusal that names a field ---------'

It sends exactly what it is asked to send, once; whoever asks sends again after `Relearned`.
"""

from __future__ import annotations

import re

from bdpl_async.errors import ProviderError, ProviderRefused, RequestFailed, UnusableAnswer
from bdpl_providers.manner import LOGPROBS, Manner, relearned
from bdpl_providers.wire import Answer, Document, Transport

__all__ = ["CHAT", "Adapter", "NotOffered", "Relearned"]

CHAT = "/chat/completions"
STATUS = re.compile(r" brought (40[034])\b")
ACCOUNT = re.compile(r"quota|billing|credit|api key")


class Relearned(RequestFailed):
    """Raised when a refusal taught how to ask: the same request, sent again, will be another."""


class NotOffered(UnusableAnswer):
    """Raised when the model refuses one read-out, however it is asked; another may work.

    A kind of unusable answer, so that a trial goes on to the next read-out at once; not billed.
    """

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error.args[0]), hint=error.hint)
        self.fate, self.quotas = "refused", error.quotas


class Adapter:
    """A `Transport` before another one, which whoever owns it opens and closes.

    Args:
        name: the scorer's, for messages.
        manner: as the model's name suggests.
        inner: what sends.

    Attributes:
        manner: as known so far.
        learning: whether refusals may still change it; only a probe wants that.
        notes: a sentence on each thing learned.
    """

    def __init__(self, name: str, manner: Manner, inner: Transport) -> None:
        self.manner = manner
        self.learning = False
        self.notes: list[str] = []
        self._name = name
        self._inner = inner

    async def get(self, path: str) -> Answer:
        """GET a JSON object."""
        return await self._inner.get(path)

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        """POST `body`, a chat in the model's manner.

        Raises:
            Relearned: while learning, for a refusal that taught something.
            NotOffered: while learning, for a refusal of this read-out alone.
            ProviderError: as the inner transport.
        """
        told = self.manner.applied(body) if path == CHAT else body
        try:
            return await self._inner.post(path, told, root=root)
        except (RequestFailed, ProviderRefused) as error:
            if not self.learning:
                raise
            problem = self._lesson(path, error)
        raise problem

    def _lesson(self, path: str, error: ProviderError) -> ProviderError:
        words = str(error.args[0])
        if path == CHAT and (found := relearned(self.manner, words)) is not None:
            self.manner, note = found
            self.notes.append(f"{self._name}: {note}")
            return Relearned(words, hint=error.hint, fate=error.fate, quotas=error.quotas)
        return NotOffered(error) if _alone(path, error) else error


def _alone(path: str, error: ProviderError) -> bool:
    """Whether a refusal concerns one read-out and not the account, the model or the texts."""
    words, refused = str(error.args[0]), isinstance(error, ProviderRefused)
    status = STATUS.search(words)
    if status is None or ACCOUNT.search(words.lower()):
        return False
    if path == CHAT:
        # A model that is unknown to chat is unknown everywhere: that stays a `ProviderRefused`.
        return bool(LOGPROBS.search(words)) or (status[1] == "404" and not refused)
    return refused or status[1] == "404" or re.search(r"\bmodel\b(?!'s)", words) is not None
