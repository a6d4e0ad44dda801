"""A list of the likeliest next tokens, and the label words' log-probabilities in it.

    logprobs --listed--> {token: log-probability} --standing--> tokens per label --weigh--> Score

The list is short. A label word that is not in it is *censored*: all that is known is an upper
bound, for it is no likelier than the last token listed, nor than all that is left over.

This module knows neither requests nor choices. Whatever is wrong with a list is raised as
`UnusableAnswer` with the name of what is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bdpl_async.errors import UnusableAnswer
from bdpl_async.records import Score

__all__ = [
    "LEAST",
    "MOST",
    "Begun",
    "by_id",
    "checked",
    "likely",
    "listed",
    "pieces",
    "standing",
    "token_key",
    "weigh",
]

LEAST: Final = -9999.0
"""How servers write minus infinity, which JSON cannot; finite, so that a loss can floor it."""

MOST: Final = 1e-3
"""Log-probabilities stay below: rounding may lift them a little above zero."""

ROUNDING: Final = 1e-6
"""What the rounding of a list in float32 may hide of the probability left over."""

SPACE_SIGNS: Final = "Ġ▁"
"""How tokenizers write a leading space (byte-level BPE, SentencePiece)."""

LETTERS: Final = 2  # fewer letters of a label word say too little to stand for it

NO_LIST: Final = "does the server give log-probabilities at all? 'bdpl-async probe' shows it"


def token_key(token_id: int) -> str:
    """How ``return_tokens_as_token_ids`` writes a token."""
    return f"token_id:{token_id}"


def checked(value: object, token: str) -> float:
    """`value` as a log-probability, at least `LEAST`.

    Raises:
        UnusableAnswer: it is none; says what it is and of which token.
    """
    if type(value) is float and LEAST < value < MOST:
        return value  # nearly all that is ever listed
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value <= LEAST:
            return LEAST
        if value < MOST:
            return float(value)
        flaw = "NaN" if isinstance(value, float) and math.isnan(value) else "above zero"
    elif value is None:
        flaw = "null"
    elif isinstance(value, str):
        flaw = f"the text {value[:20]!r}"
    else:
        kinds: dict[type, str] = {bool: "a boolean", dict: "an object", list: "a list"}
        flaw = kinds.get(type(value), "no number")
    raise UnusableAnswer(f"the log-probability of {token[:40]!r} is {flaw}")


def listed(logprobs: object) -> dict[str, float]:
    """What one answer lists for its first token: token -> log-probability, never empty.

    Reads the form of completions, ``top_logprobs: [{token: logprob}]``, and that of chat,
    ``content: [{top_logprobs: [{token, logprob}]}]``. A token that stands twice counts once, by
    its larger value.

    Raises:
        UnusableAnswer: there is no list, or something in it is no log-probability.
    """
    if not isinstance(logprobs, dict):
        flaw = "null or missing" if logprobs is None else "no object"
        raise UnusableAnswer(f"logprobs is {flaw}", hint=NO_LIST)
    found: dict[str, float] = {}
    for token, value in _pairs(logprobs):
        if not isinstance(token, str):
            raise UnusableAnswer("a listed token is no text")
        number = checked(value, token)
        found[token] = max(number, found.get(token, LEAST))
    if not found:
        raise UnusableAnswer("the list of likely tokens is empty", hint=NO_LIST)
    return found


def _pairs(logprobs: Mapping[str, object]) -> Iterable[tuple[object, object]]:
    """Token and value of each entry, whichever of the two forms it has, unchecked."""
    top = likely(logprobs.get("top_logprobs"))
    if isinstance(top, dict):
        return top.items()
    place = likely(logprobs.get("content"))
    entries = place.get("top_logprobs") if isinstance(place, dict) else None
    if not isinstance(entries, list):
        raise UnusableAnswer("logprobs holds no list of likely tokens", hint=NO_LIST)
    if not all(isinstance(entry, dict) for entry in entries):
        raise UnusableAnswer("an entry of the list of likely tokens is no object")
    return [(entry.get("token"), entry.get("logprob")) for entry in entries]


def likely(places: object) -> object:
    """What is said of the first token written, or None."""
    return places[0] if isinstance(places, list) and places else None


def by_id(found: Mapping[str, float], ids: Sequence[int]) -> list[list[str]]:
    """For each id, the one token of the list that stands for it, or none.

    Raises:
        UnusableAnswer: the list names tokens by their text, where all labels would seem absent.
    """
    if not any(token.startswith("token_id:") for token in found):
        raise UnusableAnswer("the list names tokens by text, though ids were asked for")
    return [[key] if (key := token_key(token)) in found else [] for token in ids]


Begun = tuple[tuple[str, str], ...]
"""Label words that are read by a piece, each with that piece."""


def standing(
    labels: Sequence[str], tokens: Iterable[str], *, loose: bool, begun: Begun | None = None
) -> list[list[str]]:
    """For each label word, the tokens of a list that stand for it, perhaps none.

    That is the word itself; where it is not listed, the longest token that begins this word and
    no other label. Case counts: the word is the user's choice.

    Args:
        labels: with their leading spaces.
        tokens: as the server writes them.
        loose: a leading space may be there or not, as in chat; several tokens then stand for it.
        begun: which words are read by which piece, as a probe has found; None takes any piece.
            Else " us" would be read for " use" wherever " use" itself is not listed.
    """
    words = [_form(label, loose=loose) for label in labels]
    forms: dict[str, list[str]] = {}
    for token in tokens:
        forms.setdefault(_form(token, loose=loose), []).append(token)
    if begun is None:
        return [forms.get(word) or _pieces(word, words, forms) for word in words]
    read = {_form(label, loose=loose): piece for label, piece in begun}
    return [forms.get(read.get(word, word), []) for word in words]


def pieces(labels: Sequence[str], tokens: Iterable[str], *, loose: bool) -> dict[str, str]:
    """The label words that are read by their first piece only, each with that piece."""
    found = zip(labels, standing(labels, tokens, loose=loose), strict=True)
    read = {label: _form(group[0], loose=loose) for label, group in found if group}
    return {label: form for label, form in read.items() if form != _form(label, loose=loose)}


def weigh(found: Mapping[str, float], groups: Sequence[Sequence[str]], k: int) -> Score:
    """The score of labels for each of which a group of listed tokens stands.

    The tokens of one group add up. A label with an empty group gets the upper bound; `mass` is of
    what was seen.

    Args:
        found: the list; it may hold more than `k` tokens, as the one written is added to it.
        groups: per label, tokens in `found`.
        k: how many tokens were asked for.
    """
    bound = _bound(found, k)
    values = [_total([found[token] for token in group]) if group else bound for group in groups]
    seen = (math.exp(value) for value, group in zip(values, groups, strict=True) if group)
    censored = tuple(not group for group in groups)
    return Score(tuple(values), mass=min(1.0, math.fsum(seen)), censored=censored)


def _bound(found: Mapping[str, float], k: int) -> float:
    """The most that a token not listed can have: log(min(p_k, 1 - sum of the listed)).

    Entries at minus infinity do not count among the k: some servers write the token that they add
    so, whatever its probability is.
    """
    values = sorted((value for value in found.values() if value > LEAST), reverse=True)
    rest = max(0.0, 1.0 - math.fsum(map(math.exp, values))) + ROUNDING
    last = values[min(k, len(values)) - 1] if values else 0.0
    return min(last, math.log(rest), 0.0)


def _total(values: Sequence[float]) -> float:
    """log(sum(exp)); a single value stays as it is."""
    if len(values) == 1:
        return values[0]
    top = max(values)
    return min(0.0, top + math.log(math.fsum(math.exp(value - top) for value in values)))


def _form(token: str, *, loose: bool) -> str:
    """`token` with the space as a space; without a leading one, if `loose`."""
    plain = " " + token[1:] if token[:1] and token[0] in SPACE_SIGNS else token
    return plain.removeprefix(" ") if loose else plain


def _pieces(word: str, words: Sequence[str], forms: Mapping[str, list[str]]) -> list[str]:
    """The tokens of the longest form that begins `word` and no other of `words`, perhaps none."""
    others = [other for other in words if other != word]
    for size in range(len(word), 0, -1):  # a list may be long, a word is short
        form = word[:size]
        if form not in forms or sum(map(str.isalpha, form)) < LETTERS:
            continue
        if not any(other.startswith(form) for other in others):
            return forms[form]
    return []
