"""``bdpl-async vocab``: build the candidate vocabulary and write it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bdpl_async.markup import clean as visible
from bdpl_cli.options import VocabOptions
from bdpl_cli.plaintext import clean

__all__ = ["vocab"]


def vocab(
    task: Annotated[str, Parameter(help="A .toml file or a built-in name")],
    /,
    *,
    options: VocabOptions = VocabOptions(),  # noqa: B008  frozen
) -> None:
    """Build the candidates of a task, one a line; ``--out FILE`` or stdout."""
    from bdpl_async.errors import ConfigError
    from bdpl_async.task import Task
    from bdpl_async.wording import counted

    loaded = Task.from_toml(task, overrides=options.overrides())
    candidates = loaded.vocabulary()
    lines = "".join(f"{candidate}\n" for candidate in candidates)
    if options.out is None:
        sys.stdout.write(visible(lines) if sys.stdout.isatty() else lines)
        return
    try:
        Path(options.out).write_text(lines, encoding="utf-8")
        written = counted(len(candidates), "candidate")
        print(f"{written} written to {clean(options.out)}", file=sys.stderr)
    except OSError as error:
        raise ConfigError(f"--out {options.out}: cannot be written: {error.strerror}") from None
