"""The rules of `bdpl_async.saving.store`: state and journal are one thing, at any moment."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.saving import store as module
from bdpl_async.saving.journal import Journal, Record
from bdpl_async.saving.store import Store

IDENTITY = {"the data": "abc", "[task]": "def"}
CALLS = ("open", "pwrite", "replace", "unlink", "ftruncate", "fsync", "fdatasync")
KEPT = 5  # texts that a run remembers


class Life:
    """A run of a store alone: each step asks for a text, hears of it, and saves.

    What it must never lose is what it knows: the last few texts, and how many steps there were.
    """

    def __init__(self, folder: Path, *, fresh: bool = True) -> None:
        self.folder = folder
        self.store = Store(folder, 1000)
        self.step = 0
        self.known: list[str] = []
        if fresh:
            self.store.begin()
        else:
            self.store.take_up()
            self._remember()
        self.store.is_of(IDENTITY)

    def _remember(self) -> None:
        if self.store.state is not None:
            self.step = int(self.store.state["step"])
        for record in self.store.known:
            if record[0] in ("text", "kept"):
                self._learn(record[1])

    def _learn(self, names: list[str]) -> None:
        self.known = [*self.known, *names][-KEPT:]

    async def steps(self, upto: int) -> int:
        """Go on, and say how many texts had to be asked for anew."""
        asked = 0
        while self.step < upto:
            told = [r[1] for r in self.store.diary.ask(f"step {self.step}", 0.0) if r[0] == "text"]
            if not told:
                asked += 1
                told = [[f"text {self.step}"]]
                self.store.diary.note("text", told[0])
            self._learn(told[0])
            self.step += 1
            known: list[Record] = [["kept", [name]] for name in self.known]
            self.store.save(self.step, 0, {"t": 0.0, "step": self.step}, known)
            await asyncio.sleep(0)
        await self.store.checkpoints.settled()
        return asked

    def __enter__(self) -> Life:
        return self

    def __exit__(self, *error: object) -> None:
        self.store.close()


def logs(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("checkpoint-*.log"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals that are renewed every few steps."""
    monkeypatch.setattr(module, "LARGE", 150)


class Copies:
    """Copies a folder before each call to the system that may change it.

    Attributes:
        made: each copy, and the steps that were done by then.
    """

    def __init__(self, life: Life, into: Path) -> None:
        self.made: list[tuple[Path, int]] = []
        self._life, self._into = life, into
        self._busy = False

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in CALLS:
            monkeypatch.setattr(os, name, self._heard(getattr(os, name)))
        monkeypatch.setattr(asyncio, "to_thread", at_once)  # so that a copy is one moment

    def _heard(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if not self._busy:  # copying calls the system as well
                self._busy = True
                self._copy()
                self._busy = False
            return real(*arguments, **named)

        return call

    def _copy(self) -> None:
        place = self._into / str(len(self.made))
        shutil.copytree(self._life.folder, place)
        for name in logs(place):  # room that was made ahead
            (place / name).write_bytes((place / name).read_bytes().rstrip(b"\0"))
        self.made.append((place, self._life.step))


async def at_once(call: Callable[..., Any], *arguments: Any) -> Any:
    return call(*arguments)


async def test_a_kill_at_every_moment_of_a_renewal(tmp_path: Path, small: None) -> None:
    """Whatever stood on the disk before any call: it goes on, and nothing told is asked again."""
    folder = tmp_path / "run"
    folder.mkdir()
    with Life(folder) as life, pytest.MonkeyPatch.context() as patched:
        copies = Copies(life, tmp_path)
        copies.watch(patched)
        await life.steps(7)
    assert len(copies.made) > 60
    assert len({name for place, _ in copies.made for name in logs(place)}) >= 3
    assert max(len(logs(place)) for place, _ in copies.made) == 2
    for place, step in copies.made:
        with Life(place, fresh=False) as again:
            assert again.step <= step + 1
            anew = await again.steps(9)
            assert anew <= 9 - step, place.name  # the step under way was told, or was not
            assert again.known == [f"text {n}" for n in range(9 - KEPT, 9)]
        assert len(logs(place)) == 1


async def test_old_journals_stay_until_a_state_needs_them_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    """Whatever the checkpoint names is there whenever it is named."""
    missing: list[str] = []
    with Life(tmp_path) as life:
        real = os.unlink

        def unlink(path: Any, *more: Any, **named: Any) -> None:
            name = Path(path).name
            if name.endswith(".log") and (state := life.store.checkpoints) is not None:
                spelled = (tmp_path / "checkpoint.json").read_text()
                if f'"journal":{name[11:-4]},' in spelled:
                    missing.append(name)
                assert state is not None
            real(path, *more, **named)

        monkeypatch.setattr(os, "unlink", unlink)
        await life.steps(30)
    assert missing == []
    assert len(logs(tmp_path)) == 1


async def test_a_long_run_stays_small(tmp_path: Path, small: None) -> None:
    """However many steps, what is on the disk is what still counts."""
    sizes = []
    with Life(tmp_path) as life:
        for upto in range(50, 301, 50):
            await life.steps(upto)
            sizes.append(sum((tmp_path / name).stat().st_size for name in logs(tmp_path)))
            assert len(logs(tmp_path)) == 1
    assert max(sizes) <= sizes[0] + 5000
    with Life(tmp_path, fresh=False) as again:
        assert again.step == 300
        assert again.known == [f"text {n}" for n in range(300 - KEPT, 300)]


async def test_a_renewal_that_fails_keeps_the_old_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    """A disk without room for another one: it is told, and the run can be taken up."""
    real = os.posix_fallocate
    with Life(tmp_path) as life:
        names = logs(tmp_path)

        def full(descriptor: int, start: int, size: int) -> None:
            if not start:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor, start, size)

        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(StorageError, match="No space left on device"):
            await life.steps(30)
        await life.store.checkpoints.settled()
        assert logs(tmp_path) == names
        step, known = life.step, life.known
    monkeypatch.undo()
    with Life(tmp_path, fresh=False) as again:
        assert await again.steps(step) == 0
        assert again.known == known


