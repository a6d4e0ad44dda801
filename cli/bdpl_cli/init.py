"""``bdpl-async init``: look at data, write an annotated TASK.toml that runs, and say what it is.

    DATA -> files -> columns, classes -> label words that the model reads -> TASK.toml -> loaded

It asks little, and nobody but a person at a terminal. Nothing that is there is overwritten, and
what does not load is taken away again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bdpl_cli.options import InitOptions

__all__ = ["init"]


def init(
    data: Annotated[
        Path | None,
        Parameter(help="A tsv, csv, jsonl or parquet file, or a folder with train|dev|test"),
    ] = None,
    /,
    *,
    options: InitOptions = InitOptions(),  # noqa: B008  frozen
) -> None:
    """Look at a data file and write an annotated TASK.toml that runs."""
    from bdpl_cli.drafted import drafted

    print("\n".join(drafted(data, options).lines()))
