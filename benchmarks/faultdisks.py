"""Faults of the disk and of files: full, gone, read-only, damaged, changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from faultcases import Bench, Books, Done, Row, seen

from tests.killing import DOOMED

__all__ = ["changes", "damage", "disks"]

AT = 20  # the request at which a run is struck
LATE = 45  # by then it has a checkpoint, however slow the disk
NOWHERE = "/proc/nowhere"  # where nobody may write, not even an administrator


def disks(bench: Bench) -> Iterator[Row]:
    """A disk that takes no more, from the middle of the run on."""
    yield _full(bench, "the journal's disk is full", "pwrite:checkpoint-", 80)
    yield _full(bench, "no room can be kept for the journal", "posix_fallocate", 1)
    yield _full(bench, "the checkpoint's disk is full", "fsync:checkpoint.json", 2)
    yield _full(bench, "the disk is full when the result is written", "fsync:result.json", 1)
    row = _full(bench, "events.jsonl cannot be written", "pwrite:events.jsonl", 4, stops=False)
    yield row
    yield _limited(bench)
    yield _refused(bench, "RUN_DIR in a folder that may only be read", "--out", NOWHERE)
    yield _unwritable_cache(bench)
    yield _removed(bench)


def _full(bench: Bench, fault: str, call: str, at: int, *, stops: bool = True) -> Row:
    """From its so-manieth call on a write fails; with room again, the run goes on."""
    row, out = Row(fault), bench.name()
    words = bench.words(out)[3:]
    bench.server.books = Books()
    done = bench.finished([*DOOMED, call, str(at), "fail", *words])
    bench.server.calm()
    if not stops:
        bench.judge(row, out, done)
        other = bench.place.differences(out, bench.whole)
        row.checks["same result"] = not other.keys() - {"steps"}  # these are read off the log
        row.said = seen(done, "^note:.*written")
        return row
    bench.harmless(row, done)
    row.said = seen(done, "^bdpl-async: .*(room|written|full)")
    if (bench.folder / out / "run.toml").exists():
        row.checks["exit 1"] = done.returncode == 1
        bench.judge(row, out, bench.resume(out))
    else:
        row.checks["exit 2, nothing sent"] = (
            done.returncode == 2 and not bench.server.books.requests
        )
    return row


def _limited(bench: Bench) -> Row:
    """A real limit of the system: no file may grow beyond 256 KiB, and the cache's wants to."""
    row, out = Row("the cache's disk is full (RLIMIT_FSIZE)"), bench.name()
    bench.server.books = Books()
    bench.server.manners.latency = 0.3  # so that the cache writes a few answers at a time, often
    words = bench.words(out)
    words[words.index("--concurrency") + 1] = "2"
    done = bench.finished(["bash", "-c", 'ulimit -f 256; exec "$@"', "bash", *words])
    bench.server.manners.latency = 0.003
    bench.server.calm()
    bench.judge(row, out, done)
    row.said = seen(done, "cache")
    row.checks["said so"] = bool(row.said)
    return row


def _refused(bench: Bench, fault: str, *more: str) -> Row:
    row = Row(fault)
    words = bench.words(bench.name())
    words[words.index(more[0]) + 1] = more[1]
    bench.server.books = Books()
    done = bench.finished(words)
    bench.judge(row, "", done, code=2, same=False)
    row.checks["nothing sent"] = bench.server.books.requests == 0
    row.said = seen(done, "^bdpl-async")
    return row


def _unwritable_cache(bench: Bench) -> Row:
    row, out = Row("the cache in a folder that may only be read"), bench.name()
    words = bench.words(out)
    words[words.index("--cache") + 1] = f"{NOWHERE}/cache.db"
    bench.server.books = Books()
    done = bench.finished(words)
    bench.server.calm()
    if done.returncode == 2:
        bench.judge(row, out, done, code=2, same=False)
        row.checks["nothing sent"] = bench.server.books.requests == 0
    else:
        bench.judge(row, out, done)
    row.said = seen(done, "cache")
    return row


def _removed(bench: Bench) -> Row:
    row, out = Row("RUN_DIR is removed while the run works there"), bench.name()
    bench.server.manners.latency = 0.05
    there, gone = bench.folder / out, bench.folder / f"{out}-gone"
    bench.server.doom(AT, lambda: there.rename(gone), 0.0)  # at once, and then away with it
    done = bench.finished(bench.words(out))
    bench.server.manners.latency = 0.003
    bench.server.calm()
    shutil.rmtree(gone)
    bench.judge(row, out, done, code=1, same=False)
    row.checks["it stops"] = bench.server.books.requests < AT + 20
    row.said = seen(done, "^bdpl-async")
    row.checks["said so"] = bool(row.said)
    bench.server.calm()
    sent, new = bench.server.books.requests, bench.name()
    (bench.folder / f"{out}.db").rename(bench.folder / f"{new}.db")
    done = bench.run(new)
    row.checks["run anew, it has the same result"] = not bench.place.differences(new, bench.whole)
    most = bench.whole.requests - sent + 8
    row.checks["and what was paid for from the cache"] = bench.server.books.requests <= most
    return row


