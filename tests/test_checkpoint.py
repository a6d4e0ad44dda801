"""The rules of `bdpl_async.saving.checkpoint`: a state is whole, or it is refused."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.saving import checkpoint as module
from bdpl_async.saving.checkpoint import Checkpoints, packed, read_checkpoint, unpacked
from bdpl_async.saving.durable import write_atomically

STATE = {"t": 1.25, "losses": [0.1, None, -0.0], "name": "é\n", "deep": {"a": [1, 2**60]}}
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
BITS = arrays.arrays(np.uint64, SHAPES, elements=st.integers(0, 2**64 - 1))


class Disk:
    """Takes a state only when it may.

    Attributes:
        slow: cleared, writes wait until it is set.
        calls: what was done, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slow = threading.Event()
        self.slow.set()
        self.begun = threading.Event()
        self.calls: list[tuple[str, Any]] = []
        self._real = write_atomically
        monkeypatch.setattr(module, "write_atomically", self._write)

    def _write(self, path: Path, content: bytes) -> None:
        self.begun.set()
        assert self.slow.wait(5.0)
        self._real(path, content)
        self.calls.append(("write", orjson.loads(content)["state"]))

    def keeper(self, folder: Path) -> Checkpoints:
        return Checkpoints(
            folder,
            lambda: self.calls.append(("before", None)),
            lambda state: self.calls.append(("after", dict(state))),
        )


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    found = Disk(monkeypatch)
    yield found
    found.slow.set()


def read(path: Path) -> dict[str, Any] | ConfigError | None:
    """The state, or why there is none."""
    try:
        return read_checkpoint(path)
    except ConfigError as error:
        return error


async def begun(disk: Disk) -> None:
    """Until a write is under way."""
    assert await asyncio.to_thread(disk.begun.wait, 5.0)


