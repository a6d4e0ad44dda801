"""Label words as token ids, found out through a server, since its tokenizer is not here.

    tail, tail + word, ... --server or local tokenizer--> encodings --resolve--> LabelTokens

A word is encoded where it stands, behind the words before the mask, because tokens depend on
their neighbours. `resolve` is pure; how encodings are fetched stands beneath it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bdpl_async.errors import LabelError, ProviderRefused, RequestFailed, ServerFault
from bdpl_async.scorer import Line
from bdpl_providers.wire import Answer, Document, Transport

__all__ = [
    "LabelTokens",
    "fetch_encodings",
    "fetch_pieces",
    "lacks_space",
    "readable",
    "resolve",
    "shorter",
    "spacing",
    "tail_of",
]

Encodings = list[list[int]]
TAIL = 120  # characters before the mask that can shape a label word's tokens, amply
SPACES = str.maketrans("Ġ▁", "  ")  # how byte-level BPE and SentencePiece write a space


@dataclass(frozen=True, slots=True)
class LabelTokens:
    """What each label word adds behind the tail.

    Attributes:
        words: with their leading spaces.
        tokens: per word, its token ids; the first one is read.
        pieces: per word, its tokens as text, where they are known.
        fewer: words that are fewer tokens with a leading space -> how many.
    """

    words: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    pieces: tuple[tuple[str, ...], ...] = ()
    fewer: Mapping[str, int] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[int, ...]:
        """The first token id of each word; all different."""
        return tuple(tokens[0] for tokens in self.tokens)

    @property
    def split(self) -> tuple[int, ...]:
        """The indices of the words that are several tokens."""
        return tuple(index for index, tokens in enumerate(self.tokens) if len(tokens) > 1)

    def warnings(self, name: str) -> tuple[str, ...]:
        """A sentence for each word that is read by its first token only."""
        return tuple(
            f"{name}: label word {self.words[index]!r} is {len(self.tokens[index])} tokens "
            f"({self.shown(index)}); only the first is read{self._meant(self.words[index])}"
            for index in self.split
        )

    def _meant(self, word: str) -> str:
        """The word with a leading space, where that is better."""
        count = self.fewer.get(word)
        if count is None:
            return ""
        tokens = "one token" if count == 1 else f"{count} tokens"
        return f"; did you mean {' ' + word!r}? It is {tokens}"

    def shown(self, index: int) -> str:
        """The tokens of one word, as text if that is known."""
        pieces = self.pieces[index] if self.pieces else ()
        return ", ".join(map(repr, pieces)) or f"ids {', '.join(map(str, self.tokens[index]))}"


def tail_of(texts: Sequence[str]) -> str:
    """What stands before the mask, the last words of the shortest text."""
    shortest = min(texts, key=len)
    tail = shortest[-TAIL:]
    # Begins at a word, as the whole text does, or its first token would be a fragment.
    return tail[tail.find(" ") + 1 :] if len(shortest) > TAIL else tail


def readable(piece: object) -> str:
    """A token as a tokenizer writes it, with its space as a space."""
    return str(piece).translate(SPACES)


def lacks_space(word: str, tail: str) -> bool:
    """Whether a word stands where one with a leading space would be usual."""
    return not word[:1].isspace() and not tail[-1:].isspace()


def spacing(words: Sequence[str], tail: str) -> str:
    """The beginning of a remedy, where label words lack their leading spaces; else empty."""
    bare = next((word for word in words if lacks_space(word, tail)), None)
    return "" if bare is None else f"begin them with a space, as in {' ' + bare!r}, or else "


def shorter(
    found: LabelTokens, indices: Sequence[int], tail: Sequence[int], wholes: Sequence[Sequence[int]]
) -> dict[str, int]:
    """Of the words at `indices`, those that are fewer tokens with a leading space; how many.

    Args:
        found: the words as they are.
        indices: of the words that were encoded.
        tail: the encoding of what stands before the mask.
        wholes: per index, the encoding of the tail, a space and the word.
    """
    counts = {index: len(whole) - len(tail) for index, whole in zip(indices, wholes, strict=True)}
    return {
        found.words[index]: count
        for index, count in counts.items()
        if 0 < count < len(found.tokens[index])
    }


def resolve(
    name: str, words: tuple[str, ...], tail: Sequence[int], wholes: Sequence[Sequence[int]]
) -> LabelTokens:
    """The tokens of each word.

    Args:
        name: the scorer's, for messages.
        words: with their leading spaces.
        tail: the encoding of what stands before the mask.
        wholes: per word, the encoding of the tail and the word.

    Raises:
        LabelError: a word melts into the tail, or two words share their first token.
    """
    tokens = tuple(tuple(whole[len(tail) :]) for whole in wholes)
    for word, added, whole in zip(words, tokens, wholes, strict=True):
        if not added or list(whole[: len(tail)]) != list(tail):
            raise LabelError(
                f"label word {word!r} melts into the words before the mask in {name}",
                hint="begin the word with a space, end the template's text before {mask} with a "
                "whole word or sign, or take another word",
            )
    owners: dict[int, int] = {}
    for index, added in enumerate(tokens):
        first = owners.setdefault(added[0], index)
        if first != index:
            raise LabelError(
                f"label words {words[first]!r} and {words[index]!r} share their first token "
                f"({added[0]}) in {name}",
                hint=spacing((words[first], words[index]), "")
                + "choose another word for one of them, or letters such as ' A', ' B', ' C'",
            )
    return LabelTokens(words, tokens)


async def fetch_encodings(
    transport: Transport, model: str, strings: Sequence[str], line: Line
) -> Encodings | str:
    """The token ids of each string as the server encodes it, or why they cannot be had.

    One request of ``/completions`` tells them all on vLLM; else ``/tokenize`` tells them one by
    one.

    Raises:
        ProviderError: the server cannot be used at all, as far as it shows.
    """
    body = {
        "model": model,
        "prompt": list(strings),
        "max_tokens": 1,
        "temperature": 0,
        "return_token_ids": True,
    }
    try:
        answer = await line(lambda: transport.post("/completions", body), strings)
    except (RequestFailed, ServerFault):
        pass  # no lists, or no such field: the other way is left
    else:
        found = _prompt_ids(answer.document, len(strings))
        if found is not None:
            return found
    return await _tokenized(transport, model, strings, line)


async def fetch_pieces(
    transport: Transport, model: str, found: LabelTokens, tail: str, line: Line
) -> tuple[tuple[str, ...], ...]:
    """The tokens of the words as text, by one request; empty where the server does not say."""
    body = {
        "model": model,
        "prompt": tail + "".join(found.words[index] for index in found.split),
        "return_token_strs": True,
    }
    try:
        answer = await line(lambda: transport.post("/tokenize", body, root=True), ())
    except (RequestFailed, ServerFault, ProviderRefused):
        return ()
    ids, strings = _ids(answer.document.get("tokens")), answer.document.get("token_strs")
    if ids is None or not isinstance(strings, list) or len(strings) != len(ids):
        return ()
    wanted = [token for index in found.split for token in found.tokens[index]]
    if not wanted or ids[-len(wanted) :] != wanted:
        return ()  # behind one another the words are other tokens than each alone
    texts = map(readable, strings[-len(wanted) :])
    return tuple(
        tuple(next(texts) for _ in tokens) if len(tokens) > 1 else (word,)
        for word, tokens in zip(found.words, found.tokens, strict=True)
    )


async def _tokenized(
    transport: Transport, model: str, strings: Sequence[str], line: Line
) -> Encodings | str:
    encodings: Encodings = []
    for string in strings:

        async def exchange(prompt: str = string) -> Answer:
            return await transport.post("/tokenize", {"model": model, "prompt": prompt}, root=True)

        try:
            answer = await line(exchange, ())
        # A gateway may keep this path to itself; that says nothing about the others.
        except (RequestFailed, ServerFault, ProviderRefused) as error:
            return f"the server does not tell its token ids: {error.args[0]}"
        ids = _ids(answer.document.get("tokens"))
        if ids is None:
            return "the server does not tell its token ids: /tokenize answers without them"
        encodings.append(ids)
    return encodings


def _prompt_ids(document: Document, count: int) -> Encodings | None:
    """The encodings of all prompts of an answer, by index, or None if one is missing."""
    choices = document.get("choices")
    found: dict[int, list[int]] = {}
    for choice in choices if isinstance(choices, list) else ():
        index = choice.get("index") if isinstance(choice, dict) else None
        ids = _ids(choice.get("prompt_token_ids")) if isinstance(choice, dict) else None
        if type(index) is int and ids is not None:
            found[index] = ids
    return [found[i] for i in range(count)] if set(found) == set(range(count)) else None


def _ids(value: object) -> list[int] | None:
    """A list of token ids, or None."""
    if not isinstance(value, list) or not value:
        return None
    return value if all(type(token) is int and token >= 0 for token in value) else None