async def test_what_a_state_does_not_know_is_heard_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it where no state was written, and the rest where one was."""

    def never(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Life(tmp_path) as life:
        await life.steps(3)
        monkeypatch.setattr("bdpl_async.saving.checkpoint.write_atomically", never)
        life.step = 3
        with suppress(StorageError):
            await life.steps(5)
    monkeypatch.undo()
    with Life(tmp_path, fresh=False) as again:
        assert again.step == 3
        assert await again.steps(6) >= 1
        assert again.known == [f"text {n}" for n in range(1, 6)]
    (tmp_path / "checkpoint.json").unlink()
    with Life(tmp_path, fresh=False) as again:
        assert again.step == 0
        assert await again.steps(6) == 0


async def test_damage_is_refused(tmp_path: Path) -> None:
    """A journal that ends before the state, begins otherwise, or is gone: nothing is guessed."""
    with Life(tmp_path) as life:
        await life.steps(3)
    path = tmp_path / "checkpoint-0.log"
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:20] + b"x" + whole[21:]):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="missing or damaged"):
            Store(tmp_path, 1000).take_up()
        assert path.read_bytes() == content  # what is left may be of use to somebody
    path.unlink()
    with pytest.raises(ConfigError, match="missing or damaged"):
        Store(tmp_path, 1000).take_up()
    (tmp_path / "checkpoint.json").unlink()
    journal = Journal(path)
    journal.append(["text", []])
    journal.close()
    other = Store(tmp_path, 1000)
    with pytest.raises(ConfigError, match="not as a run writes it"):
        other.take_up()
    other.close()


async def test_another_run_is_named(tmp_path: Path) -> None:
    """What it is stands in the journal, and is compared when it goes on."""
    with Life(tmp_path) as life:
        await life.steps(2)
    store = Store(tmp_path, 1000)
    store.take_up()
    store.is_of(IDENTITY)
    with pytest.raises(ConfigError, match=r"\[task\] changed since the run began"):
        store.is_of({**IDENTITY, "[task]": "other"})
    store.close()


def test_files_of_others_stay(tmp_path: Path) -> None:
    """Only journals are ours to remove, and only by their whole name."""
    names = ("checkpoint-notes.log", "checkpoint-1.log.bak", "checkpoint.md", "checkpoint-.log")
    for name in (*names, "checkpoint-7.log", "checkpoint.json"):
        (tmp_path / name).write_text("mine")
    Store(tmp_path, 1000).clear()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
