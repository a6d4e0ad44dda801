"""A server's words about what went wrong, found in whatever it sent, fit to be shown.

    {"error": {...}} | {"error": "..."} | {"detail": ...} | text | HTML  -->  Complaint

Pure. It does not know what follows from the words.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass

import orjson

__all__ = ["Complaint", "complaint", "excerpt", "parsed"]

SHOWN = 300  # characters of a server's words that stand in a message
READ = 16_384  # bytes of a body that is no JSON that are looked at
DEEP = 4  # levels of a document that are searched for words
TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
TAG = re.compile(r"<[^<>]*>")
MARKUP = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
SPEAKING = ("message", "msg", "detail", "error", "errors", "title", "description", "reason")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server says is wrong.

    Attributes:
        words: for a person; empty if it says nothing.
        marks: its codes and types in lower case, as in ``model_not_found``.
        code: the HTTP status that its body names, if any.
    """

    words: str = ""
    marks: frozenset[str] = frozenset()
    code: int | None = None


def parsed(body: bytes) -> object:
    """`body` as JSON; None if it is none.

    What orjson refuses is read again by the standard library, which takes the ``NaN`` that Python
    servers write and half a surrogate pair: the answer was paid for.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def complaint(document: object, body: bytes, secrets: tuple[str, ...] = ()) -> Complaint:
    """The complaint that a reply holds.

    Args:
        document: `body` as JSON, or None.
        body: as received.
        secrets: strings that are never repeated.
    """
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        words = document if isinstance(document, str) else _prose(body, secrets)
        return Complaint(excerpt(words, secrets))
    error = document.get("error")
    told = [part for part in (error, document) if isinstance(part, dict)]
    values = [part.get(key) for part in told for key in ("code", "type", "status")]
    marks = frozenset(value[:SHOWN].lower() for value in values if isinstance(value, str))
    words = _words(document, DEEP)
    return Complaint(excerpt(words, secrets), marks, _status(values))


def excerpt(text: str, secrets: tuple[str, ...] = (), length: int = SHOWN) -> str:
    """`text` on one line of printable characters, without `secrets`, shortened."""
    for secret in secrets:  # before the cut, or it would leave half a key
        text = text.replace(secret, "***")
    text = text[: length * 20]
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for secret in secrets:
        line = line.replace(secret, "***")
    return line if len(line) <= length else line[: length - 3] + "..."


def _words(value: object, depth: int) -> str:
    """The first words to be found in a document, whatever its shape."""
    if isinstance(value, str):
        return value
    if depth and isinstance(value, list):
        return "; ".join(filter(None, (_words(item, depth - 1) for item in value[:3])))
    if not depth or not isinstance(value, dict):
        return ""
    found = next(filter(None, (_words(value.get(key), depth - 1) for key in SPEAKING)), "")
    place = value.get("loc")  # where in our request, as FastAPI says it
    if found and isinstance(place, list):
        plain = (str(part) for part in place[:8] if isinstance(part, str | int))
        return f"{'.'.join(plain)}: {found}"
    return found


def _status(values: list[object]) -> int | None:
    for value in values:
        if isinstance(value, str) and re.fullmatch("[45][0-9]{2}", value):
            return int(value)
        if type(value) is int and 400 <= value <= 599:
            return value
    return None


def _prose(body: bytes, secrets: tuple[str, ...]) -> str:
    """A body that is no JSON: of a page its title, else its text."""
    for secret in secrets:
        body = body.replace(secret.encode(), b"***")
    text = body[:READ].decode("utf-8", "replace")
    if not MARKUP.match(text):
        return text
    title = TITLE.search(text)
    return html.unescape((title and title.group(1).strip()) or TAG.sub(" ", text))
