"""The command ``bdpl-async``: commands by name, errors to exit codes.

    0 done · 2 bad usage, configuration or data · 3 the provider refuses · 4 budget too small ·
    130 interrupted, saved

A user never sees a traceback for a mistake of theirs or of a server.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile

from cyclopts import CycloptsError, UnknownOptionError, UnusedCliTokensError

from bdpl_async.errors import (
    BdplError,
    BudgetExhausted,
    BudgetTooSmall,
    ProviderError,
    StorageError,
)
from bdpl_cli.commands import app
from bdpl_cli.stderr import say
from bdpl_cli.stdout import silence, take_everything

__all__ = ["app", "main"]

NAME = 60  # characters of a word in a message
LONGEST = 500  # characters of one line of a message
FAILED = 1  # the machine's fault: a full disk, say
USAGE, REFUSED, TOO_SMALL, INTERRUPTED = 2, 3, 4, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    take_everything()
    sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _run(arguments: list[str]) -> int:
    if strange := next((a for a in arguments if any("\ud800" <= c <= "\udfff" for c in a)), None):
        return _fail(f"{strange!r}: not UTF-8 text", USAGE)
    if (message := _no_command(arguments)) is not None:
        return _fail(message, USAGE)
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, BdplError, KeyboardInterrupt, OSError) as error:
        return _failed(error, arguments)
    return code if isinstance(code, int) else 0


def _no_command(arguments: list[str]) -> str | None:
    """What to say where the first word is no command; commands are not imported for it."""
    if not arguments or arguments[0].startswith("-") or arguments[0] in app:
        return None
    near = _nearest(arguments[0], [*app])
    guess = f"did you mean {near}? " if near else ""
    return f"no command {arguments[0][:NAME]!r}\n  {guess}see bdpl-async --help"


def _failed(
    error: CycloptsError | BdplError | KeyboardInterrupt | OSError, arguments: list[str]
) -> int:
    """What a person reads of an error, and the exit code it stands for."""
    match error:
        case CycloptsError():
            words = takewhile(lambda word: not word.startswith("-"), arguments[:2])
            named = " ".join(word for word in words if word in app or word in app["cache"])
            see = " ".join(filter(None, ("bdpl-async", named, "--help")))
            return _fail(f"{_said(error, named)}\n  see {see}", USAGE)
        case BdplError():
            return _fail(str(error), _code(error))
        case KeyboardInterrupt():
            return _fail("interrupted", INTERRUPTED)
        case BrokenPipeError():  # as in `bdpl-async tasks | head`: nobody reads on
            silence()
            return 0
        case OSError():
            return _fail(f"{error.filename or 'output'}: {error.strerror}", FAILED)


def _said(error: CycloptsError, command: str) -> str:
    """What cyclopts found, in words of ours where its own say too little."""
    match error:
        case UnknownOptionError():
            word = (error.token.keyword or error.token.value).partition("=")[0]
            shown = [argument for argument in error.argument_collection if argument.show]
            names = [name for argument in shown for name in argument.names if name != "*"]
            near = _nearest(word, names)
            guess = f"; did you mean {near}?" if near else ""
            return f"{command} has no option {word[:NAME]}{guess}".strip()
        case UnusedCliTokensError(unused_tokens=[first, *_]):
            hint = "a text with spaces needs quotes"
            return f"{command}: {first[:NAME]!r} is one word too many\n  {hint}".strip()
        case _:
            return str(error)


def _nearest(word: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant."""
    from difflib import get_close_matches

    bare = {name.lstrip("-"): name for name in names}  # or all options would look alike
    near = get_close_matches(word[:NAME].lstrip("-"), bare, n=1, cutoff=0.65)
    return bare[near[0]] if near else None


def _code(error: BdplError) -> int:
    if isinstance(error, StorageError):
        return FAILED
    if isinstance(error, BudgetTooSmall | BudgetExhausted):
        return TOO_SMALL
    return REFUSED if isinstance(error, ProviderError) else USAGE


def _fail(message: str, code: int) -> int:
    """Say on stderr, in short lines that no terminal obeys, what is the matter."""
    lines = f"bdpl-async: {message}".split("\n")  # any other break is not ours
    lines = [line if len(line) <= LONGEST else line[: LONGEST - 3] + "..." for line in lines]
    if sys.stderr.isatty():
        from bdpl_cli.columns import unbroken

        lines = [part for line in lines for part in unbroken(line)]
    say(*lines)
    return code
