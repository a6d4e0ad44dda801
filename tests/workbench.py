"""A small task on disk, the command line in this process, and scorers that count or refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from bdpl_async.records import Reply, Request, Score
from bdpl_cli.main import main

WORDS = "soup chair garden letter music river window bread lamp coat story train hill cup"
TASK = """\
[task]
name = "tiny"
train = "train.tsv"
dev = "dev.tsv"
label = "label"
template = "{prompt} {text} It was {mask}."
labels = { "0" = " terrible", "1" = " great" }

[prompt]
length = 3
vocabulary_size = 20

[optimizer]
samples = 4
batch = 2
steps = 2

[model]
name = "simulated/x"
"""


def rows(count: int, offset: int = 0) -> str:
    """A TSV of `count` short texts, labels 0 and 1 in turn."""
    words = WORDS.split()
    texts = (
        f"{words[i % 14]} and {words[(3 * i + 1) % 14]} {'good' if i % 2 else 'bad'} {i}\t{i % 2}\n"
        for i in range(offset, offset + count)
    )
    return "text\tlabel\n" + "".join(texts)


def write_task(folder: Path, *changes: tuple[str, str], more: str = "") -> Path:
    """`TASK` in `folder`, with its data; each change replaces text that must be there."""
    text = TASK
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "train.tsv").write_text(rows(12))
    (folder / "dev.tsv").write_text(rows(8, 100))
    path = folder / "task.toml"
    path.write_text(text + more)
    return path


TESTED = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')
"""The change that gives `TASK` a test split; `finished_run` writes its rows."""


def finished_run(
    folder: Path, capsys: pytest.CaptureFixture[str], *changes: tuple[str, str]
) -> None:
    """In `folder`, the current one: the task with 16 test rows, and a run of it in ``run``."""
    (folder / "test.tsv").write_text(rows(16, 200))
    write_task(folder, TESTED, *changes)
    done = command(capsys, "run", "task.toml", "--out", "run", "--ui", "none")
    assert done.code == 0, done.err


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def command(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Outcome:
    """Run the command line in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exited:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert isinstance(exited.value.code, int)
    return Outcome(exited.value.code, printed.out, printed.err)


class Length:
    """A scorer of one's own, as short as the documentation promises: no capabilities, no probe."""

    name = "mine/length"

    def __init__(self) -> None:
        self.requests = 0

    async def score(self, request: Request) -> Reply:
        """The longer the text, the surer of the last label."""
        self.requests += 1
        return Reply([Score(logprobs=(-0.01 * len(t.before), -0.5)) for t in request.texts])
