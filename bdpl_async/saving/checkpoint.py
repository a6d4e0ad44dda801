"""checkpoint.json: a run's state between two of its steps, written behind and never half.

The state is JSON with arrays of float64 in it, exact to the bit. It is written by a thread while
the run goes on; if the disk is slower than the run, the newest state is written next and those
between are left out: the journal knows what came after the last one, however long ago that was.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from bdpl_async.data.textfile import read_text
from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.saving.durable import once_mended, write_atomically

__all__ = ["FILE", "Checkpoints", "packed", "read_checkpoint", "unpacked"]

FILE: Final = "checkpoint.json"
SCHEMA: Final = 1
MAX_BYTES: Final = 2_000_000_000
ARRAY: Final = "float64"
ANEW: Final = "run it anew: bdpl-async run {folder}/run.toml --out ..."

State = Mapping[str, Any]


def packed(array: NDArray[np.float64]) -> dict[str, Any]:
    """An array as JSON, NaN and infinities included."""
    content = base64.b64encode(np.ascontiguousarray(array, "<f8").tobytes()).decode()
    return {"shape": list(array.shape), ARRAY: content}


def unpacked(document: Mapping[str, Any]) -> NDArray[np.float64]:
    """What `packed` made.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    content = base64.b64decode(document[ARRAY], validate=True)
    array = np.frombuffer(content, "<f8").astype(np.float64)
    return array.reshape([int(size) for size in document["shape"]])


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state that the file holds; None where there is none.

    Raises:
        ConfigError: it is damaged, or another release wrote it.
    """
    if not path.exists():
        return None
    hint = ANEW.format(folder=path.parent)
    try:
        document = orjson.loads(read_text(path, most=MAX_BYTES, hint=hint))
        schema, state, checksum = (document[key] for key in ("schema", "state", "checksum"))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ConfigError(f"{path}: not as a run writes it", hint=hint) from None
    if schema != SCHEMA:
        raise ConfigError(
            f"{path}: of schema {str(schema)[:20]}, and this release reads {SCHEMA}", hint=hint
        )
    if not isinstance(state, dict) or zlib.crc32(orjson.dumps(state)) != checksum:
        raise ConfigError(f"{path}: damaged: its checksum does not fit", hint=hint)
    return state


class Checkpoints:
    """Writes a run's states.

    Args:
        folder: RUN_DIR.
        before: called in the thread before each write, to make durable what the state relies on.
        after: called there with each state that is on the disk.

    Attributes:
        written: steps of the states that are on the disk and were not told of.
    """

    def __init__(
        self, folder: Path, before: Callable[[], None], after: Callable[[State], None]
    ) -> None:
        self.written: list[int] = []
        self._path = folder / FILE
        self._before, self._after = before, after
        self._next: tuple[int, State] | None = None
        self._work: asyncio.Task[None] | None = None
        self._trouble: OSError | None = None
        self._writing = False
        self._at_work = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Return when nothing is being written, and write no more: others may work there now."""
        with self._at_work:
            self._closed = True

    def put(self, step: int, state: State) -> None:
        """Write `state`, which nobody changes any more, as soon as the one before is written.

        Raises:
            StorageError: an earlier one could not be written.
        """
        self._refuse()
        self._next = (step, state)
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._write_all())

    async def settled(self, *, soon: bool = False) -> None:
        """Return when the last one is written, or cannot be; cancelled, it is written all the same.

        That one is missing is no matter any more, for the journal knows all of it. So who is in a
        hurry need not wait for two on a slow disk: of those, the first is `soon` enough.
        """
        if soon and self._writing:
            self._next = None
        if self._work is not None:
            await asyncio.shield(self._work)

    async def _write_all(self) -> None:
        while self._next is not None and self._trouble is None:
            (step, state), self._next = self._next, None
            self._writing = True
            try:
                await asyncio.to_thread(self._write, state)
            except OSError as error:
                self._trouble = error
            else:
                self.written.append(step)
            self._writing = False

    def _write(self, state: State) -> None:
        with self._at_work:
            if not self._closed:
                self._write_now(state)

    def _write_now(self, state: State) -> None:
        self._before()
        spelled = orjson.dumps(state)
        head = b'{"schema": %d, "checksum": %d, "state": ' % (SCHEMA, zlib.crc32(spelled))
        write_atomically(self._path, head + spelled + b"}\n")
        self._after(state)

    def _refuse(self) -> None:
        if self._trouble is not None:
            reason = self._trouble.strerror or str(self._trouble)
            raise StorageError(
                f"{self._path}: cannot be written: {reason}: nothing more is sent",
                hint=once_mended(self._path.parent),
            )
