"""A redis-server of one's own, on a free port, that can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

__all__ = ["RedisServer", "redis_server"]

READY: Final = 20.0  # seconds


class RedisServer:
    """One process; its data survive it, if it writes them down.

    Args:
        folder: where it writes.
        words: more of its command line.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        self._folder = folder
        self._words = words or ("--appendonly", "yes", "--appendfsync", "everysec")
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program is not None
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", str(self._folder), *self._words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            if self.cli("ping") == "PONG":
                return
            time.sleep(0.02)
        raise AssertionError("redis-server did not start")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait(READY)
            self._process = None

    def signal(self, sign: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, sign)

    def cli(self, *words: str) -> str:
        """What redis-cli says."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()


@contextmanager
def redis_server(folder: Path, *words: str) -> Iterator[RedisServer]:
    """A server that is there until the end."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here; Debian has it: apt install redis-server")
    pytest.importorskip("redis", reason="the extra redis is not installed")
    server = RedisServer(folder, *words)
    server.start()
    try:
        yield server
    finally:
        server.signal(signal.SIGCONT)
        server.stop(signal.SIGKILL)
