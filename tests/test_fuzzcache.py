"""Cache files with anything in them: never a traceback, never an answer that nobody gave."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bdpl_async.caching.file import CacheFile
from bdpl_async.caching.place import Place
from bdpl_async.caching.row import unpacked
from bdpl_async.caching.table import Table
from bdpl_async.errors import ConfigError
from tests.cachekit import entry, keys, rows
from tests.documents import JSON
from tests.hostile import SPELLS, examples, mutated, plain
from tests.workbench import command

Capsys = pytest.CaptureFixture[str]
KNOWN: Final = keys(40)
NOW: Final = 1_800_000_000
COMMANDS: Final = (
    ("stats",),
    ("stats", "--json"),
    ("verify",),
    ("verify", "--json"),
    ("prune", "--max-entries", "20", "--dry-run"),
    ("prune", "--older-than", "1", "--max-mb", "0.01"),
    ("verify", "--repair"),
)
VALUES = (
    st.binary(max_size=40)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from(SPELLS)
    | st.sampled_from([b"+record", b'[1,[-1.0,-2.5],0.25,"01",12,1]', b"", b"[1,[NaN],1,1,1,1]"])
)
SCHEMAS = (
    "ALTER TABLE answers ADD COLUMN more",
    "ALTER TABLE answers DROP COLUMN created",
    "ALTER TABLE answers RENAME TO others",
    "DROP TABLE answers",
    "CREATE TABLE others (x)",
    "CREATE TRIGGER t BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'no'); END",
    "CREATE TRIGGER t BEFORE DELETE ON answers BEGIN SELECT RAISE(FAIL, '\x1b[2J no'); END",
    "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
    "ALTER TABLE answers RENAME TO o; CREATE VIEW answers AS SELECT * FROM o",
    "ALTER TABLE answers RENAME TO o; CREATE TABLE answers (key, value, checksum, created)",
    "PRAGMA user_version = -1",
    "PRAGMA user_version = 2147483647",
    "PRAGMA application_id = 0",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA encoding = 'UTF-16'",
)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sound cache, as a killed run leaves it: half of it in its log."""
    folder = tmp_path_factory.mktemp("good")
    place = Place(folder / "at work" / "cache.db")
    place.prepare()
    with closing(Table(place.path)) as table:
        table.write(rows(KNOWN[:20]), NOW - 86_400)
        table.checkpoint()
        table.write(rows(KNOWN[20:]), NOW)
        shutil.copytree(place.path.parent, folder / "left")
    return folder / "left"


class Bench:
    """A cache of its own for each example, looked at in every way."""

    def __init__(self, folder: Path, capsys: Capsys, good: Path) -> None:
        self.folder, self._capsys, self._good = folder / "cache", capsys, good
        self.path = self.folder / "cache.db"

    def renew(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._good, self.folder)

    def survives(self, wanted: Sequence[bytes] = KNOWN) -> None:
        """A run reads nothing but what was written, and goes on; the commands end in good order."""
        asyncio.run(self._served(wanted))
        for words in COMMANDS:
            done = command(self._capsys, "cache", *words, "--cache", self.path)
            assert done.code in (0, 1, 2), (words, done)
            assert plain(done.err), (words, done.err)
            assert plain(done.out, lines=20), (words, done.out)
            if "--json" in words and done.code == 0:
                assert isinstance(orjson.loads(done.out), dict)
        asyncio.run(self._served(wanted))

    async def _served(self, wanted: Sequence[bytes]) -> None:
        try:
            cache = CacheFile(self.path)
        except ConfigError:
            return  # told by the commands, too
        try:
            assert set(cache.get(wanted).values()) <= {entry()}
            assert cache.recall(wanted[0]) is None
            cache.put(b"new", entry(-3.0))
            cache.remember(b"found out", b"this")
            assert cache.get([b"new"]) == {b"new": entry(-3.0)}
        finally:
            await cache.close()
        assert len(cache.trouble or "") < 1000


@pytest.fixture
def bench(tmp_path: Path, capsys: Capsys, good: Path) -> Bench:
    return Bench(tmp_path, capsys, good)


