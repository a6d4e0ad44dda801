"""RUN_DIR: what a run leaves on disk, written whole or not at all, and private to the user."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import orjson

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.events import Event, Finished, to_json

__all__ = ["RunDir", "write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, make it durable, rename: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


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
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (path / "run.toml").exists():
                raise ConfigError(
                    f"{path}: holds a run already",
                    hint="give another --out, or look at its result.json",
                )
            path.chmod(0o700)
            write_atomically(path / "run.toml", config.to_toml().encode())
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            self._events = os.fdopen(os.open(path / "events.jsonl", flags, 0o600), "wb")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None

    def __enter__(self) -> RunDir:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()

    def write(self, event: Event) -> None:
        """Append the event; the last one also writes result.json."""
        self._events.write(orjson.dumps(to_json(event), option=orjson.OPT_APPEND_NEWLINE))
        self._events.flush()
        if isinstance(event, Finished):
            document = orjson.dumps(event.result.to_json(), option=orjson.OPT_INDENT_2)
            write_atomically(self.path / "result.json", document + b"\n")
