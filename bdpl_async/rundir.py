"""RUN_DIR: what a run leaves on disk, written whole or not at all, and private to the user."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from bdpl_async.config import Config
from bdpl_async.data.textfile import exists
from bdpl_async.errors import ConfigError
from bdpl_async.events import Event, Finished, to_json

__all__ = ["RunDir", "refuse_taken", "write_atomically"]

OURS = re.compile(r"\.?(run\.toml|events\.jsonl|(result|answers|policy)\.json|checkpoint)")
HINT = "give another folder as --out"


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, make it durable, rename: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def refuse_taken(path: Path) -> None:
    """See to it, before anything is spent, that a run may be written to `path`.

    Raises:
        ConfigError: a file is in the way, or the folder holds a run already.
    """
    above = next((folder for folder in path.parents if exists(folder)), None)
    for place in (path, above):
        if place is not None and exists(place) and not place.is_dir():
            raise ConfigError(f"{place}: a file stands where the run's folder should be", hint=HINT)
    if exists(path / "run.toml"):
        raise ConfigError(f"{path}: holds a run already", hint=HINT)


class RunDir:
    """The folder of one run; events go in line by line, the result at the end.

    Args:
        path: the folder; made if it is not there.
        config: written to run.toml before anything else, in one atomic step.

    Raises:
        ConfigError: the folder holds a run already, or cannot be written.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        try:
            refuse_taken(path)
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if all(OURS.match(entry.name) for entry in path.iterdir()):
                path.chmod(0o700)  # a folder that holds other things keeps its owner's rights
            write_atomically(path / "run.toml", config.to_toml().encode())
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            self._events = os.fdopen(os.open(path / "events.jsonl", flags, 0o600), "wb")
            os.fchmod(self._events.fileno(), 0o600)
        except (OSError, ValueError) as error:  # a path may hold what no file system takes
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{path}: cannot be written: {reason}", hint=HINT) from None

    def __enter__(self) -> RunDir:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()

    def keep(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Write JSON documents by their file names."""
        for name, document in documents.items():
            write_atomically(self.path / name, orjson.dumps(document) + b"\n")

    def write(self, event: Event) -> None:
        """Append the event; the last one also writes result.json."""
        self._events.write(orjson.dumps(to_json(event), option=orjson.OPT_APPEND_NEWLINE))
        self._events.flush()
        if isinstance(event, Finished):
            document = orjson.dumps(event.result.to_json(), option=orjson.OPT_INDENT_2)
            write_atomically(self.path / "result.json", document + b"\n")