@given(BITS)
def test_arrays_come_back_bit_for_bit(bits: NDArray[np.uint64]) -> None:
    """NaN of every sign and payload, infinities, no elements, no or several dimensions."""
    array = bits.view(np.float64) if bits.ndim else bits.reshape(1).view(np.float64).reshape(())
    back = unpacked(orjson.loads(orjson.dumps(packed(array))))
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array.T,
        lambda array: array[::2, ::-1],
        lambda array: np.broadcast_to(array[0], (3, 4)),
        lambda array: array.astype(">f8"),
    ],
)
def test_any_layout_is_kept(view: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
    """Transposed, with strides, repeated, of the other byte order."""
    array = view(np.arange(12.0).reshape(3, 4))
    assert np.array_equal(unpacked(packed(array)), array)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"shape": [2], "float64": ""},
        {"shape": [1], "float64": "AAAA"},
        {"shape": [1], "float64": "!!!!"},
        {"shape": ["x"], "float64": "AAAAAAAAAAA="},
        {"shape": None, "float64": "AAAAAAAAAAA="},
        {"shape": [1], "float64": 3},
        [],
    ],
)
def test_what_is_no_array_is_refused(wrong: Any) -> None:
    """By errors that the reader of a folder names as its damage."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        unpacked(wrong)


async def test_a_state_comes_back(tmp_path: Path, disk: Disk) -> None:
    """As JSON holds it; first what it relies on is made durable, last it is told."""
    keeper = disk.keeper(tmp_path)
    assert read_checkpoint(tmp_path / "checkpoint.json") is None
    keeper.put(3, STATE)
    await keeper.settled()
    assert read_checkpoint(tmp_path / "checkpoint.json") == STATE
    assert repr(read_checkpoint(tmp_path / "checkpoint.json")) == repr(STATE)
    assert [name for name, _ in disk.calls] == ["before", "write", "after"]
    assert keeper.written == [3]


async def test_any_damage_is_refused(tmp_path: Path, disk: Disk) -> None:
    """Cut off or changed at any byte: refused with a word on what to do, or the same state."""
    path = tmp_path / "checkpoint.json"
    keeper = disk.keeper(tmp_path)
    keeper.put(1, STATE)
    await keeper.settled()
    content = path.read_bytes()
    damaged = [content[:size] for size in range(len(content) - 1)]
    for place in range(len(content)):
        for flip in (1, 0x20, 0x80, content[place]):
            byte = bytes([content[place] ^ flip])
            damaged.append(content[:place] + byte + content[place + 1 :])
    refused = 0
    for number, wrong in enumerate(damaged):
        path.write_bytes(wrong)
        found = read(path)
        if isinstance(found, ConfigError):
            refused += 1
            assert "checkpoint.json" in found.args[0]
            assert "run it anew" in (found.hint or "")
        else:
            assert repr(found) == repr(STATE), number
    assert refused > len(damaged) - 40  # white space outside of the state is nothing lost


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema": 2, "checksum": 0, "state": {}}', "of schema 2, and this release reads 1"),
        (b'{"schema": 1, "checksum": 0, "state": []}', "damaged"),
        (b'{"schema": 1, "checksum": 0}', "not as a run writes it"),
        (b"[1, 2, 3]", "not as a run writes it"),
        (b"", "not as a run writes it"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "not as a run writes it"),
    ],
)
def test_no_state_of_ours(tmp_path: Path, content: bytes, message: str) -> None:
    """Another release's, or nothing of the kind."""
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_checkpoint(path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    """As whatever else cannot be read."""
    (tmp_path / "checkpoint.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_checkpoint(tmp_path / "checkpoint.json")


async def test_on_a_slow_disk_only_the_newest_waits(tmp_path: Path, disk: Disk) -> None:
    """The run goes on meanwhile; the states between are left out, the last one is written."""
    keeper = disk.keeper(tmp_path)
    disk.slow.clear()
    keeper.put(1, {"n": 1})
    await begun(disk)
    for step in range(2, 9):
        keeper.put(step, {"n": step})
        await asyncio.sleep(0)
    assert keeper.written == []
    disk.slow.set()
    await keeper.settled()
    assert [state for name, state in disk.calls if name == "write"] == [{"n": 1}, {"n": 8}]
    assert keeper.written == [1, 8]


async def test_who_is_in_a_hurry_waits_for_one(tmp_path: Path, disk: Disk) -> None:
    """The one that is being written is enough; one that has not begun is written, too."""
    keeper = disk.keeper(tmp_path)
    disk.slow.clear()
    keeper.put(1, {"n": 1})
    await begun(disk)
    keeper.put(2, {"n": 2})
    settling = asyncio.create_task(keeper.settled(soon=True))
    await asyncio.sleep(0)
    disk.slow.set()
    await settling
    assert keeper.written == [1]
    keeper.put(3, {"n": 3})
    await keeper.settled(soon=True)
    assert keeper.written == [1, 3]


async def test_cancelled_it_is_written_all_the_same(tmp_path: Path, disk: Disk) -> None:
    """Whoever gives up waiting takes nothing from the disk."""
    keeper = disk.keeper(tmp_path)
    disk.slow.clear()
    keeper.put(1, {"n": 1})
    keeper.put(2, {"n": 2})
    settling = asyncio.create_task(keeper.settled())
    await begun(disk)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    disk.slow.set()
    await keeper.settled()
    assert read_checkpoint(tmp_path / "checkpoint.json") == {"n": 2}


@pytest.mark.parametrize("where", ["before", "write", "after"])
async def test_a_disk_that_takes_no_more_is_told_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """By the next state that is to be kept; the end of a run does without."""

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def nothing(*arguments: object) -> None: ...

    if where == "write":
        monkeypatch.setattr(module, "write_atomically", full)
    keeper = Checkpoints(
        tmp_path, full if where == "before" else nothing, full if where == "after" else nothing
    )
    keeper.put(1, {"n": 1})
    await keeper.settled()
    assert keeper.written == []
    for _ in range(2):
        with pytest.raises(StorageError, match="No space left on device: nothing more") as caught:
            keeper.put(2, {"n": 2})
        assert "bdpl-async resume" in (caught.value.hint or "")
    await keeper.settled()


async def test_nothing_is_written_once_it_is_closed(tmp_path: Path) -> None:
    """What waited when a run crashed is dropped: another may write there by now."""
    checkpoints = Checkpoints(tmp_path, lambda: None, lambda state: None)
    checkpoints.put(1, {"a": 1})
    checkpoints.close()
    await checkpoints.settled()
    assert os.listdir(tmp_path) == []
