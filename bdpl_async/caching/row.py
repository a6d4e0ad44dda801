"""One entry as it lies in a file: JSON of numbers, and a checksum over key and value.

JSON because orjson's floats come back bit for bit and a reader of the file can see what they are.
Minus infinity, a label the model rules out, is ``null``. Knows no database.
"""

from __future__ import annotations

import math
import zlib

import orjson

from bdpl_async.caching.cache import Entry, Kept
from bdpl_async.records import Score

__all__ = ["RECORD", "Row", "packed", "unpacked"]

Row = tuple[bytes, bytes, int]
"""Key, value, checksum."""

RECORD = b"+"  # before the bytes of a record, where an entry has JSON's bracket
VERSION = 1  # of the value; one that we do not know is a miss


def packed(key: bytes, kept: Kept) -> Row | None:
    """The row of an entry; None if it holds what JSON cannot give back (NaN, plus infinity)."""
    if isinstance(kept, bytes):
        value = RECORD + kept
        return key, value, zlib.crc32(value, zlib.crc32(key))
    score = kept.score
    try:
        censored = "".join(["01"[flag] for flag in score.censored]) if score.censored else ""
        numbers = list(map(float, score.logprobs))
        mass = None if score.mass is None else float(score.mass)
        if not sum(numbers) < math.inf or (mass is not None and not math.isfinite(mass)):
            return None
        value = orjson.dumps(
            [VERSION, numbers, mass, censored, int(kept.prompt_tokens), kept.completion_tokens]
        )
        return key, value, zlib.crc32(value, zlib.crc32(key))
    except (TypeError, ValueError):
        return None


def unpacked(key: bytes, value: bytes, checksum: int) -> Kept | None:
    """What a row holds; None if it is not what `packed` wrote, whatever it is instead."""
    try:
        if zlib.crc32(value, zlib.crc32(key)) != checksum:
            return None
        if value[:1] == RECORD:
            return value[1:]
        version, numbers, mass, censored, prompt, completion = orjson.loads(value)
        if version != VERSION or not (_counts(prompt) and _counts(completion)):
            return None
        if None in numbers:
            numbers = [-math.inf if number is None else number for number in numbers]
        logprobs = tuple(map(float, numbers))
        if not sum(logprobs) < math.inf or (censored and len(censored) != len(logprobs)):
            return None  # NaN is not below either
        flags = tuple([flag == "1" for flag in censored]) if censored else ()
        score = Score(logprobs, None if mass is None else float(mass), flags)
    except (TypeError, ValueError):
        return None
    sound = score.mass is None or 0 <= score.mass < math.inf
    return Entry(score, prompt, completion) if sound else None


def _counts(value: object) -> bool:
    return type(value) is int and value >= 0  # a bool is no count