def damage(bench: Bench) -> Iterator[Row]:
    """What stands on the disk is not what was written."""
    yield _cache_damaged(bench)
    yield _cut_off(bench, "the cache is deleted before the run is resumed", _drop_cache)
    yield _cut_off(bench, "the cache is damaged before the run is resumed", _spoil_cache)
    yield _cut_off(bench, "the last bytes of the journal are missing", _tear)
    yield _cut_off(bench, "the journal is damaged in the middle", _scratch, refused=True)
    yield _cut_off(bench, "the journal is gone", _lose, refused=True)
    yield _cut_off(bench, "checkpoint.json is damaged", _flip, refused=True)


def changes(bench: Bench) -> Iterator[Row]:
    """What the run depends on was changed before it is resumed."""
    yield _changed(
        bench, "a row of the data is changed", bench.folder / "train.tsv", "soup", "soap"
    )
    yield _changed(bench, "run.toml: another number of steps", None, "steps = 6", "steps = 7")
    yield _changed(bench, "run.toml: another template", None, "It was", "It is")
    yield _changed(bench, "run.toml: another budget", None, "requests = 200", "requests = 9000")
    yield _changed(bench, "run.toml is no TOML any more", None, "[task]", "[task")


def _cut_off(
    bench: Bench, fault: str, spoil: Callable[[Path, str], int], *, refused: bool = False
) -> Row:
    """Kill a run, spoil something, go on."""
    row, out = Row(fault), bench.name()
    bench.killed(out, LATE)
    more = spoil(bench.folder, out)
    sent = bench.server.books.requests
    done = bench.resume(out)
    if refused:
        bench.judge(row, out, done, code=2, same=False)
        row.checks["nothing sent"] = bench.server.books.requests == sent
        row.said = seen(done, "^bdpl-async")
    else:
        bench.judge(row, out, done, paid=8 * 4 + more)
        row.said = seen(done, "^note: .*cache") or seen(done, "resum|goes on") or "nothing"
    return row


def _drop_cache(folder: Path, out: str) -> int:
    for file in folder.glob(f"{out}.db*"):
        file.unlink()
    return 0


def _spoil_cache(folder: Path, out: str) -> int:
    _drop_cache(folder, out)
    (folder / f"{out}.db").write_bytes(os.urandom(8192))
    return 0


def _journal(folder: Path, out: str) -> Path:
    return next((folder / out).glob("checkpoint-*.log"))


def _tear(folder: Path, out: str) -> int:
    path = _journal(folder, out)
    kept = path.read_bytes().rstrip(b"\0")
    path.write_bytes(kept[:-100])
    return 8


def _scratch(folder: Path, out: str) -> int:
    path = _journal(folder, out)
    path.write_bytes(path.read_bytes()[:300] + b"?" + path.read_bytes()[301:])
    return 0


def _lose(folder: Path, out: str) -> int:
    _journal(folder, out).unlink()
    return 0


def _flip(folder: Path, out: str) -> int:
    path = folder / out / "checkpoint.json"
    path.write_bytes(path.read_bytes().replace(b"float64", b"float46", 1))
    return 0


def _cache_damaged(bench: Bench) -> Row:
    row, out = Row("the cache is damaged before the run"), bench.name()
    (bench.folder / f"{out}.db").write_bytes(os.urandom(8192))
    done = bench.run(out)
    bench.judge(row, out, done)
    row.said = seen(done, "cache")
    return row


def _changed(bench: Bench, fault: str, file: Path | None, was: str, now: str) -> Row:
    """Resumed with the change: refused. With the change undone: as if nothing had been."""
    row, out = Row(f"{fault}, before the run is resumed"), bench.name()
    bench.killed(out, AT)
    path = file or bench.folder / out / "run.toml"
    before = path.read_text()
    assert was in before, (was, before)
    path.write_text(before.replace(was, now, 1))
    sent = bench.server.books.requests
    done: Done = bench.resume(out)
    row.checks["exit 2, nothing sent"] = done.returncode == 2
    row.checks["exit 2, nothing sent"] &= bench.server.books.requests == sent
    bench.harmless(row, done)
    row.said = seen(done, "^bdpl-async")
    path.write_text(before)
    bench.judge(row, out, bench.resume(out), paid=8 * 4)
    return row
