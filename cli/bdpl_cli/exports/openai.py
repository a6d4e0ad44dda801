"""A request body in OpenAI's dialect, to be posted as it is, once its columns are filled in."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from bdpl_cli.exports.asking import Asking
from bdpl_cli.exports.learned import Export, Learned, marks

__all__ = ["export"]


def export(learned: Learned, asking: Asking) -> Export:
    """The body that asks for one text, and in the notes how to fill it and read the answer."""
    pieces = learned.pieces(learned.result.prompt)
    found = marks(pieces, f"{asking.system}\n{asking.question}")
    text = "".join(piece if isinstance(piece, str) else found[piece.name] for piece in pieces)
    body = asking.body(text)
    document = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode() + "\n"
    notes = (*learned.notes(), *asking.notes, *_use(learned, asking, found.values()))
    return Export(document, notes)


def _use(learned: Learned, asking: Asking, found: Iterable[str]) -> Iterable[str]:
    yield f"post it to {asking.base_url or 'BASE_URL'}{asking.path}"
    stands = ", ".join(found)
    yield f"put a row in place of {stands} in the parsed body, all at once, and send that"
    words = ", ".join(f"{word.strip()!r} is {value!r}" for value, word in _labels(learned))
    yield f"what an answer means: {words}"
    yield _READING[asking.readout]
    if offsets := learned.offsets():
        told = ", ".join(f"{value:.4f} from {word.strip()!r}" for word, value in offsets.items())
        yield f"the run is calibrated: of the log-probabilities take {told}, then compare"


def _labels(learned: Learned) -> Iterable[tuple[str, str]]:
    return learned.result.labels.items()


_READING = {
    "chat": "read choices[0].logprobs.content[0].top_logprobs: the label word whose token, with"
    " and without a space before it, is likeliest; a word of several tokens begins with its token",
    "logprobs": "read choices[0].logprobs.top_logprobs[0]: the label word whose token, with its"
    " space before it, is likeliest; a word of several tokens begins with its token",
    "decisions": "read answers[0].probabilities: the likeliest choice",
    "text": "read the words of the answer: the label word that it begins with",
}
