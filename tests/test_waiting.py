"""The rules of `bdpl_cli.waiting`: nobody looks at a blank screen without knowing why."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from bdpl_async.budget import Budget, Ledger
from bdpl_async.channel import Channel
from bdpl_async.events import Retry
from bdpl_async.terms import Terms
from bdpl_cli import waiting


def channel() -> Channel:
    return Channel("vllm/x", Ledger(Budget()), Terms(timeout=60))


async def told(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TICK", 0.001)
    with suppress(TimeoutError):
        await asyncio.wait_for(waiting._tell(channel), 0.05)


async def test_a_person_is_told_of_silence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds without any answer, one line on stderr says what is waited for."""
    await told(channel(), monkeypatch)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(waiting, "SILENCE", 0.0)
    await told(channel(), monkeypatch)
    said = capsys.readouterr()
    assert said.err.startswith("bdpl-async: no answer yet from vllm/x, waiting")
    assert said.out == ""


async def test_a_person_is_told_of_long_waits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason of a wait of a second or more stands on stderr, cut short; others are silent."""
    line = channel()
    line.again.retries += [Retry(0.0, 2, 0.2, "soon"), Retry(0.0, 3, 20.0, "busy " * 100)]
    await told(line, monkeypatch)
    said = capsys.readouterr().err
    assert "soon" not in said
    assert said.startswith("bdpl-async: busy busy")
    assert said.endswith("...; again in 20 s\n")
    assert len(said) < 200


async def test_what_is_told_is_still_an_event() -> None:
    """Retries of the probe stay where the run finds them."""
    line = channel()
    line.again.retries.append(Retry(0.0, 2, 20.0, "busy"))
    async with waiting.telling(line):
        await asyncio.sleep(0)
    assert len(line.again.retries) == 1
