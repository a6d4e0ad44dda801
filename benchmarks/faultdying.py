"""Faults of the process: killed, told to stop, stopped for a while, without anybody to talk to."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from faultcases import Bench, Books, Row, ended, seen

from tests.killing import DOOMED, PHASES, environment

__all__ = ["kills", "listeners", "signals"]

AT = 20  # the request at which a signal comes: in the midst of the search
LEAD = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])"""  # makes standard input the terminal that it is led by
WRITES = {
    "kill -9 in the middle of a line of the journal": ("pwrite:checkpoint-", 60, "half"),
    "kill -9 between the words and the name of a checkpoint": ("replace:checkpoint", 2, "before"),
    "kill -9 between policy.json and result.json": ("replace:result.json", 1, "before"),
}


def kills(bench: Bench) -> Iterator[Row]:
    """Killed in each phase and in each kind of write; and three times in a row."""
    for phase in PHASES:
        first, last = bench.whole.spans[phase]
        yield _killed(bench, f"kill -9 in the phase {phase}", ((first + last) // 2,))
    yield _killed(bench, "kill -9 three times in a row", (AT, 9, 12))
    for fault, (call, at, when) in WRITES.items():
        row, out = Row(fault), bench.name()
        bench.server.books = Books()
        bench.finished([*DOOMED, call, str(at), when, *bench.place.words(out)])
        bench.server.calm()
        _onward(bench, row, out, bench.place.in_flight(out))
        yield row


def _killed(bench: Bench, fault: str, moments: tuple[int, ...]) -> Row:
    row, out = Row(fault), bench.name()
    words, sent, cut = bench.place.words(out), 0, 0
    for at in moments:
        done = bench.place.killed(words, at)
        row.checks["killed"] = done.returncode == -signal.SIGKILL
        sent, cut = sent + bench.server.books.requests, bench.place.in_flight(out) + cut
        words = ["resume", out, "--ui", "plain"]
    bench.server.books.requests = sent
    _onward(bench, row, out, cut)
    return row


def _onward(bench: Bench, row: Row, out: str, in_flight: int) -> None:
    """The rest of it, and no more paid for twice than was in flight."""
    done = bench.resume(out)
    bench.judge(row, out, done)
    twice = bench.server.books.requests - bench.whole.requests
    del row.checks["nothing paid twice"]
    row.checks["only what was in flight paid twice"] = twice <= in_flight
    row.said = "nothing: `resume` goes on where it was"


def signals(bench: Bench) -> Iterator[Row]:
    """Told to stop: within 5 s, with exit 130 and the command that goes on."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        row, out = Row(f"{name}"), bench.name()
        _stopped(bench, row, out, AT, signal.Signals[name])
        yield row
    row, out = Row("SIGINT during the probe"), bench.name()
    _stopped(bench, row, out, 2, signal.SIGINT)
    yield row
    yield _twice(bench)
    yield _terminal(bench)
    yield _asleep(bench)


def _stopped(bench: Bench, row: Row, out: str, at: int, number: int) -> None:
    began = time.monotonic()
    done = bench.place.killed(bench.place.words(out), at, number=number)
    row.checks["exit 130"] = done.returncode == 130
    row.checks["within 5 s"] = time.monotonic() - began < 8  # with all else that a process does
    bench.harmless(row, done)
    row.said = seen(done, "stopping")
    bench.judge(row, out, bench.resume(out))


def _twice(bench: Bench) -> Row:
    """While answers take long, a second Ctrl-C leaves at once."""
    row, out = Row("SIGINT twice, while nothing is answered"), bench.name()
    bench.server.manners.latency = 30.0
    arrived = threading.Event()
    bench.server.doom(1, arrived.set, 0.3)
    process = bench.start(out)
    try:
        row.checks["it was waiting"] = arrived.wait(20)
        process.send_signal(signal.SIGINT)
        time.sleep(0.4)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        done = ended(process)
        row.checks["at once"] = time.monotonic() - began < 2
    finally:
        bench.server.manners.latency = 0.003
    row.checks["exit 130"] = done.returncode == 130
    bench.harmless(row, done)
    row.said = seen(done, "stopping")
    bench.judge(row, out, bench.resume(out), paid=8 * 4)
    return row


def _terminal(bench: Bench) -> Row:
    """The window is closed: the terminal is gone, and a hang-up comes."""
    row, out = Row("the terminal is closed"), bench.name()
    master, slave = pty.openpty()
    closing = threading.Event()
    bench.server.doom(AT, closing.set, 0.0)
    lead = [sys.executable, "-c", LEAD, *bench.words(out, ui="rich")]
    process = subprocess.Popen(  # noqa: S603  our own words
        lead,
        cwd=bench.folder,
        env=environment() | {"TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    while not closing.is_set() and process.poll() is None:  # what is shown must be read
        if select.select([master], [], [], 0.01)[0]:
            os.read(master, 65536)
    os.close(master)
    try:
        row.checks["exit 130"] = process.wait(30) == 130
    finally:
        process.kill()
    bench.server.calm()
    row.said = "nothing: nobody is there"
    bench.judge(row, out, bench.resume(out))
    return row


def _asleep(bench: Bench) -> Row:
    """As a laptop that is closed for a while: nothing is lost, and no answer is late for it."""
    row, out = Row("SIGSTOP for 4 s, twice the time-out"), bench.name()
    stopped = threading.Event()

    def strike() -> None:
        process.send_signal(signal.SIGSTOP)
        stopped.set()

    bench.server.doom(AT, strike, 0.0)
    process = bench.start(out)
    row.checks["it was asleep"] = stopped.wait(20)
    time.sleep(4)
    process.send_signal(signal.SIGCONT)
    done = ended(process)
    bench.judge(row, out, done, paid=8 * 4)
    row.said = seen(done, "again in|^note:") or "nothing: what had arrived meanwhile was read"
    return row


def listeners(bench: Bench) -> Iterator[Row]:
    """Nobody reads what the run says, and a second process wants the same folder."""
    yield _unread(bench)
    yield _unseen(bench)
    yield _second(bench)


def _unread(bench: Bench) -> Row:
    """As with `| head -1`: whoever read it has enough of it."""
    row, out = Row("stdout is a broken pipe"), bench.name()
    bench.server.books = Books()
    process = bench.start(out)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    done = subprocess.CompletedProcess([], process.wait(60), "", said)
    bench.server.calm()
    row.checks[f"exit {done.returncode}"] = done.returncode in (0, 130)
    bench.harmless(row, done)
    row.said = seen(done, "stopping") or "nothing"
    bench.judge(row, out, bench.resume(out))
    return row


def _unseen(bench: Bench) -> Row:
    row, out = Row("stderr is a broken pipe"), bench.name()
    bench.server.books = Books()
    process = bench.start(out)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.close()
    done = subprocess.CompletedProcess([], 0, process.stdout.read(), "")
    done.returncode = process.wait(60)
    bench.server.calm()
    bench.judge(row, out, done)
    row.said = "nothing: it is all on stdout"
    return row


def _second(bench: Bench) -> Row:
    row, out = Row("a second process resumes the same RUN_DIR"), bench.name()
    begun, manners = threading.Event(), bench.server.manners
    bench.server.doom(AT, begun.set, 0.0)
    manners.latency, manners.noise = 1.0, 0.0  # so that it is still there when the second comes
    process = bench.start(out)
    assert begun.wait(60)
    second = bench.resume(out)
    manners.latency, manners.noise = 0.003, 0.5
    done = ended(process)
    row.checks["the second: exit 2"] = second.returncode == 2
    bench.judge(row, out, done)
    row.said = seen(second, "^bdpl-async")
    return row
