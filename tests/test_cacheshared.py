"""Several processes on one cache file, some of which are killed, and whole runs on it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bdpl_async.caching import care
from bdpl_async.caching.cache import digest
from bdpl_async.caching.file import CacheFile
from tests.cachekit import FULL, READ_ONLY, ROOT, can_mount, content, ended, entry, filled, process
from tests.faultserver import FaultServer, Manners
from tests.workbench import write_task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


async def test_an_answer_is_shared_within_50_ms(path: Path) -> None:
    """What one process paid for another finds while both run."""
    script = """
        cache = CacheFile(path)
        for number in range(20):
            key = digest(f"key {number}".encode())
            cache.put(key, entry())
            print(time.time(), flush=True)
            time.sleep(0.03)
        sys.stdin.read()
    """
    cache = CacheFile(path)
    child = process(script, path)
    assert child.stdout is not None
    delays = []
    for number in range(20):
        began = float(await asyncio.to_thread(child.stdout.readline))
        while not cache.get([digest(f"key {number}".encode())]):
            assert time.time() - began < 10
            await asyncio.sleep(0.001)
        delays.append(time.time() - began)
    child.kill()
    ended(child)
    await cache.close()
    assert sorted(delays)[14] < 0.05  # a busy machine may delay some


def test_processes_that_are_killed_at_full_speed(path: Path) -> None:
    """Eight write as fast as they can, some die at random: what was written is there, and sound."""
    script = """
        async def work():
            cache, number = CacheFile(path), 0
            while True:
                for each in range(50):
                    cache.put(digest(f"{sys.argv[2]} {number} {each}".encode()), entry())
                while any(cache._writer.waiting()):
                    await asyncio.sleep(0.001)
                print(number, flush=True)
                number += 1
        asyncio.run(work())
    """
    rng = random.Random(0)
    writers = [process(script, path, name) for name in range(8)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "0\n"
    for writer in rng.sample(writers, 8):
        time.sleep(rng.random() * 0.08)
        writer.kill()
    done = [1 + len(ended(writer)[1].splitlines()) for writer in writers]
    verdict = care.verify(path)
    assert sum(done) > 8
    assert (verdict.fine, verdict.bad, verdict.damage) == (True, 0, None)
    known = [
        digest(f"{name} {number} {each}".encode())
        for name, batches in enumerate(done)
        for number in range(batches)
        for each in range(50)
    ]
    assert asyncio.run(content(path, known)) == dict.fromkeys(known, entry())
    assert verdict.entries >= len(known)


def run(folder: Path, url: str, name: str, *before: str) -> subprocess.Popen[str]:
    """A run in a process of its own, on the cache of `folder`, started by the words `before`."""
    words = ["run", "task.toml", "--model", "vllm/fake", "--base-url", url, "--steps", "3"]
    words += ["--concurrency", "4", "--cache", "cache/answers.db", "--out", name, "--ui", "plain"]
    folders = (ROOT, ROOT / "providers", ROOT / "cli")
    return subprocess.Popen(
        [*before, sys.executable, "-m", "bdpl_cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcome(folder: Path, name: str) -> tuple[str, list[float]]:
    result = json.loads((folder / name / "result.json").read_text())
    return result["prompt"], result["losses"]


def finished(child: subprocess.Popen[str]) -> str:
    """What it said, when it is done."""
    said, _ = child.communicate(timeout=30)
    assert child.returncode == 0, said
    return " ".join(said.split())


def test_two_runs_at_once_share_their_answers(tmp_path: Path) -> None:
    """The later one pays only for what it asks before the other is answered, each text at most
    once; both end the same. By the server's books."""
    write_task(tmp_path, more="[budget]\nprompts = 400\n")
    with FaultServer.in_thread(Manners(latency=0.02, noise=0.5)) as server:
        first = run(tmp_path, server.url, "first")
        while server.books.prompts < 20:
            assert first.poll() is None, first.communicate()
            time.sleep(0.001)
        before = dict(server.books.answered)
        second = run(tmp_path, server.url, "second")
        finished(first)
        finished(second)
        answered = server.books.answered
    assert outcome(tmp_path, "first") == outcome(tmp_path, "second")
    for text, count in answered.items():
        assert count <= 2 * before.get(text, 1)  # a probe asks some twice
    assert answered.total() < 1.5 * len(answered)


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_run_on_a_disk_that_takes_no_answer(tmp_path: Path, how: str) -> None:
    """It ends as on any other disk, pays for no text twice, and says once what is the matter."""
    if not can_mount():
        pytest.skip("this user may mount no file system")
    write_task(tmp_path, more="[budget]\nprompts = 400\n")
    (tmp_path / "cache").mkdir()
    asyncio.run(filled(tmp_path / "cache" / "answers.db"))
    mount = {"full": FULL, "read-only": READ_ONLY}[how]
    before = ("unshare", "-rm", "sh", "-c", mount, str(tmp_path / "cache"))
    with FaultServer.in_thread() as server:
        said = finished(run(tmp_path, server.url, "run", *before)).replace("- ", "-")  # wrapped
        answered = server.books.answered
    expected = (
        "is read-only: it is read"
        if how == "read-only"
        else "cannot be used (database or disk is full)"
    )
    assert said.count("answers.db") == said.count(expected) == 1, said
    assert answered.total() <= len(answered) + 2  # a probe asks some twice
