"""``bdpl-async completion bash|zsh|fish``: a script for the shell, on stdout.

No file is touched; the shell is told by the user, as in ``eval "$(bdpl-async completion bash)"``.
What can be completed is read from the commands themselves, so that it is never out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from cyclopts import App, Parameter

from bdpl_cli.shells import FILES, FOLDERS, NOTHING, TASKS, Command, Flag, scripts

__all__ = ["completion", "described"]

Shell = Literal["bash", "zsh", "fish"]
ON_FOLDERS = ("RUN_DIR", "--data", "--run")
ON_FILES = ("--out", "--cache", "SWEEP", "DATA")


def completion(
    shell: Annotated[Shell, Parameter(help="The shell that will read the script")], /
) -> None:
    """Print a script that completes commands and options."""
    from bdpl_async.config import BUILTIN
    from bdpl_cli.commands import app

    sys.stdout.write(scripts()[shell](list(described(app)), BUILTIN))


def described(app: App) -> Iterator[Command]:
    """Every command of the line, with what may follow it; subcommands under both words."""
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        below = [sub for sub in command if not sub.startswith("-")]
        if below:
            yield Command(name, _first(command.help), (), tuple(below))
            for sub in below:
                yield _described(f"{name} {sub}", command[sub])
        else:
            yield _described(name, command)


def _described(name: str, command: App) -> Command:
    flags, rest = [], NOTHING
    for argument in command.assemble_argument_collection():
        if not argument.show or argument.names == ("*",):
            continue
        choices = tuple(argument.get_choices() or ())
        help_ = _first(argument.parameter.help)
        if argument.names[0].startswith("-"):
            takes = () if _switch(argument.hint) else choices or _wanted(argument.names, argument)
            flags.append(Flag(tuple(argument.names), help_, takes))
        else:
            rest = choices or _wanted(argument.names, argument)
    flags.append(Flag(("--help",), "Say what the command does"))
    return Command(name, _first(command.help), tuple(flags), rest)


def _switch(hint: object) -> bool:
    return hint is bool or bool in get_args(hint)


def _wanted(names: Sequence[str], argument: object) -> tuple[str, ...]:
    """What kind of value an argument takes."""
    hint = getattr(argument, "hint", None)
    if names[0] == "TASK":
        return TASKS
    if names[0] in ON_FOLDERS:
        return FOLDERS
    if names[0] in ON_FILES or hint is Path or Path in get_args(hint):
        return FILES
    return NOTHING


def _first(text: str | None) -> str:
    """The first line, without what a shell would take for its own."""
    line = (text or "").partition("\n")[0].partition(" [")[0]
    return "".join(c for c in line if c not in "'\"`$\\:").strip()
