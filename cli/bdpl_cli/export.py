"""``bdpl-async export``: the learned prompt for other tools.

The document goes to standard output and nothing else does; what a person should know of it goes to
stderr. ``-o FILE`` writes it whole or not at all, private to the user. A file that is there already
is replaced only where it is an earlier export of the same kind, or with ``--force``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from bdpl_cli.options import Whole

if TYPE_CHECKING:
    from bdpl_cli.exports.learned import Export, Learned

__all__ = ["export"]

Format = Literal["text", "json", "openai", "promptfoo", "dspy"]
MOST: Final = 10_000  # rows of a class
OURS: Final = {
    "json": b'"made_by": "bdpl-async ',
    "promptfoo": b"the prompt learned by bdpl-async",
    "dspy": b'"""A prompt learned by bdpl-async, for DSPy.',
}
"""What tells an earlier export; the others hold nothing but what is sent."""


def export(
    run: Annotated[Path, Parameter(name="RUN_DIR", help="The folder of a run")],
    /,
    *,
    format: Annotated[Format, Parameter(help="For whom")] = "text",
    output: Annotated[
        Path | None,
        Parameter(name=("--out", "-o"), help="File to write; stdout without it"),
    ] = None,
    model: Annotated[
        str | None, Parameter(help="PROVIDER/NAME of another model than the run's")
    ] = None,
    base_url: Annotated[str | None, Parameter(help="Where another server listens")] = None,
    examples: Annotated[
        Whole, Parameter(help="Rows of each class to put into a promptfoo configuration")
    ] = 3,
    force: Annotated[bool, Parameter(help="Replace any file", negative=())] = False,
) -> None:
    """Give the learned prompt to other tools."""
    from bdpl_async.errors import ConfigError
    from bdpl_cli.exports.learned import learned

    if not 0 <= examples <= MOST:
        raise ConfigError(f"--examples {examples}: must be from 0 to {MOST:,}")
    if format in ("text", "json") and (model is not None or base_url is not None):
        option = "--model" if model is not None else "--base-url"
        raise ConfigError(
            f"{option}: the format {format} names no model to ask",
            hint="leave it out, or take --format openai, promptfoo or dspy",
        )
    found = learned(run)
    file = None if output is None or str(output) == "-" else output
    made = _made(found, format, (model, base_url), examples, file)
    if file is None:
        _print(made.document)
    else:
        _write(file, made.document.encode(), None if force else OURS.get(format, b"\0"))
    _tell(made.notes)


def _made(
    found: Learned,
    kind: Format,
    asked: tuple[str | None, str | None],
    examples: int,
    file: Path | None,
) -> Export:
    from bdpl_cli.exports import document, dspy, openai, promptfoo, text
    from bdpl_cli.exports.asking import asking_of

    match kind:
        case "text":
            return text.export(found)
        case "json":
            return document.export(found)
        case "openai":
            return openai.export(found, asking_of(found, *asked))
        case "promptfoo":
            return promptfoo.export(found, asking_of(found, *asked), examples, file)
        case "dspy":
            return dspy.export(found, asking_of(found, *asked), file)


def _print(document: str) -> None:
    """On standard output: UTF-8 whatever the locale, for tools; nothing that a terminal obeys."""
    from bdpl_async.markup import clean

    if sys.stdout.isatty():
        sys.stdout.write(clean(document))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(document.encode())
    sys.stdout.buffer.flush()


def _write(file: Path, content: bytes, ours: bytes | None) -> None:
    """Write the file, unless it is someone else's.

    Args:
        file: to write.
        content: of it.
        ours: what an earlier export of this kind holds; None replaces anything.

    Raises:
        ConfigError: it cannot be written, or is not to be replaced.
    """
    from bdpl_async.errors import ConfigError
    from bdpl_async.saving.durable import write_atomically

    hint = "give another name as -o"
    try:
        there = file.read_bytes() if file.is_file() else None
        if file.exists() and there is None:
            raise ConfigError(f"-o {file}: is no file", hint=hint)
        if there not in (None, content) and ours is not None and ours not in (there or b""):
            raise ConfigError(
                f"-o {file}: holds something else already", hint=f"{hint}, or add --force"
            )
        write_atomically(file, content)
    except (OSError, ValueError) as error:  # a path may hold what no file system takes
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"-o {file}: cannot be written: {reason}", hint=hint) from None
    state = "written" if there is None else "replaced" if there != content else "as it was"
    from bdpl_cli.plaintext import clean

    print(f"{clean(str(file))}: {state}", file=sys.stderr)


def _tell(notes: tuple[str, ...]) -> None:
    """Each in lines that no terminal obeys; what has to be copied is never broken."""
    from bdpl_cli.plaintext import clean

    width = min(80, get_terminal_size(fallback=(80, 24)).columns)
    for note in notes:
        lines = wrap(
            clean(note),
            width,
            initial_indent="note: ",
            subsequent_indent="      ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        print("\n".join(lines), file=sys.stderr)
