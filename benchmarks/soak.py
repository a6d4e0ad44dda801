"""A long run against a server that breaks: does anything grow, leak, or get lost?

    python benchmarks/soak.py --requests 200000

A real `bdpl-async run`, one text a request, with RUN_DIR and cache in a temporary folder, against
`tests/faultserver.py` in a process of its own. Every second its memory, descriptors, threads,
asyncio tasks and files are looked at. Prints what was found, and writes it to `benchmarks/soak.md`
(`--out`, or `none`); exits 1 where one of the limits below is broken. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from soakproc import sample
from soakreport import Found, judged, page

HERE = Path(__file__).parent
FOLDERS = [HERE.parent, HERE.parent / "providers", HERE.parent / "cli"]
CONCURRENCY = 64
LONGEST = 7200.0  # seconds
TASK = """\
[task]
name = "soak"
train = "train.tsv"
dev = "dev.tsv"
test = "test.tsv"
label = "label"
template = "{prompt} {text} It was {mask}."
labels = { "0" = " terrible", "1" = " great" }

[prompt]
length = 10
vocabulary_size = 200

[model]
name = "compatible/fake"
readout = "chat"
timeout = 2.0
"""
WORDS = """soup chair garden letter music river window bread lamp coat story train hill cup boat
stone field paper road house light rain table glass apple bridge cloud door engine flower"""


class Server:
    """The fault server's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._line()

    def books(self) -> dict[str, Any]:
        """What it counted so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("books\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def serving() -> Iterator[Server]:
    """A server, as long as this lasts."""
    pipe, script = subprocess.PIPE, str(HERE / "soakserver.py")
    command = [sys.executable, script]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603
        try:
            yield Server(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def write_task(folder: Path) -> None:
    """A task of 64 train, 32 dev and 64 test rows."""
    chance, words = random.Random(0), WORDS.split()
    (folder / "task.toml").write_text(TASK)
    for name, count in (("train", 64), ("dev", 32), ("test", 64)):
        rows = [
            f"{' '.join(chance.sample(words, 6))} {('bad', 'good')[i % 2]} {name} {i}\t{i % 2}\n"
            for i in range(count)
        ]
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + "".join(rows))


def command(given: argparse.Namespace, url: str) -> list[str]:
    """What is run in the folder of the task."""
    options = ["--base-url", url, "--max-requests", str(given.requests), "--seed", "0"]
    options += ["--out", "out", "--cache", "cache.db", "--ui", "plain", "--batch-prompts", "1"]
    options += ["--concurrency", str(CONCURRENCY), "--yes"]
    options += ["--set", f"optimizer.samples={given.samples}"]
    options += ["--set", f"optimizer.batch={given.batch}"]
    options += ["--set", "optimizer.max_kl=1e-5"]  # a search that settles asks nothing new
    return [sys.executable, str(HERE / "soaked.py"), "counts.jsonl", "run", "task.toml", *options]


def soak(given: argparse.Namespace, folder: Path) -> Found:
    """The run, from beginning to end."""
    write_task(folder)
    found = Found(given.requests, CONCURRENCY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))}
    with serving() as server, (folder / "said").open("w") as said:
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603
            command(given, server.url), cwd=folder, env=environment, stdout=said, stderr=said
        )
        try:
            watch(process, server, folder, found)
        finally:
            process.kill()
        found.seconds = time.monotonic() - began
        found.code = process.wait()
        found.books = server.books()
    read(folder, found)
    return found


def watch(process: subprocess.Popen[bytes], server: Server, folder: Path, found: Found) -> None:
    """Sample until the process ends, or takes too long."""
    began = told = time.monotonic()
    while process.poll() is None and time.monotonic() - began < LONGEST:
        time.sleep(1.0)
        t, requests = time.monotonic() - began, server.books()["requests"]
        seen = sample(process.pid, t, requests, folder)
        if seen is not None:
            found.samples.append(seen)
            if time.monotonic() - told > 20:
                told = time.monotonic()
                print(
                    f"{t:6.0f} s {requests:9,} requests {seen.rss:6.1f} MB"
                    f" {seen.descriptors:4} descriptors {seen.sizes.get('events.jsonl', 0):6.2f} MB"
                    " of events",
                    file=sys.stderr,
                    flush=True,
                )


def read(folder: Path, found: Found) -> None:
    """What the run left on disk."""
    found.said = (folder / "said").read_text()
    counts = folder / "counts.jsonl"
    found.counts = [json.loads(line) for line in counts.read_text().splitlines()]
    if (folder / "out" / "result.json").exists():
        found.result = json.loads((folder / "out" / "result.json").read_bytes())
    for line in (folder / "out" / "events.jsonl").read_bytes().splitlines():
        kind = json.loads(line)["type"]
        found.lines[kind] = found.lines.get(kind, 0) + 1
        if kind == "step":
            found.steps.append(len(line))


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, judge, tell."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--requests", type=int, default=200_000, help="the budget (%(default)s)")
    options.add_argument("--samples", type=int, default=20, help="prompts an update (%(default)s)")
    options.add_argument("--batch", type=int, default=20, help="examples an update (%(default)s)")
    options.add_argument("--out", default=str(HERE / "soak.md"), help="a file, or none")
    options.add_argument("--keep", type=Path, help="keep the folder of the run here")
    given = options.parse_args(arguments)
    if given.keep and given.keep.is_dir() and any(given.keep.iterdir()):
        options.error(f"{given.keep}: is not empty")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    with TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = soak(given, folder)
        if given.keep:
            (folder / "samples.json").write_text(json.dumps([vars(s) for s in found.samples]))
    verdicts = judged(found)
    text = page(found, verdicts, given)
    print(text)
    if given.out != "none":
        Path(given.out).write_text(text)
    if failed := [verdict for verdict in verdicts if not verdict.passed]:
        print(f"FAIL: {', '.join(verdict.what for verdict in failed)}\n{found.said[-2000:]}")
        return 1
    print("PASS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