def change(path: Path, script: Callable[[sqlite3.Connection], object]) -> None:
    """Do something to the file with SQLite, as far as it lets us."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db, suppress(sqlite3.Error):
        script(db)


@examples(12)
@given(
    changed=st.lists(
        st.tuples(
            st.sampled_from(["key", "value", "checksum", "created"]), VALUES, st.integers(0, 39)
        ),
        min_size=1,
        max_size=4,
    )
)
@example(changed=[("created", "never", 0), ("created", float("inf"), 1), ("key", 5, 2)])
@example(changed=[("created", -(2**63), 0), ("created", 2**63 - 1, 1)])
def test_any_column_of_any_type(bench: Bench, changed: list[tuple[str, object, int]]) -> None:
    """A row with a value of any type in any column is a miss, is counted, and can be removed."""
    bench.renew()

    def script(db: sqlite3.Connection) -> None:
        for column, value, place in changed:
            change = f"UPDATE answers SET {column} = ? WHERE rowid = ?"  # noqa: S608
            db.execute(change, (value, place + 1))

    change(bench.path, script)
    bench.survives()


def test_text_that_is_no_text(bench: Bench) -> None:
    """A row whose text is not UTF-8 is a bad row and no trouble for the others."""
    bench.renew()
    change(bench.path, lambda db: db.execute("UPDATE answers SET value = CAST(x'ff' AS TEXT)"))
    change(bench.path, lambda db: db.execute("UPDATE answers SET created = CAST(x'ff' AS TEXT)"))
    bench.survives()


@examples(12)
@given(
    part=st.sampled_from(["cache.db", "cache.db-wal", "cache.db-shm", "cache.db.lock"]),
    data=st.data(),
)
def test_any_bytes_in_any_file(bench: Bench, good: Path, part: str, data: st.DataObject) -> None:
    """Bytes changed, doubled, cut off or made up, in the file, its log, its index or its lock."""
    bench.renew()
    there = good / part
    raw = there.read_bytes() if there.exists() else b""
    pieces = st.binary(max_size=60) | st.sampled_from([b"\0" * 512, b"\xff" * 4096, raw[:2048]])
    damaged = data.draw(mutated(raw, pieces) | st.binary(max_size=100))
    (bench.folder / part).write_bytes(damaged)
    bench.survives()


@pytest.mark.parametrize("script", SCHEMAS)
def test_any_schema(bench: Bench, script: str) -> None:
    """A table of another shape, with triggers, as a view, or of another number, is no trouble."""
    bench.renew()
    change(bench.path, lambda db: db.executescript(script))
    bench.survives()


@pytest.mark.parametrize("part", ["cache.db", "cache.db-wal", "cache.db-shm", "cache.db.lock"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "dangling", "device", "endless"])
def test_what_is_no_file(bench: Bench, part: str, kind: str) -> None:
    """A pipe, a folder, a link to itself or to nothing, or a device: nobody waits, nothing ends."""
    bench.renew()
    place = bench.folder / part
    place.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "loop":
            place.symlink_to(place)
        case "dangling":
            place.symlink_to(bench.folder / "nowhere" / "x")
        case "device":
            place.symlink_to("/dev/null")
        case _:
            place.symlink_to("/dev/zero")
    bench.survives()


@examples(300)
@given(document=JSON | st.lists(JSON, min_size=6, max_size=6), shape=st.integers(0, 6))
@example(document=[1, ["nan", 0.0], None, "", 1, 1], shape=6)
@example(document=[1, [-1.0], None, "", -5, 1], shape=6)
@example(document=[1, [-1.0], -2.5, "", 5, 1], shape=6)
def test_a_checksum_alone_makes_no_answer(document: object, shape: int) -> None:
    """A value whose checksum is right is an answer only if it is one that could be written."""
    good: list[object] = [1, [-1.0, -2.5], 0.25, "01", 12, 1]
    if isinstance(document, list) and shape == 6:
        good = document
    else:
        good[shape % 6] = document
    try:
        value = orjson.dumps(good)
    except TypeError:
        return
    kept = unpacked(b"key", value, zlib.crc32(value, zlib.crc32(b"key")))
    if kept is None:
        return
    assert not isinstance(kept, bytes)
    assert all(type(one) is float and one < math.inf for one in kept.score.logprobs)
    assert kept.score.mass is None or 0 <= kept.score.mass < math.inf
    assert min(kept.prompt_tokens, kept.completion_tokens) >= 0
    assert len(kept.score.censored) in (0, len(kept.score.logprobs))
