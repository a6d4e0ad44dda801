"""Which built-in task a data file looks like, for the message that refuses it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bdpl_async.config import builtin_tasks, load_config
from bdpl_async.data.loader import Loader
from bdpl_async.errors import DataError

__all__ = ["resembling"]

READ = 200  # rows of the file that are looked at


def resembling(file: Path) -> list[str]:
    """The built-in tasks whose data the file might be; `reviews` takes any text and counts not."""
    found = []
    for name, toml in builtin_tasks().items():
        table = load_config(toml).task
        if table.protocol == "paper":
            with suppress(DataError):
                Loader(table).read(file, READ)
                found.append(name)
    return found
