"""How many tokens a string is, by tiktoken, without ever holding up the event loop.

tiktoken fetches a vocabulary that is not in its cache folder (TIKTOKEN_CACHE_DIR) from the network.
That happens on a thread of its own and is waited for a few seconds, once; without a vocabulary a
string counts as its UTF-8 bytes, which no byte-level tokenizer exceeds.

Not known here: whether the provider bills exactly these tokens. That shows only in the usage that
its answers report.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Protocol

__all__ = ["Encoder", "TokenCounter", "Vocabulary", "byte_bound", "load_vocabulary"]

NEWEST = "o200k_base"
OF_OPENAI = re.compile(r"(gpt|chatgpt|o)-?\d")  # a name that tells the maker and no more
GUESSED = 1.125  # a vocabulary that is only a guess may count too few
# Characters encoded on the loop: 4,000 take 0.2 ms, a hop to a thread 0.1 ms. tiktoken's own
# batches start a pool of threads each time, which costs more than hundreds of short texts.
INLINE = 4_000


class Encoder(Protocol):
    """What is asked of tiktoken's Encoding."""

    def encode_ordinary(self, text: str) -> list[int]:
        """The tokens of `text`; special tokens in it are text like any other."""
        ...


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer, and whether the model is known to use it."""

    name: str
    encoder: Encoder
    known: bool = True


def load_vocabulary(model: str) -> Vocabulary | None:
    """The tokenizer of an OpenAI model, the newest one for a new name, None for a foreign name.

    Blocks: for 0.3 s where tiktoken's cache has the file, for as long as a download takes else.

    Raises:
        Exception: whatever tiktoken and the network raise.
    """
    from tiktoken import get_encoding
    from tiktoken.model import encoding_name_for_model

    for name in dict.fromkeys((model, model.removeprefix("ft:"))):  # ft: a fine-tuned model
        try:
            return Vocabulary(found := encoding_name_for_model(name), get_encoding(found))
        except KeyError:
            continue
    if OF_OPENAI.match(model.removeprefix("ft:")):
        return Vocabulary(NEWEST, get_encoding(NEWEST), known=False)
    return None


def byte_bound(text: str) -> int:
    """The most tokens that `text` can be: a token is at least one byte."""
    return len(text.encode("utf-8", "surrogatepass"))


class TokenCounter:
    """Counts tokens as a model's own tokenizer does, each distinct string once.

    Args:
        model: as the provider calls it.
        patience: seconds to wait for the vocabulary, once; then bytes are counted for good, so
            that a number does not change under way.
        remembered: strings whose count is kept, the newest.
        load: finds the vocabulary, on a thread; it may block and raise. None: `load_vocabulary`.
    """

    def __init__(
        self,
        model: str,
        *,
        patience: float = 10.0,
        remembered: int = 4_096,
        load: Callable[[str], Vocabulary | None] | None = None,
    ) -> None:
        self._model = model
        self._patience = patience
        self._remembered = remembered
        self._load = load or load_vocabulary
        self._loading: asyncio.Future[None] | None = None
        self._vocabulary: Vocabulary | None = None
        self._kept: OrderedDict[str, int] = OrderedDict()
        self.note: str | None = None
        """After the first count: a sentence, where the counts are no more than a bound."""

    async def count(self, strings: Sequence[str]) -> list[int]:
        """Tokens of each string; never fewer than the tokenizer makes of it, if it is known."""
        await self.ready()
        counts = {text: self._kept[text] for text in strings if text in self._kept}
        missing = [text for text in dict.fromkeys(strings) if text not in counts]
        if sum(map(len, missing)) <= INLINE:
            fresh = self._counted(missing)
        else:
            fresh = await asyncio.to_thread(self._counted, missing)
        counts.update(zip(missing, fresh, strict=True))
        self._keep(counts)
        return [counts[text] for text in strings]

    async def ready(self) -> None:
        """Wait for the vocabulary or for the end of patience; at once when that is over."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_future()
            self._start(self._loading)
        if not self._loading.done():
            await asyncio.shield(self._loading)  # others wait for it too

    def _start(self, loading: asyncio.Future[None]) -> None:
        loop = loading.get_loop()

        def settle(vocabulary: Vocabulary | None, note: str | None) -> None:
            if not loading.done():
                self._vocabulary, self.note = vocabulary, note
                late.cancel()
                loading.set_result(None)

        def work() -> None:
            try:
                found = self._load(self._model)
                note = self._described(found)
            except Exception as error:  # whatever the network does: bytes are counted instead
                found, note = None, self._unloaded(type(error).__name__)
            with suppress(RuntimeError):  # the loop ended meanwhile, and nobody waits
                loop.call_soon_threadsafe(settle, found, note)

        late = loop.call_later(
            self._patience, settle, None, self._unloaded(f"nothing within {self._patience:g} s")
        )
        # A daemon: a download that hangs must not hold up the end of the program, as a thread of
        # the loop's own pool would.
        Thread(target=work, name="vocabulary", daemon=True).start()

    def _described(self, found: Vocabulary | None) -> str | None:
        if found is None:
            return (
                f"no tokenizer is known for {self._model}: "
                "tokens are bounded by the bytes of the text"
            )
        if not found.known:
            return (
                f"tokens of {self._model} are counted by {found.name}, "
                "the newest vocabulary known here, and an eighth is added"
            )
        return None

    def _unloaded(self, why: str) -> str:
        return (
            f"the tokenizer of {self._model} could not be loaded ({why}): tokens are bounded by "
            "the bytes of the text; TIKTOKEN_CACHE_DIR may name a folder that holds its file"
        )

    def _counted(self, strings: Iterable[str]) -> list[int]:
        if self._vocabulary is None:
            return [byte_bound(text) for text in strings]
        encode = self._vocabulary.encoder.encode_ordinary
        counts = [len(encode(text)) for text in strings]
        return counts if self._vocabulary.known else [math.ceil(n * GUESSED) for n in counts]

    def _keep(self, counts: Mapping[str, int]) -> None:
        for text, count in counts.items():
            self._kept[text] = count
            self._kept.move_to_end(text)
        while len(self._kept) > self._remembered:
            self._kept.popitem(last=False)
