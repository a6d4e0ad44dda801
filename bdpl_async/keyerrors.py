"""What is wrong with which key, in words: pydantic's findings as lines that name file and line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bdpl_async.errors import ConfigError

__all__ = ["explain"]

SHOWN = 4  # problems told at once; the rest comes when these are mended
LONGEST = 80  # characters of a key or value as it may stand in a message
PLAIN = re.compile(rf"[\w-]{{1,{LONGEST}}}")
HEADER = re.compile(r"\s*\[\[?([^\[\]]{1,200})\]")
KEY = re.compile(r"\s*([^=#\[]{1,200}?)\s*=")
WORDS = {
    "missing": "is needed and missing",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_type": 'must be text: write it in quotes, "..." (in a shell: \'"..."\')',
}


LIST = 'must be a list, ["...", "..."]'


def explain(
    error: ValidationError,
    model: type[BaseModel],
    *,
    source: str,
    text: str,
    overrides: Mapping[str, object],
) -> ConfigError:
    """Each problem in one line: file, line, key, and what is the matter.

    Args:
        error: what pydantic found.
        model: what it checked against, for suggestions.
        source: the file.
        text: its content.
        overrides: dotted keys that came from elsewhere; those name themselves.
    """
    lines = []
    for problem in error.errors(include_url=False)[:SHOWN]:
        where = _where(problem["loc"], source, text, overrides)
        lines.append(f"{where}: {_words(problem, model)}")
    return ConfigError("\n".join(lines))


def _where(
    loc: Sequence[str | int], source: str, text: str, overrides: Mapping[str, object]
) -> str:
    dotted = ".".join(map(str, loc))
    line = _line_of(text, [part for part in loc if isinstance(part, str)])
    for key, value in overrides.items():
        if key == dotted or (line is None and key.startswith(f"{dotted}.")):
            # Somebody may have given the key itself instead of its variable's name.
            return key if key.endswith("_env") else f"{key} = {_clipped(repr(value))}"
    shown = ".".join(map(_name, loc))
    return f"{source}:{line}: {shown}" if line else f"{source}: {shown}"


def _words(problem: ErrorDetails, model: type[BaseModel]) -> str:
    kind, message = problem["type"], problem["msg"]
    if kind == "extra_forbidden":
        *parents, key = problem["loc"]
        near = difflib.get_close_matches(str(key)[:LONGEST], _known_keys(model, parents), n=1)
        return "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    if kind == "string_pattern_mismatch":
        return "must be the name of an environment variable, such as OPENAI_API_KEY"
    if kind == "list_type":
        return "must be an array of tables, [[...]]" if _holds_tables(problem, model) else LIST
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return WORDS.get(kind, message[:1].lower() + message[1:])


def _holds_tables(problem: ErrorDetails, model: type[BaseModel]) -> bool:
    """Whether the list at fault is one of tables, such as [[models]]."""
    *parents, key = (part for part in problem["loc"] if isinstance(part, str))
    try:
        for name in parents:
            model = _within(model, name)
        return isinstance(_within(model, key), type) and issubclass(_within(model, key), BaseModel)
    except (KeyError, AttributeError, TypeError):  # it lies in a table of the user's own keys
        return False


def _within(model: type[BaseModel], name: str) -> type[BaseModel]:
    annotation = model.model_fields[name].annotation
    return cast(type[BaseModel], next(iter(get_args(annotation)), annotation))


def _known_keys(model: type[BaseModel], parents: Sequence[str | int]) -> list[str]:
    """The keys of the table that `parents` lead to; a list's tables are all of one kind."""
    for name in (part for part in parents if isinstance(part, str)):
        model = _within(model, name)
    return list(model.model_fields)


def _line_of(text: str, keys: Sequence[str]) -> int | None:
    """The line that comes nearest to setting ``keys``: the key itself, else its table."""
    found, depth, table = None, 0, []
    for number, line in enumerate(text.split("\n"), start=1):
        if header := HEADER.match(line):
            path = table = _split(header[1])
        elif key := KEY.match(line):
            path = [*table, *_split(key[1])]
        else:
            continue
        if len(path) > depth and path == list(keys[: len(path)]):
            found, depth = number, len(path)
    return found


def _split(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]


def _name(part: str | int) -> str:
    """A key as it may stand in a message: quoted, escaped and short if it is out of the way."""
    return str(part) if PLAIN.fullmatch(str(part)) else _clipped(repr(part))


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
