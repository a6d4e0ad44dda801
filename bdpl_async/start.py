"""A prompt to start from: one that a person wrote, or that another run learned.

The search then begins around it instead of anywhere, and it is among the finalists, so that the
start is never lost to a worse prompt unnoticed.
"""

from __future__ import annotations

from pathlib import Path

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.kept import read_run
from bdpl_async.records import Prompt

__all__ = ["candidates_with", "starting_prompt"]


def starting_prompt(config: Config) -> Prompt | None:
    """The prompt that ``prompt.start`` spells or the run in ``prompt.start_from`` learned.

    Raises:
        ConfigError: both are given, there is no such run, the method does not start anywhere, or
            the prompt has more tokens than the search has positions.
    """
    table = config.prompt
    if table.start is None and table.start_from is None:
        return None
    key = "prompt.start" if table.start is not None else "prompt.start_from"
    if table.start is not None and table.start_from is not None:
        raise ConfigError("prompt.start, prompt.start_from: give one of them, not both")
    if config.optimizer.method != "bdpl":
        problem = f"{key}: the method {config.optimizer.method!r} does not start from a prompt"
        raise ConfigError(problem, hint="leave it out, or take the method bdpl")
    prompt = _found(table.start, table.start_from)
    if not prompt.tokens:
        raise ConfigError(f"{key}: the prompt is empty, and every search starts from there anyway")
    if len(prompt.tokens) > table.length:
        raise ConfigError(
            f"{key}: the prompt has {len(prompt.tokens)} tokens, prompt.length is {table.length}",
            hint=f"set prompt.length = {len(prompt.tokens)} or shorten the prompt",
        )
    return prompt


def _found(text: str | None, folder: str | None) -> Prompt:
    if folder is None:
        return Prompt(tuple((text or "").split()))
    try:
        return Prompt(read_run(Path(folder)).result.tokens)
    except ConfigError as error:
        raise ConfigError(f"prompt.start_from: {error.args[0]}", hint=error.hint) from None


def candidates_with(start: Prompt | None, vocabulary: tuple[str, ...]) -> tuple[str, ...]:
    """The vocabulary, and before it the start's tokens that it lacks."""
    tokens = () if start is None else start.tokens
    return tuple(dict.fromkeys([*tokens, *vocabulary]))
